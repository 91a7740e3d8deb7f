// Server: 9P2000.L over a Folder. One message in, one answer out; errors are Linux's numbers. Names stand for objects
// by their path, so that the whole state can be saved; a rename through the server moves the names that lie beneath.
// Locks are left to the guest: every one succeeds.
#pragma once
#include <map>

#include "share/folder.h"
#include "share/wire.h"
#include "state/archive.h"

namespace doppel::share {

class Server {
 public:
  explicit Server(std::unique_ptr<Folder> folder) : folder_(std::move(folder)) {}
  // The answer has at most `room` bytes. Empty: no message at all.
  std::vector<u8> handle(std::span<const u8> message, size_t room);
  void reset();
  void archive(StateArchive& ar);
  size_t names() const { return fids_.size(); }
  static constexpr u32 kMaxMessage = 1 << 20;

 private:
  struct Fid {
    Path path;
    u32 uid = 0;  // of the guest's user who attached; owns what is made
    Fd file;
    int flags = -1;  // as opened; -1: not open
    DIR* listing = nullptr;
    long listed_to = 0;
    // It stands for an extended attribute (or for the list of them), not for a file.
    struct Attribute {
      std::string name;
      std::vector<u8> value;
      bool writing = false;  // kept when the fid is clunked, as long as `size` says
      u64 size = 0;
      u32 flags = 0;
    };
    std::unique_ptr<Attribute> attribute;
    Fid() = default;
    Fid(const Fid&) = delete;
    Fid& operator=(const Fid&) = delete;
    ~Fid() { close(); }
    void close();
  };
  using Answer = WireWriter;
  int dispatch(u8 type, WireReader& in, Answer& out);
  int version(WireReader& in, Answer& out);
  int attach(WireReader& in, Answer& out);
  int walk(WireReader& in, Answer& out);
  int open(WireReader& in, Answer& out);
  int create(WireReader& in, Answer& out);
  int read(WireReader& in, Answer& out);
  int write(WireReader& in, Answer& out);
  int read_folder(WireReader& in, Answer& out);
  int get_attributes(WireReader& in, Answer& out);
  int set_attributes(WireReader& in);
  int make(u8 type, WireReader& in, Answer& out);
  int link(WireReader& in);
  int rename(u8 type, WireReader& in);
  int remove(u8 type, WireReader& in);
  int fs_stat(WireReader& in, Answer& out);
  int walk_attribute(WireReader& in, Answer& out);
  int create_attribute(WireReader& in);
  int read_attribute(const Fid& fid, u64 offset, size_t size, Answer& out) const;
  int write_attribute(Fid& fid, u64 offset, std::span<const u8> data, Answer& out) const;
  int clunk(u32 number);
  void archive_attributes(StateArchive& ar);
  int lock(u8 type, WireReader& in, Answer& out);
  Fid* find(u32 number);
  int child(u32 number, const std::string& name, Path& path);
  int qid_of(const Path& path, Qid& qid);
  Qid qid_of(const struct stat& st) const;
  int start(Fid& fid, int flags);
  void moved(const Path& from, const Path& to);
  size_t payload(u32 wanted, size_t overhead) const;

  static constexpr size_t kMaxFids = 65536;
  std::unique_ptr<Folder> folder_;
  std::map<u32, std::unique_ptr<Fid>> fids_;
  u32 msize_ = 8192;
  size_t room_ = 0;
};

}  // namespace doppel::share

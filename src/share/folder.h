// Folder: a folder of the host as a guest sees it over 9P. Every object is named by its path from the folder's root; a
// path is walked name by name, each relative to the folder before it and never through a symbolic link, so that nothing
// outside can be named: not by "..", not by links, not by folders that are moved meanwhile. Results are errno values, 0
// is success.
//
// Security models, as QEMU's: `passthrough` and `none` act with the process's own rights (none: a refused change of
// owner counts as done); `mapped` keeps owner, mode and device number in extended attributes (user.virtfs.*), and
// special files and symbolic links as plain files. Any thread; blocking calls.
#pragma once
#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::share {

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

 private:
  int fd_;
};

using Path = std::vector<std::string>;  // names from the root; empty: the root

class Folder {
 public:
  enum class Model { Passthrough, None, Mapped };
  struct Config {
    std::string path;
    Model model = Model::Mapped;
    bool read_only = false;
  };
  static Result<std::unique_ptr<Folder>> open(const Config& config);
  bool read_only() const { return config_.read_only; }

  static bool good_name(const std::string& name);  // one name: neither empty nor "." or "..", no '/' in it
  int stat(const Path& path, struct stat& st) const;
  int stat(int fd, struct stat& st) const;
  int fs_stat(const Path& path, struct statvfs& st) const;
  // Plain files and folders only: a host's devices and pipes stay closed.
  int open_file(const Path& path, int flags, Fd& out) const;
  int create(const Path& path, int flags, u32 mode, u32 uid, u32 gid, Fd& out) const;
  int make_folder(const Path& path, u32 mode, u32 uid, u32 gid) const;
  int make_node(const Path& path, u32 mode, u64 device, u32 uid, u32 gid) const;
  int make_link(const Path& path, const std::string& target, u32 uid, u32 gid) const;  // symbolic
  int read_link(const Path& path, std::string& target) const;
  int link(const Path& from, const Path& to) const;  // hard
  int rename(const Path& from, const Path& to) const;
  int remove(const Path& path, bool folder) const;
  int set_mode(const Path& path, u32 mode) const;
  int set_owner(const Path& path, u32 uid, u32 gid) const;  // all ones: as it is
  int set_size(const Path& path, u64 size) const;
  int set_times(const Path& path, const timespec times[2]) const;
  u64 device() const { return device_; }
  bool mapped() const { return config_.model == Model::Mapped; }

 private:
  explicit Folder(Config config) : config_(std::move(config)) {}
  int find(const Path& path, Fd& out) const;  // O_PATH
  int find_parent(const Path& path, Fd& out) const;
  int reopen(const Fd& object, int flags, Fd& out) const;
  void apply_map(int object, struct stat& st) const;
  int store_map(const Fd& object, const u32* uid, const u32* gid, const u32* mode, const u64* device) const;
  int own(const Path& path, u32 mode, u32 uid, u32 gid, u64 device = 0) const;
  int may_write() const;
  Config config_;
  Fd root_;
  u64 device_ = 0;
};

}  // namespace doppel::share

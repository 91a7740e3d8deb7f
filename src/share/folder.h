// Folder: a folder of the host as a guest sees it over 9P. Every object is named by its path from the folder's root; a
// path is walked name by name, each relative to the folder before it and never through a symbolic link, so that nothing
// outside can be named: not by "..", not by links, not by folders that are moved meanwhile. Results are errno values, 0
// is success.
//
// Security models, as QEMU's: `passthrough` and `none` act with the process's own rights (none: a refused change of
// owner counts as done); the mapped ones keep owner, mode and device number in extended attributes (user.virtfs.*) or
// in files of their own, and special files and symbolic links as plain files. Any thread; blocking calls.
#pragma once
#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <memory>
#include <optional>
#include <span>
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
  enum class Model { Passthrough, None, Mapped, MappedFile };  // the last two: mapped-xattr, mapped-file
  struct Config {
    std::string path;
    Model model = Model::Mapped;
    bool read_only = false;
  };
  static Result<std::unique_ptr<Folder>> open(const Config& config);
  bool read_only() const { return config_.read_only; }

  static bool good_name(const std::string& name);  // one name: neither empty nor "." or "..", no '/' in it
  int stat(const Path& path, struct stat& st) const;
  int stat(const Path& path, int fd, struct stat& st) const;  // of an open one
  bool hidden(const std::string& name) const;                 // not to be listed
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
  // Extended attributes (folder_xattr_linux.cpp). EOPNOTSUPP: a guest can't have one of that name.
  static constexpr size_t kMaxAttribute = 65536, kMaxAttributeName = 255;
  static constexpr int kRemoveAttribute = 1 << 16;  // of `flags`, whose other bits are setxattr's
  int get_attribute(const Path& path, const std::string& name, std::vector<u8>& value) const;
  int list_attributes(const Path& path, std::vector<u8>& names) const;
  int set_attribute(const Path& path, const std::string& name, std::span<const u8> value, int flags) const;
  u64 device() const { return device_; }
  bool mapped() const { return config_.model == Model::Mapped || by_file(); }

 private:
  explicit Folder(Config config) : config_(std::move(config)) {}
  int find(const Path& path, Fd& out) const;  // O_PATH
  int find_parent(const Path& path, Fd& out) const;
  int reopen(const Fd& object, int flags, Fd& out) const;
  // folder_map_posix.cpp
  struct Mapping {
    std::optional<u32> uid, gid, mode;
    std::optional<u64> device;
  };
  bool by_file() const { return config_.model == Model::MappedFile; }
  int find_text(const Path& path, bool make, Fd& folder, std::string& name) const;
  Mapping read_map(const Path& path, int object) const;
  void apply_map(const Path& path, int object, struct stat& st) const;
  int store_map(const Path& path, const Fd& object, const Mapping& change) const;
  void text_moved(const Path& from, const Path& to) const;
  int text_linked(const Path& from, const Path& to) const;
  void text_of_children_removed(const Path& path) const;
  void text_removed(const Path& path) const;
  int own(const Path& path, u32 mode, u32 uid, u32 gid, u64 device = 0) const;
  std::string host_attribute(const std::string& name) const;
  int may_write() const;
  Config config_;
  Fd root_;
  u64 device_ = 0;
};

}  // namespace doppel::share

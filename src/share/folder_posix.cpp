#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "share/folder.h"

namespace doppel::share {
namespace {

constexpr u32 kKeep = ~u32{0};
constexpr size_t kLinkLimit = 4096;

int result(int r) { return r < 0 ? errno : 0; }

// The object itself, whatever stands at its name by now.
std::string own_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<std::unique_ptr<Folder>> Folder::open(const Config& config) {
  auto folder = std::unique_ptr<Folder>(new Folder(config));
  folder->root_ = Fd(::open(config.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder->root_)
    return Error{"can't share '" + config.path + "': " + std::strerror(errno), "name a folder that is there"};
  struct stat st;
  if (::fstat(folder->root_.get(), &st) != 0) return Error{"can't share '" + config.path + "'", "name another folder"};
  folder->device_ = st.st_dev;
  return folder;
}

bool Folder::good_name(const std::string& name) {
  return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

int Folder::may_write() const { return config_.read_only ? EROFS : 0; }

// --- names

int Folder::find(const Path& path, Fd& out) const {
  Fd at(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const std::string& name : path) {
    if (!at) return errno;
    if (!good_name(name)) return EINVAL;
    if (hidden(name)) return ENOENT;
    // A link in the middle is opened as itself, and has no names beneath it.
    at = Fd(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  if (!at) return errno;
  out = std::move(at);
  return 0;
}

int Folder::find_parent(const Path& path, Fd& out) const {
  if (path.empty()) return EBUSY;  // the root itself
  if (!good_name(path.back()) || hidden(path.back())) return EINVAL;
  if (const int e = find(Path(path.begin(), path.end() - 1), out)) return e;
  struct stat st;
  if (::fstat(out.get(), &st) != 0) return errno;
  return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
}

int Folder::reopen(const Fd& object, int flags, Fd& out) const {
  struct stat st;
  if (::fstat(object.get(), &st) != 0) return errno;
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return S_ISLNK(st.st_mode) ? ELOOP : ENXIO;
  out = Fd(::open(own_path(object.get()).c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  return out ? 0 : errno;
}

// A new object's owner and mode. What can't be had is taken back.
int Folder::own(const Path& path, u32 mode, u32 uid, u32 gid, u64 device) const {
  Fd object;
  int e = find(path, object);
  if (e == 0 && mapped()) {
    e = store_map(path, object, {uid, gid, mode, device != 0 ? std::optional(device) : std::nullopt});
  } else if (e == 0) {
    e = result(::fchownat(object.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
    if (config_.model == Model::None) e = 0;
    // The process's umask does not count.
    if (e == 0 && !S_ISLNK(mode)) e = result(::chmod(own_path(object.get()).c_str(), mode & 07777));
  }
  if (e != 0) remove(path, S_ISDIR(mode));
  return e;
}

// --- looking

int Folder::stat(const Path& path, int fd, struct stat& st) const {
  if (::fstat(fd, &st) != 0) return errno;
  apply_map(path, fd, st);
  return 0;
}

int Folder::stat(const Path& path, struct stat& st) const {
  Fd object;
  if (const int e = find(path, object)) return e;
  return stat(path, object.get(), st);
}

int Folder::fs_stat(const Path& path, struct statvfs& st) const {
  Fd object;
  if (const int e = find(path, object)) return e;
  return result(::fstatvfs(object.get(), &st));
}

int Folder::open_file(const Path& path, int flags, Fd& out) const {
  if (((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)) && may_write() != 0) return may_write();
  Fd object;
  if (const int e = find(path, object)) return e;
  struct stat st;
  if (const int e = stat(path, object.get(), st)) return e;
  if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) return S_ISLNK(st.st_mode) ? ELOOP : ENXIO;
  return reopen(object, flags, out);
}

int Folder::read_link(const Path& path, std::string& target) const {
  Fd object;
  if (const int e = find(path, object)) return e;
  struct stat st;
  if (const int e = stat(path, object.get(), st)) return e;
  if (!S_ISLNK(st.st_mode)) return EINVAL;
  target.resize(kLinkLimit);
  ssize_t n = ::readlinkat(object.get(), "", target.data(), target.size());
  if (n < 0 && mapped()) {  // a plain file that stands for a link
    Fd file;
    if (const int e = reopen(object, O_RDONLY, file)) return e;
    n = ::read(file.get(), target.data(), target.size());
  }
  if (n < 0) return errno;
  target.resize(static_cast<size_t>(n));
  return 0;
}

// --- making

int Folder::create(const Path& path, int flags, u32 mode, u32 uid, u32 gid, Fd& out) const {
  Fd parent;
  int e = may_write();
  if (e == 0) e = find_parent(path, parent);
  if (e != 0) return e;
  const u32 real = mapped() ? 0600 : mode & 07777;
  const int how = flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  out = Fd(::openat(parent.get(), path.back().c_str(), how, real));
  if (out) return own(path, S_IFREG | (mode & 07777), uid, gid);
  if (errno != EEXIST || (flags & O_EXCL)) return errno;
  return open_file(path, flags & ~O_CREAT, out);
}

int Folder::make_folder(const Path& path, u32 mode, u32 uid, u32 gid) const {
  Fd parent;
  int e = may_write();
  if (e == 0) e = find_parent(path, parent);
  if (e == 0) e = result(::mkdirat(parent.get(), path.back().c_str(), mapped() ? 0700 : mode & 07777));
  return e != 0 ? e : own(path, S_IFDIR | (mode & 07777), uid, gid);
}

int Folder::make_node(const Path& path, u32 mode, u64 device, u32 uid, u32 gid) const {
  Fd parent;
  int e = may_write();
  if (e == 0) e = find_parent(path, parent);
  if (e == 0 && mapped()) {
    const Fd file(
        ::openat(parent.get(), path.back().c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
    e = file ? 0 : errno;
  } else if (e == 0) {
    e = result(::mknodat(parent.get(), path.back().c_str(), mode, device));
  }
  return e != 0 ? e : own(path, mode, uid, gid, device);
}

int Folder::make_link(const Path& path, const std::string& target, u32 uid, u32 gid) const {
  if (target.empty() || target.size() >= kLinkLimit || target.find('\0') != std::string::npos) return EINVAL;
  Fd parent;
  int e = may_write();
  if (e == 0) e = find_parent(path, parent);
  if (e == 0 && mapped()) {
    const Fd file(
        ::openat(parent.get(), path.back().c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
    e = file ? 0 : errno;
    if (e == 0 && ::write(file.get(), target.data(), target.size()) != static_cast<ssize_t>(target.size())) e = EIO;
  } else if (e == 0) {
    e = result(::symlinkat(target.c_str(), parent.get(), path.back().c_str()));
  }
  return e != 0 ? e : own(path, S_IFLNK | 0777, uid, gid);
}

int Folder::link(const Path& from, const Path& to) const {
  Fd old_parent, new_parent;
  int e = may_write();
  if (e == 0) e = find_parent(from, old_parent);
  if (e == 0) e = find_parent(to, new_parent);
  if (e != 0) return e;
  e = result(::linkat(old_parent.get(), from.back().c_str(), new_parent.get(), to.back().c_str(), 0));
  return e != 0 ? e : text_linked(from, to);
}

int Folder::rename(const Path& from, const Path& to) const {
  Fd old_parent, new_parent;
  int e = may_write();
  if (e == 0) e = find_parent(from, old_parent);
  if (e == 0) e = find_parent(to, new_parent);
  if (e != 0) return e;
  text_of_children_removed(to);  // an empty folder may be replaced
  e = result(::renameat(old_parent.get(), from.back().c_str(), new_parent.get(), to.back().c_str()));
  if (e == 0) text_moved(from, to);
  return e;
}

int Folder::remove(const Path& path, bool folder) const {
  Fd parent;
  int e = may_write();
  if (e == 0) e = find_parent(path, parent);
  if (e == 0 && folder) text_of_children_removed(path);
  if (e == 0) e = result(::unlinkat(parent.get(), path.back().c_str(), folder ? AT_REMOVEDIR : 0));
  if (e == 0) text_removed(path);
  return e;
}

// --- changing

int Folder::set_mode(const Path& path, u32 mode) const {
  Fd object;
  struct stat st;
  int e = may_write();
  if (e == 0) e = find(path, object);
  if (e == 0) e = stat(path, object.get(), st);
  if (e != 0) return e;
  const u32 whole = (st.st_mode & S_IFMT) | (mode & 07777);
  if (mapped()) return store_map(path, object, {.mode = whole});
  if (S_ISLNK(st.st_mode)) return EOPNOTSUPP;
  return result(::chmod(own_path(object.get()).c_str(), mode & 07777));
}

int Folder::set_owner(const Path& path, u32 uid, u32 gid) const {
  Fd object;
  int e = may_write();
  if (e == 0) e = find(path, object);
  if (e != 0) return e;
  const auto given = [](u32 id) { return id == kKeep ? std::nullopt : std::optional(id); };
  if (mapped()) return store_map(path, object, {.uid = given(uid), .gid = given(gid)});
  e = result(::fchownat(object.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
  return config_.model == Model::None ? 0 : e;
}

int Folder::set_size(const Path& path, u64 size) const {
  if (size > static_cast<u64>(INT64_MAX)) return EFBIG;
  Fd file;
  if (const int e = open_file(path, O_WRONLY, file)) return e;
  return result(::ftruncate(file.get(), static_cast<off_t>(size)));
}

int Folder::set_times(const Path& path, const timespec times[2]) const {
  Fd object;
  int e = may_write();
  if (e == 0) e = find(path, object);
  if (e != 0) return e;
  struct stat st;
  if (::fstat(object.get(), &st) != 0) return errno;
  if (!S_ISLNK(st.st_mode)) return result(::utimensat(AT_FDCWD, own_path(object.get()).c_str(), times, 0));
  Fd parent;
  e = find_parent(path, parent);
  return e != 0 ? e : result(::utimensat(parent.get(), path.back().c_str(), times, AT_SYMLINK_NOFOLLOW));
}

}  // namespace doppel::share

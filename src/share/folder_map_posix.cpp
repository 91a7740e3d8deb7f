// Mapped attributes: owner, mode and device number of an object as the guest has set them, kept beside it. Two forms,
// both QEMU's:
//   mapped-xattr   numbers in the object's extended attributes user.virtfs.uid, .gid, .mode, .rdev (little-endian)
//   mapped-file    text in FOLDER/.virtfs_metadata/NAME, "virtfs.uid=1000" and so on, a line each; the root's own in
//                  .virtfs_metadata_root. Guests do not see these names.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "share/folder.h"

namespace doppel::share {
namespace {

constexpr const char* kUid = "user.virtfs.uid";
constexpr const char* kGid = "user.virtfs.gid";
constexpr const char* kMode = "user.virtfs.mode";
constexpr const char* kDevice = "user.virtfs.rdev";
constexpr const char *kFolder = ".virtfs_metadata", *kRoot = ".virtfs_metadata_root";
constexpr size_t kTextLimit = 1024;

int result(int r) { return r < 0 ? errno : 0; }

std::string own_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

template <typename T>
bool get_value(const std::string& path, const char* name, std::optional<T>& value) {
  u8 bytes[sizeof(T)];
  if (::getxattr(path.c_str(), name, bytes, sizeof bytes) != static_cast<ssize_t>(sizeof bytes)) return false;
  value = load_le<T>(bytes);
  return true;
}
template <typename T>
int set_value(const std::string& path, const char* name, const std::optional<T>& value) {
  if (!value) return 0;
  u8 bytes[sizeof(T)];
  store_le<T>(bytes, *value);
  return result(::setxattr(path.c_str(), name, bytes, sizeof bytes, 0));
}

template <typename T>
void get_line(const std::string& text, const std::string& name, std::optional<T>& value) {
  const std::string key = "virtfs." + name + "=";
  size_t at = text.find(key);
  while (at != std::string::npos && at != 0 && text[at - 1] != '\n') at = text.find(key, at + 1);
  if (at == std::string::npos) return;
  T number = 0;
  const char* from = text.data() + at + key.size();
  if (std::from_chars(from, text.data() + text.size(), number).ec == std::errc()) value = number;
}
template <typename T>
void put_line(std::string& text, const char* name, const std::optional<T>& value) {
  if (value) text += std::string("virtfs.") + name + "=" + std::to_string(*value) + "\n";
}

}  // namespace

bool Folder::hidden(const std::string& name) const { return by_file() && (name == kFolder || name == kRoot); }

// The folder that an object's text is in, and its name there.
int Folder::find_text(const Path& path, bool make, Fd& folder, std::string& name) const {
  if (path.empty()) {
    name = kRoot;
    folder = Fd(::openat(root_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return folder ? 0 : errno;
  }
  Fd parent;
  if (const int e = find_parent(path, parent)) return e;
  if (make && ::mkdirat(parent.get(), kFolder, 0700) != 0 && errno != EEXIST) return errno;
  name = path.back();
  folder = Fd(::openat(parent.get(), kFolder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return folder ? 0 : errno;
}

Folder::Mapping Folder::read_map(const Path& path, int object) const {
  Mapping m;
  if (!by_file()) {
    const std::string at = own_path(object);
    get_value(at, kUid, m.uid), get_value(at, kGid, m.gid), get_value(at, kMode, m.mode),
        get_value(at, kDevice, m.device);
    return m;
  }
  Fd folder;
  std::string name;
  if (find_text(path, false, folder, name) != 0) return m;
  const Fd file(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  std::string text(kTextLimit, 0);
  const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : -1;
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  get_line(text, "uid", m.uid), get_line(text, "gid", m.gid), get_line(text, "mode", m.mode),
      get_line(text, "rdev", m.device);
  return m;
}

void Folder::apply_map(const Path& path, int object, struct stat& st) const {
  if (!mapped() || S_ISLNK(st.st_mode)) return;
  const Mapping m = read_map(path, object);
  if (m.uid) st.st_uid = *m.uid;
  if (m.gid) st.st_gid = *m.gid;
  // A folder stays one whatever is written.
  if (m.mode) st.st_mode = S_ISDIR(st.st_mode) ? S_IFDIR | (*m.mode & 07777) : *m.mode;
  if (m.device) st.st_rdev = *m.device;
}

int Folder::store_map(const Path& path, const Fd& object, const Mapping& change) const {
  if (!by_file()) {
    const std::string at = own_path(object.get());
    int e = set_value(at, kUid, change.uid);
    if (e == 0) e = set_value(at, kGid, change.gid);
    if (e == 0) e = set_value(at, kMode, change.mode);
    if (e == 0) e = set_value(at, kDevice, change.device);
    return e;
  }
  Mapping m = read_map(path, object.get());
  if (change.uid) m.uid = change.uid;
  if (change.gid) m.gid = change.gid;
  if (change.mode) m.mode = change.mode;
  if (change.device) m.device = change.device;
  std::string text, name;
  put_line(text, "uid", m.uid), put_line(text, "gid", m.gid), put_line(text, "mode", m.mode),
      put_line(text, "rdev", m.device);
  Fd folder;
  if (const int e = find_text(path, true, folder, name)) return e;
  const Fd file(
      ::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file) return errno;
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno ? errno : EIO;
}

// --- the text goes where its object goes

void Folder::text_moved(const Path& from, const Path& to) const {
  if (!by_file()) return;
  Fd old_folder, new_folder;
  std::string old_name, new_name;
  const bool had = find_text(from, false, old_folder, old_name) == 0 &&
                   ::faccessat(old_folder.get(), old_name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (find_text(to, had, new_folder, new_name) != 0) return;
  if (!had || ::renameat(old_folder.get(), old_name.c_str(), new_folder.get(), new_name.c_str()) != 0)
    ::unlinkat(new_folder.get(), new_name.c_str(), 0);  // of what was there before
}

int Folder::text_linked(const Path& from, const Path& to) const {
  Fd old_folder, new_folder;
  std::string old_name, new_name;
  if (!by_file() || find_text(from, false, old_folder, old_name) != 0) return 0;
  if (const int e = find_text(to, true, new_folder, new_name)) return e;
  ::unlinkat(new_folder.get(), new_name.c_str(), 0);
  const int e = result(::linkat(old_folder.get(), old_name.c_str(), new_folder.get(), new_name.c_str(), 0));
  return e == ENOENT ? 0 : e;
}

// Before a folder is removed: what is kept about its objects, which are gone, goes first.
void Folder::text_of_children_removed(const Path& path) const {
  Fd folder, texts;
  if (!by_file() || find(path, folder) != 0) return;
  texts = Fd(::openat(folder.get(), kFolder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!texts || ::unlinkat(folder.get(), kFolder, AT_REMOVEDIR) == 0) return;
  // Left behind by programs of the host that removed objects: only where no object is there any more.
  Fd list(::openat(texts.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* names = list ? ::fdopendir(list.get()) : nullptr;
  if (names == nullptr) return;
  list.release();
  while (const dirent* d = ::readdir(names)) {
    if (good_name(d->d_name) && ::faccessat(folder.get(), d->d_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
      ::unlinkat(texts.get(), d->d_name, 0);
  }
  ::closedir(names);
  ::unlinkat(folder.get(), kFolder, AT_REMOVEDIR);
}

void Folder::text_removed(const Path& path) const {
  Fd folder;
  std::string name;
  if (by_file() && find_text(path, false, folder, name) == 0) ::unlinkat(folder.get(), name.c_str(), 0);
}

}  // namespace doppel::share

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>

#include "base/os/fd_sets.h"

namespace doppel::os {
namespace {

struct Table {
  std::mutex lock;
  std::vector<FdSet> sets;  // by number
};
Table& table() {
  static Table t;
  return t;
}

FdSet* find(Table& t, u32 id) {
  const auto it = std::find_if(t.sets.begin(), t.sets.end(), [&](const FdSet& s) { return s.id == id; });
  return it == t.sets.end() ? nullptr : &*it;
}

std::optional<u32> number_of(const std::string& path) {
  if (!path.starts_with(kFdSetPrefix)) return {};
  const char* from = path.c_str() + sizeof kFdSetPrefix - 1;
  u32 id = 0;
  const auto [end, error] = std::from_chars(from, path.c_str() + path.size(), id);
  return error == std::errc() && *end == 0 ? std::optional(id) : std::nullopt;
}

// The member that is open for just this, or for both ways.
int member_for(const FdSet& set, int access) {
  int both = -1;
  for (const FdSet::Member& m : set.members) {
    const int has = ::fcntl(m.fd, F_GETFL);
    if (has < 0) continue;
    if ((has & O_ACCMODE) == access) return m.fd;
    if ((has & O_ACCMODE) == O_RDWR) both = m.fd;
  }
  return both;
}

int duplicate(int fd, int flags) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return -1;
  constexpr int kSettable = O_APPEND | O_NONBLOCK;
  const int now = ::fcntl(own, F_GETFL);
  if (now >= 0 && (now & kSettable) != (flags & kSettable))
    ::fcntl(own, F_SETFL, (now & ~kSettable) | (flags & kSettable));
  // A pipe or a device has nothing to cut off.
  if ((flags & O_TRUNC) && ::ftruncate(own, 0) != 0 && errno != EINVAL) {
    const int error = errno;
    ::close(own);
    errno = error;
    return -1;
  }
  // The position is shared with the client's descriptor; a file that was just opened begins at its start.
  if ((flags & O_APPEND) == 0) ::lseek(own, 0, SEEK_SET);
  return own;
}

}  // namespace

u32 add_to_fd_set(std::optional<u32> id, int fd, const std::string& opaque) {
  Table& t = table();
  const std::lock_guard guard(t.lock);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (!id) {
    u32 free = 0;
    while (find(t, free)) free++;
    id = free;
  }
  FdSet* set = find(t, *id);
  if (!set) {
    const auto at = std::find_if(t.sets.begin(), t.sets.end(), [&](const FdSet& s) { return s.id > *id; });
    set = &*t.sets.insert(at, FdSet{.id = *id, .members = {}});
  }
  set->members.push_back({fd, opaque});
  return *id;
}

bool remove_from_fd_set(u32 id, std::optional<int> fd) {
  Table& t = table();
  const std::lock_guard guard(t.lock);
  FdSet* set = find(t, id);
  if (!set) return false;
  const size_t gone = std::erase_if(set->members, [&](const FdSet::Member& m) {
    if (fd && m.fd != *fd) return false;
    ::close(m.fd);
    return true;
  });
  if (set->members.empty()) std::erase_if(t.sets, [&](const FdSet& s) { return s.id == id; });
  return gone != 0;
}

std::vector<FdSet> fd_sets() {
  Table& t = table();
  const std::lock_guard guard(t.lock);
  return t.sets;
}

int open_named(const std::string& path, int flags, mode_t mode) {
  if (!path.starts_with(kFdSetPrefix)) return ::open(path.c_str(), flags | O_CLOEXEC, mode);
  const auto id = number_of(path);
  Table& t = table();
  const std::lock_guard guard(t.lock);
  const FdSet* set = id ? find(t, *id) : nullptr;
  if (!set) {
    errno = ENOENT;
    return -1;
  }
  const int fd = member_for(*set, flags & O_ACCMODE);
  if (fd < 0) {
    errno = EACCES;
    return -1;
  }
  return duplicate(fd, flags);
}

std::FILE* open_stream(const std::string& path, const char* mode) {
  const int flags = *mode == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC);
  const int fd = open_named(path, flags, 0666);
  return fd < 0 ? nullptr : ::fdopen(fd, mode);
}

std::optional<std::string> read_named(const std::string& path) {
  const int fd = open_named(path, O_RDONLY);
  if (fd < 0) return {};
  std::string text;
  char block[65536];
  ssize_t n;
  while ((n = ::read(fd, block, sizeof block)) > 0) text.append(block, static_cast<size_t>(n));
  ::close(fd);
  if (n < 0) return {};
  return text;
}

std::string fd_set_hint(const std::string& path) {
  if (!path.starts_with(kFdSetPrefix)) return {};
  return "add a descriptor that is open for this to the set: -add-fd fd=N,set=M, or QMP's add-fd";
}

}  // namespace doppel::os

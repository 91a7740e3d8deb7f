// vFile requests (GDB manual, "Host I/O Packets"): the debugger reads the program and its libraries as the program sees
// them, -L's prefix included. Nothing can be written or removed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "gdbstub/packet.h"
#include "user/debugger.h"
#include "user/linux/proc_files.h"

namespace doppel::user {
namespace {

using gdbstub::parse_hex;
using gdbstub::parse_hex_bytes;

// Errors by GDB's numbers (File-I/O, "Errno Values").
std::string failure(int error) {
  int number = 9999;  // EUNKNOWN
  switch (error) {
    case EPERM:
    case ENOENT:
    case EINTR:
    case EIO:
    case EBADF:
    case EACCES:
    case EFAULT:
    case EBUSY:
    case EEXIST:
    case ENODEV:
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case ENFILE:
    case EMFILE:
    case EFBIG:
    case ENOSPC:
    case ESPIPE:
    case EROFS: number = error; break;
    case ENAMETOOLONG: number = 91; break;
    default: break;
  }
  char text[16];
  std::snprintf(text, sizeof text, "F-1,%x", static_cast<unsigned>(number));
  return text;
}

std::string success_of(u64 value, const std::string& attachment = {}) {
  char text[24];
  std::snprintf(text, sizeof text, "F%llx", static_cast<unsigned long long>(value));
  return attachment.empty() ? text : text + (";" + attachment);
}

bool path_of(const std::string& arguments, std::string& path, size_t& end) {
  end = std::min(arguments.find(','), arguments.size());
  return parse_hex_bytes(arguments.substr(0, end), 0, path) && !path.empty() && path.size() < 4096;
}

// The protocol's struct stat: big-endian, 64 bytes.
std::string stat_record(const struct stat& s) {
  std::string out;
  const auto put = [&](u64 value, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
  };
  put(s.st_dev, 4), put(s.st_ino, 4), put(s.st_mode, 4), put(s.st_nlink, 4), put(s.st_uid, 4), put(s.st_gid, 4);
  put(s.st_rdev, 4), put(static_cast<u64>(s.st_size), 8), put(static_cast<u64>(s.st_blksize), 8);
  put(static_cast<u64>(s.st_blocks), 8);
  put(static_cast<u64>(s.st_atime), 4), put(static_cast<u64>(s.st_mtime), 4), put(static_cast<u64>(s.st_ctime), 4);
  return out;
}

}  // namespace

// "PATH,FLAGS,MODE"
std::string Debugger::Files::open_file(const std::string& arguments) {
  std::string path;
  size_t at = 0;
  u64 flags = 0;
  if (!path_of(arguments, path, at) || !parse_hex(arguments, ++at, flags)) return failure(EINVAL);
  if (flags & 0xe0b) return failure(EROFS);  // write, append, create, truncate
  std::string text;
  int low;
  if (own_proc_file(path) == "maps") {
    low = static_cast<int>(open_text("maps", debugger_.process_.map.describe(), O_CLOEXEC));
    if (low < 0) return failure(-low);
  } else {
    low = open(debugger_.process_.find_path(path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (low < 0) return failure(errno);
  }
  const int high = fcntl(low, F_DUPFD_CLOEXEC, 900);
  if (high >= 0) close(low);
  const int fd = high >= 0 ? high : low;
  open_.insert(fd);
  return success_of(static_cast<u64>(fd));
}

// "FD,COUNT,OFFSET"
std::string Debugger::Files::read_part(const std::string& arguments) {
  size_t at = 0;
  u64 fd = 0, count = 0, offset = 0;
  if (!parse_hex(arguments, at, fd) || !parse_hex(arguments, ++at, count) || !parse_hex(arguments, ++at, offset))
    return failure(EINVAL);
  if (!open_.contains(static_cast<int>(fd))) return failure(EBADF);
  std::string data(std::min<u64>(count, 16000), 0);
  const ssize_t n = pread(static_cast<int>(fd), data.data(), data.size(), static_cast<off_t>(offset));
  if (n < 0) return failure(errno);
  data.resize(static_cast<size_t>(n));
  return data.empty() ? "F0;" : success_of(data.size(), data);
}

std::string Debugger::Files::answer(const std::string& request) {
  const size_t colon = std::min(request.find(':'), request.size());
  const std::string what = request.substr(0, colon), arguments = request.substr(std::min(colon + 1, request.size()));
  size_t at = 0;
  u64 number = 0;
  if (what == "setfs") return success_of(0);
  if (what == "open") return open_file(arguments);
  if (what == "pread") return read_part(arguments);
  if (what == "readlink") {
    std::string path;
    char target[4096];
    if (!path_of(arguments, path, at)) return failure(EINVAL);
    const ssize_t n = readlink(debugger_.process_.find_path(path).c_str(), target, sizeof target);
    return n < 0 ? failure(errno) : success_of(static_cast<u64>(n), std::string(target, static_cast<size_t>(n)));
  }
  if (what != "close" && what != "fstat") return what == "pwrite" || what == "unlink" ? failure(EROFS) : "";
  if (!parse_hex(arguments, at, number) || !open_.contains(static_cast<int>(number))) return failure(EBADF);
  const int fd = static_cast<int>(number);
  if (what == "close") {
    open_.erase(fd);
    close(fd);
    return success_of(0);
  }
  struct stat s {};
  if (fstat(fd, &s) != 0) return failure(errno);
  const std::string record = stat_record(s);
  return success_of(record.size(), record);
}

void Debugger::Files::close_all() {
  for (const int fd : open_) close(fd);
  open_.clear();
}

}  // namespace doppel::user

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "block/image_lock.h"
#include "block/raw_file.h"

namespace doppel::block {
namespace {

Error open_error(const std::string& path, int error, bool read_only) {
  const std::string what = "can't open '" + path + "': ";
  switch (error) {
    case ENOENT: return {what + "no such file", "check the path, or create the image first"};
    case ENOTDIR: return {what + "part of the path is not a folder", "check the path"};
    case EACCES:
    case EPERM:
      if (!read_only && access(path.c_str(), R_OK) == 0) {
        return {what + "no permission to write", "make it writable, or use readonly=on or snapshot=on"};
      }
      return {what + "no permission", "change the file's permissions or run as its owner"};
    case EROFS: return {what + "it is on a read-only file system", "use readonly=on or snapshot=on"};
    case EISDIR: return {what + "it is a folder", "give the path of an image file"};
    case ETXTBSY: return {what + "it is being executed", "stop that program, or use readonly=on"};
    case ENXIO: return {what + "no such device, or a socket or pipe", "give the path of an image file"};
    case ENOMEDIUM: return {what + "no medium in the drive", "insert a disc"};
    default: return {what + std::strerror(error), ""};
  }
}

Result<u64> size_of(int fd, const std::string& path) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return Error{"can't read the size of '" + path + "': " + std::strerror(errno), ""};
  if (S_ISDIR(st.st_mode)) return Error{"can't open '" + path + "': it is a folder", "give the path of an image file"};
  if (S_ISREG(st.st_mode)) return static_cast<u64>(st.st_size);
  if (!S_ISBLK(st.st_mode)) {
    return Error{"can't use '" + path + "' as a disk: it is neither a file nor a block device",
                 "give the path of an image file"};
  }
  const off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) return Error{"can't read the size of '" + path + "': " + std::strerror(errno), ""};
  return static_cast<u64>(end);
}

// Whole transfers; `ends_early` turns the rest into zeroes (reads past the end).
int read_all(int fd, u64 offset, std::span<u8> data) {
  while (!data.empty()) {
    const ssize_t n = pread(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (n == 0) {
      std::fill(data.begin(), data.end(), u8{0});
      return 0;
    }
    offset += static_cast<u64>(n);
    data = data.subspan(static_cast<size_t>(n));
  }
  return 0;
}

int write_all(int fd, u64 offset, std::span<const u8> data) {
  while (!data.empty()) {
    const ssize_t n = pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if (n == 0) return ENOSPC;
    offset += static_cast<u64>(n);
    data = data.subspan(static_cast<size_t>(n));
  }
  return 0;
}

bool not_supported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == EINVAL || error == ENOTTY;
}

}  // namespace

Result<std::shared_ptr<RawFile>> RawFile::open_file(const std::string& path, bool read_only) {
  // O_NONBLOCK: a pipe or an empty CD drive must not hang us; it has no effect on files and block devices afterwards.
  const int fd = ::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno, read_only);
  auto bytes = size_of(fd, path);
  if (!bytes) {
    ::close(fd);
    return bytes.error();
  }
  const Status locked = lock_image(fd, path, !read_only);
  if (!locked) {
    ::close(fd);
    return locked.error();
  }
  return std::shared_ptr<RawFile>(new RawFile(fd, path, align_up(*bytes, 512), read_only));
}

RawFile::~RawFile() { ::close(fd_); }

void RawFile::read(u64 offset, std::span<u8> data, Completion done) {
  if (offset > static_cast<u64>(INT64_MAX)) {
    std::fill(data.begin(), data.end(), u8{0});
    return done(0);
  }
  done(read_all(fd_, offset, data));
}

void RawFile::write(u64 offset, std::span<const u8> data, Completion done) {
  if (read_only_) return done(EROFS);
  if (offset > size_ || data.size() > size_ - offset) return done(EIO);
  done(write_all(fd_, offset, data));
}

void RawFile::flush(Completion done) {
  if (read_only_) return done(0);
  int result = 0;
  do {
    result = fdatasync(fd_);
  } while (result != 0 && errno == EINTR);
  done(result == 0 || errno == EROFS || errno == EINVAL ? 0 : errno);
}

int RawFile::punch(u64 offset, u64 length) {
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(length)) == 0
             ? 0
             : errno;
}

int RawFile::write_zero_bytes(u64 offset, u64 length) {
  static constexpr std::array<u8, 64 << 10> kZeroes{};
  while (length != 0) {
    const u64 n = std::min<u64>(length, kZeroes.size());
    if (const int error = write_all(fd_, offset, std::span(kZeroes).first(n))) return error;
    offset += n;
    length -= n;
  }
  return 0;
}

void RawFile::discard(u64 offset, u64 length, Completion done) {
  if (read_only_) return done(EROFS);
  if (offset > size_ || length > size_ - offset) return done(EIO);
  if (length == 0) return done(0);
  const int error = punch(offset, length);
  done(not_supported(error) ? 0 : error);  // a hint: the bytes may stay
}

void RawFile::write_zeroes(u64 offset, u64 length, Completion done) {
  if (read_only_) return done(EROFS);
  if (offset > size_ || length > size_ - offset) return done(EIO);
  if (length == 0) return done(0);
  const int error = punch(offset, length);
  done(not_supported(error) ? write_zero_bytes(offset, length) : error);
}

}  // namespace doppel::block

// open_file: an image on the host. Locked against a second writer (image_lock.h).
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/os/fd_sets.h"
#include "block/file.h"
#include "block/image_lock.h"

namespace doppel::block {
namespace {

Error open_error(const std::string& path, int error, bool read_only) {
  const std::string what = "can't open '" + path + "': ", hint = os::fd_set_hint(path);
  if (!hint.empty()) return {what + (error == ENOENT ? "there is no such set" : "no descriptor of the set fits"), hint};
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

// Whole transfers; reads past the end give zeroes.
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

// preadv and pwritev until everything has moved. `move` (iovec*, int count, off_t) moves some; what it leaves at the
// end of the file (0) is for `at_end`.
template <typename Move, typename AtEnd>
int move_pieces(u64 offset, Pieces data, Move move, AtEnd at_end) {
  constexpr size_t kAtOnce = 1024;  // IOV_MAX
  std::vector<iovec> left;
  left.reserve(data.size());
  for (const std::span<u8>& p : data) {
    if (!p.empty()) left.push_back({p.data(), p.size()});
  }
  for (size_t i = 0; i < left.size();) {
    const int count = static_cast<int>(std::min(kAtOnce, left.size() - i));
    const ssize_t n = move(&left[i], count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return at_end(std::span(left).subspan(i));
    offset += static_cast<u64>(n);
    for (auto moved = static_cast<size_t>(n); moved != 0;) {
      const size_t part = std::min(moved, left[i].iov_len);
      left[i].iov_base = static_cast<u8*>(left[i].iov_base) + part;
      left[i].iov_len -= part;
      moved -= part;
      if (left[i].iov_len == 0) i++;
    }
  }
  return 0;
}

int read_all(int fd, u64 offset, Pieces data) {
  const auto move = [fd](iovec* v, int count, off_t at) { return preadv(fd, v, count, at); };
  return move_pieces(offset, data, move, [](std::span<iovec> rest) {
    for (const iovec& v : rest) std::memset(v.iov_base, 0, v.iov_len);
    return 0;
  });
}

int write_all(int fd, u64 offset, Pieces data) {
  const auto move = [fd](iovec* v, int count, off_t at) { return pwritev(fd, v, count, at); };
  return move_pieces(offset, data, move, [](std::span<iovec>) { return ENOSPC; });
}

// Transfers past the page cache: whole blocks, from memory at a block's start, through a buffer where they aren't.
class DirectIo {
 public:
  static constexpr u64 kBlock = 4096;
  explicit DirectIo(int fd) : fd_(fd) {}
  int read(u64 offset, std::span<u8> data) {
    if (aligned(offset, data)) return read_all(fd_, offset, data);
    return pieces(offset, data.size(), [&](u64 first, std::span<u8> buffer, u64 inside, u64 at, u64 n) {
      const int error = read_all(fd_, first, buffer);
      if (error == 0) std::copy_n(buffer.begin() + static_cast<long>(inside), n, data.begin() + static_cast<long>(at));
      return error;
    });
  }
  static bool aligned(u64 offset, Pieces data) {
    return std::all_of(data.begin(), data.end(), [&](const std::span<u8>& p) { return aligned(offset, p); });
  }
  // `size`: of the file before the write, which keeps its end.
  int write(u64 offset, std::span<const u8> data, u64 size) {
    if (aligned(offset, data)) return write_all(fd_, offset, data);
    const std::lock_guard hold(lock_);  // a block that two writes share is read and written by one at a time
    int error = pieces(offset, data.size(), [&](u64 first, std::span<u8> buffer, u64 inside, u64 at, u64 n) {
      const int failed = n == buffer.size() ? 0 : read_all(fd_, first, buffer);
      if (failed != 0) return failed;
      std::copy_n(data.begin() + static_cast<long>(at), n, buffer.begin() + static_cast<long>(inside));
      return write_all(fd_, first, buffer);
    });
    const u64 end = std::max(size, offset + data.size());
    if (error == 0 && align_up(offset + data.size(), kBlock) > end && ftruncate(fd_, static_cast<off_t>(end)) != 0)
      error = errno;
    return error;
  }

 private:
  static constexpr u64 kBuffer = 256 << 10;
  static bool aligned(u64 offset, std::span<const u8> data) {
    // SAFETY: only the address's low bits are looked at.
    return ((offset | data.size() | reinterpret_cast<uintptr_t>(data.data())) & (kBlock - 1)) == 0;
  }
  template <typename Fn>
  static int pieces(u64 offset, u64 size, Fn fn) {
    const std::unique_ptr<u8, decltype(&std::free)> buffer(static_cast<u8*>(std::aligned_alloc(kBlock, kBuffer)),
                                                           std::free);
    if (!buffer) return ENOMEM;
    for (u64 at = 0; at < size;) {
      const u64 first = align_down(offset + at, kBlock), inside = offset + at - first;
      const u64 n = std::min(size - at, kBuffer - inside);
      const int error = fn(first, std::span(buffer.get(), align_up(inside + n, kBlock)), inside, at, n);
      if (error != 0) return error;
      at += n;
    }
    return 0;
  }
  int fd_;
  std::mutex lock_;
};

bool not_supported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENODEV || error == EINVAL || error == ENOTTY;
}

class HostFile final : public File {
 public:
  HostFile(int fd, std::string path, u64 size, bool is_device, const FileOptions& o)
      : fd_(fd), path_(std::move(path)), size_(size), is_device_(is_device), options_(o), direct_(fd) {}
  ~HostFile() override { ::close(fd_); }
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;
  u64 size() const override { return size_.load(std::memory_order_relaxed); }
  bool read_only() const override { return options_.read_only; }
  std::string path() const override { return path_; }
  int read(u64 offset, std::span<u8> data) override;
  int write(u64 offset, std::span<const u8> data) override;
  int read_pieces(u64 offset, Pieces data) override;
  int write_pieces(u64 offset, Pieces data) override;
  int flush() override;
  int discard(u64 offset, u64 length) override;
  int write_zeroes(u64 offset, u64 length) override;
  int truncate(u64 size) override;
  int allocate(u64 offset, u64 length) override;
  Run run_at(u64 offset, u64 length) override;
  u64 allocated_bytes() const override;

 private:
  int punch(u64 offset, u64 length);
  int write_zero_bytes(u64 offset, u64 length);
  int write_bytes(u64 offset, std::span<const u8> data) {
    return options_.direct ? direct_.write(offset, data, size()) : write_all(fd_, offset, data);
  }
  int check_range(u64 offset, u64 length) const;
  int written(int error, u64 end);
  void make_room(u64 offset, u64 length);
  void grow(u64 end) {
    u64 now = size_.load(std::memory_order_relaxed);
    while (now < end && !size_.compare_exchange_weak(now, end, std::memory_order_relaxed)) {
    }
  }
  int fd_;
  std::string path_;
  std::atomic<u64> size_;
  bool is_device_;
  FileOptions options_;
  std::atomic<bool> makes_room_{true};  // the file system can
  DirectIo direct_;
};

int HostFile::check_range(u64 offset, u64 length) const {
  if (options_.read_only) return EROFS;
  constexpr u64 kMax = INT64_MAX;
  if (offset > kMax || length > kMax - offset) return EFBIG;
  return is_device_ && offset + length > size() ? ENOSPC : 0;
}

int HostFile::read(u64 offset, std::span<u8> data) {
  if (offset > static_cast<u64>(INT64_MAX)) {
    std::fill(data.begin(), data.end(), u8{0});
    return 0;
  }
  return options_.direct ? direct_.read(offset, data) : read_all(fd_, offset, data);
}

int HostFile::write(u64 offset, std::span<const u8> data) {
  if (const int error = check_range(offset, data.size())) return error;
  make_room(offset, data.size());
  return written(write_bytes(offset, data), offset + data.size());
}

// Of bulk output: a long write whose blocks are there already takes a third less of the file system's time.
void HostFile::make_room(u64 offset, u64 length) {
  constexpr u64 kLong = 512 << 10;
  if (!options_.unsafe || is_device_ || length < kLong || !makes_room_) return;
  if (fallocate(fd_, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) makes_room_ = false;
}

// After a write to `end`. One that failed may have written a part.
int HostFile::written(int error, u64 end) {
  struct stat st {};
  if (error != 0) end = !is_device_ && fstat(fd_, &st) == 0 ? static_cast<u64>(st.st_size) : 0;
  grow(end);
  return error;
}

// Past the page cache whole blocks only may be in pieces; others go one by one.
int HostFile::read_pieces(u64 offset, Pieces data) {
  const bool one_by_one = options_.direct && !DirectIo::aligned(offset, data);
  return one_by_one || offset > static_cast<u64>(INT64_MAX) ? File::read_pieces(offset, data)
                                                            : read_all(fd_, offset, data);
}

int HostFile::write_pieces(u64 offset, Pieces data) {
  if (options_.direct && !DirectIo::aligned(offset, data)) return File::write_pieces(offset, data);
  const u64 size = block::size_of(data);
  if (const int error = check_range(offset, size)) return error;
  make_room(offset, size);
  return written(write_all(fd_, offset, data), offset + size);
}

int HostFile::flush() {
  if (options_.read_only || options_.unsafe) return 0;
  int result = 0;
  do {
    result = fdatasync(fd_);
  } while (result != 0 && errno == EINTR);
  return result == 0 || errno == EROFS || errno == EINVAL ? 0 : errno;
}

int HostFile::punch(u64 offset, u64 length) {
  return fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                   static_cast<off_t>(length)) == 0
             ? 0
             : errno;
}

int HostFile::write_zero_bytes(u64 offset, u64 length) {
  alignas(DirectIo::kBlock) static constexpr std::array<u8, 64 << 10> kZeroes{};
  while (length != 0) {
    const u64 n = std::min<u64>(length, kZeroes.size());
    if (const int error = write_bytes(offset, std::span(kZeroes).first(n))) return error;
    offset += n;
    length -= n;
  }
  return 0;
}

int HostFile::discard(u64 offset, u64 length) {
  if (const int error = check_range(offset, length)) return error;
  if (length == 0) return 0;
  const int error = punch(offset, length);
  return not_supported(error) ? 0 : error;
}

int HostFile::write_zeroes(u64 offset, u64 length) {
  if (const int error = check_range(offset, length)) return error;
  if (length == 0) return 0;
  int error = punch(offset, length);
  if (not_supported(error)) {
    error = write_zero_bytes(offset, length);
  } else if (error == 0 && offset + length > size()) {
    error = ftruncate(fd_, static_cast<off_t>(offset + length)) == 0 ? 0 : errno;
  }
  if (error == 0) grow(offset + length);
  return error;
}

int HostFile::truncate(u64 size) {
  if (const int error = check_range(size, 0)) return error;
  if (is_device_) return size <= this->size() ? 0 : ENOSPC;
  if (ftruncate(fd_, static_cast<off_t>(size)) != 0) return errno;
  size_.store(size, std::memory_order_relaxed);
  return 0;
}

int HostFile::allocate(u64 offset, u64 length) {
  if (const int error = check_range(offset, length)) return error;
  if (is_device_ || length == 0) return 0;
  const int error = posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(length));
  if (error == 0) grow(offset + length);
  return error;
}

File::Run HostFile::run_at(u64 offset, u64 length) {
  const u64 end = size();
  if (offset >= end) return {0, false};
  length = std::min(length, end - offset);
  const auto at = static_cast<off_t>(offset);
  const off_t data = is_device_ ? at : lseek(fd_, at, SEEK_DATA);
  if (data < 0) return {length, errno != ENXIO};  // ENXIO: only a hole follows
  if (data > at) return {std::min(length, static_cast<u64>(data - at)), false};
  const off_t hole = is_device_ ? -1 : lseek(fd_, at, SEEK_HOLE);
  return {hole > at ? std::min(length, static_cast<u64>(hole - at)) : length, true};
}

u64 HostFile::allocated_bytes() const {
  struct stat st {};
  return fstat(fd_, &st) == 0 ? static_cast<u64>(st.st_blocks) * 512 : 0;
}

Result<std::shared_ptr<File>> adopt(int fd, const std::string& path, const FileOptions& options) {
  auto bytes = size_of(fd, path);
  Status locked = success();
  if (bytes && options.sharing == Sharing::Locked) locked = lock_image(fd, path, !options.read_only);
  if (!bytes || !locked) {
    ::close(fd);
    return bytes ? locked.error() : bytes.error();
  }
  struct stat st {};
  fstat(fd, &st);
  return std::shared_ptr<File>(new HostFile(fd, path, *bytes, S_ISBLK(st.st_mode), options));
}

}  // namespace

Result<std::shared_ptr<File>> open_file(const std::string& path, const FileOptions& options) {
  // O_NONBLOCK: a pipe or an empty CD drive must not hang us; it has no effect on files and block devices afterwards.
  const int fd =
      os::open_named(path, (options.read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | (options.direct ? O_DIRECT : 0));
  if (fd < 0 && errno == EINVAL && options.direct)
    return Error{"can't open '" + path + "' past the page cache: its file system does not have that (O_DIRECT)",
                 "use cache=writeback"};
  if (fd < 0) return open_error(path, errno, options.read_only);
  return adopt(fd, path, options);
}

Result<std::shared_ptr<File>> create_file(const std::string& path, const FileOptions& options) {
  const int fd = os::open_named(path, O_RDWR | O_CREAT | O_NONBLOCK, 0644);
  if (fd < 0) {
    if (errno == ENOENT) return Error{"can't create '" + path + "': there is no such folder", "make the folder first"};
    if (errno == ENOSPC) return Error{"can't create '" + path + "': the disk is full", "free some space"};
    return open_error(path, errno, false);
  }
  auto file = adopt(fd, path, options);
  if (!file) return file.error();
  if (const int error = (*file)->truncate(0); error != 0 && error != ENOSPC) return open_error(path, error, false);
  return file;
}

}  // namespace doppel::block

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/page_vector.h"
#include "block/overlay.h"
#include "block/sync.h"

namespace doppel::block {
namespace {

std::string temporary_folder() {
  const char* folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/var/tmp";
}

int open_nameless(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = folder + "/doppel-overlay-XXXXXX";  // file systems without O_TMPFILE
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

int transfer(int fd, u64 offset, u8* data, size_t size, bool write) {
  while (size != 0) {
    const ssize_t n =
        write ? pwrite(fd, data, size, static_cast<off_t>(offset)) : pread(fd, data, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 ? EIO : errno;
    offset += static_cast<u64>(n);
    data += n;
    size -= static_cast<size_t>(n);
  }
  return 0;
}

// Calls fn(offset, bytes) for each part that lies in one cluster; stops at the first error.
template <typename Fn>
int by_cluster(u64 offset, u64 length, Fn&& fn) {
  while (length != 0) {
    const u64 n = std::min(length, Overlay::kCluster - offset % Overlay::kCluster);
    if (const int error = fn(offset, n)) return error;
    offset += n;
    length -= n;
  }
  return 0;
}

}  // namespace

Result<std::shared_ptr<Overlay>> Overlay::create(std::shared_ptr<Node> base) {
  const std::string folder = temporary_folder();
  const int fd = open_nameless(folder);
  if (fd < 0) {
    return Error{
        "can't create a temporary file in '" + folder + "' for the writes of snapshot=on: " + std::strerror(errno),
        "set TMPDIR to a folder with free space"};
  }
  return std::shared_ptr<Overlay>(new Overlay(std::move(base), fd));
}

Overlay::~Overlay() { ::close(fd_); }

int Overlay::read_part(u64 offset, std::span<u8> data) {
  const auto it = slots_.find(offset / kCluster);
  if (it == slots_.end()) return read_sync(*base_, offset, data);
  if (it->second == kZero) {
    std::fill(data.begin(), data.end(), u8{0});
    return 0;
  }
  return transfer(fd_, it->second * kCluster + offset % kCluster, data.data(), data.size(), false);
}

int Overlay::write_part(u64 offset, std::span<const u8> data) {
  const u64 cluster = offset / kCluster, inside = offset % kCluster;
  const auto it = slots_.find(cluster);
  if (it != slots_.end() && it->second != kZero) {
    return transfer(fd_, it->second * kCluster + inside, const_cast<u8*>(data.data()), data.size(), true);
  }
  scratch_.resize(kCluster);
  if (data.size() != kCluster) {
    if (const int error = read_part(cluster * kCluster, scratch_)) return error;
  }
  std::copy(data.begin(), data.end(), scratch_.begin() + static_cast<std::ptrdiff_t>(inside));
  if (const int error = transfer(fd_, next_slot_ * kCluster, scratch_.data(), kCluster, true)) return error;
  slots_[cluster] = next_slot_++;
  return 0;
}

int Overlay::zero_range(u64 offset, u64 length) {
  static constexpr u8 kZeroes[kCluster] = {};
  return by_cluster(offset, length, [this](u64 at, u64 n) {
    if (n != kCluster) return write_part(at, {kZeroes, n});
    const auto it = slots_.find(at / kCluster);
    if (it != slots_.end() && it->second != kZero) return write_part(at, {kZeroes, n});
    slots_[at / kCluster] = kZero;
    return 0;
  });
}

void Overlay::read(u64 offset, std::span<u8> data, Completion done) {
  int error = 0;
  {
    const std::lock_guard hold(lock_);
    size_t at = 0;
    error = by_cluster(offset, data.size(), [&](u64 where, u64 n) {
      const int e = read_part(where, data.subspan(at, n));
      at += n;
      return e;
    });
  }
  done(error);
}

void Overlay::write(u64 offset, std::span<const u8> data, Completion done) {
  int error = EIO;
  if (offset <= size() && data.size() <= size() - offset) {
    const std::lock_guard hold(lock_);
    size_t at = 0;
    error = by_cluster(offset, data.size(), [&](u64 where, u64 n) {
      const int e = write_part(where, data.subspan(at, n));
      at += n;
      return e;
    });
  }
  done(error);
}

void Overlay::discard(u64 offset, u64 length, Completion done) { write_zeroes(offset, length, std::move(done)); }

void Overlay::write_zeroes(u64 offset, u64 length, Completion done) {
  int error = EIO;
  if (offset <= size() && length <= size() - offset) {
    const std::lock_guard hold(lock_);
    error = zero_range(offset, length);
  }
  done(error);
}

int Overlay::write_to(Node& target) {
  std::vector<u64> clusters;
  {
    const std::lock_guard hold(lock_);
    for (const auto& [cluster, slot] : slots_) clusters.push_back(cluster);
  }
  std::sort(clusters.begin(), clusters.end());
  PageVector data(kCluster);
  for (const u64 cluster : clusters) {
    const u64 offset = cluster * kCluster;
    const std::span<u8> part(data.data(), std::min(kCluster, size() - offset));
    if (const int error = read_sync(*this, offset, part)) return error;
    const bool zero = is_zero(part);
    const int error = zero ? write_zeroes_sync(target, offset, part.size()) : write_sync(target, offset, part);
    if (error != 0) return error;
  }
  return flush_sync(target);
}

}  // namespace doppel::block

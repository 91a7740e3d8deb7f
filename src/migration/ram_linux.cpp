#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/hash64.h"
#include "base/os/exec_memory.h"
#include "base/page_vector.h"
#include "mem/address_space.h"
#include "migration/ram.h"

namespace doppel::migration {
namespace {
constexpr u64 kPage = 4096, kPagesInChunk = kRamChunk / kPage, kMapBytes = kPagesInChunk / 8;
constexpr size_t kBatch = 64;  // chunks packed at a time

constexpr u64 chunks_in(u64 bytes) { return (bytes + kRamChunk - 1) / kRamChunk; }

struct Descriptor {
  int fd = -1;
  explicit Descriptor(int f) : fd(f) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

bool is_zero(const u8* page, u64 size) { return page[0] == 0 && std::memcmp(page, page + 1, size - 1) == 0; }

// The map of pages that are not zero, then these pages. Empty: there are none.
std::vector<u8> gather(std::span<const u8> chunk) {
  std::vector<u8> out(kMapBytes);
  out.reserve(kMapBytes + chunk.size());
  for (u64 at = 0; at < chunk.size(); at += kPage) {
    const u64 n = std::min<u64>(kPage, chunk.size() - at);
    if (is_zero(&chunk[at], n)) continue;
    out[at / kPage / 8] |= static_cast<u8>(1u << (at / kPage % 8));
    out.insert(out.end(), &chunk[at], &chunk[at] + n);
  }
  if (out.size() == kMapBytes) out.clear();
  return out;
}

// Calls work(i) for i in [0, count) on all CPUs.
template <typename Fn>
void in_parallel(size_t count, Fn&& work) {
  std::atomic<size_t> next{0};
  const auto run = [&] {
    for (size_t i; (i = next.fetch_add(1)) < count;) work(i);
  };
  std::vector<std::thread> threads;
  for (unsigned t = 1; t < std::min<size_t>(std::max(std::thread::hardware_concurrency(), 1u), count); t++)
    threads.emplace_back(run);
  run();
  for (std::thread& t : threads) t.join();
}

std::span<const u8> chunk_of(const mem::RamBlock& ram, u64 index) {
  const u64 at = index * kRamChunk;
  return {ram.host + at, std::min(kRamChunk, ram.size - at)};
}

Error failed(const std::string& what, const std::string& path) {
  const int error = errno;
  return {"can't " + what + " '" + path + "': " + std::strerror(error), error == ENOSPC ? "make room there" : ""};
}

int write_all(int fd, std::span<const u8> data, u64 offset) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<u64>(n);
  }
  return 0;
}

}  // namespace

Status save_ram(const mem::RamBlock& ram, StateWriter& out) {
  const u64 chunks = chunks_in(ram.size);
  std::vector<PackedBlock> batch(kBatch);
  for (u64 first = 0; first < chunks; first += kBatch) {
    const size_t n = std::min<u64>(kBatch, chunks - first);
    in_parallel(n, [&](size_t i) {
      const std::vector<u8> pages = gather(chunk_of(ram, first + i));
      batch[i] = pages.empty() ? PackedBlock{} : pack(Block::Ram, first + i, pages);
    });
    for (size_t i = 0; i < n; i++) {
      if (batch[i].size == 0) continue;
      if (Status s = out.add(batch[i]); !s) return s;
    }
  }
  return success();
}

// RAM that is a file of the user's is written to; what is the machine's own is made anew.
RamLoader::RamLoader(mem::RamBlock& ram) : ram_(ram) {
  if (ram.backing == mem::RamBlock::Backing::File || !os::clear_memory(ram.host, ram.size)) {
    std::memset(ram.host, 0, ram.size);
  } else {
    ram.backing = mem::RamBlock::Backing::Anonymous;
  }
}

Status RamLoader::add(const PackedBlock& block) {
  const Error wrong{"the RAM in the state is not this machine's", "give the -m that the state was saved with"};
  if (block.argument >= chunks_in(ram_.size) || block.size > kRamChunk + kMapBytes) return wrong;
  if (!unpack(block, data_) || data_.size() < kMapBytes) return wrong;
  const u64 start = block.argument * kRamChunk, length = std::min(kRamChunk, ram_.size - start);
  u64 from = kMapBytes;
  for (u64 page = 0; page < kPagesInChunk; page++) {
    if ((data_[page / 8] >> (page % 8) & 1) == 0) continue;
    if (page * kPage >= length) return wrong;
    const u64 n = std::min(kPage, length - page * kPage);
    if (data_.size() - from < n) return wrong;
    std::memcpy(ram_.host + start + page * kPage, &data_[from], n);
    from += n;
  }
  return success();
}

Status save_ram_file(const mem::RamBlock& ram, const std::string& path, std::vector<u64>& hashes) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (file.fd < 0 || ::ftruncate(file.fd, static_cast<off_t>(ram.size)) != 0) return failed("write", path);
  hashes.assign(chunks_in(ram.size), 0);
  std::atomic<int> error{0};
  in_parallel(hashes.size(), [&](size_t i) {
    const auto chunk = chunk_of(ram, i);
    bool any = false;
    for (u64 at = 0; at < chunk.size();) {  // runs of pages that are not zero
      u64 end = at;
      while (end < chunk.size() && !is_zero(&chunk[end], std::min<u64>(kPage, chunk.size() - end))) end += kPage;
      end = std::min<u64>(end, chunk.size());
      // A hint: writing where the blocks are there already is quicker.
      if (end - at >= kRamChunk / 2 &&
          ::fallocate(file.fd, 0, static_cast<off_t>(i * kRamChunk + at), static_cast<off_t>(end - at)) != 0)
        errno = 0;
      if (end > at && write_all(file.fd, chunk.subspan(at, end - at), i * kRamChunk + at) != 0) error = errno;
      any |= end > at;
      at = end > at ? end : at + kPage;
    }
    if (any) hashes[i] = std::max<u64>(hash64(chunk), 1);
  });
  errno = error;
  return error != 0 ? Status(failed("write", path)) : success();
}

Status check_ram_file(const mem::RamBlock& ram, const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || ::access(path.c_str(), R_OK) != 0) return failed("read the memory in", path);
  if (static_cast<u64>(facts.st_size) != ram.size)
    return Error{"the memory in '" + path + "' has " + std::to_string(facts.st_size) + " bytes, the machine " +
                     std::to_string(ram.size),
                 "the file was cut, or the state is another machine's"};
  return success();
}

Status map_ram_file(mem::RamBlock& ram, const std::string& path) {
  if (Status s = check_ram_file(ram, path); !s) return s;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return failed("read the memory in", path);
  if (ram.backing == mem::RamBlock::Backing::File) {
    for (u64 done = 0; done < ram.size;) {
      const ssize_t n = ::pread(file.fd, ram.host + done, ram.size - done, static_cast<off_t>(done));
      if (n <= 0) return failed("read the memory in", path);
      done += static_cast<u64>(n);
    }
    return success();
  }
  if (!os::map_over(ram.host, ram.size, file.fd)) return failed("map the memory in", path);
  ram.backing = mem::RamBlock::Backing::State;
  return success();
}

Result<bool> verify_ram_file(const std::string& path, std::span<const u64> hashes) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat facts {};
  if (file.fd < 0 || ::fstat(file.fd, &facts) != 0) return failed("read the memory in", path);
  const u64 size = static_cast<u64>(facts.st_size);
  if (chunks_in(size) != hashes.size()) return false;
  std::atomic<bool> good{true};
  in_parallel(hashes.size(), [&](size_t i) {
    if (!good) return;
    PageVector chunk(std::min(kRamChunk, size - i * kRamChunk));
    size_t done = 0;
    while (done < chunk.size()) {
      const ssize_t n = ::pread(file.fd, &chunk[done], chunk.size() - done, static_cast<off_t>(i * kRamChunk + done));
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    const bool empty = is_zero(chunk.data(), chunk.size());
    if (done < chunk.size() || (empty ? hashes[i] != 0 : hashes[i] != std::max<u64>(hash64(chunk), 1))) good = false;
  });
  return good.load();
}

}  // namespace doppel::migration

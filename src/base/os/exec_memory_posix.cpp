#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/os/exec_memory.h"

namespace doppel::os {

bool ExecMemory::allocate(size_t size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return false;
  data_ = static_cast<uint8_t*>(p);
  size_ = size;
  return true;
}

ExecMemory::~ExecMemory() {
  if (data_) munmap(data_, size_);
}

uint8_t* reserve_memory(size_t size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  madvise(p, size, MADV_HUGEPAGE);
  return static_cast<uint8_t*>(p);
}

uint8_t* map_memory_file(const char* path, size_t size, bool shared) {
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return nullptr;
  struct stat facts {};
  void* p = MAP_FAILED;
  const bool long_enough = fstat(fd, &facts) == 0 &&
                           (static_cast<size_t>(facts.st_size) >= size || ftruncate(fd, static_cast<off_t>(size)) == 0);
  if (long_enough) p = mmap(nullptr, size, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
  const int saved = errno;
  close(fd);
  errno = saved;
  return p == MAP_FAILED ? nullptr : static_cast<uint8_t*>(p);
}

void release_memory(uint8_t* memory, size_t size) { munmap(memory, size); }

void discard_memory(uint8_t* memory, size_t size) { madvise(memory, size, MADV_DONTNEED); }

bool clear_memory(uint8_t* memory, size_t size) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(memory, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return false;
  madvise(memory, size, MADV_HUGEPAGE);
  return true;
}

bool map_over(uint8_t* memory, size_t size, int fd) {
  return mmap(memory, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) != MAP_FAILED;
}

}  // namespace doppel::os

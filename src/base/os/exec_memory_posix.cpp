#include <sys/mman.h>

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

void release_memory(uint8_t* memory, size_t size) { munmap(memory, size); }

void discard_memory(uint8_t* memory, size_t size) { madvise(memory, size, MADV_DONTNEED); }

}  // namespace doppel::os

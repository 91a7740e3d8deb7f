// Executable memory for generated code: one readable, writable, executable range within 2 GiB of nothing in particular.
#pragma once
#include <cstddef>
#include <cstdint>

namespace doppel::os {

class ExecMemory {
 public:
  ExecMemory() = default;
  ~ExecMemory();
  ExecMemory(const ExecMemory&) = delete;
  ExecMemory& operator=(const ExecMemory&) = delete;
  bool allocate(size_t size);  // false: the host refused
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Zero-filled host memory that is committed on first touch; null if the host can't give it.
uint8_t* reserve_memory(size_t size);
// A file as memory: made and made longer as needed. `shared`: what is written there is in the file. Null: errno says
// why.
uint8_t* map_memory_file(const char* path, size_t size, bool shared);
void release_memory(uint8_t* memory, size_t size);
// Gives back the pages of [memory, memory+size); they read as zero afterwards.
void discard_memory(uint8_t* memory, size_t size);
// Pages of reserve_memory's, map_over's included, are new: all zero. False: the host refused.
bool clear_memory(uint8_t* memory, size_t size);
// Puts the start of a file where memory of reserve_memory is: what is written there stays in this process. False:
// errno.
bool map_over(uint8_t* memory, size_t size, int fd);

}  // namespace doppel::os

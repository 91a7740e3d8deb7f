// Arena: memory handed out in order and given back all at once. Objects in it are not destroyed: trivial ones only, or
// ones whose owner destroys them. One thread.
#pragma once
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "base/bits.h"

namespace doppel {

class Arena {
 public:
  explicit Arena(size_t chunk_bytes = size_t{256} << 10) : chunk_bytes_(chunk_bytes) {}

  void* allocate(size_t bytes, size_t align) {
    size_t at = (used_ + align - 1) & ~(align - 1);
    if (chunk_ == chunks_.size() || at + bytes > chunks_[chunk_].size) {
      next_chunk(bytes + align);
      at = 0;
    }
    used_ = at + bytes;
    return chunks_[chunk_].data.get() + at;
  }
  template <typename T>
  T* create() {
    return new (allocate(sizeof(T), alignof(T))) T();
  }
  template <typename T>
  std::span<T> copy(std::span<const T> from) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (from.empty()) return {};
    T* to = static_cast<T*>(allocate(from.size_bytes(), alignof(T)));
    std::memcpy(static_cast<void*>(to), from.data(), from.size_bytes());
    return {to, from.size()};
  }
  // Everything is free again; the chunks are kept.
  void reset() { chunk_ = used_ = 0; }
  struct Mark {
    size_t chunk = 0, used = 0;
  };
  Mark mark() const { return {chunk_, used_}; }
  void rewind(Mark to) { chunk_ = to.chunk, used_ = to.used; }  // what came after it is free again

 private:
  struct Chunk {
    std::unique_ptr<u8[]> data;  // aligned as operator new does
    size_t size;
  };
  void next_chunk(size_t least) {
    if (chunk_ < chunks_.size()) chunk_++;
    while (chunk_ < chunks_.size() && chunks_[chunk_].size < least) chunk_++;
    if (chunk_ == chunks_.size()) {
      const size_t size = least > chunk_bytes_ ? least : chunk_bytes_;
      chunks_.push_back({std::unique_ptr<u8[]>(new u8[size]), size});
    }
  }
  const size_t chunk_bytes_;
  std::vector<Chunk> chunks_;
  size_t chunk_ = 0, used_ = 0;
};

}  // namespace doppel

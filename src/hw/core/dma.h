// DmaPort: how a bus master reaches guest memory. Writes to pages that hold translated code invalidate it.
#pragma once
#include "base/bits.h"

namespace doppel::hw {

class DmaPort {
 public:
  virtual ~DmaPort() = default;
  virtual bool read(u64 pa, void* out, u64 size) = 0;  // false: not memory (out is all ones there)
  virtual bool write(u64 pa, const void* data, u64 size) = 0;
  virtual u8* map(u64 pa, u64 size, bool write) {
    (void)pa;
    (void)size;
    (void)write;
    return nullptr;
  }  // plain RAM only; null: use read/write
  template <typename T>
  T load(u64 pa) {
    T v{};
    read(pa, &v, sizeof v);
    return v;
  }
  template <typename T>
  void store(u64 pa, T v) {
    write(pa, &v, sizeof v);
  }
};

}  // namespace doppel::hw

// DmaPort: how a bus master reaches guest memory. Writes to pages that hold translated code invalidate it.
#pragma once
#include "base/bits.h"

namespace doppel::hw {

// A part of a bus master's buffer in guest memory.
struct DmaSegment {
  u64 address = 0, length = 0;
};

class DmaPort {
 public:
  virtual ~DmaPort() = default;
  virtual bool read(u64 pa, void* out, u64 size) = 0;  // false: not memory (out is all ones there)
  virtual bool write(u64 pa, const void* data, u64 size) = 0;
  // Host memory of plain RAM, which stays where it is as long as the machine lives, so that a disk may read into it
  // without the device lock. What was written there is told by wrote(), device lock held. Null: use read/write.
  virtual u8* map(u64 pa, u64 size, bool write) {
    (void)pa;
    (void)size;
    (void)write;
    return nullptr;
  }
  virtual void wrote(const u8* host, u64 pa, u64 size) { (void)host, (void)pa, (void)size; }
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

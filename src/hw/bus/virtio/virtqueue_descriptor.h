// Descriptors of both kinds of rings, for virtqueue*.cpp.
#pragma once
#include "hw/bus/virtio/virtqueue.h"

namespace doppel::hw {

struct Virtqueue::Descriptor {
  u64 address = 0;
  u32 length = 0;
  // The last two numbers: flags and the next one's number (split), the buffer's number and flags (packed).
  u16 flags = 0, last = 0;
};

namespace virtqueue {
enum DescriptorFlags : u16 { kNext = 1, kWrite = 2, kIndirect = 4 };
constexpr u64 kDescriptorSize = 16;

// True if `event` lies in (before, after], modulo 2^16 (2.7.7.2).
inline bool passed(u16 event, u16 after, u16 before) {
  return static_cast<u16>(after - event - 1) < static_cast<u16>(after - before);
}
}  // namespace virtqueue

}  // namespace doppel::hw

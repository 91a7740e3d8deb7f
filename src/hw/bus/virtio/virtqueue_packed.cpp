// The packed ring (virtio 1.2, 2.8): one table that driver and device write by turns. An entry is available when its
// AVAIL bit is the wrap counter and its USED bit is not; a chain's entries follow each other, and its number stands in
// the last. What is given back overwrites the entries, a chain's first one only; the first entry of a batch is shown
// last, so that the driver never sees a part.
#include <atomic>

#include "hw/bus/virtio/virtqueue_descriptor.h"

namespace doppel::hw {

using namespace virtqueue;

namespace {
constexpr u16 kAvailable = 1 << 7, kUsed = 1 << 15;
enum EventFlags : u16 { kEventsOn = 0, kEventsOff = 1, kEventAt = 2 };  // of the event suppression structures
constexpr u64 kFlagsAt = 14;
}  // namespace

void Virtqueue::advance(Place& place, u16 by) const {
  const u32 to = u32{place.index} + by;
  if (to >= setup_.size) place.wrap = !place.wrap;
  place.index = static_cast<u16>(to >= setup_.size ? to - setup_.size : to);
}

void Virtqueue::go_back(Place& place, u16 by) const {
  if (by > place.index) place.wrap = !place.wrap;
  place.index = static_cast<u16>(by > place.index ? place.index + setup_.size - by : place.index - by);
}

bool Virtqueue::packed_is_free(u16 flags, bool wrap) const {
  return ((flags & kAvailable) != 0) == wrap && ((flags & kUsed) != 0) != wrap;
}

// As for the split ring: with nothing there, the driver is told where to ring, and it is looked again.
bool Virtqueue::packed_available() {
  const u64 flags_at = setup_.descriptors + kDescriptorSize * next_.index + kFlagsAt;
  u16 flags = 0;
  if (!load16(flags_at, flags)) return false;
  if (packed_is_free(flags, next_.wrap)) return true;
  if (!kind_.event_idx) return false;
  store16(setup_.device, next_.word());
  store16(setup_.device + 2, kEventAt);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return load16(flags_at, flags) && packed_is_free(flags, next_.wrap);
}

bool Virtqueue::packed_pop(VirtqChain& chain) {
  std::atomic_thread_fence(std::memory_order_acquire);  // the flags were read before
  Place at = next_;
  chain.slots_ = 0;
  for (;;) {
    if (chain.slots_ == setup_.size) return fail("a chain of descriptors is longer than its ring");
    Descriptor d;
    if (!load_descriptor(setup_.descriptors + kDescriptorSize * at.index, d)) return false;
    const u16 flags = d.last;
    chain.head_ = d.flags;  // of the last entry it is the buffer's number
    chain.slots_++;
    advance(at, 1);
    d.flags = flags;
    if (flags & kIndirect) {
      if (!kind_.indirect || chain.slots_ != 1) return fail("an indirect descriptor where none may be");
      if (!packed_table(chain, d)) return false;
      break;
    }
    if (!add(chain, d)) return false;
    if ((flags & kNext) == 0) break;
  }
  if (chain.writable_ == 0) chain.writable_from_ = chain.segments_.size();
  next_ = at;
  taken_slots_[taken_] = chain.slots_;
  taken_ = static_cast<u16>((taken_ + 1) % setup_.size);
  return true;
}

// Its entries follow each other; of their flags only kWrite counts (2.8.7).
bool Virtqueue::packed_table(VirtqChain& chain, const Descriptor& table) {
  if ((table.last & kNext) || table.length == 0 || table.length % kDescriptorSize != 0 ||
      table.length / kDescriptorSize > kMaxSegments)
    return fail("an indirect table of a wrong size");
  for (u32 i = 0; i < table.length / kDescriptorSize; i++) {
    Descriptor d;
    if (!load_descriptor(table.address + kDescriptorSize * i, d)) return false;
    d.flags = d.last & kWrite;
    if (!add(chain, d)) return false;
  }
  return true;
}

void Virtqueue::packed_unpop(u16 n) {
  for (; n > 0; n--) {
    taken_ = static_cast<u16>((taken_ + setup_.size - 1) % setup_.size);
    go_back(next_, taken_slots_[taken_]);
  }
}

bool Virtqueue::packed_publish() {
  if (given_.empty()) return false;
  const Place before = give_;
  u16 count = 0;
  u64 first_flags_at = 0;
  u16 first_flags = 0;
  for (const Used& u : given_) {
    const u64 at = setup_.descriptors + kDescriptorSize * give_.index;
    u8 entry[kDescriptorSize - 8 - 2];
    store_le<u32>(entry, u.written);
    store_le<u16>(entry + 4, u.head);
    if (!dma_->write(at + 8, entry, sizeof entry)) return fail("a ring is not in memory");
    const u16 flags = static_cast<u16>((give_.wrap ? kAvailable | kUsed : 0) | (u.written != 0 ? kWrite : 0));
    if (count == 0)
      first_flags_at = at + kFlagsAt, first_flags = flags;
    else
      store16(at + kFlagsAt, flags);
    advance(give_, u.slots);
    count = static_cast<u16>(count + u.slots);
  }
  given_.clear();
  std::atomic_thread_fence(std::memory_order_release);
  store16(first_flags_at, first_flags);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return packed_wants_interrupt(before, count);
}

// 2.8.10: the driver's structure says at which entry it wants one.
bool Virtqueue::packed_wants_interrupt(Place before, u16 count) {
  u16 flags = 0, where = 0;
  if (!load16(setup_.driver + 2, flags)) return false;
  if (!kind_.event_idx || flags != kEventAt) return flags != kEventsOff;
  if (!load16(setup_.driver, where)) return false;
  Place event;
  event.set(where);
  // In steps from where this batch began.
  const int off = event.index - (event.wrap == before.wrap ? 0 : -int{setup_.size}) - before.index;
  return off >= 0 && off < count;
}

}  // namespace doppel::hw

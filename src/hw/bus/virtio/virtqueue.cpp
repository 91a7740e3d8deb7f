#include "hw/bus/virtio/virtqueue.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>

#include "hw/bus/virtio/virtqueue_descriptor.h"

namespace doppel::hw {
using namespace virtqueue;

namespace {
constexpr u16 kNoInterrupt = 1;  // available ring's flags
constexpr u64 kRingHeader = 4, kAvailEntry = 2, kUsedEntry = 8;

}  // namespace

template <typename Move>
size_t VirtqChain::walk(size_t first, size_t last, u64 offset, size_t size, Move move) const {
  size_t done = 0;
  for (size_t i = first; i < last && done < size; i++) {
    const Segment& s = segments_[i];
    if (offset >= s.length) {
      offset -= s.length;
      continue;
    }
    const size_t n = std::min<u64>(size - done, s.length - offset);
    if (!move(s.address + offset, done, n)) faulty_ = true;
    done += n;
    offset = 0;
  }
  return done;
}

size_t VirtqChain::read(u64 offset, std::span<u8> out) const {
  return walk(0, writable_from_, offset, out.size(),
              [&](u64 pa, size_t at, size_t n) { return dma_->read(pa, &out[at], n); });
}

size_t VirtqChain::write(u64 offset, std::span<const u8> data) const {
  return walk(writable_from_, segments_.size(), offset, data.size(),
              [&](u64 pa, size_t at, size_t n) { return dma_->write(pa, &data[at], n); });
}

std::vector<DmaSegment> VirtqChain::segments(size_t first, size_t last, u64 offset, u64 size) const {
  std::vector<DmaSegment> out;
  walk(first, last, offset, size, [&](u64 pa, size_t, size_t n) {
    out.push_back({pa, n});
    return true;
  });
  return out;
}

void Virtqueue::reset() {
  setup_ = {.size = max_size_};
  dma_ = nullptr;
  kind_ = {};
  error_ = nullptr;
  last_avail_ = seen_avail_ = used_ = published_ = 0;
  next_ = give_ = {};
  given_.clear();
}

void Virtqueue::start(DmaPort& dma, Kind kind) {
  dma_ = &dma;
  kind_ = kind;
  taken_slots_.assign(kind.packed ? setup_.size : 0, 0);
  taken_ = 0;
  // Whatever a saved state says: a place is inside of its ring.
  if (next_.index >= setup_.size || give_.index >= setup_.size) next_ = give_ = {};
  if (!kind.packed && !std::has_single_bit(setup_.size)) fail("a split ring whose size is no power of two");
}

bool Virtqueue::fail(const char* why) {
  if (error_ == nullptr) error_ = why;
  return false;
}

bool Virtqueue::load16(u64 address, u16& value) {
  u8 bytes[2];
  if (!dma_->read(address, bytes, sizeof bytes)) return fail("a ring is not in memory");
  value = load_le<u16>(bytes);
  return true;
}

void Virtqueue::store16(u64 address, u16 value) {
  u8 bytes[2];
  store_le<u16>(bytes, value);
  if (!dma_->write(address, bytes, sizeof bytes)) fail("a ring is not in memory");
}

// Looks for new chains. When there are none, says where the driver should tell of the next one, and looks again: it may
// have come in between.
bool Virtqueue::available() {
  if (!running()) return false;
  if (kind_.packed) return packed_available();
  for (const bool again : {false, true}) {
    if (seen_avail_ != last_avail_) return true;
    if (again && kind_.event_idx) {
      store16(setup_.device + kRingHeader + kUsedEntry * setup_.size, last_avail_);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    if (!load16(setup_.driver + 2, seen_avail_)) return false;
    if (static_cast<u16>(seen_avail_ - last_avail_) > setup_.size) return fail("the available index jumps");
    std::atomic_thread_fence(std::memory_order_acquire);
    if (!kind_.event_idx) break;
  }
  return seen_avail_ != last_avail_;
}

bool Virtqueue::empty() { return !available(); }

bool Virtqueue::pop(VirtqChain& chain) {
  if (!available()) return false;
  chain.dma_ = dma_;
  chain.segments_.clear();
  chain.writable_from_ = 0;
  chain.readable_ = chain.writable_ = 0;
  chain.faulty_ = false;
  if (kind_.packed) return packed_pop(chain);
  const u16 slot = static_cast<u16>(last_avail_ & (setup_.size - 1));
  if (!load16(setup_.driver + kRingHeader + kAvailEntry * slot, chain.head_)) return false;
  if (!walk(chain, setup_.descriptors, setup_.size, chain.head_, kind_.indirect)) return false;
  if (chain.writable_ == 0) chain.writable_from_ = chain.segments_.size();
  last_avail_++;
  return true;
}

bool Virtqueue::load_descriptor(u64 address, Descriptor& d) {
  u8 bytes[kDescriptorSize];
  if (!dma_->read(address, bytes, sizeof bytes)) return fail("a descriptor table is not in memory");
  d = {load_le<u64>(bytes), load_le<u32>(bytes + 8), load_le<u16>(bytes + 12), load_le<u16>(bytes + 14)};
  return true;
}

bool Virtqueue::walk(VirtqChain& chain, u64 table, u32 entries, u16 index, bool indirect_allowed) {
  for (u32 steps = 0;; steps++) {
    if (index >= entries) return fail("a descriptor's number is outside of its table");
    if (steps == entries) return fail("a chain of descriptors is a loop");
    Descriptor d;
    if (!load_descriptor(table + kDescriptorSize * index, d)) return false;
    if (d.flags & kIndirect) {
      if (!indirect_allowed) return fail("an indirect descriptor where none may be");
      if ((d.flags & kNext) || d.length == 0 || d.length % kDescriptorSize != 0 ||
          d.length / kDescriptorSize > kMaxSegments)
        return fail("an indirect table of a wrong size");
      return walk(chain, d.address, static_cast<u32>(d.length / kDescriptorSize), 0, false);
    }
    if (!add(chain, d)) return false;
    if ((d.flags & kNext) == 0) return true;
    index = d.last;
  }
}

bool Virtqueue::add(VirtqChain& chain, const Descriptor& d) {
  if (chain.segments_.size() == kMaxSegments) return fail("a chain of too many descriptors");
  if (d.flags & kWrite) {
    if (chain.writable_ == 0) chain.writable_from_ = chain.segments_.size();
    if (d.length == 0) return true;
    chain.writable_ += d.length;
  } else {
    if (chain.writable_ != 0) return fail("a readable buffer behind a writable one");
    chain.readable_ += d.length;
  }
  chain.segments_.push_back({d.address, d.length});
  return true;
}

void Virtqueue::unpop(u16 n) {
  if (kind_.packed) return packed_unpop(n);
  last_avail_ = static_cast<u16>(last_avail_ - n);
}

void Virtqueue::push(const VirtqChain& chain, u32 written) {
  if (!running()) return;
  if (chain.faulty_) {
    fail("a buffer is not in memory");
    return;
  }
  if (kind_.packed) {
    given_.push_back({chain.head_, chain.slots_, written});
    return;
  }
  u8 entry[kUsedEntry];
  store_le<u32>(entry, chain.head_);
  store_le<u32>(entry + 4, written);
  const u16 slot = static_cast<u16>(used_ & (setup_.size - 1));
  if (!dma_->write(setup_.device + kRingHeader + kUsedEntry * slot, entry, sizeof entry))
    fail("a ring is not in memory");
  used_++;
}

bool Virtqueue::publish() {
  if (running() && kind_.packed) return packed_publish();
  if (!running() || used_ == published_) return false;
  std::atomic_thread_fence(std::memory_order_release);
  store16(setup_.device + 2, used_);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const u16 before = published_;
  published_ = used_;
  u16 event = 0;
  if (kind_.event_idx) {
    if (!load16(setup_.driver + kRingHeader + kAvailEntry * setup_.size, event)) return false;
    return passed(event, used_, before);
  }
  return load16(setup_.driver, event) && (event & kNoInterrupt) == 0;
}

void Virtqueue::archive(StateArchive& ar) {
  ar.field("size", setup_.size);
  ar.field("vector", setup_.vector);
  ar.field("enabled", setup_.enabled);
  ar.field("descriptors", setup_.descriptors);
  ar.field("driver", setup_.driver);
  ar.field("device", setup_.device);
  ar.field("last_avail", last_avail_);
  ar.field("used", used_);
  ar.field("published", published_);
  u16 next = next_.word(), give = give_.word();
  ar.field("packed_next", next);
  ar.field("packed_give", give);
  next_.set(next), give_.set(give);
  bool broken = error_ != nullptr;
  ar.field("broken", broken);
  if (!ar.loading()) return;
  error_ = broken ? "it was broken when its state was saved" : nullptr;
  given_.clear();
  if (setup_.size == 0 || setup_.size > max_size_) setup_ = {.size = max_size_};
  seen_avail_ = last_avail_;
}

std::string Virtqueue::info() const {
  char text[200];
  std::snprintf(text, sizeof text, "%ssize %u, %s, vector %d, taken %u, given back %u%s%s\n",
                kind_.packed ? "packed, " : "", setup_.size, setup_.enabled ? "on" : "off",
                setup_.vector == 0xffff ? -1 : setup_.vector, kind_.packed ? next_.index : last_avail_,
                kind_.packed ? give_.index : published_, error_ ? ", broken: " : "", error_ ? error_ : "");
  return text;
}

}  // namespace doppel::hw

// Virtqueue: the device's side of a ring, split (virtio 1.2, 2.7) or packed (2.8; virtqueue_packed.cpp), whatever the
// transport. It takes chains of buffers that the driver made available, and gives them back as used.
//
// Nothing in a ring is believed. An index that runs away, a descriptor outside of its table, a loop, an indirect table
// inside another, memory that isn't there: the queue is broken from then on (`error()` says why), and its device asks
// the driver for a reset. A chain has at most kMaxSegments buffers; their lengths are what the driver says, so whoever
// copies them bounds the total.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "hw/core/dma.h"
#include "state/archive.h"

namespace doppel::hw {

// One request: buffers that the device reads, then buffers that it writes, each as one run of bytes.
class VirtqChain {
 public:
  u64 readable() const { return readable_; }  // bytes
  u64 writable() const { return writable_; }
  // Copies from the readable or to the writable bytes; returns how many there were. Memory that isn't there: the chain
  // is faulty, and giving it back breaks the queue.
  size_t read(u64 offset, std::span<u8> out) const;
  size_t write(u64 offset, std::span<const u8> data) const;
  bool faulty() const { return faulty_; }
  void set_faulty() const { faulty_ = true; }
  // Where the bytes lie in guest memory, unchecked, and the way there.
  std::vector<DmaSegment> readable_at(u64 offset, u64 size) const { return segments(0, writable_from_, offset, size); }
  std::vector<DmaSegment> writable_at(u64 offset, u64 size) const {
    return segments(writable_from_, segments_.size(), offset, size);
  }
  DmaPort& dma() const { return *dma_; }
  // The writable buffers as the driver gave them: guest addresses and sizes, unchecked.
  template <typename Body>
  void each_writable(Body body) const {
    for (size_t i = writable_from_; i < segments_.size(); i++) body(segments_[i].address, u64{segments_[i].length});
  }

 private:
  friend class Virtqueue;
  struct Segment {
    u64 address = 0;
    u32 length = 0;
  };
  std::vector<DmaSegment> segments(size_t first, size_t last, u64 offset, u64 size) const;
  template <typename Move>
  size_t walk(size_t first, size_t last, u64 offset, size_t size, Move move) const;
  DmaPort* dma_ = nullptr;
  std::vector<Segment> segments_;
  size_t writable_from_ = 0;  // index of the first writable segment
  u16 slots_ = 1;             // entries of a packed ring
  u64 readable_ = 0, writable_ = 0;
  u16 head_ = 0;
  mutable bool faulty_ = false;
};

class Virtqueue {
 public:
  static constexpr size_t kMaxSegments = 1024;
  // What the driver sets through the transport, before the queue is enabled.
  struct Setup {
    u16 size = 0;
    u16 vector = 0xffff;
    bool enabled = false;
    // Descriptor table, available ring, used ring; packed: the ring, the driver's and the device's event suppression.
    u64 descriptors = 0, driver = 0, device = 0;
  };
  explicit Virtqueue(u16 max_size) : max_size_(max_size) { reset(); }
  u16 max_size() const { return max_size_; }
  Setup& setup() { return setup_; }
  const Setup& setup() const { return setup_; }

  // The device runs: from now on the ring may be used.
  struct Kind {
    bool event_idx = false, indirect = false, packed = false;
  };
  void start(DmaPort& dma, Kind kind);
  void reset();
  bool running() const { return dma_ != nullptr && setup_.enabled && error_ == nullptr; }
  const char* error() const { return error_; }  // null: none

  // The next chain that the driver made available; false: none now (the driver tells when there is), or broken.
  bool pop(VirtqChain& chain);
  // Puts the last `n` popped chains back, as if they had not been looked at.
  void unpop(u16 n);
  bool empty();
  // Gives a chain back; the driver sees it at publish().
  void push(const VirtqChain& chain, u32 written);
  // Shows the driver what was pushed; true: it wants an interrupt.
  bool publish();

  void archive(StateArchive& ar);
  std::string info() const;

 private:
  struct Descriptor;
  // A place in a packed ring; the wrap counter changes at its end.
  struct Place {
    u16 index = 0;
    bool wrap = true;
    u16 word() const { return static_cast<u16>(index | (wrap ? 0x8000 : 0)); }
    void set(u16 word) { index = word & 0x7fff, wrap = (word & 0x8000) != 0; }
  };
  struct Used {
    u16 head, slots;
    u32 written;
  };
  bool fail(const char* why);
  bool available();
  bool walk(VirtqChain& chain, u64 table, u32 entries, u16 index, bool indirect_allowed);
  bool add(VirtqChain& chain, const Descriptor& d);
  bool load_descriptor(u64 address, Descriptor& d);
  bool load16(u64 address, u16& value);
  void store16(u64 address, u16 value);

  // virtqueue_packed.cpp
  bool packed_is_free(u16 flags, bool wrap) const;
  bool packed_available();
  bool packed_pop(VirtqChain& chain);
  bool packed_table(VirtqChain& chain, const Descriptor& d);
  void packed_unpop(u16 n);
  bool packed_publish();
  bool packed_wants_interrupt(Place before, u16 count);
  void advance(Place& place, u16 by) const;
  void go_back(Place& place, u16 by) const;

  u16 max_size_;
  Setup setup_;
  DmaPort* dma_ = nullptr;
  Kind kind_;
  const char* error_ = nullptr;
  u16 last_avail_ = 0;  // next to take
  u16 seen_avail_ = 0;  // the driver's index as of the last look
  u16 used_ = 0;        // next to give back
  u16 published_ = 0;   // what the driver can see
  // Packed: instead of the four above.
  Place next_, give_;             // to take, to give back
  std::vector<u16> taken_slots_;  // of the chains taken last, for unpop()
  u16 taken_ = 0;                 // where the next one's goes
  std::vector<Used> given_;       // not published yet
};

}  // namespace doppel::hw

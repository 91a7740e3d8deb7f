// DiskMemory: the memory of one transfer between a guest and a disk. Where the guest's buffers are plain RAM the disk
// reads into them and writes from them itself; else a buffer stands between. Made, delivered and destroyed with the
// device lock held; pieces() are for the disk's thread.
//
// What the disk has put into RAM is told to the translator and the dirty logs when it is delivered, or, of a request
// that nobody waits for any more, when this goes away.
#pragma once
#include <memory>
#include <vector>

#include "block/pieces.h"
#include "hw/core/dma.h"

namespace doppel::hw {

class DiskMemory final {
 public:
  enum class Direction { ToGuest, FromGuest };
  DiskMemory(DmaPort& dma, std::vector<DmaSegment> segments, Direction direction);
  ~DiskMemory() { tell(); }
  DiskMemory(const DiskMemory&) = delete;
  DiskMemory& operator=(const DiskMemory&) = delete;

  bool good() const { return good_; }  // false: part of it is not memory, and reads as ones
  block::Pieces pieces() const { return pieces_; }
  u64 size() const { return size_; }
  void clear() { block::clear(pieces_); }
  bool deliver();  // to the guest; false: part of it is not memory

 private:
  bool map();
  void tell();
  DmaPort& dma_;
  std::vector<DmaSegment> segments_;
  Direction direction_;
  u64 size_ = 0;
  bool good_ = true, mapped_ = false;
  std::vector<u8*> places_;  // of the segments, when mapped
  std::unique_ptr<u8[]> buffer_;
  std::vector<std::span<u8>> pieces_;
};

}  // namespace doppel::hw

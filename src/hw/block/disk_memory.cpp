#include "hw/block/disk_memory.h"

namespace doppel::hw {

DiskMemory::DiskMemory(DmaPort& dma, std::vector<DmaSegment> segments, Direction direction)
    : dma_(dma), segments_(std::move(segments)), direction_(direction) {
  for (const DmaSegment& s : segments_) size_ += s.length;
  mapped_ = map();
  if (mapped_) return;
  buffer_.reset(new u8[size_]);
  pieces_.assign(1, {buffer_.get(), size_});
  if (direction_ == Direction::ToGuest) return;
  u8* to = buffer_.get();
  for (const DmaSegment& s : segments_) {
    good_ &= dma_.read(s.address, to, s.length);
    to += s.length;
  }
}

// Neighbours in the host's memory become one piece.
bool DiskMemory::map() {
  for (const DmaSegment& s : segments_) {
    u8* place = dma_.map(s.address, s.length, direction_ == Direction::ToGuest);
    if (place == nullptr) {
      pieces_.clear();
      places_.clear();
      return false;
    }
    places_.push_back(place);
    if (!pieces_.empty() && pieces_.back().data() + pieces_.back().size() == place) {
      pieces_.back() = {pieces_.back().data(), pieces_.back().size() + s.length};
    } else {
      pieces_.emplace_back(place, s.length);
    }
  }
  return true;
}

bool DiskMemory::deliver() {
  if (direction_ == Direction::FromGuest) return true;
  if (mapped_) {
    tell();
    return true;
  }
  const u8* from = buffer_.get();
  for (const DmaSegment& s : segments_) {
    good_ &= dma_.write(s.address, from, s.length);
    from += s.length;
  }
  return good_;
}

void DiskMemory::tell() {
  if (direction_ == Direction::FromGuest) return;
  for (size_t i = 0; i < places_.size(); i++) dma_.wrote(places_[i], segments_[i].address, segments_[i].length);
  places_.clear();
}

}  // namespace doppel::hw

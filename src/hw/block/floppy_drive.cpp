#include "hw/block/floppy_drive.h"

#include <algorithm>

namespace doppel::hw {
namespace {

// Exact sizes of formatted disks: tracks, heads, sectors, data rate.
constexpr FloppyFormat kFormats[] = {
    {2949120, 80, 2, 36, 3, FloppyType::D2880}, {1474560, 80, 2, 18, 0, FloppyType::D1440},
    {1228800, 80, 2, 15, 0, FloppyType::D1200}, {737280, 80, 2, 9, 2, FloppyType::D1440},
    {368640, 40, 2, 9, 2, FloppyType::D1200},   {327680, 40, 2, 8, 2, FloppyType::D1200},
    {184320, 40, 1, 9, 2, FloppyType::D1200},   {163840, 40, 1, 8, 2, FloppyType::D1200},
    {1638400, 80, 2, 20, 0, FloppyType::D1440}, {1720320, 80, 2, 21, 0, FloppyType::D1440},
    {1763328, 82, 2, 21, 0, FloppyType::D1440}, {1802240, 80, 2, 22, 0, FloppyType::D1440},
    {819200, 80, 2, 10, 2, FloppyType::D1440},
};

}  // namespace

const FloppyFormat* floppy_format_for(u64 bytes) {
  for (const FloppyFormat& f : kFormats) {
    if (f.bytes == bytes) return &f;
  }
  // An image cut short: a 1.44 MB disk (else 2.88 MB) whose rest reads as zeroes.
  if (bytes <= kFormats[1].bytes) return &kFormats[1];
  return bytes <= kFormats[0].bytes ? &kFormats[0] : nullptr;
}

FloppyDrive::FloppyDrive(FloppyType type, std::shared_ptr<block::Node> medium) : type_(type) {
  insert(std::move(medium));
}

void FloppyDrive::insert(std::shared_ptr<block::Node> medium) {
  medium_ = std::move(medium);
  changed_ = true;
  if (medium_ == nullptr) return;
  const FloppyFormat* f = floppy_format_for(medium_->size());
  format_ = f != nullptr ? *f : kFormats[0];
}

void FloppyDrive::step_to(unsigned track) {
  const u8 wanted = static_cast<u8>(std::min(track, 84u));
  if (wanted != track_ && medium_ != nullptr) changed_ = false;
  track_ = wanted;
}

bool FloppyDrive::locate(unsigned cylinder, unsigned head, unsigned sector, u64& offset) const {
  if (medium_ == nullptr || cylinder >= format_.tracks || head >= format_.heads || sector == 0 ||
      sector > format_.sectors)
    return false;
  offset = ((u64{cylinder} * format_.heads + head) * format_.sectors + sector - 1) * 512;
  return true;
}

void FloppyDrive::archive(StateArchive& ar, const std::string& name) {
  ar.section(name, [&] {
    ar.field("changed", changed_);
    ar.field("track", track_);
  });
}

}  // namespace doppel::hw

// Fdc: the execution phase. Data moves a sector at a time through sector_; a FORMAT moves four id bytes a sector. A
// disk that is not there, has another data rate or no such side gives "missing address mark", as two index pulses
// without an id would.
#include <algorithm>

#include "block/sync.h"
#include "hw/block/fdc.h"
#include "hw/block/fdc_defs.h"

namespace doppel::hw {

using namespace fdc;

bool Fdc::ready_to_transfer() {
  const bool usable = unit_ < 2 && drives_[unit_].present() && drives_[unit_].medium() != nullptr;
  const u8 rate = dsr_ & kDsrRate;
  bool found =
      usable && side_ < drives_[unit_].format().heads && drives_[unit_].track() < drives_[unit_].format().tracks;
  if (found) {
    const u8 wanted = drives_[unit_].format().rate;  // double density: 250 kbit/s, 300 in a 1.2M drive
    found = wanted == rate || (wanted == 2 && rate == 1);
  }
  if (!found) finish(kAbnormal, kMissingAddressMark, 0);
  return found;
}

void Fdc::begin() {
  // Implied seek comes before the search for an id.
  if ((config_ & kImpliedSeek) != 0 && transfer_ != Transfer::None && transfer_ != Transfer::Format && unit_ < 2 &&
      drives_[unit_].present()) {
    implied_seek_done_ = drives_[unit_].track() != cylinder_;
    drives_[unit_].step_to(cylinder_);
  }
  if (!ready_to_transfer()) return;
  if (transfer_ == Transfer::None) {  // READ ID: whichever sector comes by
    const u32 per_turn = drives_[unit_].format().sectors;
    sector_id_ = static_cast<u8>(p_.clock.now() / (200'000'000 / per_turn) % per_turn + 1);
    return finish(0, 0, 0);
  }
  if ((transfer_ == Transfer::Write || transfer_ == Transfer::Format) && drives_[unit_].write_protected()) {
    return finish(kAbnormal, kNotWritable, 0);
  }
  if (transfer_ == Transfer::Verify) return verify();
  if (!prepare()) return;
  if (non_dma()) return set_irq(true);
  p_.dma->set_request(true);
  run_dma();
}

bool Fdc::find_sector(u64& offset) {
  const FloppyDrive& drive = drives_[unit_ & 1];
  if (cylinder_ != drive.track()) {
    finish(kAbnormal, kNoData, kWrongCylinder);
    return false;
  }
  if (size_code_ != 2 || head_ != side_ || !drive.locate(cylinder_, side_, sector_id_, offset)) {
    finish(kAbnormal, kNoData, 0);
    return false;
  }
  return true;
}

bool Fdc::prepare() {
  sector_at_ = 0;
  sector_end_ = 512;
  if (transfer_ == Transfer::Format) {
    sector_end_ = 4;
    if (format_left_ != 0) return true;
    finish(0, 0, 0);
    return false;
  }
  if (!find_sector(sector_offset_)) return false;
  if (!to_host()) return true;
  if (block::read_sync(*drives_[unit_].medium(), sector_offset_, sector_) == 0) return true;
  finish(kAbnormal, kDataError, kDataErrorInField);
  return false;
}

void Fdc::dma_ready() {
  if (phase_ == Phase::Execution && transfer_ != Transfer::None && !non_dma() && !start_timer_.armed()) run_dma();
}

void Fdc::run_dma() {
  while (phase_ == Phase::Execution && p_.dma->ready()) {
    const IsaDmaResult r = p_.dma->transfer(&sector_[sector_at_], sector_end_ - sector_at_, to_host());
    const u32 n = std::min(r.bytes, sector_end_ - sector_at_);
    if (n == 0) return;  // programmed for the other direction: nothing moves until it is not
    sector_at_ += n;
    terminal_count_ |= r.terminal_count;
    if (terminal_count_ && sector_at_ < sector_end_) {
      std::fill(sector_.begin() + sector_at_, sector_.begin() + sector_end_,
                u8{0});  // the rest of a cut sector is written as zeroes
    }
    if ((terminal_count_ || sector_at_ == sector_end_) && !unit_done()) return;
  }
}

// Four id bytes or a sector have moved.
bool Fdc::unit_done() {
  u64 offset = 0;
  if (transfer_ == Transfer::Format) {
    cylinder_ = sector_[0];
    head_ = sector_[1];
    sector_id_ = sector_[2];
    const u8 size = sector_[3];
    if (size != 2 || !drives_[unit_].locate(drives_[unit_].track(), side_, sector_id_, offset)) {
      finish(kAbnormal, kNoData, 0);
      return false;
    }
    std::fill(sector_.begin(), sector_.end(), format_fill_);
    if (block::write_sync(*drives_[unit_].medium(), offset, sector_) != 0) {
      finish(kAbnormal, kNotWritable, 0);
      return false;
    }
    format_left_--;
    if (terminal_count_ || format_left_ == 0) {
      finish(0, 0, 0);
      return false;
    }
    return prepare();
  }
  if (drives_[unit_ & 1].medium() == nullptr) {  // ejected in the middle
    finish(kAbnormal, kMissingAddressMark, 0);
    return false;
  }
  if (transfer_ == Transfer::Write && block::write_sync(*drives_[unit_].medium(), sector_offset_, sector_) != 0) {
    finish(kAbnormal, drives_[unit_].write_protected() ? kNotWritable : kDataError, 0);
    return false;
  }
  if (transfer_ == Transfer::Scan && scan_sector()) return false;
  const bool more = next_sector();
  if (terminal_count_) {
    finish(0, 0, transfer_ == Transfer::Scan ? kScanNotSatisfied : deleted_ ? kControlMark : 0);
    return false;
  }
  if (deleted_) {  // ordinary data where deleted data was asked for: stops after it
    finish(0, 0, kControlMark);
    return false;
  }
  if (!more) {
    finish(kAbnormal, kEndOfCylinder, transfer_ == Transfer::Scan ? kScanNotSatisfied : 0);
    return false;
  }
  return prepare();
}

// Compares sector_ (from the host; 0xff matches anything) with the medium. True: satisfied, ended.
bool Fdc::scan_sector() {
  std::array<u8, 512> disk;
  if (block::read_sync(*drives_[unit_].medium(), sector_offset_, disk) != 0) {
    finish(kAbnormal, kDataError, kDataErrorInField);
    return true;
  }
  int order = 0;  // disk against host
  for (u32 i = 0; i < 512 && order == 0; i++) {
    if (sector_[i] != 0xff && disk[i] != 0xff && disk[i] != sector_[i]) order = disk[i] < sector_[i] ? -1 : 1;
  }
  const bool hit = order == 0 || (scan_kind_ == kScanLow && order < 0) || (scan_kind_ == kScanHigh && order > 0);
  if (hit) finish(0, 0, order == 0 ? kScanEqual : 0);
  return hit;
}

// The id after this one (table of result phase values, section 5.1.2). False: that was the last on the cylinder.
bool Fdc::next_sector() {
  if (sector_id_ != end_of_track_) {
    sector_id_++;
    return true;
  }
  sector_id_ = 1;
  if (multi_track_ && side_ == 0 && drives_[unit_ & 1].format().heads > 1) {
    side_ = 1;
    head_ ^= 1;
    return true;
  }
  if (multi_track_) head_ ^= 1;  // the id only: the head that was used stays selected in ST0
  cylinder_++;
  return false;
}

void Fdc::verify() {
  u32 left = format_left_ != 0 ? format_left_ : 256u;
  u64 offset = 0;
  while (left-- != 0) {
    if (!find_sector(offset)) return;
    if (block::read_sync(*drives_[unit_].medium(), offset, sector_) != 0)
      return finish(kAbnormal, kDataError, kDataErrorInField);
    if (!next_sector()) break;
  }
  finish(0, 0, 0);
}

void Fdc::finish(u8 st0, u8 st1, u8 st2) {
  if (p_.dma != nullptr) p_.dma->set_request(false);
  start_timer_.disarm();
  transfer_ = Transfer::None;
  sector_at_ = sector_end_ = 0;
  const u8 seek = implied_seek_done_ ? u8{kSeekEnd} : u8{0};
  result({static_cast<u8>(st0 | seek | side_ << 2 | unit_), st1, st2, cylinder_, head_, sector_id_, size_code_});
  set_irq(true);
}

}  // namespace doppel::hw

// Fdc: the command and result phases (82078 data sheet, section 5).
#include <algorithm>

#include "base/log.h"
#include "hw/block/fdc.h"
#include "hw/block/fdc_defs.h"

namespace doppel::hw {

using namespace fdc;

unsigned Fdc::command_length(u8 command) {
  if ((command & 0xbf) == 0x8f) return 3;  // RELATIVE SEEK
  if ((command & 0x7f) == kLock) return 1;
  switch (command & 0x1f) {
    case kReadTrack:
    case kWriteData:
    case kReadData:
    case kWriteDeletedData:
    case kReadDeletedData:
    case kVerify:
    case kScanEqualCommand:
    case kScanLow:
    case kScanHigh: return 9;
    case kFormatTrack: return 6;
    case kConfigure: return 4;
    case kSpecify:
    case kSeek: return 3;
    case kSenseDriveStatus:
    case kRecalibrate:
    case kReadId:
    case kPerpendicularMode: return 2;
    default: return 1;
  }
}

void Fdc::run_command() {
  const u8 command = fifo_[0];
  const u8 code = command & 0x1f;
  fifo_at_ = fifo_end_ = 0;
  if ((command & 0xbf) == 0x8f) return relative_seek();
  if ((command & 0x7f) == kLock) return lock();
  multi_track_ = (command & 0x80) != 0;
  deleted_ = false;
  switch (code) {
    case kSpecify: return specify();
    case kSenseDriveStatus: return sense_drive();
    case kSenseInterruptStatus: return sense_interrupt();
    case kRecalibrate: return recalibrate();
    case kSeek:
      unit_ = fifo_[1] & 3;
      side_ = (fifo_[1] >> 2) & 1;
      return seek(fifo_[2]);
    case kConfigure: return configure();
    case kDumpReg: return dump_registers();
    case kPerpendicularMode: return perpendicular();
    case kVersion: return result({0x90});
    case kPartId: return result({0x41});
    case kReadId: return read_id();
    case kFormatTrack: return format_track();
    case kReadTrack:
      fifo_[4] = 1;  // from the first sector, whatever its id says
      multi_track_ = false;
      return start_transfer(Transfer::Read);
    case kReadDeletedData: deleted_ = true; [[fallthrough]];
    case kReadData: return start_transfer(Transfer::Read);
    case kWriteDeletedData:
    case kWriteData: return start_transfer(Transfer::Write);
    case kVerify: return start_transfer(Transfer::Verify);
    case kScanEqualCommand:
    case kScanLow:
    case kScanHigh: scan_kind_ = code; return start_transfer(Transfer::Scan);
    default: DOPPEL_LOG(GuestErrors, "fdc: command 0x%02x is not supported\n", command); return invalid();
  }
}

void Fdc::result(std::initializer_list<u8> bytes) {
  std::copy(bytes.begin(), bytes.end(), fifo_.begin());
  fifo_at_ = 0;
  fifo_end_ = static_cast<u8>(bytes.size());
  phase_ = Phase::Result;
}

void Fdc::invalid() { result({kInvalid}); }

void Fdc::specify() {
  srt_hut_ = fifo_[1];
  hlt_nd_ = fifo_[2];
}

void Fdc::sense_drive() {
  unit_ = fifo_[1] & 3;
  side_ = (fifo_[1] >> 2) & 1;
  u8 st3 = static_cast<u8>(0x28 | side_ << 2 | unit_);
  if (unit_ < 2 && drives_[unit_].present()) {
    if (drives_[unit_].track() == 0) st3 |= 0x10;
    if (drives_[unit_].write_protected()) st3 |= 0x40;
  }
  result({st3});
}

void Fdc::sense_interrupt() {
  set_irq(false);
  if (sense_pending_ == 0) return invalid();
  const unsigned n = static_cast<unsigned>(std::countr_zero(sense_pending_));
  sense_pending_ = static_cast<u8>(sense_pending_ & ~(1u << n));
  result({sense_st0_[n], static_cast<u8>(n < 2 ? drives_[n].track() : 0)});
}

void Fdc::recalibrate() {
  unit_ = fifo_[1] & 3;
  side_ = 0;
  seek(0);
}

void Fdc::seek(unsigned cylinder) {
  seek_to_[unit_] = static_cast<u8>(cylinder);
  seeking_ = static_cast<u8>(seeking_ | 1u << unit_);
  seek_timer_.arm_in(kSeekTime);
}

void Fdc::relative_seek() {
  const bool inward = (fifo_[0] & 0x40) != 0;
  unit_ = fifo_[1] & 3;
  side_ = (fifo_[1] >> 2) & 1;
  const int from = unit_ < 2 ? static_cast<int>(drives_[unit_].track()) : 0, step = fifo_[2];
  seek(static_cast<unsigned>(std::clamp(inward ? from + step : from - step, 0, 84)));
}

void Fdc::seek_end() {
  for (u8 n = 0; n < 4; n++) {
    if ((seeking_ >> n & 1) == 0) continue;
    const bool present = n < 2 && drives_[n].present();
    if (present) drives_[n].step_to(seek_to_[n]);
    sense_st0_[n] =
        static_cast<u8>(kSeekEnd | n | (n == unit_ ? side_ << 2 : 0) | (present ? 0 : kAbnormal | kEquipmentCheck));
    sense_pending_ = static_cast<u8>(sense_pending_ | 1u << n);
  }
  seeking_ = 0;
  set_irq(true);
}

void Fdc::configure() {
  config_ = fifo_[2] & 0x7f;
  precompensation_ = fifo_[3];
}

void Fdc::dump_registers() {
  result({static_cast<u8>(drives_[0].track()), static_cast<u8>(drives_[1].track()), 0, 0, srt_hut_, hlt_nd_,
          end_of_track_, static_cast<u8>((locked_ ? 0x80 : 0) | (perpendicular_ & 0x7f)), config_, precompensation_});
}

void Fdc::perpendicular() {
  // With OW set the drive bits are written, else only GAP and WGATE.
  perpendicular_ = static_cast<u8>((fifo_[1] & 0x80) != 0 ? fifo_[1] & 0x3f : (perpendicular_ & 0x3c) | (fifo_[1] & 3));
}

void Fdc::lock() {
  locked_ = (fifo_[0] & 0x80) != 0;
  result({static_cast<u8>(locked_ ? 0x10 : 0)});
}

void Fdc::read_id() {
  unit_ = fifo_[1] & 3;
  side_ = head_ = (fifo_[1] >> 2) & 1;
  size_code_ = 2;
  sector_id_ = 1;
  cylinder_ = unit_ < 2 ? static_cast<u8>(drives_[unit_].track()) : 0;
  start_execution(Transfer::None);
}

void Fdc::format_track() {
  unit_ = fifo_[1] & 3;
  side_ = head_ = (fifo_[1] >> 2) & 1;
  size_code_ = fifo_[2];
  format_left_ = fifo_[3];
  format_fill_ = fifo_[5];
  cylinder_ = unit_ < 2 ? static_cast<u8>(drives_[unit_].track()) : 0;
  sector_id_ = 1;
  start_execution(Transfer::Format);
}

void Fdc::start_transfer(Transfer kind) {
  unit_ = fifo_[1] & 3;
  side_ = (fifo_[1] >> 2) & 1;
  cylinder_ = fifo_[2];
  head_ = fifo_[3];
  sector_id_ = fifo_[4];
  size_code_ = fifo_[5];
  end_of_track_ = fifo_[6];
  format_left_ = (fifo_[1] & 0x80) != 0 ? fifo_[8] : 0;  // VERIFY with EC: how many sectors
  scan_equal_ = true;
  start_execution(kind);
}

void Fdc::start_execution(Transfer kind) {
  phase_ = Phase::Execution;
  transfer_ = kind;
  terminal_count_ = false;
  implied_seek_done_ = false;
  sector_at_ = sector_end_ = 0;
  start_timer_.arm_in(kStartTime);
}

}  // namespace doppel::hw

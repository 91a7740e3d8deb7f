#include "hw/block/fdc.h"

#include "base/log.h"
#include "hw/block/fdc_defs.h"

namespace doppel::hw {

using namespace fdc;

namespace {
enum Port : u8 { kSra = 0, kSrb = 1, kDorPort = 2, kTdr = 3, kMsrDsr = 4, kFifo = 5 };
constexpr const char* kTypeName[] = {"none", "360K", "1.2M", "720K", "1.44M", "2.88M"};
}  // namespace

Fdc::Fdc(Params p)
    : p_(std::move(p)),
      drives_{FloppyDrive(p_.types[0], p_.media[0]), FloppyDrive(p_.types[1], p_.media[1])},
      reset_timer_(p_.clock, [this] { reset_done(); }),
      seek_timer_(p_.clock, [this] { seek_end(); }),
      start_timer_(p_.clock, [this] { begin(); }),
      sector_(512) {
  if (p_.dma != nullptr) p_.dma->set_listener(this);
  Fdc::reset();
}

void Fdc::change_medium(unsigned drive, std::shared_ptr<block::Node> medium) {
  drives_[drive & 1].insert(std::move(medium));
}

void Fdc::reset() {
  dor_ = 0;
  dsr_ = 2;
  ccr_ = tdr_ = 0;
  locked_ = false;
  srt_hut_ = hlt_nd_ = perpendicular_ = 0;
  controller_reset();
  reset_timer_.disarm();
}

// A reset by DOR, DSR or the pin. CONFIGURE's values survive when LOCKed.
void Fdc::controller_reset() {
  start_timer_.disarm();
  seek_timer_.disarm();
  phase_ = Phase::Command;
  transfer_ = Transfer::None;
  fifo_at_ = fifo_end_ = 0;
  sense_pending_ = seeking_ = 0;
  terminal_count_ = false;
  if (!locked_) {
    config_ = kFifoDisable;
    precompensation_ = 0;
  }
  perpendicular_ &= 0x3c;
  if (p_.dma != nullptr) p_.dma->set_request(false);
  set_irq(false);
}

void Fdc::reset_done() {
  sense_pending_ = 0x0f;  // the four drives are polled
  for (u8 i = 0; i < 4; i++) sense_st0_[i] = static_cast<u8>(kPolled | i);
  set_irq(true);
}

void Fdc::set_irq(bool level) {
  irq_ = level;
  p_.irq.set(irq_ && (dor_ & kDorDmaGate) != 0);
}

u8 Fdc::status_a() const { return static_cast<u8>((irq_ ? 0x80 : 0) | (drives_[1].present() ? 0 : 0x40) | 0x01); }

u8 Fdc::status_b() const { return static_cast<u8>(0xc0 | ((dor_ & 1) << 5) | ((dor_ >> 4) & 3)); }

u8 Fdc::main_status() const {
  if ((dor_ & kDorNotReset) == 0 || reset_timer_.armed()) return 0;
  u8 v = seeking_;
  switch (phase_) {
    case Phase::Command: v |= static_cast<u8>(kRqm | (fifo_at_ != 0 ? kCmdBusy : 0)); break;
    case Phase::Result: v |= kRqm | kDio | kCmdBusy; break;
    case Phase::Execution:
      v |= kCmdBusy;
      if (non_dma() && !start_timer_.armed()) v |= static_cast<u8>(kNonDma | kRqm | (to_host() ? kDio : 0));
      break;
  }
  return v;
}

u8 Fdc::digital_input() const {
  const unsigned n = dor_ & kDorDriveSelect;
  return n < 2 && drives_[n].disk_changed() ? 0x80 : 0;
}

u64 Fdc::Registers::read(u64 offset, unsigned) {
  switch (offset) {
    case kSra: return f_.status_a();
    case kSrb: return f_.status_b();
    case kDorPort: return f_.dor_;
    case kTdr: return f_.tdr_;
    case kMsrDsr: return f_.main_status();
    case kFifo: return f_.read_fifo();
    default: return 0xff;
  }
}

void Fdc::Registers::write(u64 offset, u64 value, unsigned) {
  const u8 v = static_cast<u8>(value);
  switch (offset) {
    case kDorPort: return f_.write_dor(v);
    case kTdr: f_.tdr_ = v & 3; return;
    case kMsrDsr: return f_.write_dsr(v);
    case kFifo: return f_.write_fifo(v);
    default: return;
  }
}

u64 Fdc::DirCcr::read(u64, unsigned) { return f_.digital_input(); }

void Fdc::DirCcr::write(u64, u64 value, unsigned) {
  f_.ccr_ = value & 3;
  f_.dsr_ = static_cast<u8>((f_.dsr_ & ~kDsrRate) | (value & kDsrRate));  // one data rate, two registers
}

void Fdc::write_dor(u8 value) {
  const u8 before = dor_;
  dor_ = value;
  if ((value & kDorNotReset) == 0) {
    if ((before & kDorNotReset) != 0) controller_reset();
    reset_timer_.disarm();
    return;
  }
  if ((before & kDorNotReset) == 0) {
    controller_reset();
    reset_timer_.arm_in(kResetTime);
    return;
  }
  set_irq(irq_);  // the gate may have changed
}

void Fdc::write_dsr(u8 value) {
  dsr_ = value & 0x7f;
  if ((value & kDsrReset) != 0 && (dor_ & kDorNotReset) != 0) {
    controller_reset();
    reset_timer_.arm_in(kResetTime);
  }
}

u8 Fdc::read_fifo() {
  if (phase_ == Phase::Result) {
    set_irq(false);
    const u8 v = fifo_[fifo_at_++];
    if (fifo_at_ >= fifo_end_) {
      phase_ = Phase::Command;
      fifo_at_ = fifo_end_ = 0;
    }
    return v;
  }
  if (phase_ == Phase::Execution && to_host() && non_dma() && !start_timer_.armed() && sector_at_ < sector_end_) {
    set_irq(false);
    const u8 v = sector_[sector_at_++];
    if (sector_at_ == sector_end_ && unit_done()) set_irq(true);
    return v;
  }
  return 0;
}

void Fdc::write_fifo(u8 value) {
  if ((dor_ & kDorNotReset) == 0 || reset_timer_.armed()) return;
  if (phase_ == Phase::Command) {
    if (fifo_at_ == 0) fifo_end_ = static_cast<u8>(command_length(value));
    fifo_[fifo_at_++] = value;
    if (fifo_at_ >= fifo_end_) run_command();
  } else if (phase_ == Phase::Execution && !to_host() && non_dma() && !start_timer_.armed() &&
             sector_at_ < sector_end_) {
    set_irq(false);
    sector_[sector_at_++] = value;
    if (sector_at_ == sector_end_ && unit_done()) set_irq(true);
  }
}

void Fdc::archive(StateArchive& ar) {
  ar.field("phase", phase_);
  ar.field("transfer", transfer_);
  ar.field("dor", dor_);
  ar.field("dsr", dsr_);
  ar.field("ccr", ccr_);
  ar.field("tdr", tdr_);
  ar.field("irq", irq_);
  ar.field("fifo", fifo_);
  ar.field("fifo_at", fifo_at_);
  ar.field("fifo_end", fifo_end_);
  ar.field("sense_pending", sense_pending_);
  ar.field("sense_st0", sense_st0_);
  ar.field("seeking", seeking_);
  ar.field("seek_to", seek_to_);
  ar.field("unit", unit_);
  ar.field("head", head_);
  ar.field("cylinder", cylinder_);
  ar.field("side", side_);
  ar.field("sector_id", sector_id_);
  ar.field("size_code", size_code_);
  ar.field("end_of_track", end_of_track_);
  ar.field("multi_track", multi_track_);
  ar.field("deleted", deleted_);
  ar.field("scan_equal", scan_equal_);
  ar.field("scan_kind", scan_kind_);
  ar.field("implied_seek_done", implied_seek_done_);
  ar.blob("sector", sector_);
  ar.field("sector_at", sector_at_);
  ar.field("sector_end", sector_end_);
  ar.field("sector_offset", sector_offset_);
  ar.field("terminal_count", terminal_count_);
  ar.field("srt_hut", srt_hut_);
  ar.field("hlt_nd", hlt_nd_);
  ar.field("config", config_);
  ar.field("precompensation", precompensation_);
  ar.field("perpendicular", perpendicular_);
  ar.field("locked", locked_);
  ar.field("format_left", format_left_);
  ar.field("format_fill", format_fill_);
  drives_[0].archive(ar, "drive0");
  drives_[1].archive(ar, "drive1");
  const auto timer = [&ar](const char* name, Timer& t) {
    s64 deadline = t.deadline();
    ar.field(name, deadline);
    if (!ar.loading()) return;
    t.disarm();
    if (deadline >= 0) t.arm_at(deadline);
  };
  timer("reset_timer", reset_timer_);
  timer("seek_timer", seek_timer_);
  timer("start_timer", start_timer_);
  if (!ar.loading()) return;
  sector_.resize(512);
  if (sector_end_ > 512 || sector_at_ > sector_end_) sector_at_ = sector_end_ = 0;
  if (fifo_end_ > fifo_.size() || fifo_at_ > fifo_end_ || (phase_ == Phase::Result && fifo_at_ == fifo_end_) ||
      (phase_ == Phase::Execution && unit_ > 1 && !start_timer_.armed())) {
    controller_reset();
  }
  unit_ &= 3;
  set_irq(irq_);
  if (p_.dma != nullptr) p_.dma->set_request(phase_ == Phase::Execution && !non_dma() && !start_timer_.armed());
}

std::string Fdc::info() const {
  std::string out;
  for (unsigned i = 0; i < 2; i++) {
    const FloppyDrive& d = drives_[i];
    if (!d.present()) continue;
    out += "floppy" + std::to_string(i) + ": " + kTypeName[static_cast<int>(d.type())] + " drive, " +
           (d.medium() == nullptr ? std::string("empty") : d.medium()->filename()) + ", track " +
           std::to_string(d.track()) + "\n";
  }
  return out;
}

}  // namespace doppel::hw

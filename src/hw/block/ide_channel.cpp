#include "hw/block/ide_channel.h"

namespace doppel::hw {

using namespace ata;

namespace {
enum Reg : u8 {
  kData = 0,
  kErrorFeature = 1,
  kCount = 2,
  kLbaLow = 3,
  kLbaMid = 4,
  kLbaHigh = 5,
  kDeviceReg = 6,
  kStatusCommand = 7
};
}

IdeChannel::IdeChannel(Params p)
    : p_(std::move(p)), delay_(p_.clock, [this] { run_pending(); }), queue_({.device_lock = p_.device_lock}) {
  for (unsigned i = 0; i < 2; i++) {
    if (p_.drives[i] != nullptr) p_.drives[i]->connect(this, i == 1);
  }
}

// The data register takes 8-, 16- and 32-bit accesses; the others are bytes.
u64 IdeChannel::CommandBlock::read(u64 offset, unsigned size) {
  if (offset == kData) {
    IdeDrive* drive = c_.selected();
    return drive != nullptr ? drive->read_data(size) : 0;
  }
  u64 value = 0;
  for (unsigned i = 0; i < size && offset + i < 8; i++)
    value |= u64{c_.read_register(static_cast<unsigned>(offset + i))} << (8 * i);
  return value;
}

void IdeChannel::CommandBlock::write(u64 offset, u64 value, unsigned size) {
  if (offset == kData) {
    if (IdeDrive* drive = c_.selected()) drive->write_data(static_cast<u32>(value), size);
    return;
  }
  for (unsigned i = 0; i < size && offset + i < 8; i++)
    c_.write_register(static_cast<unsigned>(offset + i), static_cast<u8>(value >> (8 * i)));
}

u64 IdeChannel::ControlBlock::read(u64, unsigned) {
  const IdeDrive* drive = c_.selected();
  if (drive == nullptr) return 0;
  if (c_.busy()) return kBsy;
  return const_cast<IdeDrive*>(drive)->task().status;  // alternate status: INTRQ stays
}

void IdeChannel::ControlBlock::write(u64, u64 value, unsigned) { c_.write_control(static_cast<u8>(value)); }

u8 IdeChannel::read_register(unsigned reg) {
  IdeDrive* drive = selected();
  if (drive == nullptr) return 0;
  const TaskFile& t = drive->task();
  const bool hob = (control_ & kHob) != 0;
  switch (reg) {
    case kErrorFeature: return hob ? t.hob_feature : t.error;
    case kCount: return hob ? t.hob_count : t.count;
    case kLbaLow: return hob ? t.hob_low : t.lba_low;
    case kLbaMid: return hob ? t.hob_mid : t.lba_mid;
    case kLbaHigh: return hob ? t.hob_high : t.lba_high;
    case kDeviceReg: return static_cast<u8>((t.device & ~kDev) | 0xa0 | (select_ != 0 ? kDev : 0));
    case kStatusCommand:
      if (busy()) return kBsy;
      drive->set_intrq(false);
      return t.status;
    default: return 0;
  }
}

void IdeChannel::write_register(unsigned reg, u8 value) {
  control_ = static_cast<u8>(control_ & ~kHob);
  if (reg == kStatusCommand && value == kDeviceReset) queue_.drain();  // the one command that is heard while BSY
  if (busy()) return;
  if (reg == kStatusCommand) return command(value);
  if (reg == kDeviceReg) select_ = (value & kDev) != 0 ? 1 : 0;
  for (auto& drive : p_.drives) {
    if (drive == nullptr) continue;
    TaskFile& t = drive->task();
    const auto push = [value](u8& previous, u8& current) {
      previous = current;
      current = value;
    };
    switch (reg) {
      case kErrorFeature: push(t.hob_feature, t.feature); break;
      case kCount: push(t.hob_count, t.count); break;
      case kLbaLow: push(t.hob_low, t.lba_low); break;
      case kLbaMid: push(t.hob_mid, t.lba_mid); break;
      case kLbaHigh: push(t.hob_high, t.lba_high); break;
      case kDeviceReg: t.device = value; break;
      default: break;
    }
  }
  if (reg == kDeviceReg) drive_irq();
}

bool IdeChannel::busy() const {
  return has_pending_ || (control_ & kSrst) != 0 || (p_.drives[0] != nullptr && p_.drives[0]->busy()) ||
         (p_.drives[1] != nullptr && p_.drives[1]->busy());
}

void IdeChannel::write_control(u8 value) {
  const u8 before = control_;
  control_ = value;
  if ((before & kSrst) == 0 && (value & kSrst) != 0) {
    delay_.disarm();
    has_pending_ = false;
    queue_.cancel();
    for (auto& drive : p_.drives) {
      if (drive != nullptr) drive->reset(false);
    }
    select_ = 0;
  }
  drive_irq();
}

void IdeChannel::command(u8 value) {
  if (value == kExecuteDiagnostic) return diagnostic();
  IdeDrive* drive = selected();
  if (drive == nullptr) return;
  drive->set_intrq(false);
  if (drive->phase() != IdeDrive::Phase::Idle) drive->dma_cancel();  // a new command ends one in its data phase
  pending_ = value;
  if (p_.command_delay_ns <= 0) return drive->execute(value);
  has_pending_ = true;
  delay_.arm_in(p_.command_delay_ns);
}

void IdeChannel::run_pending() {
  if (!has_pending_) return;
  has_pending_ = false;
  if (IdeDrive* drive = selected()) drive->execute(pending_);
}

void IdeChannel::diagnostic() {
  IdeDrive* answering = nullptr;
  for (auto& drive : p_.drives) {
    if (drive == nullptr) continue;
    drive->set_intrq(false);
    drive->diagnostic_result();
    if (answering == nullptr) answering = drive.get();
  }
  select_ = 0;
  if (answering != nullptr) answering->set_intrq(true);
}

void IdeChannel::reset() {
  queue_.cancel();
  delay_.disarm();
  has_pending_ = false;
  control_ = pending_ = select_ = 0;
  for (auto& drive : p_.drives) {
    if (drive != nullptr) drive->reset(true);
  }
  drive_irq();
}

void IdeChannel::intrq_changed(IdeDrive& drive) {
  if (&drive == selected()) drive_irq();
}

void IdeChannel::dma_requested(IdeDrive& drive) {
  if (p_.on_dma) p_.on_dma(drive);
}

void IdeChannel::drive_irq() {
  const IdeDrive* drive = selected();
  const bool level = drive != nullptr && drive->intrq() && (control_ & kNIen) == 0;
  if (level == line_) return;
  line_ = level;
  if (p_.on_intrq) p_.on_intrq(level);
  p_.irq.set(level);
}

void IdeChannel::archive(StateArchive& ar) {
  if (ar.loading()) queue_.cancel();
  ar.field("select", select_);
  ar.field("control", control_);
  ar.field("pending", pending_);
  ar.field("has_pending", has_pending_);
  s64 deadline = delay_.deadline();
  ar.field("delay", deadline);
  for (unsigned i = 0; i < 2; i++) {
    if (p_.drives[i] != nullptr) ar.section(i == 0 ? "master" : "slave", [&] { p_.drives[i]->archive(ar); });
  }
  if (!ar.loading()) return;
  select_ &= 1;
  delay_.disarm();
  if (has_pending_) delay_.arm_at(deadline);
  drive_irq();
  p_.irq.set(line_);
}

}  // namespace doppel::hw

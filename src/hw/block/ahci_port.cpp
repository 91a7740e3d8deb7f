#include "hw/block/ahci_port.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "hw/block/ata_disk.h"

namespace doppel::hw {

using namespace ahci;
using ata::kBsy, ata::kDrq, ata::kErr;

namespace {
constexpr u32 kLinkUp = 0x133;  // 6 Gbit/s, active
constexpr u32 kNoSignature = 0xffffffff;
void set_low(u64& reg, u32 value, u32 mask) { reg = (reg & ~u64{0xffffffff}) | (value & mask); }
void set_high(u64& reg, u32 value) { reg = (reg & 0xffffffff) | u64{value} << 32; }
}  // namespace

AhciPort::AhciPort(Params p)
    : p_(std::move(p)), disk_(dynamic_cast<AtaDisk*>(p_.drive.get())), queue_({.device_lock = p_.device_lock}) {
  if (p_.drive != nullptr) p_.drive->connect(this, false);
}

u32 AhciPort::signature() const {
  if (p_.drive == nullptr) return kNoSignature;
  return p_.drive->is_packet_device() ? 0xeb140101 : 0x00000101;
}

u32 AhciPort::read(u64 offset) const {
  switch (offset) {
    case kClb: return static_cast<u32>(list_);
    case kClbu: return static_cast<u32>(list_ >> 32);
    case kFb: return static_cast<u32>(frames_);
    case kFbu: return static_cast<u32>(frames_ >> 32);
    case kPxIs: return is_;
    case kPxIe: return ie_;
    case kPxCmd: {
      const u32 slot = slot_ < 0 ? 0 : static_cast<u32>(slot_);
      return command_ | slot << 8 | ((command_ & kSt) != 0 ? u32{kCr} : 0) | ((command_ & kFre) != 0 ? u32{kFr} : 0);
    }
    case kTfd: return task_;
    case kSig: return signature();
    case kSsts: return p_.drive == nullptr || (status_control_ & 15) != 0 ? 0 : kLinkUp;
    case kSctl: return status_control_;
    case kSerr: return error_;
    case kSact: return active_;
    case kCi: return issued_;
    default: return 0;
  }
}

void AhciPort::write(u64 offset, u32 value) {
  switch (offset) {
    case kClb: set_low(list_, value, ~u32{0x3ff}); break;
    case kClbu: set_high(list_, value); break;
    case kFb: set_low(frames_, value, ~u32{0xff}); break;
    case kFbu: set_high(frames_, value); break;
    case kPxIs:
      is_ &= ~value;
      p_.interrupt();
      break;
    case kPxIe:
      ie_ = value & kInterrupts;
      p_.interrupt();
      break;
    case kPxCmd: write_command(value); break;
    case kSctl: write_control(value); break;
    case kSerr: error_ &= ~value; break;
    case kSact:
      if ((command_ & kSt) != 0) active_ |= value;
      break;
    case kCi:
      if ((command_ & kSt) == 0) break;
      issued_ |= value;
      process();
      break;
    default: break;
  }
}

void AhciPort::write_command(u32 value) {
  const u32 before = command_;
  command_ = value & kCmdWritable & ~u32{kClo};
  if ((value & kClo) != 0) task_ &= ~u32{kBsy | kDrq};
  if ((command_ & kSt) == 0) {
    if ((before & kSt) != 0) stop();
  } else if ((before & kSt) == 0) {
    halted_ = false;
  }
}

// Commands that were issued are forgotten: what the disk is at ends unseen.
void AhciPort::stop() {
  generation_++;
  queue_.cancel();
  issued_ = active_ = queued_ = 0;
  slot_ = -1;
  with_disk_ = halted_ = false;
  if (p_.drive == nullptr) return;
  if (p_.drive->phase() != IdeDrive::Phase::Idle || p_.drive->busy()) p_.drive->dma_cancel();
  p_.drive->set_intrq(false);
  show_task();
}

void AhciPort::write_control(u32 value) {
  const u32 before = status_control_ & 15;
  status_control_ = value & 0xfff;
  if (before != 1 || (value & 15) == 1) return;
  stop();
  if (p_.drive != nullptr) p_.drive->reset(true);
  connect();
}

void AhciPort::connect() {
  soft_reset_ = false;
  if (p_.drive == nullptr) {
    task_ = 0x7f;
    return;
  }
  p_.drive->set_intrq(false);
  show_task();
  receive_d2h(false);
}

void AhciPort::show_task() {
  const TaskFile& t = p_.drive->task();
  task_ = p_.drive->busy() || with_disk_ ? u32{kBsy} : t.status | u32{t.error} << 8;
}

void AhciPort::raise(u32 interrupts) {
  is_ |= interrupts;
  p_.interrupt();
}

void AhciPort::receive(u32 at, std::span<const u8> frame) {
  if ((command_ & kFre) != 0) p_.dma().write(frames_ + at, frame.data(), frame.size());
}

void AhciPort::receive_d2h(bool interrupt) {
  const TaskFile& t = p_.drive->task();
  const std::array<u8, 20> frame = {kD2h,       interrupt ? kFisInterrupt : u8{0},
                                    t.status,   t.error,
                                    t.lba_low,  t.lba_mid,
                                    t.lba_high, t.device,
                                    t.hob_low,  t.hob_mid,
                                    t.hob_high, 0,
                                    t.count,    t.hob_count};
  receive(kFisD2h, frame);
}

void AhciPort::reset() {
  stop();
  list_ = frames_ = 0;
  is_ = ie_ = status_control_ = error_ = 0;
  command_ = kSud | kPod;
  if (p_.drive != nullptr) p_.drive->reset(true);
  connect();
}

void AhciPort::archive(StateArchive& ar) {
  if (ar.loading()) stop();
  ar.field("list", list_);
  ar.field("frames", frames_);
  ar.field("is", is_);
  ar.field("ie", ie_);
  ar.field("command", command_);
  ar.field("task", task_);
  ar.field("status_control", status_control_);
  ar.field("error", error_);
  ar.field("active", active_);
  ar.field("issued", issued_);
  ar.field("soft_reset", soft_reset_);
  ar.field("halted", halted_);
  if (p_.drive != nullptr) ar.section("drive", [&] { p_.drive->archive(ar); });
  if (ar.loading()) command_ &= kCmdWritable;
}

}  // namespace doppel::hw

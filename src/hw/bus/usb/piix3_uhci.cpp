#include "hw/bus/usb/piix3_uhci.h"

#include <algorithm>
#include <cstdio>

namespace doppel::hw {
namespace {

enum Reg : unsigned {
  kUsbCmd = 0x00,
  kUsbSts = 0x02,
  kUsbIntr = 0x04,
  kFrNum = 0x06,
  kFlBaseAdd = 0x08,
  kSofMod = 0x0c,
  kPortSc1 = 0x10,
  kEnd = 0x14,
};
enum UsbCmd : u16 { kRun = 1 << 0, kHcReset = 1 << 1, kGlobalReset = 1 << 2, kCmdWritable = 0xfd };
enum UsbSts : u16 { kHalted = 1 << 5, kStsClears = 0x1f };
// Without a device: only reset and suspend can be set; bit 7 reads as one.
enum PortSc : u16 { kPortReset = 1 << 9, kPortSuspend = 1 << 12, kPortOnes = 1 << 7 };
constexpr u16 kFrameMask = 0x7ff;
constexpr u8 kSofReset = 0x40, kSofMask = 0x7f;
constexpr s64 kFrameNs = 1'000'000;
constexpr u8 kSbrn = 0x60, kLegSup = 0xc0;  // configuration space: release number, legacy support
constexpr u16 kLegSupReset = 0x2000;

}  // namespace

Piix3Uhci::Piix3Uhci(Clock& clock, u16 device_id)
    : PciDevice("piix3-usb-uhci",
                {.vendor = 0x8086, .device = device_id, .revision = 1, .class_code = 0x0c0300, .pin = 4}),
      clock_(clock) {
  add_io_bar(4, 0x20, *this);
  define8(kSbrn, 0x10);
  define16(kLegSup, kLegSupReset, 0x3fbf);
  reset_controller();
}

void Piix3Uhci::reset() {
  PciDevice::reset();
  reset_controller();
}

void Piix3Uhci::reset_controller() {
  command_ = interrupts_ = frame_ = 0;
  status_ = kHalted;
  frame_as_of_ = clock_.now();
  frame_list_ = 0;
  start_of_frame_ = kSofReset;
  std::fill(std::begin(ports_), std::end(ports_), u16{0});
}

u16 Piix3Uhci::frame() const {
  const s64 passed = running() ? std::max<s64>(clock_.now() - frame_as_of_, 0) / kFrameNs : 0;
  return static_cast<u16>((frame_ + passed) & kFrameMask);
}

u8 Piix3Uhci::read_byte(unsigned offset) const {
  const auto part = [offset](u32 value, unsigned from) { return static_cast<u8>(value >> 8 * (offset - from)); };
  if (offset < kUsbSts) return part(command_, kUsbCmd);
  if (offset < kUsbIntr) return part(status_, kUsbSts);
  if (offset < kFrNum) return part(interrupts_, kUsbIntr);
  if (offset < kFlBaseAdd) return part(frame(), kFrNum);
  if (offset < kSofMod) return part(frame_list_, kFlBaseAdd);
  if (offset == kSofMod) return start_of_frame_;
  if (offset < kPortSc1) return 0;
  if (offset >= kEnd) return 0xff;
  const unsigned port = (offset - kPortSc1) / 2;
  return part(ports_[port] | kPortOnes, kPortSc1 + 2 * port);
}

u64 Piix3Uhci::read(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; i++) value |= u64{read_byte(static_cast<unsigned>(offset) + i)} << 8 * i;
  return value;
}

void Piix3Uhci::write_command(u16 value) {
  if (value & kHcReset) {
    reset_controller();
    return;
  }
  if (value & kGlobalReset) {
    const u16 keep = value & kGlobalReset;
    reset_controller();
    command_ = keep;
    return;
  }
  const u16 now = frame();
  if (((command_ ^ value) & kRun) != 0) frame_ = now, frame_as_of_ = clock_.now();
  command_ = value & kCmdWritable;
  status_ = static_cast<u16>(running() ? status_ & ~kHalted : status_ | kHalted);
}

void Piix3Uhci::write(u64 offset, u64 value, unsigned size) {
  if (size == 4 && offset != kFlBaseAdd) {  // two registers
    write(offset, value & 0xffff, 2);
    write(offset + 2, value >> 16, 2);
    return;
  }
  const u16 v = static_cast<u16>(value);
  switch (offset) {
    case kUsbCmd: write_command(v); break;
    case kUsbSts: status_ = static_cast<u16>(status_ & ~(v & kStsClears)); break;
    case kUsbIntr: interrupts_ = v & 0xf; break;
    case kFrNum:
      if (!running()) frame_ = v & kFrameMask;
      break;
    case kFlBaseAdd:
      if (size == 4) frame_list_ = static_cast<u32>(value) & ~u32{0xfff};
      break;
    case kSofMod: start_of_frame_ = v & kSofMask; break;
    case kPortSc1:
    case kPortSc1 + 2: ports_[(offset - kPortSc1) / 2] = v & (kPortReset | kPortSuspend); break;
    default: break;
  }
}

void Piix3Uhci::archive(StateArchive& ar) {
  ar.field("command", command_);
  ar.field("status", status_);
  ar.field("interrupts", interrupts_);
  ar.field("frame", frame_);
  ar.field("frame_as_of", frame_as_of_);
  ar.field("frame_list", frame_list_);
  ar.field("start_of_frame", start_of_frame_);
  ar.field("port1", ports_[0]);
  ar.field("port2", ports_[1]);
  PciDevice::archive(ar);
}

std::string Piix3Uhci::info() const {
  char text[120];
  std::snprintf(text, sizeof text, "command %04x, status %04x, frame %u; nothing in its two ports\n", command_, status_,
                frame());
  return PciDevice::info() + text;
}

}  // namespace doppel::hw

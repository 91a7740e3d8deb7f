#include "hw/block/ahci.h"

namespace doppel::hw {

using namespace ahci;

namespace {
constexpr u8 kSataCapability = 0x12;
}

Ahci::Ahci(Params p)
    : PciDevice("ahci", {.vendor = 0x8086, .device = 0x2922, .revision = 2, .class_code = 0x010601, .pin = 1}) {
  for (unsigned i = 0; i < kPorts; i++) {
    ports_[i] = std::make_unique<AhciPort>(AhciPort::Params{.drive = std::move(p.drives[i]),
                                                            .device_lock = p.device_lock,
                                                            .dma = [this]() -> DmaPort& { return dma(); },
                                                            .interrupt = [this] { update_interrupt(); }});
  }
  add_mmio_bar(5, kWindow, *this);
  const u8 at = add_capability(kSataCapability, 8);
  define16(static_cast<u8>(at + 2), 0x0010);
  reset_controller();
}

Ahci::~Ahci() = default;

// What ports want now; IS keeps it until the guest clears it there.
u32 Ahci::pending() const {
  u32 bits = 0;
  for (unsigned i = 0; i < kPorts; i++) bits |= u32{ports_[i]->interrupting()} << i;
  return bits;
}

void Ahci::update_interrupt() {
  if (ports_[kPorts - 1] == nullptr) return;  // under construction
  status_ |= pending();
  set_intx(status_ != 0 && (control_ & kGhcInterrupts) != 0);
}

u64 Ahci::read(u64 offset, unsigned) {
  if (offset >= kPortBase) {
    const u64 port = (offset - kPortBase) / kPortSize;
    return port < kPorts ? ports_[port]->read((offset - kPortBase) % kPortSize) : 0;
  }
  switch (offset) {
    case kCap: return (kPorts - 1) | (kSlots - 1) << 8 | kCapAhciOnly | 3u << 20 | kCapLockless | kCapNcq | kCap64;
    case kGhc: return control_;
    case kIs: return status_;
    case kPi: return (1u << kPorts) - 1;
    case kVs: return kVersion;
    default: return 0;
  }
}

void Ahci::write(u64 offset, u64 value, unsigned) {
  const u32 v = static_cast<u32>(value);
  if (offset >= kPortBase) {
    const u64 port = (offset - kPortBase) / kPortSize;
    if (port < kPorts) ports_[port]->write((offset - kPortBase) % kPortSize, v);
    return;
  }
  if (offset == kGhc) {
    if ((v & kGhcReset) != 0) return reset_controller();
    control_ = (v & kGhcInterrupts) | kGhcAhci;
    update_interrupt();
  } else if (offset == kIs) {
    status_ &= ~v;
    update_interrupt();
  }
}

void Ahci::reset_controller() {
  for (auto& port : ports_) port->reset();
  control_ = kGhcAhci;
  status_ = 0;
  set_intx(false);
}

void Ahci::reset() {
  PciDevice::reset();
  reset_controller();
}

void Ahci::leave() {
  for (auto& port : ports_) port->end();
}

void Ahci::sleep() {
  for (auto& port : ports_) port->drain();
}

void Ahci::wake() {
  for (auto& port : ports_) port->resume();
}

void Ahci::archive(StateArchive& ar) {
  PciDevice::archive(ar);
  ar.field("ghc", control_);
  ar.field("is", status_);
  if (ar.loading()) control_ = (control_ & kGhcInterrupts) | kGhcAhci;
  for (unsigned i = 0; i < kPorts; i++) ar.section("port" + std::to_string(i), [&] { ports_[i]->archive(ar); });
}

std::string Ahci::info() const {
  std::string out = PciDevice::info();
  for (unsigned i = 0; i < kPorts; i++) {
    if (const IdeDrive* drive = ports_[i]->drive())
      out += "      port " + std::to_string(i) + ": " + drive->describe() + "\n";
  }
  return out;
}

}  // namespace doppel::hw

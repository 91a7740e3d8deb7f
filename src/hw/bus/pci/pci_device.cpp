#include "hw/bus/pci/pci_device.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "base/assert.h"
#include "base/log.h"
#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw {

using namespace pci;

class PciDevice::GatedDma final : public DmaPort {
 public:
  explicit GatedDma(PciDevice& device) : d_(device) {}
  bool read(u64 pa, void* out, u64 size) override {
    if (enabled()) return d_.bus_->dma().read(pa, out, size);
    std::memset(out, 0xff, size);
    return false;
  }
  bool write(u64 pa, const void* data, u64 size) override { return enabled() && d_.bus_->dma().write(pa, data, size); }
  u8* map(u64 pa, u64 size, bool write) override { return enabled() ? d_.bus_->dma().map(pa, size, write) : nullptr; }
  // Also of a transfer that began before the guest took the mastership away.
  void wrote(const u8* host, u64 pa, u64 size) override {
    if (d_.bus_ != nullptr) d_.bus_->dma().wrote(host, pa, size);
  }

 private:
  bool enabled() const { return d_.bus_ != nullptr && (d_.command() & kBusMaster) != 0; }
  PciDevice& d_;
};

PciDevice::PciDevice(std::string name, const PciIds& ids)
    : name_(std::move(name)), gated_dma_(std::make_unique<GatedDma>(*this)) {
  define16(kVendorId, ids.vendor);
  define16(kDeviceId, ids.device);
  define16(
      kCommand, 0,
      kIoSpace | kMemorySpace | kBusMaster | kSpecialCycles | kParityErrorResponse | kSerrEnable | kInterruptDisable);
  define16(kStatus, 0, 0, kStatusErrors);
  define8(kRevisionId, ids.revision);
  define8(kClassCode, static_cast<u8>(ids.class_code));
  define16(kClassCode + 1, static_cast<u16>(ids.class_code >> 8));
  define8(kCacheLineSize, 0, 0xff);
  define8(kLatencyTimer, 0, 0xff);
  define8(kHeaderType, ids.multi_function ? kMultiFunction : 0);
  define16(kSubsystemVendorId, ids.subsystem_vendor);
  define16(kSubsystemId, ids.subsystem);
  define8(kInterruptLine, 0, 0xff);
  define8(kInterruptPin, ids.pin);
}

PciDevice::~PciDevice() {
  if (bus_ != nullptr) bus_->detach(*this);
}

DmaPort& PciDevice::dma() { return *gated_dma_; }

void PciDevice::define8(u8 offset, u8 value, u8 writable, u8 clear) {
  config_[offset] = reset_value_[offset] = value;
  writable_[offset] = writable;
  clear_[offset] = clear;
}

void PciDevice::define16(u8 offset, u16 value, u16 writable, u16 clear) {
  for (unsigned i = 0; i < 2; i++) {
    define8(static_cast<u8>(offset + i), static_cast<u8>(value >> (8 * i)), static_cast<u8>(writable >> (8 * i)),
            static_cast<u8>(clear >> (8 * i)));
  }
}

void PciDevice::define32(u8 offset, u32 value, u32 writable, u32 clear) {
  for (unsigned i = 0; i < 4; i++) {
    define8(static_cast<u8>(offset + i), static_cast<u8>(value >> (8 * i)), static_cast<u8>(writable >> (8 * i)),
            static_cast<u8>(clear >> (8 * i)));
  }
}

PciBar& PciDevice::add_bar(int index, std::unique_ptr<PciBar> bar) {
  ASSERT(index >= 0 && index <= 6 && bars_[static_cast<unsigned>(index)] == nullptr);
  ASSERT(std::has_single_bit(bar->size));
  const bool rom = bar->kind == PciBar::Kind::Rom;
  bar->offset = static_cast<u8>(rom ? kExpansionRom : kBar0 + 4 * index);
  u32 flags = 0;
  if (bar->kind == PciBar::Kind::Io) flags = kBarIo;
  if (bar->is_64bit) flags |= kBarMem64;
  if (bar->prefetchable) flags |= kBarPrefetch;
  const u64 mask = ~(bar->size - 1);
  define32(bar->offset, flags, static_cast<u32>(mask) | (rom ? u32{kRomEnable} : 0));
  if (bar->is_64bit) {
    ASSERT(index < 5);
    define32(static_cast<u8>(bar->offset + 4), 0, static_cast<u32>(mask >> 32));
  }
  auto& place = bars_[static_cast<unsigned>(index)];
  place = std::move(bar);
  return *place;
}

PciBar& PciDevice::add_mmio_bar(int index, u64 size, MmioHandler& handler, bool prefetchable, bool is_64bit) {
  auto bar = std::make_unique<PciBar>();
  bar->kind = PciBar::Kind::Mmio;
  bar->size = size;
  bar->handler = &handler;
  bar->prefetchable = prefetchable;
  bar->is_64bit = is_64bit;
  return add_bar(index, std::move(bar));
}

PciBar& PciDevice::add_ram_bar(int index, u64 size, u8* data, bool prefetchable, bool is_64bit) {
  auto bar = std::make_unique<PciBar>();
  bar->kind = PciBar::Kind::Ram;
  bar->size = size;
  bar->data = data;
  bar->prefetchable = prefetchable;
  bar->is_64bit = is_64bit;
  return add_bar(index, std::move(bar));
}

PciBar& PciDevice::add_io_bar(int index, u32 size, MmioHandler& handler) {
  auto bar = std::make_unique<PciBar>();
  bar->kind = PciBar::Kind::Io;
  bar->size = size;
  bar->handler = &handler;
  return add_bar(index, std::move(bar));
}

namespace {
// Firmware runs an option ROM whose data structure (PCI Firmware Specification 3.0, 5.1.2) names the function's IDs.
// One made for a family of cards may name others: they are put in, and a spare byte keeps the image's sum.
void put_ids(std::vector<u8>& rom, u16 vendor, u16 device) {
  constexpr size_t kSpareByte = 6, kPointer = 0x18, kVendor = 4, kDevice = 6;
  if (rom.size() < kPointer + 2 || rom[0] != 0x55 || rom[1] != 0xaa) return;
  const size_t at = load_le<u16>(&rom[kPointer]);
  if (at < kPointer + 2 || at + kDevice + 2 > rom.size() || std::memcmp(&rom[at], "PCIR", 4) != 0) return;
  const auto sum = [&] { return std::accumulate(&rom[at + kVendor], &rom[at + kDevice] + 2, 0u); };
  const u32 before = sum();
  store_le<u16>(&rom[at + kVendor], vendor);
  store_le<u16>(&rom[at + kDevice], device);
  rom[kSpareByte] = static_cast<u8>(rom[kSpareByte] + before - sum());
}
}  // namespace

PciBar& PciDevice::add_rom(std::vector<u8> image) {
  rom_ = std::move(image);
  put_ids(rom_, config16(kVendorId), config16(kDeviceId));
  rom_.resize(std::bit_ceil(std::max<size_t>(rom_.size(), 4096)), 0xff);
  auto bar = std::make_unique<PciBar>();
  bar->kind = PciBar::Kind::Rom;
  bar->size = rom_.size();
  bar->data = rom_.data();
  return add_bar(6, std::move(bar));
}

u8 PciDevice::add_capability(u8 id, u8 size, u8 at) {
  if (at == 0) at = next_capability_;
  ASSERT(at >= 0x40 && at % 4 == 0 && at + size <= 0x100);
  define8(at, id);
  define8(static_cast<u8>(at + 1), config_[kCapabilitiesPointer]);
  define8(kCapabilitiesPointer, at);
  define16(kStatus, static_cast<u16>(load_le<u16>(&reset_value_[kStatus]) | kCapabilitiesList), 0, kStatusErrors);
  next_capability_ = static_cast<u8>(align_up(at + size, 4));
  return at;
}

u32 PciDevice::config_read(u8 offset, unsigned size) {
  u32 value = 0;
  for (unsigned i = 0; i < size && offset + i < 256; i++) value |= u32{config_[offset + i]} << (8 * i);
  return value;
}

void PciDevice::config_write(u8 offset, u32 value, unsigned size) {
  bool bars = false;
  for (unsigned i = 0; i < size && offset + i < 256; i++) {
    const unsigned at = offset + i;
    const u8 byte = static_cast<u8>(value >> (8 * i));
    u8 next = static_cast<u8>((config_[at] & ~writable_[at]) | (byte & writable_[at]));
    next = static_cast<u8>(next & ~(byte & clear_[at]));
    bars |= next != config_[at] && (at < kBar0 + 24 || (at >= kExpansionRom && at < kExpansionRom + 4));
    config_[at] = next;
  }
  if (bars) {
    update_bars();
    drive_intx();
  }
  config_written(offset, size);
}

void PciDevice::update_bars() {
  if (bus_ == nullptr) return;
  for (auto& bar : bars_) {
    if (bar != nullptr) update_bar(*bar);
  }
}

void PciDevice::update_bar(PciBar& bar) {
  const bool io = bar.kind == PciBar::Kind::Io, rom = bar.kind == PciBar::Kind::Rom;
  const u32 low = config32(bar.offset);
  u64 address = low & ~u64{bar.size - 1} & (io ? ~u64{3} : ~u64{15}) & 0xffffffff;
  if (bar.is_64bit) address |= u64{config32(static_cast<u8>(bar.offset + 4))} << 32;
  // A window of all ones is being sized; one at 0 is not set yet; one that would wrap does not exist.
  const u64 limit = io ? 0xffff : bar.is_64bit ? (u64{1} << 52) - 1 : 0xffffffff;
  const bool fits = address != 0 && address <= limit && bar.size - 1 < limit - address;
  const bool on = (command() & (io ? kIoSpace : kMemorySpace)) != 0 && (!rom || (low & kRomEnable) != 0) && fits;
  if (on == bar.mapped && (!on || address == bar.address)) return;
  bar.mapped = on;
  bar.address = address;
  if (bar.window != nullptr) {
    bar.window->set(on, address);
  } else if (on && io) {
    bar.window = bus_->ports().map(name_, static_cast<u16>(address), static_cast<u32>(bar.size), *bar.handler);
  } else if (on && bar.handler != nullptr) {
    bar.window = bus_->memory().map(name_, address, bar.size, *bar.handler);
  } else if (on) {
    bar.window = bus_->memory().map_ram(rom ? name_ + ".rom" : name_ + ".ram", address, bar.size, bar.data, rom);
  }
  DOPPEL_LOG(Trace, "pci: %s %s at 0x%llx size 0x%llx %s\n", name_.c_str(),
             rom  ? "rom"
             : io ? "ports"
                  : "memory",
             static_cast<unsigned long long>(address), static_cast<unsigned long long>(bar.size), on ? "on" : "off");
}

void PciDevice::set_intx(bool level) {
  if (level == intx_) return;
  intx_ = level;
  drive_intx();
}

void PciDevice::drive_intx() {
  const u16 status = config16(kStatus);
  poke16(kStatus, static_cast<u16>(intx_ ? status | kInterruptStatus : status & ~kInterruptStatus));
  const bool out = intx_ && (command() & kInterruptDisable) == 0;
  if (out == driven_) return;
  driven_ = out;
  if (bus_ != nullptr) bus_->set_intx(*this, out);
}

void PciDevice::reset() {
  config_ = reset_value_;
  set_intx(false);
  drive_intx();
  update_bars();
}

void PciDevice::archive(StateArchive& ar) {
  ar.field("config", config_);
  ar.field("intx", intx_);
  if (ar.loading()) {
    update_bars();
    drive_intx();
  }
}

std::string PciDevice::info() const {
  char text[160];
  std::snprintf(text, sizeof text, "%02x.%x %04x:%04x class %02x%02x irq %u pin %c  %s\n", slot_of(devfn_),
                function_of(devfn_), config16(kVendorId), config16(kDeviceId), config8(kClassCode + 2),
                config8(kClassCode + 1), config8(kInterruptLine), pin() == 0 ? '-' : static_cast<char>('@' + pin()),
                name_.c_str());
  std::string out = text;
  for (unsigned i = 0; i < bars_.size(); i++) {
    if (bars_[i] == nullptr) continue;
    const PciBar& bar = *bars_[i];
    static constexpr const char* kKind[] = {"memory", "memory (RAM)", "ports", "ROM"};
    std::snprintf(text, sizeof text, "      %s%u: %s 0x%llx, size 0x%llx%s\n", i == 6 ? "rom" : "bar", i == 6 ? 0 : i,
                  kKind[static_cast<int>(bar.kind)], static_cast<unsigned long long>(bar.address),
                  static_cast<unsigned long long>(bar.size), bar.mapped ? "" : " (off)");
    out += text;
  }
  return out;
}

}  // namespace doppel::hw

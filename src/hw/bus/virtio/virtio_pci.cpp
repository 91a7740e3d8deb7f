#include "hw/bus/virtio/virtio_pci.h"

#include <bit>
#include <cstdio>

#include "base/assert.h"
#include "hw/core/window.h"

namespace doppel::hw {

using namespace virtio;

namespace {
constexpr u16 kVendor = 0x1af4, kTransitionalBase = 0x1000, kModernBase = 0x1040;
enum CapabilityType : u8 { kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4, kPciCfg = 5 };
constexpr u8 kVendorCapability = 9, kStructuresBar = 4, kMsixBar = 1;
constexpr u32 kPage = 0x1000, kCommonSize = 64, kNotifyStep = 4;

// Transitional device numbers are a list of their own (5.1 and on).
u16 transitional_id(u16 id) {
  switch (id) {
    case kIdNet: return kTransitionalBase;
    case kIdBlock: return kTransitionalBase + 1;
    case kIdBalloon: return kTransitionalBase + 2;
    case kIdConsole: return kTransitionalBase + 3;
    case kIdScsi: return kTransitionalBase + 4;
    case kId9p: return kTransitionalBase + 9;
    default: return kTransitionalBase + 5;
  }
}

PciIds ids_of(const VirtioPci::Params& p) {
  const u16 id = p.device->traits().id;
  PciIds ids{.vendor = kVendor, .class_code = p.class_code, .pin = 1};
  ids.device = p.legacy ? transitional_id(id) : static_cast<u16>(kModernBase + id);
  ids.revision = p.legacy ? 0 : 1;
  ids.subsystem_vendor = kVendor;
  ids.subsystem = p.legacy ? id : 0x1100;
  return ids;
}
}  // namespace

class VirtioPci::Ports final : public MmioHandler {
 public:
  explicit Ports(VirtioPci& d) : d_(d) {}
  u64 read(u64 offset, unsigned size) override { return d_.legacy_read(offset, size); }
  void write(u64 offset, u64 value, unsigned size) override { d_.legacy_write(offset, value, size); }
  AccessSizes access_sizes() const override { return {1, 4}; }

 private:
  VirtioPci& d_;
};

class VirtioPci::Structures final : public MmioHandler {
 public:
  explicit Structures(VirtioPci& d) : d_(d) {}
  AccessSizes access_sizes() const override { return {1, 4}; }
  u64 read(u64 offset, unsigned size) override {
    switch (offset / kPage) {
      case 0: return d_.common_read(offset, size);
      case 1: return offset == kPage ? d_.take_isr() : 0;
      case 2: return d_.device_->config_read(offset - 2 * kPage, size);
      default: return 0;
    }
  }
  void write(u64 offset, u64 value, unsigned size) override {
    switch (offset / kPage) {
      case 0: d_.common_write(offset, value, size); break;
      case 2: d_.device_->config_write(offset - 2 * kPage, value, size); break;
      case 3: d_.device_->notify((offset - 3 * kPage) / kNotifyStep); break;
      default: break;
    }
  }

 private:
  VirtioPci& d_;
};

VirtioPci::VirtioPci(Params p) : PciDevice(p.device->traits().name, ids_of(p)), device_(std::move(p.device)) {
  ASSERT(p.legacy || p.modern);
  device_->connect(*this);
  if (p.legacy) {
    ports_ = std::make_unique<Ports>(*this);
    add_io_bar(0, static_cast<u32>(std::bit_ceil(24 + device_->traits().config_size)), *ports_);
  }
  if (p.vectors != 0) msix_ = std::make_unique<PciMsix>(*this, kMsixBar, p.vectors);
  if (p.modern) add_structures();
  if (!p.rom.empty()) add_rom(std::move(p.rom));
}

VirtioPci::~VirtioPci() = default;

u8 VirtioPci::add_structure(u8 type, u32 offset, u32 length, u8 size) {
  const u8 at = add_capability(kVendorCapability, size);
  define8(static_cast<u8>(at + 2), size);
  define8(static_cast<u8>(at + 3), type);
  define8(static_cast<u8>(at + 4), kStructuresBar);
  define32(static_cast<u8>(at + 8), offset);
  define32(static_cast<u8>(at + 12), length);
  return at;
}

void VirtioPci::add_structures() {
  structures_ = std::make_unique<Structures>(*this);
  add_mmio_bar(kStructuresBar, 4 * kPage, *structures_, true, true);
  add_structure(kCommonCfg, 0, kPage, 16);
  add_structure(kIsrCfg, kPage, kPage, 16);
  add_structure(kDeviceCfg, 2 * kPage, kPage, 16);
  const u8 notify = add_structure(kNotifyCfg, 3 * kPage, kPage, 20);
  define32(static_cast<u8>(notify + 16), kNotifyStep);
  cfg_capability_ = add_structure(kPciCfg, 0, 0, 20);
  define8(static_cast<u8>(cfg_capability_ + 4), 0, 0xff);
  define32(static_cast<u8>(cfg_capability_ + 8), 0, ~u32{0});
  define32(static_cast<u8>(cfg_capability_ + 12), 0, ~u32{0});
  define32(static_cast<u8>(cfg_capability_ + 16), 0, ~u32{0});
}

// Where the window in configuration space looks (4.1.4.9); null: nowhere.
MmioHandler* VirtioPci::window(u64& offset, unsigned& size) {
  const u8 bar = config8(static_cast<u8>(cfg_capability_ + 4));
  offset = config32(static_cast<u8>(cfg_capability_ + 8));
  size = config32(static_cast<u8>(cfg_capability_ + 12));
  if (bar != kStructuresBar || (size != 1 && size != 2 && size != 4)) return nullptr;
  return offset % size == 0 && offset + size <= 4 * kPage ? structures_.get() : nullptr;
}

u32 VirtioPci::config_read(u8 offset, unsigned size) {
  const unsigned data = cfg_capability_ + 16u;
  u64 at;
  unsigned n;
  if (cfg_capability_ != 0 && offset < data + 4 && offset + size > data) {
    if (MmioHandler* w = window(at, n)) poke32(static_cast<u8>(data), static_cast<u32>(w->read(at, n)));
  }
  return PciDevice::config_read(offset, size);
}

void VirtioPci::config_written(u8 offset, unsigned size) {
  if (msix_) msix_->config_written(offset, size);
  set_intx(isr_ != 0 && !(msix_ && msix_->enabled()));
  const unsigned data = cfg_capability_ + 16u;
  u64 at;
  unsigned n;
  if (cfg_capability_ != 0 && offset < data + 4 && offset + size > data) {
    if (MmioHandler* w = window(at, n)) w->write(at, config32(static_cast<u8>(data)) & mask_bits(8 * n), n);
  }
  const bool master = dma_allowed();
  if (master && !was_master_) device_->kick_all();
  was_master_ = master;
}

void VirtioPci::interrupt(u8 isr, u16 vector) {
  if (msix_ && msix_->enabled()) {
    if (vector != kNoVector) msix_->notify(vector);
    return;
  }
  isr_ |= isr;
  set_intx(true);
}

u8 VirtioPci::take_isr() {
  const u8 isr = isr_;
  isr_ = 0;
  set_intx(false);
  return isr;
}

u16 VirtioPci::checked_vector(u64 value) const {
  return msix_ && value < msix_->vectors() ? static_cast<u16>(value) : kNoVector;
}

Virtqueue* VirtioPci::selected() {
  return queue_select_ < device_->queue_count() ? &device_->queue(queue_select_) : nullptr;
}

// What a status of 0 does, and a reset of the bus.
void VirtioPci::reset_device() {
  device_->reset();
  isr_ = 0;
  config_vector_ = kNoVector;
  queue_select_ = 0;
  device_select_ = driver_select_ = 0;
  set_intx(false);
}

void VirtioPci::reset() {
  reset_device();
  PciDevice::reset();
  if (msix_) msix_->reset();
  was_master_ = false;
}

void VirtioPci::archive(StateArchive& ar) {
  ar.field("isr", isr_);
  ar.field("config_vector", config_vector_);
  ar.field("queue_select", queue_select_);
  ar.field("device_select", device_select_);
  ar.field("driver_select", driver_select_);
  if (msix_) msix_->archive(ar);
  PciDevice::archive(ar);
  device_->archive(ar);
  if (!ar.loading()) return;
  was_master_ = dma_allowed();
  set_intx(isr_ != 0 && !(msix_ && msix_->enabled()));
}

std::string VirtioPci::info() const {
  char text[80];
  std::snprintf(text, sizeof text, "interrupts: %s, isr %u\n", msix_ && msix_->enabled() ? "MSI-X" : "INTA#", isr_);
  return PciDevice::info() + text + device_->info();
}

}  // namespace doppel::hw

#include "hw/bus/virtio/virtio_mmio.h"

#include <bit>

#include "base/log.h"

namespace doppel::hw {

using namespace virtio;

namespace {
enum Register : u64 {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kQueueSel = 0x030,
  kQueueNumMax = 0x034,
  kQueueNum = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};
constexpr u32 kMagic = 0x74726976, kVendor = 0x4c505044;  // "virt", "DPPL"

void set_low(u64& value, u32 half) { value = (value & ~u64{0xffffffff}) | half; }
void set_high(u64& value, u32 half) { value = (value & 0xffffffff) | u64{half} << 32; }
}  // namespace

VirtioMmio::VirtioMmio(Params p) : p_(std::move(p)) {
  if (p_.device) p_.device->connect(*this);
}

Virtqueue* VirtioMmio::selected() {
  return queue_select_ < p_.device->queue_count() ? &p_.device->queue(queue_select_) : nullptr;
}

void VirtioMmio::interrupt(u8 bits) {
  interrupt_ |= bits;
  p_.irq.set(interrupt_ != 0);
}

u64 VirtioMmio::read(u64 offset, unsigned size) {
  if (p_.device && offset >= kConfig) return p_.device->config_read(offset - kConfig, size);
  if (offset == kMagicValue) return kMagic;
  if (offset == kVersion) return 2;
  if (offset == kVendorId) return kVendor;
  if (!p_.device) return 0;
  VirtioDevice& d = *p_.device;
  const Virtqueue* q = selected();
  switch (offset) {
    case kDeviceId: return d.traits().id;
    case kDeviceFeatures: return device_select_ < 2 ? d.offered(false) >> (32 * device_select_) & 0xffffffff : 0;
    case kQueueNumMax: return q ? q->max_size() : 0;
    case kQueueReady: return q && q->setup().enabled ? 1 : 0;
    case kInterruptStatus: return interrupt_;
    case kStatus: return d.status();
    case kConfigGeneration: return d.config_generation();
    default: return 0;
  }
}

void VirtioMmio::write(u64 offset, u64 value, unsigned size) {
  if (!p_.device) return;
  VirtioDevice& d = *p_.device;
  const u32 v = static_cast<u32>(value);
  if (offset >= kConfig) {
    d.config_write(offset - kConfig, value, size);
    return;
  }
  switch (offset) {
    case kDeviceFeaturesSel: device_select_ = v; break;
    case kDriverFeaturesSel: driver_select_ = v; break;
    case kDriverFeatures: {
      if (driver_select_ >= 2 || (d.status() & kFeaturesOk)) break;
      u64 features = d.driver_features();
      driver_select_ ? set_high(features, v) : set_low(features, v);
      d.set_driver_features(features);
      break;
    }
    case kQueueSel: queue_select_ = v; break;
    case kQueueNotify: d.notify(v); break;
    case kInterruptAck:
      interrupt_ = static_cast<u8>(interrupt_ & ~v);
      p_.irq.set(interrupt_ != 0);
      break;
    case kStatus:
      if ((v & 0xff) == 0)
        reset();
      else
        d.set_status(static_cast<u8>(v), false);
      break;
    default: queue_write(offset, v);
  }
}

void VirtioMmio::queue_write(u64 offset, u32 v) {
  Virtqueue* q = selected();
  if (q == nullptr) return;
  const VirtioDevice& d = *p_.device;
  Virtqueue::Setup& s = q->setup();
  if (offset == kQueueReady && v == 0) {
    q->reset();
    return;
  }
  if (s.enabled) return;
  switch (offset) {
    case kQueueNum:
      if (d.size_fits(*q, v)) s.size = static_cast<u16>(v);
      break;
    case kQueueReady: s.enabled = v == 1; break;
    case kQueueDescLow: set_low(s.descriptors, v); break;
    case kQueueDescHigh: set_high(s.descriptors, v); break;
    case kQueueDriverLow: set_low(s.driver, v); break;
    case kQueueDriverHigh: set_high(s.driver, v); break;
    case kQueueDeviceLow: set_low(s.device, v); break;
    case kQueueDeviceHigh: set_high(s.device, v); break;
    default: DOPPEL_LOG(GuestErrors, "virtio-mmio: a write at 0x%llx\n", static_cast<unsigned long long>(offset));
  }
}

void VirtioMmio::reset() {
  if (p_.device) p_.device->reset();
  interrupt_ = 0;
  device_select_ = driver_select_ = queue_select_ = 0;
  p_.irq.set(false);
}

void VirtioMmio::archive(StateArchive& ar) {
  ar.field("interrupt", interrupt_);
  ar.field("device_select", device_select_);
  ar.field("driver_select", driver_select_);
  ar.field("queue_select", queue_select_);
  if (p_.device) p_.device->archive(ar);
  if (ar.loading()) p_.irq.set(interrupt_ != 0);
}

void VirtioMmio::sleep() {
  if (p_.device) p_.device->sleep();
}

void VirtioMmio::wake() {
  if (p_.device) p_.device->wake();
}

std::string VirtioMmio::info() const { return p_.device ? p_.device->info() : "empty\n"; }

}  // namespace doppel::hw

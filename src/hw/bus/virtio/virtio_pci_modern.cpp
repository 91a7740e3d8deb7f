// The common configuration structure (virtio 1.2, 4.1.4.3).
#include "base/log.h"
#include "hw/bus/virtio/virtio_pci.h"

namespace doppel::hw {

using namespace virtio;

namespace {
enum Common : u64 {
  kDeviceFeatureSelect = 0,
  kDeviceFeature = 4,
  kDriverFeatureSelect = 8,
  kDriverFeature = 12,
  kConfigMsixVector = 16,
  kNumQueues = 18,
  kDeviceStatus = 20,
  kConfigGeneration = 21,
  kQueueSelect = 22,
  kQueueSize = 24,
  kQueueMsixVector = 26,
  kQueueEnable = 28,
  kQueueNotifyOff = 30,
  kQueueDesc = 32,
  kQueueDriver = 40,
  kQueueDevice = 48,
  kCommonEnd = 64,
};

void set_half(u64& value, bool high, u64 half) {
  value = high ? (value & 0xffffffff) | (half << 32) : (value & ~u64{0xffffffff}) | (half & 0xffffffff);
}
}  // namespace

// The registers as bytes: a read may take any part of them.
u64 VirtioPci::common_read(u64 offset, unsigned size) {
  if (offset + size > kCommonEnd) return 0;
  u8 r[kCommonEnd] = {};
  const u64 offered = device_->offered(false), driver = device_->driver_features();
  store_le<u32>(r + kDeviceFeatureSelect, device_select_);
  if (device_select_ < 2) store_le<u32>(r + kDeviceFeature, static_cast<u32>(offered >> (32 * device_select_)));
  store_le<u32>(r + kDriverFeatureSelect, driver_select_);
  if (driver_select_ < 2) store_le<u32>(r + kDriverFeature, static_cast<u32>(driver >> (32 * driver_select_)));
  store_le<u16>(r + kConfigMsixVector, config_vector_);
  store_le<u16>(r + kNumQueues, static_cast<u16>(device_->queue_count()));
  r[kDeviceStatus] = device_->status();
  r[kConfigGeneration] = device_->config_generation();
  store_le<u16>(r + kQueueSelect, queue_select_);
  if (const Virtqueue* q = selected()) {
    const Virtqueue::Setup& s = q->setup();
    store_le<u16>(r + kQueueSize, s.size);
    store_le<u16>(r + kQueueMsixVector, s.vector);
    store_le<u16>(r + kQueueEnable, s.enabled);
    store_le<u16>(r + kQueueNotifyOff, queue_select_);
    store_le<u64>(r + kQueueDesc, s.descriptors);
    store_le<u64>(r + kQueueDriver, s.driver);
    store_le<u64>(r + kQueueDevice, s.device);
  }
  u64 value = 0;
  for (unsigned i = 0; i < size; i++) value |= u64{r[offset + i]} << (8 * i);
  return value;
}

void VirtioPci::common_write(u64 offset, u64 value, unsigned) {
  switch (offset) {
    case kDeviceFeatureSelect: device_select_ = static_cast<u32>(value); return;
    case kDriverFeatureSelect: driver_select_ = static_cast<u32>(value); return;
    case kDriverFeature:
      if (driver_select_ < 2 && (device_->status() & kFeaturesOk) == 0) {
        u64 features = device_->driver_features();
        set_half(features, driver_select_ == 1, value);
        device_->set_driver_features(features);
      }
      return;
    case kConfigMsixVector: config_vector_ = checked_vector(value); return;
    case kDeviceStatus:
      if ((value & 0xff) == 0)
        reset_device();
      else
        device_->set_status(static_cast<u8>(value), false);
      return;
    case kQueueSelect: queue_select_ = static_cast<u16>(value); return;
    default: break;
  }
  Virtqueue* q = selected();
  if (q == nullptr) return;
  Virtqueue::Setup& s = q->setup();
  if (offset == kQueueMsixVector) {
    s.vector = checked_vector(value);
    return;
  }
  if (s.enabled) return;  // the rest may not change any more
  switch (offset) {
    case kQueueSize:
      if (device_->size_fits(*q, value)) s.size = static_cast<u16>(value);
      return;
    case kQueueEnable: s.enabled = value == 1; return;
    case kQueueDesc:
    case kQueueDesc + 4: set_half(s.descriptors, offset != kQueueDesc, value); return;
    case kQueueDriver:
    case kQueueDriver + 4: set_half(s.driver, offset != kQueueDriver, value); return;
    case kQueueDevice:
    case kQueueDevice + 4: set_half(s.device, offset != kQueueDevice, value); return;
    default:
      DOPPEL_LOG(GuestErrors, "%s: a write at 0x%llx of the common configuration\n", name().c_str(),
                 static_cast<unsigned long long>(offset));
  }
}

}  // namespace doppel::hw

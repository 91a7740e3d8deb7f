// The legacy interface (virtio 1.2, 4.1.4.10 and 2.7.2): registers in ports, each queue in one run of pages.
#include "hw/bus/virtio/virtio_pci.h"

namespace doppel::hw {

using namespace virtio;

namespace {
enum Legacy : u64 {
  kDeviceFeatures = 0,
  kDriverFeatures = 4,
  kQueueAddress = 8,
  kQueueSize = 12,
  kQueueSelect = 14,
  kQueueNotify = 16,
  kDeviceStatus = 18,
  kIsrStatus = 19,
  kConfigVector = 20,  // these two with MSI-X only
  kQueueVector = 22,
};
constexpr u64 kQueueAlign = 4096;
}  // namespace

u64 VirtioPci::legacy_read(u64 offset, unsigned size) {
  if (offset >= legacy_config_at()) return device_->config_read(offset - legacy_config_at(), size);
  const Virtqueue* q = selected();
  switch (offset) {
    case kDeviceFeatures: return device_->offered(true);
    case kDriverFeatures: return device_->driver_features() & 0xffffffff;
    case kQueueAddress: return q && q->setup().enabled ? q->setup().descriptors / kQueueAlign & 0xffffffff : 0;
    case kQueueSize: return q ? q->max_size() : 0;
    case kQueueSelect: return queue_select_;
    case kDeviceStatus: return device_->status();
    case kIsrStatus: return take_isr();
    case kConfigVector: return config_vector_;
    case kQueueVector: return q ? q->setup().vector : kNoVector;
    default: return 0;
  }
}

// Descriptors, available ring, then the used ring on the next page.
void VirtioPci::legacy_place(u32 page) {
  Virtqueue* q = selected();
  if (q == nullptr) return;
  Virtqueue::Setup& s = q->setup();
  const u16 vector = s.vector;
  if (page == 0) {
    q->reset();
    s.vector = vector;
    return;
  }
  if (s.enabled) return;
  s.size = q->max_size();
  s.descriptors = page * kQueueAlign;
  s.driver = s.descriptors + u64{16} * s.size;
  s.device = align_up(s.driver + 6 + u64{2} * s.size, kQueueAlign);
  s.enabled = true;
}

void VirtioPci::legacy_write(u64 offset, u64 value, unsigned size) {
  if (offset >= legacy_config_at()) {
    device_->config_write(offset - legacy_config_at(), value, size);
    return;
  }
  switch (offset) {
    case kDriverFeatures:
      if ((device_->status() & kDriverOk) == 0) device_->set_driver_features(value & device_->offered(true));
      break;
    case kQueueAddress: legacy_place(static_cast<u32>(value)); break;
    case kQueueSelect: queue_select_ = static_cast<u16>(value); break;
    case kQueueNotify: device_->notify(value & 0xffff); break;
    case kDeviceStatus:
      if ((value & 0xff) == 0)
        reset_device();
      else
        device_->set_status(static_cast<u8>(value), true);
      break;
    case kConfigVector: config_vector_ = checked_vector(value & 0xffff); break;
    case kQueueVector:
      if (Virtqueue* q = selected()) q->setup().vector = checked_vector(value & 0xffff);
      break;
    default: break;
  }
}

}  // namespace doppel::hw

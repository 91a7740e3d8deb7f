#include "hw/bus/virtio/virtio_device.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {

using namespace virtio;

VirtioDevice::VirtioDevice(Traits traits, Clock& clock)
    : traits_(std::move(traits)),
      clock_(clock),
      config_(traits_.config_size),
      again_(clock,
             [this] {
               for (u16 i = 0; i < queues_.size(); i++) {
                 if (!wanted_[i]) continue;
                 wanted_[i] = false;
                 notify(i);
               }
             }),
      wanted_(traits_.queues.size()) {
  for (const u16 size : traits_.queues) queues_.emplace_back(size);
}

u64 VirtioDevice::offered(bool legacy) const {
  return legacy ? (traits_.features & 0xffffffff) | kAnyLayout : traits_.features | kVersion1;
}

void VirtioDevice::set_status(u8 value, bool legacy) {
  if (value == 0) {
    reset();
    return;
  }
  const u8 before = status_;
  if ((value & kFeaturesOk) && (before & kFeaturesOk) == 0 && !legacy) {
    const bool good = (driver_features_ & ~offered(false)) == 0 && modern();
    if (!good) {
      DOPPEL_LOG(GuestErrors, "%s: the driver's features %llx are refused\n", traits_.name,
                 static_cast<unsigned long long>(driver_features_));
      value = static_cast<u8>(value & ~kFeaturesOk);
    }
  }
  if (legacy) driver_features_ &= offered(true);
  status_ = static_cast<u8>(value | (before & kNeedsReset));
  if ((status_ & kDriverOk) == 0 || (before & kDriverOk) != 0) return;
  if (!legacy && (status_ & kFeaturesOk) == 0) {
    needs_reset("the driver starts before its features are agreed on");
    return;
  }
  start_queues();
  started();
  kick_all();
}

void VirtioDevice::start_queues() {
  for (Virtqueue& q : queues_)
    q.start(transport_->dma(),
            {.event_idx = has(kEventIdx), .indirect = has(kIndirectDesc), .packed = has(kRingPacked)});
}

void VirtioDevice::notify(size_t index) {
  if (index >= queues_.size()) {
    DOPPEL_LOG(GuestErrors, "%s: there is no queue %zu\n", traits_.name, index);
    return;
  }
  if (usable(index)) handle(static_cast<u16>(index));
}

void VirtioDevice::kick_all() {
  for (size_t i = 0; i < queues_.size(); i++) notify(i);
}

void VirtioDevice::serve_again(u16 index) {
  wanted_[index] = true;
  if (!again_.armed()) again_.arm_in(kPause);
}

void VirtioDevice::finish(u16 index) {
  Virtqueue& q = queues_[index];
  if (q.publish()) transport_->queue_interrupt(q.setup().vector);
  if (q.error() != nullptr && ready()) {
    DOPPEL_LOG(GuestErrors, "%s: queue %u is broken\n", traits_.name, index);
    needs_reset(q.error());
  }
}

void VirtioDevice::needs_reset(const char* why) {
  if (status_ & kNeedsReset) return;
  DOPPEL_LOG(GuestErrors, "%s: needs a reset: %s\n", traits_.name, why);
  status_ |= kNeedsReset;
  if (status_ & kDriverOk) config_changed();
}

void VirtioDevice::config_changed() {
  generation_++;
  if (status_ & kDriverOk) transport_->config_interrupt();
}

void VirtioDevice::poke(size_t offset, u64 value, unsigned size) {
  for (unsigned i = 0; i < size && offset + i < config_.size(); i++)
    config_[offset + i] = static_cast<u8>(value >> (8 * i));
}

u64 VirtioDevice::config_read(u64 offset, unsigned size) const {
  u64 value = 0;
  for (unsigned i = 0; i < size && offset + i < config_.size(); i++) value |= u64{config_[offset + i]} << (8 * i);
  return value;
}

void VirtioDevice::config_write(u64 offset, u64 value, unsigned size) {
  if (offset < config_.size()) config_written(offset, value, size);
}

void VirtioDevice::reset() {
  stopped();
  for (Virtqueue& q : queues_) q.reset();
  again_.disarm();
  std::fill(wanted_.begin(), wanted_.end(), false);
  driver_features_ = 0;
  status_ = 0;
}

void VirtioDevice::archive(StateArchive& ar) {
  if (ar.loading()) stopped();
  ar.field("virtio_status", status_);
  ar.field("driver_features", driver_features_);
  ar.field("config_generation", generation_);
  ar.bytes("device_config", config_);
  for (size_t i = 0; i < queues_.size(); i++) ar.section("queue" + std::to_string(i), [&] { queues_[i].archive(ar); });
  archive_device(ar);
  if (!ar.loading()) return;
  driver_features_ &= offered(false) | offered(true);
  if ((status_ & kDriverOk) == 0) return;
  start_queues();
  for (u16 i = 0; i < queues_.size(); i++) serve_again(i);  // what was waiting
}

std::string VirtioDevice::info() const {
  char text[160];
  std::snprintf(text, sizeof text, "%s: status %02x%s, features %llx of %llx\n", traits_.name, status_,
                status_ & kNeedsReset ? " (needs reset)" : "", static_cast<unsigned long long>(driver_features_),
                static_cast<unsigned long long>(offered(false)));
  std::string out = text;
  for (size_t i = 0; i < queues_.size(); i++) {
    if (queues_[i].setup().enabled) out += "  queue " + std::to_string(i) + ": " + queues_[i].info();
  }
  return out;
}

}  // namespace doppel::hw

// VirtioDevice: what every virtio device is behind its transport (virtio 1.2, chapter 2): features, status, queues,
// configuration space. VirtioTransport is the way out: guest memory and interrupts. A device (block, network...)
// derives from VirtioDevice, names its queues, and serves them in handle(); it never sees whether PCI or memory-mapped
// registers stand in front of it, and whether the driver is a legacy one.
//
// A ring that breaks the rules ends in `kNeedsReset` and a configuration interrupt; until the driver resets the device,
// nothing moves. One call of serve() takes a bounded number of chains; the rest comes from a timer, so that a guest
// which refills a ring from another CPU does not keep the device lock.
//
// Device lock held throughout.
#pragma once
#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "hw/bus/virtio/virtio_defs.h"
#include "hw/bus/virtio/virtqueue.h"
#include "hw/core/clock.h"

namespace doppel::hw {

class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  virtual DmaPort& dma() = 0;
  virtual bool dma_allowed() const = 0;
  virtual void queue_interrupt(u16 vector) = 0;
  virtual void config_interrupt() = 0;
};

class VirtioDevice {
 public:
  struct Traits {
    const char* name = "";  // for messages
    u16 id = 0;
    u64 features = 0;         // of the device and its rings; version 1 and any layout are added by the transport
    std::vector<u16> queues;  // their largest sizes, powers of two
    size_t config_size = 0;
  };
  VirtioDevice(Traits traits, Clock& clock);
  virtual ~VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  // --- the transport's side
  void connect(VirtioTransport& transport) { transport_ = &transport; }
  const Traits& traits() const { return traits_; }
  void offer(u64 features) { traits_.features |= features; }  // besides the device's own; before it is connected
  u64 offered(bool legacy) const;
  u64 driver_features() const { return driver_features_; }
  void set_driver_features(u64 features) { driver_features_ = features; }
  u8 status() const { return status_; }
  void set_status(u8 value, bool legacy);  // 0 resets
  size_t queue_count() const { return queues_.size(); }
  Virtqueue& queue(size_t index) { return queues_[index]; }
  // Whether a driver may choose this size: a split ring's is a power of two.
  bool size_fits(const Virtqueue& q, u64 size) const {
    return size != 0 && size <= q.max_size() && (has(virtio::kRingPacked) || std::has_single_bit(size));
  }
  void notify(size_t index);  // the driver rings the bell of a queue; any number
  void kick_all();
  u8 config_generation() const { return generation_; }
  u64 config_read(u64 offset, unsigned size) const;  // past the end: zero
  void config_write(u64 offset, u64 value, unsigned size);
  void reset();
  void archive(StateArchive& ar);
  virtual void sleep() {}
  virtual void wake() {}
  virtual void leave() {}  // as Device::leave
  virtual std::string info() const;

 protected:
  enum class Serve { Done, Later /* nothing was done: leave the chain where it is */ };
  // New chains in a queue (or perhaps none).
  virtual void handle(u16 queue) = 0;
  virtual void started() {}  // the driver is ready
  virtual void stopped() {}  // reset: forget all requests; the queues are still there
  // The driver wrote to the configuration space; most fields are read only.
  virtual void config_written(u64 offset, u64 value, unsigned size) { (void)offset, (void)value, (void)size; }
  virtual void archive_device(StateArchive& ar) { (void)ar; }

  bool has(u64 feature) const { return (driver_features_ & feature) != 0; }
  bool modern() const { return has(virtio::kVersion1); }
  bool ready() const { return (status_ & virtio::kDriverOk) != 0 && (status_ & virtio::kNeedsReset) == 0; }
  // The device runs and the queue may be used now: for what comes from outside (frames, input).
  bool usable(size_t index) const {
    return ready() && transport_ != nullptr && transport_->dma_allowed() && queues_[index].running();
  }
  // Chains in order while `body(chain)` says Done; it pushes them itself. Then shows the driver what was pushed.
  template <typename Body>
  void serve(u16 index, Body body) {
    Virtqueue& q = queues_[index];
    for (unsigned n = 0; q.pop(chain_); n++) {
      if (n == kChainsAtOnce) {
        q.unpop(1);
        serve_again(index);
        break;
      }
      if (body(chain_) == Serve::Later) {
        q.unpop(1);
        break;
      }
    }
    finish(index);
  }
  void finish(u16 index);  // publishes what was pushed to a queue; looks whether it broke
  void needs_reset(const char* why);
  void config_changed();        // tells the driver
  void serve_again(u16 index);  // handle() it soon
  std::vector<u8>& config() { return config_; }
  void poke(size_t offset, u64 value, unsigned size);  // into the configuration space
  Clock& clock() const { return clock_; }

 private:
  static constexpr unsigned kChainsAtOnce = 1024;
  static constexpr s64 kPause = 50'000;  // ns
  void start_queues();

  Traits traits_;
  Clock& clock_;
  VirtioTransport* transport_ = nullptr;
  std::vector<Virtqueue> queues_;
  std::vector<u8> config_;
  VirtqChain chain_;
  Timer again_;
  std::vector<bool> wanted_;  // queues that again_ handles
  u64 driver_features_ = 0;
  u8 status_ = 0, generation_ = 0;
};

}  // namespace doppel::hw

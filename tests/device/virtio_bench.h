// A virtio driver for tests: a device with guest memory behind it and no transport in front; rings at fixed places, at
// most 64 entries each; what the device tells is counted.
#pragma once
#include <gtest/gtest.h>

#include <mutex>
#include <random>

#include "device/fake_machine.h"
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw::test {

class VirtioBench : private VirtioTransport {
 public:
  static constexpr u64 kRings = 0x10000, kRingStep = 0x1000, kBuffers = 0x80000;
  static constexpr u16 kSize = 64;

  SteppedClock clock;
  std::mutex lock;
  FakeMemory memory{1 << 20};
  std::unique_ptr<VirtioDevice> device;
  unsigned queue_interrupts = 0, config_interrupts = 0;

  template <typename T, typename Params>
  T& make(Params p) {
    auto d = std::make_unique<T>(std::move(p));
    T& ref = *d;
    device = std::move(d);
    device->connect(*this);
    return ref;
  }
  // As a driver does it; `features` beside version 1.
  void start(u64 features) {
    device->set_status(0, false);
    device->set_status(virtio::kAcknowledge | virtio::kDriver, false);
    device->set_driver_features(features | virtio::kVersion1);
    device->set_status(virtio::kAcknowledge | virtio::kDriver | virtio::kFeaturesOk, false);
    ASSERT_TRUE(device->status() & virtio::kFeaturesOk);
    rings_.assign(device->queue_count(), {});
    for (size_t i = 0; i < device->queue_count(); i++) {
      Virtqueue::Setup& s = device->queue(i).setup();
      s.size = std::min(s.size, kSize);
      s.descriptors = ring(i);
      s.driver = ring(i) + 0x400;
      s.device = ring(i) + 0x600;
      s.vector = static_cast<u16>(i);
      s.enabled = true;
      std::fill_n(memory.bytes.begin() + static_cast<std::ptrdiff_t>(ring(i)), kRingStep, u8{0});
    }
    next_ = kBuffers;
    device->set_status(device->status() | virtio::kDriverOk, false);
  }
  static u64 ring(size_t queue) { return kRings + queue * kRingStep; }
  u8* at(u64 pa) { return &memory.bytes[pa]; }
  u64 allocate(size_t size) {
    const u64 pa = next_;
    next_ += align_up(size, 16);
    return pa;
  }

  struct Buffer {
    u64 address;
    u32 length;
    bool writable;
  };
  // Makes a chain available; returns its first descriptor.
  u16 add(size_t queue, const std::vector<Buffer>& buffers) {
    Ring& r = rings_[queue];
    const u16 size = device->queue(queue).setup().size, head = r.next_descriptor;
    for (size_t i = 0; i < buffers.size(); i++) {
      u8* d = at(ring(queue) + 16 * r.next_descriptor);
      r.next_descriptor = static_cast<u16>((r.next_descriptor + 1) % size);
      store_le<u64>(d, buffers[i].address);
      store_le<u32>(d + 8, buffers[i].length);
      store_le<u16>(d + 12, static_cast<u16>((i + 1 < buffers.size() ? 1 : 0) | (buffers[i].writable ? 2 : 0)));
      store_le<u16>(d + 14, r.next_descriptor);
    }
    const u16 index = load_le<u16>(at(ring(queue) + 0x402));
    store_le<u16>(at(ring(queue) + 0x404 + 2 * (index % size)), head);
    store_le<u16>(at(ring(queue) + 0x402), static_cast<u16>(index + 1));
    return head;
  }
  Buffer out(std::vector<u8> bytes) {
    const u64 pa = allocate(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory.bytes.begin() + static_cast<std::ptrdiff_t>(pa));
    return {pa, static_cast<u32>(bytes.size()), false};
  }
  Buffer in(u32 size) { return {allocate(size), size, true}; }
  void kick(size_t queue) { device->notify(queue); }
  u16 used(size_t queue) { return load_le<u16>(at(ring(queue) + 0x602)); }
  u32 used_length(size_t queue, u16 index) {
    return load_le<u32>(at(ring(queue) + 0x604 + 8 * (index % device->queue(queue).setup().size) + 4));
  }
  bool needs_reset() const { return (device->status() & virtio::kNeedsReset) != 0; }
  void take_away_memory(bool gone) { gone_ = gone; }

  // Rings full of half-plausible nonsense, bells at random: nothing may crash, hang or leave guest memory.
  void fuzz(u32 seed, int rounds, u64 features, const std::function<void(std::mt19937&)>& also = {}) {
    std::mt19937 random(seed);
    unsigned broken = 0;
    for (int round = 0; round < rounds; round++) {
      if (round == 0 || needs_reset() || random() % 50 == 0) {
        broken += needs_reset();
        start(features & (u64{random()} << 32 | random()));
      }
      const size_t queue = random() % std::min<size_t>(device->queue_count(), 8);
      for (unsigned n = random() % 4; n > 0; n--) scribble(random, queue);
      kick(queue);
      if (also) also(random);
      if (random() % 16 == 0) clock.advance(60'000);
      if (random() % 64 == 0) device->config_write(random() % 80, random(), 1u << random() % 3);
    }
    EXPECT_GT(broken, 0u) << "the rings were too tame";
    EXPECT_FALSE(device->info().empty());
  }

 private:
  struct Ring {
    u16 next_descriptor = 0;
  };
  void scribble(std::mt19937& random, size_t queue) {
    std::vector<Buffer> chain;
    bool writable = false;
    for (unsigned n = 1 + random() % 5; n > 0; n--) {
      u32 length = random() % 3 ? random() % 64 : random() % 3 ? random() % 3000 : random();
      u64 address = random() % 20 ? random() & 0xfffff : u64{random()} << 16;
      if (random() % 40 == 0) address = ring(queue);  // its own ring
      writable |= random() % 3 == 0;
      if (random() % 100 == 0) writable = false;
      if (address < (1 << 20) && length < (1 << 16) && random() % 2)
        store_le<u32>(at(address & 0xffff0), random() % 16);
      chain.push_back({address, length, writable});
    }
    add(queue, chain);
    if (random() % 12 == 0) *at(ring(queue) + random() % 0x800) = static_cast<u8>(random());
  }
  DmaPort& dma() override { return memory; }
  bool dma_allowed() const override { return !gone_; }
  void queue_interrupt(u16) override { queue_interrupts++; }
  void config_interrupt() override { config_interrupts++; }

  std::vector<Ring> rings_;
  u64 next_ = kBuffers;
  bool gone_ = false;
};

}  // namespace doppel::hw::test

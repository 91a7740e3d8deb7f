// Virtio devices for the conformance suite: behind PCI, with rings in place and a driver that runs; a window whose
// writes change the rings and ring the bells.
#pragma once
#include "device/conformance_rigs.h"
#include "hw/bus/virtio/virtio_mmio.h"
#include "hw/bus/virtio/virtio_pci.h"

namespace doppel::hw::test {

class RingWindow final : public MmioHandler {
 public:
  RingWindow(FakeMemory& memory, VirtioDevice& device) : memory_(memory), device_(device) {}
  u64 read(u64, unsigned) override { return 0; }
  void write(u64 offset, u64 value, unsigned) override {
    u8* const m = memory_.bytes.data();
    const u64 ring = 0x4000 * (1 + offset % 4);
    const u64 where = ring + (value & 0x3ff8);
    store_le<u64>(m + where, value >> 16 & 0x8003000f000fffff);
    const u16 index = load_le<u16>(m + ring + 0x1002);
    store_le<u16>(m + ring + 0x1004 + 2 * (index & 7), static_cast<u16>(value >> 8 & 7));
    store_le<u16>(m + ring + 0x1002, static_cast<u16>(index + (offset & 1)));
    device_.kick_all();
  }

 private:
  FakeMemory& memory_;
  VirtioDevice& device_;
};

class VirtioPortWindow final : public MmioHandler {
 public:
  explicit VirtioPortWindow(PortBus& ports) : ports_(ports) {}
  u64 read(u64 offset, unsigned size) override {
    return ports_.read(static_cast<u16>(0xc000 + (offset & 0x7f)), std::min(size, 4u));
  }
  void write(u64 offset, u64 value, unsigned size) override {
    ports_.write(static_cast<u16>(0xc000 + (offset & 0x7f)), static_cast<u32>(value), std::min(size, 4u));
  }

 private:
  PortBus& ports_;
};

inline void start_virtio(VirtioDevice& d) {
  d.set_status(virtio::kAcknowledge | virtio::kDriver, false);
  d.set_driver_features(d.offered(false));
  for (size_t i = 0; i < std::min<size_t>(d.queue_count(), 4); i++) {
    const u64 ring = 0x4000 * (1 + i);
    d.queue(i).setup() = {
        .size = 8, .vector = 0, .enabled = true, .descriptors = ring, .driver = ring + 0x1000, .device = ring + 0x2000};
  }
  d.set_status(virtio::kAcknowledge | virtio::kDriver | virtio::kFeaturesOk, false);
  d.set_status(virtio::kAcknowledge | virtio::kDriver | virtio::kFeaturesOk | virtio::kDriverOk, false);
}

inline VirtioDevice& build_virtio(Rig& r, std::unique_ptr<VirtioDevice> device) {
  VirtioPci& card = r.make<VirtioPci>(VirtioPci::Params{.device = std::move(device), .vectors = 3});
  r.pci.attach(0x10, card);
  card.reset();
  const std::pair<u8, u32> bars[] = {{0x10, 0xc000}, {0x14, 0xf0000000}, {0x20, 0xf1000000}};
  for (const auto& [at, address] : bars) r.pci.config_write(0, 0x10, at, address, 4);
  r.pci.config_write(0, 0x10, 0x04, 7, 2);
  start_virtio(card.device());
  r.windows.push_back(&r.part<RingWindow>(r.memory, card.device()));
  r.windows.push_back(&r.part<VirtioPortWindow>(r.ports));
  return card.device();
}

inline void build_virtio_mmio(Rig& r, std::unique_ptr<VirtioDevice> device) {
  VirtioDevice& d = *device;
  VirtioMmio& m = r.make<VirtioMmio>(VirtioMmio::Params{.device = std::move(device), .dma = r.memory});
  start_virtio(d);
  r.windows.push_back(&m);
  r.windows.push_back(&r.part<RingWindow>(r.memory, d));
}

}  // namespace doppel::hw::test

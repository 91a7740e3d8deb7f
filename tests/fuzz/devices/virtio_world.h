// A driver of virtio devices: queues of 16 entries at fixed places, chains with requests of the device's kind, and
// lies. The kinds derive from it (virtio.cpp, virtio_storage.cpp, virtio_9p.cpp).
#pragma once
#include <algorithm>

#include "hw/bus/virtio/virtio_mmio.h"
#include "hw/bus/virtio/virtio_pci.h"
#include "world.h"

namespace doppel::fuzz {

using namespace hw;

constexpr u8 kFunction = 0x10;
constexpr u16 kEntries = 16, kPorts = 0xc000;
constexpr u64 kRings = 0x1000, kRingStep = 0x1000, kBuffers = 0x20000, kBufferStep = 0x1000;
constexpr u64 kTables = 0xf0000;  // indirect ones

class VirtioWorld : public World {
 public:
  ~VirtioWorld() override { rig_.device.reset(); }

 protected:
  // A device's own windows come after these.
  void on_pci(std::unique_ptr<VirtioDevice> device) {
    device_ = device.get();
    device_->offer(virtio::kRingPacked);
    VirtioPci& card = rig_.make<VirtioPci>(VirtioPci::Params{.device = std::move(device), .vectors = 3});
    rig_.pci.attach(kFunction, card);
    card.reset();
    place();
    start(~u64{0}, 0);
    rig_.windows.push_back(&rig_.part<Config>(rig_.pci));
    rig_.windows.push_back(&rig_.part<Ports>(rig_.ports));
  }
  void on_mmio(std::unique_ptr<VirtioDevice> device) {
    device_ = device.get();
    device_->offer(virtio::kRingPacked);
    auto& m = rig_.make<VirtioMmio>(VirtioMmio::Params{.device = std::move(device), .dma = rig_.memory});
    start(~u64{0}, 0);
    rig_.windows.push_back(&m);
  }
  struct Config final : MmioHandler {
    explicit Config(PciBus& b) : bus(b) {}
    u64 read(u64 o, unsigned) override { return bus.config_read(0, kFunction, static_cast<u8>(o & 0xfc), 4); }
    void write(u64 o, u64 v, unsigned size) override {
      size = std::min(size, 4u);
      bus.config_write(0, kFunction, static_cast<u8>(o & 0xff & ~u64{size - 1}), static_cast<u32>(v), size);
    }
    PciBus& bus;
  };
  struct Ports final : MmioHandler {
    explicit Ports(PortBus& b) : bus(b) {}
    u64 read(u64 o, unsigned size) override { return bus.read(static_cast<u16>(kPorts + (o & 0x7f)), size); }
    void write(u64 o, u64 v, unsigned size) override {
      bus.write(static_cast<u16>(kPorts + (o & 0x7f)), static_cast<u32>(v), size);
    }
    AccessSizes access_sizes() const override { return {1, 4}; }
    PortBus& bus;
  };
  void place() {
    if (dynamic_cast<VirtioPci*>(rig_.device.get()) == nullptr) return;
    const std::pair<u8, u32> bars[] = {{0x10, kPorts}, {0x14, 0xf0000000}, {0x20, 0xf1000000}};
    for (const auto& [at, address] : bars) rig_.pci.config_write(0, kFunction, at, address, 4);
    rig_.pci.config_write(0, kFunction, 0x04, 7, 2);
  }
  static u64 ring(size_t queue) { return kRings + queue * kRingStep; }
  size_t queues() const { return std::min<size_t>(device_->queue_count(), 16); }
  void store(u64 at, u64 v, unsigned size) { rig_.memory.write(at, &v, size); }
  u16 load16(u64 at) { return rig_.memory.load<u16>(at); }

  // The driver's way up, with some of the features; legacy drivers do not say which they took.
  void start(u64 features, u32 how) {
    using namespace virtio;
    const bool legacy = (how & 7) == 7;
    device_->set_status(0, legacy);
    device_->set_status(kAcknowledge | kDriver, legacy);
    // Packed rings in one of two starts.
    if ((how & 0x100) == 0) features &= ~kRingPacked;
    device_->set_driver_features((device_->offered(legacy) & features) | (legacy ? 0 : kVersion1));
    if (!legacy) device_->set_status(kAcknowledge | kDriver | kFeaturesOk, false);
    for (size_t i = 0; i < queues(); i++) {
      Virtqueue& q = device_->queue(i);
      const u16 size = std::min<u16>(q.max_size(), how & 8 ? u16{4} : kEntries);
      q.setup() = {.size = size,
                   .vector = static_cast<u16>(i % 3),
                   .enabled = (how & 0x70) != 0x70 || i != 0,
                   .descriptors = ring(i),
                   .driver = ring(i) + 0x400,
                   .device = ring(i) + 0x800};
      for (u64 at = 0; at < kRingStep; at += 8) store(ring(i) + at, 0, 8);
    }
    next_.assign(queues(), 0);
    device_->set_status(kAcknowledge | kDriver | kDriverOk | (legacy ? 0 : kFeaturesOk), legacy);
  }
  u64 buffer() { return kBuffers + kBufferStep * (buffer_++ % 64); }

  struct Part {
    u64 address;
    u32 length;
    bool writable;
  };
  void add(size_t queue, const std::vector<Part>& parts, bool indirect) {
    const u16 size = device_->queue(queue).setup().size;
    if (size == 0 || next_.size() <= queue) return;
    if (device_->driver_features() & virtio::kRingPacked) return add_packed(queue, size, parts, indirect);
    const u64 table = indirect ? kTables + 0x400 * (buffer_ % 32) : ring(queue);
    const u16 head = static_cast<u16>(next_[queue] % size);
    for (size_t i = 0; i < parts.size(); i++) {
      const u64 index = indirect ? i : next_[queue]++ % size;
      const u64 next = indirect ? i + 1 : next_[queue] % size;
      store(table + 16 * index, parts[i].address, 8);
      store(table + 16 * index + 8,
            parts[i].length | u64{(i + 1 < parts.size() ? 1u : 0u) | (parts[i].writable ? 2u : 0u)} << 32 | next << 48,
            8);
    }
    if (indirect) {
      store(ring(queue) + u64{16} * head, table, 8);
      store(ring(queue) + u64{16} * head + 8, 16 * parts.size() | u64{4} << 32, 8);
      next_[queue]++;
    }
    const u16 index = load16(ring(queue) + 0x402);
    store(ring(queue) + 0x404 + u64{2} * (index % size), head, 2);
    store(ring(queue) + 0x402, static_cast<u16>(index + 1), 2);
  }
  void add_packed(size_t queue, u16 size, const std::vector<Part>& parts, bool indirect) {
    const u64 table = kTables + 0x400 * (buffer_ % 32);
    const auto put = [&](u64 at, const Part& part, u16 flags) {
      store(at, part.address, 8);
      store(at + 8, part.length | u64{next_[queue]} << 32 | u64{flags} << 48, 8);
    };
    const auto offer = [&](const Part& part, u16 flags) {
      const bool wrap = next_[queue] / size % 2 == 0;
      put(ring(queue) + 16u * (next_[queue] % size), part, static_cast<u16>(flags | (wrap ? 1 << 7 : 1 << 15)));
      next_[queue]++;
    };
    for (size_t i = 0; i < parts.size(); i++) {
      const u16 flags = parts[i].writable ? 2 : 0;
      if (indirect)
        put(table + 16 * i, parts[i], flags);
      else
        offer(parts[i], static_cast<u16>(flags | (i + 1 < parts.size() ? 1 : 0)));
    }
    if (indirect) offer({table, static_cast<u32>(16 * parts.size()), false}, 4);
  }
  // The request's bytes in one or two buffers, then room for an answer, perhaps in two.
  void request(size_t queue, const std::vector<u8>& bytes, u32 room, u32 how) {
    std::vector<Part> parts;
    const size_t cut = how & 1 && !bytes.empty() ? bytes.size() / (1 + (how >> 8 & 7)) : bytes.size();
    for (const auto& [from, to] : {std::pair{size_t{0}, cut}, std::pair{cut, bytes.size()}}) {
      if (from == to) continue;
      const u64 at = buffer();
      rig_.memory.write(at, &bytes[from], to - from);
      parts.push_back({at, static_cast<u32>(to - from), false});
    }
    if (room != 0 && (how & 2)) parts.push_back({buffer(), room / 3, true}), room -= room / 3;
    if (room != 0) parts.push_back({buffer(), room, true});
    if (parts.empty()) return;
    add(queue, parts, (how & 4) != 0);
    if ((how & 8) == 0) device_->notify(queue);
  }

  void drive(u8 what, u32 offset, u64 value) final {
    const size_t queue = offset % queues();
    switch (what & 15) {
      case 0: start(offset & 0x1000 ? value | virtio::kRingPacked : ~u64{0}, offset); break;
      case 1: {  // a chain of no meaning
        std::vector<Part> parts;
        for (unsigned i = 0; i <= (value & 3); i++) {
          const u64 f = value >> (4 + 15 * i);
          parts.push_back({f & 0x4000 ? u64{f << 12} : buffer() + (f & 7),
                           static_cast<u32>(f >> 3 & 3 ? f >> 5 & 0x7f : f >> 5 << 8), (offset >> (8 + i) & 1) != 0});
        }
        add(queue, parts, (value & 8) != 0);
        device_->notify(queue);
        break;
      }
      case 2: store(ring(queue) + (offset >> 4 & 0xfff), value, 2); break;  // a lie in the ring
      case 3: device_->notify(queue); break;
      case 4:  // room for what the device says by itself
        for (unsigned i = 0; i <= (value & 7); i++)
          add(queue, {{buffer(), static_cast<u32>(value >> 8 & 0xfff), true}}, (value & 0x80) != 0);
        device_->notify(queue);
        break;
      case 5: device_->config_write(offset & 0x7f, value, 1u << (offset >> 8) % 3); break;
      case 6: place(); break;
      case 7:
      case 8:
      case 9: outside(what & 3, offset, value); break;
      default: ask(what & 7, offset, value);
    }
  }
  virtual void ask(u8 what, u32 offset, u64 value) = 0;  // requests of the device's kind
  virtual void outside(u8, u32, u64) {}                  // what the host does
  VirtioDevice* device_ = nullptr;

 private:
  std::vector<u16> next_;  // descriptor to take, each queue
  u64 buffer_ = 0;
};

inline void put(std::vector<u8>& v, u64 value, unsigned size) {
  for (unsigned i = 0; i < size; i++) v.push_back(static_cast<u8>(value >> 8 * i));
}

}  // namespace doppel::fuzz

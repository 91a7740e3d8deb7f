// Drivers of the network cards on PCI.
#include "cable.h"
#include "hw/net/e1000.h"
#include "hw/net/ne2000.h"
#include "hw/net/pcnet.h"
#include "hw/net/rtl8139.h"
#include "world.h"

namespace doppel::fuzz {
namespace {

constexpr u8 kFunction = 0x10;
constexpr u16 kPorts = 0xc000;
constexpr u64 kMmio = 0xf0000000, kReceive = 0x10000, kSend = 0x20000, kBuffers = 0x40000;

// Steps 8 and up are the same for every card: frames, room, the link.
template <typename Card>
class CardWorld : public World {
 public:
  CardWorld() : end_(true) {
    card_ =
        &rig_.make<Card>(hw::NicParams{.port = end_.port, .clock = rig_.clock, .device_lock = rig_.lock, .rom = {}});
    rig_.pci.attach(kFunction, *card_);
    card_->reset();
    place();
    rig_.windows.push_back(&rig_.part<Config>(rig_.pci));
    rig_.windows.push_back(&rig_.part<Ports>(rig_.ports));
  }
  ~CardWorld() override { rig_.device.reset(); }
  std::string complaint() override { return end_.cable->complaint; }

 protected:
  class Config final : public hw::MmioHandler {
   public:
    explicit Config(hw::PciBus& bus) : bus_(bus) {}
    u64 read(u64 o, unsigned) override { return bus_.config_read(0, kFunction, static_cast<u8>(o & 0xfc), 4); }
    void write(u64 o, u64 v, unsigned size) override {
      size = std::min(size, 4u);
      bus_.config_write(0, kFunction, static_cast<u8>(o & 0xff & ~u64{size - 1}), static_cast<u32>(v), size);
    }

   private:
    hw::PciBus& bus_;
  };
  class Ports final : public hw::MmioHandler {
   public:
    explicit Ports(hw::PortBus& bus) : bus_(bus) {}
    u64 read(u64 o, unsigned size) override { return bus_.read(static_cast<u16>(kPorts + (o & 0xff)), size); }
    void write(u64 o, u64 v, unsigned size) override {
      bus_.write(static_cast<u16>(kPorts + (o & 0xff)), static_cast<u32>(v), size);
    }
    hw::AccessSizes access_sizes() const override { return {1, 4}; }

   private:
    hw::PortBus& bus_;
  };
  void place() {
    const bool ports_first = (rig_.pci.config_read(0, kFunction, 0x10, 4) & 1) != 0;
    rig_.pci.config_write(0, kFunction, 0x10, ports_first ? kPorts : static_cast<u32>(kMmio), 4);
    rig_.pci.config_write(0, kFunction, 0x14, ports_first ? static_cast<u32>(kMmio) : kPorts, 4);
    rig_.pci.config_write(0, kFunction, 0x04, 7, 2);
  }
  void drive(u8 what, u32 offset, u64 value) final {
    switch (what & 15) {
      case 8:
      case 9:
      case 10:
      case 11: end_.frame(offset, value); break;
      case 12: end_.cable->work(); break;
      case 13: end_.link(value); break;
      case 14: place(); break;
      case 15: card_->room_to_send(); break;
      default: card_step(what & 7, offset, value);
    }
  }
  virtual void card_step(u8 what, u32 offset, u64 value) = 0;
  void out(u32 port, u64 v, unsigned size) {
    rig_.ports.write(static_cast<u16>(kPorts + port), static_cast<u32>(v), size);
  }
  void store(u64 at, u64 v, unsigned size) { rig_.memory.write(at, &v, size); }
  void put_frame(u64 at, u64 value) {
    const std::vector<u8> f = make_frame(end_.port->mac(), value);
    if (!f.empty()) rig_.memory.write(at, f.data(), f.size());
  }
  CableEnd end_;
  Card* card_ = nullptr;
};

class E1000World final : public CardWorld<hw::E1000> {
  static constexpr u32 kEntries = 16;
  void reg(u32 at, u64 v) {
    if (auto* m = rig_.address_bus.at(kMmio); m != nullptr && m->handler != nullptr)
      m->handler->write(at, v & 0xffffffff, 4);
  }
  void card_step(u8 what, u32 offset, u64 value) override {
    using namespace hw::e1000;
    const u32 slot = offset % kEntries;
    switch (what) {
      case 0:
        reg(kRdbal, kReceive), reg(kRdbah, 0), reg(kRdlen, kEntries * 16), reg(kRdh, 0), reg(kRdt, value & 15);
        reg(kTdbal, kSend), reg(kTdbah, 0), reg(kTdlen, kEntries * 16), reg(kTdh, 0), reg(kTdt, 0);
        reg(kTctl, kTctlEn), reg(kIms, value >> 8), reg(kRctl, kRctlEn | (value >> 16 & 0x067ffffc));
        break;
      case 1:  // receive descriptors
        for (u32 i = 0; i < kEntries; i++) store(kReceive + 16 * i, kBuffers + 0x1000 * i + (value & 0xff), 8);
        reg(kRdt, value >> 8 & 15);
        break;
      case 2:  // legacy
        put_frame(kBuffers + 0x1000 * slot, value);
        store(kSend + 16 * slot, kBuffers + 0x1000 * slot, 8);
        store(kSend + 16 * slot + 8,
              (value >> 8 & 0x7ff) | (value >> 40 & 0xff) << 16 | (value >> 48 & 0xdf) << 24 | (value & 0x3f) << 40, 8);
        break;
      case 3:  // context
        store(kSend + 16 * slot, value, 8);
        store(kSend + 16 * slot + 8,
              (value >> 7 & 0x3fff) | u64{0x20 | (offset >> 8 & 7)} << 24 | (value & 0x7f) << 40 |
                  (value >> 20 & 0xfff) << 48,
              8);
        break;
      case 4:  // data
        put_frame(kBuffers + 0x1000 * slot, value);
        store(kSend + 16 * slot, kBuffers + 0x1000 * slot, 8);
        store(kSend + 16 * slot + 8,
              (value >> 8 & (offset & 0x1000 ? 0xffff : 0x7ff)) | 1u << 20 | u64{0x20 | (offset >> 4 & 0xdf)} << 24 |
                  (value & 3) << 40,
              8);
        break;
      case 5: reg(kTdt, offset % 17); break;
      case 6: reg(kCtrl, value), reg(kRxcsum, value >> 32 & 0x3ff), reg(kVet, 0x8100); break;
      default: reg(offset & 0x5ffc, value);
    }
  }
};

class Rtl8139World final : public CardWorld<hw::Rtl8139> {
  void card_step(u8 what, u32 offset, u64 value) override {
    const u32 slot = offset & 3;
    switch (what) {
      case 0:
        out(0x30, kReceive, 4), out(0x37, 0x0c, 1), out(0x3c, value, 2), out(0x44, value >> 16, 4),
            out(0x40, value >> 32, 4);
        break;
      case 1:
      case 2:
      case 3:
        put_frame(kBuffers + 0x800 * slot, value);
        out(0x20 + 4 * slot, kBuffers + 0x800 * slot, 4);
        out(0x10 + 4 * slot, value >> 8 & 0x1fff, 4);
        break;
      case 4: out(0x38, value, 2); break;
      case 5: out(0x3e, value, 2); break;
      case 6: out(0x54, value, 4), out(0x48, 0, 4); break;
      default: out(offset & 0xff, value, 1u << (offset >> 8) % 3);
    }
  }
};

class Ne2000World final : public CardWorld<hw::Ne2000> {
  void registers(u8 page, u32 at, u64 v) { out(0, 2 | page << 6, 1), out(at, v, 1); }
  void card_step(u8 what, u32 offset, u64 value) override {
    switch (what) {
      case 0:
        registers(0, 1, 0x46), registers(0, 2, 0x80), registers(0, 3, 0x46), registers(1, 7, 0x47);
        registers(0, 12, value & 0x3f), registers(0, 13, value >> 8 & 7), registers(0, 14, value >> 16),
            registers(0, 15, value >> 24);
        break;
      case 1:  // remote write
        registers(0, 8, offset), registers(0, 9, offset >> 8 & 0x7f), registers(0, 10, value >> 8),
            registers(0, 11, value >> 16 & 7);
        out(0, 0x12, 1);
        for (unsigned i = 0; i < (value & 0x3ff); i++) out(0x10, value >> 8 * (i & 7), 1u << (value >> 60) % 3);
        break;
      case 2:
        registers(0, 4, 0x40 + (offset & 0x3f)), registers(0, 5, value), registers(0, 6, value >> 8 & 7);
        out(0, 0x26, 1);
        break;
      case 3: registers(0, 3, value); break;
      case 4: registers(0, 7, value); break;
      case 5: registers(static_cast<u8>(offset >> 8 & 3), offset & 15, value); break;
      case 6: out(0, 0x1a, 1); break;
      default: rig_.ports.read(static_cast<u16>(kPorts + (offset & 0x1f)), 1u << offset % 3);
    }
  }
};

class PcnetWorld final : public CardWorld<hw::Pcnet> {
  void csr(u32 n, u64 v) { out(0x12, n, 2), out(0x10, v, 2); }
  void card_step(u8 what, u32 offset, u64 value) override {
    const u64 rx = kReceive, tx = kSend;
    const u32 slot = offset & 7;
    switch (what) {
      case 0:  // initialization block, style 2
        rig_.ports.read(kPorts + 0x14, 2);
        out(0x12, 20, 2), out(0x16, offset & 3, 2);
        store(0x8000, (value & 0xffff) | 0x33ull << 20 | u64{0x3} << 28, 8);
        store(0x8004, 0x563412005452, 8), store(0x800c, value, 8), store(0x8014, rx, 4), store(0x8018, tx, 4);
        csr(1, 0x8000), csr(2, 0), csr(0, 1), csr(0, 0x42 | (value >> 32 & 0x40));
        break;
      case 1:
        for (u32 i = 0; i < 8; i++) {
          store(rx + 16 * i, kBuffers + 0x1000 * i, 4);
          store(rx + 16 * i + 4, 0x80000000 | 0xf000 | (value >> 4 * i & 0xfff), 4);
          store(rx + 16 * i + 8, 0, 8);
        }
        csr(0, 0x48);
        break;
      case 2:
      case 3:
        put_frame(kBuffers + 0x1000 * slot, value);
        store(tx + 16 * slot, kBuffers + 0x1000 * slot, 4);
        store(tx + 16 * slot + 8, 0, 8);
        store(tx + 16 * slot + 4, 0x80000000 | (offset >> 8 & 0x7f) << 24 | 0xf000 | (0x1000 - (value >> 8 & 0x7ff)),
              4);
        csr(0, 0x48);
        break;
      case 4: csr(offset & 0x7f, value); break;
      case 5: out(0x12, offset & 0x3f, 2), out(0x16, value, 2); break;
      case 6: csr(0, value); break;
      default: out(offset & 0x1f, value, 1u << (offset >> 8) % 3);
    }
  }
};

}  // namespace

std::vector<Family> network_families() {
  return {{"e1000", [] { return std::make_unique<E1000World>(); }},
          {"rtl8139", [] { return std::make_unique<Rtl8139World>(); }},
          {"ne2k_pci", [] { return std::make_unique<Ne2000World>(); }},
          {"pcnet", [] { return std::make_unique<PcnetWorld>(); }}};
}

}  // namespace doppel::fuzz

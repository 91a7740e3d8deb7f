// Virtio's network card, consoles, random numbers, balloon and input devices.
#include "cable.h"
#include "chardev/devices.h"
#include "hw/char/virtio_serial.h"
#include "hw/input/virtio_input.h"
#include "hw/misc/virtio_balloon.h"
#include "hw/misc/virtio_rng.h"
#include "hw/net/virtio_net.h"
#include "virtio_world.h"

namespace doppel::fuzz {
namespace {

class Net final : public VirtioWorld {
 public:
  Net() : end_(true) {
    on_pci(std::make_unique<VirtioNet>(
        VirtioNet::Params{.port = end_.port, .clock = rig_.clock, .device_lock = rig_.lock, .queue_pairs = 2}));
  }
  ~Net() override { rig_.device.reset(); }
  std::string complaint() override { return end_.cable->complaint; }
  void ask(u8 what, u32 offset, u64 value) override {
    std::vector<u8> b;
    if (what < 4) {  // the control queue
      static constexpr u8 kCommands[][2] = {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {1, 0},
                                            {1, 1}, {2, 0}, {2, 1}, {4, 0}, {5, 0}, {3, 0}};
      const auto& c = kCommands[value % std::size(kCommands)];
      put(b, c[0], 1), put(b, c[1], 1);
      if (c[0] == 1 && c[1] == 0)
        for (int t = 0; t < 2; t++) {
          const u64 n = value >> (8 + 8 * t) & 7;
          put(b, value >> 40 & 1 ? value : n, 4), b.resize(b.size() + 6 * n, static_cast<u8>(value >> 16));
        }
      else
        put(b, value >> 8, c[0] == 1 ? 6 : c[0] == 5 ? 8 : value >> 60 & 1 ? 0 : c[0] == 0 ? 1 : 2);
      request(4, b, 1, offset >> 4);
      return;
    }
    b.resize(12);
    b[0] = static_cast<u8>(value >> 40 & 3), b[1] = static_cast<u8>(offset >> 12 & 0x87);
    store_le<u16>(&b[2], static_cast<u16>(value >> 44 & 0x7f)), store_le<u16>(&b[4], static_cast<u16>(value >> 48));
    store_le<u16>(&b[6], static_cast<u16>(value >> 52 & 0x3f)), store_le<u16>(&b[8], static_cast<u16>(value >> 58));
    const std::vector<u8> frame = make_frame(end_.port->mac(), value);
    b.insert(b.end(), frame.begin(), frame.end());
    request(offset & 1 ? 3 : 1, b, 0, offset >> 4);
  }
  void outside(u8 what, u32 offset, u64 value) override {
    if (what == 0) return end_.cable->work();
    if (what == 3 && (offset & 7) == 0) return end_.link(value);
    end_.frame(offset, value);
  }

 private:
  CableEnd end_;
};

class Serial final : public VirtioWorld {
 public:
  Serial() {
    VirtioSerial::Params p{.clock = rig_.clock, .device_lock = rig_.lock, .max_ports = 3};
    for (auto& r : rings_) r = std::make_shared<chardev::RingBuffer>(4096);
    p.ports.push_back({.number = 0, .console = true, .chardev = rings_[0]});
    p.ports.push_back({.number = 1, .name = "org.test", .chardev = rings_[1]});
    auto device = std::make_unique<VirtioSerial>(std::move(p));
    serial_ = device.get();
    on_pci(std::move(device));
  }
  ~Serial() override { rig_.device.reset(); }
  void ask(u8 what, u32 offset, u64 value) override {
    std::vector<u8> b;
    if (what < 5) {
      put(b, value & 3 ? value & 1 : value >> 8, 4), put(b, value >> 4 & 7, 2), put(b, value >> 16 & 1, 2);
      b.resize(8 + (value >> 20 & 15));
      request(3, b, 0, offset >> 4);
      return;
    }
    b.resize(value & 0x3ff, static_cast<u8>(value >> 12));
    request(offset & 1 ? 1 : 5, b, 0, offset >> 4);
  }
  // The host types; ports come and go.
  void outside(u8 what, u32 offset, u64 value) override {
    const u32 number = offset >> 4 & 3;
    if (what != 1 || number == 3)
      return rings_[offset & 1]->type(std::string(value & 0xff, static_cast<char>(value >> 8)));
    if (!serial_->unplug(number))
      serial_->plug({.number = number,
                     .console = (value & 1) != 0,
                     .name = std::string(value >> 8 & 63, 'n'),
                     .chardev = rings_[offset & 1]});
  }

 private:
  VirtioSerial* serial_ = nullptr;
  std::shared_ptr<chardev::RingBuffer> rings_[2];
};

class Rng final : public VirtioWorld {
 public:
  Rng() { on_pci(std::make_unique<VirtioRng>(VirtioRng::Params{.clock = rig_.clock, .repeatable = true})); }
  void ask(u8, u32 offset, u64 value) override { request(0, {}, static_cast<u32>(value & 0xffff), offset >> 4); }
};

class Balloon final : public VirtioWorld {
 public:
  Balloon() {
    auto device = std::make_unique<VirtioBalloon>(VirtioBalloon::Params{
        .clock = rig_.clock, .ram_bytes = 1 << 20, .free_page_reporting = true, .release = [this](u64 pa, u64 size) {
          if (pa % 4096 != 0 || size % 4096 != 0) complaint_ = "pages that are none were released";
        }});
    balloon_ = device.get();
    on_pci(std::move(device));
  }
  void ask(u8 what, u32 offset, u64 value) override {
    std::vector<u8> b;
    if (what < 4)
      for (u64 i = value & 31; i > 0; i--) put(b, (value >> 8) + i * (value >> 40 & 3), 4);
    else if (what < 6)
      for (u64 i = value & 15; i > 0; i--) put(b, i ^ (value >> 60), 2), put(b, value, 8);
    if (what >= 6) return request(3 % queues(), {}, static_cast<u32>(value & 0x3fff), offset >> 4);
    request(what < 4 ? offset & 1 : 2, b, 0, offset >> 4);
  }
  void outside(u8 what, u32, u64 value) override {
    if (what & 1)
      balloon_->refresh_stats();
    else
      balloon_->set_target(value & 0x3fffff);
  }
  std::string complaint() override { return complaint_; }

 private:
  VirtioBalloon* balloon_ = nullptr;
  std::string complaint_;
};

class Input final : public VirtioWorld {
 public:
  explicit Input(VirtioInput::Kind kind) {
    auto device = std::make_unique<VirtioInput>(VirtioInput::Params{.clock = rig_.clock, .kind = kind});
    input_ = device.get();
    on_pci(std::move(device));
  }
  void ask(u8, u32 offset, u64 value) override {
    std::vector<u8> b;
    put(b, value, 8);
    b.resize(value >> 60 & 1 ? 8 : value >> 56 & 15);
    request(1, b, 0, offset >> 4);
  }
  void outside(u8 what, u32, u64 value) override {
    if (what == 0) input_->key(static_cast<u32>(value & 0xff), (value >> 8 & 1) != 0);
    if (what == 1)
      input_->move(static_cast<int>(value), static_cast<int>(value >> 32), static_cast<s8>(value >> 16),
                   static_cast<u32>(value >> 8 & 31));
    if (what == 3)
      input_->point(static_cast<int>(value & 0xffff), static_cast<int>(value >> 32), static_cast<s8>(value >> 16),
                    static_cast<u32>(value >> 8 & 31));
  }

 private:
  VirtioInput* input_;
};

}  // namespace

std::vector<Family> virtio_families() {
  return {{"virtio_net", [] { return std::make_unique<Net>(); }},
          {"virtio_serial", [] { return std::make_unique<Serial>(); }},
          {"virtio_rng", [] { return std::make_unique<Rng>(); }},
          {"virtio_balloon", [] { return std::make_unique<Balloon>(); }},
          {"virtio_input", [] { return std::make_unique<Input>(VirtioInput::Kind::Keyboard); }},
          {"virtio_tablet", [] { return std::make_unique<Input>(VirtioInput::Kind::Tablet); }}};
}

}  // namespace doppel::fuzz

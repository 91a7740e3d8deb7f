// A driver of virtio devices: queues of 16 entries at fixed places, chains with requests of the device's kind, and
// lies.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "block/memory_node.h"
#include "cable.h"
#include "chardev/devices.h"
#include "hw/block/scsi_cd.h"
#include "hw/block/scsi_disk.h"
#include "hw/block/virtio_blk.h"
#include "hw/block/virtio_scsi.h"
#include "hw/bus/virtio/virtio_mmio.h"
#include "hw/bus/virtio/virtio_pci.h"
#include "hw/char/virtio_serial.h"
#include "hw/input/virtio_input.h"
#include "hw/misc/virtio_9p.h"
#include "hw/misc/virtio_balloon.h"
#include "hw/misc/virtio_rng.h"
#include "hw/net/virtio_net.h"
#include "world.h"

namespace doppel::fuzz {
namespace {

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

void put(std::vector<u8>& v, u64 value, unsigned size) {
  for (unsigned i = 0; i < size; i++) v.push_back(static_cast<u8>(value >> 8 * i));
}

class Blk : public VirtioWorld {
 public:
  explicit Blk(bool mmio) {
    auto device =
        std::make_unique<VirtioBlk>(VirtioBlk::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 16),
                                                      .clock = rig_.clock,
                                                      .device_lock = rig_.lock,
                                                      .serial = "fuzz",
                                                      .queues = 2,
                                                      .synchronous = true});
    mmio ? on_mmio(std::move(device)) : on_pci(std::move(device));
  }
  void ask(u8 what, u32 offset, u64 value) override {
    static constexpr u8 kTypes[] = {0, 1, 4, 8, 11, 13, 14, 0};
    std::vector<u8> b;
    put(b, kTypes[what & 7], 4), put(b, value >> 60, 4), put(b, value & 0x10000 ? value : value & 0xff, 8);
    if (kTypes[what & 7] == 1) b.resize(16 + (value >> 20 & 7) * 512);
    if (kTypes[what & 7] >= 11)
      for (u64 n = value >> 20 & 3; n-- > 0;)
        put(b, value >> 24 & 0xff, 8), put(b, value >> 32 & 0xff, 4), put(b, value >> 40 & 3, 4);
    request(offset & 1, b, static_cast<u32>(1 + (value >> 48 & 7) * (value & 0x8000 ? 512 : 20)), offset >> 4);
  }
};

class Scsi final : public VirtioWorld {
 public:
  Scsi() {
    VirtioScsi::Params p{.clock = rig_.clock, .queues = 2};
    p.units.push_back({0, 0,
                       std::make_unique<ScsiDisk>(ScsiDisk::Params{
                           .node = std::make_shared<block::MemoryNode>(u64{1} << 16), .serial = "s1"})});
    p.units.push_back(
        {1, 2,
         std::make_unique<ScsiCd>(AtapiCd::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 16, true)})});
    on_pci(std::make_unique<VirtioScsi>(std::move(p)));
  }
  void ask(u8 what, u32 offset, u64 value) override {
    if (what == 2) {  // the control queue
      std::vector<u8> b;
      put(b, value & 3, 4), put(b, value >> 2 & 7, 4), b.push_back(1), b.push_back(value >> 8 & 1), b.push_back(0),
          b.push_back(value >> 9 & 3);
      put(b, 0, 4), put(b, value >> 16, 8);
      request(0, b, 5, offset >> 4);
      return;
    }
    static constexpr u8 kCommands[] = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x2a, 0x2e, 0x2f, 0x35,
                                       0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x55, 0x5a, 0x88, 0x8a, 0x91, 0x93,
                                       0x9e, 0xa0, 0xa8, 0xaa, 0xad, 0xbd, 0x08, 0x0a, 0x15, 0x04, 0x4d};
    std::vector<u8> b;
    b.push_back((value >> 56) == 0xff ? 0 : 1), b.push_back(static_cast<u8>(value >> 1 & 1)), b.push_back(0),
        b.push_back(static_cast<u8>(value & 1   ? value >> 57
                                    : value & 2 ? 2
                                                : 0));
    put(b, 0, 8), put(b, 0, 3);  // head, tag, task attribute
    b.resize(19);
    b.push_back(kCommands[(value >> 2) % sizeof kCommands]);
    for (unsigned i = 1; i < 16; i++)
      b.push_back(static_cast<u8>(offset & 0x100u << (i & 7) ? value >> (8 + 3 * i)
                                  : i == 5 || i == 8         ? value >> 8 & 15
                                                             : 0));
    b.resize(51);
    if (what & 4) b.resize(51 + (value >> 16 & 7) * 256);
    request(2 + (offset & 1), b, static_cast<u32>(108 + (value >> 32 & 0x7ff)), offset >> 4);
  }
};

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
    on_pci(std::make_unique<VirtioSerial>(std::move(p)));
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
  void outside(u8, u32 offset, u64 value) override {
    rings_[offset & 1]->type(std::string(value & 0xff, static_cast<char>(value >> 8)));
  }

 private:
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

// A folder of few files, and one beside it that no guest may see; made again now and then.
class SharedFolder {
 public:
  static constexpr char kSecret[] = "never to be seen by a guest";
  SharedFolder() {
    char name[] = "/tmp/doppel-fuzz.XXXXXX";
    top_ = ::mkdtemp(name);
    std::ofstream(top_ / "secret") << kSecret;
    fill();
  }
  ~SharedFolder() { remove_all(top_); }
  std::string path() {
    if (++uses_ % 256 == 0) {
      remove_all(top_ / "shared");
      fill();
    }
    return (top_ / "shared").string();
  }
  bool intact() const {
    std::ifstream f(top_ / "secret");
    const std::string text{std::istreambuf_iterator<char>(f), {}};
    return text == kSecret && std::distance(std::filesystem::directory_iterator(top_), {}) == 2;
  }

 private:
  static void remove_all(const std::filesystem::path& p) {
    std::error_code e;
    std::filesystem::remove_all(p, e);
  }
  void fill() {
    std::filesystem::create_directories(top_ / "shared/d/e");
    std::ofstream(top_ / "shared/f") << std::string(5000, 'f');
    std::ofstream(top_ / "shared/d/g") << "g";
    if (::symlink("../../secret", (top_ / "shared/d/out").c_str()) != 0) std::abort();
  }
  std::filesystem::path top_;
  unsigned uses_ = 0;
};

class Share final : public VirtioWorld {
 public:
  explicit Share(share::Folder::Model model) {
    static SharedFolder shared;
    folder_ = &shared;
    auto folder = share::Folder::open({.path = shared.path(), .model = model});
    on_pci(std::make_unique<Virtio9p>(Virtio9p::Params{.clock = rig_.clock, .folder = folder.take(), .tag = "tag"}));
    message(
        100, [](auto& b) { put(b, 8192, 4), text(b, "9P2000.L"); }, 0);
    message(
        104, [](auto& b) { put(b, 0, 4), put(b, ~u64{0}, 4), text(b, ""), text(b, ""), put(b, 0, 4); }, 0);
  }
  void ask(u8, u32 offset, u64 value) override {
    static constexpr u8 kTypes[] = {110, 110, 110, 12, 14, 116, 118, 40,  24,  26,  72,  18,  16, 22, 70,  20,
                                    74,  122, 76,  8,  50, 52,  54,  120, 120, 104, 108, 100, 30, 32, 102, 6};
    const u8 type = kTypes[offset % std::size(kTypes)];
    const u64 fid = value & 3, other = value >> 2 & 3;
    message(
        type,
        [&](std::vector<u8>& b) {
          const auto name = [&](unsigned bits) { text(b, names(value >> bits)); };
          put(b, fid, 4);
          switch (type) {
            case 110:
              put(b, other, 4), put(b, value >> 4 & 3, 2);
              for (u64 i = 0; i < (value >> 4 & 3); i++) name(static_cast<unsigned>(8 + 4 * i));
              break;
            case 12: put(b, value >> 8 & 0x1e43, 4); break;
            case 14: name(4), put(b, value >> 8 & 0x1e43, 4), put(b, value >> 20, 4), put(b, 0, 4); break;
            case 116:
            case 40:
              put(b, value >> 8 & 0xffff, value >> 60 ? 2 : 8), b.resize(b.size() + (value >> 60 ? 6 : 0)),
                  put(b, value >> 32 & 0xffff, 4);
              break;
            case 118: {
              const u64 n = value >> 32 & 0x3ff;
              put(b, value >> 8 & 0xfff, 8), put(b, n + (value >> 63), 4), b.resize(b.size() + n);
              break;
            }
            case 24: put(b, value, 8); break;
            case 26:
              put(b, value >> 8, 4), put(b, value >> 16, 4), put(b, value, 4), put(b, value >> 3, 4),
                  put(b, value >> 44 & 0xffff, 8), b.resize(b.size() + 32);
              break;
            case 72: name(4), put(b, value >> 8, 4), put(b, 0, 4); break;
            case 18:
              name(4), put(b, value >> 8, 4), put(b, value >> 16, 4), put(b, value >> 24, 4), put(b, 0, 4);
              break;
            case 16: name(4), name(8), put(b, 0, 4); break;
            case 70:
            case 20: put(b, other, 4), name(8); break;
            case 74: name(8), put(b, other, 4), name(12); break;
            case 76: name(8), put(b, value & 0x200, 4); break;
            case 30: put(b, other, 4), text(b, attribute(value >> 8)); break;
            case 32: text(b, attribute(value >> 8)), put(b, value >> 16 & 0xff, 8), put(b, value >> 4 & 3, 4); break;
            case 104: put(b, ~u64{0}, 4), text(b, ""), text(b, ""), put(b, value >> 8, 4); break;
            case 100: text(b, "9P2000.L"); break;
            default: b.resize(b.size() + (value >> 8 & 63), static_cast<u8>(value >> 16));
          }
        },
        offset >> 5, static_cast<u32>(value >> 56 & 1 ? 11 + (value >> 48 & 0xff) : 0x1000));
  }
  std::string complaint() override { return folder_->intact() ? "" : "a file outside of the folder was changed"; }

 private:
  static std::string names(u64 bits) {
    static const std::string kNames[] = {"f",
                                         "d",
                                         "e",
                                         "g",
                                         "out",
                                         "..",
                                         ".",
                                         "new",
                                         "a/b",
                                         "",
                                         "x",
                                         "lnk",
                                         std::string(300, 'n'),
                                         ".virtfs_metadata",
                                         "secret",
                                         "y"};
    return kNames[bits & 15];
  }
  static std::string attribute(u64 bits) {
    static const std::string kNames[] = {"",
                                         "user.a",
                                         "user.b",
                                         "user.virtfs.uid",
                                         "security.x",
                                         "trusted.t",
                                         "user." + std::string(300, 'a'),
                                         "system.posix_acl_access"};
    return kNames[bits & 7];
  }
  static void text(std::vector<u8>& b, const std::string& s) {
    put(b, s.size(), 2);
    b.insert(b.end(), s.begin(), s.end());
  }
  template <typename Body>
  void message(u8 type, Body body, u32 how, u32 room = 0x1000) {
    std::vector<u8> b(4);
    b.push_back(type), put(b, 1, 2);
    body(b);
    store_le<u32>(b.data(), static_cast<u32>(b.size()));
    request(0, b, room, how);
  }
  SharedFolder* folder_;
};

}  // namespace

std::vector<Family> virtio_families() {
  return {{"virtio_net", [] { return std::make_unique<Net>(); }},
          {"virtio_blk", [] { return std::make_unique<Blk>(false); }},
          {"virtio_mmio", [] { return std::make_unique<Blk>(true); }},
          {"virtio_scsi", [] { return std::make_unique<Scsi>(); }},
          {"virtio_serial", [] { return std::make_unique<Serial>(); }},
          {"virtio_rng", [] { return std::make_unique<Rng>(); }},
          {"virtio_balloon", [] { return std::make_unique<Balloon>(); }},
          {"virtio_input", [] { return std::make_unique<Input>(VirtioInput::Kind::Keyboard); }},
          {"virtio_tablet", [] { return std::make_unique<Input>(VirtioInput::Kind::Tablet); }},
          {"virtio_9p", [] { return std::make_unique<Share>(share::Folder::Model::Mapped); }},
          {"virtio_9p_file", [] { return std::make_unique<Share>(share::Folder::Model::MappedFile); }}};
}

}  // namespace doppel::fuzz

// Virtio's disks: block, behind PCI and memory-mapped registers, and the SCSI adapter with units that come and go.
#include "block/memory_node.h"
#include "hw/block/scsi_cd.h"
#include "hw/block/scsi_disk.h"
#include "hw/block/virtio_blk.h"
#include "hw/block/virtio_scsi.h"
#include "virtio_world.h"

namespace doppel::fuzz {
namespace {

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
    auto device = std::make_unique<VirtioScsi>(std::move(p));
    adapter_ = device.get();
    on_pci(std::move(device));
  }
  // Units come and go, media change.
  void outside(u8 what, u32 offset, u64 value) override {
    const u8 target = static_cast<u8>(offset & 3);
    const u16 lun = static_cast<u16>(value & 3);
    if (what == 0) return adapter_->medium_changed(target, static_cast<u16>(value & 0x3fff));
    if (adapter_->bus().find(target, lun) != nullptr) {
      adapter_->unplug(target, lun);
      return;
    }
    const auto node = std::make_shared<block::MemoryNode>(u64{1} << 16, what == 3);
    if (what == 3)
      adapter_->plug({target, lun, std::make_unique<ScsiCd>(AtapiCd::Params{.node = node})});
    else
      adapter_->plug({target, lun, std::make_unique<ScsiDisk>(ScsiDisk::Params{.node = node})});
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

 private:
  VirtioScsi* adapter_ = nullptr;
};

}  // namespace

std::vector<Family> virtio_storage_families() {
  return {{"virtio_blk", [] { return std::make_unique<Blk>(false); }},
          {"virtio_mmio", [] { return std::make_unique<Blk>(true); }},
          {"virtio_scsi", [] { return std::make_unique<Scsi>(); }}};
}

}  // namespace doppel::fuzz

// What the drivers of the disk controllers share: disks that fail, media that go, packets, buffers.
#pragma once
#include <algorithm>
#include <cerrno>

#include "block/memory_node.h"
#include "hw/block/atapi_cd.h"
#include "hw/bus/pci/pci_device.h"
#include "world.h"

namespace doppel::fuzz {

constexpr u8 kFunction = 0x10;
constexpr u16 kPorts = 0xc000;
constexpr u64 kMmio = 0xf0000000, kBuffers = 0x20000, kTables = 0x80000;
constexpr u64 kDisk = u64{1} << 16;

inline constexpr u8 kAtaCommands[] = {0x20, 0x21, 0x24, 0x25, 0x29, 0x2f, 0x30, 0x34, 0x35, 0x39, 0x3d, 0x40, 0x42,
                                      0x06, 0x10, 0x27, 0x37, 0x70, 0x90, 0x91, 0xa0, 0xa1, 0xb0, 0xc4, 0xc5, 0xc6,
                                      0xc8, 0xca, 0xce, 0xe0, 0xe1, 0xe2, 0xe3, 0xe5, 0xe6, 0xe7, 0xea, 0xec, 0xef,
                                      0xf5, 0xf8, 0xf9, 0x60, 0x61, 0x08, 0xc8, 0xca, 0x25, 0x35, 0x20, 0x30};
inline constexpr u8 kPackets[] = {0x00, 0x03, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28,
                                  0x2b, 0x2f, 0x35, 0x42, 0x43, 0x46, 0x4a, 0x4e, 0x51, 0x52,
                                  0x55, 0x5a, 0xa8, 0xac, 0xad, 0xbb, 0xbd, 0xbe, 0x28, 0xa8};

// A packet with a small block number and length where a value does not say otherwise.
inline std::vector<u8> packet(u32 offset, u64 value) {
  std::vector<u8> cdb(12);
  cdb[0] = kPackets[value % std::size(kPackets)];
  for (unsigned i = 1; i < 12; i++) {
    const auto bits = static_cast<u8>(value >> (4 + 5 * i));
    cdb[i] = offset & 0x100u << (i & 7) ? bits : i == 5 || i == 8 || i == 9 ? bits & 15 : u8{0};
  }
  return cdb;
}

class StorageWorld : public World {
 public:
  ~StorageWorld() override { rig_.device.reset(); }

 protected:
  struct Config final : hw::MmioHandler {
    explicit Config(hw::PciBus& b) : bus(b) {}
    u64 read(u64 o, unsigned) override { return bus.config_read(0, kFunction, static_cast<u8>(o & 0xfc), 4); }
    void write(u64 o, u64 v, unsigned size) override {
      size = std::min(size, 4u);
      bus.config_write(0, kFunction, static_cast<u8>(o & 0xff & ~u64{size - 1}), static_cast<u32>(v), size);
    }
    hw::PciBus& bus;
  };
  void on_pci(hw::PciDevice& card, u8 bar, u32 address) {
    bar_ = bar, address_ = address;
    rig_.pci.attach(kFunction, card);
    card.reset();
    place();
    rig_.windows.push_back(&rig_.part<Config>(rig_.pci));
  }
  void place() {
    if (bar_ == 0) return;
    rig_.pci.config_write(0, kFunction, bar_, address_, 4);
    rig_.pci.config_write(0, kFunction, 0x04, 7, 2);
  }
  void drive(u8 what, u32 offset, u64 value) final {
    switch (what & 15) {
      case 12: place(); break;
      case 13:
        for (const auto& disk : disks_) disk->fail_with = value & 1 ? 0 : value & 2 ? EIO : ENOSPC;
        break;
      case 14: medium(offset, value); break;
      default: ask(what & 15, offset, value);
    }
  }
  virtual void ask(u8 what, u32 offset, u64 value) = 0;
  virtual void medium(u32, u64) {}
  std::shared_ptr<block::MemoryNode> disk(u64 size = kDisk, bool read_only = false) {
    disks_.push_back(std::make_shared<block::MemoryNode>(size, read_only));
    return disks_.back();
  }
  void change_cd(hw::IdeDrive* drive, u32 offset, u64 value) {
    auto* cd = static_cast<hw::AtapiCd*>(drive);
    if (offset & 1)
      cd->eject((value & 1) != 0);
    else
      cd->insert(disk(value & 0xff00, true));
  }
  void store(u64 at, u64 v, unsigned size) { rig_.memory.write(at, &v, size); }
  void reg(u64 at, u64 v, unsigned size = 4) {
    if (auto* m = rig_.address_bus.at(kMmio); m != nullptr && m->handler != nullptr && at < m->size)
      m->handler->write(at, v & mask_bits(size * 8), size);
  }
  // Where a request's bytes are: mostly in memory, and not beside the tables.
  u64 buffer(u64 value) {
    return value % 29 == 0 ? value << 12 : kBuffers + (value & 15) * 0x1000 + (value >> 4 & 1 ? value >> 5 & 0xffe : 0);
  }

 private:
  std::vector<std::shared_ptr<block::MemoryNode>> disks_;
  u8 bar_ = 0;
  u32 address_ = 0;
};

}  // namespace doppel::fuzz

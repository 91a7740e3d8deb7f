// A PIIX3 IDE function with a 4 MiB disk as primary master and a CD drive as secondary master, driven as a guest's
// driver would.
#pragma once
#include <gtest/gtest.h>

#include <functional>

#include "block/memory_node.h"
#include "device/fake_machine.h"
#include "hw/block/ata_disk.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/piix_ide.h"
#include "hw/bus/pci/pci_bus.h"

namespace doppel::hw::test {

class IdeFixture : public ::testing::Test {
 protected:
  static constexpr u8 kDevfn = 0x09;
  explicit IdeFixture(s64 delay = 0) {
    for (size_t i = 0; i < disk->data.size(); i++) disk->data[i] = static_cast<u8>(i / 512 * 7 + i);
    for (size_t i = 0; i < disc->data.size(); i++) disc->data[i] = static_cast<u8>(i / 2048 * 5 + i * 3);
    PiixIde::Params p{.clock = clock, .irq = {irq[0].line(), irq[1].line()}, .command_delay_ns = delay};
    p.drives[0][0] = std::make_unique<AtaDisk>(AtaDisk::Params{.node = disk});
    p.drives[1][0] = std::make_unique<AtapiCd>(AtapiCd::Params{.node = disc});
    ide = std::make_unique<PiixIde>(std::move(p));
    bus.attach(kDevfn, *ide);
    ide->reset();
    windows.push_back(ports.map("ide0", 0x1f0, 8, ide->channel(0).command_block()));
    windows.push_back(ports.map("ide0c", 0x3f6, 1, ide->channel(0).control_block()));
    windows.push_back(ports.map("ide1", 0x170, 8, ide->channel(1).command_block()));
    windows.push_back(ports.map("ide1c", 0x376, 1, ide->channel(1).control_block()));
    bus.config_write(0, kDevfn, 0x20, 0xc000, 4);
    bus.config_write(0, kDevfn, 0x04, 5, 2);
  }
  AtapiCd& cd() { return static_cast<AtapiCd&>(*ide->drive(1, 0)); }
  void out(u16 port, u32 v, unsigned size = 1) { ports.write(port, v, size); }
  u32 in(u16 port, unsigned size = 1) { return ports.read(port, size); }
  void taskfile(u16 base, u64 lba, u32 count, bool ext) {
    if (ext) {
      out(base + 2, count >> 8);
      for (u16 i = 0; i < 3; i++) out(static_cast<u16>(base + 3 + i), static_cast<u32>(lba >> (24 + 8 * i)) & 0xff);
    }
    out(base + 2, count & 0xff);
    for (u16 i = 0; i < 3; i++) out(static_cast<u16>(base + 3 + i), static_cast<u32>(lba >> (8 * i)) & 0xff);
    out(base + 6, ext ? 0xe0 : 0xe0 | ((lba >> 24) & 15));
  }
  std::vector<u8> pio_in(u16 base, u32 bytes) {
    std::vector<u8> v;
    for (u32 i = 0; i < bytes; i += 2) {
      const u32 w = in(base, 2);
      v.push_back(static_cast<u8>(w));
      v.push_back(static_cast<u8>(w >> 8));
    }
    return v;
  }
  void prd(u32 table, std::initializer_list<std::pair<u32, u32>> entries) {
    u32 at = table;
    for (const auto& [address, count] : entries) {
      memory.store<u32>(at, address);
      memory.store<u32>(at + 4, count);
      at += 8;
    }
  }
  std::vector<u8> slice(const std::vector<u8>& v, size_t from, size_t n) {
    return {v.begin() + static_cast<long>(from), v.begin() + static_cast<long>(from + n)};
  }
  SteppedClock clock;
  FakeMemory memory{1 << 20};
  FakeAddressBus address_bus;
  PortBus ports;
  PciBus bus{{address_bus, ports, memory}};
  IrqProbe irq[2];
  std::shared_ptr<block::MemoryNode> disk = std::make_shared<block::MemoryNode>(u64{4} << 20);
  std::shared_ptr<block::MemoryNode> disc = std::make_shared<block::MemoryNode>(u64{1} << 20, true);
  std::unique_ptr<PiixIde> ide;
  std::vector<std::unique_ptr<MappedWindow>> windows;
};

}  // namespace doppel::hw::test

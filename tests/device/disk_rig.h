// Disk controllers for the conformance suite, set up as a driver does it; windows whose writes put half-plausible
// commands into their queues and ring the bells.
#pragma once
#include "block/memory_node.h"
#include "device/conformance_rigs.h"
#include "hw/block/ahci.h"
#include "hw/block/ata_disk.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/nvme.h"

namespace doppel::hw::test {

inline constexpr u8 kDiskFunction = 0x10;
inline constexpr u64 kDiskWindow = 0xf0000000;

// Registers of BAR `index`, mapped at kDiskWindow.
inline MmioHandler& map_disk_controller(Rig& r, PciDevice& d, unsigned index) {
  r.pci.attach(kDiskFunction, d);
  d.reset();
  r.pci.config_write(0, kDiskFunction, static_cast<u8>(0x10 + 4 * index), kDiskWindow, 4);
  r.pci.config_write(0, kDiskFunction, 0x04, 6, 2);
  return *r.address_bus.at(kDiskWindow)->handler;
}

class NvmeQueueWindow final : public MmioHandler {
 public:
  NvmeQueueWindow(Rig& r, MmioHandler& registers) : r_(r), registers_(registers) { setup(); }
  void setup() {
    registers_.write(nvme::kAqa, 15 | 15 << 16, 4);
    registers_.write(nvme::kAsq, 0x1000, 4);
    registers_.write(nvme::kAcq, 0x2000, 4);
    registers_.write(nvme::kCc, 1 | 6 << 16 | 4 << 20, 4);
  }
  u64 read(u64, unsigned) override { return 0; }
  void write(u64 offset, u64 value, unsigned) override {
    if (offset % 64 == 63) {
      registers_.write(nvme::kCc, 0, 4);
      setup();
      return;
    }
    const u32 queue = offset % 3;
    const u64 entry = 0x1000 + queue * 0x4000 + (value & 15) * 64;
    nvme::Command c{};
    static constexpr u8 kOps[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12};
    c.opcode = kOps[(value >> 4) % sizeof kOps];
    c.id = static_cast<u16>(value >> 8);
    c.namespace_id = offset % 16 == 0 ? static_cast<u32>(value) : 1;
    c.prp1 = (value >> 16 & 0xff) << 12 | (value & 0x80 ? 0x200 : 0);
    c.prp2 = (value >> 24 & 0xff) << 12;
    c.dword10 = c.opcode == 1 || c.opcode == 5 ? 15u << 16 | (value >> 32 & 3) : static_cast<u32>(value >> 32 & 0x3ff);
    c.dword11 = c.opcode == 1 ? (value >> 40 & 3) << 16 | 1 : c.opcode == 5 ? 3 : static_cast<u32>(value >> 63);
    c.dword12 = static_cast<u32>(value >> 48 & 0x3f);
    r_.memory.write(entry, &c, sizeof c);
    registers_.write(nvme::kDoorbells + queue * 8, (value + 1) & 15, 4);
    registers_.write(nvme::kDoorbells + queue * 8 + 4, value >> 20 & 15, 4);
  }

 private:
  Rig& r_;
  MmioHandler& registers_;
};

inline void build_nvme(Rig& r) {
  Nvme& d = r.make<Nvme>(
      Nvme::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20), .serial = "conformance", .io_queues = 3});
  MmioHandler& registers = map_disk_controller(r, d, 0);
  r.windows = {&registers, &r.part<NvmeQueueWindow>(r, registers)};
}

class AhciListWindow final : public MmioHandler {
 public:
  AhciListWindow(Rig& r, MmioHandler& registers) : r_(r), registers_(registers) { setup(); }
  void setup() {
    registers_.write(ahci::kGhc, ahci::kGhcInterrupts, 4);
    for (unsigned p = 0; p < 3; p++) {
      port(p, ahci::kClb, 0x1000 + p * 0x1000);
      port(p, ahci::kFb, 0x8000 + p * 0x100);
      port(p, ahci::kPxIe, ~u32{0});
      port(p, ahci::kPxCmd, ahci::kSt | ahci::kFre | ahci::kSud | ahci::kPod);
    }
  }
  u64 read(u64, unsigned) override { return 0; }
  void write(u64 offset, u64 value, unsigned) override {
    const unsigned p = offset % 3, slot = value & 31;
    if (offset % 32 == 31) {  // as after an error
      port(p, ahci::kPxCmd, ahci::kFre);
      port(p, ahci::kPxIs, ~u32{0});
      return port(p, ahci::kPxCmd, ahci::kSt | ahci::kFre);
    }
    static constexpr u8 kCommands[] = {0x25, 0x35, 0x60, 0x61, 0xec, 0xa1, 0xa0,
                                       0x20, 0x30, 0xea, 0x06, 0x2f, 0xef, 0xb0};
    u8* table = &r_.memory.bytes[0x10000 + slot * 0x400];
    store_le<u32>(&r_.memory.bytes[0x1000 + p * 0x1000 + slot * 32], 5u | (value >> 8 & 7) << 16);
    store_le<u64>(&r_.memory.bytes[0x1000 + p * 0x1000 + slot * 32 + 8], 0x10000 + slot * 0x400);
    std::fill_n(table, 0x100, u8{0});
    table[0] = value >> 60 == 0 ? 0 : 0x27;
    table[1] = value >> 56 == 1 ? 0 : 0x80;
    table[2] = kCommands[(value >> 16) % sizeof kCommands];
    table[3] = static_cast<u8>(value >> 24 & 3);
    table[4] = static_cast<u8>(value >> 32);
    table[5] = static_cast<u8>(value >> 40 & 15);
    table[7] = 0x40;
    table[12] = static_cast<u8>(table[2] == 0x60 || table[2] == 0x61 ? slot << 3 : value >> 44 & 7);
    table[0x40] = static_cast<u8>(value >> 48);
    table[0x48] = 1;
    for (unsigned i = 0; i < 7; i++) {
      store_le<u64>(table + 0x80 + 16 * i, (value >> (i * 8) & 0xff) << 12);
      store_le<u32>(table + 0x8c + 16 * i, 0xfff);
    }
    port(p, ahci::kSact, (offset & 32) ? 0 : 1u << slot);
    port(p, ahci::kCi, 1u << slot);
  }

 private:
  void port(unsigned p, u32 reg, u32 value) { registers_.write(ahci::kPortBase + p * ahci::kPortSize + reg, value, 4); }
  Rig& r_;
  MmioHandler& registers_;
};

inline void build_ahci(Rig& r) {
  Ahci::Params p;
  p.drives[0] = std::make_unique<AtaDisk>(
      AtaDisk::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20), .sata = true});
  p.drives[1] =
      std::make_unique<AtapiCd>(AtapiCd::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20, true)});
  Ahci& d = r.make<Ahci>(std::move(p));
  MmioHandler& registers = map_disk_controller(r, d, 5);
  r.windows = {&registers, &r.part<AhciListWindow>(r, registers)};
}

}  // namespace doppel::hw::test

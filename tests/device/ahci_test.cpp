// The AHCI controller with a disk and a CD drive, driven as a guest's driver does it.
#include "hw/block/ahci.h"

#include <gtest/gtest.h>

#include "device/disk_rig.h"

namespace doppel::hw::test {
namespace {

using namespace ahci;

struct Driver : Rig {
  static constexpr u64 kTables = 0x10000, kData = 0x40000;
  std::shared_ptr<block::MemoryNode> node = std::make_shared<block::MemoryNode>(u64{4} << 20);
  std::shared_ptr<block::MemoryNode> disc = std::make_shared<block::MemoryNode>(u64{1} << 20, true);
  Ahci* ahci = nullptr;
  MmioHandler* registers = nullptr;

  explicit Driver(bool synchronous = true) {
    for (size_t i = 0; i < node->data.size(); i++) node->data[i] = static_cast<u8>(i / 512 * 7 + i);
    for (size_t i = 0; i < disc->data.size(); i++) disc->data[i] = static_cast<u8>(i / 2048 * 5 + i * 3);
    Ahci::Params p{.device_lock = synchronous ? nullptr : &lock};
    p.drives[0] = std::make_unique<AtaDisk>(AtaDisk::Params{.node = node, .serial = "serial 1", .sata = true});
    p.drives[1] = std::make_unique<AtapiCd>(AtapiCd::Params{.node = disc});
    ahci = &make<Ahci>(std::move(p));
    registers = &map_disk_controller(*this, *ahci, 5);
    registers->write(kGhc, kGhcInterrupts, 4);
    for (unsigned n = 0; n < 2; n++) {
      set(n, kClb, list(n));
      set(n, kFb, frames(n));
      set(n, kPxIe, ~u32{0});
      set(n, kPxCmd, kSt | kFre | kSud | kPod);
    }
  }
  static u64 list(unsigned port) { return 0x1000 + port * 0x1000; }
  static u64 frames(unsigned port) { return 0x8000 + port * 0x100; }
  u32 get(unsigned port, u32 reg) { return static_cast<u32>(registers->read(kPortBase + port * kPortSize + reg, 4)); }
  void set(unsigned port, u32 reg, u64 v) { registers->write(kPortBase + port * kPortSize + reg, v, 4); }
  // Puts a command into a slot; the data region is in pieces of `piece` bytes from kData on.
  void prepare(unsigned port, unsigned slot, u8 command, u64 lba, u16 count, u32 bytes, u32 piece = 0x3000,
               u64 data = kData) {
    const u64 table = kTables + slot * 0x400;
    std::fill_n(memory.bytes.begin() + static_cast<long>(table), 0x80, u8{0});
    u8* f = &memory.bytes[table];
    f[0] = kH2d, f[1] = kFisCommand, f[2] = command;
    const bool queued = command == kReadFpdma || command == kWriteFpdma;
    for (unsigned i = 0; i < 3; i++)
      f[4 + i] = static_cast<u8>(lba >> (8 * i)), f[8 + i] = static_cast<u8>(lba >> (24 + 8 * i));
    f[7] = 0x40;
    if (queued) {
      f[3] = static_cast<u8>(count), f[11] = static_cast<u8>(count >> 8), f[12] = static_cast<u8>(slot << 3);
    } else {
      f[12] = static_cast<u8>(count), f[13] = static_cast<u8>(count >> 8);
    }
    u32 entries = 0;
    for (u32 done = 0; done < bytes; done += piece, entries++) {
      memory.store<u64>(table + kTableAt + entries * 16, data + done);
      memory.store<u32>(table + kTableAt + entries * 16 + 12, std::min(piece, bytes - done) - 1);
    }
    memory.store<u32>(list(port) + slot * 32, 5 | entries << 16);
    memory.store<u32>(list(port) + slot * 32 + 4, 0);
    memory.store<u64>(list(port) + slot * 32 + 8, table);
  }
  u32 issue(unsigned port, unsigned slot) {
    set(port, kCi, 1u << slot);
    EXPECT_EQ(get(port, kCi), 0u);
    return get(port, kTfd);
  }
  void restart(unsigned port) {
    set(port, kPxCmd, kFre);
    set(port, kPxIs, ~u32{0});
    set(port, kPxCmd, kSt | kFre);
  }
  bool same(u64 pa, const std::vector<u8>& v, size_t from, size_t n) {
    return std::equal(memory.bytes.begin() + static_cast<long>(pa), memory.bytes.begin() + static_cast<long>(pa + n),
                      v.begin() + static_cast<long>(from));
  }
};

TEST(Ahci, PortsShowWhatIsThere) {
  Driver d;
  EXPECT_EQ(d.registers->read(kPi, 4), 0x3fu);
  EXPECT_EQ(d.get(0, kSsts), 0x133u);
  EXPECT_EQ(d.get(0, kSig), 0x00000101u);
  EXPECT_EQ(d.get(1, kSig), 0xeb140101u);
  EXPECT_EQ(d.get(2, kSsts), 0u);
  EXPECT_EQ(d.get(2, kTfd), 0x7fu);
}

TEST(Ahci, IdentifiesByPio) {
  Driver d;
  d.prepare(0, 3, 0xec, 0, 0, 512);
  EXPECT_EQ(d.issue(0, 3), 0x50u);
  EXPECT_EQ(d.memory.load<u32>(Driver::list(0) + 3 * 32 + 4), 512u);
  EXPECT_EQ(d.memory.load<u16>(Driver::kData + 75 * 2), 31);
  EXPECT_EQ(d.memory.bytes[Driver::frames(0) + kFisPioSetup], kPioSetup);
  EXPECT_EQ(d.memory.bytes[Driver::frames(0) + kFisPioSetup + 15], 0x50);
  EXPECT_TRUE(d.get(0, kPxIs) & kPss);
  EXPECT_TRUE(d.ahci->intx());
  d.set(0, kPxIs, ~u32{0});
  d.registers->write(kIs, 1, 4);
  EXPECT_FALSE(d.ahci->intx());
}

TEST(Ahci, ReadsAndWritesByDma) {
  Driver d;
  d.prepare(0, 0, 0x25, 5, 100, 51200);
  EXPECT_EQ(d.issue(0, 0), 0x50u);
  EXPECT_TRUE(d.same(Driver::kData, d.node->data, 5 * 512, 51200));
  EXPECT_EQ(d.memory.load<u32>(Driver::list(0) + 4), 51200u);
  d.prepare(0, 1, 0x35, 4000, 100, 51200);
  EXPECT_EQ(d.issue(0, 1), 0x50u);
  EXPECT_TRUE(
      std::equal(d.node->data.begin() + 5 * 512, d.node->data.begin() + 105 * 512, d.node->data.begin() + 4000 * 512));
  const unsigned before = d.node->flushes;
  d.prepare(0, 2, 0xea, 0, 0, 0);
  EXPECT_EQ(d.issue(0, 2), 0x50u);
  EXPECT_EQ(d.node->flushes, before + 1);
  d.prepare(0, 0, 0x20, 9, 3, 1536, 700);  // PIO, in odd pieces
  EXPECT_EQ(d.issue(0, 0), 0x50u);
  EXPECT_TRUE(d.same(Driver::kData, d.node->data, 9 * 512, 1536));
  d.prepare(0, 0, 0x25, 9000, 1, 512);
  EXPECT_EQ(d.issue(0, 0) & 1, 1u);  // past the end
  EXPECT_TRUE(d.get(0, kPxIs) & kTfes);
  d.prepare(0, 1, 0xec, 0, 0, 512);
  d.set(0, kCi, 2);
  EXPECT_EQ(d.get(0, kCi), 2u);  // it stands still
  d.restart(0);
  EXPECT_EQ(d.issue(0, 1), 0x50u);
}

TEST(Ahci, QueuesCommands) {
  Driver d;
  for (unsigned slot = 0; slot < 8; slot++) {
    d.prepare(0, slot, slot % 2 ? kWriteFpdma : kReadFpdma, slot * 100, 16, 8192, 0x1000,
              Driver::kData + slot * 0x4000);
    std::fill_n(d.memory.bytes.begin() + static_cast<long>(Driver::kData + slot * 0x4000), 8192, static_cast<u8>(slot));
  }
  d.set(0, kSact, 0xff);
  d.set(0, kCi, 0xff);
  EXPECT_EQ(d.get(0, kSact), 0u);
  EXPECT_EQ(d.get(0, kTfd), 0x50u);
  for (unsigned slot = 0; slot < 8; slot++) {
    EXPECT_TRUE(d.same(Driver::kData + slot * 0x4000, d.node->data, slot * 100 * 512, 8192)) << slot;
    if (slot % 2) EXPECT_EQ(d.node->data[slot * 100 * 512], slot);
  }
  EXPECT_EQ(d.memory.bytes[Driver::frames(0) + kFisSetDeviceBits], kSetDeviceBits);
}

TEST(Ahci, AQueuedErrorIsInTheLog) {
  Driver d;
  d.prepare(0, 5, kReadFpdma, 100, 8, 4096);
  d.node->fail_with = EIO;
  d.set(0, kSact, 1 << 5);
  d.set(0, kCi, 1 << 5);
  EXPECT_EQ(d.get(0, kTfd) & 1, 1u);
  EXPECT_EQ(d.get(0, kSact), 1u << 5);
  EXPECT_TRUE(d.get(0, kPxIs) & kTfes);
  d.node->fail_with = 0;
  d.restart(0);
  EXPECT_EQ(d.get(0, kSact), 0u);
  d.prepare(0, 0, 0x2f, 0x10, 1, 512);
  EXPECT_EQ(d.issue(0, 0), 0x50u);
  EXPECT_EQ(d.memory.bytes[Driver::kData], 5);
  EXPECT_EQ(d.memory.bytes[Driver::kData + 4], 100);
}

TEST(Ahci, ReadsACd) {
  Driver d;
  d.prepare(1, 0, 0xa0, 0, 0, 3 * 2048);
  u8* table = &d.memory.bytes[Driver::kTables];
  table[3] = 1;  // by DMA
  const u8 packet[12] = {0x28, 0, 0, 0, 0, 7, 0, 0, 3, 0, 0, 0};
  std::copy_n(packet, 12, table + kPacketAt);
  EXPECT_EQ(d.issue(1, 0), 0x50u);
  EXPECT_TRUE(d.same(Driver::kData, d.disc->data, 7 * 2048, 3 * 2048));
  d.prepare(1, 0, 0xa0, 0, 0, 2048);
  table[3] = 0, table[5] = 0, table[6] = 8;  // by PIO, 2048 bytes at once
  std::copy_n(packet, 12, table + kPacketAt);
  table[kPacketAt + 8] = 1;
  EXPECT_EQ(d.issue(1, 0), 0x50u);
  EXPECT_TRUE(d.same(Driver::kData, d.disc->data, 7 * 2048, 2048));
  table[kPacketAt + 4] = 9;  // past the end
  EXPECT_EQ(d.issue(1, 0) & 1, 1u);
}

TEST(Ahci, ResetsBySoftware) {
  Driver d;
  d.prepare(0, 0, 0, 0, 0, 0);
  u8* f = &d.memory.bytes[Driver::kTables];
  f[1] = 0, f[15] = 4;
  d.set(0, kCi, 1);
  EXPECT_EQ(d.get(0, kTfd), 0x80u);
  f[15] = 0;
  EXPECT_EQ(d.issue(0, 0), 0x150u);
  EXPECT_EQ(d.memory.bytes[Driver::frames(0) + kFisD2h], kD2h);
  d.registers->write(kGhc, kGhcReset, 4);
  EXPECT_EQ(d.registers->read(kGhc, 4), kGhcAhci);
  EXPECT_EQ(d.get(0, kPxCmd) & kSt, 0u);
}

TEST(Ahci, CommandsEndOnThreads) {
  Driver d(false);
  {
    const std::lock_guard guard(d.lock);
    for (unsigned slot = 0; slot < 16; slot++)
      d.prepare(0, slot, kReadFpdma, slot * 10, 8, 4096, 0x1000, Driver::kData + slot * 0x1000);
    d.set(0, kSact, 0xffff);
    d.set(0, kCi, 0xffff);
    d.ahci->sleep();
    EXPECT_EQ(d.get(0, kSact), 0u);
    d.prepare(0, 0, 0x25, 5, 100, 51200, 0x3000, 0x80000);
    d.prepare(0, 1, 0xea, 0, 0, 0);
    d.set(0, kCi, 3);
    d.ahci->sleep();
    EXPECT_EQ(d.get(0, kCi), 0u);
    EXPECT_EQ(d.get(0, kTfd), 0x50u);
  }
  for (unsigned slot = 0; slot < 16; slot++)
    EXPECT_TRUE(d.same(Driver::kData + slot * 0x1000, d.node->data, slot * 10 * 512, 4096)) << slot;
  EXPECT_TRUE(d.same(0x80000, d.node->data, 5 * 512, 51200));
}

}  // namespace
}  // namespace doppel::hw::test

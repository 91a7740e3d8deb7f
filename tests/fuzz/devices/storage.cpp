// Drivers of AHCI and NVMe: commands that mean something, tables and queues that lie.
#include "storage.h"

#include "hw/block/ahci.h"
#include "hw/block/ata_disk.h"
#include "hw/block/nvme.h"

namespace doppel::fuzz {
namespace {

// Port 0: a disk; port 1: a CD drive.
class AhciWorld final : public StorageWorld {
 public:
  AhciWorld() {
    hw::Ahci::Params p;
    p.drives[0] = std::make_unique<hw::AtaDisk>(hw::AtaDisk::Params{.node = disk(), .sata = true});
    p.drives[1] = std::make_unique<hw::AtapiCd>(hw::AtapiCd::Params{.node = disk(kDisk, true)});
    ahci_ = &rig_.make<hw::Ahci>(std::move(p));
    on_pci(*ahci_, 0x24, kMmio);
    for (u32 n = 0; n < 2; n++) start(n, ~u64{0});
  }

 private:
  static u64 port(u32 n, u32 r) { return 0x100 + 0x80 * u64{n} + r; }
  static u64 list(u32 n) { return 0x1000 + 0x800 * u64{n}; }
  static u64 table(u32 n, u32 slot) { return kTables + 0x10000 * u64{n} + 0x800 * u64{slot}; }
  void start(u32 n, u64 value) {
    using namespace hw::ahci;
    reg(kGhc, kGhcAhci | kGhcInterrupts);
    reg(port(n, kPxCmd), value & kFre);
    reg(port(n, kClb), list(n)), reg(port(n, kClbu), 0), reg(port(n, kFb), 0x4000 + 0x100 * n);
    reg(port(n, kPxIe), value), reg(port(n, kSerr), ~u64{0}), reg(port(n, kPxIs), ~u64{0});
    reg(port(n, kPxCmd), (value & 0x0e000000) | kSt | kSud | kPod | kFre);
  }
  void header(u32 n, u32 slot, u32 entries, u32 flags, u64 value) {
    store(list(n) + 32 * slot, 5 | flags | entries << 16, 4);
    store(list(n) + 32 * slot + 4, 0, 4);
    store(list(n) + 32 * slot + 8, table(n, slot), 8);
    for (u32 i = 0; i < entries && i < 16; i++) {
      const u64 at = table(n, slot) + 0x80 + 16 * i;
      store(at, buffer(value >> i), 8), store(at + 8, 0, 4);
      store(at + 12, (value >> (8 + i) & 7 ? 0x1ff : value >> (16 + i) & 0x3fffff) | (value >> i & 1) << 31, 4);
    }
  }
  void frame(u32 n, u32 slot, u8 command, u64 lba, u32 count, u32 feature, u8 device) {
    const u8 f[20] = {0x27,
                      0x80,
                      command,
                      static_cast<u8>(feature),
                      static_cast<u8>(lba),
                      static_cast<u8>(lba >> 8),
                      static_cast<u8>(lba >> 16),
                      device,
                      static_cast<u8>(lba >> 24),
                      0,
                      0,
                      static_cast<u8>(feature >> 8),
                      static_cast<u8>(count),
                      static_cast<u8>(count >> 8)};
    rig_.memory.write(table(n, slot), f, sizeof f);
  }
  void ask(u8 what, u32 offset, u64 value) override {
    using namespace hw::ahci;
    const u32 n = offset & 1, slot = offset >> 1 & 31, entries = offset >> 6 & 7;
    const u32 write = offset >> 9 & 1 ? 0x40 : 0, bit = 1u << slot;
    switch (what) {
      case 0: start(n, value); break;
      case 1:
      case 2:
        header(n, slot, entries, write, value);
        frame(n, slot, kAtaCommands[value % std::size(kAtaCommands)], value >> 8 & (value & 0x80 ? ~u64{0} : 0x7f),
              static_cast<u32>(value >> 40 & 0x1f), static_cast<u32>(value >> 48), static_cast<u8>(value >> 56 | 0x40));
        reg(port(n, kCi), bit);
        break;
      case 3:
      case 4:  // queued
        header(0, slot, entries + 1, write, value);
        frame(0, slot, write ? kWriteFpdma : kReadFpdma, value & 0x7f, slot << 3 | (value >> 60 & 7),
              static_cast<u32>(value >> 16 & 15), static_cast<u8>(0x40 | (value >> 32 & 0x80)));
        reg(port(0, kSact), bit), reg(port(0, kCi), bit);
        break;
      case 5:
      case 6: {
        header(1, slot, entries, write | 0x20, value >> 3);
        frame(1, slot, 0xa0, value & 0xffff00, 0, static_cast<u32>(value >> 40 & 3), 0x40);
        const auto cdb = packet(offset, value);
        rig_.memory.write(table(1, slot) + 0x40, cdb.data(), cdb.size());
        reg(port(1, kCi), bit);
        break;
      }
      case 7: reg(port(n, offset >> 3 & 0x7c), value); break;
      case 8: reg(port(n, kCi), value), reg(port(n, kSact), value >> 32); break;
      case 9: store(table(n, slot) + (offset >> 9 & 0xff), value, 8); break;
      case 10: store(list(n) + (offset >> 4 & 0x3ff), value, 4); break;
      default: reg(port(n, kPxIs), ~u64{0}), reg(port(n, kSctl), value & 15), reg(port(n, kSctl), 0);
    }
  }
  void medium(u32 offset, u64 value) override { change_cd(ahci_->drive(1), offset, value); }
  hw::Ahci* ahci_;
};

class NvmeWorld final : public StorageWorld {
 public:
  NvmeWorld() {
    on_pci(rig_.make<hw::Nvme>(hw::Nvme::Params{.node = disk(), .serial = "fuzz", .io_queues = 3}), 0x10, kMmio);
    enable(0);
    for (u32 q = 1; q < 3; q++) create(q, kEntries - 1);
  }

 private:
  static constexpr u32 kEntries = 16;
  static u64 sq(u32 q) { return 0x1000 + 0x2000 * u64{q}; }
  void enable(u64 value) {
    using namespace hw::nvme;
    reg(kCc, 0);
    reg(kAqa, value & 1 ? value >> 8 : (kEntries - 1) | (kEntries - 1) << 16);
    reg(kAsq, sq(0)), reg(kAsq + 4, 0), reg(kAcq, sq(0) + 0x1000), reg(kAcq + 4, 0);
    reg(kCc, value & 2 ? value >> 16 | 1 : 0x00460001);
    std::fill(std::begin(tail_), std::end(tail_), 0u);
  }
  void send(u32 q, u8 opcode, u32 space, u64 prp1, u64 prp2, u64 words10, u64 words12) {
    const u64 at = sq(q) + 64 * (tail_[q] % kEntries);
    store(at, opcode | u64{tail_[q] & 0xffff} << 16 | u64{space} << 32, 8);
    store(at + 8, 0, 8), store(at + 16, 0, 8), store(at + 24, prp1, 8), store(at + 32, prp2, 8);
    store(at + 40, words10, 8), store(at + 48, words12, 8), store(at + 56, 0, 8);
    tail_[q]++;
    reg(0x1000 + 8 * q, tail_[q] % kEntries);
  }
  void create(u32 q, u64 size) {
    using namespace hw::nvme;
    send(0, kCreateCq, 0, sq(q) + 0x1000, 0, q | size << 16 | u64{3 | q << 16} << 32, 0);
    send(0, kCreateSq, 0, sq(q), 0, q | size << 16 | u64{1 | q << 16} << 32, 0);
  }
  // A list of pages behind the first one.
  u64 second(u64 value) {
    if ((value & 3) == 0) return buffer(value >> 2) & ~u64{0xfff};
    const u64 at = kTables + 0x1000 * (value >> 2 & 7);
    for (u64 i = 0; i < 32; i++) store(at + 8 * i, buffer(value >> i) & (value >> 40 & 1 ? ~u64{0} : ~u64{0xfff}), 8);
    return at + (value & 0x100 ? value >> 9 & 0xff8 : 0);
  }
  void ask(u8 what, u32 offset, u64 value) override {
    using namespace hw::nvme;
    static constexpr u8 kAdmin[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 6, 2, 9, 10, 0x10, 0x80};
    static constexpr u8 kIo[] = {kFlush, kWrite, kRead, kCompare, kWriteZeroes, kDatasetManagement, kWrite, kRead};
    const u32 q = 1 + (offset & 1), space = offset >> 1 & 7 ? 1 : static_cast<u32>(value >> 32);
    switch (what) {
      case 0: enable(value); break;
      case 1: create(static_cast<u32>(1 + value % 3), value & 0x100 ? value >> 9 & 0xfff : kEntries - 1); break;
      case 2:
      case 3:
        send(0, kAdmin[value & 15], value & 0x10 ? 1 : 0, buffer(value >> 5), second(value >> 7),
             (value >> 8 & 0xf00ff) | (value >> 24 & (value >> 63 ? ~u64{0} : 0x1f)) << 32, value >> 40);
        break;
      case 4:
      case 5:
      case 6:
      case 7: {
        const u8 op = kIo[value & 7];
        if (op == kDatasetManagement)
          for (u64 i = 0; i < 8; i++)
            store(kBuffers + 16 * i, (value >> i & 15) << 32, 8),
                store(kBuffers + 16 * i + 8, value >> (8 + i) & 0x7f, 8);
        send(q, op, space, op == kDatasetManagement ? kBuffers : buffer(value >> 3), second(value >> 9),
             value & 0x1000 ? value >> 13 : value >> 13 & 0x7f,
             (value >> 48 & (value & 0x40 ? 0xffff : 15)) | (value >> 30 & 1) << 30);
        break;
      }
      case 8: reg(0x1000 + 4 * (offset & 7), value & 0x10000 ? value : value % kEntries); break;
      case 9:
        store(sq(offset & 3) + (offset >> 2 & 0x3ff), value, 4), reg(0x1000 + 8 * (offset & 3), value >> 60);
        break;
      case 10:
        for (u32 i = 0; i < 4; i++) reg(0x1004 + 8 * i, value >> 8 * i & 15);
        break;
      default: reg(offset & 0x3c, value);
    }
  }
  u32 tail_[8] = {};
};

}  // namespace

std::vector<Family> storage_families() {
  return {{"ahci", [] { return std::make_unique<AhciWorld>(); }},
          {"nvme", [] { return std::make_unique<NvmeWorld>(); }}};
}

}  // namespace doppel::fuzz

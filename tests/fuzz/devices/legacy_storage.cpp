// Drivers of the PC's old disk controllers: IDE with its bus master, and the floppy controller with its DMA.
#include "hw/block/ata_disk.h"
#include "hw/block/fdc.h"
#include "hw/block/piix_ide.h"
#include "hw/misc/i8237.h"
#include "storage.h"

namespace doppel::fuzz {
namespace {

// A disk and a CD drive on the first channel, a disk on the second.
class IdeWorld final : public StorageWorld {
 public:
  IdeWorld() {
    hw::PiixIde::Params p{.clock = rig_.clock};
    p.drives[0][0] = std::make_unique<hw::AtaDisk>(hw::AtaDisk::Params{.node = disk()});
    p.drives[0][1] = std::make_unique<hw::AtapiCd>(hw::AtapiCd::Params{.node = disk(kDisk, true)});
    p.drives[1][0] = std::make_unique<hw::AtaDisk>(hw::AtaDisk::Params{.node = disk(), .serial = "second"});
    ide_ = &rig_.make<hw::PiixIde>(std::move(p));
    on_pci(*ide_, 0x20, kPorts | 1);
    for (unsigned n = 0; n < 2; n++) {
      rig_.windows.push_back(&ide_->channel(n).command_block());
      rig_.windows.push_back(&ide_->channel(n).control_block());
    }
  }

 private:
  void out(u32 n, u32 port, u64 v, unsigned size = 1) { ide_->channel(n).command_block().write(port, v, size); }
  void master(u32 n, u32 at, u64 v, unsigned size) {
    rig_.ports.write(static_cast<u16>(kPorts + 8 * n + at), static_cast<u32>(v), size);
  }
  void segments(u32 n, u32 entries, u64 value) {
    const u64 table = kTables + 0x1000 * n;
    for (u32 i = 0; i <= entries; i++) {
      store(table + 8 * i, buffer(value >> i) & ~u64{1}, 4);
      store(table + 8 * i + 4, (value >> (5 + i) & 3 ? 0x200 : value >> (9 + i) & 0xfffe), 4);
      if (i == entries) store(table + 8 * i + 7, value & 0x40 ? 0 : 0x80, 1);
    }
    master(n, 4, value % 31 == 0 ? value : table, 4);
  }
  void ask(u8 what, u32 offset, u64 value) override {
    const u32 n = offset & 1, entries = offset >> 4 & 7;
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3:
        if (what & 1) segments(n, entries, value >> 12);
        if (what & 1) master(n, 0, 0, 1), master(n, 2, 6, 1);
        out(n, 6, 0xe0 | (offset & 2) << 3 | (value >> 60 & 15));
        for (u32 hob = 0; hob < 2; hob++) {
          const u64 v = value >> (hob != 0 ? 8 : 40);
          out(n, 1, v >> 24), out(n, 2, hob == 0 ? v & 7 : v & 31), out(n, 3, v), out(n, 4, v & 0x10 ? v >> 8 : 0);
          out(n, 5, v & 0x20 ? v >> 16 : 0);
        }
        out(n, 7, kAtaCommands[value % std::size(kAtaCommands)]);
        if (what & 1) master(n, 0, 1 | (offset & 8), 1);
        break;
      case 4:
      case 5:  // the data register
        for (u32 i = 0; i < (offset & 0x3ff); i++) {
          if (what == 4)
            ide_->channel(n).command_block().read(0, 1u << (offset >> 10) % 3);
          else
            out(n, 0, value >> (i & 31), 1u << (offset >> 10) % 3);
        }
        break;
      case 6:
      case 7: {
        if (what == 7) segments(0, entries, value >> 12), master(0, 0, 0, 1);
        out(0, 6, 0xb0), out(0, 1, what == 7 ? 1 : offset & 2), out(0, 4, value >> 20), out(0, 5, value >> 28),
            out(0, 7, 0xa0);
        const auto cdb = packet(offset, value);
        for (size_t i = 0; i < cdb.size(); i += 2) out(0, 0, cdb[i] | u64{cdb[i + 1]} << 8, 2);
        if (what == 7) master(0, 0, 9, 1);
        break;
      }
      case 8: ide_->channel(n).control_block().write(0, value, 1); break;
      case 9: master(n, offset >> 1 & 7, value, 1u << (offset >> 4) % 3); break;
      case 10: store(kTables + 0x1000 * n + (offset >> 1 & 0x7f), value, 4); break;
      default: out(n, offset >> 1 & 7, value);
    }
  }
  void medium(u32 offset, u64 value) override { change_cd(ide_->drive(0, 1), offset, value); }
  hw::PiixIde* ide_;
};

class FloppyWorld final : public StorageWorld {
 public:
  FloppyWorld() : dma_(rig_.part<hw::I8237>(hw::I8237::Params{.memory = rig_.memory})) {
    hw::Fdc::Params p{.clock = rig_.clock, .dma = &dma_.channel(2)};
    p.types[1] = hw::FloppyType::D1440;
    p.media[0] = disk(1474560);
    fdc_ = &rig_.make<hw::Fdc>(std::move(p));
    rig_.windows = {&fdc_->registers(), &fdc_->dir_ccr(), &dma_.bytes(), &dma_.pages()};
    fdc_->registers().write(2, 0x1c, 1);
    rig_.clock.advance(1'000'000);
  }

 private:
  void channel(u32 offset, u64 value) {
    auto& b = dma_.bytes();
    b.write(0x0a, 6, 1), b.write(0x0c, 0, 1), b.write(0x0b, (offset & 0xfc) | 2, 1);
    b.write(4, value, 1), b.write(4, value >> 8, 1), b.write(5, value >> 16, 1), b.write(5, value >> 24 & 0xf, 1);
    dma_.pages().write(1, value >> 32 & 0xf, 1), b.write(0x0a, 2, 1);
  }
  void ask(u8 what, u32 offset, u64 value) override {
    static constexpr u8 kCommands[] = {0x46, 0x66, 0x45, 0x4c, 0x49, 0x42, 0x4d, 0x4a, 0x56, 0x51,
                                       0x59, 0x5d, 0x03, 0x04, 0x07, 0x08, 0x0e, 0x0f, 0x8f, 0xcf,
                                       0x10, 0x12, 0x13, 0x14, 0x94, 0x18, 0xe6, 0xc5};
    auto& r = fdc_->registers();
    switch (what) {
      case 0:
      case 1:
      case 2:
      case 3: {  // a command of up to nine bytes: the usual geometry where a value does not say otherwise
        if (what & 1) channel(offset & 1 ? 0x44 : 0x48, value);
        const u8 usual[] = {static_cast<u8>(value >> 8 & 5),
                            static_cast<u8>(value >> 16 & 1),
                            0,
                            static_cast<u8>(1 + (value >> 24 & 15)),
                            2,
                            18,
                            0x1b,
                            0xff};
        r.write(5, kCommands[value % std::size(kCommands)], 1);
        for (u32 i = 0; i < (offset >> 4 & 15 ? 8 : offset >> 8 & 7); i++)
          r.write(5, offset >> 16 & 1u << i ? value >> 5 * i : usual[i], 1);
        rig_.clock.advance(offset & 2 ? 1'000'000 : 0);
        break;
      }
      case 4:
        for (u32 i = 0; i < (offset & 0x3ff); i++) r.read(5, 1);
        break;
      case 5:
        for (u32 i = 0; i < (offset & 0x3ff); i++) r.write(5, value >> (i & 31), 1);
        break;
      case 6: r.write(2, value & 0x3f, 1); break;
      case 7: channel(offset, value); break;
      case 8: r.write(4, value, 1); break;
      case 9: fdc_->dir_ccr().write(0, value, 1); break;
      default: r.read(offset % 6, 1);
    }
  }
  void medium(u32 offset, u64 value) override {
    static constexpr u64 kSizes[] = {0, 368640, 737280, 1228800, 1474560, 2949120, 512, 1000};
    const u64 size = kSizes[value & 7];
    fdc_->change_medium(offset & 1, size == 0 ? nullptr : disk(size, (value & 8) != 0));
  }
  hw::I8237& dma_;
  hw::Fdc* fdc_;
};

}  // namespace

std::vector<Family> legacy_storage_families() {
  return {{"piix_ide", [] { return std::make_unique<IdeWorld>(); }},
          {"fdc", [] { return std::make_unique<FloppyWorld>(); }}};
}

}  // namespace doppel::fuzz

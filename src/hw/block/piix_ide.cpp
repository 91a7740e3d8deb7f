#include "hw/block/piix_ide.h"

namespace doppel::hw {
namespace {

using namespace pci;

enum RegIde : u8 { kIdeTim0 = 0x40, kIdeTim1 = 0x42, kSideTim = 0x44 };
constexpr const char* kPlace[] = {"ide0-master", "ide0-slave", "ide1-master", "ide1-slave"};

}  // namespace

PiixIde::PiixIde(Params p) : PciDevice("piix3-ide", {.vendor = 0x8086, .device = p.device_id, .class_code = 0x010180}) {
  define16(kCommand, 0, kIoSpace | kBusMaster);
  define16(kStatus, kFastBackToBackCapable | kDevselMedium, 0, kStatusErrors);
  define8(kLatencyTimer, 0, 0xf0);
  define16(kIdeTim0, 0, 0xffff);
  define16(kIdeTim1, 0, 0xffff);
  define8(kSideTim, 0, 0xff);
  add_io_bar(4, 16, *this);
  for (unsigned i = 0; i < 2; i++) {
    masters_[i] = std::make_unique<BusMaster>([this]() -> DmaPort& { return dma(); },
                                              [this, i] { return channels_[i]->selected(); });
    BusMaster& master = *masters_[i];
    channels_[i] =
        std::make_unique<IdeChannel>(IdeChannel::Params{.clock = p.clock,
                                                        .irq = p.irq[i],
                                                        .command_delay_ns = p.command_delay_ns,
                                                        .drives = std::move(p.drives[i]),
                                                        .on_intrq = [&master](bool level) { master.on_intrq(level); },
                                                        .on_dma = [&master](IdeDrive& drive) { master.on_dma(drive); },
                                                        .device_lock = p.device_lock});
  }
}

PiixIde::~PiixIde() = default;

u64 PiixIde::read(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size && offset + i < 16; i++) {
    const unsigned at = static_cast<unsigned>(offset + i);
    value |= u64{masters_[at / 8]->read(at & 7)} << (8 * i);
  }
  return value;
}

void PiixIde::write(u64 offset, u64 value, unsigned size) {
  for (unsigned i = 0; i < size && offset + i < 16; i++) {
    const unsigned at = static_cast<unsigned>(offset + i);
    masters_[at / 8]->write(at & 7, static_cast<u8>(value >> (8 * i)));
  }
}

void PiixIde::reset() {
  PciDevice::reset();
  for (unsigned i = 0; i < 2; i++) {
    channels_[i]->reset();
    masters_[i]->reset();
  }
}

void PiixIde::sleep() {
  for (auto& channel : channels_) channel->drain();
}

void PiixIde::wake() {
  for (auto& channel : channels_) channel->resume();
}

void PiixIde::archive(StateArchive& ar) {
  PciDevice::archive(ar);
  for (unsigned i = 0; i < 2; i++) {
    ar.section(i == 0 ? "primary" : "secondary", [&] {
      channels_[i]->archive(ar);
      ar.section("bus_master", [&] { masters_[i]->archive(ar); });
    });
  }
}

std::string PiixIde::info() const {
  std::string out = PciDevice::info();
  for (unsigned i = 0; i < 4; i++) {
    if (const IdeDrive* drive = channels_[i / 2]->drive(i % 2))
      out += std::string("      ") + kPlace[i] + ": " + drive->describe() + "\n";
  }
  return out;
}

}  // namespace doppel::hw

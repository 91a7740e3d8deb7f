// An EEPROM of 256 bytes on an SMBus (a 24C02: one address, byte and word reads from where the command says), and the
// serial presence detect data of a memory module that such a one holds (JEDEC Standard 21-C, 4.1.2.5: SDRAM).
#pragma once
#include <array>

#include "hw/bus/pci/smbus_host.h"
#include "hw/core/device.h"

namespace doppel::hw {

using SpdData = std::array<u8, 256>;
// Of a PC133 module of `bytes`: a power of two, 8 MiB to 1 GiB.
SpdData sdram_spd(u64 bytes);
constexpr u64 kSpdSmallest = u64{8} << 20, kSpdLargest = u64{1} << 30;

class SmbusEeprom final : public Device, public SmbusSlave {
 public:
  explicit SmbusEeprom(const SpdData& contents) : data_(contents) {}
  int read_byte(u8 command) override { return data_[command]; }
  bool write_byte(u8 command, u8 value) override {
    data_[command] = value;
    return true;
  }
  void reset() override {}  // it keeps what was written
  void archive(StateArchive& ar) override { ar.field("data", data_); }

 private:
  SpdData data_;
};

}  // namespace doppel::hw

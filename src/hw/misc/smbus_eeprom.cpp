#include "hw/misc/smbus_eeprom.h"

#include <algorithm>
#include <bit>

namespace doppel::hw {
namespace {

// Byte numbers of the standard.
enum Spd : u8 {
  kUsed = 0,
  kTotal = 1,
  kMemoryType = 2,
  kRowBits = 3,
  kColumnBits = 4,
  kRanks = 5,
  kWidth = 6,
  kVoltage = 8,
  kCycle = 9,
  kAccess = 10,
  kRefresh = 12,
  kChipWidth = 13,
  kBackToBack = 15,
  kBursts = 16,
  kBanks = 17,
  kCas = 18,
  kCs = 19,
  kWe = 20,
  kAttributes = 22,
  kCycle2 = 23,
  kAccess2 = 24,
  kPrecharge = 27,
  kRowToRow = 28,
  kRasToCas = 29,
  kRasPulse = 30,
  kDensity = 31,
  kSetup = 32,
  kHold = 33,
  kDataSetup = 34,
  kDataHold = 35,
  kRevision = 62,
  kChecksum = 63,
  kPartNumber = 73,
  kFrequency = 126,
  kDetails = 127,
};
constexpr u64 kRankMost = u64{512} << 20;

}  // namespace

SpdData sdram_spd(u64 bytes) {
  bytes = std::clamp(std::bit_floor(bytes), kSpdSmallest, kSpdLargest);
  const u64 ranks = bytes > kRankMost ? 2 : 1, rank = bytes / ranks;
  const unsigned banks = rank < (u64{16} << 20) ? 2 : 4;
  // A rank of 64 data lines: 8 bytes at each place of each bank.
  const unsigned address_bits = static_cast<unsigned>(std::countr_zero(rank / 8 / banks));
  const unsigned row_bits = std::min(std::max(address_bits - 9, 11u), 13u);
  SpdData d{};
  d[kUsed] = 128, d[kTotal] = 8, d[kMemoryType] = 4;
  d[kRowBits] = static_cast<u8>(row_bits), d[kColumnBits] = static_cast<u8>(address_bits - row_bits);
  d[kRanks] = static_cast<u8>(ranks), d[kWidth] = 64, d[kVoltage] = 1;
  d[kCycle] = 0x75, d[kAccess] = 0x54;    // 7.5 ns, 5.4 ns at CAS latency 3
  d[kRefresh] = 0x80, d[kChipWidth] = 8;  // 15.625 us
  d[kBackToBack] = 1, d[kBursts] = 0x8f, d[kBanks] = static_cast<u8>(banks);
  d[kCas] = 0x06, d[kCs] = 1, d[kWe] = 1;  // CAS latencies 2 and 3
  d[kAttributes] = 0x0e, d[kCycle2] = 0xa0, d[kAccess2] = 0x60;
  d[kPrecharge] = 20, d[kRowToRow] = 15, d[kRasToCas] = 20, d[kRasPulse] = 45;
  d[kDensity] = static_cast<u8>(rank >> 22);  // in units of 4 MiB
  d[kSetup] = 0x15, d[kHold] = 0x08, d[kDataSetup] = 0x15, d[kDataHold] = 0x08;
  d[kRevision] = 0x12;
  for (unsigned i = 0; i < kChecksum; i++) d[kChecksum] = static_cast<u8>(d[kChecksum] + d[i]);
  constexpr char kName[] = "DOPPEL SDRAM      ";
  std::copy_n(kName, 18, &d[kPartNumber]);
  d[kFrequency] = 0x64, d[kDetails] = 0x85;
  return d;
}

}  // namespace doppel::hw

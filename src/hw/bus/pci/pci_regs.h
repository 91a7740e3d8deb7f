// Names of PCI configuration space, type 0 header (PCI Local Bus Specification 2.1, chapter 6).
#pragma once
#include "base/bits.h"

namespace doppel::hw::pci {

enum Reg : u8 {
  kVendorId = 0x00,
  kDeviceId = 0x02,
  kCommand = 0x04,
  kStatus = 0x06,
  kRevisionId = 0x08,
  kClassCode = 0x09,
  kCacheLineSize = 0x0c,
  kLatencyTimer = 0x0d,
  kHeaderType = 0x0e,
  kBist = 0x0f,
  kBar0 = 0x10,
  kSubsystemVendorId = 0x2c,
  kSubsystemId = 0x2e,
  kExpansionRom = 0x30,
  kCapabilitiesPointer = 0x34,
  kInterruptLine = 0x3c,
  kInterruptPin = 0x3d,
  kMinGnt = 0x3e,
  kMaxLat = 0x3f,
};

enum Command : u16 {
  kIoSpace = 1 << 0,
  kMemorySpace = 1 << 1,
  kBusMaster = 1 << 2,
  kSpecialCycles = 1 << 3,
  kMwiEnable = 1 << 4,
  kVgaPaletteSnoop = 1 << 5,
  kParityErrorResponse = 1 << 6,
  kSerrEnable = 1 << 8,
  kFastBackToBack = 1 << 9,
  kInterruptDisable = 1 << 10,
};

enum Status : u16 {
  kInterruptStatus = 1 << 3,
  kCapabilitiesList = 1 << 4,
  kFastBackToBackCapable = 1 << 7,
  kDevselMedium = 1 << 9,
  kStatusErrors = 0xf900,  // write 1 to clear
};

enum BarBits : u32 { kBarIo = 1, kBarMem64 = 4, kBarPrefetch = 8, kRomEnable = 1 };
constexpr u8 kMultiFunction = 0x80;

constexpr u8 devfn(unsigned slot, unsigned function) { return static_cast<u8>((slot << 3) | (function & 7)); }
constexpr unsigned slot_of(u8 devfn) { return devfn >> 3; }
constexpr unsigned function_of(u8 devfn) { return devfn & 7; }

}  // namespace doppel::hw::pci

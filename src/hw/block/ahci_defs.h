// Names of the Serial ATA AHCI 1.3.1 specification: HBA and port registers, their bits, and the Serial ATA 3.x frames
// (FIS) that a port exchanges with its device.
#pragma once
#include "base/bits.h"

namespace doppel::hw::ahci {

constexpr unsigned kPorts = 6, kSlots = 32;
constexpr u64 kWindow = 0x1000, kPortBase = 0x100, kPortSize = 0x80;

enum HbaReg : u32 { kCap = 0x00, kGhc = 0x04, kIs = 0x08, kPi = 0x0c, kVs = 0x10, kCap2 = 0x24 };
constexpr u32 kGhcReset = 1, kGhcInterrupts = 2, kGhcAhci = u32{1} << 31;
constexpr u32 kCapLockless = u32{1} << 24, kCapNcq = u32{1} << 30, kCap64 = u32{1} << 31, kCapAhciOnly = u32{1} << 18;
constexpr u32 kVersion = 0x00010300;

enum PortReg : u32 {
  kClb = 0x00,
  kClbu = 0x04,
  kFb = 0x08,
  kFbu = 0x0c,
  kPxIs = 0x10,
  kPxIe = 0x14,
  kPxCmd = 0x18,
  kTfd = 0x20,
  kSig = 0x24,
  kSsts = 0x28,
  kSctl = 0x2c,
  kSerr = 0x30,
  kSact = 0x34,
  kCi = 0x38,
  kSntf = 0x3c,
};
enum Interrupt : u32 {
  kDhrs = 1 << 0,   // register frame from the device
  kPss = 1 << 1,    // PIO setup frame
  kDss = 1 << 2,    // DMA setup frame
  kSdbs = 1 << 3,   // set device bits frame
  kDps = 1 << 5,    // descriptor processed
  kOfs = 1 << 24,   // more data than the table has room for
  kIfs = 1 << 27,   // interface fatal error
  kHbds = 1 << 28,  // host bus data error
  kHbfs = 1 << 29,  // host bus fatal error
  kTfes = 1 << 30,  // the device's error bit
  kInterrupts = 0xfdc000ff,
};
enum CommandBits : u32 {
  kSt = 1 << 0,
  kSud = 1 << 1,
  kPod = 1 << 2,
  kClo = 1 << 3,
  kFre = 1 << 4,
  kFr = 1 << 14,
  kCr = 1 << 15,
  kAtapi = 1 << 24,
  kCmdWritable = kSt | kSud | kPod | kFre | kAtapi | 0x0e000000,
};

// Frames. Offsets of the received ones are in the area that PxFB points at.
enum FisType : u8 { kH2d = 0x27, kD2h = 0x34, kPioSetup = 0x5f, kSetDeviceBits = 0xa1 };
constexpr u32 kFisPioSetup = 0x20, kFisD2h = 0x40, kFisSetDeviceBits = 0x58;
constexpr u8 kFisCommand = 0x80, kFisInterrupt = 0x40;

// The command header (4.2.2) and table (4.2.3).
constexpr u32 kHeaderSize = 32, kPacketAt = 0x40, kTableAt = 0x80, kPrdSize = 16;
constexpr u8 kReadFpdma = 0x60, kWriteFpdma = 0x61;

}  // namespace doppel::hw::ahci

// 82078 register and status bits (document 290474, sections 2 and 6).
#pragma once
#include "base/bits.h"

namespace doppel::hw::fdc {

enum Dor : u8 { kDorDriveSelect = 0x03, kDorNotReset = 0x04, kDorDmaGate = 0x08 };
enum Msr : u8 { kCmdBusy = 0x10, kNonDma = 0x20, kDio = 0x40, kRqm = 0x80 };
enum Dsr : u8 { kDsrRate = 0x03, kDsrReset = 0x80 };
enum St0 : u8 { kEquipmentCheck = 0x10, kSeekEnd = 0x20, kAbnormal = 0x40, kInvalid = 0x80, kPolled = 0xc0 };
enum St1 : u8 {
  kMissingAddressMark = 0x01,
  kNotWritable = 0x02,
  kNoData = 0x04,
  kDataError = 0x20,
  kEndOfCylinder = 0x80
};
enum St2 : u8 {
  kScanNotSatisfied = 0x04,
  kScanEqual = 0x08,
  kWrongCylinder = 0x10,
  kDataErrorInField = 0x20,
  kControlMark = 0x40
};
enum Config : u8 { kFifoThreshold = 0x0f, kPollDisable = 0x10, kFifoDisable = 0x20, kImpliedSeek = 0x40 };

enum Command : u8 {
  kReadTrack = 0x02,
  kSpecify = 0x03,
  kSenseDriveStatus = 0x04,
  kWriteData = 0x05,
  kReadData = 0x06,
  kRecalibrate = 0x07,
  kSenseInterruptStatus = 0x08,
  kWriteDeletedData = 0x09,
  kReadId = 0x0a,
  kReadDeletedData = 0x0c,
  kFormatTrack = 0x0d,
  kDumpReg = 0x0e,
  kSeek = 0x0f,
  kVersion = 0x10,
  kScanEqualCommand = 0x11,
  kPerpendicularMode = 0x12,
  kConfigure = 0x13,
  kLock = 0x14,
  kVerify = 0x16,
  kPartId = 0x18,
  kScanLow = 0x19,
  kScanHigh = 0x1d,
};

constexpr s64 kResetTime = 50'000;   // ns until the interrupt that ends a reset
constexpr s64 kSeekTime = 500'000;   // a seek, whatever the distance
constexpr s64 kStartTime = 100'000;  // from a command's last byte to its first data

}  // namespace doppel::hw::fdc

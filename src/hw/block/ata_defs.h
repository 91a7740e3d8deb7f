// ATA/ATAPI names: status and error bits, commands (ATA8-ACS), packet command set details (MMC-5, SPC-3).
#pragma once
#include "base/bits.h"

namespace doppel::hw::ata {

enum StatusBits : u8 { kErr = 0x01, kIdx = 0x02, kDrq = 0x08, kDsc = 0x10, kDf = 0x20, kDrdy = 0x40, kBsy = 0x80 };
enum ErrorBits : u8 { kAmnf = 0x01, kAbrt = 0x04, kMcr = 0x08, kIdnf = 0x10, kMc = 0x20, kUnc = 0x40, kIcrc = 0x80 };
enum DeviceBits : u8 { kDev = 0x10, kLba = 0x40 };
enum ControlBits : u8 { kNIen = 0x02, kSrst = 0x04, kHob = 0x80 };
enum Reason : u8 {
  kCoD = 0x01,
  kIo = 0x02,
  kRel = 0x04
};  // interrupt reason, in the sector count register of packet devices

enum Command : u8 {
  kNop = 0x00,
  kCfaRequestExtendedError = 0x03,
  kDataSetManagement = 0x06,
  kDeviceReset = 0x08,
  kRecalibrateFirst = 0x10,
  kRecalibrateLast = 0x1f,
  kReadSectors = 0x20,
  kReadSectorsNoRetry = 0x21,
  kReadSectorsExt = 0x24,
  kReadDmaExt = 0x25,
  kReadNativeMaxExt = 0x27,
  kReadMultipleExt = 0x29,
  kReadLogExt = 0x2f,
  kWriteSectors = 0x30,
  kWriteSectorsNoRetry = 0x31,
  kWriteSectorsExt = 0x34,
  kWriteDmaExt = 0x35,
  kWriteMultipleExt = 0x39,
  kWriteVerify = 0x3c,
  kWriteDmaFuaExt = 0x3d,
  kReadVerify = 0x40,
  kReadVerifyNoRetry = 0x41,
  kReadVerifyExt = 0x42,
  kSeekFirst = 0x70,
  kSeekLast = 0x7f,
  kExecuteDiagnostic = 0x90,
  kInitializeParameters = 0x91,
  kStandbyImmediateOld = 0x94,
  kIdleImmediateOld = 0x95,
  kStandbyOld = 0x96,
  kIdleOld = 0x97,
  kCheckPowerOld = 0x98,
  kSleepOld = 0x99,
  kPacket = 0xa0,
  kIdentifyPacket = 0xa1,
  kSmart = 0xb0,
  kReadMultiple = 0xc4,
  kWriteMultiple = 0xc5,
  kSetMultiple = 0xc6,
  kReadDma = 0xc8,
  kReadDmaNoRetry = 0xc9,
  kWriteDma = 0xca,
  kWriteDmaNoRetry = 0xcb,
  kWriteMultipleFuaExt = 0xce,
  kGetMediaStatus = 0xda,
  kStandbyImmediate = 0xe0,
  kIdleImmediate = 0xe1,
  kStandby = 0xe2,
  kIdle = 0xe3,
  kReadBuffer = 0xe4,
  kCheckPower = 0xe5,
  kSleep = 0xe6,
  kFlushCache = 0xe7,
  kWriteBuffer = 0xe8,
  kFlushCacheExt = 0xea,
  kIdentify = 0xec,
  kSetFeatures = 0xef,
  kReadNativeMax = 0xf8,
};

constexpr u32 kSectorSize = 512;
constexpr u32 kMaxMultiple = 16;

}  // namespace doppel::hw::ata

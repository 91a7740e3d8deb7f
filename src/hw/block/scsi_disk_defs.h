// Operation codes of SBC-3 and SPC-4 that a disk answers, and what it says of its limits.
#pragma once
#include "base/bits.h"

namespace doppel::hw::scsi {

enum DiskOp : u8 {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kRead6 = 0x08,
  kWrite6 = 0x0a,
  kInquiry = 0x12,
  kModeSelect6 = 0x15,
  kReserve6 = 0x16,
  kRelease6 = 0x17,
  kModeSense6 = 0x1a,
  kStartStopUnit = 0x1b,
  kPreventAllow = 0x1e,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2a,
  kWriteVerify10 = 0x2e,
  kVerify10 = 0x2f,
  kSynchronizeCache10 = 0x35,
  kWriteSame10 = 0x41,
  kUnmap = 0x42,
  kModeSelect10 = 0x55,
  kModeSense10 = 0x5a,
  kRead16 = 0x88,
  kWrite16 = 0x8a,
  kVerify16 = 0x8f,
  kSynchronizeCache16 = 0x91,
  kWriteSame16 = 0x93,
  kServiceActionIn16 = 0x9e,
  kRead12 = 0xa8,
  kWrite12 = 0xaa,
};
constexpr u8 kReadCapacity16 = 0x10;  // a service action

constexpr u32 kMaxUnmapRanges = 255;
constexpr u32 kMaxUnmapBlocks = 1 << 22;  // 2 GiB
constexpr u32 kMaxTransferBlocks = 0xffff;

}  // namespace doppel::hw::scsi

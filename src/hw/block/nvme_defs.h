// Names of the NVM Express Base Specification 1.4: registers, opcodes, status codes, features, log pages.
#pragma once
#include "base/bits.h"

namespace doppel::hw::nvme {

enum Reg : u32 {
  kCap = 0x00,
  kVs = 0x08,
  kIntms = 0x0c,
  kIntmc = 0x10,
  kCc = 0x14,
  kCsts = 0x1c,
  kNssr = 0x20,
  kAqa = 0x24,
  kAsq = 0x28,
  kAcq = 0x30,
  kDoorbells = 0x1000,
};
constexpr u32 kCcEnable = 1, kCstsReady = 1, kCstsFatal = 2, kCstsShutdownBusy = 4, kCstsShutdownDone = 8;
constexpr u32 kVersion = 0x00010400;

enum AdminOp : u8 {
  kDeleteSq = 0x00,
  kCreateSq = 0x01,
  kGetLogPage = 0x02,
  kDeleteCq = 0x04,
  kCreateCq = 0x05,
  kIdentify = 0x06,
  kAbort = 0x08,
  kSetFeatures = 0x09,
  kGetFeatures = 0x0a,
  kAsyncEventRequest = 0x0c,
};
enum NvmOp : u8 {
  kFlush = 0x00,
  kWrite = 0x01,
  kRead = 0x02,
  kCompare = 0x05,
  kWriteZeroes = 0x08,
  kDatasetManagement = 0x09,
};

// Status field: status code type << 8 | status code; kDnr: do not retry.
enum Status : u16 {
  kSuccess = 0x000,
  kInvalidOpcode = 0x001,
  kInvalidField = 0x002,
  kDataTransferError = 0x004,
  kInternalError = 0x006,
  kInvalidNamespace = 0x00b,
  kInvalidPrpOffset = 0x013,
  kWriteProtected = 0x020,
  kLbaOutOfRange = 0x080,
  kCapacityExceeded = 0x081,
  kInvalidCq = 0x100,
  kInvalidQueueId = 0x101,
  kInvalidQueueSize = 0x102,
  kAerLimitExceeded = 0x105,
  kInvalidVector = 0x108,
  kInvalidLogPage = 0x109,
  kInvalidQueueDeletion = 0x10c,
  kNotSaveable = 0x10d,
  kNotChangeable = 0x10e,
  kWriteFault = 0x280,
  kUnrecoveredRead = 0x281,
  kCompareFailure = 0x285,
  kDnr = 0x4000,
};

enum Feature : u8 {
  kArbitration = 0x01,
  kPowerManagement = 0x02,
  kTemperatureThreshold = 0x04,
  kErrorRecovery = 0x05,
  kVolatileWriteCache = 0x06,
  kNumberOfQueues = 0x07,
  kInterruptCoalescing = 0x08,
  kInterruptVectorConfig = 0x09,
  kWriteAtomicity = 0x0a,
  kAsyncEventConfig = 0x0b,
};
enum LogPage : u8 { kErrorLog = 0x01, kSmartLog = 0x02, kFirmwareLog = 0x03 };
enum AsyncEvent : u8 { kErrorEvent = 0, kInvalidDoorbell = 0, kInvalidDoorbellValue = 1 };

// A submission queue entry.
struct Command {
  u8 opcode, flags;
  u16 id;
  u32 namespace_id;
  u32 dword2, dword3;
  u64 metadata, prp1, prp2;
  u32 dword10, dword11, dword12, dword13, dword14, dword15;
};
static_assert(sizeof(Command) == 64);

constexpr u64 kBlock = 512;        // bytes of a logical block
constexpr u32 kTransferShift = 8;  // MDTS: 2^8 pages of 4 KiB
constexpr u64 kMaxTransfer = u64{4096} << kTransferShift;
constexpr u32 kMaxEntries = 2048;  // of a queue
constexpr u32 kSqEntry = 64, kCqEntry = 16;
constexpr size_t kMaxAsyncRequests = 4;

}  // namespace doppel::hw::nvme

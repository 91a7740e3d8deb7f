// Names of the virtio specification (OASIS Virtual I/O Device 1.2): device numbers, status bits, features of every
// device and of the rings.
#pragma once
#include "base/bits.h"

namespace doppel::hw::virtio {

enum DeviceId : u16 {
  kIdNet = 1,
  kIdBlock = 2,
  kIdConsole = 3,
  kIdEntropy = 4,
  kIdBalloon = 5,
  kIdScsi = 8,
  kId9p = 9,
  kIdInput = 18,
};

enum Status : u8 {
  kAcknowledge = 1,
  kDriver = 2,
  kDriverOk = 4,
  kFeaturesOk = 8,
  kNeedsReset = 64,
  kFailed = 128,
};

constexpr u64 feature(unsigned bit) { return u64{1} << bit; }
constexpr u64 kAnyLayout = feature(27);     // legacy: headers need no descriptor of their own
constexpr u64 kIndirectDesc = feature(28);  // a descriptor may stand for a table of them
constexpr u64 kEventIdx = feature(29);      // each side says at which index it wants to be told
constexpr u64 kVersion1 = feature(32);
constexpr u64 kRingPacked = feature(34);  // rings of one table; offered with packed=on

enum IsrBits : u8 { kIsrQueue = 1, kIsrConfig = 2 };
constexpr u16 kNoVector = 0xffff;

}  // namespace doppel::hw::virtio

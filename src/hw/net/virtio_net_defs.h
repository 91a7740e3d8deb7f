// Names of the virtio network device (virtio 1.2, 5.1).
#pragma once
#include "hw/bus/virtio/virtio_defs.h"

namespace doppel::hw::virtio_net {

enum FeatureBit : unsigned {
  kCsum = 0,
  kGuestCsum = 1,
  kCtrlGuestOffloads = 2,
  kMtu = 3,
  kMac = 5,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kMrgRxbuf = 15,
  kStatus = 16,
  kCtrlVq = 17,
  kCtrlRx = 18,
  kCtrlVlan = 19,
  kCtrlRxExtra = 20,
  kMq = 22,
  kCtrlMacAddr = 23,
  kSpeedDuplex = 63,
};
enum ConfigField : size_t {
  kMacAt = 0,
  kStatusAt = 6,
  kMaxPairsAt = 8,
  kMtuAt = 10,
  kSpeedAt = 12,
  kDuplexAt = 16,
  kConfigSize = 17,
};
constexpr u16 kLinkUp = 1;

// The header in front of every frame.
enum Header : size_t {
  kFlags = 0,
  kGsoType = 1,
  kHeaderLength = 2,
  kGsoSize = 4,
  kCsumStart = 6,
  kCsumOffset = 8,
  kNumBuffers = 10,
  kLegacyHeader = 10,
  kMergeableHeader = 12,
};
enum HeaderFlags : u8 { kNeedsCsum = 1, kDataValid = 2 };
enum GsoType : u8 { kGsoNone = 0, kGsoTcp4 = 1, kGsoTcp6 = 4, kGsoEcn = 0x80 };

enum ControlClass : u8 { kClassRx = 0, kClassMac = 1, kClassVlan = 2, kClassMq = 4, kClassOffloads = 5 };
enum ControlRx : u8 { kPromisc = 0, kAllMulti = 1, kAllUni = 2, kNoMulti = 3, kNoUni = 4, kNoBcast = 5 };
enum ControlMac : u8 { kTableSet = 0, kAddrSet = 1 };
enum ControlVlan : u8 { kVlanAdd = 0, kVlanDel = 1 };
enum Ack : u8 { kAckOk = 0, kAckError = 1 };

}  // namespace doppel::hw::virtio_net

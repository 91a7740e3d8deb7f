// Registers, descriptors and their bits of the 82540EM. Names and sections: "PCI/PCI-X Family of Gigabit Ethernet
// Controllers Software Developer's Manual" (Intel 317453), chapters 3, 5 and 13.
#pragma once
#include "base/bits.h"

namespace doppel::hw::e1000 {

enum Reg : u32 {
  kCtrl = 0x0000,
  kStatus = 0x0008,
  kEecd = 0x0010,
  kEerd = 0x0014,
  kCtrlExt = 0x0018,
  kMdic = 0x0020,
  kFcal = 0x0028,
  kFcah = 0x002c,
  kFct = 0x0030,
  kVet = 0x0038,
  kIcr = 0x00c0,
  kItr = 0x00c4,
  kIcs = 0x00c8,
  kIms = 0x00d0,
  kImc = 0x00d8,
  kRctl = 0x0100,
  kFcttv = 0x0170,
  kTxcw = 0x0178,
  kRxcw = 0x0180,
  kTctl = 0x0400,
  kTipg = 0x0410,
  kAifs = 0x0458,
  kLedctl = 0x0e00,
  kPba = 0x1000,
  kFcrtl = 0x2160,
  kFcrth = 0x2168,
  kRdbal = 0x2800,
  kRdbah = 0x2804,
  kRdlen = 0x2808,
  kRdh = 0x2810,
  kRdt = 0x2818,
  kRdtr = 0x2820,
  kRxdctl = 0x2828,
  kRadv = 0x282c,
  kRsrpd = 0x2c00,
  kTxdmac = 0x3000,
  kTdbal = 0x3800,
  kTdbah = 0x3804,
  kTdlen = 0x3808,
  kTdh = 0x3810,
  kTdt = 0x3818,
  kTidv = 0x3820,
  kTxdctl = 0x3828,
  kTadv = 0x382c,
  kTspmt = 0x3830,
  kStatistics = 0x4000,  // to 0x40fc; each is cleared by reading it
  kMpc = 0x4010,
  kPrc64 = 0x405c,
  kGprc = 0x4074,
  kBprc = 0x4078,
  kMprc = 0x407c,
  kGptc = 0x4080,
  kGorcl = 0x4088,
  kGotcl = 0x4090,
  kRoc = 0x40ac,
  kTorl = 0x40c0,
  kTotl = 0x40c8,
  kTpr = 0x40d0,
  kTpt = 0x40d4,
  kPtc64 = 0x40d8,
  kMptc = 0x40f0,
  kBptc = 0x40f4,
  kTsctc = 0x40f8,
  kRxcsum = 0x5000,
  kMta = 0x5200,   // 128 words
  kRa = 0x5400,    // 16 pairs
  kVfta = 0x5600,  // 128 words
  kWuc = 0x5800,
  kWufc = 0x5808,
  kWus = 0x5810,
  kManc = 0x5820,
  kRegisterEnd = 0x6000,
};
constexpr u32 kMtaWords = 128, kRaPairs = 16;

enum Ctrl : u32 { kCtrlSlu = 1 << 6, kCtrlRst = 1 << 26, kCtrlVme = 1u << 30, kCtrlPhyRst = 1u << 31 };
enum Status : u32 { kStatusFd = 1 << 0, kStatusLu = 1 << 1, kStatusSpeed1000 = 1 << 7 };
enum Eecd : u32 {
  kEecdSk = 1 << 0,
  kEecdCs = 1 << 1,
  kEecdDi = 1 << 2,
  kEecdDo = 1 << 3,
  kEecdFwe = 2 << 4,  // flash writes off
  kEecdReq = 1 << 6,
  kEecdGnt = 1 << 7,
  kEecdPres = 1 << 8,
};
enum Eerd : u32 { kEerdStart = 1 << 0, kEerdDone = 1 << 4 };
enum Mdic : u32 { kMdicWrite = 1, kMdicRead = 2, kMdicReady = 1 << 28, kMdicInt = 1 << 29, kMdicError = 1 << 30 };
enum Interrupt : u32 {
  kIntTxdw = 1 << 0,
  kIntTxqe = 1 << 1,
  kIntLsc = 1 << 2,
  kIntRxdmt0 = 1 << 4,
  kIntRxo = 1 << 6,
  kIntRxt0 = 1 << 7,
  kIntMdac = 1 << 9,
  kIntAll = 0x1ffff,
};
enum Rctl : u32 {
  kRctlEn = 1 << 1,
  kRctlSbp = 1 << 2,
  kRctlUpe = 1 << 3,
  kRctlMpe = 1 << 4,
  kRctlLpe = 1 << 5,
  kRctlLbm = 3 << 6,
  kRctlBam = 1 << 15,
  kRctlVfe = 1 << 18,
  kRctlBsex = 1 << 25,
  kRctlSecrc = 1 << 26,
};
enum Tctl : u32 { kTctlEn = 1 << 1 };
constexpr u32 kRahValid = 1u << 31;

// Descriptors, 16 bytes.
constexpr u32 kDescriptor = 16;
enum RxStatus : u8 { kRxDd = 1, kRxEop = 2, kRxIxsm = 4, kRxVp = 8, kRxTcpcs = 32, kRxIpcs = 64 };
enum RxError : u8 { kRxTcpe = 0x20, kRxIpe = 0x40 };
enum TxCommand : u8 {
  kTxEop = 1 << 0,
  kTxIc = 1 << 2,   // legacy
  kTxTse = 1 << 2,  // extended
  kTxRs = 1 << 3,
  kTxRps = 1 << 4,
  kTxDext = 1 << 5,
  kTxVle = 1 << 6,
};
enum TxOptions : u8 { kTxIxsm = 1, kTxTxsm = 2 };
enum TuCommand : u8 { kTuTcp = 1, kTuIp = 2, kTuTse = 4 };

}  // namespace doppel::hw::e1000

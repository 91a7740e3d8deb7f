// Names of the Am79C970A's registers and descriptors: AMD, "Am79C970A PCnet-PCI II Single-Chip Full-Duplex Ethernet
// Controller for PCI Local Bus Product", chapters "User Accessible Registers" and "Descriptor Ring Formats".
#pragma once
#include "base/bits.h"

namespace doppel::hw::pcnet {

// The ports. With DWIO (32-bit accesses only) registers stand at dwords, else at words; the address PROM comes first.
enum WordPort : unsigned { kWordRdp = 0x10, kWordRap = 0x12, kWordReset = 0x14, kWordBdp = 0x16 };
enum DwordPort : unsigned { kDwordRdp = 0x10, kDwordRap = 0x14, kDwordReset = 0x18, kDwordBdp = 0x1c };
constexpr unsigned kPromSize = 16, kPortsSize = 32;

enum Csr : unsigned {
  kCsr0 = 0,
  kIadr = 1,  // two registers, low word first; so are the other addresses
  kCsr3 = 3,
  kCsr4 = 4,
  kCsr5 = 5,
  kCsr6 = 6,
  kLadrf = 8,  // four registers
  kPadr = 12,  // three registers
  kMode = 15,
  kIadrAlias = 16,
  kBadr = 24,  // receive ring
  kBadx = 30,  // transmit ring
  kPollInt = 47,
  kSws = 58,    // BCR20
  kRcvrc = 72,  // counts from RCVRL up to -1
  kXmtrc = 74,
  kRcvrl = 76,  // ring lengths, two's complement
  kXmtrl = 78,
  kChipId = 88,
  kMfc = 112,
  kRcc = 114,
  kCsrCount = 128,
};
enum Csr0 : u16 {
  kInit = 0x0001,
  kStrt = 0x0002,
  kStop = 0x0004,
  kTdmd = 0x0008,
  kTxon = 0x0010,
  kRxon = 0x0020,
  kIena = 0x0040,
  kIntr = 0x0080,
  kIdon = 0x0100,
  kTint = 0x0200,
  kRint = 0x0400,
  kMerr = 0x0800,
  kMiss = 0x1000,
  kCerr = 0x2000,
  kBabl = 0x4000,
  kErr = 0x8000,
};
constexpr u16 kCsr0Causes = kIdon | kTint | kRint | kMerr | kMiss | kBabl;
constexpr u16 kCsr0Clears = kCsr0Causes | kCerr;
enum Csr3 : u16 { kDxsuflo = 0x0040 };
enum Csr4 : u16 {
  kDpoll = 0x1000,
  kApadXmt = 0x0800,
  kMfco = 0x0200,
  kUintCmd = 0x0080,
  kUint = 0x0040,
  kRcvcco = 0x0020,
  kTxstrt = 0x0008,
  kJab = 0x0002,
};
// CSR4's causes stand left of their masks.
constexpr u16 kCsr4Masked = kMfco | kRcvcco | kTxstrt | kJab, kCsr4Clears = kCsr4Masked | kUint;
enum Csr5 : u16 {
  kTokintd = 0x8000,
  kLtinten = 0x4000,
  kSint = 0x0800,
  kSlpint = 0x0200,
  kExdint = 0x0080,
  kMpint = 0x0010,
  kSpnd = 0x0001,
};
// CSR5's causes stand left of their enables.
constexpr u16 kCsr5Clears = kSint | kSlpint | kExdint | kMpint;
enum Mode : u16 {
  kProm = 0x8000,
  kDrcvbc = 0x4000,
  kDrcvpa = 0x2000,
  kDxmtfcs = 0x0008,
  kLoop = 0x0004,
  kDtx = 0x0002,
  kDrx = 0x0001,
};

enum Bcr : unsigned { kMc = 2, kLed0 = 4, kBsbc = 18, kEecas = 19, kBcrSws = 20, kBcrCount = 32 };
enum BcrBits : u16 {
  kApromWe = 0x0100,  // BCR2
  kLnkste = 0x0040,   // BCR4 to 7: the light shows the link
  kLedOut = 0x8000,
  kDwio = 0x0080,     // BCR18
  kSwstyle = 0x00ff,  // BCR20
  kSsize32 = 0x0100,
  kCsrPcnet = 0x0200,
};

// Descriptor flags: the high byte of TMD1 and RMD1, whatever the software style.
enum DescriptorFlag : u8 {
  kOwn = 0x80,
  kDescErr = 0x40,
  kAddFcs = 0x20,  // transmit
  kFram = 0x20,
  kOflo = 0x10,
  kLtint = 0x10,  // transmit
  kBuff = 0x04,   // receive
  kStp = 0x02,
  kEnp = 0x01,
};
enum ReceiveMatch : u32 { kPam = 1u << 22, kLafm = 1u << 21, kBam = 1u << 20 };  // of RMD1, software style 2 and 3
enum TransmitError : u32 { kTmdBuff = 1u << 31, kTmdUflo = 1u << 30, kTmdLcar = 1u << 27 };

}  // namespace doppel::hw::pcnet

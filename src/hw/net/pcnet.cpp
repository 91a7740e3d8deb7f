#include "hw/net/pcnet.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "base/log.h"

namespace doppel::hw {

using namespace pcnet;

namespace {
struct Row {
  u8 number;
  u16 reset;  // by a soft reset, for CSRs
  u16 writable;
  bool stopped;  // written only while STOP or SPND is set
};
// CSR0, 4, 5, 15 to 17 and 58 have rules of their own. What is not here reads as zero.
constexpr Row kCsrRows[] = {
    {1, 0, 0xffff, true},   {2, 0, 0xffff, true},   {3, 0, 0x5f7c, false},  {6, 0, 0, false},
    {8, 0, 0xffff, true},   {9, 0, 0xffff, true},   {10, 0, 0xffff, true},  {11, 0, 0xffff, true},
    {12, 0, 0xffff, true},  {13, 0, 0xffff, true},  {14, 0, 0xffff, true},  {18, 0, 0xffff, true},
    {19, 0, 0xffff, true},  {20, 0, 0xffff, true},  {21, 0, 0xffff, true},  {22, 0, 0xffff, true},
    {23, 0, 0xffff, true},  {24, 0, 0xffff, true},  {25, 0, 0xffff, true},  {26, 0, 0xffff, true},
    {27, 0, 0xffff, true},  {28, 0, 0xffff, true},  {29, 0, 0xffff, true},  {30, 0, 0xffff, true},
    {31, 0, 0xffff, true},  {32, 0, 0xffff, true},  {33, 0, 0xffff, true},  {34, 0, 0xffff, true},
    {35, 0, 0xffff, true},  {46, 0, 0xffff, true},  {47, 0, 0xffff, true},  {72, 0, 0xffff, true},
    {74, 0, 0xffff, true},  {76, 0, 0xffff, true},  {78, 0, 0xffff, true},  {80, 0x1410, 0xffff, true},
    {82, 0, 0xffff, true},  {84, 0, 0xffff, true},  {85, 0, 0xffff, true},  {86, 0, 0xffff, true},
    {88, 0x1003, 0, false}, {89, 0x0262, 0, false}, {94, 0, 0, false},      {100, 0x0200, 0xffff, true},
    {112, 0, 0, false},     {114, 0, 0, false},     {122, 0, 0x0001, true}, {124, 0, 0x0008, true},
};
constexpr u16 kCsr4Reset = 0x0115, kCsr4Writable = 0xfd15, kCsr5Writable = 0xc54f;
constexpr Row kBcrRows[] = {
    {0, 0x0005, 0, false},      {1, 0x0005, 0, false},      {2, 0x0002, 0x7187, false},  {4, 0x00c0, 0x40ff, false},
    {5, 0x0084, 0x40ff, false}, {6, 0x0088, 0x40ff, false}, {7, 0x0090, 0x40ff, false},  {9, 0x0000, 0x0007, false},
    {16, 0, 0, false},          {17, 0, 0, false},          {18, 0x9001, 0xfe60, false}, {19, 0x0002, 0x0017, false},
    {20, 0x0200, 0, false},     {21, 0, 0, false},          {22, 0xff06, 0xffff, false},
};
constexpr u16 kStyles[] = {kCsrPcnet, kSsize32, kSsize32 | kCsrPcnet, kSsize32 | kCsrPcnet};
constexpr u16 kApErrEn = 0x0400;
constexpr s64 kLongestDoubtPause = 128'000'000;
constexpr size_t kMostDoubts = 512;  // as many as a ring has entries

template <size_t N>
const Row* find(const Row (&rows)[N], unsigned number) {
  for (const Row& r : rows) {
    if (r.number == number) return &r;
  }
  return nullptr;
}
}  // namespace

Pcnet::Pcnet(NicParams p)
    : PciNic("pcnet", {.vendor = 0x1022, .device = 0x2000, .revision = 0x10, .class_code = 0x020000, .pin = 1},
             std::move(p)),
      poll_(clock(), [this] {
        if (waiting_) port().room_to_receive();
        waiting_ = false;
        look_again(true);
        doubt_pause_ = std::min(doubt_pause_ * 2, kLongestDoubtPause);
        transmit();
      }) {
  define16(pci::kStatus, 0x0280, 0, pci::kStatusErrors);
  define16(pci::kMinGnt, 0xff06);
  add_io_bar(0, kPortsSize, *this);
  add_mmio_bar(1, kPortsSize, *this);
  reset();
}

void Pcnet::reset() {
  PciDevice::reset();
  bcr_ = {};
  for (const Row& r : kBcrRows) bcr_[r.number] = r.reset;
  prom_ = {};
  std::copy(port().mac().begin(), port().mac().end(), prom_.begin());
  prom_[9] = 0x11;  // hardware ID of the PCI chips
  prom_[14] = prom_[15] = 'W';
  store_le<u16>(&prom_[12], static_cast<u16>(std::accumulate(prom_.begin(), prom_.end(), 0u)));
  rap_ = 0;
  soft_reset();
}

// By reading the reset port: the CSRs; the BCRs stay.
void Pcnet::soft_reset() {
  csr_ = {};
  for (const Row& r : kCsrRows) csr_[r.number] = r.reset;
  csr_[kCsr0] = kStop;
  csr_[kCsr4] = kCsr4Reset;
  for (unsigned i = 0; i < 3; i++) csr_[kPadr + i] = load_le<u16>(&prom_[2 * i]);
  stop();
}

void Pcnet::stop() {
  csr_[kCsr0] = kStop;
  csr_[kCsr4] = static_cast<u16>(csr_[kCsr4] & ~kCsr4Clears);
  csr_[kCsr5] = static_cast<u16>(csr_[kCsr5] & ~(kCsr5Clears | kSpnd));
  waiting_ = false;
  doubts_.clear();
  poll_.disarm();
  update_interrupt();
}

void Pcnet::set_pair(unsigned csr, u32 value) {
  csr_[csr] = static_cast<u16>(value);
  csr_[csr + 1] = static_cast<u16>(value >> 16);
}

// --- ports

u64 Pcnet::read(u64 offset, unsigned size) {
  const unsigned at = static_cast<unsigned>(offset) & (kPortsSize - 1);
  if (at >= kPromSize) return read_port(at, size);
  u64 v = 0;
  for (unsigned i = 0; i < size; i++) v |= u64{prom_[(at + i) % kPromSize]} << (8 * i);
  return v;
}

void Pcnet::write(u64 offset, u64 value, unsigned size) {
  const unsigned at = static_cast<unsigned>(offset) & (kPortsSize - 1);
  if (at >= kPromSize) {
    write_port(at, static_cast<u32>(value), size);
    return;
  }
  if ((bcr_[kMc] & kApromWe) == 0) return;
  for (unsigned i = 0; i < size; i++) prom_[(at + i) % kPromSize] = static_cast<u8>(value >> (8 * i));
}

u32 Pcnet::read_port(unsigned at, unsigned size) {
  if (dword_io()) {
    if (size != 4) return ~u32{0} >> (32 - 8 * size);  // only whole dwords are decoded
    switch (at) {
      case kDwordRdp: return read_csr(rap_);
      case kDwordRap: return rap_;
      case kDwordReset: soft_reset(); return 0;
      case kDwordBdp: return read_bcr(rap_);
      default: return 0;
    }
  }
  if (size == 4) return read_port(at, 2) | read_port((at + 2) & (kPortsSize - 1), 2) << 16;
  if (size == 1) return read_port(at & ~1u, 2) >> (8 * (at & 1)) & 0xff;
  switch (at) {
    case kWordRdp: return read_csr(rap_);
    case kWordRap: return rap_;
    case kWordReset: soft_reset(); return 0;
    case kWordBdp: return read_bcr(rap_);
    default: return 0;
  }
}

void Pcnet::write_port(unsigned at, u32 value, unsigned size) {
  const u16 v = static_cast<u16>(value);
  if (!dword_io() && size == 4 && at == kDwordRdp) bcr_[kBsbc] |= kDwio;  // the way into it
  if (size != (dword_io() ? 4u : 2u)) {
    DOPPEL_LOG(GuestErrors, "pcnet: a write of %u bytes to port %x\n", size, at);
    return;
  }
  const unsigned step = dword_io() ? 4 : 2;
  switch ((at - kPromSize) / step) {
    case 0: write_csr(rap_, v); break;
    case 1: rap_ = v & 0x7f; break;
    case 3: write_bcr(rap_, v); break;
    default: break;
  }
}

// --- control and status registers

u16 Pcnet::read_csr(unsigned n) const {
  switch (n) {
    case kCsr0: {
      const u16 v = csr_[kCsr0];
      return static_cast<u16>(v | ((v & (kBabl | kCerr | kMiss | kMerr)) ? kErr : 0));
    }
    case kIadrAlias:
    case kIadrAlias + 1: return csr_[kIadr + n - kIadrAlias];
    case kSws: return bcr_[kBcrSws];
    case kMode:
    case kCsr4:
    case kCsr5: return csr_[n];
    default: return find(kCsrRows, n) ? csr_[n] : u16{0};
  }
}

void Pcnet::write_csr(unsigned n, u16 v) {
  const bool still = (csr_[kCsr0] & kStop) != 0 || (csr_[kCsr5] & kSpnd) != 0;
  switch (n) {
    case kCsr0: write_csr0(v); return;
    case kCsr4:
      csr_[n] = static_cast<u16>((csr_[n] & ~kCsr4Writable & ~(v & kCsr4Clears)) | (v & kCsr4Writable));
      if (v & kUintCmd) csr_[n] |= kUint;
      update_interrupt();
      return;
    case kCsr5:
      csr_[n] = static_cast<u16>((csr_[n] & ~kCsr5Writable & ~(v & kCsr5Clears)) | (v & kCsr5Writable));
      if ((csr_[n] & kSpnd) == 0) {
        port().room_to_receive();
        transmit();
      }
      update_interrupt();
      return;
    case kMode:
      if (still) csr_[n] = v;
      return;
    case kIadrAlias:
    case kIadrAlias + 1: n = kIadr + n - kIadrAlias; break;
    case kSws: set_style(v); return;
    default: break;
  }
  const Row* row = find(kCsrRows, n);
  if (row == nullptr || (row->stopped && !still)) return;
  csr_[n] = static_cast<u16>((csr_[n] & ~row->writable) | (v & row->writable));
  if (n == kCsr3) update_interrupt();
}

void Pcnet::write_csr0(u16 v) {
  u16& csr0 = csr_[kCsr0];
  if (v & kStop) {
    stop();
    return;
  }
  csr0 = static_cast<u16>((csr0 & ~(v & kCsr0Clears) & ~kIena) | (v & kIena));
  if ((v & kInit) && (csr0 & kInit) == 0) {
    csr0 = static_cast<u16>((csr0 | kInit) & ~kStop);
    if (initialize()) csr0 |= kIdon;
  }
  if (v & kStrt) {
    csr0 = static_cast<u16>((csr0 | kStrt) & ~kStop);
    if ((csr_[kMode] & kDrx) == 0) csr0 |= kRxon;
    if ((csr_[kMode] & kDtx) == 0) csr0 |= kTxon;
    port().room_to_receive();
    arm_poll();
  }
  update_interrupt();
  if (v & (kTdmd | kStrt)) transmit();
  if (waiting_) port().room_to_receive();  // the driver looked at its ring
}

// --- bus configuration registers

u16 Pcnet::read_bcr(unsigned n) const {
  if (n >= kBcrCount) return 0;
  if (n >= kLed0 && n < kLed0 + 4) {
    const bool lit = (bcr_[n] & kLnkste) != 0 && port().link();
    return static_cast<u16>(bcr_[n] | (lit ? kLedOut : 0));
  }
  return bcr_[n];
}

void Pcnet::write_bcr(unsigned n, u16 v) {
  if (n == kBcrSws) {
    set_style(v);
    return;
  }
  const Row* row = find(kBcrRows, n);
  if (row == nullptr) return;
  bcr_[n] = static_cast<u16>((bcr_[n] & ~row->writable) | (v & row->writable));
}

// Only while the chip is stopped.
void Pcnet::set_style(u16 v) {
  if ((csr_[kCsr0] & kStop) == 0 && (csr_[kCsr5] & kSpnd) == 0) return;
  u16 style = v & kSwstyle;
  if (style >= std::size(kStyles)) {
    DOPPEL_LOG(GuestErrors, "pcnet: software style %u\n", style);
    style = 0;
  }
  bcr_[kBcrSws] = static_cast<u16>((v & kApErrEn) | kStyles[style] | style);
}

// --- interrupts

bool Pcnet::may_run(u16 on) const {
  return (csr_[kCsr0] & on) != 0 && (csr_[kCsr5] & kSpnd) == 0 && (command() & pci::kBusMaster) != 0;
}

void Pcnet::raise(u16 causes) {
  csr_[kCsr0] = static_cast<u16>(csr_[kCsr0] | causes);
  update_interrupt();
}

void Pcnet::update_interrupt() {
  const u16 c4 = csr_[kCsr4], c5 = csr_[kCsr5];
  bool on = (csr_[kCsr0] & ~csr_[kCsr3] & kCsr0Causes) != 0;
  on |= (c4 & kCsr4Masked & ~(c4 << 1)) != 0 || (c4 & kUint) != 0;
  on |= (c5 & kCsr5Clears & (c5 << 1)) != 0;
  u16& csr0 = csr_[kCsr0];
  csr0 = static_cast<u16>(on ? csr0 | kIntr : csr0 & ~kIntr);
  set_intx(on && (csr0 & kIena) != 0);
}

void Pcnet::link_changed(bool) {}  // BCR4 shows it; the chip has no interrupt for it

// --- state

void Pcnet::archive(StateArchive& ar) {
  ar.field("csr", csr_);
  ar.field("bcr", bcr_);
  ar.field("prom", prom_);
  ar.field("rap", rap_);
  ar.field("waiting", waiting_);
  archive_doubts(ar);
  PciDevice::archive(ar);
  if (!ar.loading()) return;
  rap_ &= 0x7f;
  if ((bcr_[kBcrSws] & kSwstyle) >= std::size(kStyles)) bcr_[kBcrSws] = kStyles[0];
  poll_pause_ = 0;
  if ((csr_[kCsr0] & kStrt) != 0) arm_poll();
  update_interrupt();
}

void Pcnet::archive_doubts(StateArchive& ar) {
  static_assert(sizeof(Doubt) == 16 && std::is_trivially_copyable_v<Doubt>);
  std::vector<u8> bytes;
  if (!ar.loading()) {
    bytes.resize(doubts_.size() * sizeof(Doubt));
    if (!bytes.empty()) std::memcpy(bytes.data(), doubts_.data(), bytes.size());
  }
  ar.blob("doubts", bytes);
  if (!ar.loading()) return;
  doubts_.resize(std::min(bytes.size() / sizeof(Doubt), kMostDoubts));
  if (!doubts_.empty()) std::memcpy(doubts_.data(), bytes.data(), doubts_.size() * sizeof(Doubt));
  doubt_pause_ = kLongestDoubtPause;
}

std::string Pcnet::info() const {
  char text[240];
  std::snprintf(text, sizeof text,
                "mac %s, link %s, %s ports, software style %u, csr0 %04x, mode %04x\n"
                "rx ring: %08x, %u entries; tx ring: %08x, %u entries\n",
                net::mac_text(port().mac()).c_str(), port().link() ? "up" : "down", dword_io() ? "dword" : "word",
                style(), csr_[kCsr0], csr_[kMode], pair(kBadr), u16(-csr_[kRcvrl]), pair(kBadx), u16(-csr_[kXmtrl]));
  return PciDevice::info() + text;
}

}  // namespace doppel::hw

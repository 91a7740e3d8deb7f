#include "hw/net/rtl8139.h"

#include <algorithm>
#include <cstdio>

#include "hw/net/multicast.h"

namespace doppel::hw {
namespace {

enum Reg : unsigned {
  kIdr = 0x00,
  kMar = 0x08,
  kTsd = 0x10,
  kTsad = 0x20,
  kRbstart = 0x30,
  kCr = 0x37,
  kCapr = 0x38,
  kCbr = 0x3a,
  kImr = 0x3c,
  kIsr = 0x3e,
  kTcr = 0x40,
  kRcr = 0x44,
  kTctr = 0x48,
  kMpc = 0x4c,
  k9346cr = 0x50,
  kConfig0 = 0x51,
  kConfig1 = 0x52,
  kTimerInt = 0x54,
  kMsr = 0x58,
  kConfig3 = 0x59,
  kConfig4 = 0x5a,
  kRerid = 0x5e,
  kTsadStatus = 0x60,
  kBmcr = 0x62,
  kBmsr = 0x64,
  kAnar = 0x66,
  kAnlpar = 0x68,
  kAner = 0x6a,
  kCscr = 0x74,
};
enum Cr : u8 { kEmpty = 1, kTransmitOn = 4, kReceiveOn = 8, kReset = 0x10 };
enum Isr : u16 { kRok = 1, kTok = 4, kRxOverflow = 0x10, kLinkChange = 0x20, kTimeOut = 0x4000 };
enum Rcr : u32 { kAllPhysical = 1, kPhysical = 2, kMulticast = 4, kBroadcast = 8, kNoWrap = 0x80 };
enum TransmitStatus : u32 { kOwn = 1 << 13, kTransmitted = 1 << 15 };
enum ReceiveStatus : u16 { kGood = 1, kIsBroadcast = 0x2000, kIsPhysical = 0x4000, kIsMulticast = 0x8000 };
constexpr u32 kVersionC = 0x74000000, kVersionMask = 0x7cc00000;
constexpr size_t kMinFrame = 60, kMaxFrame = 1522;
constexpr u32 kHeader = 4, kFcs = 4;
constexpr s64 kTimerTick = 30;  // ns: the PCI clock
constexpr u8 kEepromProgram = 2, kConfigWrite = 3;

}  // namespace

Rtl8139::Rtl8139(NicParams p)
    : PciNic("rtl8139", {.vendor = 0x10ec, .device = 0x8139, .revision = 0x10, .class_code = 0x020000, .pin = 1},
             std::move(p)),
      timer_(clock(), [this] {
        raise(kTimeOut);
        arm_timer();
      }) {
  add_io_bar(0, 0x100, *this);
  add_mmio_bar(1, 0x100, *this);
  eeprom_.words[0] = 0x8129;  // the mark
  eeprom_.words[1] = 0x10ec;
  eeprom_.words[2] = 0x8139;
  const auto& mac = port().mac();
  for (size_t i = 0; i < 3; i++) eeprom_.words[7 + i] = static_cast<u16>(mac[2 * i] | mac[2 * i + 1] << 8);
  reset();
}

void Rtl8139::reset() {
  PciDevice::reset();
  regs_ = {};
  eeprom_.reset();
  timer_start_ = clock().now();
  std::copy(port().mac().begin(), port().mac().end(), regs_.begin());
  put(kBmcr, 2, 0x3100);  // 100 Mbit/s, autonegotiation, full duplex
  put(kBmsr, 2, 0x7809);
  put(kAnar, 2, 0x01e1);
  put(kAnlpar, 2, 0x45e1);
  put(kAner, 2, 1);
  put(kCscr, 2, 0x03c8);
  put(kConfig1, 1, 0x0c);
  reset_chip();
}

// By the RST bit: transmitter, receiver and their pointers; the address stays.
void Rtl8139::reset_chip() {
  for (unsigned n = 0; n < 4; n++) put(kTsd + 4 * n, 4, kOwn);
  std::fill(regs_.begin() + kTsad, regs_.begin() + kCr, u8{0});
  put(kCr, 1, kEmpty);
  put(kCapr, 2, 0xfff0);
  put(kCbr, 2, 0);
  put(kImr, 2, 0);
  put(kIsr, 2, 0);
  put(kTcr, 4, kVersionC | 0x03000600);
  put(kRcr, 4, 0);
  put(kTimerInt, 4, 0);
  put(kMpc, 4, 0);
  timer_.disarm();
  update_interrupt();
}

u32 Rtl8139::get(unsigned offset, unsigned size) const {
  u32 v = 0;
  for (unsigned i = 0; i < size; i++) v |= u32{regs_[(offset + i) & 0xff]} << (8 * i);
  return v;
}

void Rtl8139::put(unsigned offset, unsigned size, u32 v) {
  for (unsigned i = 0; i < size; i++) regs_[(offset + i) & 0xff] = static_cast<u8>(v >> (8 * i));
}

// --- registers

u64 Rtl8139::read(u64 offset, unsigned size) {
  u64 v = 0;
  for (unsigned i = 0; i < size; i++) v |= u64{read_byte(static_cast<unsigned>(offset + i) & 0xff)} << (8 * i);
  return v;
}

u8 Rtl8139::read_byte(unsigned at) const {
  const bool up = port().link();
  switch (at) {
    case kCr: {
      const u8 v = static_cast<u8>(regs_[kCr] & ~kEmpty);
      return static_cast<u8>(v | (read_pointer() == get(kCbr, 2) % ring_size() ? kEmpty : 0));
    }
    case k9346cr: return static_cast<u8>((regs_[at] & ~1) | (eeprom_.out() ? 1 : 0));
    case kMsr: return static_cast<u8>((regs_[at] & 0xc0) | 0x10 | (up ? 0 : 4));
    case kBmsr: return static_cast<u8>(regs_[at] | (up ? 0x24 : 0));
    case kTctr:
    case kTctr + 1:
    case kTctr + 2:
    case kTctr + 3: return static_cast<u8>(timer_count() >> (8 * (at - kTctr)));
    case kTsadStatus:
    case kTsadStatus + 1: {
      u16 v = 0;
      for (unsigned n = 0; n < 4; n++) {
        const u32 tsd = get(kTsd + 4 * n, 4);
        v = static_cast<u16>(v | ((tsd & kTransmitted) ? 0x1000 << n : 0) | ((tsd & kOwn) ? 1 << n : 0));
      }
      return static_cast<u8>(v >> (8 * (at - kTsadStatus)));
    }
    default: return regs_[at];
  }
}

void Rtl8139::write(u64 offset, u64 value, unsigned size) {
  const unsigned at = static_cast<unsigned>(offset) & 0xff;
  const u32 v = static_cast<u32>(value);
  if (size == 4 && (at & 3) == 0) {
    write_dword(at, v);
  } else if (size == 2 && (at & 1) == 0) {
    write_word(at, static_cast<u16>(v));
  } else {
    for (unsigned i = 0; i < size; i++) write_byte((at + i) & 0xff, static_cast<u8>(v >> (8 * i)));
  }
}

void Rtl8139::write_dword(unsigned at, u32 v) {
  if (at >= kTsd && at < kTsad) {
    write_transmit_status((at - kTsd) / 4, v);
    return;
  }
  switch (at) {
    case kTcr: put(at, 4, (get(kTcr, 4) & kVersionMask) | (v & 0x030607f0)); return;
    case kRcr:
      put(at, 4, v & 0x0f01ffff);
      port().room_to_receive();
      return;
    case kTctr:
      timer_start_ = clock().now();
      arm_timer();
      return;
    case kMpc: put(at, 4, 0); return;
    case kTimerInt:
      put(at, 4, v);
      arm_timer();
      return;
    case kRbstart: put(at, 4, v); return;
    default: break;
  }
  if (at < kTsd || (at >= kTsad && at < kRbstart)) {
    put(at, 4, v);
    return;
  }
  write_word(at, static_cast<u16>(v));
  write_word(at + 2, static_cast<u16>(v >> 16));
}

void Rtl8139::write_word(unsigned at, u16 v) {
  switch (at) {
    case kImr:
      put(at, 2, v & 0xe07f);
      update_interrupt();
      return;
    case kIsr:
      put(at, 2, get(kIsr, 2) & ~u32{v});
      update_interrupt();
      return;
    case kCapr:
      put(at, 2, v);
      port().room_to_receive();
      return;
    case kBmcr: put(at, 2, v & 0x7dffu); return;  // reset and restart end at once
    case kAnar: put(at, 2, v); return;
    case kCbr:
    case kBmsr:
    case kAnlpar:
    case kTsadStatus: return;
    default: write_byte(at, static_cast<u8>(v)); write_byte(at + 1, static_cast<u8>(v >> 8));
  }
}

void Rtl8139::write_byte(unsigned at, u8 v) {
  const bool unlocked = (regs_[k9346cr] >> 6) == kConfigWrite;
  switch (at) {
    case kCr:
      if (v & kReset) {
        reset_chip();
        return;
      }
      regs_[kCr] = static_cast<u8>(v & (kTransmitOn | kReceiveOn));
      if (v & kReceiveOn) port().room_to_receive();
      return;
    case k9346cr:
      regs_[at] = v & 0xfe;
      eeprom_.pins((v >> 6) == kEepromProgram && (v & 8), (v & 4) != 0, (v & 2) != 0);
      return;
    case kConfig0:
    case kConfig3: return;
    case kConfig1:
    case kConfig4:
      if (unlocked) regs_[at] = v;
      return;
    case kMsr: regs_[at] = v & 0xc0; return;
    default: break;
  }
  if (at < kTsd) regs_[at] = v;
  if ((at >= kImr && at < kImr + 2) || (at >= kIsr && at < kIsr + 2)) {
    const u32 shift = 8 * (at & 1);
    if (at < kIsr)
      put(kImr, 2, (get(kImr, 2) & ~(0xffu << shift)) | u32{v} << shift);
    else
      put(kIsr, 2, get(kIsr, 2) & ~(u32{v} << shift));
    update_interrupt();
  }
}

// --- frames

void Rtl8139::write_transmit_status(unsigned n, u32 v) {
  const unsigned at = kTsd + 4 * n;
  if ((regs_[kCr] & kTransmitOn) == 0 || (command() & pci::kBusMaster) == 0) return;
  if (v & kOwn) return;
  const u32 size = v & 0x1fff;
  std::vector<u8> frame(std::min<size_t>(size, kMaxFrame + 4));
  if (!frame.empty()) dma().read(get(kTsad + 4 * n, 4), frame.data(), frame.size());
  put(at, 4, (v & 0x3f1fff) | kOwn | kTransmitted);
  const bool loop = (get(kTcr, 4) >> 17 & 3) == 3;
  if (frame.size() >= net::kEthernetHeader) {
    if (loop)
      receive(net::Packet(std::move(frame)));
    else
      port().send(net::Packet(std::move(frame)));
  }
  raise(kTok);
}

u32 Rtl8139::ring_size() const { return 8192u << (get(kRcr, 4) >> 11 & 3); }
u32 Rtl8139::read_pointer() const { return (get(kCapr, 2) + 16) % ring_size(); }

bool Rtl8139::accepts(std::span<const u8> f, u16& status) const {
  const u32 rcr = get(kRcr, 4);
  if (is_broadcast(f)) {
    status = kIsBroadcast;
    return (rcr & (kBroadcast | kAllPhysical)) != 0;
  }
  if (f[0] & 1) {
    status = kIsMulticast;
    if (rcr & kAllPhysical) return true;
    return (rcr & kMulticast) != 0 && multicast_hash_hit(std::span<const u8, 8>(&regs_[kMar], 8), f);
  }
  const bool mine = std::equal(f.begin(), f.begin() + 6, regs_.begin());
  if (mine) status = kIsPhysical;
  return (mine && (rcr & kPhysical)) || (rcr & kAllPhysical);
}

// `wraps`: at the ring's end it goes on at its start; otherwise behind the end.
void Rtl8139::to_ring(u32& at, std::span<const u8> data, bool wraps) {
  const u32 size = ring_size();
  while (!data.empty()) {
    const size_t n = wraps ? std::min<size_t>(data.size(), size - at) : data.size();
    dma().write(u64{get(kRbstart, 4)} + at, data.data(), n);
    at += static_cast<u32>(n);
    if (wraps && at == size) at = 0;
    data = data.subspan(n);
  }
}

Rtl8139::Took Rtl8139::receive(const net::Packet& packet) {
  std::span<const u8> f = packet.data;
  u16 status = 0;
  if ((regs_[kCr] & kReceiveOn) == 0 || (command() & pci::kBusMaster) == 0) return Took::Frame;
  if (f.size() < net::kEthernetHeader || f.size() > kMaxFrame || !accepts(f, status)) return Took::Frame;
  std::array<u8, kMinFrame> padded{};
  if (f.size() < kMinFrame) {
    std::copy(f.begin(), f.end(), padded.begin());
    f = padded;
  }
  const u32 size = ring_size(), length = static_cast<u32>(f.size()) + kFcs;
  const u32 total = static_cast<u32>(align_up(kHeader + length, 4));
  u32 at = get(kCbr, 2) % size;
  const u32 used = (at - read_pointer()) & (size - 1);
  if (size - used <= total + 16) {
    if ((get(kIsr, 2) & kRxOverflow) == 0) raise(kRxOverflow);
    return Took::Nothing;
  }
  const u32 next = (at + total) & (size - 1);
  u8 header[kHeader];
  store_le<u16>(header, static_cast<u16>(status | kGood));
  store_le<u16>(header + 2, static_cast<u16>(length));
  const bool wraps = (get(kRcr, 4) & kNoWrap) == 0;
  const u8 fcs[kFcs] = {};
  to_ring(at, header, wraps);
  to_ring(at, f, wraps);
  to_ring(at, fcs, wraps);
  put(kCbr, 2, next);
  raise(kRok);
  return Took::Frame;
}

void Rtl8139::link_changed(bool) { raise(kLinkChange); }

// --- timer and interrupts

u32 Rtl8139::timer_count() const { return static_cast<u32>((clock().now() - timer_start_) / kTimerTick); }

void Rtl8139::arm_timer() {
  const u32 wanted = get(kTimerInt, 4);
  timer_.disarm();
  if (wanted == 0) return;
  const u32 left = wanted - timer_count();  // 0: it has just fired, once around the counter
  timer_.arm_in(std::max<s64>(s64{left == 0 ? ~u32{0} : left} * kTimerTick, 10'000));
}

void Rtl8139::raise(u16 causes) {
  put(kIsr, 2, get(kIsr, 2) | causes);
  update_interrupt();
}

void Rtl8139::update_interrupt() { set_intx((get(kIsr, 2) & get(kImr, 2)) != 0); }

void Rtl8139::archive(StateArchive& ar) {
  ar.field("registers", regs_);
  eeprom_.archive(ar);
  ar.field("timer_start", timer_start_);
  PciDevice::archive(ar);
  if (!ar.loading()) return;
  timer_start_ = std::min(timer_start_, clock().now());
  if (timer_start_ < 0) timer_start_ = 0;
  put(kTcr, 4, (get(kTcr, 4) & ~kVersionMask) | kVersionC);
  arm_timer();
  update_interrupt();
}

std::string Rtl8139::info() const {
  char text[200];
  std::snprintf(text, sizeof text, "mac %s, link %s, cr %02x, rcr %08x, isr %04x, imr %04x, capr %04x, cbr %04x\n",
                net::mac_text(port().mac()).c_str(), port().link() ? "up" : "down", regs_[kCr], get(kRcr, 4),
                get(kIsr, 2), get(kImr, 2), get(kCapr, 2), get(kCbr, 2));
  return PciDevice::info() + text;
}

}  // namespace doppel::hw

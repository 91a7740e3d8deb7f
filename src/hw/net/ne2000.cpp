#include "hw/net/ne2000.h"

#include <algorithm>
#include <cstdio>

#include "hw/net/multicast.h"

namespace doppel::hw {
namespace {

enum Command : u8 { kStop = 1, kStart = 2, kTransmit = 4, kRemoteMask = 0x38, kRemoteSend = 0x18, kRemoteAbort = 0x20 };
enum Isr : u8 { kPrx = 1, kPtx = 2, kTxe = 8, kOvw = 0x10, kRdc = 0x40, kRst = 0x80 };
enum Rcr : u8 { kRunts = 2, kBroadcast = 4, kMulticast = 8, kPromiscuous = 0x10, kMonitor = 0x20 };
constexpr u8 kTcrLoopback = 0x06, kDcrWord = 1, kRsrGood = 1, kRsrGroup = 0x20, kTsrGood = 1;
constexpr size_t kMinFrame = 60, kMaxFrame = 1518;
constexpr u32 kPage = 256, kHeader = 4;

}  // namespace

Ne2000::Ne2000(NicParams p)
    : PciNic("ne2k_pci", {.vendor = 0x10ec, .device = 0x8029, .class_code = 0x020000, .pin = 1}, std::move(p)) {
  add_io_bar(0, 0x100, *this);
  reset_chip();
}

void Ne2000::reset() {
  PciDevice::reset();
  memory_ = {};
  r_ = {};
  reset_chip();
}

void Ne2000::reset_chip() {
  r_.command = kStop | kRemoteAbort;
  r_.isr = kRst;
  r_.imr = 0;
  update_interrupt();
}

// --- registers

u64 Ne2000::read(u64 offset, unsigned size) {
  offset &= 0x1f;
  u64 value = 0;
  if (offset >= 0x10 && offset < 0x18) {
    for (unsigned i = 0; i < size; i++) value |= u64{next_byte()} << (8 * i);
    return value;
  }
  if (offset >= 0x18) {
    reset_chip();
    return 0;
  }
  for (unsigned i = 0; i < size && offset + i < 16; i++)
    value |= u64{read_register(static_cast<unsigned>(offset + i))} << (8 * i);
  return value;
}

void Ne2000::write(u64 offset, u64 value, unsigned size) {
  offset &= 0x1f;
  if (offset >= 0x10 && offset < 0x18) {
    for (unsigned i = 0; i < size && r_.rbcr != 0; i++) {
      store(r_.rsar, static_cast<u8>(value >> (8 * i)));
      advance();
    }
    return;
  }
  if (offset >= 0x18) return;
  for (unsigned i = 0; i < size && offset + i < 16; i++)
    write_register(static_cast<unsigned>(offset + i), static_cast<u8>(value >> (8 * i)));
}

u8 Ne2000::read_register(unsigned index) const {
  if (index == 0) return r_.command;
  const unsigned page = r_.command >> 6;
  if (page == 1) {
    if (index <= 6) return r_.address[index - 1];
    return index == 7 ? r_.current : r_.multicast[index - 8];
  }
  if (page == 2) {
    const u8 values[] = {0, r_.pstart, r_.pstop, 0, r_.tpsr, 0, 0, 0, 0, 0, 0, 0, r_.rcr, r_.tcr, r_.dcr, r_.imr};
    return values[index];
  }
  if (page == 3) return index == 6 ? 0x40 : 0;  // CONFIG3: full duplex
  switch (index) {
    case 1: return static_cast<u8>(r_.rsar);
    case 2: return static_cast<u8>(r_.rsar >> 8);
    case 3: return r_.boundary;
    case 4: return r_.tsr;
    case 7: return r_.isr;
    case 8: return static_cast<u8>(r_.rsar);
    case 9: return static_cast<u8>(r_.rsar >> 8);
    case 10: return 0x50;  // RTL8029's marks
    case 11: return 0x43;
    case 12: return r_.rsr;
    default: return 0;
  }
}

void Ne2000::write_register(unsigned index, u8 v) {
  if (index == 0) {
    write_command(v);
    return;
  }
  const unsigned page = r_.command >> 6;
  if (page == 1) {
    if (index <= 6)
      r_.address[index - 1] = v;
    else if (index == 7)
      r_.current = v;
    else
      r_.multicast[index - 8] = v;
    return;
  }
  if (page != 0) return;
  const auto low = [v](u16& w) { w = static_cast<u16>((w & 0xff00) | v); };
  const auto high = [v](u16& w) { w = static_cast<u16>((w & 0xff) | v << 8); };
  switch (index) {
    case 1: r_.pstart = v; break;
    case 2: r_.pstop = v; break;
    case 3:
      r_.boundary = v;
      port().room_to_receive();
      break;
    case 4: r_.tpsr = v; break;
    case 5: low(r_.tbcr); break;
    case 6: high(r_.tbcr); break;
    case 7:
      r_.isr = static_cast<u8>(r_.isr & ~(v & 0x7f));
      update_interrupt();
      if (v & kPrx) port().room_to_receive();
      break;
    case 8: low(r_.rsar); break;
    case 9: high(r_.rsar); break;
    case 10: low(r_.rbcr); break;
    case 11: high(r_.rbcr); break;
    case 12: r_.rcr = v; break;
    case 13: r_.tcr = v; break;
    case 14: r_.dcr = v; break;
    case 15:
      r_.imr = v;
      update_interrupt();
      break;
    default: break;
  }
}

void Ne2000::write_command(u8 v) {
  r_.command = v;
  if (v & kStop) {
    r_.command = static_cast<u8>(v & ~kTransmit);
    r_.isr |= kRst;
    return;
  }
  r_.isr = static_cast<u8>(r_.isr & ~kRst);
  if ((v & kRemoteMask) == kRemoteSend) {  // the frame that the boundary points at
    r_.rsar = static_cast<u16>(r_.boundary << 8);
    r_.rbcr = static_cast<u16>(memory(r_.rsar + 2u) | memory(r_.rsar + 3u) << 8);
  } else if ((v & (8 | 16)) != 0 && r_.rbcr == 0) {
    raise(kRdc);
  }
  if (v & kTransmit) send();
  if (v & kStart) port().room_to_receive();
}

// --- packet memory

u8 Ne2000::memory(u32 a) const {
  if (a < 32) {  // the PROM: each byte twice, as a word access shows it
    const unsigned i = a / 2;
    return i < 6 ? port().mac()[i] : i >= 14 ? 0x57 : 0;
  }
  return a >= kMemoryStart && a < kMemoryEnd ? memory_[a - kMemoryStart] : 0xff;
}

void Ne2000::store(u32 a, u8 v) {
  if (a >= kMemoryStart && a < kMemoryEnd) memory_[a - kMemoryStart] = v;
}

u8 Ne2000::next_byte() {
  if (r_.rbcr == 0) return 0xff;
  const u8 v = memory(r_.rsar);
  advance();
  return v;
}

void Ne2000::advance() {
  r_.rsar++;
  if (r_.rsar == r_.pstop << 8) r_.rsar = static_cast<u16>(r_.pstart << 8);
  if (--r_.rbcr == 0) raise(kRdc);
}

// --- frames

void Ne2000::send() {
  const u32 start = u32{r_.tpsr} << 8;
  const size_t size = std::min<size_t>(r_.tbcr, kMaxFrame + 4);
  std::vector<u8> frame(size);
  for (size_t i = 0; i < size; i++) frame[i] = memory(start + static_cast<u32>(i));
  r_.command = static_cast<u8>(r_.command & ~kTransmit);
  r_.tsr = kTsrGood;
  if ((r_.tcr & kTcrLoopback) == 0 && size >= net::kEthernetHeader) port().send(net::Packet(std::move(frame)));
  raise(kPtx);
}

bool Ne2000::accepts(std::span<const u8> f) const {
  if (r_.rcr & kPromiscuous) return true;
  if ((f[0] & 1) == 0) return std::equal(r_.address.begin(), r_.address.end(), f.begin());
  if (is_broadcast(f)) return (r_.rcr & kBroadcast) != 0;
  return (r_.rcr & kMulticast) != 0 && multicast_hash_hit(r_.multicast, f);
}

u32 Ne2000::free_bytes() const {
  const u32 ring = u32{r_.pstop} - r_.pstart, at = r_.current;
  const u32 used = at < r_.boundary ? ring - (r_.boundary - at) : at - r_.boundary,
            pages = used < ring ? ring - used : 0;
  return pages * kPage;
}

Ne2000::Took Ne2000::receive(const net::Packet& packet) {
  const auto& data = packet.data;
  // Drivers change pages with neither STA nor STP set: only STP stops the chip.
  if ((r_.command & kStop) || (r_.rcr & kMonitor)) return Took::Frame;
  if (data.size() < net::kEthernetHeader || data.size() > kMaxFrame || !accepts(data)) return Took::Frame;
  // A ring that can't be one: nothing can be stored.
  // The boundary may lie one before its start: drivers write the page before the next one, whatever that is.
  if (r_.pstart >= r_.pstop || r_.current < r_.pstart || r_.current >= r_.pstop || r_.boundary >= r_.pstop ||
      r_.pstart < kMemoryStart / kPage || r_.pstop > kMemoryEnd / kPage)
    return Took::Frame;
  const u32 size = static_cast<u32>(std::max(data.size(), kMinFrame)), total = size + kHeader;
  const u32 pages = (total + 4 + kPage - 1) / kPage;
  if (pages + 1 > u32{r_.pstop} - r_.pstart) return Took::Frame;
  if (free_bytes() < (pages + 1) * kPage) {
    if ((r_.isr & kPrx) == 0) raise(kPrx);  // a driver that left frames in the ring looks again
    return Took::Nothing;
  }
  u32 next = r_.current + pages;
  if (next >= r_.pstop) next -= u32{r_.pstop} - r_.pstart;
  const u32 end = u32{r_.pstop} << 8;
  u32 at = u32{r_.current} << 8;
  r_.rsr = static_cast<u8>(kRsrGood | ((data[0] & 1) ? kRsrGroup : 0));
  const u8 header[kHeader] = {r_.rsr, static_cast<u8>(next), static_cast<u8>(total), static_cast<u8>(total >> 8)};
  for (u32 i = 0; i < total; i++) {
    const u32 from = i - kHeader;
    store(at, i < kHeader ? header[i] : from < data.size() ? data[from] : u8{0});
    if (++at == end) at = u32{r_.pstart} << 8;
  }
  r_.current = static_cast<u8>(next);
  raise(kPrx);
  return Took::Frame;
}

void Ne2000::raise(u8 causes) {
  r_.isr |= causes;
  update_interrupt();
}

void Ne2000::update_interrupt() { set_intx((r_.isr & r_.imr & 0x7f) != 0); }

void Ne2000::archive(StateArchive& ar) {
  u8* const bytes[] = {&r_.command, &r_.pstart, &r_.pstop, &r_.boundary, &r_.tpsr, &r_.tsr,    &r_.isr,
                       &r_.imr,     &r_.rsr,    &r_.rcr,   &r_.tcr,      &r_.dcr,  &r_.current};
  static constexpr const char* kNames[] = {"command", "pstart", "pstop", "boundary", "tpsr", "tsr",    "isr",
                                           "imr",     "rsr",    "rcr",   "tcr",      "dcr",  "current"};
  for (size_t i = 0; i < std::size(bytes); i++) ar.field(kNames[i], *bytes[i]);
  ar.field("address", r_.address);
  ar.field("multicast", r_.multicast);
  ar.field("tbcr", r_.tbcr);
  ar.field("rsar", r_.rsar);
  ar.field("rbcr", r_.rbcr);
  ar.field("memory", memory_);
  PciDevice::archive(ar);
  if (ar.loading()) update_interrupt();
}

std::string Ne2000::info() const {
  char text[200];
  std::snprintf(text, sizeof text, "mac %s, cr %02x, isr %02x, imr %02x, ring %02x-%02x, current %02x, boundary %02x\n",
                net::mac_text(port().mac()).c_str(), r_.command, r_.isr, r_.imr, r_.pstart, r_.pstop, r_.current,
                r_.boundary);
  return PciDevice::info() + text;
}

}  // namespace doppel::hw

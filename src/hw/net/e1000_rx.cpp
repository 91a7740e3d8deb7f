// Receiving (Intel 317453, 3.2): filters, then the frame into as many buffers of the ring as it needs.
#include <algorithm>
#include <utility>

#include "hw/net/e1000.h"
#include "net/checksum.h"

namespace doppel::hw {

using namespace e1000;

namespace {
constexpr size_t kMinFrame = 60, kMaxStandard = 1518, kMaxLong = 16380, kFcs = 4;
u16 be16(const u8* p) { return static_cast<u16>(p[0] << 8 | p[1]); }
}  // namespace

bool E1000::accepts(std::span<const u8> f) const {
  const u32 rctl = reg(kRctl);
  if ((rctl & kRctlVfe) && be16(&f[12]) == reg(kVet) && f.size() >= 16) {
    const u32 id = be16(&f[14]) & 0xfff;
    if ((reg(kVfta + (id >> 5) * 4) >> (id & 31) & 1) == 0) return false;
  }
  if ((f[0] & 1) == 0) {
    if (rctl & kRctlUpe) return true;
  } else {
    if (rctl & kRctlMpe) return true;
    const bool broadcast = std::all_of(f.begin(), f.begin() + 6, [](u8 b) { return b == 0xff; });
    if (broadcast && (rctl & kRctlBam)) return true;
  }
  const u32 low = load_le<u32>(&f[0]), high = load_le<u16>(&f[4]);
  for (u32 i = 0; i < kRaPairs; i++) {
    const u32 rah = reg(kRa + 8 * i + 4);
    if ((rah & kRahValid) && (rah & 0xffff) == high && reg(kRa + 8 * i) == low) return true;
  }
  if ((f[0] & 1) == 0) return false;
  constexpr u32 kShift[] = {4, 3, 2, 0};
  const u32 hash = (static_cast<u32>(f[5] << 8 | f[4]) >> kShift[rctl >> 12 & 3]) & 0xfff;
  return (reg(kMta + (hash >> 5) * 4) >> (hash & 31) & 1) != 0;
}

u32 E1000::rx_buffer_size() const {
  const u32 code = reg(kRctl) >> 16 & 3;
  if ((reg(kRctl) & kRctlBsex) == 0) return 2048u >> code;
  return code == 0 ? 2048 : 32768u >> code;
}

// Descriptors that the guest has given. A head outside of the ring counts as none: the next reset mends it.
u32 E1000::rx_free() const {
  const u32 entries = reg(kRdlen) / kDescriptor, head = reg(kRdh), tail = reg(kRdt);
  if (entries == 0 || head >= entries || tail >= entries) return 0;
  return tail >= head ? tail - head : entries - head + tail;
}

E1000::Took E1000::receive(const net::Packet& packet) {
  if ((reg(kRctl) & kRctlEn) == 0 || (command() & pci::kBusMaster) == 0) return Took::Frame;  // to nobody
  std::span<const u8> f = packet.data;
  if (f.size() < net::kEthernetHeader || f.size() > kMaxLong || !accepts(f)) return Took::Frame;
  const bool tagged = be16(&f[12]) == reg(kVet);
  if (f.size() > kMaxStandard + (tagged ? 4 : 0) && (reg(kRctl) & (kRctlLpe | kRctlSbp)) == 0) {
    count(kRoc, 1);
    return Took::Frame;
  }
  std::array<u8, kMinFrame> padded{};
  if (f.size() < kMinFrame) {
    std::copy(f.begin(), f.end(), padded.begin());
    f = padded;
  }
  const u32 needed = static_cast<u32>((f.size() + kFcs + rx_buffer_size() - 1) / rx_buffer_size());
  if (rx_free() < needed) {
    // A ring that can never hold the frame must not stop those behind it.
    if (needed > reg(kRdlen) / kDescriptor) return Took::Frame;
    received_causes_ |= kIntRxo;
    return Took::Nothing;
  }
  store_frame(f, packet.offload.checksum_valid);
  return Took::Frame;
}

void E1000::store_frame(std::span<const u8> frame, bool checked) {
  std::vector<u8> untagged;
  u8 status = kRxDd, errors = 0;
  u16 special = 0;
  const net::ReceiveChecksums sums = net::check_frame(frame, checked);
  if ((reg(kCtrl) & kCtrlVme) && be16(&frame[12]) == reg(kVet)) {
    special = be16(&frame[14]);
    status |= kRxVp;
    untagged.assign(frame.begin(), frame.begin() + 12);
    untagged.insert(untagged.end(), frame.begin() + 16, frame.end());
    frame = untagged;
  }
  if ((reg(kRxcsum) & 0x100) && sums.ip != net::Checked::None) {
    status |= kRxIpcs;
    if (sums.ip == net::Checked::Bad) errors |= kRxIpe;
  }
  if ((reg(kRxcsum) & 0x200) && sums.l4 != net::Checked::None) {
    status |= kRxTcpcs;
    if (sums.l4 == net::Checked::Bad) errors |= kRxTcpe;
  }
  if ((status & (kRxIpcs | kRxTcpcs)) == 0) status |= kRxIxsm;
  const size_t start = std::min<size_t>(reg(kRxcsum) & 0xff, frame.size());
  const u16 sum = net::checksum_fold(net::checksum_add(frame.subspan(start)));
  count_received(frame);

  const size_t total = frame.size() + ((reg(kRctl) & kRctlSecrc) ? 0 : kFcs);
  const u64 base = u64{reg(kRdbah)} << 32 | reg(kRdbal);
  const u32 entries = reg(kRdlen) / kDescriptor, buffer = rx_buffer_size();
  const u8 fcs[kFcs] = {};
  for (size_t at = 0; at < total;) {
    const size_t n = std::min<size_t>(buffer, total - at);
    const u64 where = base + u64{reg(kRdh)} * kDescriptor;
    u8 d[kDescriptor];
    dma().read(where, d, sizeof d);
    const u64 address = load_le<u64>(d);
    const size_t data = at < frame.size() ? std::min(n, frame.size() - at) : 0;
    if (data) dma().write(address, &frame[at], data);
    if (n > data) dma().write(address + data, fcs, n - data);
    at += n;
    store_le<u16>(d + 8, static_cast<u16>(n));
    store_le<u16>(d + 10, static_cast<u16>(sum << 8 | sum >> 8));
    d[12] = static_cast<u8>(status | (at == total ? kRxEop : 0));
    d[13] = errors;
    store_le<u16>(d + 14, special);
    dma().write(where + 8, d + 8, 8);
    reg(kRdh) = reg(kRdh) + 1 >= entries ? 0 : reg(kRdh) + 1;
  }
  const u32 threshold = entries >> (1 + (reg(kRctl) >> 8 & 3));
  received_causes_ |= kIntRxt0 | (rx_free() <= threshold ? u32{kIntRxdmt0} : 0);
}

// One interrupt for all frames that came together: a driver that looked at the first one would only wait for the lock.
void E1000::received() {
  if (const u32 causes = std::exchange(received_causes_, 0)) raise(causes);
}

void E1000::count_received(std::span<const u8> f) {
  constexpr size_t kLimits[] = {64, 127, 255, 511, 1023};
  const size_t size = f.size() + kFcs;
  u32 bucket = 0;
  while (bucket < std::size(kLimits) && size > kLimits[bucket]) bucket++;
  count(kPrc64 + 4 * bucket, 1);
  count(kTpr, 1);
  count(kGprc, 1);
  count64(kTorl, size);
  count64(kGorcl, size);
  if (f[0] & 1) count(std::all_of(f.begin(), f.begin() + 6, [](u8 b) { return b == 0xff; }) ? kBprc : kMprc, 1);
}

}  // namespace doppel::hw

// Sending (Intel 317453, 3.3 to 3.6): legacy, context and data descriptors. A TCP segment goes out whole, for the back
// end to cut; other checksums are left open, for the network thread to sum.
#include <algorithm>

#include "hw/net/e1000.h"
#include "net/checksum.h"

namespace doppel::hw {

using namespace e1000;

namespace {
constexpr u32 kDescriptorsAtOnce = 4096;
constexpr s64 kPause = 50'000;  // ns, between bursts
enum DescriptorType : u32 { kContextType = 0, kDataType = 1 };

void insert_sum(std::vector<u8>& f, size_t start, size_t at, size_t end) {
  end = end == 0 || end >= f.size() ? f.size() : end + 1;
  if (start >= end || at + 2 > f.size()) return;
  const u16 sum = static_cast<u16>(~net::checksum_fold(net::checksum_add(std::span(f).subspan(start, end - start))));
  f[at] = static_cast<u8>(sum >> 8);
  f[at + 1] = static_cast<u8>(sum);
}
}  // namespace

void E1000::forget_frame() {
  frame_.clear();
  frame_started_ = frame_tse_ = frame_too_long_ = frame_legacy_ = false;
  frame_options_ = 0;
}

void E1000::room_to_send() {
  if (stalled_ && !port().send(std::move(*stalled_))) return;
  stalled_.reset();
  transmit();
}

void E1000::transmit() {
  if (transmitting_ || stalled_ || (reg(kTctl) & kTctlEn) == 0 || (command() & pci::kBusMaster) == 0) return;
  const u32 entries = reg(kTdlen) / kDescriptor;
  if (entries == 0) return;
  if (reg(kTdh) >= entries) reg(kTdh) = 0;
  if (reg(kTdh) == reg(kTdt)) return;
  transmitting_ = true;
  u32 causes = 0, done = 0;
  const u64 base = u64{reg(kTdbah)} << 32 | reg(kTdbal);
  while (reg(kTdh) != reg(kTdt) && !stalled_) {
    if (done++ == kDescriptorsAtOnce) {
      more_.arm_in(kPause);
      break;
    }
    const u64 where = base + u64{reg(kTdh)} * kDescriptor;
    u8 d[kDescriptor];
    dma().read(where, d, sizeof d);
    transmit_one(reg(kTdh), d);
    const u8 command_bits = d[11];
    if (command_bits & (kTxRs | kTxRps)) {
      const u8 status = static_cast<u8>(d[12] | 1);  // DD
      dma().write(where + 12, &status, 1);
      causes |= kIntTxdw;
    }
    reg(kTdh) = reg(kTdh) + 1 >= entries ? 0 : reg(kTdh) + 1;
    if (reg(kTdt) >= entries && reg(kTdh) == 0) break;  // a tail outside of the ring: once around
  }
  transmitting_ = false;
  if (reg(kTdh) == reg(kTdt)) causes |= kIntTxqe;
  if (causes) raise(causes);
}

// False: the frame is complete but the back end is full.
bool E1000::transmit_one(u32, std::span<u8> d) {
  const u32 lower = load_le<u32>(&d[8]);
  const u8 cmd = d[11];
  if (cmd & kTxDext) {
    const u32 type = lower >> 20 & 15;
    if (type == kContextType) {
      take_context(d);
      return true;
    }
    if (type != kDataType) return true;
    if (!frame_started_) {
      frame_started_ = true;
      frame_options_ = d[13];
      frame_tse_ = (cmd & kTxTse) != 0;
    }
    append_data(load_le<u64>(&d[0]), lower & 0xfffff);
  } else {
    frame_started_ = frame_legacy_ = true;
    if (cmd & kTxIc) {
      legacy_cso_ = d[10];
      legacy_css_ = d[13];
      frame_options_ = kTxTxsm;
    }
    append_data(load_le<u64>(&d[0]), lower & 0xffff);
  }
  frame_vlan_ = load_le<u16>(&d[14]);
  return (cmd & kTxEop) == 0 || finish_frame(cmd);
}

void E1000::take_context(std::span<const u8> d) {
  context_.ip = load_le<u32>(&d[0]);
  context_.tu = load_le<u32>(&d[4]);
  context_.payload = load_le<u32>(&d[8]) & 0xfffff;
  context_.command = d[11];
  context_.header = d[13];
  context_.mss = load_le<u16>(&d[14]);
}

void E1000::append_data(u64 address, u32 length) {
  if (frame_too_long_ || length == 0) return;
  if (frame_.size() + length > net::kMaxPacket) {
    frame_too_long_ = true;
    return;
  }
  const size_t at = frame_.size();
  frame_.resize(at + length);
  dma().read(address, &frame_[at], length);
}

bool E1000::finish_frame(u8 cmd) {
  if (frame_too_long_ || frame_.size() < net::kEthernetHeader) {
    forget_frame();
    return true;
  }
  net::Packet p(std::move(frame_));
  frame_ = {};
  auto& f = p.data;
  const size_t css = context_.tu & 0xff, cso = context_.tu >> 8 & 0xff, cse = context_.tu >> 16;
  if (frame_legacy_) {
    if (frame_options_ & kTxTxsm) insert_sum(f, legacy_css_, legacy_cso_, 0);
  } else if (frame_tse_) {
    const bool v6 = (context_.command & kTuIp) == 0;
    p.offload.segmentation = v6 ? net::Segmentation::Tcp6 : net::Segmentation::Tcp4;
    p.offload.segment_size = context_.mss;
    p.offload.header_size = context_.header;
    if (f.size() <= size_t{context_.header} + context_.mss || (context_.command & kTuTcp) == 0)
      p.offload.segment_size = 0xffff;  // one piece, but its lengths and checksums are made
    count(kTsctc, 1);
  } else {
    if (frame_options_ & kTxIxsm) insert_sum(f, context_.ip & 0xff, context_.ip >> 8 & 0xff, context_.ip >> 16);
    if (frame_options_ & kTxTxsm) {
      if (cse == 0 && cso >= css) {
        p.offload.needs_checksum = true;
        p.offload.checksum_start = static_cast<u16>(css);
        p.offload.checksum_offset = static_cast<u16>(cso - css);
      } else {
        insert_sum(f, css, cso, cse);
      }
    }
  }
  if ((cmd & kTxVle) && (reg(kCtrl) & kCtrlVme)) {
    const u8 tag[4] = {static_cast<u8>(reg(kVet) >> 8), static_cast<u8>(reg(kVet)), static_cast<u8>(frame_vlan_ >> 8),
                       static_cast<u8>(frame_vlan_)};
    f.insert(f.begin() + 12, tag, tag + 4);
    p.offload.checksum_start = static_cast<u16>(p.offload.checksum_start + 4);
  }
  forget_frame();
  return send(std::move(p));
}

bool E1000::send(net::Packet&& p) {
  count(kTpt, 1);
  count(kGptc, 1);
  count64(kTotl, p.data.size() + 4);
  count64(kGotcl, p.data.size() + 4);
  if (p.data[0] & 1)
    count(std::all_of(p.data.begin(), p.data.begin() + 6, [](u8 b) { return b == 0xff; }) ? kBptc : kMptc, 1);
  const bool loop = (reg(kRctl) & kRctlLbm) == kRctlLbm || (phy_[0] & 0x4000) != 0;
  if (loop) {
    for (const net::Packet& piece : net::segment(std::move(p))) receive(piece);
    received();
    return true;
  }
  if (port().send(std::move(p))) return true;
  stalled_ = std::move(p);  // NOLINT(bugprone-use-after-move): refused, it is still whole
  return false;
}

}  // namespace doppel::hw

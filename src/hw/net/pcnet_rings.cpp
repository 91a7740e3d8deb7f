// The initialization block, the two rings, and the frames in them ("Buffer Management Unit"). A frame leaves only when
// its last descriptor is there, and nothing is written to the ring before the back end has taken it.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "hw/net/multicast.h"
#include "hw/net/pcnet.h"

namespace doppel::hw {

using namespace pcnet;

namespace {
constexpr size_t kMinFrame = 60, kMaxFrame = 4096, kFcs = 4;
constexpr u32 kCountMask = 0xfff, kOnes = 0xf000;
constexpr u32 kMaxEntries16 = 128, kMaxEntries32 = 512;
constexpr unsigned kDescriptorsAtOnce = 1024;
constexpr s64 kPollFirst = 1'966'000, kPollLast = 64 * kPollFirst;  // ns; first: 65536 clocks of 33 MHz
constexpr s64 kWaitPause = 500'000;
constexpr u8 kMostLooks = 32;

u32 buffer_length(u32 count) { return 4096 - (count & kCountMask); }
}  // namespace

// --- descriptors

bool Pcnet::initialize() {
  u8 b[28];
  const bool is_wide = wide();
  const u64 at = is_wide ? pair(kIadr) & ~u32{3} : pair(kIadr) & 0xfffffe;
  if (!dma().read(at, b, is_wide ? 28 : 24)) {
    memory_error();
    return false;
  }
  csr_[kMode] = load_le<u16>(b);
  const u8* padr = b + (is_wide ? 4 : 2);
  const u8* ladrf = b + (is_wide ? 12 : 8);
  for (unsigned i = 0; i < 3; i++) csr_[kPadr + i] = load_le<u16>(padr + 2 * i);
  for (unsigned i = 0; i < 4; i++) csr_[kLadrf + i] = load_le<u16>(ladrf + 2 * i);
  u32 receive = 0, send = 0, rlen = 0, tlen = 0;
  if (is_wide) {
    rlen = b[2] >> 4;
    tlen = b[3] >> 4;
    receive = load_le<u32>(b + 20) & ~u32{15};
    send = load_le<u32>(b + 24) & ~u32{15};
  } else {
    rlen = b[19] >> 5;
    tlen = b[23] >> 5;
    receive = load_le<u32>(b + 16) & 0xfffff8;
    send = load_le<u32>(b + 20) & 0xfffff8;
  }
  const u32 most = is_wide ? kMaxEntries32 : kMaxEntries16;
  csr_[kCsr6] = static_cast<u16>(tlen << 12 | rlen << 8);
  csr_[kRcvrl] = csr_[kRcvrc] = static_cast<u16>(-std::min(u32{1} << rlen, most));
  csr_[kXmtrl] = csr_[kXmtrc] = static_cast<u16>(-std::min(u32{1} << tlen, most));
  set_pair(kBadr, receive);
  set_pair(kBadx, send);
  csr_[kCsr0] &= static_cast<u16>(~(kRxon | kTxon));
  return true;
}

Pcnet::Ring Pcnet::ring(unsigned base_csr, unsigned length_csr, unsigned counter_csr) const {
  const u32 entries = static_cast<u16>(-csr_[length_csr]), left = static_cast<u16>(-csr_[counter_csr]);
  return {pair(base_csr), entries, left <= entries ? entries - left : 0};
}

void Pcnet::advance(unsigned length_csr, unsigned counter_csr, u32 by) {
  const u32 entries = static_cast<u16>(-csr_[length_csr]), left = static_cast<u16>(-csr_[counter_csr]);
  if (entries == 0) return;
  const u32 index = ((left <= entries ? entries - left : 0) + by) % entries;
  csr_[counter_csr] = static_cast<u16>(index - entries);
}

bool Pcnet::load(u64 at, Descriptor& d) {
  d = {.at = at};
  if (!wide()) {
    u8 b[8];
    if (!dma().read(at, b, sizeof b)) return false;
    d.address = load_le<u32>(b) & 0xffffff;
    d.flags = b[3];
    d.length = buffer_length(load_le<u16>(b + 4));
    return true;
  }
  u8 b[16];
  if (!dma().read(at, b, sizeof b)) return false;
  d.address = load_le<u32>(b + (style() == 3 ? 8 : 0));
  d.flags = b[7];
  d.mark = b[6] & 15;
  d.length = buffer_length(load_le<u16>(b + 4));
  return true;
}

// Status first, then the flags with OWN: the driver reads them the other way round.
bool Pcnet::store(const Descriptor& d) {
  if (!wide()) {
    u8 s[2];
    // TMD3: BUFF, UFLO, EX, LCOL, LCAR, RTRY stand as in TMD2; RMD3: the message's length.
    store_le<u16>(s, static_cast<u16>((d.status >> 16 & 0xfc00) | (d.status & kCountMask)));
    return dma().write(d.at + 6, s, sizeof s) && dma().write(d.at + 3, &d.flags, 1);
  }
  u8 s[4];
  store_le<u32>(s, d.status);
  const u8 high[2] = {static_cast<u8>(d.match >> 16 | d.mark), d.flags};
  if (!dma().write(d.at + (style() == 3 ? 0 : 8), s, sizeof s)) return false;
  return d.mark ? dma().write(d.at + 6, high, 2) : dma().write(d.at + 7, &d.flags, 1);
}

void Pcnet::memory_error() {
  DOPPEL_LOG(GuestErrors, "pcnet: a ring or a buffer is not in memory\n");
  raise(kMerr);
}

// The chip looks by itself, less often while there is nothing.
void Pcnet::arm_poll() {
  if ((csr_[kCsr0] & kStrt) == 0 || poll_.armed()) return;
  if (waiting_ || !doubts_.empty()) {
    poll_.arm_in(waiting_ ? kWaitPause : doubt_pause_);
    return;
  }
  if ((csr_[kCsr4] & kDpoll) || (csr_[kCsr0] & kTxon) == 0) return;
  poll_pause_ = std::clamp(poll_pause_ * 2, kPollFirst, kPollLast);
  poll_.arm_in(poll_pause_);
}

// --- sending

void Pcnet::room_to_send() { transmit(); }

void Pcnet::transmit() {
  if (busy_) return;
  busy_ = true;
  unsigned done = 0;
  bool more = true;
  while (more && done < kDescriptorsAtOnce && may_run(kTxon)) {
    more = transmit_frame() == Sent::Frame;
    done += static_cast<unsigned>(std::max<size_t>(frame_.size(), 1));
    frame_.clear();
    if (more) poll_pause_ = 0;
  }
  frame_.clear();
  busy_ = false;
  arm_poll();
}

Pcnet::Sent Pcnet::transmit_frame() {
  const Ring r = ring(kBadx, kXmtrl, kXmtrc);
  std::vector<u8> data;
  for (u32 n = 0; n < r.entries; n++) {
    Descriptor d;
    if (!load(r.base + u64{(r.index + n) % r.entries} * (wide() ? 16 : 8), d)) {
      memory_error();
      csr_[kCsr0] &= static_cast<u16>(~kTxon);
      return Sent::Nothing;
    }
    if ((d.flags & kOwn) == 0) {
      if (n == 0) return Sent::Nothing;
      give_back(frame_, kTmdBuff | kTmdUflo);  // the frame's end was not there in time
      if ((csr_[kCsr3] & kDxsuflo) == 0) csr_[kCsr0] &= static_cast<u16>(~kTxon);
      return Sent::Frame;
    }
    frame_.push_back(d);
    if (n == 0 && (d.flags & kStp) == 0) {  // what is left of a frame that went wrong
      give_back(frame_, 0);
      return Sent::Frame;
    }
    const size_t had = data.size(), size = std::min<size_t>(d.length, kMaxFrame - had);
    data.resize(had + size);
    if (size != 0 && !dma().read(d.address, &data[had], size)) {
      memory_error();
      give_back(frame_, 0);
      return Sent::Frame;
    }
    if (d.flags & kEnp) break;
  }
  if (frame_.empty()) return Sent::Nothing;
  if (data.size() > 1518 + kFcs) raise(kBabl);
  const bool add_fcs = (csr_[kMode] & kDxmtfcs) == 0 || (frame_[0].flags & kAddFcs) != 0;
  if (!send(std::move(data), !add_fcs)) return Sent::Stalled;
  give_back(frame_, port().link() || (csr_[kMode] & kLoop) ? 0 : kTmdLcar);
  return Sent::Frame;
}

// False: the back end has no room.
bool Pcnet::send(std::vector<u8>&& data, bool fcs_is_there) {
  if (fcs_is_there && data.size() > kFcs) data.resize(data.size() - kFcs);
  if ((csr_[kCsr4] & kApadXmt) && data.size() < kMinFrame) data.resize(kMinFrame);
  if (data.size() < net::kEthernetHeader) return true;  // a runt that no one takes
  if (csr_[kMode] & kLoop) {
    receive(net::Packet(std::move(data)));
    return true;
  }
  return port().send(net::Packet(std::move(data)));
}

void Pcnet::give_back(std::span<Descriptor> frame, u32 errors) {
  bool told = (csr_[kCsr5] & kLtinten) == 0;
  for (Descriptor& d : frame) {
    const bool last = &d == &frame.back();
    told |= (d.flags & kLtint) != 0;
    d.flags = static_cast<u8>(d.flags & ~(kOwn | kDescErr));
    d.mark = 0;
    if (last && errors != 0) d.flags |= kDescErr;
    d.status = last ? errors : 0;
    if (!store(d)) memory_error();
  }
  advance(kXmtrl, kXmtrc, static_cast<u32>(frame.size()));
  csr_[kCsr4] |= kTxstrt;
  if (errors != 0 || (told && (csr_[kCsr5] & kTokintd) == 0)) raise(kTint);
  update_interrupt();
}

// --- receiving

// By which rule the frame is for this card, in RMD1's bits; 0: it is not. Promiscuous: none of them, told apart by bit
// 0.
u32 Pcnet::match(std::span<const u8> f) const {
  const u16 mode = csr_[kMode];
  u8 filter[8];
  for (unsigned i = 0; i < 4; i++) store_le<u16>(filter + 2 * i, csr_[kLadrf + i]);
  if (is_broadcast(f)) {
    if ((mode & kDrcvbc) == 0) return kBam;
  } else if (f[0] & 1) {
    if (multicast_hash_hit(std::span<const u8, 8>(filter), f)) return kLafm;
  } else if ((mode & kDrcvpa) == 0) {
    bool mine = true;
    for (unsigned i = 0; i < 3; i++) mine &= load_le<u16>(&f[2 * i]) == csr_[kPadr + i];
    if (mine) return kPam;
  }
  return (mode & kProm) ? 1 : 0;
}

// The next descriptors into frame_, for so many bytes. False: the driver has not given enough.
bool Pcnet::take_buffers(size_t needed) {
  const Ring r = ring(kBadr, kRcvrl, kRcvrc);
  frame_.clear();
  size_t room = 0;
  for (u32 n = 0; n < r.entries && room < needed; n++) {
    Descriptor d;
    if (!load(r.base + u64{(r.index + n) % r.entries} * (wide() ? 16 : 8), d)) {
      memory_error();
      csr_[kCsr0] &= static_cast<u16>(~kRxon);
      return false;
    }
    if ((d.flags & kOwn) == 0) return false;
    frame_.push_back(d);
    room += d.length;
  }
  return room >= needed;
}

Pcnet::Took Pcnet::receive(const net::Packet& packet) {
  std::span<const u8> f = packet.data;
  if (!may_run(kRxon)) {
    const bool suspended = (csr_[kCsr0] & kRxon) != 0 && (csr_[kCsr5] & kSpnd) != 0;
    return suspended ? Took::Nothing : Took::Frame;  // to nobody, or when it goes on
  }
  if (f.size() < net::kEthernetHeader || f.size() > kMaxFrame - kFcs) return Took::Frame;
  const u32 matched = match(f);
  if (matched == 0) return Took::Frame;
  std::array<u8, kMinFrame> padded{};
  if (f.size() < kMinFrame) {
    std::copy(f.begin(), f.end(), padded.begin());
    f = padded;
  }
  look_again(false);
  const std::vector<Descriptor> outer = std::move(frame_);  // of a frame that is sent to ourselves
  const bool got = take_buffers(f.size() + kFcs);
  std::vector<Descriptor> taken = std::move(frame_);
  frame_ = outer;
  if (!got) {
    const u32 entries = static_cast<u16>(-csr_[kRcvrl]);
    if ((csr_[kMode] & kLoop) || taken.size() == entries || (csr_[kCsr0] & kRxon) == 0) {
      csr_[kMfc]++;  // a ring that can never hold it
      raise(kMiss);
      return Took::Frame;
    }
    waiting_ = true;
    poll_.disarm();
    arm_poll();
    return Took::Nothing;
  }
  fill(taken, f, matched);
  return Took::Frame;
}

void Pcnet::fill(std::span<Descriptor> taken, std::span<const u8> f, u32 matched) {
  const u8 fcs[kFcs] = {};
  size_t at = 0;
  const size_t total = f.size() + kFcs;
  for (Descriptor& d : taken) {
    const size_t n = std::min<size_t>(d.length, total - at);
    const size_t data = at < f.size() ? std::min(n, f.size() - at) : 0;
    bool good = data == 0 || dma().write(d.address, &f[at], data);
    if (n > data) good &= dma().write(d.address + data, fcs, n - data);
    if (!good) memory_error();
    at += n;
    const bool first = &d == &taken.front(), last = &d == &taken.back();
    d.flags = static_cast<u8>((first ? u8{kStp} : 0) | (last ? u8{kEnp} : 0));
    d.status = last ? static_cast<u32>(total) : 0;
    d.match = last ? matched & (kPam | kLafm | kBam) : 0;
    if (wide()) note_doubt(d, std::exchange(d.mark, d.mark == 1 ? u8{2} : u8{1}));
  }
  // The first is given back last, so that a driver never sees half a frame.
  for (size_t i = taken.size(); i-- > 0;) {
    if (!store(taken[i])) memory_error();
  }
  advance(kRcvrl, kRcvrc, static_cast<u32>(taken.size()));
  raise(kRint);
  arm_poll();
}

// Drivers that write zeros give no hint, and need none.
void Pcnet::note_doubt(const Descriptor& d, u8 before) {
  std::erase_if(doubts_, [&](const Doubt& old) { return old.at == d.at; });
  if (before == 0) return;
  doubts_.push_back({d.at, d.status, d.flags, static_cast<u8>(d.match >> 16), before, 0});
  doubt_pause_ = kWaitPause;
  poll_.disarm();
}

void Pcnet::look_again(bool by_timer) {
  bool shown = false;
  std::erase_if(doubts_, [&](Doubt& doubt) {
    Descriptor d;
    if (!wide() || !load(doubt.at, d)) return true;
    if ((d.flags & kOwn) == 0) return by_timer && ++doubt.looks >= kMostLooks;  // not read yet
    if (d.mark != doubt.before) return true;
    d.flags = doubt.flags;
    d.status = doubt.status;
    d.match = u32{doubt.low} << 16;
    d.mark = doubt.before == 1 ? 2 : 1;
    doubt.looks = 0;
    shown = store(d);
    return !shown;
  });
  if (shown) raise(kRint);
}

}  // namespace doppel::hw

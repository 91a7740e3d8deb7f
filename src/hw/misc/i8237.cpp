#include "hw/misc/i8237.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace doppel::hw {
namespace {
enum Type : u8 { kVerify = 0, kToMemory = 1, kFromMemory = 2 };
constexpr u8 kAutoinit = 0x10, kDecrement = 0x20, kModeMask = 0xc0, kCascade = 0xc0;
constexpr u8 kDisabled = 4;  // command register
// Page register (port 0x80 + n) of each channel.
constexpr u8 kPage[8] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};
}  // namespace

I8237::I8237(Params p) : p_(p) {
  for (unsigned n = 0; n < 8; n++) {
    channel_[n].owner_ = this;
    channel_[n].number_ = n;
  }
  reset();
}

void I8237::reset() {
  for (Channel& c : channel_) {
    c.base_address_ = c.base_count_ = c.address_ = c.count_ = 0;
    c.mode_ = 0;
  }
  page_.fill(0);
  high_page_.fill(0);
  master_clear(0);
  master_clear(1);
}

void I8237::master_clear(unsigned chip) { chip_[chip] = Chip{}; }

void I8237::tell_all(unsigned chip) {
  for (unsigned n = chip == 0 ? 0 : 5; n < (chip == 0 ? 4u : 8u); n++) channel_[n].tell_if_ready();
  if (chip == 1) tell_all(0);  // the byte channels cascade through it
}

void I8237::Channel::tell_if_ready() {
  if (listener_ != nullptr && request_ && !transferring_ && ready()) listener_->dma_ready();
}

void I8237::Channel::set_request(bool asserted) { request_ = asserted; }

bool I8237::Channel::ready() const {
  const Chip& chip = owner_->chip_[number_ / 4];
  if ((chip.command & kDisabled) || (chip.mask >> (number_ & 3) & 1) || (mode_ & kModeMask) == kCascade) return false;
  const Chip& second = owner_->chip_[1];
  return number_ >= 4 || (!(second.command & kDisabled) && !(second.mask & 1));
}

u64 I8237::address_of(const Channel& c) const {
  const u64 page = u64{high_page_[kPage[c.number_]]} << 24;
  if (c.number_ < 4) return page | u64{page_[kPage[c.number_]]} << 16 | c.address_;
  return page | u64{page_[kPage[c.number_]] & 0xfeu} << 16 | u64{c.address_} << 1;
}

void I8237::step(Channel& c, u32 units) {
  c.address_ = static_cast<u16>(c.mode_ & kDecrement ? c.address_ - units : c.address_ + units);
  c.count_ = static_cast<u16>(c.count_ - units);
}

// The count has gone below zero.
bool I8237::finish(Channel& c) {
  Chip& chip = chip_[c.number_ / 4];
  const u8 bit = static_cast<u8>(1u << (c.number_ & 3));
  chip.terminal_count |= bit;
  chip.request &= static_cast<u8>(~bit);
  if (c.mode_ & kAutoinit) {
    c.address_ = c.base_address_;
    c.count_ = c.base_count_;
  } else {
    chip.mask |= bit;
  }
  return true;
}

IsaDmaResult I8237::Channel::transfer(u8* data, u32 size, bool to_memory) {
  IsaDmaResult result;
  const unsigned type = mode_ >> 2 & 3;
  if (!ready() || (type == kToMemory && !to_memory) || (type == kFromMemory && to_memory) || type == 3) return result;
  transferring_ = true;
  const u32 unit = number_ < 4 ? 1 : 2;
  u32 left = size / unit;
  while (left != 0 && !result.terminal_count) {
    u32 units = std::min(left, u32{count_} + 1);
    // Runs of ascending addresses go in one piece; the address counter wraps in its 64 K.
    units = mode_ & kDecrement ? 1 : std::min(units, 0x10000u - address_);
    const u64 pa = owner_->address_of(*this);
    const u32 bytes = units * unit;
    u8* at = data + result.bytes;
    if (type == kToMemory)
      owner_->p_.memory.write(pa, at, bytes);
    else if (type == kFromMemory)
      owner_->p_.memory.read(pa, at, bytes);
    else if (!to_memory)
      std::fill(at, at + bytes, u8{0});
    result.bytes += bytes;
    left -= units;
    const bool last = units == u32{count_} + 1;
    owner_->step(*this, units);
    if (last) result.terminal_count = owner_->finish(*this);
  }
  transferring_ = false;
  return result;
}

u64 I8237::read_chip(unsigned which, unsigned reg) {
  Chip& chip = chip_[which];
  reg &= 15;
  if (reg < 8) {
    const Channel& c = channel_[which * 4 + reg / 2];
    const u16 v = reg & 1 ? c.count_ : c.address_;
    chip.flip_flop = !chip.flip_flop;
    return chip.flip_flop ? v & 0xff : v >> 8;
  }
  if (reg == 8) {
    u8 v = chip.terminal_count;
    for (unsigned n = 0; n < 4; n++)
      if (channel_[which * 4 + n].request_) v |= static_cast<u8>(0x10u << n);
    chip.terminal_count = 0;
    return v;
  }
  if (reg == 15) return chip.mask | 0xf0u;
  return 0;
}

void I8237::write_chip(unsigned which, unsigned reg, u8 value) {
  Chip& chip = chip_[which];
  reg &= 15;
  if (reg < 8) {
    Channel& c = channel_[which * 4 + reg / 2];
    u16& base = reg & 1 ? c.base_count_ : c.base_address_;
    base = static_cast<u16>(chip.flip_flop ? (base & 0xff) | value << 8 : (base & 0xff00) | value);
    (reg & 1 ? c.count_ : c.address_) = base;
    chip.flip_flop = !chip.flip_flop;
    return;
  }
  const u8 bit = static_cast<u8>(1u << (value & 3));
  switch (reg) {
    case 8:
      if (value & 1) DOPPEL_LOG(Unimp, "i8237: memory to memory transfers are not wired on a PC\n");
      chip.command = value;
      break;
    case 9: chip.request = value & 4 ? chip.request | bit : chip.request & ~bit; break;
    case 10: chip.mask = value & 4 ? chip.mask | bit : chip.mask & ~bit; break;
    case 11: channel_[which * 4 + (value & 3)].mode_ = value; break;
    case 12: chip.flip_flop = false; return;
    case 13: master_clear(which); break;
    case 14: chip.mask = 0; break;
    case 15: chip.mask = value & 15; break;
    default: break;
  }
  tell_all(which);
}

void I8237::write_pages(u64 offset, u64 v, unsigned) {
  page_[offset & 15] = static_cast<u8>(v);
  high_page_[offset & 15] = 0;  // a write of the low page clears the high one
  if (offset == 0) DOPPEL_LOG(Ports, "post code %02x\n", page_[0]);
}

void I8237::archive(StateArchive& ar) {
  static constexpr const char* kNames[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
  for (unsigned n = 0; n < 8; n++) {
    Channel& c = channel_[n];
    ar.section(kNames[n], [&] {
      ar.field("base_address", c.base_address_);
      ar.field("base_count", c.base_count_);
      ar.field("address", c.address_);
      ar.field("count", c.count_);
      ar.field("mode", c.mode_);
      ar.field("request", c.request_);
    });
  }
  for (unsigned n = 0; n < 2; n++) {
    Chip& chip = chip_[n];
    ar.section(n == 0 ? "chip0" : "chip1", [&] {
      ar.field("command", chip.command);
      ar.field("mask", chip.mask);
      ar.field("request", chip.request);
      ar.field("terminal_count", chip.terminal_count);
      ar.field("flip_flop", chip.flip_flop);
    });
  }
  ar.field("page", page_);
  ar.field("high_page", high_page_);
}

std::string I8237::info() const {
  std::string text;
  char line[128];
  for (unsigned n = 0; n < 8; n++) {
    const Channel& c = channel_[n];
    std::snprintf(line, sizeof line, "channel %u: address %08llx count %04x mode %02x %s%s\n", n,
                  static_cast<unsigned long long>(address_of(c)), c.count_, c.mode_, c.ready() ? "ready" : "masked",
                  c.request_ ? " dreq" : "");
    text += line;
  }
  return text;
}

}  // namespace doppel::hw

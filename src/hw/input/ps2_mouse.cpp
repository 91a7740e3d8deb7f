#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "hw/input/ps2.h"

namespace doppel::hw {
namespace {
enum Command : u8 {
  kScale11 = 0xe6,
  kScale21 = 0xe7,
  kResolution = 0xe8,
  kStatus = 0xe9,
  kStream = 0xea,
  kReadData = 0xeb,
  kResetWrap = 0xec,
  kWrap = 0xee,
  kRemote = 0xf0,
  kIdentify = 0xf2,
  kRate = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kResend = 0xfe,
  kReset = 0xff,
};
constexpr u8 kAck = 0xfa;
constexpr size_t kMostBytes = 16;  // packets that wait; later motion adds up
}  // namespace

Ps2Mouse::Ps2Mouse() { reset(); }

void Ps2Mouse::reset() {
  clear_output();
  command_ = id_ = last_ = 0;
  rates_.fill(0);
  buttons_ = sent_buttons_ = 0;
  defaults();
}

void Ps2Mouse::defaults() {
  rate_ = 100;
  resolution_ = 2;
  reporting_ = remote_ = wrap_ = scale21_ = false;
  dx_ = dy_ = wheel_ = 0;
}

u8 Ps2Mouse::status() const {
  const u8 buttons = static_cast<u8>((buttons_ & 1) << 2 | (buttons_ & 2) >> 1 | (buttons_ & 4) >> 1);
  return static_cast<u8>((remote_ ? 0x40 : 0) | (reporting_ ? 0x20 : 0) | (scale21_ ? 0x10 : 0) | buttons);
}

void Ps2Mouse::send(u8 byte) {
  if (wrap_ && byte != kReset && byte != kResetWrap) {
    reply(byte);
    return;
  }
  if (command_ != 0) {
    parameter(byte);
    return;
  }
  switch (byte) {
    case kScale11: scale21_ = false; break;
    case kScale21: scale21_ = true; break;
    case kResolution:
    case kRate: command_ = byte; break;
    case kStatus:
      reply(kAck);
      reply(status());
      reply(resolution_);
      reply(rate_);
      return;
    case kStream: remote_ = false; break;
    case kReadData:
      reply(kAck);
      put_packet(true);
      return;
    case kResetWrap: wrap_ = false; break;
    case kWrap: wrap_ = true; break;
    case kRemote: remote_ = true; break;
    case kIdentify:
      reply(kAck);
      reply(id_);
      return;
    case kEnable: reporting_ = true; break;
    case kDisable: reporting_ = false; break;
    case kDefaults: defaults(); break;
    case kResend: reply(last_); return;
    case kReset:
      reset();
      reply(kAck);
      reply(0xaa);
      reply(0x00);
      return;
    default:
      DOPPEL_LOG(GuestErrors, "mouse: unknown command %#x\n", byte);
      reply(kResend);
      return;
  }
  last_ = kAck;
  reply(kAck);
}

void Ps2Mouse::parameter(u8 byte) {
  const u8 command = command_;
  command_ = 0;
  if (command == kResolution) {
    resolution_ = byte & 3;
  } else {
    rate_ = byte;
    rates_ = {rates_[1], rates_[2], byte};
    // Microsoft's knocks: a mouse that knows them becomes one with a wheel, then one with five buttons.
    if (rates_ == std::array<u8, 3>{200, 100, 80} && id_ == 0)
      id_ = 3;
    else if (rates_ == std::array<u8, 3>{200, 200, 80})
      id_ = 4;
  }
  reply(kAck);
}

void Ps2Mouse::move(int dx, int dy, int wheel, u32 buttons) {
  constexpr s32 kFar = 1 << 20;
  buttons_ = buttons & 0x1f;
  dx_ = std::clamp(dx_ + std::clamp(dx, -kFar, kFar), -kFar, kFar);
  dy_ = std::clamp(dy_ - std::clamp(dy, -kFar, kFar), -kFar, kFar);
  wheel_ = std::clamp(wheel_ - std::clamp(wheel, -kFar, kFar), -kFar, kFar);
  if (!reporting_) {
    dx_ = dy_ = wheel_ = 0;
    return;
  }
  if (!remote_) flush_motion();
}

void Ps2Mouse::nudge() {
  if (reporting_ && !remote_ && !wrap_ && command_ == 0 && output_size() + 4 <= kMostBytes) put_packet(false);
}

void Ps2Mouse::flush_motion() {
  if (!reporting_ || remote_ || wrap_ || command_ != 0) return;
  const s32 wheel = id_ == 0 ? 0 : wheel_;
  const u32 visible = id_ == 4 ? 0x1fu : 7u;
  // Each packet carries at most 255 counts, so a long way takes several.
  for (int i = 0; i < 4 && output_size() + 4 <= kMostBytes; i++) {
    if (dx_ == 0 && dy_ == 0 && (wheel == 0 || wheel_ == 0) && ((buttons_ ^ sent_buttons_) & visible) == 0) return;
    put_packet(false);
  }
}

void Ps2Mouse::put_packet(bool answer) {
  const s32 dx = std::clamp(dx_, -255, 255), dy = std::clamp(dy_, -255, 255);
  dx_ -= dx;
  dy_ -= dy;
  sent_buttons_ = buttons_;
  const u8 first = static_cast<u8>(8 | (buttons_ & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
  const u8 x = static_cast<u8>(dx), y = static_cast<u8>(dy);
  u8 fourth = 0;
  if (id_ == 0) {
    wheel_ = 0;
  } else {
    const s32 dz = std::clamp(wheel_, id_ == 3 ? -127 : -7, id_ == 3 ? 127 : 7);
    wheel_ -= dz;
    fourth = id_ == 3 ? static_cast<u8>(dz) : static_cast<u8>((dz & 0xf) | (buttons_ & 0x18) << 1);
  }
  const size_t room = answer ? 256 : kMostBytes;
  if (id_ == 0)
    put({first, x, y}, room);
  else
    put({first, x, y, fourth}, room);
}

void Ps2Mouse::archive(StateArchive& ar) {
  ar.field("command", command_);
  ar.field("id", id_);
  ar.field("rate", rate_);
  ar.field("resolution", resolution_);
  ar.field("last", last_);
  ar.field("reporting", reporting_);
  ar.field("remote", remote_);
  ar.field("wrap", wrap_);
  ar.field("scale21", scale21_);
  ar.field("rates", rates_);
  ar.field("dx", dx_);
  ar.field("dy", dy_);
  ar.field("wheel", wheel_);
  ar.field("buttons", buttons_);
  ar.field("sent_buttons", sent_buttons_);
  archive_queue(ar);
}

std::string Ps2Mouse::info() const {
  char text[96];
  std::snprintf(text, sizeof text, "mouse: id %u rate %u resolution %u %s\n", id_, rate_, resolution_,
                reporting_ ? "enabled" : "disabled");
  return text;
}

}  // namespace doppel::hw

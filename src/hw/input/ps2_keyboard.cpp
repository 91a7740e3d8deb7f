#include <cstdio>

#include "base/log.h"
#include "display/input_event.h"
#include "hw/input/ps2.h"
#include "hw/input/scan_codes.h"

namespace doppel::hw {
namespace {
enum Command : u8 {
  kLeds = 0xed,
  kEcho = 0xee,
  kScanSet = 0xf0,
  kIdentify = 0xf2,
  kTypematic = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kAllTypematic = 0xf7,
  kAllMakeBreak = 0xf8,
  kAllMake = 0xf9,
  kAllBoth = 0xfa,
  kKeyTypematic = 0xfb,
  kKeyMakeBreak = 0xfc,
  kKeyMake = 0xfd,
  kResend = 0xfe,
  kReset = 0xff,
};
constexpr u8 kAck = 0xfa, kSelfTestPassed = 0xaa;
u32 code_of(display::Key key) { return static_cast<u32>(key); }
}  // namespace

Ps2Keyboard::Ps2Keyboard(Params p) : p_(std::move(p)) { reset(); }

void Ps2Keyboard::reset() {
  clear_output();
  command_ = 0;
  leds_ = 0;
  last_ = 0;
  set_ = 2;
  scanning_ = true;
  down_.fill(0);
  defaults();
  if (p_.leds) p_.leds(0);
}

void Ps2Keyboard::defaults() {
  typematic_ = 0x2b;
  breaks_.fill(0);
  for (const u8 code : {0x11, 0x12, 0x14, 0x19, 0x59})
    breaks_[code / 8] |= static_cast<u8>(1u << (code & 7));  // set 3: shifts, ctrl, alt, caps lock
}

void Ps2Keyboard::send(u8 byte) {
  if (command_ != 0 && (byte < kLeds || command_ >= kKeyTypematic)) {
    parameter(byte);
    return;
  }
  command_ = 0;
  switch (byte) {
    case kLeds:
    case kScanSet:
    case kTypematic: command_ = byte; break;
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMake:
      command_ = byte;
      scanning_ = false;
      break;
    case kEcho: reply(kEcho); return;
    case kIdentify:
      reply(kAck);
      reply(0xab);
      reply(0x83);
      return;
    case kEnable:
      clear_output();
      scanning_ = true;
      break;
    case kDisable:
      clear_output();
      defaults();
      scanning_ = false;
      break;
    case kDefaults:
      clear_output();
      defaults();
      break;
    case kAllTypematic:
    case kAllMake: breaks_.fill(0); break;
    case kAllMakeBreak:
    case kAllBoth: breaks_.fill(0xff); break;
    case kResend: reply(last_); return;
    case kReset:
      reset();
      reply(kAck);
      reply(kSelfTestPassed);
      last_ = kSelfTestPassed;
      return;
    default:
      DOPPEL_LOG(GuestErrors, "keyboard: unknown command %#x\n", byte);
      reply(kResend);
      return;
  }
  last_ = kAck;
  reply(kAck);
}

void Ps2Keyboard::parameter(u8 byte) {
  const u8 command = command_;
  command_ = 0;
  switch (command) {
    case kLeds:
      leds_ = byte & 7;
      if (p_.leds) p_.leds(leds_);
      break;
    case kScanSet:
      if (byte > 3) {
        reply(kResend);
        return;
      }
      reply(kAck);
      if (byte == 0)
        reply(set_);
      else
        set_ = byte;
      return;
    case kTypematic: typematic_ = byte & 0x7f; break;
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMake: {
      if (byte >= kLeds) {
        send(byte);
        return;
      }  // the list of keys ends with the next command
      const u8 bit = static_cast<u8>(1u << (byte & 7));
      if (command == kKeyMakeBreak)
        breaks_[byte / 8] |= bit;
      else
        breaks_[byte / 8] &= static_cast<u8>(~bit);
      command_ = command;
      break;
    }
    default: break;
  }
  reply(kAck);
}

void Ps2Keyboard::key(u32 qcode, bool down) {
  if (qcode >= 256) return;
  const bool was = held(qcode);
  const u8 bit = static_cast<u8>(1u << (qcode & 7));
  if (down)
    down_[qcode / 8] |= bit;
  else
    down_[qcode / 8] &= static_cast<u8>(~bit);
  if (!scanning_ || (!down && !was)) return;
  const u16 set1 = display::key_set1(qcode);
  if (set1 == 0) return;
  if (set_ == 3) {
    if (const u8 code = scan_set1_to_set3(set1)) put_set3(code, down);
  } else if (qcode == code_of(display::Key::pause)) {
    if (!was || !down) put_pause(down);
  } else if (qcode == code_of(display::Key::print)) {
    put_print(down);
  } else {
    put_code(set1, down);
  }
}

void Ps2Keyboard::put_code(u16 set1, bool down) {
  const bool prefix = set1 > 0xff;
  const u8 low = static_cast<u8>(set1);
  if (set_ == 1) {
    const u8 code = static_cast<u8>(low | (down ? 0 : 0x80));
    if (prefix)
      put({0xe0, code}, limit(down));
    else
      put({code}, limit(down));
    return;
  }
  const u8 code = scan_set1_to_set2(low);
  if (down && prefix)
    put({0xe0, code}, limit(true));
  else if (down)
    put({code}, limit(true));
  else if (prefix)
    put({0xe0, 0xf0, code}, limit(false));
  else
    put({0xf0, code}, limit(false));
}

void Ps2Keyboard::put_set3(u8 code, bool down) {
  if (down)
    put({code}, limit(true));
  else if (breaks_[code / 8] >> (code & 7) & 1)
    put({0xf0, code}, limit(false));
}

// Print Screen comes with a fake shift; with Alt it is SysRq, with Ctrl or Shift it has none.
void Ps2Keyboard::put_print(bool down) {
  using display::Key;
  if (held(code_of(Key::alt)) || held(code_of(Key::alt_r))) {
    put_code(0x54, down);
    return;
  }
  const bool plain = !held(code_of(Key::ctrl)) && !held(code_of(Key::ctrl_r)) && !held(code_of(Key::shift)) &&
                     !held(code_of(Key::shift_r));
  if (!plain) {
    put_code(0xe037, down);
    return;
  }
  if (set_ == 1) {
    if (down)
      put({0xe0, 0x2a, 0xe0, 0x37}, limit(true));
    else
      put({0xe0, 0xb7, 0xe0, 0xaa}, limit(false));
  } else {
    if (down)
      put({0xe0, 0x12, 0xe0, 0x7c}, limit(true));
    else
      put({0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}, limit(false));
  }
}

// Pause sends press and release at once; with Ctrl it is Break.
void Ps2Keyboard::put_pause(bool down) {
  if (!down) return;
  const bool is_break = held(code_of(display::Key::ctrl)) || held(code_of(display::Key::ctrl_r));
  if (set_ == 1) {
    if (is_break)
      put({0xe0, 0x46, 0xe0, 0xc6}, limit(true));
    else
      put({0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}, limit(true));
  } else {
    if (is_break)
      put({0xe0, 0x7e, 0xe0, 0xf0, 0x7e}, limit(true));
    else
      put({0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}, limit(true));
  }
}

void Ps2Keyboard::release_all() {
  for (u32 qcode = 0; qcode < 256; qcode++) {
    if (held(qcode)) key(qcode, false);
  }
}

void Ps2Keyboard::archive(StateArchive& ar) {
  ar.field("command", command_);
  ar.field("set", set_);
  ar.field("leds", leds_);
  ar.field("typematic", typematic_);
  ar.field("last", last_);
  ar.field("scanning", scanning_);
  ar.field("down", down_);
  ar.field("breaks", breaks_);
  archive_queue(ar);
  if (ar.loading() && p_.leds) p_.leds(leds_);
}

std::string Ps2Keyboard::info() const {
  char text[80];
  std::snprintf(text, sizeof text, "keyboard: set %u leds %u %s, %zu bytes waiting\n", set_, leds_,
                scanning_ ? "enabled" : "disabled", output_size());
  return text;
}

}  // namespace doppel::hw

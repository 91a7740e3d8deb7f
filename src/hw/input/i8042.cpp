#include "hw/input/i8042.h"

#include <cstdio>

#include "base/log.h"
#include "hw/input/scan_codes.h"

namespace doppel::hw {
namespace {
enum Status : u8 { kObf = 1, kIbf = 2, kSys = 4, kWasCommand = 8, kUnlocked = 0x10, kAuxObf = 0x20 };
enum CommandByte : u8 {
  kKeyboardIrq = 1,
  kMouseIrq = 2,
  kSystemFlag = 4,
  kKeyboardOff = 0x10,
  kMouseOff = 0x20,
  kTranslate = 0x40
};
enum OutputPort : u8 { kNoReset = 1, kA20 = 2, kPortKeyboardObf = 0x10, kPortMouseObf = 0x20 };
}  // namespace

I8042::I8042(Params p) : p_(std::move(p)) {
  if (p_.keyboard != nullptr) p_.keyboard->output_changed = [this] { fill(); };
  if (p_.mouse != nullptr) p_.mouse->output_changed = [this] { fill(); };
  if (p_.clock != nullptr) gap_.emplace(*p_.clock, [this] { fill(); });
  reset();
}

void I8042::reset() {
  status_ = kUnlocked | kWasCommand;
  command_byte_ = kKeyboardIrq | kMouseIrq;  // until firmware says otherwise
  output_ = 0;
  output_port_ = 0xcc | kNoReset | kA20;
  source_ = kNone;
  pending_command_ = 0;
  break_prefix_ = false;
  ram_.fill(0);
  replies_.clear();
  if (gap_) gap_->disarm();
  if (p_.a20) p_.a20(true);
  update_irqs();
}

void I8042::update_irqs() {
  const bool full = (status_ & kObf) != 0;
  p_.keyboard_irq.set(full && !(status_ & kAuxObf) && (command_byte_ & kKeyboardIrq));
  p_.mouse_irq.set(full && (status_ & kAuxObf) && (command_byte_ & kMouseIrq));
}

std::optional<u8> I8042::translate(u8 code) {
  if (code == 0xf0) {
    break_prefix_ = true;
    return std::nullopt;
  }
  u8 v = scan_set2_to_set1(code);
  if (break_prefix_) v |= 0x80;
  break_prefix_ = false;
  return v;
}

void I8042::put(u8 value, Source source) {
  output_ = value;
  source_ = source;
  status_ |= kObf;
  const bool aux = source == kMouse || source == kControllerAux;
  status_ = static_cast<u8>((status_ & ~kAuxObf) | (aux ? kAuxObf : 0));
  update_irqs();
}

void I8042::fill() {
  // Taking a device's last byte may make it queue more and call us again.
  if (filling_ || (status_ & kObf)) return;
  filling_ = true;
  fill_one();
  filling_ = false;
}

void I8042::fill_one() {
  if (!replies_.empty()) {
    const auto [value, source] = replies_.front();
    replies_.pop_front();
    put(value, source);
    return;
  }
  if (gap_ && gap_->armed()) return;
  if (p_.keyboard != nullptr && !(command_byte_ & kKeyboardOff)) {
    while (p_.keyboard->has_output()) {
      const u8 raw = p_.keyboard->next();
      const std::optional<u8> byte = command_byte_ & kTranslate ? translate(raw) : raw;
      if (!byte) continue;
      put(*byte, kKeyboard);
      return;
    }
  }
  if (p_.mouse != nullptr && !(command_byte_ & kMouseOff) && p_.mouse->has_output()) put(p_.mouse->next(), kMouse);
}

u64 I8042::read_data(u64, unsigned) {
  const u8 value = output_;
  if (status_ & kObf) {
    const bool device = source_ == kKeyboard || source_ == kMouse;
    status_ &= static_cast<u8>(~(kObf | kAuxObf));
    update_irqs();
    if (device && gap_) gap_->arm_in(kByteNs);
    fill();
  }
  return value;
}

u64 I8042::read_status(u64, unsigned) { return status_; }

u8 I8042::output_port() const {
  u8 v = output_port_;
  if (p_.a20_state) v = static_cast<u8>((v & ~kA20) | (p_.a20_state() ? kA20 : 0));
  if (status_ & kObf) v |= status_ & kAuxObf ? kPortMouseObf : kPortKeyboardObf;
  return v;
}

void I8042::write_output_port(u8 value) {
  output_port_ = value;
  if (p_.a20) p_.a20((value & kA20) != 0);
  if (!(value & kNoReset) && p_.reset_request) {
    output_port_ |= kNoReset;
    p_.reset_request();
  }
}

void I8042::write_command_byte(u8 value) {
  command_byte_ = value;
  ram_[0] = value;
  status_ = static_cast<u8>((status_ & ~kSys) | (value & kSystemFlag ? kSys : 0));
  update_irqs();
  fill();
}

void I8042::reply(u8 value, Source source) {
  if (replies_.size() < 16) replies_.emplace_back(value, source);  // a guest that never reads
  fill();
}

void I8042::send_keyboard(u8 value) {
  command_byte_ &= static_cast<u8>(~kKeyboardOff);  // sending enables the interface
  if (p_.keyboard != nullptr) {
    p_.keyboard->send(value);
    fill();
  } else {
    reply(0xfe, kController);
  }
}

void I8042::send_mouse(u8 value) {
  command_byte_ &= static_cast<u8>(~kMouseOff);
  if (p_.mouse != nullptr) {
    p_.mouse->send(value);
    fill();
  } else {
    reply(0xfe, kControllerAux);
  }
}

void I8042::write_data(u64, u64 value, unsigned) {
  status_ &= static_cast<u8>(~kWasCommand);
  const u8 byte = static_cast<u8>(value);
  if (pending_command_ != 0) {
    const u8 command = pending_command_;
    pending_command_ = 0;
    controller_parameter(command, byte);
  } else {
    send_keyboard(byte);
  }
}

void I8042::write_command(u64, u64 value, unsigned) {
  status_ |= kWasCommand;
  pending_command_ = 0;
  controller_command(static_cast<u8>(value));
}

void I8042::controller_parameter(u8 command, u8 value) {
  switch (command) {
    case 0xd1: write_output_port(value); return;
    case 0xd2: reply(value, kController); return;
    case 0xd3: reply(value, kControllerAux); return;
    case 0xd4: send_mouse(value); return;
    default: break;
  }
  if (command == 0x60)
    write_command_byte(value);
  else
    ram_[command & 0x1f] = value;
}

void I8042::controller_command(u8 command) {
  auto answer = [&](u8 v) { reply(v, kController); };
  if (command >= 0xf0) {  // pulse output port bits 3..0 that are 0
    if (!(command & kNoReset) && p_.reset_request) p_.reset_request();
    return;
  }
  if (command >= 0x20 && command < 0x40) {
    answer(command == 0x20 ? command_byte_ : ram_[command & 0x1f]);
    return;
  }
  if (command >= 0x60 && command < 0x80) {
    pending_command_ = command;
    return;
  }
  switch (command) {
    case 0xa4: answer(0xf1); break;  // no password
    case 0xa7: command_byte_ |= kMouseOff; break;
    case 0xa8:
      command_byte_ &= static_cast<u8>(~kMouseOff);
      fill();
      break;
    case 0xa9: answer(0x00); break;
    case 0xaa:
      status_ |= kSys;
      answer(0x55);
      break;
    case 0xab: answer(0x00); break;
    case 0xad: command_byte_ |= kKeyboardOff; break;
    case 0xae:
      command_byte_ &= static_cast<u8>(~kKeyboardOff);
      fill();
      break;
    case 0xc0: answer(0x80); break;  // input port: keyboard not locked
    case 0xd0: answer(output_port()); break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4: pending_command_ = command; break;
    case 0xdd: write_output_port(static_cast<u8>(output_port() & ~kA20)); break;
    case 0xdf: write_output_port(output_port() | kA20); break;
    case 0xe0: answer(0x00); break;  // test inputs
    default: DOPPEL_LOG(GuestErrors, "i8042: unknown command %#x\n", command);
  }
}

void I8042::archive(StateArchive& ar) {
  ar.field("status", status_);
  ar.field("command_byte", command_byte_);
  ar.field("output", output_);
  ar.field("output_port", output_port_);
  ar.field("source", source_);
  ar.field("pending_command", pending_command_);
  ar.field("break_prefix", break_prefix_);
  ar.field("ram", ram_);
  std::vector<u8> replies;
  for (const auto& [value, source] : replies_) {
    replies.push_back(value);
    replies.push_back(source);
  }
  ar.blob("replies", replies);
  s64 gap = gap_ ? gap_->deadline() : -1;
  ar.field("gap", gap);
  if (!ar.loading()) return;
  replies_.clear();
  for (size_t i = 0; i + 1 < replies.size(); i += 2)
    replies_.emplace_back(replies[i], replies[i + 1] == kControllerAux ? kControllerAux : kController);
  if (gap_) {
    if (gap >= 0)
      gap_->arm_at(gap);
    else
      gap_->disarm();
  }
  if (p_.a20 && !p_.a20_state) p_.a20((output_port_ & kA20) != 0);
  update_irqs();
}

std::string I8042::info() const {
  char text[96];
  std::snprintf(text, sizeof text, "status=%02x command=%02x output=%02x port=%02x\n", status_, command_byte_, output_,
                output_port());
  return text + (p_.keyboard ? p_.keyboard->info() : "") + (p_.mouse ? p_.mouse->info() : "");
}

}  // namespace doppel::hw

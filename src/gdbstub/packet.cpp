#include "gdbstub/packet.h"

namespace doppel::gdbstub {
namespace {
int digit(u8 c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace

void PacketPort::feed(u8 c) {
  switch (state_) {
    case 0:
      if (c == '$') {
        state_ = 1;
        current_.clear();
        sum_ = 0;
      }
      if (c == 3) interrupt_ = true;
      return;
    case 1:
      if (c == '#') {
        state_ = 3;
        return;
      }
      sum_ = static_cast<u8>(sum_ + c);
      if (c == '}') {
        state_ = 2;
        return;
      }
      if (current_.size() < 65536) current_ += static_cast<char>(c);
      return;
    case 2:
      sum_ = static_cast<u8>(sum_ + c);
      current_ += static_cast<char>(c ^ 0x20);
      state_ = 1;
      return;
    case 3:
      expected_ = static_cast<u8>(digit(c) << 4);
      state_ = 4;
      return;
    case 4:
      expected_ = static_cast<u8>(expected_ | digit(c));
      state_ = 0;
      if (expected_ == sum_ || no_ack_)
        ready_.push_back(current_);
      else
        nack_ = true;
      if (!no_ack_) {
        const u8 ack = expected_ == sum_ ? '+' : '-';
        connection_->write({&ack, 1});
      }
      return;
  }
}

PacketPort::Got PacketPort::read(std::string& packet) {
  for (;;) {
    if (!ready_.empty()) {
      packet = std::move(ready_.front());
      ready_.pop_front();
      return Got::Packet;
    }
    if (interrupt_) {
      interrupt_ = false;
      return Got::Interrupt;
    }
    u8 buffer[4096];
    size_t n = 0;
    switch (connection_->read(buffer, n)) {
      case os::Connection::Got::Closed: return Got::Closed;
      case os::Connection::Got::Woken: return Got::Woken;
      case os::Connection::Got::Data: break;
    }
    for (size_t i = 0; i < n; i++) feed(buffer[i]);
  }
}

void PacketPort::send(const std::string& data) {
  std::string out = "$";
  u8 sum = 0;
  auto put = [&](char c) {
    out += c;
    sum = static_cast<u8>(sum + static_cast<u8>(c));
  };
  for (const char c : data) {
    if (c == '$' || c == '#' || c == '}' || c == '*') {
      put('}');
      put(static_cast<char>(c ^ 0x20));
    } else
      put(c);
  }
  out += '#';
  out += hex_bytes(&sum, 1);
  connection_->write({reinterpret_cast<const u8*>(out.data()), out.size()});
}

std::string hex_bytes(const u8* data, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; i++) {
    text += kDigits[data[i] >> 4];
    text += kDigits[data[i] & 15];
  }
  return text;
}

bool parse_hex(const std::string& text, size_t& at, u64& value) {
  const size_t begin = at;
  value = 0;
  while (at < text.size() && digit(static_cast<u8>(text[at])) >= 0)
    value = value << 4 | static_cast<u64>(digit(static_cast<u8>(text[at++])));
  return at > begin;
}

bool parse_hex_bytes(const std::string& text, size_t at, std::string& bytes) {
  for (; at + 1 < text.size(); at += 2) {
    const int hi = digit(static_cast<u8>(text[at])), lo = digit(static_cast<u8>(text[at + 1]));
    if (hi < 0 || lo < 0) return false;
    bytes += static_cast<char>(hi << 4 | lo);
  }
  return at == text.size();
}

}  // namespace doppel::gdbstub

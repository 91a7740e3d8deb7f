// Framing of the remote serial protocol: $data#sum, escapes, acknowledgements, the interrupt byte (GDB manual, E.1).
#pragma once
#include <deque>
#include <string>

#include "base/os/socket.h"

namespace doppel::gdbstub {

class PacketPort {
 public:
  explicit PacketPort(std::unique_ptr<os::Connection> c) : connection_(std::move(c)) {}
  enum class Got { Packet, Interrupt, Woken, Closed };
  Got read(std::string& packet);
  void send(const std::string& data);
  void set_no_ack() { no_ack_ = true; }

 private:
  void feed(u8 c);
  std::unique_ptr<os::Connection> connection_;
  std::deque<std::string> ready_;
  std::string current_;
  int state_ = 0;  // 0 outside, 1 data, 2 escaped, 3 first and 4 second digit of the sum
  u8 sum_ = 0, expected_ = 0;
  bool no_ack_ = false, interrupt_ = false, nack_ = false;
};

std::string hex_bytes(const u8* data, size_t size);
bool parse_hex(const std::string& text, size_t& at, u64& value);  // as many digits as there are; at least one
bool parse_hex_bytes(const std::string& text, size_t at, std::string& bytes);

}  // namespace doppel::gdbstub

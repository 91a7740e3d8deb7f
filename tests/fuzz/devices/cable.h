// The outside's end of a network card's cable: frames of every kind come in, what the card sends is looked at, and room
// is made only when a step says so.
#pragma once
#include <memory>

#include "net/nic_port.h"

namespace doppel::fuzz {

net::Loop& network_loop();  // the fuzzer runs on its thread: nothing else happens meanwhile

class Cable final : public net::Backend {
 public:
  explicit Cable(bool offload) : Backend("fuzz", network_loop()), offload_(offload) {}
  std::string info() const override { return "type=fuzz"; }
  bool takes_offload() const override { return offload_; }
  void give(net::Packet&& p) {
    deliver(std::move(p));
    work();
  }
  std::string complaint;

 protected:
  void transmit(net::Packet&& packet) override;

 private:
  bool offload_;
};

class CableEnd {
 public:
  explicit CableEnd(bool offload);
  ~CableEnd() { port->unplug(); }
  void frame(u32 offset, u64 value);  // one or more arrive
  void link(u64 value);
  std::shared_ptr<Cable> cable;
  std::shared_ptr<net::NicPort> port;
};

// A frame as `value` says: bits 0-2 its kind, 3-4 to whom, 5-7 its checksum, 8-23 its length, the rest its content.
std::vector<u8> make_frame(const net::MacAddress& mac, u64 value);

}  // namespace doppel::fuzz

// A card that keeps what it gets, and frames to give it.
#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "net/network.h"

namespace doppel::net::test {

template <typename Fn>
bool eventually(Fn&& fn) {
  for (int i = 0; i < 3000; i++) {
    if (fn()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

class FakeCard final : public NicClient {
 public:
  explicit FakeCard(std::shared_ptr<NicPort> p) : port(std::move(p)) { port->connect(*this, lock); }
  ~FakeCard() override { port->disconnect(); }
  Took receive(const Packet& p) override {
    if (frames.size() >= room) return Took::Nothing;
    frames.push_back(p.data);
    return Took::Frame;
  }
  void link_changed(bool on) override { up = on; }
  bool send(const std::vector<u8>& frame) {
    const std::lock_guard guard(lock);
    return port->send(frame);
  }
  void allow(size_t n) {
    const std::lock_guard guard(lock);
    room = n;
    port->room_to_receive();
  }
  size_t count() {
    const std::lock_guard guard(lock);
    return frames.size();
  }
  // Waits for a frame for which `wanted` holds.
  template <typename Fn>
  std::vector<u8> wait_for(Fn&& wanted) {
    std::vector<u8> found;
    eventually([&] {
      const std::lock_guard guard(lock);
      for (const auto& f : frames) {
        if (wanted(f)) {
          found = f;
          return true;
        }
      }
      return false;
    });
    return found;
  }
  std::mutex lock;
  std::shared_ptr<NicPort> port;
  std::vector<std::vector<u8>> frames;
  size_t room = 1000;
  bool up = true;
};

// ETHERNET | IPv4 | UDP, checksum of UDP left out.
inline std::vector<u8> udp_frame(const MacAddress& from, const MacAddress& to, u32 source, u32 destination, u16 sport,
                                 u16 dport, std::span<const u8> payload) {
  std::vector<u8> f(14 + 20 + 8);
  const auto be16 = [&](size_t at, size_t v) {
    f[at] = static_cast<u8>(v >> 8);
    f[at + 1] = static_cast<u8>(v);
  };
  std::copy(to.begin(), to.end(), f.begin());
  std::copy(from.begin(), from.end(), f.begin() + 6);
  be16(12, 0x0800);
  f[14] = 0x45;
  be16(16, 28 + payload.size());
  f[22] = 64;
  f[23] = 17;
  be16(26, source >> 16);
  be16(28, source);
  be16(30, destination >> 16);
  be16(32, destination);
  u32 sum = 0;
  for (size_t i = 14; i < 34; i += 2) sum += static_cast<u32>(f[i] << 8 | f[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  be16(24, static_cast<u16>(~sum));
  be16(34, sport);
  be16(36, dport);
  be16(38, 8 + payload.size());
  f.insert(f.end(), payload.begin(), payload.end());
  return f;
}

}  // namespace doppel::net::test

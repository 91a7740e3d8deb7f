// A network card in a rig, and frames for it: a window whose writes make frames arrive and pull the cable.
#pragma once
#include <random>

#include "device/conformance_rigs.h"
#include "hw/net/nic.h"

namespace doppel::hw::test {

class CableWindow final : public MmioHandler {
 public:
  CableWindow(net::NicClient& card, std::shared_ptr<net::NicPort> port) : card_(card), port_(std::move(port)) {}
  u64 read(u64, unsigned) override { return 0; }
  void write(u64 offset, u64 value, unsigned) override {
    if (offset % 16 == 1) card_.link_changed(port_->link());
    if (offset % 16 == 2) card_.room_to_send();
    net::Packet p;
    p.data.resize(14 + (value & 0xfff), static_cast<u8>(value >> 8));
    if (offset & 1) std::fill(p.data.begin(), p.data.begin() + 6, u8{0xff});
    if (offset & 2) std::copy(port_->mac().begin(), port_->mac().end(), p.data.begin());
    p.data[12] = offset & 4 ? 0x08 : 0x81;
    p.data[13] = 0;
    p.data[14 < p.data.size() ? 14 : 0] = 0x45;
    card_.receive(p);
    card_.received();
  }

 private:
  net::NicClient& card_;
  std::shared_ptr<net::NicPort> port_;
};

// The card's ports.
class PortWindow final : public MmioHandler {
 public:
  explicit PortWindow(PortBus& ports) : ports_(ports) {}
  u64 read(u64 offset, unsigned size) override {
    return ports_.read(static_cast<u16>(0xc000 + (offset & 0x3f)), std::min(size, 4u));
  }
  void write(u64 offset, u64 value, unsigned size) override {
    ports_.write(static_cast<u16>(0xc000 + (offset & 0x3f)), static_cast<u32>(value), std::min(size, 4u));
  }

 private:
  PortBus& ports_;
};

template <typename Card>
Card& build_nic(Rig& r) {
  auto port = std::make_shared<net::NicPort>("nic", "nic", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56});
  Card& card = r.make<Card>(NicParams{.port = port, .clock = r.clock, .device_lock = r.lock, .rom = {}});
  r.pci.attach(0x10, card);
  card.reset();
  // BARs 0 and 1 in place, the card may master the bus: the suite's accesses reach its registers.
  const bool ports_first = (r.pci.config_read(0, 0x10, 0x10, 4) & 1) != 0;
  r.pci.config_write(0, 0x10, 0x10, ports_first ? 0xc000 : 0xf0000000, 4);
  r.pci.config_write(0, 0x10, 0x14, ports_first ? 0xf0000000 : 0xc000, 4);
  r.pci.config_write(0, 0x10, 0x04, 7, 2);
  r.windows.push_back(&r.part<CableWindow>(card, port));
  r.windows.push_back(&r.part<PortWindow>(r.ports));
  return card;
}

// A card with its ports at 0xc000, and what it sends.
constexpr u16 kNicPorts = 0xc000;

template <typename Chip>
struct NicCard {
  Rig rig;
  std::shared_ptr<net::NicPort> port =
      std::make_shared<net::NicPort>("nic", "nic", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56});
  Chip* card = nullptr;
  std::vector<std::vector<u8>> sent;
  NicCard() {
    port->add_tap("", [this](std::span<const u8> f, bool out) {
      if (out) sent.emplace_back(f.begin(), f.end());
    });
    card = &rig.make<Chip>(NicParams{.port = port, .clock = rig.clock, .device_lock = rig.lock, .rom = {}});
    rig.pci.attach(0x10, *card);
    rig.pci.config_write(0, 0x10, 0x10, kNicPorts, 4);
    rig.pci.config_write(0, 0x10, 0x04, 7, 2);
  }
  u32 in(u32 r, unsigned size = 1) { return rig.ports.read(static_cast<u16>(kNicPorts + r), size); }
  void out(u32 r, u32 v, unsigned size = 1) { rig.ports.write(static_cast<u16>(kNicPorts + r), v, size); }
  net::NicClient::Took give(const std::vector<u8>& f) {
    const net::NicClient::Took took = card->receive(net::Packet(f));
    card->received();
    return took;
  }
};

inline std::vector<u8> random_frame(std::mt19937& random, bool broadcast) {
  std::vector<u8> f(60 + random() % 1400);
  for (u8& b : f) b = static_cast<u8>(random());
  const u8 mac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
  for (size_t i = 0; i < 6; i++) f[i] = broadcast ? u8{0xff} : mac[i];
  return f;
}

}  // namespace doppel::hw::test

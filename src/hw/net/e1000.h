// 82540EM gigabit Ethernet controller (Intel 317453), PCI 8086:100e: descriptor rings both ways, checksums and TCP
// segmentation by the card, 16 unicast and 4096 hashed multicast filters, VLAN tags, Microwire EEPROM, an M88E1011 PHY.
// BAR0: 128 KiB of registers; BAR1: the same by address and data ports.
//
// Traps: the frame check sequence in received frames is zero. Autonegotiation takes no time. Interrupt delays (RDTR,
// TIDV) count as 0; the throttle (ITR) holds. Nothing that a ring says is believed: heads beyond its end wrap to 0, one
// call moves a bounded number of descriptors.
#pragma once
#include <array>
#include <optional>

#include "hw/net/e1000_defs.h"
#include "hw/net/microwire.h"
#include "hw/net/nic.h"

namespace doppel::hw {

class E1000 final : public PciNic, private MmioHandler {
 public:
  explicit E1000(NicParams p);
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

  Took receive(const net::Packet& packet) override;
  void received() override;
  void room_to_send() override;
  void link_changed(bool up) override;

 private:
  class IoWindow final : public MmioHandler {
   public:
    explicit IoWindow(E1000& card) : card_(card) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {4, 4}; }
    u32 address = 0;

   private:
    E1000& card_;
  };
  struct Context {  // of the last context descriptor
    u32 ip = 0, tu = 0;
    u32 payload = 0;
    u8 command = 0, header = 0;
    u16 mss = 0;
  };

  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  u32& reg(u32 offset) { return regs_[offset / 4]; }
  u32 reg(u32 offset) const { return regs_[offset / 4]; }
  u32 read_register(u32 offset);
  void write_register(u32 offset, u32 value);
  void write_control(u32 value);
  void reset_mac();
  void reset_phy();
  void update_link();
  void write_mdic(u32 value);
  u16 read_phy(unsigned index) const;
  void write_phy(unsigned index, u16 value);
  void write_eecd(u32 value);
  void raise(u32 causes);
  void update_interrupt();
  void count(u32 offset, u64 n);    // saturating
  void count64(u32 offset, u64 n);  // a pair of registers

  // e1000_rx.cpp
  bool accepts(std::span<const u8> frame) const;
  u32 rx_buffer_size() const;
  u32 rx_free() const;
  void store_frame(std::span<const u8> frame, bool checked);
  void count_received(std::span<const u8> frame);

  // e1000_tx.cpp
  void transmit();
  bool transmit_one(u32 head, std::span<u8> descriptor);
  void take_context(std::span<const u8> d);
  void append_data(u64 address, u32 length);
  bool finish_frame(u8 command);
  bool send(net::Packet&& packet);
  void forget_frame();

  std::array<u32, e1000::kRegisterEnd / 4> regs_{};
  std::array<u16, 32> phy_{};
  Microwire eeprom_;
  IoWindow io_{*this};
  Timer throttle_;
  Timer more_;               // goes on sending after a pause
  s64 next_interrupt_ = 0;   // not before this
  u32 received_causes_ = 0;  // of frames of one delivery: raised together, at its end
  bool transmitting_ = false;

  // The frame being put together from descriptors.
  Context context_;
  std::vector<u8> frame_;
  bool frame_started_ = false, frame_tse_ = false, frame_too_long_ = false;
  u8 frame_options_ = 0;
  u16 frame_vlan_ = 0;
  bool frame_legacy_ = false;
  u8 legacy_cso_ = 0, legacy_css_ = 0;
  std::optional<net::Packet> stalled_;  // sent, but the back end had no room
};

}  // namespace doppel::hw

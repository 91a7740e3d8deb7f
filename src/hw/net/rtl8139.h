// RTL8139C fast Ethernet controller (Realtek, "RTL8139C(L) datasheet"), PCI 10ec:8139: four transmit buffers, one
// receive ring in the guest's memory, 93C46 EEPROM, the PHY's registers in the chip's own. BAR0 (ports) and BAR1
// (memory) are the same 256 bytes.
//
// Traps: the receive ring's read pointer lies 16 bytes behind (CAPR). The frame check sequence in the ring is zero.
// Early interrupts and wake-up are not modelled; nor is the C+ mode of the 8139C+, which has another revision.
#pragma once
#include <array>
#include <optional>

#include "hw/net/microwire.h"
#include "hw/net/nic.h"

namespace doppel::hw {

class Rtl8139 final : public PciNic, private MmioHandler {
 public:
  explicit Rtl8139(NicParams p);
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  Took receive(const net::Packet& packet) override;
  void link_changed(bool up) override;

 private:
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset_chip();
  u32 get(unsigned offset, unsigned size) const;
  void put(unsigned offset, unsigned size, u32 value);
  u8 read_byte(unsigned offset) const;
  void write_byte(unsigned offset, u8 value);
  void write_word(unsigned offset, u16 value);
  void write_dword(unsigned offset, u32 value);
  void write_transmit_status(unsigned n, u32 value);
  u32 ring_size() const;
  u32 read_pointer() const;
  bool accepts(std::span<const u8> frame, u16& status) const;
  void to_ring(u32& at, std::span<const u8> data, bool wraps);
  u32 timer_count() const;
  void arm_timer();
  void raise(u16 causes);
  void update_interrupt();

  std::array<u8, 256> regs_{};
  Microwire eeprom_;
  s64 timer_start_ = 0;
  Timer timer_;
};

}  // namespace doppel::hw

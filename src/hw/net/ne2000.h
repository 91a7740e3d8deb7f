// RTL8029AS: an NE2000 on PCI (10ec:8029). A DP8390 (National Semiconductor, "DP8390D/NS32490D NIC Network Interface
// Controller") with 32 KiB of packet memory at 0x4000 and the address PROM at 0, behind 32 I/O ports: registers at 0,
// the data port at 0x10, the reset port at 0x18.
//
// Traps: the remote DMA wraps from the end of the receive ring to its start. Counts in the ring's headers include four
// bytes for the frame check sequence, which is not there.
#pragma once
#include <array>

#include "hw/net/nic.h"

namespace doppel::hw {

class Ne2000 final : public PciNic, private MmioHandler {
 public:
  explicit Ne2000(NicParams p);
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  Took receive(const net::Packet& packet) override;
  void link_changed(bool) override {}  // the chip has no sign for it

 private:
  static constexpr u32 kMemoryStart = 0x4000, kMemoryEnd = 0xc000;
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset_chip();
  u8 read_register(unsigned index) const;
  void write_register(unsigned index, u8 value);
  void write_command(u8 value);
  void send();
  u8 memory(u32 address) const;
  void store(u32 address, u8 value);
  u8 next_byte();
  void advance();
  bool accepts(std::span<const u8> frame) const;
  u32 free_bytes() const;
  void raise(u8 causes);
  void update_interrupt();

  struct Registers {
    u8 command, pstart, pstop, boundary, tpsr, tsr, isr, imr, rsr, rcr, tcr, dcr, current;
    std::array<u8, 6> address;
    std::array<u8, 8> multicast;
    u16 tbcr, rsar, rbcr;
  } r_{};
  std::array<u8, kMemoryEnd - kMemoryStart> memory_{};
};

}  // namespace doppel::hw

// Am79C970A PCnet-PCI II Ethernet controller (AMD, "Am79C970A PCnet-PCI II Single-Chip Full-Duplex Ethernet Controller
// for PCI Local Bus Product"), PCI 1022:2000: two descriptor rings in the guest's memory, control and status registers
// (CSR) and bus configuration registers (BCR) behind an address port. BAR0 (ports) and BAR1 (memory) are the same 32
// bytes, as words or, after a 32-bit write, as dwords. Software styles 0 (16 bits: LANCE), 2 and 3 (32 bits); style 1
// (ILACC) is taken for style 2.
//
// Traps: the chip looks at its rings by itself. Nobody tells it of a free receive buffer, so frames wait outside and a
// timer looks again; it also looks for frames to send, less and less often while there are none. The frame check
// sequence in the ring is zero. A driver that polls may give back the very descriptor that it waits for (U-Boot's does:
// it writes back what it read) just after a frame came into it. Bits 16 to 19 of RMD1, which are reserved, therefore
// differ from one frame to the next, and a descriptor that comes back with the older ones has its frame still: it is
// shown again. Wake-up by Magic Packet and the serial EEPROM are not modelled.
#pragma once
#include <array>

#include "hw/net/nic.h"
#include "hw/net/pcnet_defs.h"

namespace doppel::hw {

class Pcnet final : public PciNic, private MmioHandler {
 public:
  explicit Pcnet(NicParams p);
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;
  Took receive(const net::Packet& packet) override;
  void room_to_send() override;
  void link_changed(bool up) override;

 private:
  // A descriptor of either ring, in one form for all software styles.
  struct Descriptor {
    u64 at = 0;
    u32 address = 0, length = 0;
    u8 flags = 0;
    u32 status = 0;  // TMD2, or RMD2 with the message's length
    u32 match = 0;   // PAM, LAFM, BAM
    u8 mark = 0;     // RMD1's reserved bits, of 32-bit styles
  };
  // A frame that was put where the driver has written before: was it read?
  struct Doubt {
    u64 at;
    u32 status;
    u8 flags, low, before, looks;
  };
  struct Ring {
    u32 base, entries, index;
  };

  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  u32 read_port(unsigned offset, unsigned size);
  void write_port(unsigned offset, u32 value, unsigned size);
  bool dword_io() const { return (bcr_[pcnet::kBsbc] & pcnet::kDwio) != 0; }
  u16 read_csr(unsigned n) const;
  void write_csr(unsigned n, u16 value);
  void write_csr0(u16 value);
  u16 read_bcr(unsigned n) const;
  void write_bcr(unsigned n, u16 value);
  void set_style(u16 value);
  void soft_reset();
  void stop();
  u32 pair(unsigned csr) const { return u32{csr_[csr + 1]} << 16 | csr_[csr]; }
  void set_pair(unsigned csr, u32 value);
  bool wide() const { return (bcr_[pcnet::kBcrSws] & pcnet::kSsize32) != 0; }
  unsigned style() const { return bcr_[pcnet::kBcrSws] & pcnet::kSwstyle; }
  bool may_run(u16 on) const;
  void raise(u16 causes);
  void update_interrupt();

  // pcnet_rings.cpp
  bool initialize();
  Ring ring(unsigned base_csr, unsigned length_csr, unsigned counter_csr) const;
  void advance(unsigned length_csr, unsigned counter_csr, u32 by);
  bool load(u64 at, Descriptor& d);
  bool store(const Descriptor& d);
  void transmit();
  enum class Sent { Frame, Nothing, Stalled };
  Sent transmit_frame();
  bool send(std::vector<u8>&& frame, bool fcs_is_there);
  void give_back(std::span<Descriptor> frame, u32 errors);
  u32 match(std::span<const u8> frame) const;
  bool take_buffers(size_t needed);
  void fill(std::span<Descriptor> taken, std::span<const u8> frame, u32 matched);
  void note_doubt(const Descriptor& d, u8 before);
  void look_again(bool by_timer);
  void archive_doubts(StateArchive& ar);
  void memory_error();
  void arm_poll();

  std::array<u16, pcnet::kCsrCount> csr_{};
  std::array<u16, pcnet::kBcrCount> bcr_{};
  std::array<u8, pcnet::kPromSize> prom_{};
  u16 rap_ = 0;
  Timer poll_;
  s64 poll_pause_ = 0;   // until the next look
  s64 doubt_pause_ = 0;  // the same while there are doubts
  std::vector<Doubt> doubts_;
  bool waiting_ = false;  // a frame is outside, and no descriptor for it
  bool busy_ = false;
  std::vector<Descriptor> frame_;  // descriptors of the frame at hand; empty between calls
};

}  // namespace doppel::hw

// The USB 1.1 host controller of the PIIX3 (Intel 290550, "82371SB", function 2; "Universal Host Controller Interface
// Design Guide" 1.1): its registers, the frame counter and two root ports, into which nothing is plugged.
//
// Traps: as no device can answer, no transfer descriptor is ever looked at: the frame list is not walked, and an idle
// guest costs nothing. The counter is a function of the clock.
#pragma once
#include "hw/bus/pci/pci_device.h"
#include "hw/core/clock.h"

namespace doppel::hw {

class Piix3Uhci final : public PciDevice, private MmioHandler {
 public:
  static constexpr unsigned kPortCount = 2;
  static constexpr u16 kPiix3 = 0x7020, kPiix4 = 0x7112;
  explicit Piix3Uhci(Clock& clock, u16 device_id = kPiix3);
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  u8 read_byte(unsigned offset) const;
  void write_command(u16 value);
  void reset_controller();
  bool running() const { return (command_ & 1) != 0; }
  u16 frame() const;

  Clock& clock_;
  u16 command_ = 0, status_ = 0, interrupts_ = 0, frame_ = 0;
  s64 frame_as_of_ = 0;  // when the counter had the value `frame_`
  u32 frame_list_ = 0;
  u8 start_of_frame_ = 0;
  u16 ports_[kPortCount] = {};
};

}  // namespace doppel::hw

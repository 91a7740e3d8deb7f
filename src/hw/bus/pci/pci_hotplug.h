// PciHotplug: the ports through which a PC's ACPI methods learn that PCI cards come and go, and through which the guest
// lets go of one. The registers are those of QEMU's boards (docs/specs/acpi_pci_hotplug), so that what is written for
// them fits; the DSDT that uses them is ours (firmware/acpi_dsdt.cpp). A bit is a slot.
//
//   +0x00 came      cards plugged in since the last look; reading forgets them
//   +0x04 go        cards that shall go; reading forgets them too: told twice, a guest would take out the card that has
//                   come into the slot meanwhile
//   +0x08 eject     write: the guest has let go of these
//   +0x0c removable slots whose card may go
//   +0x10 bus       0; the registers above read as 0 for any other
//   +0x18 slot, +0x1c event, +0x20 status: what _OST says of a slot; writing the status reports it
//
// GPE 1 is raised when `came` or `go` change. Device lock held throughout.
#pragma once
#include <functional>

#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class PciHotplug final : public Device, public MmioHandler {
 public:
  static constexpr u16 kFirstPort = 0xae00, kPorts = 0x24;
  struct Params {
    std::function<void()> notify;                                           // raises the event
    std::function<void(unsigned slot)> eject;                               // the card goes now
    std::function<void(unsigned slot, u32 event, u32 status)> report = {};  // _OST
  };
  explicit PciHotplug(Params p) : p_(std::move(p)) {}
  void set_removable(unsigned slot, bool on);
  void came(unsigned slot);  // and may go again
  void ask(unsigned slot);   // the guest is asked to let go
  void keep(unsigned slot);  // the guest refused: it is asked no longer
  void gone(unsigned slot);  // the slot is empty
  bool asked(unsigned slot) const { return (asked_ >> slot & 1) != 0; }

  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;  // what was asked stays asked: the board decides
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  Params p_;
  u32 came_ = 0, go_ = 0, asked_ = 0, removable_ = 0, bus_ = 0, slot_ = 0, event_ = 0;
};

}  // namespace doppel::hw

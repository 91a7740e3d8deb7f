// Intel 82441FX (440FX PMC) host bridge, PCI function 00:00.0, 8086:1237. Document 290549.
// Models PAM0-PAM6 (who answers 0xc0000-0xfffff: RAM or PCI) and SMRAM control; the board remaps memory in the
// callbacks. DRAM timing and error registers are storage.
#pragma once
#include <array>
#include <functional>

#include "hw/bus/pci/pci_device.h"

namespace doppel::hw {

struct PamRegion {
  u32 start = 0, size = 0;
  bool read_ram = false;   // reads go to DRAM (else to PCI: the BIOS ROM, option ROMs)
  bool write_ram = false;  // writes go to DRAM (else to PCI)
  bool operator==(const PamRegion&) const = default;
};
using PamMap = std::array<PamRegion, 13>;  // 0xf0000 (64 KiB) first, then 16 KiB pieces 0xc0000..0xec000

struct SmramState {      // DRAM at 0xa0000-0xbffff in place of the frame buffer
  bool enabled = false;  // G_SMRAME: visible to CPUs in SMM
  bool open = false;     // D_OPEN: visible to all
  bool closed = false;   // D_CLS: in SMM only instruction fetches see it
  bool locked = false;   // D_LCK
  bool operator==(const SmramState&) const = default;
};

class I440Fx final : public PciDevice {
 public:
  struct Params {
    std::function<void(const PamMap&)> on_pam;  // called on reset too
    std::function<void(const SmramState&)> on_smram;
    u64 ram_bytes = 0;  // for the DRAM row boundary registers
  };
  explicit I440Fx(Params p);
  void config_write(u8 offset, u32 value, unsigned size) override;
  void reset() override;
  void archive(StateArchive& ar) override;
  PamMap pam() const;
  SmramState smram() const;

 protected:
  void config_written(u8 offset, unsigned size) override;

 private:
  void tell(bool always);
  Params p_;
  PamMap told_pam_{};
  SmramState told_smram_{};
};

}  // namespace doppel::hw

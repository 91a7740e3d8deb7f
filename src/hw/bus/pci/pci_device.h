// PciDevice: one PCI function. Configuration space is bytes with a write mask and a write-1-to-clear mask; base address
// registers are PciBar objects that own a window on the memory or port bus. A derived device adds its BARs and
// capabilities in its constructor, and may look at configuration writes in config_written().
//
//   class Widget final : public PciDevice, private MmioHandler {
//     explicit Widget(Params p) : PciDevice("widget", {.vendor = 0x1234, .device = 0x11e8, .class_code = 0x00ff00, .pin
//     = 1}) {
//       add_mmio_bar(0, 0x1000, *this);
//     }
//   };
//   PciBus bus({...});  bus.attach(pci::devfn(3, 0), widget);     // windows appear when the guest enables them
//
// Device lock held throughout. reset() of a derived class calls PciDevice::reset(); archive() likewise, after its own
// fields that config_written() needs.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "hw/bus/pci/pci_regs.h"
#include "hw/core/bus.h"
#include "hw/core/device.h"
#include "hw/core/dma.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class PciBus;
class PciDevice;
class PciMsix;

struct PciIds {
  u16 vendor = 0, device = 0;
  u8 revision = 0;
  u32 class_code = 0;  // base class << 16 | subclass << 8 | programming interface
  u16 subsystem_vendor = 0x1af4, subsystem = 0x1100;
  u8 pin = 0;                   // 0: no interrupt; 1..4: INTA#..INTD#
  bool multi_function = false;  // function 0 of a device with more functions
};

// A base address register (or the expansion ROM's). Size is a power of two.
class PciBar {
 public:
  enum class Kind : u8 { Mmio, Ram, Io, Rom };
  Kind kind = Kind::Mmio;
  u64 size = 0;
  u8 offset = 0;  // of the register in configuration space
  bool is_64bit = false;
  bool prefetchable = false;
  MmioHandler* handler = nullptr;  // Mmio, Io
  u8* data = nullptr;              // Ram, Rom
  bool mapped = false;             // as the guest's registers say now
  u64 address = 0;
  std::unique_ptr<MappedWindow> window;  // made when first enabled
};

class PciDevice : public Device {
 public:
  PciDevice(std::string name, const PciIds& ids);
  ~PciDevice() override;
  PciDevice(const PciDevice&) = delete;
  PciDevice& operator=(const PciDevice&) = delete;

  // What the host bridge calls: size 1, 2 or 4, inside one aligned dword. Overridable for registers with side effects
  // on read.
  virtual u32 config_read(u8 offset, unsigned size);
  virtual void config_write(u8 offset, u32 value, unsigned size);

  void reset() override;  // configuration registers to their reset values, BARs unmapped, INTx low
  void archive(StateArchive& ar) override;
  std::string info() const override;

  const std::string& name() const { return name_; }
  u8 devfn() const { return devfn_; }
  u8 pin() const { return config_[pci::kInterruptPin]; }
  const std::array<std::unique_ptr<PciBar>, 7>& bars() const { return bars_; }  // [6]: expansion ROM
  bool intx() const { return intx_; }
  u16 command() const { return config16(pci::kCommand); }
  u8 config8(u8 offset) const { return config_[offset]; }
  u16 config16(u8 offset) const { return load_le<u16>(&config_[offset]); }
  u32 config32(u8 offset) const { return load_le<u32>(&config_[offset]); }

 protected:
  // Called after the guest changed any byte of [offset, offset + size); BARs are already remapped.
  virtual void config_written(u8 offset, unsigned size) { (void)offset, (void)size; }

  // For constructors. `value` is also the reset value; `writable` are the bits the guest can change, `clear`
  // write-1-to-clear.
  void define8(u8 offset, u8 value, u8 writable = 0, u8 clear = 0);
  void define16(u8 offset, u16 value, u16 writable = 0, u16 clear = 0);
  void define32(u8 offset, u32 value, u32 writable = 0, u32 clear = 0);
  // Sets bits now, without changing the reset value.
  void poke8(u8 offset, u8 value) { config_[offset] = value; }
  void poke16(u8 offset, u16 value) { store_le<u16>(&config_[offset], value); }
  void poke32(u8 offset, u32 value) { store_le<u32>(&config_[offset], value); }

  PciBar& add_mmio_bar(int index, u64 size, MmioHandler& handler, bool prefetchable = false, bool is_64bit = false);
  // `data` holds `size` bytes and outlives the device.
  PciBar& add_ram_bar(int index, u64 size, u8* data, bool prefetchable = true, bool is_64bit = false);
  PciBar& add_io_bar(int index, u32 size, MmioHandler& handler);
  // An option ROM; the copy is padded to a power of two of at least 4 KiB, and names this function's IDs.
  PciBar& add_rom(std::vector<u8> image);
  // A capability of `size` bytes (header included) at a free place from 0x40 up; returns its offset. First added is
  // last in the list.
  u8 add_capability(u8 id, u8 size, u8 at = 0);

  // INTx: level driven on this function's pin. Honours the command register's interrupt disable.
  void set_intx(bool level);
  // Bus master access, refused (all ones, writes dropped) while the guest has bus mastering off.
  DmaPort& dma();
  PciBus* bus() const { return bus_; }

 private:
  friend class PciBus;
  friend class PciMsix;
  class GatedDma;
  PciBar& add_bar(int index, std::unique_ptr<PciBar> bar);
  void update_bars();
  void update_bar(PciBar& bar);
  void drive_intx();

  std::string name_;
  PciBus* bus_ = nullptr;
  u8 devfn_ = 0;
  bool intx_ = false, driven_ = false;
  u8 next_capability_ = 0x40;
  std::array<u8, 256> config_{}, reset_value_{}, writable_{}, clear_{};
  std::array<std::unique_ptr<PciBar>, 7> bars_;
  std::vector<u8> rom_;
  std::unique_ptr<GatedDma> gated_dma_;
};

}  // namespace doppel::hw

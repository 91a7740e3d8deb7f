// The board `malta`: MIPS Malta (MD00048) with a GT-64120 core card: PIIX4 with IDE, two 16550s, keyboard and mouse,
// RTC and timer; the FPGA with its UART, display and reset; PCI slots for the network card, the display and virtio.
#pragma once
#include <array>

#include "guest/mips/cpu_models.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/piix_ide.h"
#include "hw/bus/pci/gt64120.h"
#include "hw/bus/pci/piix3_isa.h"
#include "hw/bus/pci/piix4_pm.h"
#include "hw/core/irq_router.h"
#include "hw/display/vga_core.h"
#include "hw/input/ps2.h"
#include "hw/intc/i8259.h"
#include "hw/misc/smbus_eeprom.h"
#include "machine/board_machine.h"
#include "machine/malta_boot.h"
#include "machine/malta_flash.h"
#include "machine/malta_platform.h"
#include "machine/pc_drives.h"

namespace doppel::machine {

class MaltaMachine final : public BoardMachine {
 public:
  MaltaMachine(MachineConfig config, mips::CpuModel model);
  ~MaltaMachine() override;
  // Builds the board, step by step. Errors: all of the user's.
  Status build();

  display::Console* console() override { return vga_; }
  mem::RamBlock* ram() override { return ram_; }
  std::string pic_info() override;
  void inject_nmi() override;
  void key(u32 qemu_qcode, bool down) override;
  void pointer_relative(int dx, int dy, int wheel, u32 buttons) override;
  void pointer_absolute(int, int, int, u32) override {}
  bool pointer_is_absolute() const override { return false; }
  Status change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) override;
  Status eject(const std::string& id, bool force) override;
  std::vector<DriveInfo> drives() override;

 protected:
  void press_power_button() override { pm_->press_power_button(); }
  void after_reset() override;
  void fill_ram() override;
  std::vector<std::string> collectors() const override { return {"pic"}; }

 private:
  class VgaBus;   // the display's legacy windows as PCI sees them
  class IoSpace;  // I/O ports in the CPU's memory
  Status check() const;
  Status build_memory();
  Status build_cpu();
  Status build_flash();
  void build_chipset();
  void build_memory_modules();
  void build_isa();
  void build_drives();
  void build_fpga();
  Status build_cards();
  Status plug(const std::string& name, std::unique_ptr<hw::PciDevice> device, const std::string& address, bool nic);
  void decode(const hw::Gt64120::Decoding& decoding);
  hw::IrqLine isa_irq(unsigned n) { return isa_irq_[n]->input(); }
  DrivePlace* find_drive(const std::string& id, hw::AtapiCd*& cd);

  const mips::CpuModel model_;
  MaltaBoot boot_;
  MaltaPlatform platform_{clock_};
  PcDrives drives_;
  mips::MipsCpu* cpu_ = nullptr;
  mem::RamBlock* ram_ = nullptr;
  MaltaFlash flash_;
  u64 low_ram_ = 0;
  std::unique_ptr<hw::PciBus> pci_;
  std::unique_ptr<VgaBus> vga_bus_;
  std::unique_ptr<IoSpace> io_space_;
  std::unique_ptr<hw::MappedWindow> registers_window_, io_window_;
  std::array<std::unique_ptr<hw::IrqOr>, 16> isa_irq_;
  hw::I8259Pair* pic_ = nullptr;
  hw::Gt64120* gt_ = nullptr;
  hw::Piix3Isa* isa_ = nullptr;
  hw::PiixIde* ide_ = nullptr;
  hw::Piix4Pm* pm_ = nullptr;
  hw::VgaCore* vga_ = nullptr;
  hw::Ps2Keyboard* keyboard_ = nullptr;
  hw::Ps2Mouse* mouse_ = nullptr;
};

}  // namespace doppel::machine

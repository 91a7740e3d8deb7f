// The `pc` board: Intel 440FX host bridge, PIIX3 south bridge with PIIX4 power management, and the devices of a PC/AT.
#pragma once
#include <array>

#include "guest/x86/cpu.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/fdc.h"
#include "hw/block/piix_ide.h"
#include "hw/bus/pci/i440fx.h"
#include "hw/bus/pci/pci_bus.h"
#include "hw/bus/pci/pci_hotplug.h"
#include "hw/bus/pci/piix3_isa.h"
#include "hw/bus/pci/piix4_pm.h"
#include "hw/core/irq_router.h"
#include "hw/display/vga_core.h"
#include "hw/input/ps2.h"
#include "hw/input/virtio_input.h"
#include "hw/intc/apic_bus.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic_82093aa.h"
#include "hw/intc/local_apic.h"
#include "hw/misc/i8237.h"
#include "hw/misc/vmport.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/i8254.h"
#include "machine/board_machine.h"
#include "machine/pc_drives.h"
#include "machine/pc_memory.h"
#include "machine/pc_platform.h"

namespace doppel::hw {
class VirtioBalloon;
class VirtioSerial;
}  // namespace doppel::hw
namespace doppel::machine {

class PcMachine final : public BoardMachine {
 public:
  PcMachine(MachineConfig config, x86::CpuModel model);
  ~PcMachine() override;
  // Builds the board, step by step. Errors: all of the user's.
  Status build();

  display::Console* console() override { return vga_; }
  std::string pic_info() override;
  void inject_nmi() override;
  void key(u32 qemu_qcode, bool down) override;
  void pointer_relative(int dx, int dy, int wheel, u32 buttons) override;
  void pointer_absolute(int x, int y, int wheel, u32 buttons) override;
  bool pointer_is_absolute() const override;
  Status change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) override;
  Status eject(const std::string& id, bool force) override;
  Status move_tray(const std::string& id, bool open, bool force) override;
  Status remove_medium(const std::string& id) override;
  Status insert_medium(const std::string& id, const std::string& node_name) override;
  std::string block_info() override;
  std::vector<DriveInfo> drives() override;
  Status set_drive_limits(const std::string& id, const block::Limits& limits) override;
  std::vector<PciFunctionInfo> pci_functions() override;
  mem::RamBlock* ram() override { return pc_memory_.ram(); }
  Status set_balloon(u64 bytes) override;
  Result<u64> balloon_bytes() override;
  Result<std::vector<u64>> balloon_stats() override;
  Status plug(const DeviceConfig& device) override;
  Status unplug(const std::string& id) override;

 protected:
  void press_power_button() override;
  void after_reset() override;
  void archive_board(StateArchive& ar) override;
  void loaded() override;
  std::vector<std::string> collectors() const override;

 private:
  struct Slot {
    DrivePlace* place = nullptr;
    hw::AtapiCd* cd = nullptr;
    int floppy = -1;
    std::string path = {};           // among the objects
    hw::VirtioScsi* scsi = nullptr;  // of a drive on its bus
    unsigned unit = 0, lun = 0;
    void medium_changed() const;  // told to the guest, where its bus has a way
  };
  Status check_devices() const;
  Status build_memory();
  Status build_cpus();
  void build_interrupts();
  void build_chipset();
  void build_timers();
  void build_input();
  void build_vmport();
  void build_serial();
  void build_drives();
  Status build_display();
  Status build_extras();
  Status build_network();
  void watch_drives();
  Status build_storage();
  Status build_virtio();
  Status check_ports() const;
  hw::VirtioBalloon* balloon() const;  // null: none
  Status attach(const std::string& name, std::unique_ptr<hw::PciDevice> device, const std::string& address, u8& place);
  // pc_hotplug.cpp
  struct NewCard {
    std::string name;
    std::unique_ptr<hw::PciDevice> device;
    std::string address;
    std::optional<VirtioDisk> disk;
    std::optional<DiskController> controller;
  };
  void build_hotplug();
  u32 hotplug_slots() const;
  Status check_new(const DeviceConfig& device);
  Status check_card(const DeviceConfig& device);
  Status plug_card(const DeviceConfig& device);
  Status unplug_card(const std::string& id);
  Result<NewCard> make_card(const DeviceConfig& device);
  Result<DriveConfig> drive_of(const DeviceConfig& device);
  std::string free_name(const std::string& driver) const;
  void keep_config(const DeviceConfig& device, const std::string& name);
  void eject(unsigned slot);
  std::shared_ptr<block::Node> release(const DrivePlace& place);
  // pc_hotplug_bus.cpp
  Status plug_drive(const DeviceConfig& device);
  Status unplug_drive(const DeviceConfig& device);
  Status plug_port(const DeviceConfig& device);
  Status unplug_port(const std::string& id);
  static hw::VirtioSerial* serial_of(hw::Device* card);  // null: it is none
  hw::VirtioSerial* serial_of_bus(const std::string& bus) const;
  Status check_chardev(const DeviceConfig& device) const;
  void pin(DiskController& controller);
  void pin(const hw::VirtioSerial& serial);
  void forget(const std::string& name, const std::vector<std::string>& ports);
  void refused(unsigned slot, u32 event, u32 status);
  std::string name_of(const hw::Device* device) const;
  hw::VirtioInput* active_input(hw::VirtioInput::Kind kind) const;
  Status build_firmware();
  hw::IrqLine isa_irq(unsigned n) { return gsi_[n == 0 ? 2 : n]->input(); }
  void set_a20(bool on);
  void on_cpu(u32 index, void (x86::X86Cpu::*pin)());
  Slot find_slot(const std::string& id);
  hw::AtapiCd* cd_at(size_t channel, size_t unit) const;

  x86::CpuModel model_;
  PcDrives drives_;
  PcMemory pc_memory_{memory_};
  PcPlatform platform_;
  std::vector<x86::X86Cpu*> cpus_;
  std::unique_ptr<hw::ApicBus> apics_;  // null: CPUs without local APIC
  std::vector<hw::LocalApic*> local_apics_;
  std::unique_ptr<hw::PciBus> pci_;
  std::array<std::unique_ptr<hw::IrqOr>, 24> gsi_;  // interrupt n of the I/O APIC; 0 is the 8254's, at pin 2
  hw::I8259Pair* pic_ = nullptr;
  hw::IoApic82093* io_apic_ = nullptr;
  hw::Piix4Pm* pm_ = nullptr;
  hw::I8254* pit_ = nullptr;
  hw::Mc146818* rtc_ = nullptr;
  hw::I8237* dma8237_ = nullptr;
  hw::Ps2Keyboard* keyboard_ = nullptr;
  hw::Ps2Mouse* mouse_ = nullptr;
  hw::Vmport* vmport_ = nullptr;  // null: vmport=off
  hw::Fdc* fdc_ = nullptr;
  hw::PiixIde* ide_ = nullptr;
  hw::VgaCore* vga_ = nullptr;
  hw::Piix3Isa* isa_ = nullptr;
  hw::PciHotplug* hotplug_ = nullptr;  // null: no ACPI
  std::map<std::string, s64> asked_;   // cards that shall go: when the guest was asked, in ns of the host
  u32 serial_ports_ = 0;
  std::vector<std::pair<int, std::string>> pci_boot_;  // boot index, path for the firmware
  std::atomic<bool> a20_{true};
  u32 buttons_ = 0;
  int pointer_x_ = -1, pointer_y_ = -1;  // the last absolute position, 0..32767; negative: none yet
};

}  // namespace doppel::machine

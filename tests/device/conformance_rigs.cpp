#include "device/conformance_rigs.h"

#include "block/memory_node.h"
#include "chardev/devices.h"
#include "device/disk_rig.h"
#include "device/nic_rig.h"
#include "device/virtio_rig.h"
#include "firmware/fw_cfg.h"
#include "hw/block/ata_disk.h"
#include "hw/block/atapi_cd.h"
#include "hw/block/cfi_flash.h"
#include "hw/block/fdc.h"
#include "hw/block/piix_ide.h"
#include "hw/block/scsi_cd.h"
#include "hw/block/scsi_disk.h"
#include "hw/block/virtio_blk.h"
#include "hw/block/virtio_scsi.h"
#include "hw/bus/pci/gt64120.h"
#include "hw/bus/pci/i440fx.h"
#include "hw/bus/pci/pci_config_ports.h"
#include "hw/bus/pci/pci_hotplug.h"
#include "hw/bus/pci/piix3_isa.h"
#include "hw/bus/pci/piix4_pm.h"
#include "hw/bus/usb/piix3_uhci.h"
#include "hw/char/uart_16550a.h"
#include "hw/char/virtio_serial.h"
#include "hw/display/cirrus_vga.h"
#include "hw/display/std_vga.h"
#include "hw/input/i8042.h"
#include "hw/input/virtio_input.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic_82093aa.h"
#include "hw/intc/local_apic.h"
#include "hw/misc/debug_console.h"
#include "hw/misc/debug_exit.h"
#include "hw/misc/i8237.h"
#include "hw/misc/malta_fpga.h"
#include "hw/misc/pc_testdev.h"
#include "hw/misc/port92.h"
#include "hw/misc/smbus_eeprom.h"
#include "hw/misc/virtio_9p.h"
#include "hw/misc/virtio_balloon.h"
#include "hw/misc/virtio_rng.h"
#include "hw/misc/vmport.h"
#include "hw/net/e1000.h"
#include "hw/net/ne2000.h"
#include "hw/net/pcnet.h"
#include "hw/net/rtl8139.h"
#include "hw/net/virtio_net.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/port61.h"

namespace doppel::hw::test {
namespace {

// Configuration space of one function as a window.
class ConfigWindow final : public MmioHandler {
 public:
  ConfigWindow(PciBus& bus, u8 devfn) : bus_(bus), devfn_(devfn) {}
  u64 read(u64 offset, unsigned size) override {
    size = std::min(size, 4u);
    return bus_.config_read(0, devfn_, static_cast<u8>(offset & ~u64{size - 1}), size);
  }
  void write(u64 offset, u64 value, unsigned size) override {
    size = std::min(size, 4u);
    bus_.config_write(0, devfn_, static_cast<u8>(offset & ~u64{size - 1}), static_cast<u32>(value), size);
  }

 private:
  PciBus& bus_;
  u8 devfn_;
};

void attach_pci(Rig& r, PciDevice& d) {
  r.pci.attach(0x10, d);
  d.reset();
  r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
}

void attach_nic(Rig& r, PciNic&) { r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10)); }

struct ApicWorld {
  explicit ApicWorld(Rig& r)
      : bus({.device_lock = r.lock, .current_cpu = [] { return 0; }, .pic_acknowledge = [] { return u8{0x20}; }}) {}
  ApicBus bus;
};

LocalApic::Params apic_params(Rig& r, ApicBus& bus) {
  return {.bus = bus, .clock = r.clock, .bsp = true, .tsc_to_ns = [](u64 tsc) { return static_cast<s64>(tsc >> 2); }};
}

// MSRs as a window: offset is the MSR number. They are used without the device lock, the register window with it.
class MsrWindow final : public MmioHandler {
 public:
  explicit MsrWindow(LocalApic& a) : a_(a) {}
  u64 read(u64 offset, unsigned) override {
    u64 v = 0;
    a_.read_msr(number(offset), v);
    a_.acknowledge();
    return v;
  }
  void write(u64 offset, u64 value, unsigned size) override {
    // A base register that stays off would end the test early.
    a_.write_msr(number(offset), size == 1 && (value & 3) == 0 ? 0xfee00900 | (value & 4) << 8 : value);
  }

 private:
  static u32 number(u64 offset) { return offset % 5 == 0 ? 0x1b : offset % 5 == 1 ? 0x6e0 : 0x800 + offset % 0x41; }
  LocalApic& a_;
};

class ApicWindow final : public MmioHandler {
 public:
  ApicWindow(ApicBus& bus, std::mutex& lock) : bus_(bus), lock_(lock) {}
  u64 read(u64 offset, unsigned size) override {
    std::lock_guard guard(lock_);
    return bus_.read(offset & 0xfff, size);
  }
  void write(u64 offset, u64 value, unsigned size) override {
    std::lock_guard guard(lock_);
    bus_.write(offset & 0xff0, value, size);
  }

 private:
  ApicBus& bus_;
  std::mutex& lock_;
};

void build_local_apic(Rig& r) {
  ApicBus& bus = r.part<ApicWorld>(r).bus;
  LocalApic& a = r.make<LocalApic>(apic_params(r, bus));
  bus.attach(a);
  r.windows = {&r.part<ApicWindow>(bus, r.lock), &r.part<MsrWindow>(a)};
}

void build_io_apic(Rig& r) {
  ApicBus& bus = r.part<ApicWorld>(r).bus;
  LocalApic& cpu = r.part<LocalApic>(apic_params(r, bus));
  bus.attach(cpu);
  IoApic82093& io = r.make<IoApic82093>(IoApic82093::Params{.bus = bus});
  bus.attach(io);
  r.windows = {&io};
}

void build_hpet(Rig& r) {
  Hpet::Params p{.clock = r.clock};
  p.irq.resize(24);
  p.msi = [](u64, u32) {};
  r.windows = {&r.make<Hpet>(std::move(p))};
}

void build_i8042(Rig& r) {
  auto& k = r.part<Ps2Keyboard>(Ps2Keyboard::Params{});
  auto& m = r.part<Ps2Mouse>();
  I8042& c = r.make<I8042>(I8042::Params{.keyboard = &k, .mouse = &m, .clock = &r.clock});
  r.windows = {&c.data(), &c.command()};
}

// The PS/2 devices end at the controller's port: bytes to the device are writes of this window.
class Ps2Window final : public MmioHandler {
 public:
  explicit Ps2Window(Ps2Device& d) : d_(d) {}
  u64 read(u64, unsigned) override { return d_.next(); }
  void write(u64 offset, u64 value, unsigned) override {
    if (auto* k = dynamic_cast<Ps2Keyboard*>(&d_); k != nullptr && offset % 3 == 0)
      k->key(static_cast<u32>(value & 0x1ff), (value & 0x200) != 0);
    if (auto* m = dynamic_cast<Ps2Mouse*>(&d_); m != nullptr && offset % 3 == 0)
      m->move(static_cast<int>(value), static_cast<int>(value >> 32), static_cast<s8>(value >> 16),
              static_cast<u32>(value >> 8));
    d_.send(static_cast<u8>(value));
  }

 private:
  Ps2Device& d_;
};

void build_uart(Rig& r) {
  auto ring = std::make_shared<chardev::RingBuffer>(4096);
  r.windows = {&r.make<Uart16550>(Uart16550::Params{.clock = r.clock, .device_lock = r.lock, .chardev = ring})};
}

void build_ide(Rig& r) {
  PiixIde::Params p{.clock = r.clock};
  p.drives[0][0] =
      std::make_unique<AtaDisk>(AtaDisk::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20)});
  p.drives[1][0] =
      std::make_unique<AtapiCd>(AtapiCd::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20, true)});
  PiixIde& ide = r.make<PiixIde>(std::move(p));
  attach_pci(r, ide);
  for (unsigned n = 0; n < 2; n++) {
    r.windows.push_back(&ide.channel(n).command_block());
    r.windows.push_back(&ide.channel(n).control_block());
  }
}

void build_fdc(Rig& r) {
  auto& dma = r.part<I8237>(I8237::Params{.memory = r.memory});
  Fdc::Params p{.clock = r.clock, .dma = &dma.channel(2)};
  p.media[0] = std::make_shared<block::MemoryNode>(u64{1474560});
  Fdc& fdc = r.make<Fdc>(std::move(p));
  r.windows = {&fdc.registers(), &fdc.dir_ccr(), &dma.bytes()};
}

void build_vga(Rig& r) {
  StdVga& vga = r.make<StdVga>(
      StdVga::Params{.core = {.memory = r.address_bus, .clock = r.clock, .lock = r.lock, .vram_bytes = 1 << 20}});
  attach_pci(r, vga);
  r.windows.push_back(&vga.core().ports());
  r.windows.push_back(&vga.core().vbe_ports());
}

void build_cirrus(Rig& r) {
  CirrusVga& vga =
      r.make<CirrusVga>(CirrusVga::Params{.core = {.memory = r.address_bus, .clock = r.clock, .lock = r.lock}});
  attach_pci(r, vga);
  r.pci.config_write(0, 0x10, 0x10, 0xe0000000, 4);
  r.pci.config_write(0, 0x10, 0x14, 0xe4000000, 4);
  r.pci.config_write(0, 0x10, 0x04, 3, 2);
  r.windows.push_back(&vga.core().ports());
}

void build_testdev(Rig& r) {
  PcTestdev& d = r.make<PcTestdev>(PcTestdev::Params{.irq = {IrqLine{}, IrqLine{}}});
  r.windows = {&d.latch(), &d.lines(), &d.memory()};
}

void build_vmport(Rig& r) {
  Vmport::Params p;
  p.load_registers = [n = u32{0}](VmportRegisters& regs) mutable {
    regs = {0x564d5868, n, 39 + n % 3, 0, 0, 0};
    return ++n != 0;
  };
  r.windows = {&r.make<Vmport>(std::move(p))};
}

void build_fw_cfg(Rig& r) {
  auto& d = r.make<firmware::FwCfg>(firmware::FwCfg::Params{.dma = r.memory});
  d.add_file("opt/test", "some text");
  r.windows = {&d};
}

std::unique_ptr<VirtioBlk> virtio_blk(Rig& r) {
  return std::make_unique<VirtioBlk>(VirtioBlk::Params{.node = std::make_shared<block::MemoryNode>(u64{1} << 20),
                                                       .clock = r.clock,
                                                       .device_lock = r.lock,
                                                       .queues = 2,
                                                       .synchronous = true});
}

void build_virtio_scsi(Rig& r) {
  VirtioScsi::Params p{.clock = r.clock, .queues = 2};
  const auto disk = std::make_shared<block::MemoryNode>(u64{1} << 20);
  const auto disc = std::make_shared<block::MemoryNode>(u64{1} << 20, true);
  p.units.push_back({0, 0, std::make_unique<ScsiDisk>(ScsiDisk::Params{.node = disk, .serial = "s1"})});
  p.units.push_back({1, 2, std::make_unique<ScsiCd>(AtapiCd::Params{.node = disc})});
  build_virtio(r, std::make_unique<VirtioScsi>(std::move(p)));
  r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
}

void build_virtio_net(Rig& r) {
  auto port = std::make_shared<net::NicPort>("nic", "nic", net::MacAddress{0x52, 0x54, 0, 0x12, 0x34, 0x56});
  auto card = std::make_unique<VirtioNet>(VirtioNet::Params{.port = port, .clock = r.clock, .device_lock = r.lock});
  VirtioNet& net = *card;
  build_virtio(r, std::move(card));
  r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
  r.windows.push_back(&r.part<CableWindow>(net.client(), port));
}

void build_virtio_serial(Rig& r) {
  VirtioSerial::Params p{.clock = r.clock, .device_lock = r.lock, .max_ports = 3};
  p.ports.push_back({.number = 0, .console = true, .chardev = std::make_shared<chardev::RingBuffer>(4096)});
  p.ports.push_back({.number = 1, .name = "org.test", .chardev = std::make_shared<chardev::RingBuffer>(4096)});
  build_virtio(r, std::make_unique<VirtioSerial>(std::move(p)));
  r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
}

}  // namespace

const std::vector<RigEntry>& rigs() {
  static const std::vector<RigEntry> list = {
      {"i8259",
       [](Rig& r) {
         auto& d = r.make<I8259Pair>(I8259Pair::Params{});
         r.windows = {&d.master(), &d.slave(), &d.elcr()};
       }},
      {"local_apic", build_local_apic},
      {"ioapic", build_io_apic},
      {"i8254", [](Rig& r) { r.windows = {&r.make<I8254>(I8254::Params{.clock = r.clock})}; }},
      {"port61",
       [](Rig& r) {
         auto& pit = r.part<I8254>(I8254::Params{.clock = r.clock});
         r.windows = {&r.make<Port61>(Port61::Params{.clock = r.clock, .pit = pit})};
       }},
      {"hpet", build_hpet},
      {"mc146818",
       [](Rig& r) {
         r.windows = {&r.make<Mc146818>(Mc146818::Params{.clock = r.clock, .start_seconds = 1'700'000'000})};
       }},
      {"i8042", build_i8042},
      {"ps2_keyboard", [](Rig& r) { r.windows = {&r.part<Ps2Window>(r.make<Ps2Keyboard>(Ps2Keyboard::Params{}))}; }},
      {"ps2_mouse", [](Rig& r) { r.windows = {&r.part<Ps2Window>(r.make<Ps2Mouse>())}; }},
      {"uart_16550a", build_uart},
      {"i8237",
       [](Rig& r) {
         auto& d = r.make<I8237>(I8237::Params{.memory = r.memory});
         r.windows = {&d.bytes(), &d.words(), &d.pages(), &d.high_pages()};
       }},
      {"port92", [](Rig& r) { r.windows = {&r.make<Port92>(Port92::Params{})}; }},
      {"debug_console", [](Rig& r) { r.windows = {&r.make<DebugConsole>(DebugConsole::Params{})}; }},
      {"debug_exit", [](Rig& r) { r.windows = {&r.make<DebugExit>(DebugExit::Params{})}; }},
      {"pc_testdev", build_testdev},
      {"vmport", build_vmport},
      {"piix_ide", build_ide},
      {"fdc", build_fdc},
      {"std_vga", build_vga},
      {"i440fx", [](Rig& r) { attach_pci(r, r.make<I440Fx>(I440Fx::Params{.ram_bytes = 1 << 27})); }},
      {"gt64120",
       [](Rig& r) {
         auto& d = r.make<Gt64120>(Gt64120::Params{.bus = r.pci, .big_endian = true});
         attach_pci(r, d);
         r.windows.push_back(&d);
       }},
      {"cfi_flash",
       [](Rig& r) {
         auto& array = r.part<std::vector<u8>>(CfiFlash::kBytes, u8{0xff});
         r.windows = {&r.make<CfiFlash>(CfiFlash::Params{.array = {array.data(), array.size()}, .big_endian = true})};
       }},
      {"smbus_eeprom",
       [](Rig& r) {
         auto& host = r.part<SmbusHost>();
         host.connect(0x50, r.make<SmbusEeprom>(sdram_spd(u64{128} << 20)));
         r.windows = {&host};
       }},
      {"cirrus_vga", build_cirrus},
      {"malta_fpga", [](Rig& r) { r.windows = {&r.make<MaltaFpga>(MaltaFpga::Params{})}; }},
      {"malta_gpio", [](Rig& r) { r.windows = {&r.make<MaltaGpio>(false)}; }},
      {"piix3_isa",
       [](Rig& r) {
         auto& d = r.make<Piix3Isa>(Piix3Isa::Params{});
         attach_pci(r, d);
         r.windows.push_back(&d.reset_control());
       }},
      {"piix3_uhci",
       [](Rig& r) {
         attach_pci(r, r.make<Piix3Uhci>(r.clock));
         r.pci.config_write(0, 0x10, 0x20, 0xc000, 4);
         r.pci.config_write(0, 0x10, 0x04, 1, 2);
         r.windows.push_back(&r.part<PortWindow>(r.ports));
       }},
      {"piix4_pm",
       [](Rig& r) {
         auto& d = r.make<Piix4Pm>(Piix4Pm::Params{.clock = r.clock});
         attach_pci(r, d);
         r.windows.push_back(&d.apm_ports());
       }},
      {"pci_config_ports", [](Rig& r) { r.windows = {&r.make<PciConfigPorts>(PciConfigPorts::Params{.bus = r.pci})}; }},
      {"pci_hotplug",
       [](Rig& r) {
         r.windows = {&r.make<PciHotplug>(PciHotplug::Params{.notify = [] {}, .eject = [](unsigned) {}})};
       }},
      {"fw_cfg", build_fw_cfg},
      {"e1000", [](Rig& r) { attach_nic(r, build_nic<E1000>(r)); }},
      {"rtl8139", [](Rig& r) { attach_nic(r, build_nic<Rtl8139>(r)); }},
      {"ne2k_pci", [](Rig& r) { attach_nic(r, build_nic<Ne2000>(r)); }},
      {"pcnet", [](Rig& r) { attach_nic(r, build_nic<Pcnet>(r)); }},
      {"virtio_blk",
       [](Rig& r) {
         build_virtio(r, virtio_blk(r));
         r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
       }},
      {"nvme", build_nvme},
      {"ahci", build_ahci},
      {"virtio_scsi", build_virtio_scsi},
      {"virtio_net", build_virtio_net},
      {"virtio_rng",
       [](Rig& r) {
         build_virtio(r, std::make_unique<VirtioRng>(VirtioRng::Params{.clock = r.clock, .repeatable = true}));
         r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
       }},
      {"virtio_serial", build_virtio_serial},
      {"virtio_input",
       [](Rig& r) {
         build_virtio(r, std::make_unique<VirtioInput>(VirtioInput::Params{.clock = r.clock}));
         r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
       }},
      {"virtio_9p",
       [](Rig& r) {
         auto folder = share::Folder::open({.path = "/proc/self/fdinfo", .read_only = true});
         build_virtio(
             r, std::make_unique<Virtio9p>(Virtio9p::Params{.clock = r.clock, .folder = folder.take(), .tag = "tag"}));
         r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
       }},
      {"virtio_balloon",
       [](Rig& r) {
         build_virtio(r, std::make_unique<VirtioBalloon>(VirtioBalloon::Params{
                             .clock = r.clock, .ram_bytes = 1 << 20, .free_page_reporting = true}));
         r.windows.push_back(&r.part<ConfigWindow>(r.pci, 0x10));
       }},
      {"virtio_mmio", [](Rig& r) { build_virtio_mmio(r, virtio_blk(r)); }},
  };
  return list;
}

}  // namespace doppel::hw::test

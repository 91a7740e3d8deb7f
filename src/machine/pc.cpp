#include "machine/pc.h"

#include "base/log.h"
#include "firmware/fw_cfg.h"
#include "firmware/smbios.h"
#include "hw/block/ata_disk.h"
#include "hw/bus/pci/pci_config_ports.h"
#include "hw/char/uart_16550a.h"
#include "hw/input/i8042.h"
#include "hw/misc/debug_console.h"
#include "hw/misc/debug_exit.h"
#include "hw/misc/pc_testdev.h"
#include "hw/misc/port92.h"
#include "hw/timer/hpet.h"
#include "hw/timer/port61.h"
#include "machine/display_card.h"
#include "machine/firmware_search.h"
#include "machine/pc_firmware.h"
#include "machine/pc_network.h"
#include "machine/pc_slots.h"
#include "machine/pc_storage.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {
namespace {

struct PortRange {
  u16 first;
  u16 count;
};
// The I/O map, by port.
constexpr struct {
  PortRange dma_bytes{0x00, 16}, pic_master{0x20, 2}, pit{0x40, 4}, kbd_data{0x60, 1}, port61{0x61, 1},
      kbd_command{0x64, 1}, rtc{0x70, 2};
  PortRange dma_pages{0x80, 16}, port92{0x92, 1}, pic_slave{0xa0, 2}, apm{0xb2, 2}, dma_words{0xc0, 32},
      debugcon{0xe9, 1}, fpu_busy{0xf0, 2};
  PortRange ide1{0x170, 8}, ide0{0x1f0, 8}, ide1_control{0x376, 1}, ide0_control{0x3f6, 1}, fdc{0x3f0, 6},
      fdc_dir{0x3f7, 1};
  PortRange firmware_debug{0x402, 1}, dma_high_pages{0x480, 8}, elcr{0x4d0, 2}, fw_cfg{0x510, firmware::FwCfg::kPorts},
      pci_config{0xcf8, 8}, vmport{0x5658, 4};
  PortRange vga{hw::VgaCore::kFirstPort, hw::VgaCore::kPortCount},
      vbe{hw::VgaCore::kFirstVbePort, hw::VgaCore::kVbePortCount};
} kPorts;
constexpr struct {
  u16 port;
  u8 irq;
} kSerial[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

// The memory map above RAM. RAM and ROM: pc_memory.cpp.
constexpr u64 kIoApicBase = 0xfec00000, kHpetBase = 0xfed00000, kLocalApicBase = 0xfee00000, kTestdevBase = 0xff000000;

// PCI slots.
constexpr u8 kHostBridge = hw::pci::devfn(0, 0), kIsaBridge = hw::pci::devfn(1, 0), kIde = hw::pci::devfn(1, 1),
             kPowerManagement = hw::pci::devfn(1, 3), kVga = hw::pci::devfn(2, 0);

constexpr unsigned kIrqPit = 0, kIrqKeyboard = 1, kIrqFloppy = 6, kIrqRtc = 8, kIrqSci = 9, kIrqMouse = 12,
                   kIrqFpu = 13, kIrqIde = 14;

// Port 0xf0: a write ends the coprocessor's busy state and lowers its interrupt.
class FpuBusyLatch final : public hw::Device, public hw::MmioHandler {
 public:
  explicit FpuBusyLatch(hw::IrqLine line) : line_(std::move(line)) {}
  u64 read(u64, unsigned) override { return 0xff; }
  void write(u64, u64, unsigned) override { line_.lower(); }
  hw::AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override { line_.lower(); }
  void archive(StateArchive&) override {}

 private:
  hw::IrqLine line_;
};

std::string property(const DeviceConfig& device, const std::string& name, const std::string& otherwise) {
  const auto it = device.properties.find(name);
  return it == device.properties.end() ? otherwise : it->second;
}

bool option_off(const MachineConfig& config, const std::string& name) {
  const auto it = config.board_options.find(name);
  return it != config.board_options.end() && (it->second == "off" || it->second == "no");
}
}  // namespace

PcMachine::PcMachine(MachineConfig config, x86::CpuModel model)
    : BoardMachine(std::move(config)),
      model_(std::move(model)),
      platform_({.device_lock = device_lock_,
                 .ports = port_bus_,
                 .clock = clock_,
                 .cpus = config_.cpus,
                 .repeatable = config_.accel.icount_shift >= 0,
                 .reset = [this] { guest_reset(); },
                 .smm = [this](bool any) { pc_memory_.set_smm(any); }}) {}

PcMachine::~PcMachine() { shut_down(); }

Status PcMachine::build() {
  if (Status s = check_devices(); !s.ok()) return s;
  auto drives = plan_drives(config_);
  if (!drives.ok()) return drives.error();
  drives_ = drives.take();
  watch_drives();
  if (Status s = build_memory(); !s.ok()) return s;
  if (Status s = build_cpus(); !s.ok()) return s;
  build_interrupts();
  build_chipset();
  build_timers();
  build_input();
  if (config_.vmport) build_vmport();
  build_serial();
  build_drives();
  if (Status s = build_display(); !s.ok()) return s;
  if (Status s = build_network(); !s.ok()) return s;
  if (Status s = build_storage(); !s.ok()) return s;
  if (Status s = build_virtio(); !s.ok()) return s;
  if (Status s = build_extras(); !s.ok()) return s;
  build_hotplug();
  if (Status s = build_firmware(); !s.ok()) return s;
  for (x86::X86Cpu* cpu : cpus_) cpu->reset();  // with their APICs there
  return success();
}

Status PcMachine::check_devices() const {
  static constexpr const char* kKnown[] = {"ide-hd",         "ide-cd", "floppy",     "isa-debug-exit", "pc-testdev",
                                           "piix3-usb-uhci", "VGA",    "cirrus-vga", "isa-serial"};
  for (const DeviceConfig& device : config_.devices) {
    if (std::find(std::begin(kKnown), std::end(kKnown), device.driver) == std::end(kKnown) && !is_nic(device.driver) &&
        virtio_properties(device.driver).empty() && !is_storage(device.driver)) {
      return Error{"'" + device.driver + "' is no device that this machine has", "-device help lists them"};
    }
  }
  for (const DriveConfig& drive : config_.drives) {
    if (drive.interface == "pflash")
      return Error{"the board pc has its firmware in ROM, and no flash for -drive if=pflash",
                   "give the firmware with -bios"};
  }
  if (config_.cpus == 0 || config_.cpus > 64) return Error{"the board pc takes 1 to 64 CPUs", "change -smp"};
  const u32 cores = std::max(config_.cores, 1u), threads = std::max(config_.threads, 1u);
  if (config_.sockets && config_.sockets * cores * threads != config_.cpus) {
    return Error{"-smp: sockets * cores * threads is not the number of CPUs", "make them agree"};
  }
  if (config_.accel.icount_shift >= 0 && config_.cpus > 1)
    return Error{"-icount counts the instructions of one CPU", "use -smp 1 with it"};
  return success();
}

Status PcMachine::build_memory() {
  const std::string name = config_.bios.empty() ? "bios-256k.bin" : config_.bios;
  auto bios = load_firmware(config_.firmware_dirs, name);
  if (!bios.ok()) return bios.error();
  const MemoryBackend* backend = nullptr;
  for (const MemoryBackend& b : config_.memory_backends) {
    if (b.id == config_.memory_backend) backend = &b;
  }
  return pc_memory_.create(config_.ram_bytes, backend, bios.take(), name);
}

Status PcMachine::build_cpus() {
  for (u32 i = 0; i < config_.cpus; i++) {
    auto cpu = x86::make_x86_cpu(model_, platform_, i);
    cpus_.push_back(static_cast<x86::X86Cpu*>(cpu.get()));
    if (Status s = add_vcpu(std::move(cpu)); !s.ok()) return s;
  }
  return success();
}

void PcMachine::on_cpu(u32 index, void (x86::X86Cpu::*pin)()) {
  (cpus_[index]->*pin)();
  kick(index);
}

void PcMachine::build_interrupts() {
  pic_ = &add<hw::I8259Pair>("pic", hw::I8259Pair::Params{.intr = hw::IrqLine([this](bool level) {
                                                            if (apics_) {
                                                              apics_->set_intr(level);
                                                            } else {
                                                              cpus_[0]->set_intr(level);
                                                              if (level) kick(0);
                                                            }
                                                          })});
  ports("pic", kPorts.pic_master.first, kPorts.pic_master.count, pic_->master());
  ports("pic", kPorts.pic_slave.first, kPorts.pic_slave.count, pic_->slave());
  ports("elcr", kPorts.elcr.first, kPorts.elcr.count, pic_->elcr());
  if (model_.has("apic")) {
    apics_ =
        std::make_unique<hw::ApicBus>(hw::ApicBus::Params{.device_lock = device_lock_,
                                                          .current_cpu = [this] { return current_cpu(); },
                                                          .pic_acknowledge = [this] { return pic_->acknowledge(); }});
    for (u32 i = 0; i < config_.cpus; i++) {
      auto& apic = add<hw::LocalApic>(
          "apic" + std::to_string(i),
          hw::LocalApic::Params{
              .bus = *apics_,
              .clock = clock_,
              .id = i,
              .bsp = i == 0,
              .x2apic = model_.has("x2apic"),
              .tsc_deadline = model_.has("tsc-deadline"),
              .apic_event =
                  [this, i](bool pending) {
                    cpus_[i]->apic_event(pending);
                    if (pending) kick(i);
                  },
              .nmi = [this, i] { on_cpu(i, &x86::X86Cpu::nmi); },
              .smi = [this, i] { on_cpu(i, &x86::X86Cpu::smi); },
              .init = [this, i] { on_cpu(i, &x86::X86Cpu::init); },
              .sipi =
                  [this, i](u8 vector) {
                    cpus_[i]->sipi(vector);
                    kick(i);
                  },
              .tsc_to_ns = [this, i](u64 tsc) { return static_cast<s64>(tsc - cpus_[i]->state().tsc_offset); }});
      local_apics_.push_back(&apic);
      apics_->attach(apic);
    }
    mmio("local-apic", kLocalApicBase, 0x1000, *apics_);
    io_apic_ = &add<hw::IoApic82093>("ioapic", hw::IoApic82093::Params{.bus = *apics_});
    apics_->attach(*io_apic_);
    mmio("ioapic", kIoApicBase, 0x1000, *io_apic_);
  }
  // Interrupt n reaches the 8259 input and the I/O APIC pin of its number; the 8254 is input 0 and pin 2.
  for (unsigned n = 1; n < 24; n++) {
    std::vector<hw::IrqLine> outputs;
    if (n == 2) outputs.push_back(pic_->irq(0));
    if (n < 16 && n != 2) outputs.push_back(pic_->irq(n));
    if (io_apic_) outputs.push_back(io_apic_->pin(n));
    gsi_[n] = std::make_unique<hw::IrqOr>(hw::irq_fan_out(std::move(outputs)));
  }
  auto& fpu = add<FpuBusyLatch>("fpu-busy", isa_irq(kIrqFpu));
  ports("fpu-busy", kPorts.fpu_busy.first, kPorts.fpu_busy.count, fpu);
  platform_.connect(apics_.get(), pic_, isa_irq(kIrqFpu));
}

void PcMachine::build_chipset() {
  pci_ = std::make_unique<hw::PciBus>(
      hw::PciBus::Params{.memory = bus_, .ports = port_bus_, .dma = dma_, .msi = [this](u64 address, u32 data) {
                           if (apics_) apics_->deliver_msi(address, data);
                         }});
  auto& host = add<hw::I440Fx>(
      "i440fx", hw::I440Fx::Params{.on_pam = [this](const hw::PamMap& map) { pc_memory_.set_pam(map); },
                                   .on_smram = [this](const hw::SmramState& s) { pc_memory_.set_smram(s); },
                                   .ram_bytes = config_.ram_bytes});
  pci_->attach(kHostBridge, host);
  hw::Piix3Isa::Params isa{.reset_request = [this] { guest_reset(); }};
  for (unsigned n = 0; n < 16; n++) {
    if (n != 2) isa.irq[n] = isa_irq(n);
  }
  isa_ = &add<hw::Piix3Isa>("piix3", std::move(isa));
  pci_->attach(kIsaBridge, *isa_);
  for (unsigned n = 0; n < 4; n++) pci_->connect_pirq(n, isa_->pirq(n));
  auto& config_ports = add<hw::PciConfigPorts>(
      "pci-config", hw::PciConfigPorts::Params{.bus = *pci_, .reset_control = &isa_->reset_control()});
  ports("pci-config", kPorts.pci_config.first, kPorts.pci_config.count, config_ports);
  pm_ = &add<hw::Piix4Pm>("piix4-pm", hw::Piix4Pm::Params{.clock = clock_,
                                                          .sci = isa_irq(kIrqSci),
                                                          .smi = [this] { on_cpu(0, &x86::X86Cpu::smi); },
                                                          .soft_off = [this] { guest_shutdown(); },
                                                          .smm = !option_off(config_, "smm")});
  pci_->attach(kPowerManagement, *pm_);
  ports("apm", kPorts.apm.first, kPorts.apm.count, pm_->apm_ports());
  dma8237_ = &add<hw::I8237>("dma", hw::I8237::Params{.memory = dma_});
  ports("dma", kPorts.dma_bytes.first, kPorts.dma_bytes.count, dma8237_->bytes());
  ports("dma", kPorts.dma_words.first, kPorts.dma_words.count, dma8237_->words());
  ports("dma-page", kPorts.dma_pages.first, kPorts.dma_pages.count, dma8237_->pages());
  ports("dma-page", kPorts.dma_high_pages.first, kPorts.dma_high_pages.count, dma8237_->high_pages());
  auto& port92 = add<hw::Port92>("port92", hw::Port92::Params{.a20 = [this](bool on) { set_a20(on); },
                                                              .a20_state = [this] { return a20_.load(); },
                                                              .reset_request = [this] { guest_reset(); }});
  ports("port92", kPorts.port92.first, kPorts.port92.count, port92);
}

void PcMachine::build_timers() {
  pit_ = &add<hw::I8254>("pit", hw::I8254::Params{.clock = clock_, .irq = isa_irq(kIrqPit)});
  ports("pit", kPorts.pit.first, kPorts.pit.count, *pit_);
  auto& port61 = add<hw::Port61>("port61", hw::Port61::Params{.clock = clock_, .pit = *pit_});
  ports("port61", kPorts.port61.first, kPorts.port61.count, port61);
  auto start = hw::rtc_start_seconds(config_.rtc_base);
  rtc_ = &add<hw::Mc146818>(
      "rtc", hw::Mc146818::Params{
                 .clock = clock_,
                 .irq = isa_irq(kIrqRtc),
                 .start_seconds = start.ok() ? *start : 0,
                 .date_set = [this](s64 offset) {
                   tell({.kind = MachineEvent::Kind::RtcChange, .path = "/machine/unattached/rtc", .offset = offset});
                 }});
  ports("rtc", kPorts.rtc.first, kPorts.rtc.count, *rtc_);
  if (!config_.hpet) return;
  hw::Hpet::Params p{.clock = clock_, .legacy_timer = isa_irq(kIrqPit), .legacy_rtc = isa_irq(kIrqRtc)};
  p.irq.resize(24);
  for (unsigned n : {2u, 8u, 20u, 21u, 22u, 23u}) p.irq[n] = gsi_[n]->input();
  p.legacy = [this](bool on) {
    pit_->set_irq_enabled(!on);
    rtc_->set_irq_enabled(!on);
  };
  p.msi = [this](u64 address, u32 data) {
    if (apics_) apics_->deliver_msi(address, data);
  };
  auto& hpet = add<hw::Hpet>("hpet", std::move(p));
  mmio("hpet", kHpetBase, 0x400, hpet);
}

void PcMachine::build_input() {
  keyboard_ = &add<hw::Ps2Keyboard>("keyboard", hw::Ps2Keyboard::Params{});
  mouse_ = &add<hw::Ps2Mouse>("mouse");
  auto& controller = add<hw::I8042>("i8042", hw::I8042::Params{.keyboard_irq = isa_irq(kIrqKeyboard),
                                                               .mouse_irq = isa_irq(kIrqMouse),
                                                               .a20 = [this](bool on) { set_a20(on); },
                                                               .a20_state = [this] { return a20_.load(); },
                                                               .reset_request = [this] { guest_reset(); },
                                                               .keyboard = keyboard_,
                                                               .mouse = mouse_});
  ports("i8042", kPorts.kbd_data.first, kPorts.kbd_data.count, controller.data());
  ports("i8042", kPorts.kbd_command.first, kPorts.kbd_command.count, controller.command());
}

// The backdoor's arguments and results are registers of the CPU that reads the port.
void PcMachine::build_vmport() {
  using x86::RAX, x86::RBX, x86::RCX, x86::RDX, x86::RSI, x86::RDI;
  hw::Vmport::Params p{.ram_bytes = config_.ram_bytes};
  p.load_registers = [this](hw::VmportRegisters& r) {
    const int cpu = current_cpu();
    if (cpu < 0) return false;
    const u64* gpr = cpus_[static_cast<size_t>(cpu)]->state().gpr;
    const auto low = [gpr](unsigned n) { return static_cast<u32>(gpr[n]); };
    r = {low(RAX), low(RBX), low(RCX), low(RDX), low(RSI), low(RDI)};
    return true;
  };
  p.store_registers = [this](const hw::VmportRegisters& r) {
    u64* gpr = cpus_[static_cast<size_t>(current_cpu())]->state().gpr;
    gpr[RBX] = r.ebx, gpr[RCX] = r.ecx, gpr[RDX] = r.edx, gpr[RSI] = r.esi, gpr[RDI] = r.edi;
  };
  firmware::parse_uuid(config_.uuid, p.uuid);  // build_firmware complains of one that is none
  const auto start = hw::rtc_start_seconds(config_.rtc_base == "localtime" ? "utc" : config_.rtc_base);
  p.wall_ns = [this, base = start.ok() ? *start : 0] { return base * hw::kNsPerSecond + clock_.now(); };
  p.wake_mouse = [this] { mouse_->nudge(); };
  vmport_ = &add<hw::Vmport>("vmport", std::move(p));
  ports("vmport", kPorts.vmport.first, kPorts.vmport.count, *vmport_);
}

void PcMachine::build_serial() {
  for (size_t i = 0; i < std::min(config_.serial.size(), std::size(kSerial)); i++) {
    if (!config_.serial[i]) continue;
    auto& uart = add<hw::Uart16550>("serial" + std::to_string(i), hw::Uart16550::Params{.irq = isa_irq(kSerial[i].irq),
                                                                                        .clock = clock_,
                                                                                        .device_lock = device_lock_,
                                                                                        .chardev = config_.serial[i]});
    ports("serial" + std::to_string(i), kSerial[i].port, 8, uart);
    serial_ports_ |= 1u << i;
  }
}

void PcMachine::build_drives() {
  hw::PiixIde::Params p{.clock = clock_, .irq = {isa_irq(kIrqIde), isa_irq(kIrqIde + 1)}};
  if (config_.accel.icount_shift < 0) p.device_lock = &device_lock_;
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      const auto& place = drives_.ide[channel][unit];
      if (!place) continue;
      if (place->node) nodes_.push_back(place->node);
      const std::string serial =
          place->serial.empty() ? "DP0000" + std::to_string(channel * 2 + unit + 1) : place->serial;
      if (place->is_cdrom) {
        p.drives[channel][unit] =
            std::make_unique<hw::AtapiCd>(hw::AtapiCd::Params{.node = place->node, .serial = serial});
      } else {
        p.drives[channel][unit] = std::make_unique<hw::AtaDisk>(
            hw::AtaDisk::Params{.node = place->disk(), .serial = serial, .policy = place->policy});
      }
    }
  }
  ide_ = &add<hw::PiixIde>("ide", std::move(p));
  pci_->attach(kIde, *ide_);
  ports("ide0", kPorts.ide0.first, kPorts.ide0.count, ide_->channel(0).command_block());
  ports("ide0", kPorts.ide0_control.first, kPorts.ide0_control.count, ide_->channel(0).control_block());
  ports("ide1", kPorts.ide1.first, kPorts.ide1.count, ide_->channel(1).command_block());
  ports("ide1", kPorts.ide1_control.first, kPorts.ide1_control.count, ide_->channel(1).control_block());

  hw::Fdc::Params f{.clock = clock_, .irq = isa_irq(kIrqFloppy), .dma = &dma8237_->channel(2)};
  for (size_t n = 0; n < 2; n++) {
    const auto& place = drives_.floppy[n];
    const hw::FloppyFormat* format = place && place->node ? hw::floppy_format_for(place->node->size()) : nullptr;
    f.types[n] = !place ? hw::FloppyType::None : format ? format->drive : hw::FloppyType::D1440;
    if (place && place->node) nodes_.push_back(f.media[n] = place->node);
  }
  fdc_ = &add<hw::Fdc>("fdc", std::move(f));
  ports("fdc", kPorts.fdc.first, kPorts.fdc.count, fdc_->registers());
  ports("fdc", kPorts.fdc_dir.first, kPorts.fdc_dir.count, fdc_->dir_ccr());
}

Status PcMachine::build_display() {
  auto made = make_display(config_, {.memory = bus_, .clock = clock_, .lock = device_lock_});
  if (!made.ok()) return made.error();
  DisplayCard card = made.take();
  if (!card.device) return success();
  auto place = card.address.empty() ? Result<u8>(kVga) : pci_place(card.address, *pci_);
  if (!place.ok()) return place.error();
  vga_ = card.core;
  pci_->attach(*place, *card.device);
  register_device(card.name, std::move(card.device));
  ports("vga", kPorts.vga.first, kPorts.vga.count, vga_->ports());
  if (card.has_vbe) ports("vbe", kPorts.vbe.first, kPorts.vbe.count, vga_->vbe_ports());
  return success();
}

Status PcMachine::build_extras() {
  if (config_.debugcon) {
    auto& console = add<hw::DebugConsole>("debugcon", hw::DebugConsole::Params{.chardev = config_.debugcon});
    ports("debugcon", kPorts.debugcon.first, kPorts.debugcon.count, console);
    if (config_.debugcon_firmware) ports("debugcon", kPorts.firmware_debug.first, kPorts.firmware_debug.count, console);
  }
  for (const DeviceConfig& device : config_.devices) {
    if (device.driver == "isa-debug-exit") {
      const u16 port = static_cast<u16>(std::strtoul(property(device, "iobase", "0x501").c_str(), nullptr, 0));
      const u32 size = static_cast<u32>(std::strtoul(property(device, "iosize", "2").c_str(), nullptr, 0));
      if (size == 0 || size > 16) return Error{"isa-debug-exit: iosize must be 1 to 16", "leave it out for 2"};
      auto& exit = add<hw::DebugExit>("debug-exit", hw::DebugExit::Params{.exit = [this](int status) {
                                        request_quit(ShutdownCause::GuestShutdown, status);
                                      }});
      ports("debug-exit", port, size, exit);
    } else if (device.driver == "pc-testdev") {
      hw::PcTestdev::Params p;
      p.irq.resize(24);
      for (unsigned n = 0; n < 24; n++) p.irq[n] = isa_irq(n);
      auto& test = add<hw::PcTestdev>("pc-testdev", std::move(p));
      ports("pc-testdev", 0xe0, 8, test.latch());
      ports("pc-testdev", 0x2000, 24, test.lines());
      mmio("pc-testdev", kTestdevBase, 0x10000, test.memory());
    }
  }
  return success();
}

Status PcMachine::build_firmware() {
  auto& fw_cfg = add<firmware::FwCfg>("fw-cfg", firmware::FwCfg::Params{.dma = dma_});
  ports("fw-cfg", kPorts.fw_cfg.first, kPorts.fw_cfg.count, fw_cfg);
  const PcFirmwareInput input{.config = config_,
                              .memory = pc_memory_,
                              .drives = drives_,
                              .cpu = model_,
                              .serial_ports = serial_ports_,
                              .hotplug_slots = hotplug_ ? hotplug_slots() : 0,
                              .pci_boot = pci_boot_};
  if (Status s = fill_fw_cfg(fw_cfg, input); !s.ok()) return s;
  fill_cmos(*rtc_, input, *ide_);
  return success();
}

void PcMachine::set_a20(bool on) {
  if (a20_.exchange(on) == on) return;
  for (u32 i = 0; i < cpus_.size(); i++) {
    cpus_[i]->set_a20(on);
    kick(i);
  }
}

void PcMachine::after_reset() {
  set_a20(true);
  for (unsigned slot = 0; hotplug_ && slot < 32; slot++) {
    if (hotplug_->asked(slot)) eject(slot);  // the guest that was asked is no more
  }
  if (!config_.boot_once.empty()) set_boot_order(*rtc_, config_.boot_order);
}

}  // namespace doppel::machine

#include "machine/malta.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <thread>

#include "hw/block/ata_disk.h"
#include "hw/bus/usb/piix3_uhci.h"
#include "hw/char/uart_16550a.h"
#include "hw/input/i8042.h"
#include "hw/misc/i8237.h"
#include "hw/misc/malta_fpga.h"
#include "hw/rtc/mc146818.h"
#include "hw/timer/i8254.h"
#include "machine/display_card.h"
#include "machine/firmware_search.h"
#include "machine/pc_network.h"
#include "machine/pc_slots.h"
#include "machine/pc_virtio.h"

namespace doppel::machine {
namespace {

// The CPU's physical addresses (MD00048, chapter 3, with what YAMON sets up).
constexpr u64 kLowRamMax = 0x10000000, kHighRam = 0x80000000, kRamMax = u64{2} << 30;
constexpr u64 kPciMemory = 0x10000000, kPciMemorySize = 0x08000000, kPciIo = 0x18000000, kPciIoSize = 0x200000,
              kGtRegisters = 0x1be00000, kFpga = 0x1f000000, kFpgaUart = 0x1f000900;
// A GT-64120 core card of the LV family on a Malta board.
constexpr u32 kRevision = 0x00000420;
constexpr u64 kUartStride = 8;

constexpr u8 kHostBridge = hw::pci::devfn(0, 0), kIsaBridge = hw::pci::devfn(10, 0), kIde = hw::pci::devfn(10, 1),
             kUsb = hw::pci::devfn(10, 2), kPowerManagement = hw::pci::devfn(10, 3);
constexpr unsigned kNicSlot = 11, kFirstCard = 18, kLastCard = 21;
constexpr u16 kRtc = 0x70;
constexpr unsigned kIrqPit = 0, kIrqKeyboard = 1, kIrqRtc = 8, kIrqSci = 9, kIrqMouse = 12, kIrqIde = 14;
constexpr unsigned kCpuIrqIsa = 0, kCpuIrqUart = 2;  // hardware interrupts: IP2, IP4

// How the board wires the slots (MD00048, table 7).
unsigned pirq_of(u8 devfn, u8 pin) {
  const unsigned slot = hw::pci::slot_of(devfn);
  switch (slot) {
    case 10: return 3;
    case 11: return 1;
    case 12: return 2;
    default: return slot >= kFirstCard && slot <= kLastCard ? (slot - kFirstCard + pin - 1) & 3 : (slot + pin - 1) & 3;
  }
}

struct Range {
  u16 first, count;
};

// The FPGA's UART: registers 8 bytes apart, each a word in the CPU's byte order.
class SpacedUart final : public hw::Device, public hw::MmioHandler {
 public:
  SpacedUart(hw::Uart16550& uart, bool big_endian) : uart_(uart), shift_(big_endian ? 24 : 0) {}
  u64 read(u64 offset, unsigned) override { return uart_.read(offset / kUartStride, 1) << shift_; }
  void write(u64 offset, u64 value, unsigned) override { uart_.write(offset / kUartStride, value >> shift_ & 0xff, 1); }
  hw::AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override {}
  void archive(StateArchive&) override {}

 private:
  hw::Uart16550& uart_;
  unsigned shift_;
};

}  // namespace

// PCI addresses below 1 MiB are seen from the start of the PCI memory window.
class MaltaMachine::VgaBus final : public hw::AddressBus {
 public:
  explicit VgaBus(hw::AddressBus& bus) : bus_(bus) {}
  std::unique_ptr<hw::MappedWindow> map(std::string name, u64 address, u64 size, hw::MmioHandler& handler,
                                        int priority) override {
    return moved(bus_.map(std::move(name), kPciMemory + address, size, handler, priority));
  }
  std::unique_ptr<hw::MappedWindow> map_ram(std::string name, u64 address, u64 size, u8* data, bool read_only,
                                            int priority) override {
    return moved(bus_.map_ram(std::move(name), kPciMemory + address, size, data, read_only, priority));
  }
  void take_dirty(const u8* data, u64 size, std::vector<bool>& pages) override { bus_.take_dirty(data, size, pages); }

 private:
  class Moved final : public hw::MappedWindow {
   public:
    explicit Moved(std::unique_ptr<hw::MappedWindow> window) : window_(std::move(window)) {}
    void set(bool enabled, u64 address) override { window_->set(enabled, kPciMemory + address); }

   private:
    std::unique_ptr<hw::MappedWindow> window_;
  };
  static std::unique_ptr<hw::MappedWindow> moved(std::unique_ptr<hw::MappedWindow> window) {
    return std::make_unique<Moved>(std::move(window));
  }
  hw::AddressBus& bus_;
};

// The ports. Kernels measure the CPU's clock by a second of the RTC, which they spend on reading its update bit: such a
// read takes long while the next update is far, and shows an update that went by on the host's time between two reads.
class MaltaMachine::IoSpace final : public hw::MmioHandler {
 public:
  explicit IoSpace(hw::PortBus& ports) : ports_(ports) {}
  // `lock`: the device lock, which is let go meanwhile.
  void let_rtc_polls_wait(const hw::Mc146818& rtc, std::mutex& lock) {
    rtc_ = &rtc;
    lock_ = &lock;
  }
  u64 read(u64 offset, unsigned size) override {
    const u32 value = ports_.read(static_cast<u16>(offset), size);
    if (offset == kRtc + 1 && index_ == kRegisterA && rtc_) return poll(value);
    polls_ = 0;
    return value;
  }
  void write(u64 offset, u64 value, unsigned size) override {
    if (offset == kRtc)
      index_ = value & 0x7f;
    else
      polls_ = 0;
    ports_.write(static_cast<u16>(offset), static_cast<u32>(value), size);
  }
  hw::AccessSizes access_sizes() const override { return {1, 4}; }

 private:
  static constexpr u32 kRegisterA = 10, kUpdateInProgress = 0x80;

  u32 poll(u32 value) {
    constexpr u32 kPatience = 1000;
    constexpr s64 kLongest = 1'000'000, kMargin = 1'000'000;  // ns
    polls_ = value & kUpdateInProgress ? 0 : polls_ + 1;
    if (polls_ < kPatience) return value;
    const s64 left = rtc_->until_update();
    if (polls_ > kPatience && left > left_) {
      polls_ = 0;
      return value | kUpdateInProgress;
    }
    left_ = left;
    if (const s64 ns = std::min(left - kMargin, kLongest); ns > 0) {
      lock_->unlock();
      std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
      lock_->lock();
    }
    return value;
  }

  hw::PortBus& ports_;
  const hw::Mc146818* rtc_ = nullptr;
  std::mutex* lock_ = nullptr;
  u32 index_ = 0, polls_ = 0;  // reads of register A on end without the bit
  s64 left_ = 0;
};

MaltaMachine::MaltaMachine(MachineConfig config, mips::CpuModel model)
    : BoardMachine(std::move(config)), model_(std::move(model)), flash_(memory_, bus_, model_.big_endian) {}

MaltaMachine::~MaltaMachine() {
  shut_down();
  platform_.disconnect();
}

Status MaltaMachine::build() {
  if (Status s = check(); !s.ok()) return s;
  low_ram_ = std::min(config_.ram_bytes, kLowRamMax);
  auto boot = plan_malta_boot(config_, model_, low_ram_);
  if (!boot.ok()) return boot.error();
  boot_ = boot.take();
  auto drives = plan_drives(config_);
  if (!drives.ok()) return drives.error();
  drives_ = drives.take();
  if (Status s = build_memory(); !s.ok()) return s;
  if (Status s = build_cpu(); !s.ok()) return s;
  if (Status s = build_flash(); !s.ok()) return s;
  build_chipset();
  build_memory_modules();
  build_isa();
  build_drives();
  build_fpga();
  if (Status s = build_cards(); !s.ok()) return s;
  after_reset();
  fill_ram();
  cpu_->reset();
  return success();
}

Status MaltaMachine::check() const {
  if (config_.cpus != 1) return Error{"the board malta has one CPU", "leave out -smp"};
  if (config_.ram_bytes > kRamMax) return Error{"the board malta takes at most 2 GiB of RAM", "give less with -m"};
  if (config_.ram_bytes < u64{4} << 20)
    return Error{"the board malta needs at least 4 MiB of RAM", "give more with -m"};
  for (const DriveConfig& drive : config_.drives) {
    if (drive.interface == "floppy")
      return Error{"the board malta has no floppy drive here", "leave out " + drive.file};
  }
  return success();
}

Status MaltaMachine::build_memory() {
  auto ram = memory_.create_ram("malta.ram", align_up(config_.ram_bytes, mem::kPageSize));
  if (!ram.ok()) return ram.error();
  ram_ = *ram;
  memory_.begin();
  memory_.map_ram("ram-low", 0, ram_, 0, low_ram_, 0);
  memory_.map_ram("ram-high", kHighRam, ram_, 0, ram_->size, 0);
  memory_.commit();
  return success();
}

Status MaltaMachine::build_cpu() {
  auto cpu = mips::make_mips_cpu(model_, platform_, 0);
  cpu_ = static_cast<mips::MipsCpu*>(cpu.get());
  if (boot_.cpu) cpu_->set_boot(*boot_.cpu);
  platform_.connect(*cpu_, [this] { kick(0); });
  return add_vcpu(std::move(cpu));
}

Status MaltaMachine::build_flash() {
  if (config_.kernel.empty() && config_.bios.empty() && !drives_.flash)
    return Error{"the board malta has nothing to start",
                 "give a kernel with -kernel (an ELF file), or firmware with -bios"};
  std::vector<u8> bios;
  if (!config_.bios.empty()) {
    auto file = load_firmware(config_.firmware_dirs, config_.bios);
    if (!file.ok()) return file.error();
    bios = file.take();
  }
  const auto node = drives_.flash ? drives_.flash->disk() : nullptr;
  if (node) nodes_.push_back(drives_.flash->node);
  if (Status s = flash_.create(node, config_.bios, std::move(bios), kRevision); !s.ok()) return s;
  flash_.map(add<hw::CfiFlash>("flash", flash_.chip()));
  return success();
}

void MaltaMachine::build_chipset() {
  pic_ = &add<hw::I8259Pair>("pic", hw::I8259Pair::Params{.intr = hw::IrqLine([this](bool level) {
                                                            cpu_->set_interrupt(kCpuIrqIsa, level);
                                                            if (level) kick(0);
                                                          })});
  for (unsigned n = 0; n < 16; n++) isa_irq_[n] = std::make_unique<hw::IrqOr>(n == 2 ? hw::IrqLine() : pic_->irq(n));
  pci_ = std::make_unique<hw::PciBus>(
      hw::PciBus::Params{.memory = bus_, .ports = port_bus_, .dma = dma_, .pirq_of = pirq_of});
  io_space_ = std::make_unique<IoSpace>(port_bus_);
  gt_ =
      &add<hw::Gt64120>("gt64120", hw::Gt64120::Params{.bus = *pci_,
                                                       .interrupt_acknowledge = [this] { return pic_->acknowledge(); },
                                                       .on_decoding = [this](const auto& d) { decode(d); },
                                                       .big_endian = model_.big_endian});
  pci_->attach(kHostBridge, *gt_);
  hw::Piix3Isa::Params isa{.device_id = 0x7110, .reset_request = [this] { guest_reset(); }};
  for (unsigned n = 0; n < 16; n++) {
    if (n != 2) isa.irq[n] = isa_irq(n);
  }
  isa_ = &add<hw::Piix3Isa>("piix4", std::move(isa));
  pci_->attach(kIsaBridge, *isa_);
  for (unsigned n = 0; n < 4; n++) pci_->connect_pirq(n, isa_->pirq(n));
  pm_ = &add<hw::Piix4Pm>("piix4-pm", hw::Piix4Pm::Params{.clock = clock_, .sci = isa_irq(kIrqSci), .soft_off = [this] {
                                                            guest_shutdown();
                                                          }});
  pci_->attach(kPowerManagement, *pm_);
  auto& usb = add<hw::Piix3Uhci>("usb", clock_, hw::Piix3Uhci::kPiix4);
  pci_->attach(kUsb, usb);
}

// One for each power of two of the RAM's size, the largest first.
void MaltaMachine::build_memory_modules() {
  constexpr u8 kFirst = 0x50, kMost = 8;
  u64 left = config_.ram_bytes;
  for (u8 n = 0; n < kMost && left >= hw::kSpdSmallest; n++) {
    const u64 bytes = std::min(std::bit_floor(left), hw::kSpdLargest);
    left -= bytes;
    auto& eeprom = add<hw::SmbusEeprom>("spd" + std::to_string(n), hw::sdram_spd(bytes));
    pm_->smbus().connect(static_cast<u8>(kFirst + n), eeprom);
  }
}

void MaltaMachine::decode(const hw::Gt64120::Decoding& d) {
  if (!registers_window_) registers_window_ = bus_.map("gt64120", d.registers, hw::Gt64120::kRegisterBytes, *gt_, 2);
  if (!io_window_) io_window_ = bus_.map("pci-io", kPciIo, 0x10000, *io_space_, 1);
  registers_window_->set(true, d.registers);
  io_window_->set(d.io.size != 0, d.io.start);
}

void MaltaMachine::build_isa() {
  constexpr Range kPicMaster{0x20, 2}, kPicSlave{0xa0, 2}, kElcr{0x4d0, 2}, kPit{0x40, 4};
  constexpr Range kDmaBytes{0x00, 16}, kDmaWords{0xc0, 32}, kDmaPages{0x80, 16};
  ports("pic", kPicMaster.first, kPicMaster.count, pic_->master());
  ports("pic", kPicSlave.first, kPicSlave.count, pic_->slave());
  ports("elcr", kElcr.first, kElcr.count, pic_->elcr());
  ports("reset-control", 0xcf9, 1, isa_->reset_control());
  auto& pit = add<hw::I8254>("pit", hw::I8254::Params{.clock = clock_, .irq = isa_irq(kIrqPit)});
  ports("pit", kPit.first, kPit.count, pit);
  auto start = hw::rtc_start_seconds(config_.rtc_base);
  auto& rtc = add<hw::Mc146818>(
      "rtc", hw::Mc146818::Params{.clock = clock_, .irq = isa_irq(kIrqRtc), .start_seconds = start.ok() ? *start : 0});
  ports("rtc", kRtc, 2, rtc);
  if (config_.accel.icount_shift < 0) io_space_->let_rtc_polls_wait(rtc, device_lock_);
  auto& dma = add<hw::I8237>("dma", hw::I8237::Params{.memory = dma_});
  ports("dma", kDmaBytes.first, kDmaBytes.count, dma.bytes());
  ports("dma", kDmaWords.first, kDmaWords.count, dma.words());
  ports("dma-page", kDmaPages.first, kDmaPages.count, dma.pages());
  keyboard_ = &add<hw::Ps2Keyboard>("keyboard", hw::Ps2Keyboard::Params{});
  mouse_ = &add<hw::Ps2Mouse>("mouse");
  auto& controller = add<hw::I8042>("i8042", hw::I8042::Params{.keyboard_irq = isa_irq(kIrqKeyboard),
                                                               .mouse_irq = isa_irq(kIrqMouse),
                                                               .reset_request = [this] { guest_reset(); },
                                                               .keyboard = keyboard_,
                                                               .mouse = mouse_});
  ports("i8042", 0x60, 1, controller.data());
  ports("i8042", 0x64, 1, controller.command());
  constexpr struct {
    u16 port;
    u8 irq;
  } kSerial[] = {{0x3f8, 4}, {0x2f8, 3}};
  for (size_t i = 0; i < std::size(kSerial); i++) {
    const std::string name = "serial" + std::to_string(i);
    auto& uart = add<hw::Uart16550>(
        name, hw::Uart16550::Params{.irq = isa_irq(kSerial[i].irq),
                                    .clock = clock_,
                                    .device_lock = device_lock_,
                                    .chardev = i < config_.serial.size() ? config_.serial[i] : nullptr});
    ports(name, kSerial[i].port, 8, uart);
  }
}

void MaltaMachine::build_drives() {
  hw::PiixIde::Params p{.clock = clock_, .irq = {isa_irq(kIrqIde), isa_irq(kIrqIde + 1)}, .device_id = 0x7111};
  if (config_.accel.icount_shift < 0) p.device_lock = &device_lock_;
  for (size_t channel = 0; channel < 2; channel++) {
    for (size_t unit = 0; unit < 2; unit++) {
      const auto& place = drives_.ide[channel][unit];
      if (!place) continue;
      if (place->node) nodes_.push_back(place->node);
      const std::string serial =
          place->serial.empty() ? "DP0000" + std::to_string(channel * 2 + unit + 1) : place->serial;
      auto& drive = p.drives[channel][unit];
      if (place->is_cdrom)
        drive = std::make_unique<hw::AtapiCd>(hw::AtapiCd::Params{.node = place->node, .serial = serial});
      else
        drive = std::make_unique<hw::AtaDisk>(hw::AtaDisk::Params{.node = place->node, .serial = serial});
    }
  }
  ide_ = &add<hw::PiixIde>("ide", std::move(p));
  pci_->attach(kIde, *ide_);
  ports("ide0", 0x1f0, 8, ide_->channel(0).command_block());
  ports("ide0", 0x3f6, 1, ide_->channel(0).control_block());
  ports("ide1", 0x170, 8, ide_->channel(1).command_block());
  ports("ide1", 0x376, 1, ide_->channel(1).control_block());
}

void MaltaMachine::build_fpga() {
  auto& fpga = add<hw::MaltaFpga>(
      "malta-fpga", hw::MaltaFpga::Params{.reset_request = [this] { guest_reset(); }, .big_endian = model_.big_endian});
  mmio("malta-fpga", kFpga, hw::MaltaFpga::kBytes, fpga);
  auto& gpio = add<hw::MaltaGpio>("malta-gpio", model_.big_endian);
  mmio("malta-gpio", kFpga + hw::MaltaGpio::kFirst, hw::MaltaGpio::kBytes, gpio);
  auto& uart = add<hw::Uart16550>(
      "serial2", hw::Uart16550::Params{.irq = hw::IrqLine([this](bool level) {
                                         cpu_->set_interrupt(kCpuIrqUart, level);
                                         if (level) kick(0);
                                       }),
                                       .clock = clock_,
                                       .device_lock = device_lock_,
                                       .chardev = config_.serial.size() > 2 ? config_.serial[2] : nullptr,
                                       .base_hz = 230'400});
  auto& spaced = add<SpacedUart>("serial2-window", uart, model_.big_endian);
  mmio("serial2", kFpgaUart, 8 * kUartStride, spaced);
}

Status MaltaMachine::plug(const std::string& name, std::unique_ptr<hw::PciDevice> device, const std::string& address,
                          bool nic) {
  std::string place = address;
  const auto taken = [&](unsigned slot) { return pci_->at(hw::pci::devfn(slot, 0)) != nullptr; };
  if (place.empty()) {
    unsigned slot = nic ? kNicSlot : kFirstCard;
    if (nic && taken(slot)) slot = kFirstCard;
    while (slot <= kLastCard && taken(slot)) slot++;
    if (slot > kLastCard) return Error{"the PCI slots of the board malta are full", "leave out a device"};
    char text[8];
    std::snprintf(text, sizeof text, "%x", slot);
    place = text;
  }
  auto found = pci_place(place, *pci_);
  if (!found.ok()) return found.error();
  pci_->attach(*found, *device);
  register_device(name, std::move(device));
  return success();
}

Status MaltaMachine::build_cards() {
  vga_bus_ = std::make_unique<VgaBus>(bus_);
  auto display = make_display(
      config_, {.memory = *vga_bus_, .clock = clock_, .lock = device_lock_, .with_rom = false, .own = "cirrus"});
  if (!display.ok()) return display.error();
  if (display->device) {
    vga_ = display->core;
    ports("vga", hw::VgaCore::kFirstPort, hw::VgaCore::kPortCount, vga_->ports());
    if (display->has_vbe) ports("vbe", hw::VgaCore::kFirstVbePort, hw::VgaCore::kVbePortCount, vga_->vbe_ports());
    if (Status s = plug(display->name, std::move(display->device), display->address, false); !s.ok()) return s;
  }
  auto nics = plan_nics(config_, "pcnet");
  if (!nics.ok()) return nics.error();
  for (NicConfig& nic : *nics) {
    nic.rom_file = "none";  // x86 code
    auto card = make_nic(virtio_context(), nic);
    if (!card.ok()) return card.error();
    if (Status s = plug(card->name, std::move(card->device), nic.address, true); !s.ok()) return s;
  }
  const VirtioContext context = virtio_context();
  unsigned number = 0;
  const auto add_one = [&](Result<std::unique_ptr<hw::VirtioPci>> made, const DeviceConfig& device) {
    if (!made.ok()) return Status(made.error());
    const PropertyReader p(device);
    const std::string id = p.text("id");
    return plug(id.empty() ? device.driver + "." + std::to_string(number++) : id, made.take(), p.text("addr"), false);
  };
  for (const VirtioDisk& disk : drives_.virtio) {
    if (Status s = add_one(make_virtio_disk(context, disk), disk.device); !s.ok()) return s;
    nodes_.push_back(disk.place.node);
  }
  for (const DeviceConfig& device : config_.devices) {
    const auto virtio = virtio_name(device.driver);
    if (is_nic(device.driver) || device.driver == "ide-hd" || device.driver == "ide-cd" || is_display(device.driver) ||
        is_virtio_port(device.driver) || (virtio && virtio->model == "virtio-blk"))
      continue;
    if (!virtio)
      return Error{"'" + device.driver + "' is no device that the board malta has", "-device help lists them"};
    if (Status s = add_one(make_virtio(context, device), device); !s.ok()) return s;
  }
  return success();
}

// What the firmware leaves behind where none runs: the address map, interrupt routes, the ACPI registers.
void MaltaMachine::after_reset() {
  if (!boot_.cpu) return;
  gt_->program(kGtRegisters, {kPciIo, kPciIoSize, 0}, {kPciMemory, kPciMemorySize, kPciMemory});
  for (u8 n = 0; n < 4; n++) isa_->config_write(static_cast<u8>(0x60 + n), n < 2 ? 10 : 11, 1);
  pm_->config_write(0x40, 0x1001, 4);
  pm_->config_write(0x80, 1, 1);
  pm_->config_write(0x90, 0x1101, 4);
  pm_->config_write(0xd2, 9, 1);
  pm_->config_write(hw::pci::kCommand, 1, 2);
}

void MaltaMachine::fill_ram() {
  for (const MaltaBoot::Piece& piece : boot_.pieces) memory_.write(piece.phys, piece.bytes.data(), piece.bytes.size());
}

// --- from outside

std::string MaltaMachine::pic_info() {
  const std::lock_guard guard(device_lock_);
  return pic_->info();
}

void MaltaMachine::inject_nmi() {
  cpu_->nmi();
  kick(0);
}

void MaltaMachine::key(u32 qemu_qcode, bool down) {
  const std::lock_guard guard(device_lock_);
  keyboard_->key(qemu_qcode, down);
}

void MaltaMachine::pointer_relative(int dx, int dy, int wheel, u32 buttons) {
  const std::lock_guard guard(device_lock_);
  mouse_->move(dx, dy, wheel, buttons);
}

DrivePlace* MaltaMachine::find_drive(const std::string& id, hw::AtapiCd*& cd) {
  for (unsigned channel = 0; channel < 2; channel++) {
    for (unsigned unit = 0; unit < 2; unit++) {
      auto& place = drives_.ide[channel][unit];
      if (!place || (place->id != id && place->device_id != id)) continue;
      cd = dynamic_cast<hw::AtapiCd*>(ide_->drive(channel, unit));
      return &*place;
    }
  }
  return nullptr;
}

Status MaltaMachine::change_medium(const std::string& id, const std::string& file, const MediumOptions& wanted) {
  hw::AtapiCd* cd = nullptr;
  DrivePlace* place = find_drive(id, cd);
  if (!place || !cd) return Error{"there is no CD drive '" + id + "'", "info block lists the drives"};
  auto node = block::open(file, {.read_only = true, .format = wanted.format});
  if (!node.ok()) return node.error();
  const std::lock_guard guard(device_lock_);
  if (cd->medium() && !cd->eject(wanted.force))
    return Error{"the guest has locked the drive '" + id + "'", "unmount the disc in the guest"};
  cd->insert(*node);
  std::erase(nodes_, place->node);
  nodes_.push_back(place->node = *node);
  place->file = file;
  return success();
}

Status MaltaMachine::eject(const std::string& id, bool force) {
  hw::AtapiCd* cd = nullptr;
  DrivePlace* place = find_drive(id, cd);
  if (!place || !cd) return Error{"there is no CD drive '" + id + "'", "info block lists the drives"};
  const std::lock_guard guard(device_lock_);
  if (!cd->eject(force)) return Error{"the guest has locked the drive '" + id + "'", "eject -f " + id};
  std::erase(nodes_, place->node);
  place->node = nullptr;
  place->file.clear();
  return success();
}

std::vector<DriveInfo> MaltaMachine::drives() {
  const std::lock_guard guard(device_lock_);
  std::vector<DriveInfo> out;
  for (const auto& channel : drives_.ide) {
    for (const auto& place : channel) {
      if (place)
        out.push_back({.id = place->id, .removable = place->is_cdrom, .file = place->file, .node = place->node});
    }
  }
  for (const VirtioDisk& disk : drives_.virtio)
    out.push_back({.id = disk.place.id, .file = disk.place.file, .node = disk.place.node});
  return out;
}

}  // namespace doppel::machine

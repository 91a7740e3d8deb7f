// The DSDT of the `pc` board: PCI root with interrupt routing through the PIIX3's PIRQ registers, the ISA devices, soft
// off, CPUs. Revision 1: integers are 32 bits, as old guests expect.
#include <cstdio>

#include "firmware/acpi.h"
#include "firmware/aml.h"

namespace doppel::firmware {
namespace {
using namespace aml;

constexpr u16 kHotplugPorts = 0xae00;
constexpr u8 kHotplugPortCount = 0x24;  // hw::PciHotplug

Aml id(std::string_view pnp) { return name("_HID", eisa_id(pnp)); }
Aml uid(u32 n) { return name("_UID", integer(n)); }
Aml crs(const Aml& descriptors) { return name("_CRS", resources(descriptors)); }

Aml root_resources(const AcpiConfig& config) {
  return crs(word_window(Window::BusNumber, {0, 0xff}) + io(0xcf8, 0xcf8, 1, 8) + word_window(Window::Io, {0, 0xcf7}) +
             word_window(Window::Io, {0xd00, 0xffff}) + dword_window(Window::Memory, {0xa0000, 0xbffff, true}) +
             dword_window(Window::Memory, {config.pci_hole_start, config.pci_hole_end - 1}));
}

// Slot s, pin p (0..3) reaches PIRQ (s + p - 1) mod 4. The power management function in slot 1 raises SCI, not a PIRQ.
Aml routing_table() {
  static constexpr const char* kLinks[4] = {"LNKA", "LNKB", "LNKC", "LNKD"};
  std::vector<Aml> rows;
  for (u32 slot = 1; slot < 32; slot++) {
    for (u32 pin = 0; pin < 4; pin++) {
      const char* link = slot == 1 && pin == 0 ? "LNKS" : kLinks[(slot + pin - 1) & 3];
      rows.push_back(package(
          {integer((slot << 16) | 0xffff), integer(pin), name_string(std::string("\\_SB.") + link), integer(0)}));
    }
  }
  return name("_PRT", package(rows));
}

Aml link_device(u32 index) {
  const std::string link = std::string("LNK") + static_cast<char>('A' + index);
  const Aml reg = name_string("PRQ" + std::to_string(index));
  return device(link,
                id("PNP0C0F") + uid(index) + name("_PRS", resources(extended_irqs({5, 10, 11}))) +
                    method("_STA", 0, false, return_(name_string("IQST") + reg)) +
                    method("_DIS", 0, false, or_(reg, integer(0x80), reg)) +
                    method("_CRS", 0, false, return_(name_string("IQCR") + reg)) +
                    method("_SRS", 1, false, create_dword_field(arg(0), 5, "PRRI") + store(name_string("PRRI"), reg)));
}

Aml link_devices() {
  const Aml reg_field =
      field("\\_SB.PCI0.ISA.P40C", FieldAccess::Byte, {{"PRQ0", 8}, {"PRQ1", 8}, {"PRQ2", 8}, {"PRQ3", 8}});
  const Aml status =
      method("IQST", 1, false, if_(and_(arg(0), integer(0x80)), return_(integer(0x09))) + return_(integer(0x0b)));
  const Aml current =
      method("IQCR", 1, true,
             name("PRR0", resources(extended_irqs({0}))) + create_dword_field(name_string("PRR0"), 5, "PRRI") +
                 if_(equal(and_(arg(0), integer(0x80)), integer(0)), store(arg(0), name_string("PRRI"))) +
                 return_(name_string("PRR0")));
  const Aml sci =
      device("LNKS", id("PNP0C0F") + uid(4) + name("_PRS", resources(extended_irqs({9}))) +
                         method("_STA", 0, false, return_(integer(0x0b))) + method("_DIS", 0, false, {}) +
                         method("_CRS", 0, false, return_(name_string("_PRS"))) + method("_SRS", 1, false, {}));
  Aml out = reg_field + status + current;
  for (u32 i = 0; i < 4; i++) out += link_device(i);
  return out + sci;
}

Aml isa_devices(const AcpiConfig& config) {
  Aml out = device("RTC", id("PNP0B00") + crs(io(0x70, 0x70, 1, 8) + irq(8)));
  out += device(
      "KBD", id("PNP0303") + name("_STA", integer(0x0f)) + crs(io(0x60, 0x60, 1, 1) + io(0x64, 0x64, 1, 1) + irq(1)));
  out += device("MOU", id("PNP0F13") + name("_STA", integer(0x0f)) + crs(irq(12)));
  if (config.floppy) {
    out += device("FDC0", id("PNP0700") + name("_STA", integer(0x0f)) +
                              crs(io(0x3f2, 0x3f2, 0, 4) + io(0x3f7, 0x3f7, 0, 1) + irq(6) + dma(2)));
  }
  static constexpr struct {
    u16 port;
    u8 line;
  } kSerial[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
  for (u32 i = 0; i < 4; i++) {
    if (!((config.serial_ports >> i) & 1)) continue;
    out += device("COM" + std::to_string(i + 1),
                  id("PNP0501") + uid(i + 1) + name("_STA", integer(0x0f)) +
                      crs(io(kSerial[i].port, kSerial[i].port, 0, 8) + irq(kSerial[i].line)));
  }
  return out;
}

// Slots whose cards come and go: _EJ0 lets go of one, _OST tells how that went; PCIN tells the slots of a set what
// happened (1: look what is there, 3: let go).
std::string slot_name(u32 slot) {
  char text[8];
  std::snprintf(text, sizeof text, "PS%02X", slot);
  return text;
}

Aml hotplug_slots(u32 slots) {
  Aml out = op_region("PHPR", Space::SystemIo, kHotplugPorts, kHotplugPortCount) + field("PHPR", FieldAccess::DWord,
                                                                                         {{"PHCM", 32},
                                                                                          {"PHGO", 32},
                                                                                          {"PHEJ", 32},
                                                                                          {"PHRM", 32},
                                                                                          {"PHBN", 32},
                                                                                          {"", 32},
                                                                                          {"PHSL", 32},
                                                                                          {"PHEV", 32},
                                                                                          {"PHST", 32}});
  const auto reg = [](const char* field_name) { return name_string(field_name); };
  out += method("PCEJ", 1, true, store(integer(0), reg("PHBN")) + store(arg(0), reg("PHEJ")) + return_(integer(0)));
  out += method("PCOS", 3, true,
                store(integer(0), reg("PHBN")) + store(arg(0), reg("PHSL")) + store(arg(1), reg("PHEV")) +
                    store(arg(2), reg("PHST")));
  Aml tell;
  for (u32 slot = 0; slot < 32; slot++) {
    if (!((slots >> slot) & 1)) continue;
    const std::string path = slot_name(slot);
    out += device(path, name("_ADR", integer(slot << 16)) + name("_SUN", integer(slot)) +
                            method("_EJ0", 1, false, return_(name_string("PCEJ") + integer(u64{1} << slot))) +
                            method("_OST", 3, false, name_string("PCOS") + integer(slot) + arg(0) + arg(1)));
    tell += if_(and_(arg(0), integer(u64{1} << slot)), notify(name_string(path), arg(1)));
  }
  out += method("PCIN", 2, false, tell);
  out += method("PCIE", 0, true,
                store(integer(0), reg("PHBN")) + name_string("PCIN") + reg("PHCM") + integer(1) + name_string("PCIN") +
                    reg("PHGO") + integer(3));
  return out + device("PHPD", id("PNP0A06") + name("_UID", string("PCI hot-plug")) + name("_STA", integer(0x0b)) +
                                  crs(io(kHotplugPorts, kHotplugPorts, 1, kHotplugPortCount)));
}

Aml processors(u32 count) {
  Aml out;
  for (u32 i = 0; i < count; i++) {
    char path[16];
    std::snprintf(path, sizeof path, "C%03X", i);
    out += processor(path, static_cast<u8>(i), 0, 0, {});
  }
  return out;
}
}  // namespace

std::vector<u8> build_dsdt_body(const AcpiConfig& config) {
  const Aml isa = device(
      "ISA", name("_ADR", integer(0x00010000)) + op_region("P40C", Space::PciConfig, 0x60, 4) + isa_devices(config));
  const Aml root =
      device("PCI0", id("PNP0A03") + name("_ADR", integer(0)) + uid(0) + root_resources(config) + routing_table() +
                         isa + (config.hotplug_slots ? hotplug_slots(config.hotplug_slots) : Aml{}));
  Aml board = root;
  if (config.hpet)
    board += device(
        "HPET", id("PNP0103") + uid(0) + name("_STA", integer(0x0f)) + crs(memory32_fixed(false, 0xfed00000, 0x400)));
  board +=
      device("FWCF", name("_HID", string("QEMU0002")) + name("_STA", integer(0x0b)) + crs(io(0x510, 0x510, 1, 12)));
  Aml out = scope("\\_PR", processors(config.cpus)) + scope("\\_SB", board) + scope("\\_SB", link_devices());
  out += scope("\\_GPE", name("_HID", string("ACPI0006")) +
                             (config.hotplug_slots ? method("_E01", 0, false, name_string("\\_SB.PCI0.PCIE")) : Aml{}));
  const Aml type = integer(config.s5_type);
  out += name("\\_S5", package({type, type, integer(0), integer(0)}));
  return out.bytes;
}

}  // namespace doppel::firmware

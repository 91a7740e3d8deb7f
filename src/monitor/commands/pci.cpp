// The PCI bus.
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class RegionType { io, memory };
template <>
struct EnumNames<RegionType> {
  static constexpr const char* kType = "PciMemoryRegionType";
  static std::vector<std::string_view> names() { return {"io", "memory"}; }
};

namespace {

// Configuration header, type 0 (PCI 2.1, section 6.1).
enum : size_t {
  kVendor = 0x00,
  kDevice = 0x02,
  kClass = 0x0a,
  kSubVendor = 0x2c,
  kSubsystem = 0x2e,
  kLine = 0x3c,
  kPin = 0x3d
};

struct ClassInfo {
  static constexpr const char* kType = "PciDeviceClass";
  std::optional<std::string> text;
  s64 code = 0;
  template <class V>
  void visit(V& v) {
    v("desc", text);
    v("class", code, "base class and subclass");
  }
};
struct Ids {
  static constexpr const char* kType = "PciDeviceId";
  s64 device = 0, vendor = 0;
  std::optional<s64> subsystem, subsystem_vendor;
  template <class V>
  void visit(V& v) {
    v("device", device);
    v("vendor", vendor);
    v("subsystem", subsystem);
    v("subsystem-vendor", subsystem_vendor);
  }
};
struct Region {
  static constexpr const char* kType = "PciMemoryRegion";
  s64 bar = 0, address = -1;
  RegionType type{};
  u64 size = 0;
  std::optional<bool> prefetch, mem64;
  template <class V>
  void visit(V& v) {
    v("bar", bar, "6: expansion ROM");
    v("type", type);
    v("address", address, "-1: not mapped");
    v("size", size);
    v("prefetch", prefetch);
    v("mem_type_64", mem64);
  }
};
struct Function {
  static constexpr const char* kType = "PciDeviceInfo";
  s64 bus = 0, slot = 0, function = 0, pin = 0;
  ClassInfo class_info;
  Ids id;
  std::optional<s64> irq;
  std::string device_id;
  std::vector<Region> regions;
  template <class V>
  void visit(V& v) {
    v("bus", bus);
    v("slot", slot);
    v("function", function);
    v("class_info", class_info);
    v("id", id);
    v("irq", irq, "what the firmware wrote to the interrupt line register");
    v("irq_pin", pin, "0: none; 1 to 4: INTA# to INTD#");
    v("qdev_id", device_id, "what -device's id= says");
    v("regions", regions);
  }
};
struct Bus {
  static constexpr const char* kType = "PciInfo";
  s64 bus = 0;
  std::vector<Function> devices;
  template <class V>
  void visit(V& v) {
    v("bus", bus);
    v("devices", devices);
  }
};

const char* class_text(s64 code) {
  switch (code) {
    case 0x0101: return "IDE controller";
    case 0x0200: return "Ethernet controller";
    case 0x0300: return "VGA controller";
    case 0x0100: return "SCSI controller";
    case 0x0600: return "Host bridge";
    case 0x0601: return "ISA bridge";
    case 0x0680: return "Bridge";
    default: return nullptr;
  }
}

Function describe(const machine::PciFunctionInfo& f) {
  const auto word = [&](size_t at) { return static_cast<s64>(load_le<u16>(&f.config[at])); };
  Function out{.slot = f.slot, .function = f.function, .pin = f.config[kPin], .device_id = f.id};
  out.class_info.code = word(kClass);
  if (const char* text = class_text(word(kClass))) out.class_info.text = text;
  out.id = {.device = word(kDevice), .vendor = word(kVendor)};
  if (word(kSubVendor)) {
    out.id.subsystem = word(kSubsystem);
    out.id.subsystem_vendor = word(kSubVendor);
  }
  if (f.config[kPin]) out.irq = f.config[kLine];
  for (const machine::PciRegionInfo& r : f.regions) {
    Region region{
        .bar = r.bar, .address = r.address, .type = r.io ? RegionType::io : RegionType::memory, .size = r.size};
    if (!r.io) {
      region.prefetch = r.prefetchable;
      region.mem64 = r.is_64bit;
    }
    out.regions.push_back(region);
  }
  return out;
}

Answer<std::vector<Bus>> query_pci(Context& c, Empty&) {
  std::vector<Bus> out;
  for (const machine::PciFunctionInfo& f : c.machine.pci_functions()) {
    if (out.empty()) out.emplace_back();
    out[0].devices.push_back(describe(f));
  }
  return out;
}

constexpr Definition kRows[] = {command<&query_pci>("query-pci", "the PCI bus and what is plugged into it")};

}  // namespace

std::span<const Definition> pci_commands() { return kRows; }

}  // namespace doppel::monitor

#include "firmware/acpi.h"

#include <string_view>

#include "base/assert.h"
#include "firmware/fw_cfg.h"

namespace doppel::firmware {
namespace {
constexpr const char* kTablesFile = "etc/acpi/tables";
constexpr const char* kRsdpFile = "etc/acpi/rsdp";
constexpr const char* kLoaderFile = "etc/table-loader";
constexpr size_t kHeaderSize = 36, kChecksumAt = 9;

// Commands of the loader script: 128 bytes each.
class LoaderScript {
 public:
  enum Zone : u8 { kHigh = 1, kFSegment = 2 };
  void allocate(const char* file, u32 align, Zone zone) {
    u8* entry = add(1);
    put_name(entry + 4, file);
    store_le<u32>(entry + 60, align);
    entry[64] = zone;
  }
  // Adds the address of `source` to the little-endian value of `size` bytes at `offset` in `file`.
  void add_pointer(const char* file, const char* source, u32 offset, u8 size) {
    u8* entry = add(2);
    put_name(entry + 4, file);
    put_name(entry + 60, source);
    store_le<u32>(entry + 116, offset);
    entry[120] = size;
  }
  void add_checksum(const char* file, u32 offset, u32 start, u32 length) {
    u8* entry = add(3);
    put_name(entry + 4, file);
    store_le<u32>(entry + 60, offset);
    store_le<u32>(entry + 64, start);
    store_le<u32>(entry + 68, length);
  }
  std::vector<u8> take() { return std::move(bytes_); }

 private:
  u8* add(u32 command) {
    bytes_.resize(bytes_.size() + 128);
    u8* entry = bytes_.data() + bytes_.size() - 128;
    store_le<u32>(entry, command);
    return entry;
  }
  static void put_name(u8* at, std::string_view name) { std::memcpy(at, name.data(), name.size()); }
  std::vector<u8> bytes_;
};

// Appends to a byte string, and remembers pointers into the same file.
class TableWriter {
 public:
  explicit TableWriter(LoaderScript& script) : script_(script) {}
  void u8_(u8 v) { out_.push_back(v); }
  void u16_(u16 v) { put(v, 2); }
  void u32_(u32 v) { put(v, 4); }
  void u64_(u64 v) { put(v, 8); }
  void text(std::string_view s, size_t width) {
    for (size_t i = 0; i < width; i++) out_.push_back(i < s.size() ? static_cast<u8>(s[i]) : u8{0});
  }
  void zero(size_t n) { out_.resize(out_.size() + n); }
  void bytes(const std::vector<u8>& data) { out_.insert(out_.end(), data.begin(), data.end()); }
  void pointer(u32 table, u8 size) {
    script_.add_pointer(kTablesFile, kTablesFile, static_cast<u32>(out_.size()), size);
    put(table, size);
  }
  // Generic address structure (ACPI 2.0, 5.2.3.1).
  void gas(u8 space, u8 width, u8 access, u64 address) { u8_(space), u8_(width), u8_(0), u8_(access), u64_(address); }
  void align(size_t to) { out_.resize(align_up(out_.size(), to)); }

  u32 begin(std::string_view signature, u8 revision) {
    align(16);
    start_ = out_.size();
    text(signature, 4);
    u32_(0);
    u8_(revision), u8_(0);
    text("DOPPEL", 6), text("DOPPELPC", 8);
    u32_(1);
    text("DOPL", 4), u32_(1);
    return static_cast<u32>(start_);
  }
  void end() {
    const u32 length = static_cast<u32>(out_.size() - start_);
    store_le<u32>(&out_[start_ + 4], length);
    script_.add_checksum(kTablesFile, static_cast<u32>(start_ + kChecksumAt), static_cast<u32>(start_), length);
  }
  size_t size() const { return out_.size(); }
  std::vector<u8> take() { return std::move(out_); }

 private:
  void put(u64 v, unsigned size) {
    for (unsigned i = 0; i < size; i++) out_.push_back(static_cast<u8>(v >> (8 * i)));
  }
  LoaderScript& script_;
  std::vector<u8> out_;
  size_t start_ = 0;
};

u32 write_facs(TableWriter& w) {
  w.align(64);
  const u32 at = static_cast<u32>(w.size());
  w.text("FACS", 4);
  w.u32_(64);
  w.zero(56);
  return at;
}

// Fixed ACPI description table, revision 3 (ACPI 2.0, 5.2.8): registers of the PIIX4 and the reset control register.
u32 write_fadt(TableWriter& w, const AcpiConfig& config, u32 facs, u32 dsdt) {
  enum Flags : u32 {
    kWbinvd = 1 << 0,
    kProcC1 = 1 << 2,
    kSleepButtonNotFixed = 1 << 5,
    kRtcS4 = 1 << 7,
    kResetRegister = 1 << 10
  };
  enum BootArch : u16 { kLegacyDevices = 1, k8042 = 2 };
  constexpr u16 kSci = 9, kSmiCommandPort = 0xb2, kResetPort = 0xcf9;
  const u32 base = config.pm_base;
  const u32 at = w.begin("FACP", 3);
  w.pointer(facs, 4), w.pointer(dsdt, 4);
  w.u8_(0), w.u8_(1);  // reserved; profile: desktop
  w.u16_(kSci), w.u32_(kSmiCommandPort);
  w.u8_(0xf1), w.u8_(0xf0), w.u8_(0), w.u8_(0);  // ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT
  w.u32_(base), w.u32_(0), w.u32_(base + 4), w.u32_(0), w.u32_(0), w.u32_(base + 8), w.u32_(base + 12), w.u32_(0);
  w.u8_(4), w.u8_(2), w.u8_(0), w.u8_(4), w.u8_(4), w.u8_(0), w.u8_(0),
      w.u8_(0);                              // lengths of the blocks above; GPE1 base, CST
  w.u16_(0xfff), w.u16_(0xfff);              // C2, C3: not supported
  w.u16_(0), w.u16_(0), w.u8_(0), w.u8_(0);  // flush size and stride, duty cycle
  w.u8_(0), w.u8_(0), w.u8_(0x32);           // day and month alarm, century in CMOS
  w.u16_(kLegacyDevices | k8042), w.u8_(0);
  w.u32_(kWbinvd | kProcC1 | kSleepButtonNotFixed | kRtcS4 | kResetRegister);
  w.gas(1, 8, 1, kResetPort);
  w.u8_(0x06), w.zero(3);  // RESET_VALUE: reset CPU and system
  w.u64_(0);               // X_FIRMWARE_CTRL: the 32-bit one holds
  w.pointer(dsdt, 8);
  w.gas(1, 32, 2, base), w.gas(1, 0, 0, 0), w.gas(1, 16, 2, base + 4), w.gas(1, 0, 0, 0), w.gas(1, 0, 0, 0);
  w.gas(1, 32, 3, base + 8), w.gas(1, 32, 1, base + 12), w.gas(1, 0, 0, 0);
  w.end();
  return at;
}

// Multiple APIC description table (ACPI 2.0, 5.2.10.4). The 8254 is wired to I/O APIC input 2; PCI's interrupts arrive
// through the PIIX3 as ISA interrupts that are level-triggered and active high.
u32 write_madt(TableWriter& w, const AcpiConfig& config) {
  constexpr u16 kLevelActiveHigh = 0x0d;
  const u32 at = w.begin("APIC", 1);
  w.u32_(0xfee00000), w.u32_(1);  // PCAT_COMPAT: 8259s present
  for (u32 i = 0; i < config.cpus; i++)
    w.u8_(0), w.u8_(8), w.u8_(static_cast<u8>(i)), w.u8_(static_cast<u8>(i)), w.u32_(1);
  w.u8_(1), w.u8_(12), w.u8_(0), w.u8_(0), w.u32_(0xfec00000), w.u32_(0);
  const auto override_ = [&](u8 source, u32 input, u16 flags) {
    w.u8_(2), w.u8_(10), w.u8_(0), w.u8_(source), w.u32_(input), w.u16_(flags);
  };
  override_(0, 2, 0);
  for (const u8 line : {5, 9, 10, 11}) override_(line, line, kLevelActiveHigh);
  w.u8_(4), w.u8_(6), w.u8_(0xff), w.u16_(0), w.u8_(1);  // NMI at LINT1 of all CPUs
  w.end();
  return at;
}

u32 write_hpet(TableWriter& w) {
  const u32 at = w.begin("HPET", 1);
  w.u32_(0x8086a201);  // 8086, legacy replacement, 64-bit counter, 3 timers, revision 1
  w.gas(0, 0, 0, 0xfed00000);
  w.u8_(0), w.u16_(0), w.u8_(0);
  w.end();
  return at;
}

u32 write_root(TableWriter& w, std::string_view signature, const std::vector<u32>& tables, u8 pointer_size) {
  const u32 at = w.begin(signature, 1);
  for (const u32 table : tables) w.pointer(table, pointer_size);
  w.end();
  return at;
}

std::vector<u8> build_rsdp(LoaderScript& script, u32 rsdt, u32 xsdt) {
  std::vector<u8> rsdp(36);
  std::memcpy(rsdp.data(), "RSD PTR ", 8);
  std::memcpy(&rsdp[9], "DOPPEL", 6);
  rsdp[15] = 2;
  store_le<u32>(&rsdp[16], rsdt);
  store_le<u32>(&rsdp[20], 36);
  store_le<u64>(&rsdp[24], xsdt);
  script.add_pointer(kRsdpFile, kTablesFile, 16, 4);
  script.add_pointer(kRsdpFile, kTablesFile, 24, 8);
  script.add_checksum(kRsdpFile, 8, 0, 20);
  script.add_checksum(kRsdpFile, 32, 0, 36);
  return rsdp;
}
}  // namespace

AcpiTables build_acpi(const AcpiConfig& config) {
  LoaderScript script;
  script.allocate(kTablesFile, 64, LoaderScript::kHigh);
  script.allocate(kRsdpFile, 16, LoaderScript::kFSegment);
  TableWriter w(script);
  const u32 facs = write_facs(w);
  const u32 dsdt = w.begin("DSDT", 1);
  w.bytes(build_dsdt_body(config));
  w.end();
  std::vector<u32> tables{write_fadt(w, config, facs, dsdt), write_madt(w, config)};
  if (config.hpet) tables.push_back(write_hpet(w));
  const u32 rsdt = write_root(w, "RSDT", tables, 4);
  const u32 xsdt = write_root(w, "XSDT", tables, 8);
  AcpiTables out;
  out.rsdp = build_rsdp(script, rsdt, xsdt);
  out.tables = w.take();
  out.loader = script.take();
  return out;
}

void add_acpi_files(FwCfg& fw_cfg, const AcpiConfig& config) {
  AcpiTables tables = build_acpi(config);
  fw_cfg.add_file(kTablesFile, std::move(tables.tables));
  fw_cfg.add_file(kRsdpFile, std::move(tables.rsdp));
  fw_cfg.add_file(kLoaderFile, std::move(tables.loader));
}

}  // namespace doppel::firmware

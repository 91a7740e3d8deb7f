#include "firmware/acpi.h"

#include <gtest/gtest.h>

#include <map>

#include "firmware/aml.h"
#include "firmware/fw_cfg.h"
#include "firmware/smbios.h"

namespace doppel::firmware {
namespace {

// Carries out a loader script as the firmware does, with files at made-up addresses.
struct Loaded {
  std::map<std::string, std::vector<u8>> files;
  std::map<std::string, u64> address;

  explicit Loaded(const AcpiTables& t) {
    files["etc/acpi/tables"] = t.tables;
    files["etc/acpi/rsdp"] = t.rsdp;
    for (size_t at = 0; at + 128 <= t.loader.size(); at += 128) run(&t.loader[at]);
  }
  void run(const u8* e) {
    const std::string file(reinterpret_cast<const char*>(e + 4));
    switch (load_le<u32>(e)) {
      case 1: address[file] = e[64] == 2 ? 0xf5a00 : 0x7fe0000; break;
      case 2: {
        const std::string source(reinterpret_cast<const char*>(e + 60));
        u8* at = &files.at(file).at(load_le<u32>(e + 116));
        u64 value = 0;
        std::memcpy(&value, at, e[120]);
        value += address.at(source);
        std::memcpy(at, &value, e[120]);
        break;
      }
      case 3: {
        auto& data = files.at(file);
        u8 sum = 0;
        const u32 start = load_le<u32>(e + 64), length = load_le<u32>(e + 68);
        for (u32 i = 0; i < length; i++) sum = static_cast<u8>(sum + data.at(start + i));
        data.at(load_le<u32>(e + 60)) = static_cast<u8>(data.at(load_le<u32>(e + 60)) - sum);
        break;
      }
      default: FAIL() << "unknown command";
    }
  }
  const u8* table(u64 pa) { return &files.at("etc/acpi/tables").at(pa - address.at("etc/acpi/tables")); }
};

u8 sum_of(const u8* p, size_t n) {
  u8 sum = 0;
  for (size_t i = 0; i < n; i++) sum = static_cast<u8>(sum + p[i]);
  return sum;
}

TEST(Acpi, TablesLinkTogether) {
  AcpiConfig config;
  config.cpus = 3;
  Loaded m(build_acpi(config));
  const auto& rsdp = m.files.at("etc/acpi/rsdp");
  EXPECT_EQ(sum_of(rsdp.data(), 20), 0);
  EXPECT_EQ(sum_of(rsdp.data(), 36), 0);
  const u8* rsdt = m.table(load_le<u32>(&rsdp[16]));
  const u8* xsdt = m.table(load_le<u64>(&rsdp[24]));
  ASSERT_EQ(std::string(reinterpret_cast<const char*>(rsdt), 4), "RSDT");
  ASSERT_EQ(std::string(reinterpret_cast<const char*>(xsdt), 4), "XSDT");
  std::map<std::string, const u8*> tables;
  for (u32 at = 36; at < load_le<u32>(rsdt + 4); at += 4) {
    const u8* t = m.table(load_le<u32>(rsdt + at));
    tables[std::string(reinterpret_cast<const char*>(t), 4)] = t;
    EXPECT_EQ(sum_of(t, load_le<u32>(t + 4)), 0);
    EXPECT_EQ(load_le<u64>(xsdt + 36 + (at - 36) * 2), load_le<u32>(rsdt + at));
  }
  ASSERT_TRUE(tables.contains("FACP") && tables.contains("APIC") && tables.contains("HPET"));
  const u8* fadt = tables["FACP"];
  EXPECT_EQ(load_le<u32>(fadt + 4), 244u);
  EXPECT_EQ(load_le<u32>(fadt + 56), 0x600u);
  EXPECT_EQ(load_le<u32>(fadt + 76), 0x608u);
  const u8* dsdt = m.table(load_le<u32>(fadt + 40));
  EXPECT_EQ(load_le<u64>(fadt + 140), load_le<u32>(fadt + 40));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(dsdt), 4), "DSDT");
  EXPECT_EQ(sum_of(dsdt, load_le<u32>(dsdt + 4)), 0);
  const u32 facs = load_le<u32>(fadt + 36);
  EXPECT_EQ(facs % 64, 0u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(m.table(facs)), 4), "FACS");
  int cpus = 0;
  const u8* madt = tables["APIC"];
  for (u32 at = 44; at < load_le<u32>(madt + 4); at += madt[at + 1]) cpus += madt[at] == 0;
  EXPECT_EQ(cpus, 3);
}

TEST(Acpi, HpetIsOptional) {
  AcpiConfig config;
  config.hpet = false;
  const AcpiTables t = build_acpi(config);
  const std::string text(t.tables.begin(), t.tables.end());
  EXPECT_EQ(text.find("HPET"), std::string::npos);
}

TEST(Aml, Encodings) {
  using namespace aml;
  EXPECT_EQ(integer(0).bytes, (std::vector<u8>{0x00}));
  EXPECT_EQ(integer(1).bytes, (std::vector<u8>{0x01}));
  EXPECT_EQ(integer(0x80).bytes, (std::vector<u8>{0x0a, 0x80}));
  EXPECT_EQ(integer(0x1234).bytes, (std::vector<u8>{0x0b, 0x34, 0x12}));
  EXPECT_EQ(eisa_id("PNP0A03").bytes, (std::vector<u8>{0x0c, 0x41, 0xd0, 0x0a, 0x03}));
  EXPECT_EQ(name_string("\\_SB.PCI0").bytes, (std::vector<u8>{'\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0'}));
  EXPECT_EQ(name_string("^A").bytes, (std::vector<u8>{'^', 'A', '_', '_', '_'}));
  // Lengths below 64 take one byte, more take a second.
  EXPECT_EQ(buffer(std::vector<u8>(3)).bytes[1], 6);
  const auto large = buffer(std::vector<u8>(100)).bytes;
  EXPECT_EQ(large[1], 0x40 | ((100 + 2 + 2) & 15));
  EXPECT_EQ(large[2], (100 + 2 + 2) >> 4);
  EXPECT_EQ(large.size(), 1u + 104);
  EXPECT_EQ(io(0x3f8, 0x3f8, 0, 8).bytes, (std::vector<u8>{0x47, 1, 0xf8, 3, 0xf8, 3, 0, 8}));
}

TEST(Smbios, StructuresAreWellFormed) {
  SmbiosConfig config;
  config.product = "p", config.board_version = "v";
  config.sockets = 2, config.cores = 2;
  config.ram_below_4g = u64{3} << 30, config.ram_above_4g = u64{30} << 30;
  ASSERT_TRUE(parse_uuid("550e8400-e29b-41d4-a716-446655440000", config.uuid));
  const SmbiosTables t = build_smbios(config);
  EXPECT_EQ(load_le<u16>(&t.anchor[22]), t.tables.size());
  int count = 0, cpus = 0, modules = 0, last = -1;
  for (size_t at = 0; at < t.tables.size(); count++) {
    last = t.tables[at];
    cpus += last == 4, modules += last == 17;
    at += t.tables[at + 1];
    while (t.tables.at(at) || t.tables.at(at + 1)) at++;
    at += 2;
  }
  EXPECT_EQ(count, load_le<u16>(&t.anchor[28]));
  EXPECT_EQ(cpus, 2);
  EXPECT_EQ(modules, 3);
  EXPECT_EQ(last, 127);
  EXPECT_FALSE(parse_uuid("550e8400", config.uuid));
  EXPECT_FALSE(parse_uuid("550e8400-e29b-41d4-a716-44665544000g", config.uuid));
}

}  // namespace
}  // namespace doppel::firmware

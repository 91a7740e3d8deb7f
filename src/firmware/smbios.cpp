#include "firmware/smbios.h"

#include <algorithm>
#include <string_view>

#include "firmware/fw_cfg.h"

namespace doppel::firmware {
namespace {
constexpr u64 kMiB = u64{1} << 20, k4GiB = u64{1} << 32;

// One structure: formatted area, then its strings (numbered from 1), then two zero bytes.
class Structure {
 public:
  Structure(u8 type, u16 handle) { u8_(type), u8_(0), u16_(handle); }
  Structure& u8_(u8 v) { return put(v, 1); }
  Structure& u16_(u16 v) { return put(v, 2); }
  Structure& u32_(u32 v) { return put(v, 4); }
  Structure& u64_(u64 v) { return put(v, 8); }
  Structure& bytes(const u8* data, size_t size) {
    out_.insert(out_.end(), data, data + size);
    return *this;
  }
  Structure& text(std::string_view s) {
    if (s.empty()) return u8_(0);
    strings_.emplace_back(s);
    return u8_(static_cast<u8>(strings_.size()));
  }
  std::vector<u8> finish() {
    out_[1] = static_cast<u8>(out_.size());
    for (const std::string& s : strings_) {
      out_.insert(out_.end(), s.begin(), s.end());
      out_.push_back(0);
    }
    if (strings_.empty()) out_.push_back(0);
    out_.push_back(0);
    return std::move(out_);
  }

 private:
  Structure& put(u64 v, unsigned size) {
    for (unsigned i = 0; i < size; i++) out_.push_back(static_cast<u8>(v >> (8 * i)));
    return *this;
  }
  std::vector<u8> out_;
  std::vector<std::string> strings_;
};

struct Tables {
  std::vector<u8> bytes;
  u16 count = 0, largest = 0;
  void add(Structure& s) {
    const std::vector<u8> one = s.finish();
    bytes.insert(bytes.end(), one.begin(), one.end());
    count++;
    largest = std::max(largest, static_cast<u16>(one.size()));
  }
};

void add_bios(Tables& t) {
  Structure s(0, 0x0000);
  s.text("SeaBIOS").text("Doppel").u16_(0xe800).text("04/01/2014").u8_(0);
  s.u64_(0x08);        // characteristics: not supported
  s.u8_(0).u8_(0x14);  // ACPI no claim; UEFI no, virtual machine, targeted content distribution
  s.u8_(0).u8_(0).u8_(0xff).u8_(0xff);
  t.add(s);
}

// The first three fields are little-endian since version 2.6.
void add_system(Tables& t, const SmbiosConfig& c) {
  const auto& id = c.uuid;
  const u8 wire[16] = {id[3], id[2], id[1],  id[0],  id[5],  id[4],  id[7],  id[6],
                       id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]};
  Structure s(1, 0x0100);
  s.text("Doppel").text(c.product).text(c.board_version).u8_(0).bytes(wire, sizeof wire).u8_(6).u8_(0).u8_(0);
  t.add(s);
}

void add_chassis(Tables& t, const SmbiosConfig& c) {
  Structure s(3, 0x0300);
  s.text("Doppel").u8_(1).text(c.board_version).u8_(0).u8_(0);
  s.u8_(3).u8_(3).u8_(3).u8_(2).u32_(0).u8_(0).u8_(0).u8_(0).u8_(0).u8_(0);  // states safe, security unknown
  t.add(s);
}

void add_processor(Tables& t, const SmbiosConfig& c, u32 socket) {
  Structure s(4, static_cast<u16>(0x0400 + socket));
  s.text("CPU " + std::to_string(socket)).u8_(3).u8_(1).text("Doppel").u32_(c.cpu_signature).u32_(c.cpu_features);
  s.text(c.board_version).u8_(0).u16_(0).u16_(2000).u16_(2000).u8_(0x41).u8_(1);  // populated, enabled; upgrade: other
  s.u16_(0xffff).u16_(0xffff).u16_(0xffff).u8_(0).u8_(0).u8_(0);
  s.u8_(static_cast<u8>(c.cores)).u8_(static_cast<u8>(c.cores)).u8_(static_cast<u8>(c.cores * c.threads));
  s.u16_(2)
      .u16_(1)
      .u16_(static_cast<u16>(c.cores))
      .u16_(static_cast<u16>(c.cores))
      .u16_(static_cast<u16>(c.cores * c.threads));
  t.add(s);
}

void add_memory(Tables& t, const SmbiosConfig& c) {
  constexpr u64 kModule = u64{16} << 30;
  const u64 total = c.ram_below_4g + c.ram_above_4g;
  const u32 modules = static_cast<u32>((total + kModule - 1) / kModule);
  Structure array(16, 0x1000);
  const bool large = total >= (u64{2} << 40);
  array.u8_(1)
      .u8_(3)
      .u8_(6)
      .u32_(large ? 0x80000000 : static_cast<u32>(total >> 10))
      .u16_(0xfffe)
      .u16_(static_cast<u16>(modules));
  array.u64_(large ? total : 0);
  t.add(array);
  for (u32 i = 0; i < modules; i++) {
    const u64 mib = std::min(kModule, total - i * kModule) / kMiB;
    Structure s(17, static_cast<u16>(0x1100 + i));
    s.u16_(0x1000).u16_(0xfffe).u16_(0xffff).u16_(0xffff).u16_(static_cast<u16>(mib)).u8_(9).u8_(0);
    s.text("DIMM " + std::to_string(i))
        .u8_(0)
        .u8_(7)
        .u16_(2)
        .u16_(0)
        .text("Doppel")
        .u8_(0)
        .u8_(0)
        .u8_(0)
        .u8_(0)
        .u32_(0);
    s.u16_(0).u16_(0).u16_(0).u16_(0);
    t.add(s);
  }
  const auto range = [&](u16 handle, u64 start, u64 size) {
    Structure s(19, handle);
    const bool wide = (start + size) >> 10 > 0xffffffff;
    s.u32_(wide ? 0xffffffff : static_cast<u32>(start >> 10))
        .u32_(wide ? 0xffffffff : static_cast<u32>((start + size - 1) >> 10));
    s.u16_(0x1000).u8_(static_cast<u8>(modules)).u64_(wide ? start : 0).u64_(wide ? start + size - 1 : 0);
    t.add(s);
  };
  range(0x1300, 0, c.ram_below_4g);
  if (c.ram_above_4g) range(0x1301, k4GiB, c.ram_above_4g);
}
}  // namespace

SmbiosTables build_smbios(const SmbiosConfig& config) {
  Tables t;
  add_bios(t);
  add_system(t, config);
  add_chassis(t, config);
  for (u32 i = 0; i < config.sockets; i++) add_processor(t, config, i);
  add_memory(t, config);
  Structure boot(32, 0x2000);
  boot.u32_(0).u16_(0).u8_(0);  // no errors detected
  t.add(boot);
  Structure end(127, 0x7f00);
  t.add(end);

  // Entry point; the firmware fills in the address and the checksums.
  std::vector<u8> anchor(31);
  std::memcpy(anchor.data(), "_SM_", 4);
  anchor[5] = 31, anchor[6] = 2, anchor[7] = 8;
  store_le<u16>(&anchor[8], t.largest);
  std::memcpy(&anchor[16], "_DMI_", 5);
  store_le<u16>(&anchor[22], static_cast<u16>(t.bytes.size()));
  store_le<u16>(&anchor[28], t.count);
  anchor[30] = 0x28;
  return {std::move(anchor), std::move(t.bytes)};
}

void add_smbios_files(FwCfg& fw_cfg, const SmbiosConfig& config) {
  SmbiosTables tables = build_smbios(config);
  fw_cfg.add_file("etc/smbios/smbios-anchor", std::move(tables.anchor));
  fw_cfg.add_file("etc/smbios/smbios-tables", std::move(tables.tables));
}

bool parse_uuid(const std::string& text, std::array<u8, 16>& uuid) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  if (text.size() != 36) return false;
  size_t n = 0;
  for (size_t i = 0; i < text.size(); i++) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return false;
      continue;
    }
    const int value = digit(text[i]);
    if (value < 0) return false;
    uuid[n / 2] = static_cast<u8>((uuid[n / 2] << 4) | value);
    n++;
  }
  return true;
}

}  // namespace doppel::firmware

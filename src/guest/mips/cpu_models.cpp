// MIPS CPU models and the parser of -cpu. Sources: the software user's manuals of the cores (4K MD00016, 4KE MD00103,
// 24K MD00343, 5K MD00055); vol. III, 9.46 and following (Config registers).
#include "guest/mips/cpu_models.h"

#include <algorithm>
#include <cctype>

#include "guest/mips/state.h"

namespace doppel::mips {
namespace {

constexpr u32 kConfigMore = u32{1} << 31;

// Config: architecture type and release, TLB, kseg0 cacheable.
constexpr u32 config0(bool is_64bit, unsigned release) {
  return kConfigMore | (is_64bit ? 2u << 13 : 0) | (release - 1) << 10 | 1u << 7 | 2;
}
// Config1: TLB size; 16 KiB or 32 KiB caches of four ways with lines of 32 bytes; EJTAG left out, watch registers left
// out.
constexpr u32 config1(unsigned tlb, unsigned sets_log2, bool fpu, bool more) {
  const u32 cache = (sets_log2 - 6) << 6 | 4 << 3 | 3;
  return (more ? kConfigMore : 0) | (tlb - 1) << 25 | cache << 16 | cache << 7 | (fpu ? 1u : 0);
}
constexpr u32 kConfig3Vint = 1 << 5, kConfig3Ulri = 1 << 13;
constexpr u32 kConfig7Wii = u32{1} << 31;

constexpr u32 kStatus32 =
    ST_IE | ST_EXL | ST_ERL | (2 << kKsuShift) | ST_IM | ST_NMI | ST_SR | ST_TS | ST_BEV | ST_RP | ST_CU0;
constexpr u32 kStatus64 = kStatus32 | ST_KSU | ST_UX | ST_SX | ST_KX | ST_PX;

struct Row {
  const char* name;
  const char* description;
  bool is_64bit;
  unsigned release;
  bool fpu, fpu64;
  u32 prid, fir;
  unsigned tlb, sets_log2;
  u32 config3, config7;
  unsigned va_bits, pa_bits;
};
constexpr Row kRows[] = {
    {"4Kc", "MIPS32 4Kc", false, 1, false, false, 0x00018000, 0, 16, 7, 0, 0, 32, 32},
    {"4KEc", "MIPS32 4KEc, release 2", false, 2, false, false, 0x00019000, 0, 16, 7, kConfig3Vint, 0, 32, 32},
    {"24Kc", "MIPS32 24Kc", false, 2, false, false, 0x00019300, 0, 16, 8, kConfig3Vint | kConfig3Ulri, kConfig7Wii, 32,
     32},
    {"24Kf", "MIPS32 24Kf, with floating point", false, 2, true, true, 0x00019300, 0x00739300, 16, 8,
     kConfig3Vint | kConfig3Ulri, kConfig7Wii, 32, 32},
    {"5Kc", "MIPS64 5Kc", true, 1, false, false, 0x00018100, 0, 32, 8, 0, 0, 42, 36},
    {"5Kf", "MIPS64 5Kf, with floating point", true, 1, true, true, 0x00018100, 0x00338100, 32, 8, 0, 0, 42, 36},
    {"MIPS64R2-generic", "a MIPS64 of release 2 with floating point", true, 2, true, true, 0x00010000, 0x00730000, 64,
     8, kConfig3Vint | kConfig3Ulri, 0, 42, 36},
};

CpuModel make(const Row& r, bool big_endian) {
  CpuModel m;
  m.name = r.name;
  m.description = r.description;
  m.is_64bit = r.is_64bit;
  m.big_endian = big_endian;
  m.release = r.release;
  m.fpu = r.fpu;
  m.fpu64 = r.fpu64;
  m.prid = r.prid;
  m.fir = r.fir;
  m.tlb_entries = r.tlb;
  m.config0 = config0(r.is_64bit, r.release) | (big_endian ? 1u << 15 : 0);
  m.config1 = config1(r.tlb, r.sets_log2, r.fpu, true);
  m.config2 = r.config3 ? kConfigMore : 0;
  m.config3 = r.config3;
  m.config7 = r.config7;
  m.status_writable = (r.is_64bit ? kStatus64 : kStatus32) | (r.fpu ? u32{ST_CU1} : 0) | (r.fpu64 ? u32{ST_FR} : 0);
  m.va_bits = r.va_bits;
  m.pa_bits = r.pa_bits;
  return m;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

Result<CpuModel> parse_cpu(std::string_view spec, bool is_64bit, bool big_endian) {
  const std::string_view name = spec.substr(0, spec.find(','));
  if (name.size() != spec.size())
    return Error{"a MIPS CPU has no features to switch: '" + std::string(spec.substr(name.size() + 1)) + "'",
                 "leave out what follows the comma"};
  for (const Row& row : kRows) {
    if (lower(row.name) != lower(name)) continue;
    if (row.is_64bit && !is_64bit)
      return Error{"the CPU " + std::string(row.name) + " is one of 64 bits", "use qemu-system-mips64 or -mips64el"};
    return make(row, big_endian);
  }
  return Error{"there is no CPU model '" + std::string(name) + "'", "-cpu help lists them"};
}

std::vector<CpuModel> all_models() {
  std::vector<CpuModel> out;
  for (const Row& row : kRows) out.push_back(make(row, false));
  return out;
}

std::string cpu_help(bool is_64bit) {
  std::string text;
  for (const Row& row : kRows)
    if (is_64bit || !row.is_64bit) text += "MIPS '" + std::string(row.name) + "'\n";
  return text;
}

}  // namespace doppel::mips

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
constexpr u32 kConfig3Vint = 1 << 5, kConfig3Dsp = 1 << 10, kConfig3Dsp2 = 1 << 11, kConfig3Ulri = 1 << 13,
              kConfig3Msa = 1 << 28;
constexpr u32 kConfig7Wii = u32{1} << 31;

constexpr u32 kStatus32 =
    ST_IE | ST_EXL | ST_ERL | (2 << kKsuShift) | ST_IM | ST_NMI | ST_SR | ST_TS | ST_BEV | ST_RP | ST_CU0;
constexpr u32 kStatus64 = kStatus32 | ST_KSU | ST_UX | ST_SX | ST_KX | ST_PX;

// What a core has besides its release of the architecture.
enum Extra : u32 {
  kFpu = 1,     // floating point
  kFpu64 = 2,   // with registers of 64 bits
  kPaired = 4,  // paired single
  kMips3d = 8,
  kDspR1 = 16,  // the DSP module
  kDspR2 = 32,
  kMsa = 64,  // vectors; and NaNs as IEEE 754-2008 has them
  kMips16 = 128,
};

struct Row {
  const char* name;
  const char* description;
  bool is_64bit;
  unsigned release;
  u32 extra;
  u32 prid, fir;
  unsigned tlb, sets_log2;
  u32 config3, config7;
  unsigned va_bits, pa_bits;
};
constexpr u32 kR2 = kConfig3Vint | kConfig3Ulri, kFloat = kFpu | kFpu64;
constexpr Row kRows[] = {
    {"4Kc", "MIPS32 4Kc", false, 1, 0, 0x00018000, 0, 16, 7, 0, 0, 32, 32},
    {"4KEc", "MIPS32 4KEc, release 2", false, 2, kMips16, 0x00019000, 0, 16, 7, kConfig3Vint, 0, 32, 32},
    {"24Kc", "MIPS32 24Kc", false, 2, kMips16, 0x00019300, 0, 16, 8, kR2, kConfig7Wii, 32, 32},
    {"24Kf", "MIPS32 24Kf, with floating point", false, 2, kFloat | kMips16, 0x00019300, 0x00739300, 16, 8, kR2,
     kConfig7Wii, 32, 32},
    {"34Kf", "MIPS32 34Kf, with floating point and DSP, without multithreading", false, 2, kFloat | kDspR1 | kMips16,
     0x00019500, 0x00739500, 16, 8, kR2 | kConfig3Dsp, kConfig7Wii, 32, 32},
    {"74Kf", "MIPS32 74Kf, with floating point and DSP revision 2", false, 2, kFloat | kDspR1 | kDspR2 | kMips16,
     0x00019700, 0x00739700, 16, 8, kR2 | kConfig3Dsp | kConfig3Dsp2, kConfig7Wii, 32, 32},
    {"P5600", "MIPS32 P5600, release 5 with floating point and MSA", false, 5, kFloat | kMsa, 0x0001a800, 0x10f30320,
     64, 8, kR2 | kConfig3Msa, kConfig7Wii, 32, 32},
    {"5Kc", "MIPS64 5Kc", true, 1, 0, 0x00018100, 0, 32, 8, 0, 0, 42, 36},
    {"5Kf", "MIPS64 5Kf, with floating point", true, 1, kFloat, 0x00018100, 0x00338100, 32, 8, 0, 0, 42, 36},
    {"20Kc", "MIPS64 20Kc, with floating point, paired single and MIPS-3D", true, 1, kFloat | kPaired | kMips3d,
     0x000182a0, 0x000f8200, 48, 8, 0, 0, 40, 36},
    {"MIPS64R2-generic", "a MIPS64 of release 2 with floating point and paired single", true, 2, kFloat | kPaired,
     0x00010000, 0x00770000, 64, 8, kR2, 0, 42, 36},
};

// Config4 and Config5 are there to say what comes after release 2.
void add_release5(CpuModel& m) {
  m.config3 |= kConfigMore;
  m.config4 = kConfigMore;
  m.msair = m.msa ? 0x0320 : 0;
  m.config5_writable = C5_UFR | (m.msa ? u32{C5_MSAEN} : 0u);
}

CpuModel make(const Row& r, bool big_endian) {
  CpuModel m;
  m.name = r.name;
  m.description = r.description;
  m.is_64bit = r.is_64bit;
  m.big_endian = big_endian;
  m.release = r.release;
  m.fpu = r.extra & kFpu;
  m.fpu64 = r.extra & kFpu64;
  m.paired = r.extra & kPaired;
  m.mips3d = r.extra & kMips3d;
  m.dsp = r.extra & kDspR2 ? 2 : r.extra & kDspR1 ? 1 : 0;
  m.msa = m.nan2008 = r.extra & kMsa;
  m.mips16 = r.extra & kMips16;
  m.prid = r.prid;
  m.fir = r.fir;
  m.tlb_entries = r.tlb;
  m.config0 = config0(r.is_64bit, r.release < 2 ? 1 : 2) | (big_endian ? 1u << 15 : 0);
  m.config1 = config1(r.tlb, r.sets_log2, m.fpu, true) | (m.mips16 ? u32{1} << 2 : 0u);
  m.config2 = r.config3 ? kConfigMore : 0;
  m.config3 = r.config3;
  m.config7 = r.config7;
  if (m.release >= 5) add_release5(m);
  m.status_writable = (r.is_64bit ? kStatus64 : kStatus32) | (m.fpu ? u32{ST_CU1} : 0) | (m.fpu64 ? u32{ST_FR} : 0) |
                      (m.dsp ? u32{ST_MX} : 0);
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

// Sources: proc(5), getauxval(3); the names of flags are those of Linux's /proc/cpuinfo.
#include "app/user/processor.h"

#include <algorithm>
#include <vector>

namespace doppel::app {
namespace {

constexpr const char* kHertz = "2000.000";  // of clocks that do not exist

// --- x86

// Where Linux's name of a flag is another one than that of -cpu.
struct Name {
  const char* ours;
  const char* linux;  // null: not shown
};
constexpr Name kNames[] = {{"sse4.1", "sse4_1"},
                           {"sse4.2", "sse4_2"},
                           {"tsc-deadline", "tsc_deadline_timer"},
                           {"lahf-lm", "lahf_lm"},
                           {"cmp-legacy", "cmp_legacy"},
                           {"fxsr-opt", "fxsr_opt"},
                           {"tsc-adjust", "tsc_adjust"},
                           {"sha-ni", "sha_ni"},
                           {"invtsc", "constant_tsc nonstop_tsc"},
                           {"apic", "apic"},
                           {"monitor", nullptr},  // MWAIT is the kernel's
                           {"smep", nullptr},     // and so are these
                           {"smap", nullptr}};

std::string flags_of(const x86::CpuModel& m) {
  std::string out;
  for (const x86::FeatureRow* row : x86::feature_rows()) {
    if (!m.has(row->word, row->bit)) continue;
    const auto name = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Name& n) { return std::string_view(n.ours) == row->name; });
    const char* text = name == std::end(kNames) ? row->name : name->linux;
    if (text) out += (out.empty() ? "" : " ") + std::string(text);
  }
  return out;
}

std::string x86_entry(const x86::CpuModel& m, unsigned number, unsigned count) {
  const std::string n = std::to_string(number), all = std::to_string(count);
  std::string t = "processor\t: " + n + "\nvendor_id\t: " + m.vendor + "\ncpu family\t: " + std::to_string(m.family) +
                  "\nmodel\t\t: " + std::to_string(m.model) +
                  "\nmodel name\t: " + (m.brand.empty() ? m.name : m.brand) +
                  "\nstepping\t: " + std::to_string(m.stepping) + "\ncpu MHz\t\t: " + kHertz;
  t += "\ncache size\t: 4096 KB\nphysical id\t: 0\nsiblings\t: " + all + "\ncore id\t\t: " + n +
       "\ncpu cores\t: " + all + "\napicid\t\t: " + n + "\ninitial apicid\t: " + n +
       "\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: " + std::to_string(m.level) +
       "\nwp\t\t: yes\nflags\t\t: " + flags_of(m) +
       "\nbugs\t\t:\nbogomips\t: 4000.00\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: " +
       std::to_string(m.phys_bits) + " bits physical, " + (m.has("lm") ? "48" : "32") +
       " bits virtual\npower management:\n\n";
  return t;
}

// --- MIPS

std::string isa_of(const mips::CpuModel& m) {
  std::string out = "mips1 mips2";
  if (m.is_64bit) out += " mips3 mips4 mips5";
  for (const unsigned r : {1u, 2u, 5u})
    if (m.release >= r) out += " mips32r" + std::to_string(r);
  if (m.is_64bit)
    for (const unsigned r : {1u, 2u, 5u})
      if (m.release >= r) out += " mips64r" + std::to_string(r);
  return out;
}

// Extensions: how /proc/cpuinfo names them, in its order, and their bits of AT_HWCAP (<asm/hwcap.h>).
struct Extension {
  const char* name;
  bool there;
  unsigned bit;
};
std::vector<Extension> extensions_of(const mips::CpuModel& m) {
  return {{"mips16", m.mips16, 3},
          {"mips3d", m.mips3d, 5},
          {"dsp", m.dsp >= 1, 7},
          {"dsp2", m.dsp >= 2, 8},
          {"msa", m.msa, 1}};
}

std::string ases_of(const mips::CpuModel& m) {
  std::string out = "\nASEs implemented\t:";
  for (const Extension& e : extensions_of(m))
    if (e.there) out += std::string(" ") + e.name;
  return out;
}

std::string mips_entry(const mips::CpuModel& m, unsigned number) {
  const auto revision = [](u32 id) { return " V" + std::to_string((id >> 4) & 15) + "." + std::to_string(id & 15); };
  return "processor\t\t: " + std::to_string(number) + "\ncpu model\t\t: MIPS " + m.name + revision(m.prid) +
         (m.fpu ? "  FPU" + revision(m.fir) : "") +
         "\nBogoMIPS\t\t: 2000.00\nwait instruction\t: yes\nmicrosecond timers\t: yes\ntlb_entries\t\t: " +
         std::to_string(m.tlb_entries) +
         "\nextra interrupt vector\t: yes\nhardware watchpoint\t: no\nisa\t\t\t: " + isa_of(m) + ases_of(m) +
         "\nshadow register sets\t: 1\nkscratch registers\t: 0\npackage\t\t\t: 0\ncore\t\t\t: " +
         std::to_string(number) + "\nVCED exceptions\t\t: not available\nVCEI exceptions\t\t: not available\n\n";
}

}  // namespace

user::Processor processor_of(const x86::CpuModel& m, bool wide) {
  user::Processor p;
  p.hwcap = m.features[static_cast<size_t>(x86::FeatureWord::L1Edx)];
  constexpr u64 kFsGsBase = 2;  // HWCAP2_FSGSBASE
  if (wide && m.has("fsgsbase")) p.hwcap2 |= kFsGsBase;
  p.platform = wide ? "x86_64" : "i" + std::to_string(std::clamp<u32>(m.family, 3, 6)) + "86";
  p.machine = p.platform;
  p.describe = [m](unsigned number, unsigned count) { return x86_entry(m, number, count); };
  return p;
}

user::Processor processor_of(const mips::CpuModel& m) {
  user::Processor p;
  p.base_platform =
      std::string(m.is_64bit ? "mips64" : "mips32") + (m.release > 1 ? "r" + std::to_string(m.release) : "");
  for (const Extension& e : extensions_of(m))
    if (e.there) p.hwcap |= u64{1} << e.bit;
  p.describe_system = "system type\t\t: doppel user\nmachine\t\t\t: Unknown\n";
  p.describe = [m](unsigned number, unsigned) { return mips_entry(m, number); };
  return p;
}

}  // namespace doppel::app

// CPUID leaves from the model (SDM vol. 2, CPUID; AMD publication 25481 for the 0x8000xxxx leaves).
// Caches: 32 KiB L1 each, 512 KiB to 4 MiB L2. Topology: one package, one core a CPU, no threads.
#include "guest/x86/system/cpuid.h"

#include <bit>

#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

u32 word(const CpuModel& m, FeatureWord w) { return m.features[static_cast<size_t>(w)]; }
u32 text4(const char* p) { return load_le<u32>(p); }

// Bits that APIC IDs need for `n` CPUs.
u32 id_bits(u32 n) { return n <= 1 ? 0 : static_cast<u32>(std::bit_width(n - 1)); }

bool is_amd(const CpuModel& m) { return m.vendor == "AuthenticAMD"; }

CpuidResult leaf1(const X86State& s, const CpuModel& m) {
  const u32 cpus = s.platform->cpu_count();
  CpuidResult r{cpuid_signature(m), 8u << 8 | s.platform->apic_id(s.h.index) << 24, word(m, FeatureWord::L1Ecx),
                word(m, FeatureWord::L1Edx)};
  if (cpus > 1) {
    r.ebx |= (u32{1} << id_bits(cpus)) << 16;
    r.edx |= 1u << 28;  // HTT: more than one logical CPU in the package
  }
  if (s.cr4 & CR4_OSXSAVE) r.ecx |= 1u << 27;
  const u64 base = s.platform->apic_base(s.h.index);
  if (!(base & (1u << 11))) r.edx &= ~(1u << 9);
  return r;
}

// Deterministic cache parameters.
CpuidResult leaf4(const X86State& s, const CpuModel& m, u32 index) {
  if (is_amd(m)) return {};
  struct Cache {
    u32 type, level, ways, sets;
  };
  static constexpr Cache kCaches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 4096}};
  if (index >= std::size(kCaches)) return {};
  const Cache& c = kCaches[index];
  const u32 cores = (u32{1} << id_bits(s.platform->cpu_count())) - 1;
  return {c.type | c.level << 5 | 1u << 8 | cores << 26, 63u | (c.ways - 1) << 22, c.sets - 1, 1};
}

CpuidResult leaf_topology(const X86State& s, u32 subleaf) {
  const u32 cpus = s.platform->cpu_count(), id = s.platform->apic_id(s.h.index);
  CpuidResult r{0, 0, subleaf & 0xff, id};
  if (subleaf == 0) {
    r.ebx = 1;
    r.ecx |= 1u << 8;  // threads
  } else if (subleaf == 1) {
    r.eax = id_bits(cpus);
    r.ebx = cpus;
    r.ecx |= 2u << 8;  // cores
  }
  return r;
}

CpuidResult leaf_xsave(const X86State& s, const CpuModel& m, u32 subleaf) {
  if (!m.has(FeatureWord::L1Ecx, 26)) return {};
  if (subleaf == 0)
    return {static_cast<u32>(kXcr0Supported), xsave_size(s.xcr0, false), xsave_size(kXcr0Supported, false), 0};
  if (subleaf == 1) return {word(m, FeatureWord::D1Eax), xsave_size(s.xcr0, true), 0, 0};
  return {};
}

CpuidResult leaf_ext1(const CpuModel& m) {
  CpuidResult r{cpuid_signature(m), 0, word(m, FeatureWord::E1Ecx), word(m, FeatureWord::E1Edx)};
  if (is_amd(m)) {
    // AMD repeats many bits of leaf 1 (bits 0-9, 12-17, 23, 24).
    constexpr u32 kCommon = 0x3ff | 0x3f000 | 3u << 23;
    r.edx |= word(m, FeatureWord::L1Edx) & kCommon;
  }
  return r;
}

CpuidResult leaf_brand(const CpuModel& m, u32 part) {
  char text[49] = {};
  m.brand.copy(text, 48);
  const char* p = text + 16 * part;
  return {text4(p), text4(p + 4), text4(p + 8), text4(p + 12)};
}

CpuidResult leaf_sizes(const X86State& s, const CpuModel& m) {
  const u32 cpus = s.platform->cpu_count();
  const u32 linear = m.has(FeatureWord::E1Edx, 29) ? 48u << 8 : 32u << 8;
  CpuidResult r{m.phys_bits | linear, 0, 0, 0};
  if (cpus > 1) r.ecx = (cpus - 1) | id_bits(cpus) << 12;
  return r;
}

CpuidResult extended(const X86State& s, const CpuModel& m, u32 leaf) {
  switch (leaf) {
    case 0x80000000u: return {m.xlevel, text4(m.vendor.data()), text4(m.vendor.data() + 8), text4(m.vendor.data() + 4)};
    case 0x80000001u: {
      CpuidResult r = leaf_ext1(m);
      if (is_amd(m) && s.platform->cpu_count() > 1) r.ecx |= 2;  // CMP legacy
      return r;
    }
    case 0x80000002u:
    case 0x80000003u:
    case 0x80000004u: return leaf_brand(m, leaf - 0x80000002u);
    case 0x80000005u:
      if (!is_amd(m)) return {};
      return {0x01ff01ff, 0x01ff01ff, 64u << 24 | 2u << 16 | 1u << 8 | 64, 64u << 24 | 2u << 16 | 1u << 8 | 64};
    case 0x80000006u:
      if (!is_amd(m)) return {0, 0, 256u << 16 | 6u << 12 | 64, 0};
      return {0, 0x42004200, 512u << 16 | 8u << 12 | 1u << 8 | 64, 0};
    case 0x80000007u: return {0, 0, 0, word(m, FeatureWord::E7Edx)};
    case 0x80000008u: return leaf_sizes(s, m);
    default: return {};
  }
}

}  // namespace

u32 cpuid_signature(const CpuModel& m) {
  const u32 family = std::min<u32>(m.family, 15);
  return (m.stepping & 15) | (m.model & 15) << 4 | family << 8 | (m.model >> 4) << 16 | (m.family - family) << 20;
}

u32 xsave_size(u64, bool) { return 512 + 64; }  // x87 and SSE live in the legacy area; the header follows

CpuidResult cpuid(const X86State& s, u32 leaf, u32 subleaf) {
  const CpuModel& m = *s.model;
  if (leaf >= 0x80000000u && leaf <= m.xlevel) return extended(s, m, leaf);
  if (leaf >= 0x40000000u && leaf <= 0x40000001u && m.has(FeatureWord::L1Ecx, 31)) {
    if (leaf == 0x40000001u) return {};
    static constexpr char kSignature[] = "DoppelDoppel";
    return {0x40000001u, text4(kSignature), text4(kSignature + 4), text4(kSignature + 8)};
  }
  if (leaf > m.level) leaf = m.level;  // what Intel's CPUs answer beyond the last leaf
  switch (leaf) {
    case 0: return {m.level, text4(m.vendor.data()), text4(m.vendor.data() + 8), text4(m.vendor.data() + 4)};
    case 1: return leaf1(s, m);
    case 2: return is_amd(m) ? CpuidResult{} : CpuidResult{0x1, 0, 0x4d, 0x2c307d};
    case 4: return leaf4(s, m, subleaf);
    case 5:
      return m.has(FeatureWord::L1Ecx, 3) ? CpuidResult{64, 64, 3, 0}
                                          : CpuidResult{};  // MONITOR: line size, interrupts end MWAIT
    case 6: return {4, 0, 0, 0};                            // the APIC timer runs always
    case 7:
      if (subleaf != 0) return {};
      return {0, word(m, FeatureWord::L7Ebx), word(m, FeatureWord::L7Ecx), word(m, FeatureWord::L7Edx)};
    case 0xb: return leaf_topology(s, subleaf);
    case 0xd: return leaf_xsave(s, m, subleaf);
    default: return {};
  }
}

}  // namespace doppel::x86

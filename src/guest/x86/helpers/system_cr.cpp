// Control and debug registers, paging control, XCR0, model-specific registers, CPUID, time, halting (SDM vol. 2; vol.
// 3, 2.5). Trap: an invalid combination is #GP and changes nothing; changes of paging flush before the next access.
#include <random>
#include <thread>

#include "base/log.h"
#include "guest/x86/helpers/table.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

void require_cpl0(X86State& s) {
  if (s.cpl != 0) raise_error(s, GP, 0);
}
// SGDT and friends under UMIP.
void require_umip(X86State& s) {
  if ((s.cr4 & CR4_UMIP) && s.cpl != 0) raise_error(s, GP, 0);
}

u64 random64(X86State& s) {
  static thread_local std::mt19937_64 generator{s.platform->repeatable() ? s.h.index : std::random_device{}()};
  return generator();
}

void check_general_detect(X86State& s) {
  if (!(s.dr[7] & 0x2000)) return;
  s.exc_dr6 = 1 << 13;
  raise(s, DB);
}

u8 debug_register(X86State& s, u64 n) {
  if ((n == 4 || n == 5) && (s.cr4 & CR4_DE)) raise(s, UD);
  return static_cast<u8>(n == 4 ? 6 : n == 5 ? 7 : n & 7);
}

}  // namespace

u64 cr4_allowed(const CpuModel& m) {
  u64 v = 0;
  const auto add = [&](FeatureWord w, unsigned bit, u64 bits) {
    if (m.has(w, bit)) v |= bits;
  };
  add(FeatureWord::L1Edx, 1, CR4_VME | CR4_PVI);
  add(FeatureWord::L1Edx, 4, CR4_TSD);
  add(FeatureWord::L1Edx, 2, CR4_DE);
  add(FeatureWord::L1Edx, 3, CR4_PSE);
  add(FeatureWord::L1Edx, 6, CR4_PAE);
  add(FeatureWord::L1Edx, 7, CR4_MCE);
  add(FeatureWord::L1Edx, 13, CR4_PGE);
  add(FeatureWord::L1Edx, 24, CR4_OSFXSR);
  add(FeatureWord::L1Edx, 25, CR4_OSXMMEXCPT);
  add(FeatureWord::L1Edx, 23, CR4_PCE);
  add(FeatureWord::L7Ecx, 2, CR4_UMIP);
  add(FeatureWord::L7Ebx, 0, CR4_FSGSBASE);
  add(FeatureWord::L1Ecx, 17, CR4_PCIDE);
  add(FeatureWord::L1Ecx, 26, CR4_OSXSAVE);
  add(FeatureWord::L7Ebx, 7, CR4_SMEP);
  add(FeatureWord::L7Ebx, 20, CR4_SMAP);
  return v;
}

void write_cr0(X86State& s, u64 value) {
  if (value >> 32) raise_error(s, GP, 0);
  constexpr u64 kKnown =
      CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | u64{CR0_NW} | CR0_CD | u64{CR0_PG};
  value = (value & kKnown) | CR0_ET;
  if ((value & CR0_PG) && !(value & CR0_PE)) raise_error(s, GP, 0);
  if ((value & CR0_NW) && !(value & CR0_CD)) raise_error(s, GP, 0);
  if (!(value & CR0_PG) && (s.cr4 & CR4_PCIDE)) raise_error(s, GP, 0);
  const u64 changed = value ^ s.cr0;
  u64 efer = s.efer;
  if (changed & CR0_PG) {
    if (value & CR0_PG) {
      if (efer & EFER_LME) {
        if (!(s.cr4 & CR4_PAE) || (s.seg[CS].attr & kAttrL)) raise_error(s, GP, 0);
        efer |= EFER_LMA;
      } else if ((s.cr4 & CR4_PAE) && !load_pdptes(s, s.cr3)) {
        raise_error(s, GP, 0);
      }
    } else {
      if (code64(s)) raise_error(s, GP, 0);
      efer &= ~u64{EFER_LMA};
    }
  } else if ((value & CR0_PG) && (s.cr4 & CR4_PAE) && !(efer & EFER_LMA) && (changed & (CR0_CD | CR0_NW))) {
    if (!load_pdptes(s, s.cr3)) raise_error(s, GP, 0);
  }
  s.cr0 = value;
  s.efer = efer;
  if ((changed & CR0_PE) && !(value & CR0_PE)) s.cpl = 0;
  if (changed & CR0_PG)
    paging_changed(s);
  else if (changed & (CR0_WP | CR0_PE))
    flush_tlb(s);
  update_mode(s);
}

void write_cr3(X86State& s, u64 value) {
  bool keep = false;
  if (s.cr4 & CR4_PCIDE) {
    keep = value >> 63;
    value &= ~(u64{1} << 63);
  }
  if (long_mode(s)) {
    if (value & ~mask_bits(s.model->phys_bits)) raise_error(s, GP, 0);
  } else {
    value = static_cast<u32>(value);
    if ((s.cr0 & CR0_PG) && (s.cr4 & CR4_PAE) && !load_pdptes(s, value)) raise_error(s, GP, 0);
  }
  s.cr3 = value;
  if (s.cr0 & CR0_PG) switch_space(s, keep);
}

void write_cr4(X86State& s, u64 value) {
  if (value & ~cr4_allowed(*s.model)) raise_error(s, GP, 0);
  const u64 changed = value ^ s.cr4;
  if (long_mode(s) && !(value & CR4_PAE)) raise_error(s, GP, 0);
  if ((changed & CR4_PCIDE) && (value & CR4_PCIDE) && (!long_mode(s) || (s.cr3 & 0xfff))) raise_error(s, GP, 0);
  if ((changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP)) && (s.cr0 & CR0_PG) && (value & CR4_PAE) && !long_mode(s)) {
    const u64 saved = s.cr4;
    s.cr4 = value;
    const bool good = load_pdptes(s, s.cr3);
    s.cr4 = saved;
    if (!good) raise_error(s, GP, 0);
  }
  s.cr4 = value;
  if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PCIDE)) paging_changed(s);
  update_mode(s);
}

u64 helper_mov_to_cr(X86State* sp, u64 n, u64 value) {
  X86State& s = *sp;
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) raise(s, UD);
  require_cpl0(s);
  switch (n) {
    case 0: write_cr0(s, value); break;
    case 2: s.cr2 = value; break;
    case 3: write_cr3(s, value); break;
    case 4: write_cr4(s, value); break;
    default:
      if (value & ~u64{15}) raise_error(s, GP, 0);
      s.cr8 = value;
      s.platform->write_cr8(s.h.index, static_cast<u8>(value));
      break;
  }
  return 0;
}

u64 helper_mov_from_cr(X86State* sp, u64 n) {
  X86State& s = *sp;
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) raise(s, UD);
  require_cpl0(s);
  switch (n) {
    case 0: return s.cr0;
    case 2: return s.cr2;
    case 3: return s.cr3;
    case 4: return s.cr4;
    default: return s.platform->read_cr8(s.h.index);
  }
}

u64 helper_mov_to_dr(X86State* sp, u64 n, u64 value) {
  X86State& s = *sp;
  const u8 reg = debug_register(s, n);
  require_cpl0(s);
  check_general_detect(s);
  if (reg >= 6 && (value >> 32)) raise_error(s, GP, 0);
  if (reg == 6) {
    s.dr[6] = (value & 0xe00f) | 0xffff0ff0;
  } else if (reg == 7) {
    s.dr[7] = (value & 0xffff2bff) | 0x400;
    update_watches(s);
  } else {
    s.dr[reg] = value;
    if (s.dr[7] & 0xff) update_watches(s);
  }
  return 0;
}

u64 helper_mov_from_dr(X86State* sp, u64 n) {
  X86State& s = *sp;
  const u8 reg = debug_register(s, n);
  require_cpl0(s);
  check_general_detect(s);
  return s.dr[reg];
}

u64 helper_lmsw(X86State* sp, u64 value) {
  X86State& s = *sp;
  require_cpl0(s);
  const u64 old = s.cr0;
  write_cr0(s, (old & ~u64{0xe}) | (value & 0xf) | (old & CR0_PE));  // can't clear PE
  return 0;
}

u64 helper_smsw(X86State* s) {
  require_umip(*s);
  return s->cr0;
}

u64 helper_clts(X86State* sp) {
  X86State& s = *sp;
  require_cpl0(s);
  s.cr0 &= ~u64{CR0_TS};
  update_mode(s);
  return 0;
}

u64 helper_xgetbv(X86State* sp) {
  X86State& s = *sp;
  if (!(s.cr4 & CR4_OSXSAVE)) raise(s, UD);
  const u32 n = static_cast<u32>(s.gpr[RCX]);
  if (n == 0) return s.xcr0;
  if (n == 1 && s.model->has(FeatureWord::D1Eax, 2)) return s.xcr0;  // all components are taken as in use
  raise_error(s, GP, 0);
}

u64 helper_xsetbv(X86State* sp) {
  X86State& s = *sp;
  if (!(s.cr4 & CR4_OSXSAVE)) raise(s, UD);
  require_cpl0(s);
  const u64 value = (s.gpr[RDX] << 32) | static_cast<u32>(s.gpr[RAX]);
  if (static_cast<u32>(s.gpr[RCX]) != 0 || !(value & 1) || (value & ~kXcr0Supported)) raise_error(s, GP, 0);
  s.xcr0 = value;
  return 0;
}

// --- paging and caches

u64 helper_invlpg(X86State* sp, u64 va) {
  X86State& s = *sp;
  require_cpl0(s);
  if (s.h.soft_tlb && (!long_mode(s) || canonical(va))) mem::tlb_flush_page(s.h, wrap_linear(s, va));
  return 0;
}

u64 helper_invpcid(X86State* sp, u64 type, u64 va) {
  X86State& s = *sp;
  require_cpl0(s);
  const u64 pcid = mem::load<u64>(s.h, va), address = mem::load<u64>(s.h, va + 8);
  if (type > 3) raise_error(s, GP, 0);
  if (type < 2 && ((pcid >> 12) || (pcid != 0 && !(s.cr4 & CR4_PCIDE)))) raise_error(s, GP, 0);
  if (type == 0 && !canonical(address)) raise_error(s, GP, 0);
  if (!s.h.soft_tlb) return 0;
  switch (type) {
    case 0: mem::tlb_flush_space_page(s.h, pcid, address); break;
    case 1: mem::tlb_flush_space(s.h, pcid, false); break;
    default: mem::tlb_flush_all(s.h); break;  // 3 keeps global pages: dropping them is allowed
  }
  return 0;
}

u64 helper_wbinvd(X86State* s) {
  require_cpl0(*s);
  return 0;
}

// --- model-specific registers, identification, time

u64 helper_rdmsr(X86State* sp) {
  X86State& s = *sp;
  require_cpl0(s);
  u64 value = 0;
  const u32 n = static_cast<u32>(s.gpr[RCX]);
  if (!read_msr(s, n, value)) {
    DOPPEL_LOG(GuestErrors, "CPU %u: RDMSR of 0x%x: #GP\n", s.h.index, n);
    raise_error(s, GP, 0);
  }
  s.gpr[RAX] = static_cast<u32>(value);
  s.gpr[RDX] = value >> 32;
  return 0;
}

u64 helper_wrmsr(X86State* sp) {
  X86State& s = *sp;
  require_cpl0(s);
  const u32 n = static_cast<u32>(s.gpr[RCX]);
  const u64 value = (s.gpr[RDX] << 32) | static_cast<u32>(s.gpr[RAX]);
  const u64 before = s.mode_cache;
  if (!write_msr(s, n, value)) {
    DOPPEL_LOG(GuestErrors, "CPU %u: WRMSR of 0x%x, value 0x%llx: #GP\n", s.h.index, n,
               static_cast<unsigned long long>(value));
    raise_error(s, GP, 0);
  }
  if (s.mode_cache != before) pull_exit(s);  // the caller's exit may be chained to code of the old mode
  return 0;
}

u64 helper_cpuid(X86State* sp) {
  X86State& s = *sp;
  const CpuidResult r = cpuid(s, static_cast<u32>(s.gpr[RAX]), static_cast<u32>(s.gpr[RCX]));
  s.gpr[RAX] = r.eax;
  s.gpr[RBX] = r.ebx;
  s.gpr[RCX] = r.ecx;
  s.gpr[RDX] = r.edx;
  return 0;
}

u64 helper_rdtsc(X86State* sp) {
  X86State& s = *sp;
  if ((s.cr4 & CR4_TSD) && s.cpl != 0) raise_error(s, GP, 0);
  return s.platform->tsc() + s.tsc_offset;
}

u64 helper_rdtscp(X86State* s) {
  const u64 t = helper_rdtsc(s);
  s->gpr[RAX] = static_cast<u32>(t);
  s->gpr[RDX] = t >> 32;
  s->gpr[RCX] = static_cast<u32>(s->tsc_aux);
  return 0;
}

u64 helper_rdpid(X86State* s) { return static_cast<u32>(s->tsc_aux); }

u64 helper_rdpmc(X86State* sp) {
  X86State& s = *sp;
  if (s.cpl != 0 && !(s.cr4 & CR4_PCE)) raise_error(s, GP, 0);
  if ((s.gpr[RCX] & 0x3fffffff) >= 4) raise_error(s, GP, 0);
  s.gpr[RAX] = s.gpr[RDX] = 0;
  return 0;
}

u64 helper_rdrand(X86State* s, u64 size) { return random64(*s) & mask_bits(static_cast<unsigned>(size * 8)); }
u64 helper_rdseed(X86State* s, u64 size) { return random64(*s) & mask_bits(static_cast<unsigned>(size * 8)); }

// --- halting

u64 helper_hlt(X86State* sp) {
  X86State& s = *sp;
  require_cpl0(s);
  s.halted = kHalted;
  s.platform->cpu_halted(s.h.index);
  return 0;
}

u64 helper_monitor(X86State* sp, u64 va) {
  X86State& s = *sp;
  if (s.cpl != 0) raise(s, UD);
  if (static_cast<u32>(s.gpr[RCX]) != 0) raise_error(s, GP, 0);
  mem::load<u8>(s.h, va);
  s.monitor_address = va;
  s.monitor_armed = 1;
  return 0;
}

u64 helper_mwait(X86State* sp) {
  // Stores of other CPUs to the monitored line are not seen: with several CPUs MWAIT ends at once, which the SDM
  // allows.
  X86State& s = *sp;
  if (s.cpl != 0) raise(s, UD);
  const u32 hints = static_cast<u32>(s.gpr[RCX]);
  if (hints > 1) raise_error(s, GP, 0);
  if (s.platform->cpu_count() > 1 || !s.monitor_armed) {
    std::this_thread::yield();
  } else {
    s.halted = hints & 1 ? kMwaitAny : kHalted;
    s.platform->cpu_halted(s.h.index);
  }
  s.monitor_armed = 0;
  return 0;
}

u64 helper_pause(X86State* s) {
  if (s->platform->cpu_count() > 1) std::this_thread::yield();
  return 0;
}

}  // namespace doppel::x86

// The layout rows of the x86 state, and what has to be recomputed when system registers change: the mode word and the
// MMU mode.
#include "guest/x86/state.h"

#include <cstddef>

#include "guest/x86/system/system.h"
#include "mem/guest_access.h"

namespace doppel::x86 {
namespace {

#define ROW(name, field, type, rank) \
  { name, static_cast<u32>(offsetof(X86State, field)), ir::Type::type, rank }
#define GPR(name, n) ROW(name, gpr[n], I64, n + 1)
#define XMM(n) ROW("xmm" #n, xmm[n], V128, 0)
#define SEG_BASE(name, n) ROW(name ".base", seg[n].base, I64, 0)
#define SEG_SEL(name, n) ROW(name, seg[n].selector, I16, 0)

const ir::RegRow kRows[] = {
    GPR("rax", 0),
    GPR("rcx", 1),
    GPR("rdx", 2),
    GPR("rbx", 3),
    GPR("rsp", 4),
    GPR("rbp", 5),
    GPR("rsi", 6),
    GPR("rdi", 7),
    GPR("r8", 8),
    GPR("r9", 9),
    GPR("r10", 10),
    GPR("r11", 11),
    GPR("r12", 12),
    GPR("r13", 13),
    GPR("r14", 14),
    GPR("r15", 15),
    ROW("rip", rip, I64, 0),
    ROW("flags", flags, Flags, 0),
    ROW("eflags", eflags, I32, 0),
    SEG_BASE("es", ES),
    SEG_BASE("cs", CS),
    SEG_BASE("ss", SS),
    SEG_BASE("ds", DS),
    SEG_BASE("fs", FS),
    SEG_BASE("gs", GS),
    SEG_SEL("es", ES),
    SEG_SEL("cs", CS),
    SEG_SEL("ss", SS),
    SEG_SEL("ds", DS),
    SEG_SEL("fs", FS),
    SEG_SEL("gs", GS),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    ROW("vtemp0", vtemp[0], V128, 0),
    ROW("vtemp1", vtemp[1], V128, 0),
    ROW("vtemp2", vtemp[2], V128, 0),
    ROW("vtemp3", vtemp[3], V128, 0),
    ROW("mm0", st[0].significand, I64, 0),
    ROW("mm1", st[1].significand, I64, 0),
    ROW("mm2", st[2].significand, I64, 0),
    ROW("mm3", st[3].significand, I64, 0),
    ROW("mm4", st[4].significand, I64, 0),
    ROW("mm5", st[5].significand, I64, 0),
    ROW("mm6", st[6].significand, I64, 0),
    ROW("mm7", st[7].significand, I64, 0),
    ROW("top", top, I8, 0),
    ROW("fcw", fcw, I16, 0),
    ROW("fsw", fsw, I16, 0),
    ROW("fptag", fptag, I8, 0),
    ROW("mxcsr", mxcsr, I32, 0),
    ROW("cpl", cpl, I8, 0),
    ROW("shadow", shadow, I8, 0),
    ROW("next_len", exc_next_len, I8, 0),
    ROW("cr0", cr0, I64, 0),
    ROW("cr2", cr2, I64, 0),
    ROW("cr3", cr3, I64, 0),
    ROW("cr4", cr4, I64, 0),
    ROW("temp0", h.scratch[0], I64, 0),
    ROW("temp1", h.scratch[1], I64, 0),
    ROW("temp2", h.scratch[2], I64, 0),
    ROW("temp3", h.scratch[3], I64, 0),
    ROW("st0.exp", st[0].sign_exponent, I16, 0),
    ROW("st1.exp", st[1].sign_exponent, I16, 0),
    ROW("st2.exp", st[2].sign_exponent, I16, 0),
    ROW("st3.exp", st[3].sign_exponent, I16, 0),
    ROW("st4.exp", st[4].sign_exponent, I16, 0),
    ROW("st5.exp", st[5].sign_exponent, I16, 0),
    ROW("st6.exp", st[6].sign_exponent, I16, 0),
    ROW("st7.exp", st[7].sign_exponent, I16, 0),
    ROW("x87_step", x87_step, I8, 0),
    ROW("flag_operand", flag_operand, I64, 0),
};
static_assert(std::size(kRows) == kRegCount);

// Data segment usable without checks: base as given, 4 GiB, writable, expand-up, present.
bool flat_limits(const Segment& g) {
  constexpr u16 kMask = kAttrP | kAttrS | kAttrCode | kAttrExpandDown | kAttrWritable;
  return g.limit == ~u32{0} && (g.attr & kMask) == (kAttrP | kAttrS | kAttrWritable);
}

// The bits that system registers decide.
u64 system_mode(const X86State& s) {
  u64 m = 0;
  if (s.cr0 & CR0_PE) m |= kModePe;
  if (s.efer & EFER_LMA) m |= kModeLma;
  if (s.cr0 & CR0_TS) m |= kModeTs;
  if (s.cr0 & CR0_EM) m |= kModeEm;
  if (s.cr0 & CR0_MP) m |= kModeMp;
  if (s.cr4 & CR4_OSFXSR) m |= kModeOsfxsr;
  if (s.cr4 & CR4_OSXSAVE) m |= kModeOsxsave;
  if (s.smm) m |= kModeSmm;
  if ((s.mxcsr & 0x1f80) != 0x1f80) m |= kModeFpExc;
  if ((s.fcw & 0x3f) != 0x3f) m |= kModeX87Exc;
  if (s.cr4 & CR4_UMIP) m |= kModeUmip;
  if (s.cr4 & CR4_TSD) m |= kModeTsd;
  if (s.dr[7] & 0xff) m |= kModeIobp;
  return m;
}

u64 segment_mode(const X86State& s, bool real_rights) {
  const Segment* g = s.seg;
  u64 m = 0;
  if (g[CS].attr & kAttrDB) m |= kModeCs32;
  if (g[SS].attr & kAttrDB) m |= kModeSs32;
  // In real mode rights are not looked at, but limits are.
  const auto flat = [&](unsigned r) {
    return real_rights ? g[r].limit == ~u32{0} && !(g[r].attr & kAttrExpandDown) : flat_limits(g[r]);
  };
  if (flat(DS) && flat(ES) && flat(SS) && (g[DS].base | g[ES].base | g[SS].base) == 0) m |= kModeFlatData;
  if (g[CS].limit == ~u32{0} && g[CS].base == 0) m |= kModeFlatCode;
  if (flat(FS)) m |= kModeFlatFs;
  if (flat(GS)) m |= kModeFlatGs;
  if ((m & (kModeFlatFs | kModeFlatGs)) == (kModeFlatFs | kModeFlatGs)) m |= kModeFlatFsGs;
  return m;
}

// Those of segments, privilege and flags.
u64 code_mode(const X86State& s) {
  u64 m = static_cast<u64>(s.cpl) << kModeCplShift;
  const bool vm86 = (s.eflags & VM) && (s.cr0 & CR0_PE);
  if ((s.efer & EFER_LMA) && (s.seg[CS].attr & kAttrL))
    m |= kModeCs64 | kModeSs32 | kModeFlatData | kModeFlatCode | kModeFlatFsGs | kModeFlatFs | kModeFlatGs;
  else
    m |= segment_mode(s, !(s.cr0 & CR0_PE) || vm86);
  if (vm86) m |= kModeVm86;
  if (s.eflags & TF) m |= kModeTf;
  if ((s.cr0 & CR0_AM) && (s.eflags & AC) && s.cpl == 3) m |= kModeAlignCheck;
  if (s.cpl <= ((s.eflags >> 12) & 3)) m |= kModeIoplOk;
  return m;
}

}  // namespace

const ir::StateLayout kLayout{kRows,
                              kRegCount,
                              kRegRip,
                              kRegFlags,
                              kRegFlagOperand,
                              {offsetof(X86State, st), offsetof(X86State, fcw), offsetof(X86State, fsw),
                               offsetof(X86State, top), offsetof(X86State, fptag), offsetof(X86State, x87_step)}};

u32 get_eflags(const X86State& s) { return s.eflags | ir::flags_to_eflags(s.flags) | 2; }

void set_eflags(X86State& s, u32 value, u32 mask) {
  if (mask & kArithFlags) {
    const u32 arith = (ir::flags_to_eflags(s.flags) & ~mask) | (value & mask & kArithFlags);
    s.flags = ir::eflags_to_flags(arith);
  }
  const u32 system = mask & ~kArithFlags & ~u32{2};
  const u32 old = s.eflags;
  s.eflags = (old & ~system) | (value & system);
  if ((old ^ s.eflags) & (TF | VM | AC | IOPL)) update_code_mode(s);
}

void update_mode(X86State& s) {
  s.system_mode = system_mode(s);
  update_code_mode(s);
}

void update_code_mode(X86State& s) {
  s.mode_cache = s.system_mode | code_mode(s);
  u32 mmu = kMmuSupervisor;
  if (s.cpl == 3)
    mmu = kMmuUser;
  else if ((s.cr4 & CR4_SMAP) && !(s.eflags & AC))
    mmu = kMmuSupervisorSmap;
  if (mmu == s.h.mmu_mode) return;
  if (s.h.soft_tlb)
    mem::tlb_set_mode(s.h, mmu);
  else
    s.h.mmu_mode = mmu;
}

u64 mode_word(const X86State& s) {
  u64 m = s.mode_cache;
  if (s.shadow) m |= kModeShadow;
  if (s.x87_step) m |= kModeX87Step;
  // Translated code writes the x87 control word without a call.
  return (s.fcw & 0x3f) != 0x3f ? m | kModeX87Exc : m & ~u64{kModeX87Exc};
}

void select_code(X86State& s) {
  if (s.h.soft_tlb) mem::tlb_select_code(s.h, mode_word(s), s.mode_cache & kModeCs64 ? 0 : s.seg[CS].base);
}

void sync_mxcsr(X86State& s) { s.mxcsr |= s.h.fp_env & 0x3f; }

void set_mxcsr(X86State& s, u32 value) {
  s.mxcsr = value;
  s.h.fp_env = value | 0x1f80;
  if (((value & 0x1f80) != 0x1f80) != ((s.mode_cache & kModeFpExc) != 0)) update_mode(s);
}

}  // namespace doppel::x86

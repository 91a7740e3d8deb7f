// FXSAVE, XSAVE and their kin, MXCSR (SDM vol. 1, 10.5 and chapter 13). The legacy area holds x87 and SSE; bytes 464 to
// 511 are the program's own and never written. Traps: the tag word is abridged (1 = not empty) and in physical order,
// the registers are in stack order; XRSTOR checks everything before it loads anything; MXCSR is loaded with SSE or with
// AVX bits of the mask.
#include "guest/x86/helpers/table.h"
#include "guest/x86/helpers/x87_host.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

constexpr u32 kMxcsrMask = 0xffff;
enum : u64 { kX87 = 1, kSse = 2 };

// The legacy area: by host address where it lies in one page of plain memory. Faults come before anything is written.
class Area {
 public:
  Area(X86State& s, u64 va, mem::Access access) : h_(s.h), va_(va) {
    host_ = mem::host_pointer(h_, va, 512, access, h_.mmu_mode);
    if (!host_) mem::probe(h_, va, 512, access, h_.mmu_mode);
  }
  template <typename T>
  T load(u64 offset) const {
    return host_ ? load_le<T>(host_ + offset) : mem::load<T>(h_, va_ + offset);
  }
  template <typename T>
  void store(u64 offset, std::type_identity_t<T> v) const {
    host_ ? store_le<T>(host_ + offset, v) : mem::store<T>(h_, va_ + offset, v);
  }

 private:
  mem::VcpuHeader& h_;
  const u64 va_;
  u8* host_;
};

void store64(X86State& s, u64 va, u64 v) { mem::store<u64>(s.h, va, v); }

unsigned xmm_count(const X86State& s) { return code64(s) ? 16 : 8; }
// The pointers are offset and selector, or 64-bit with REX.W.
void save_pointers(X86State& s, const Area& a, bool wide) {
  if (wide) {
    a.store<u64>(8, s.fip);
    a.store<u64>(16, s.fdp);
    return;
  }
  a.store<u32>(8, static_cast<u32>(s.fip));
  a.store<u32>(12, static_cast<u32>(s.fcs));
  a.store<u32>(16, static_cast<u32>(s.fdp));
  a.store<u32>(20, static_cast<u32>(s.fds));
}

void save_x87(X86State& s, const Area& a, bool wide) {
  a.store<u16>(0, static_cast<u16>(s.fcw));
  a.store<u16>(2, static_cast<u16>((s.fsw & ~0x3800u) | (s.top & 7u) << 11));
  a.store<u16>(4, static_cast<u16>(static_cast<u8>(~s.fptag)));
  a.store<u16>(6, static_cast<u16>(s.fop));
  save_pointers(s, a, wide);
  for (unsigned i = 0; i < 8; i++) {
    const X87Reg& r = s.st[(s.top + i) & 7];
    a.store<u64>(32 + 16 * i, r.significand);
    a.store<u64>(40 + 16 * i, r.sign_exponent);
  }
}

void load_x87(X86State& s, const Area& a, bool wide) {
  s.fcw = (a.load<u16>(0) & 0x1f7f) | 0x40;
  const u16 sw = a.load<u16>(2);
  s.top = (sw >> 11) & 7;
  s.fsw = sw & 0xc7ff;
  x87::host_clear_flags();
  s.fptag = static_cast<u8>(~a.load<u16>(4));
  s.fop = a.load<u16>(6) & 0x7ff;
  if (wide) {
    s.fip = a.load<u64>(8);
    s.fdp = a.load<u64>(16);
  } else {
    s.fip = a.load<u32>(8);
    s.fcs = a.load<u16>(12);
    s.fdp = a.load<u32>(16);
    s.fds = a.load<u16>(20);
  }
  for (unsigned i = 0; i < 8; i++) {
    X87Reg& r = s.st[(s.top + i) & 7];
    r.significand = a.load<u64>(32 + 16 * i);
    r.sign_exponent = a.load<u16>(40 + 16 * i);
  }
}

void init_x87(X86State& s) {
  s.fcw = 0x37f;
  s.fsw = 0;
  x87::host_clear_flags();
  s.top = 0;
  s.fptag = 0xff;
  s.fop = 0;
  s.fip = s.fdp = 0;
  s.fcs = s.fds = 0;
  for (X87Reg& r : s.st) r = {};
}

void save_mxcsr(X86State& s, const Area& a) {
  sync_mxcsr(s);
  a.store<u32>(24, static_cast<u32>(s.mxcsr));
  a.store<u32>(28, static_cast<u32>(kMxcsrMask));
}

void save_xmm(X86State& s, const Area& a) {
  for (unsigned i = 0; i < xmm_count(s); i++) {
    a.store<u64>(160 + 16 * i, s.xmm[i].d[0]);
    a.store<u64>(168 + 16 * i, s.xmm[i].d[1]);
  }
}

void load_xmm(X86State& s, const Area& a) {
  for (unsigned i = 0; i < xmm_count(s); i++) {
    s.xmm[i].d[0] = a.load<u64>(160 + 16 * i);
    s.xmm[i].d[1] = a.load<u64>(168 + 16 * i);
  }
}

void check_fxsave(X86State& s, u64 va) {
  if (s.cr0 & (CR0_EM | CR0_TS)) raise(s, NM);
  if (va & 15) raise_error(s, GP, 0);
}

void check_xsave(X86State& s, u64 va) {
  if (!(s.cr4 & CR4_OSXSAVE)) raise(s, UD);
  if (s.cr0 & CR0_TS) raise(s, NM);
  if (va & 63) raise_error(s, GP, 0);
}

u64 requested(const X86State& s) { return ((s.gpr[RDX] << 32) | static_cast<u32>(s.gpr[RAX])) & s.xcr0; }

// FFXSR: 64-bit kernels of AMD leave the XMM registers out.
bool fast_fxsr(const X86State& s) { return (s.efer & EFER_FFXSR) && code64(s) && s.cpl == 0; }

// XSAVE's common part; `compact` is XSAVEC. Components in their initial state are still written: XSTATE_BV tells them
// apart.
void xsave_common(X86State& s, u64 va, bool wide, bool compact) {
  check_xsave(s, va);
  const u64 mask = requested(s);
  mem::probe(s.h, va, xsave_size(mask, compact), mem::Access::Write, s.h.mmu_mode);
  const Area a(s, va, mem::Access::Write);
  const u64 old_bv = compact ? 0 : mem::load<u64>(s.h, va + 512);
  if (mask & kX87) save_x87(s, a, wide);
  if (mask & kSse) {
    save_mxcsr(s, a);
    save_xmm(s, a);
  }
  store64(s, va + 512, (old_bv & ~mask) | mask);
  if (compact) store64(s, va + 520, mask | u64{1} << 63);
}

}  // namespace

u64 helper_fxsave(X86State* sp, u64 va, u64 wide) {
  X86State& s = *sp;
  check_fxsave(s, va);
  const Area a(s, va, mem::Access::Write);
  save_x87(s, a, wide);
  save_mxcsr(s, a);
  if ((s.cr4 & CR4_OSFXSR) && !fast_fxsr(s)) save_xmm(s, a);
  return 0;
}

u64 helper_fxrstor(X86State* sp, u64 va, u64 wide) {
  X86State& s = *sp;
  check_fxsave(s, va);
  const Area a(s, va, mem::Access::Read);
  const u32 mxcsr = a.load<u32>(24);
  const bool sse = s.cr4 & CR4_OSFXSR;
  if (sse && (mxcsr & ~kMxcsrMask)) raise_error(s, GP, 0);
  load_x87(s, a, wide);
  if (sse) {
    set_mxcsr(s, mxcsr);
    if (!fast_fxsr(s)) load_xmm(s, a);
  }
  update_mode(s);
  return 0;
}

u64 helper_xsave(X86State* s, u64 va, u64 wide) {
  xsave_common(*s, va, wide, false);
  return 0;
}

u64 helper_xsaveopt(X86State* s, u64 va, u64 wide) {
  xsave_common(*s, va, wide, false);
  return 0;
}

u64 helper_xsavec(X86State* s, u64 va, u64 wide) {
  xsave_common(*s, va, wide, true);
  return 0;
}

u64 helper_xrstor(X86State* sp, u64 va, u64 wide) {
  X86State& s = *sp;
  check_xsave(s, va);
  const u64 mask = requested(s);
  const Area a(s, va, mem::Access::Read);
  mem::probe(s.h, va + 512, 64, mem::Access::Read, s.h.mmu_mode);
  const u64 bv = mem::load<u64>(s.h, va + 512), comp = mem::load<u64>(s.h, va + 520);
  const bool compact = comp >> 63;
  if (compact && !s.model->has(FeatureWord::D1Eax, 1)) raise_error(s, GP, 0);
  if (bv & ~s.xcr0) raise_error(s, GP, 0);
  if (compact ? (comp & ~(u64{1} << 63) & ~s.xcr0) || (bv & ~comp) : comp != 0) raise_error(s, GP, 0);
  // The standard form looks at bytes 8 to 23 of the header, the compacted one at 16 to 63.
  for (unsigned i = compact ? 2 : 1; i <= (compact ? 7 : 2); i++) {
    if (mem::load<u64>(s.h, va + 512 + 8 * i) != 0) raise_error(s, GP, 0);
  }
  const u32 mxcsr = a.load<u32>(24);
  const bool load_csr = (mask & kSse) && (!compact || (bv & kSse));
  if (load_csr && (mxcsr & ~kMxcsrMask)) raise_error(s, GP, 0);
  if (mask & kX87) {
    if (bv & kX87)
      load_x87(s, a, wide);
    else
      init_x87(s);
  }
  if (mask & kSse) {
    if (load_csr)
      set_mxcsr(s, mxcsr);
    else
      set_mxcsr(s, 0x1f80);
    if (bv & kSse) {
      load_xmm(s, a);
    } else {
      for (unsigned i = 0; i < xmm_count(s); i++) s.xmm[i].d[0] = s.xmm[i].d[1] = 0;
    }
  }
  update_mode(s);
  return 0;
}

u64 helper_ldmxcsr(X86State* sp, u64 value) {
  X86State& s = *sp;
  if (value & ~u64{kMxcsrMask}) raise_error(s, GP, 0);
  set_mxcsr(s, static_cast<u32>(value));
  return 0;
}

u64 helper_stmxcsr(X86State* s) {
  sync_mxcsr(*s);
  return s->mxcsr;
}

}  // namespace doppel::x86

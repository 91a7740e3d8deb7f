// System instructions: operands are fetched here, the work is in helpers/system.def (whose comments state the
// conventions on RIP).
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {
namespace {

Value linear(Translator& t, const Addr& a) {
  return t.b.zext(Type::I64, t.b.addi(a.base, t.is64() ? static_cast<u64>(a.disp) : static_cast<u32>(a.disp)));
}

void set_zf(Translator& t, Value bool8) {
  const Value f = t.fl(Opcode::flags_pack, {t.b.shli(t.b.zext(Type::I32, bool8), 6)});
  t.set_flags(t.fl(Opcode::flags_merge, {t.flags(), f}, ir::kFlagZ));
}
void set_edx_eax(Translator& t, Value v) {
  t.set_gpr(RAX, t.b.trunc(Type::I32, v));
  t.set_gpr(RDX, t.b.trunc(Type::I32, t.b.shri(v, 32)));
}
}  // namespace

// --- segment registers

void tr_mov_from_seg(Translator& t, const Insn& in) {
  if (in.op[1].reg > GS) return t.ud();
  const Value sel = t.read(1);
  t.write(0, in.op[0].is_mem() ? sel : t.b.zext(int_type(in.op[0].size), sel));
}

void tr_mov_to_seg(Translator& t, const Insn& in) {
  const unsigned reg = in.op[0].reg;
  if (reg > GS || reg == CS) return t.ud();
  const Value sel = t.read(1);
  if (reg == SS) t.b.set_reg(kRegRip, t.imm(t.addr_type(), t.next_pc()));
  t.after_segment_load(reg, t.call(Helper::load_seg, {t.k32(reg), sel}));
}

void tr_load_far(Translator& t, const Insn& in) {
  unsigned reg = DS;
  switch (in.mnemonic) {
    case Mnemonic::LES: reg = ES; break;
    case Mnemonic::LSS: reg = SS; break;
    case Mnemonic::LFS: reg = FS; break;
    case Mnemonic::LGS: reg = GS; break;
    default: break;
  }
  const Addr a = t.address(in.op[1].size, false);
  const Value offset = t.load(int_type(in.opsize), a);
  const Value sel = t.load(Type::I16, a, in.opsize);
  t.call(Helper::load_seg, {t.k32(reg), sel});
  t.write(0, offset);
  t.leave_next();  // LSS has no shadow: it loads both halves
}

// --- control and debug registers

void tr_mov_from_cr(Translator& t, const Insn& in) {
  const Value v = t.call(Helper::mov_from_cr, {t.k32(in.op[1].reg)});
  t.write(0, t.b.zext(int_type(in.op[0].size), v));
}
void tr_mov_to_cr(Translator& t, const Insn& in) {
  t.call_and_leave(Helper::mov_to_cr, {t.k32(in.op[0].reg), t.read(1)});
}
void tr_mov_from_dr(Translator& t, const Insn& in) {
  const Value v = t.call(Helper::mov_from_dr, {t.k32(in.op[1].reg)});
  t.write(0, t.b.zext(int_type(in.op[0].size), v));
}
void tr_mov_to_dr(Translator& t, const Insn& in) {
  t.call_and_leave(Helper::mov_to_dr, {t.k32(in.op[0].reg), t.read(1)});
}
void tr_clts(Translator& t, const Insn&) { t.call_and_leave(Helper::clts); }

// --- descriptor tables

void tr_store_selector(Translator& t, const Insn& in) {
  const Helper h = in.mnemonic == Mnemonic::SLDT  ? Helper::sldt
                   : in.mnemonic == Mnemonic::STR ? Helper::str
                                                  : Helper::smsw;
  const Value v = t.call(h);
  const unsigned size = in.op[0].size;
  t.write(0, t.b.zext(int_type(in.op[0].is_mem() ? 2 : size), v));
}

void tr_load_selector(Translator& t, const Insn& in) {
  const Helper h = in.mnemonic == Mnemonic::LLDT  ? Helper::lldt
                   : in.mnemonic == Mnemonic::LTR ? Helper::ltr
                                                  : Helper::lmsw;
  t.call_and_leave(h, {t.read(0)});
}

void tr_store_table(Translator& t, const Insn& in) {
  const u32 first = in.mnemonic == Mnemonic::SGDT ? 0 : 2;
  const Value limit = t.call(Helper::sdt, {t.k32(first)});
  const Value base = t.call(Helper::sdt, {t.k32(first + 1)});
  const Addr a = t.address(in.op[0].size, true);
  t.store(a, t.b.trunc(Type::I16, limit));
  t.store(a, t.b.zext(t.addr_type(), base), 2);
}

void tr_load_table(Translator& t, const Insn& in) {
  const Addr a = t.address(in.op[0].size, false);
  const Value limit = t.load(Type::I16, a);
  Value base = t.load(t.addr_type(), a, 2);
  if (!t.is64() && in.opsize == 2) base = t.b.andi(base, 0xffffff);
  t.call_and_leave(in.mnemonic == Mnemonic::LGDT ? Helper::lgdt : Helper::lidt, {limit, base});
}

void tr_verify(Translator& t, const Insn& in) {
  set_zf(t, t.call(in.mnemonic == Mnemonic::VERR ? Helper::verr : Helper::verw, {t.read(0)}));
}

void tr_lar(Translator& t, const Insn& in) {
  const Value r = t.call(in.mnemonic == Mnemonic::LAR ? Helper::lar : Helper::lsl, {t.read(1)});
  const Value good = t.b.trunc(Type::I8, t.b.shri(r, 32));
  const Value v = t.b.zext(int_type(in.opsize), t.b.trunc(Type::I32, r));
  if (in.opsize == 4 && t.is64())
    t.set_gpr(in.op[0].reg, t.b.select(good, t.b.zext(Type::I64, v), t.gpr(in.op[0].reg, 8)));
  else
    t.write(0, t.b.select(good, v, t.read(0)));
  set_zf(t, good);
}

void tr_arpl(Translator& t, const Insn& in) {
  ir::Builder& b = t.b;
  const Value src = b.andi(t.read(1), 3);
  const Operand& d = in.op[0];
  Addr a;
  if (d.is_mem()) a = t.address(2, true);
  const Value old = d.is_mem() ? t.load_rmw(Type::I16, a) : t.read(d);
  const Value raise = b.cmp(Cond::C, b.andi(old, 3), src);
  const Value v = b.select(raise, b.or_(b.andi(old, 0xfffc), src), old);
  if (d.is_mem())
    t.store(a, v);
  else
    t.write(d, v);
  set_zf(t, raise);
}

// --- paging

void tr_invlpg(Translator& t, const Insn& in) {
  // Only the address counts: no limit or rights checks.
  Value offset = t.effective_address(in.mem);
  const unsigned seg = in.mem.seg;
  if (t.is64()) offset = t.b.zext(Type::I64, offset);
  if (!t.is64() || seg == FS || seg == GS)
    offset = t.b.add(t.b.get_reg(t.addr_type(), static_cast<ir::RegId>(kRegSegBase0 + seg)), offset);
  t.call_and_leave(Helper::invlpg, {offset});
}

void tr_invpcid(Translator& t, const Insn& in) {
  const Value type = t.gpr(in.op[0].reg, t.is64() ? 8 : 4);
  t.call_and_leave(Helper::invpcid, {type, linear(t, t.address(16, false))});
}

void tr_invd(Translator& t, const Insn&) { t.call(Helper::wbinvd); }

// --- fast system calls, MSRs, time, identification

void tr_world_change(Translator& t, const Insn& in) {
  switch (in.mnemonic) {
    case Mnemonic::SYSCALL: return t.call_and_leave(Helper::syscall, {t.imm(t.addr_type(), t.next_pc())});
    case Mnemonic::SYSENTER: return t.call_and_leave(Helper::sysenter);
    case Mnemonic::RSM: return t.call_and_leave(Helper::rsm);
    case Mnemonic::WRMSR: return t.call_and_chain(Helper::wrmsr);
    default: return t.call_and_leave(Helper::xsetbv);
  }
}
void tr_sysret(Translator& t, const Insn& in) { t.call_and_leave(Helper::sysret, {t.k32(in.rex_w() ? 8 : 4)}); }
void tr_sysexit(Translator& t, const Insn& in) { t.call_and_leave(Helper::sysexit, {t.k32(in.rex_w() ? 8 : 4)}); }

void tr_read_call(Translator& t, const Insn& in) {
  switch (in.mnemonic) {
    case Mnemonic::RDMSR: t.call(Helper::rdmsr); break;
    case Mnemonic::RDPMC: t.call(Helper::rdpmc); break;
    case Mnemonic::CPUID: t.call(Helper::cpuid); break;
    default: set_edx_eax(t, t.call(Helper::xgetbv)); break;
  }
}
void tr_rdtsc(Translator& t, const Insn& in) {
  if (in.mnemonic == Mnemonic::RDTSCP) {
    t.call(Helper::rdtscp);
    return;
  }
  set_edx_eax(t, t.call(Helper::rdtsc));
}
void tr_rdpid(Translator& t, const Insn& in) {
  t.set_gpr(in.op[0].reg, t.b.zext(t.addr_type(), t.call(Helper::rdpid)));
}
void tr_random(Translator& t, const Insn& in) {
  const Value v = t.call(in.mnemonic == Mnemonic::RDRAND ? Helper::rdrand : Helper::rdseed, {t.k32(in.opsize)});
  t.write(0, t.b.zext(int_type(in.opsize), v));
  t.set_flags(t.imm(Type::Flags, ir::kFlagC | ir::kFlagOne));
}

// --- halting and interrupts

void tr_hlt(Translator& t, const Insn&) { t.call_and_leave(Helper::hlt); }

void tr_cli(Translator& t, const Insn&) {
  if (!(t.mode & kModeIoplOk)) {
    t.call(Helper::cli);
    return;
  }
  t.b.set_reg(kRegEflagsSys, t.b.andi(t.b.get_reg(Type::I32, kRegEflagsSys), ~u64{IF}));
}

// The instruction after STI goes into the same region, so that no interrupt comes between; the helper has made the next
// region's entry look for interrupts.
void tr_sti(Translator& t, const Insn&) {
  t.call(Helper::sti);
  t.end_after_next = true;
}

void tr_ac(Translator& t, const Insn& in) {
  t.call_and_chain(in.mnemonic == Mnemonic::STAC ? Helper::stac : Helper::clac);
}
void tr_swapgs(Translator& t, const Insn&) { t.call(Helper::swapgs); }

void tr_monitor(Translator& t, const Insn& in) {
  MemOperand m;
  m.seg = in.seg == kNoReg ? static_cast<u8>(DS) : in.seg;
  m.base = RAX;
  t.call(Helper::monitor, {linear(t, t.address(m, 1, false))});
}
void tr_mwait(Translator& t, const Insn&) { t.call_and_leave(Helper::mwait); }

void tr_rd_base(Translator& t, const Insn& in) {
  const u32 seg = in.mnemonic == Mnemonic::RDFSBASE ? FS : GS;
  t.write(0, t.b.zext(int_type(in.op[0].size), t.call(Helper::rdfsgsbase, {t.k32(seg), t.k32(in.op[0].size)})));
}
void tr_wr_base(Translator& t, const Insn& in) {
  const u32 seg = in.mnemonic == Mnemonic::WRFSBASE ? FS : GS;
  t.call(Helper::wrfsgsbase, {t.k32(seg), t.read(0), t.k32(in.op[0].size)});
}

// --- state images

void tr_state_image(Translator& t, const Insn& in) {
  Helper h = Helper::fxsave;
  switch (in.mnemonic) {
    case Mnemonic::FXSAVE: h = Helper::fxsave; break;
    case Mnemonic::FXRSTOR: h = Helper::fxrstor; break;
    case Mnemonic::XSAVE: h = Helper::xsave; break;
    case Mnemonic::XSAVEOPT: h = Helper::xsaveopt; break;
    case Mnemonic::XSAVEC: h = Helper::xsavec; break;
    case Mnemonic::XRSTOR: h = Helper::xrstor; break;
    default: return t.ud();  // XSAVES, XRSTORS: no model offers them
  }
  const bool restore = h == Helper::fxrstor || h == Helper::xrstor;
  const Value at = linear(t, t.address(512, !restore));
  const Value w = t.k32(in.rex_w());
  if (restore) return t.call_and_leave(h, {at, w});
  t.call(h, {at, w});
}

}  // namespace doppel::x86

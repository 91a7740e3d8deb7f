// SSE float arithmetic (SDM vol. 1, 10.4.1 and 11.4). While MXCSR leaves an exception unmasked every op goes through a
// helper that computes in soft float and raises #XM before the destination changes (SDM vol. 1, 11.5).
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {
namespace {

using enum Mnemonic;
#define FOUR(mnemonic, op)                                                                                            \
  {mnemonic##PS, Opcode::op, Lane::PS}, {mnemonic##PD, Opcode::op, Lane::PD}, {mnemonic##SS, Opcode::op, Lane::SS}, { \
    mnemonic##SD, Opcode::op, Lane::SD                                                                                \
  }
constexpr VecOp kRows[] = {
    FOUR(ADD, vfadd),
    FOUR(SUB, vfsub),
    FOUR(MUL, vfmul),
    FOUR(DIV, vfdiv),
    FOUR(MIN, vfmin),
    FOUR(MAX, vfmax),
    FOUR(SQRT, vfsqrt),
    FOUR(CMP, vfcmp),
    FOUR(ROUND, vfround),
    {HADDPS, Opcode::vhadd, Lane::PS},
    {HADDPD, Opcode::vhadd, Lane::PD},
    {HSUBPS, Opcode::vhsub, Lane::PS},
    {HSUBPD, Opcode::vhsub, Lane::PD},
    {ADDSUBPS, Opcode::vaddsub, Lane::PS},
    {ADDSUBPD, Opcode::vaddsub, Lane::PD},
    {RSQRTPS, Opcode::vf_rsqrt, Lane::PS},
    {RSQRTSS, Opcode::vf_rsqrt, Lane::SS},
    {RCPPS, Opcode::vf_rcp, Lane::PS},
    {RCPSS, Opcode::vf_rcp, Lane::SS},
};
#undef FOUR
constexpr VecOpTable kOps{kRows};

u64 immediate_of(const Insn& in, Opcode op) {
  return op == Opcode::vfcmp ? in.imm & 7 : op == Opcode::vfround ? in.imm & 15 : 0;
}
bool checked(const Translator& t) { return t.mode & kModeFpExc; }
Value call_checked(Translator& t, Opcode op, Lane lane, u64 imm, bool wide, Value integer) {
  const u64 what = static_cast<u64>(op) | static_cast<u64>(lane) << 8 | imm << 16 | u64{wide} << 24;
  return t.call(Helper::simd_float, {t.k32(what), integer});
}
void set_temps(Translator& t, Value a, Value b) {
  t.b.set_reg(kRegVtemp0, a);
  t.b.set_reg(kRegVtemp0 + 1, b);
}

// The mask of the lanes of `size` bytes chosen by the low bits of `bits`.
Value lane_mask(Translator& t, unsigned bits, unsigned lanes) {
  u64 m[2] = {0, 0};
  for (unsigned i = 0; i < lanes; ++i)
    if (bits & (1u << i)) m[i * 2 / lanes] |= lanes == 2 ? ~u64{0} : u64{0xffffffff} << (i % 2 * 32);
  return vec_const(t, m[0], m[1]);
}

}  // namespace

Value float_op(Translator& t, Opcode op, Lane lane, Value a, Value b, u64 imm) {
  if (!checked(t)) return t.b.vec(op, lane, {a, b}, imm);
  set_temps(t, a, b);
  call_checked(t, op, lane, imm, false, t.k32(0));
  return t.b.get_reg(Type::V128, kRegVtemp0);
}

Value float_from_int(Translator& t, Lane lane, Value a, Value integer) {
  if (!checked(t)) return t.b.op(Opcode::vf_fromint, t.b.type(integer), {a, integer}, static_cast<u8>(lane));
  t.b.set_reg(kRegVtemp0, a);
  call_checked(t, Opcode::vf_fromint, lane, 0, t.b.type(integer) == Type::I64, integer);
  return t.b.get_reg(Type::V128, kRegVtemp0);
}

Value float_to_int(Translator& t, Lane lane, Type type, Value a, bool truncate) {
  if (!checked(t)) return t.b.op(Opcode::vf_toint, type, {a}, static_cast<u8>(lane), 0, truncate);
  t.b.set_reg(kRegVtemp0, a);
  return t.b.trunc(type, call_checked(t, Opcode::vf_toint, lane, truncate, type == Type::I64, t.k32(0)));
}

void tr_vec_float(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  t.set_xmm(in.op[0].reg, float_op(t, row.op, row.lane, t.xmm(in.op[0].reg), b, immediate_of(in, row.op)));
}

// RCP and RSQRT never raise exceptions.
void tr_vec_approx(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const VecOp& row = kOps[in.mnemonic];
  const Value b = simd_read(t, in, 1);
  t.set_xmm(in.op[0].reg, t.b.vec(row.op, row.lane, {t.xmm(in.op[0].reg), b}));
}

void tr_vec_compare(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const Lane lane = in.mnemonic == COMISS || in.mnemonic == UCOMISS ? Lane::SS : Lane::SD;
  const u64 quiet = in.mnemonic == UCOMISS || in.mnemonic == UCOMISD;
  const Value b = simd_read(t, in, 1);
  const Value a = t.xmm(in.op[0].reg);
  if (!checked(t)) {
    t.set_flags(t.b.op(Opcode::vfcomi, Type::V128, {a, b}, static_cast<u8>(lane), 0, quiet));
    return;
  }
  set_temps(t, a, b);
  const Value eflags = t.b.trunc(Type::I32, call_checked(t, Opcode::vfcomi, lane, quiet, false, t.k32(0)));
  t.set_flags(t.b.op(Opcode::flags_pack, Type::I32, {eflags}));
}

// DPPS, DPPD: products of the lanes in imm[7:4] (others 0), their sum in the lanes of imm[3:0].
void tr_vec_dot(Translator& t, const Insn& in) {
  if (!t.require_sse()) return;
  const bool single = in.mnemonic == DPPS;
  const Lane lane = single ? Lane::PS : Lane::PD;
  const unsigned lanes = single ? 4 : 2, all = (1u << lanes) - 1, imm = static_cast<unsigned>(in.imm);
  Value b = simd_read(t, in, 1);
  Value a = t.xmm(in.op[0].reg);
  const unsigned multiply = (imm >> 4) & all, keep = imm & all;
  if (multiply != all) {
    const Value mask = lane_mask(t, multiply, lanes);
    a = t.b.vec(Opcode::vand, Lane::D, {a, mask});
    b = t.b.vec(Opcode::vand, Lane::D, {b, mask});
  }
  Value sum = float_op(t, Opcode::vfmul, lane, a, b);
  sum = float_op(t, Opcode::vhadd, lane, sum, sum);
  if (single) sum = float_op(t, Opcode::vhadd, lane, sum, sum);
  if (keep != all) sum = t.b.vec(Opcode::vand, Lane::D, {sum, lane_mask(t, keep, lanes)});
  t.set_xmm(in.op[0].reg, sum);
}

}  // namespace doppel::x86

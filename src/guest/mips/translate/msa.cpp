// The MSA module (MD00868): vectors of 128 bits, whose lower halves are the floating-point registers. Each half is a
// row of its own in the state; what the IR has vector ops for is done by them, logic on the halves, the rest by
// helpers/msa.cpp and msa_fp.cpp.
#include "guest/mips/translate/msa.h"

namespace doppel::mips {
namespace {

void by_helper(Translator& t, const Insn& in) { t.call(Helper::msa, {t.k32(in.word)}); }

Value inverted(Translator& t, Value v) { return t.b.vec(Opcode::vxor, Lane::D, {v, splat(t, 3, ~u64{0})}); }

// The vector op that is the operation, for formats that it has (a mask); with `swapped` operands, then inverted.
struct VectorOp {
  u64 op;
  Opcode code;
  unsigned formats;
  bool swapped = false, inverts = false;
};
constexpr unsigned kB = 1, kH = 2, kW = 4, kAll = 15;
constexpr VectorOp kVectorOps[] = {
    {ADDV, Opcode::vadd, kAll},
    {ADDVI, Opcode::vadd, kAll},
    {SUBV, Opcode::vsub, kAll},
    {SUBVI, Opcode::vsub, kAll},
    {MAX_S, Opcode::vmaxs, kB | kH | kW},
    {MAXI_S, Opcode::vmaxs, kB | kH | kW},
    {MAX_U, Opcode::vmaxu, kB | kH | kW},
    {MAXI_U, Opcode::vmaxu, kB | kH | kW},
    {MIN_S, Opcode::vmins, kB | kH | kW},
    {MINI_S, Opcode::vmins, kB | kH | kW},
    {MIN_U, Opcode::vminu, kB | kH | kW},
    {MINI_U, Opcode::vminu, kB | kH | kW},
    {CEQ, Opcode::vcmpeq, kAll},
    {CEQI, Opcode::vcmpeq, kAll},
    {CLT_S, Opcode::vcmpgt, kAll, true},
    {CLTI_S, Opcode::vcmpgt, kAll, true},
    {CLE_S, Opcode::vcmpgt, kAll, false, true},
    {CLEI_S, Opcode::vcmpgt, kAll, false, true},
    {ADDS_S, Opcode::vadds, kB | kH},
    {ADDS_U, Opcode::vaddus, kB | kH},
    {SUBS_S, Opcode::vsubs, kB | kH},
    {SUBS_U, Opcode::vsubus, kB | kH},
    {AVER_U, Opcode::vavg, kB | kH},
    {MULV, Opcode::vmullo, kH | kW},
    {ILVL, Opcode::vunpackhi, kAll, true},
    {ILVR, Opcode::vunpacklo, kAll, true},
};
const VectorOp* vector_op(u64 op, unsigned format) {
  for (const VectorOp& row : kVectorOps)
    if (row.op == op && (row.formats >> format & 1)) return &row;
  return nullptr;
}
void by_vectors(Translator& t, const Insn& in, const VectorOp& row, unsigned format, Value a, Value b) {
  const Value r = row.swapped ? t.b.vec(row.code, lane_of(format), {b, a}) : t.b.vec(row.code, lane_of(format), {a, b});
  set_vector(t, msa_wd(in.word), row.inverts ? inverted(t, r) : r);
}

// One half: of the vector's logic operations in the order of VEC: AND OR NOR XOR BMNZ BMZ BSEL.
Value logic(Translator& t, unsigned which, Value d, Value a, Value b) {
  ir::Builder& x = t.b;
  const auto choose = [&](Value mask, Value ones, Value zeros) {
    return x.or_(x.and_(ones, mask), x.op(Opcode::andn, Type::I64, {mask, zeros}));
  };
  switch (which) {
    case 0: return x.and_(a, b);
    case 1: return x.or_(a, b);
    case 2: return x.not_(x.or_(a, b));
    case 3: return x.xor_(a, b);
    case 4: return choose(b, a, d);
    case 5: return choose(b, d, a);
    default: return choose(d, b, a);
  }
}
void logic_halves(Translator& t, const Insn& in, unsigned which, Halves b) {
  const Halves d = halves_of(t, msa_wd(in.word)), a = halves_of(t, msa_ws(in.word));
  set_halves(t, msa_wd(in.word), {logic(t, which, d.low, a.low, b.low), logic(t, which, d.high, a.high, b.high)});
}

}  // namespace

void tr_msa(Translator& t, const Insn& in) {
  if (t.require_msa()) by_helper(t, in);
}

void tr_msa_fp(Translator& t, const Insn& in) {
  if (t.require_msa()) t.call(Helper::msa_fp, {t.k32(in.word)});
}

void tr_msa_binary(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const unsigned format = msa_format(in.word);
  if (const VectorOp* row = vector_op(msa_op(in.word), format))
    by_vectors(t, in, *row, format, vector(t, msa_ws(in.word)), vector(t, msa_wt(in.word)));
  else if (!msa_lanes(t, in, format))
    by_helper(t, in);
}

void tr_msa_immediate(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const unsigned format = msa_format(in.word);
  const u64 op = msa_op(in.word), n = in.rt();
  if (op == LDI) {
    const s64 value = static_cast<s64>(u64{in.word} << 43) >> 54;
    return set_vector(t, msa_wd(in.word), splat(t, format, static_cast<u64>(value)));
  }
  const VectorOp* row = vector_op(op, format);
  if (!row) return by_helper(t, in);
  const bool is_signed = op == MAXI_S || op == MINI_S || op == CEQI || op == CLTI_S || op == CLEI_S;
  const u64 immediate = is_signed && n >= 16 ? n - 32 : n;
  by_vectors(t, in, *row, format, vector(t, msa_ws(in.word)), splat(t, format, immediate));
}

void tr_msa_shift(Translator& t, const Insn& in) {  // SLLI, SRAI, SRLI; the others of BIT
  if (!t.require_msa()) return;
  const MsaElement e = msa_bit(in.word);
  const u64 op = msa_op(in.word);
  const bool left = op == SLLI, right = op == SRLI, arithmetic = op == SRAI && e.format != 3;
  if (e.format == 0 || !(left || right || arithmetic)) return by_helper(t, in);
  const Opcode code = left ? Opcode::vshli : right ? Opcode::vshri : Opcode::vsari;
  set_vector(t, msa_wd(in.word), t.b.vec(code, lane_of(e.format), {vector(t, msa_ws(in.word))}, e.at));
}

void tr_msa_shf(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const u64 control = in.word >> 16 & 0xff;
  const Value a = vector(t, msa_ws(in.word));
  switch (in.word >> 24 & 3) {
    case 1: {
      const Value low = t.b.vec(Opcode::vshuf_hl, Lane::H, {a}, control);
      return set_vector(t, msa_wd(in.word), t.b.vec(Opcode::vshuf_hh, Lane::H, {low}, control));
    }
    case 2: return set_vector(t, msa_wd(in.word), t.b.vec(Opcode::vshuf_w, Lane::W, {a}, control));
    default: return by_helper(t, in);
  }
}

void tr_msa_logic(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  logic_halves(t, in, in.word >> 21 & 7, halves_of(t, msa_wt(in.word)));
}

void tr_msa_logic_immediate(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const Value byte = t.k64((in.word >> 16 & 0xff) * 0x0101010101010101);
  logic_halves(t, in, (in.word >> 24 & 3) + (in.word & 63 ? 4 : 0), {byte, byte});
}

void tr_msa_move(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  set_halves(t, msa_wd(in.word), halves_of(t, msa_ws(in.word)));
}

// --- general registers

void tr_msa_fill(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const unsigned bits = 8u << (in.word >> 16 & 3);
  Value v = t.b.zext(Type::I64, t.gpr32(in.rd()));
  if (bits < 64) v = t.b.extract(v, 0, bits);
  for (unsigned at = bits; at < 64; at *= 2) v = t.b.or_(v, t.b.shli(v, at));
  set_halves(t, msa_wd(in.word), {v, v});
}

void tr_msa_copy(Translator& t, const Insn& in) {  // COPY_S, COPY_U
  if (!t.require_msa()) return;
  const MsaElement e = msa_element(in.word);
  const unsigned bits = 8u << e.format, at = e.at * bits;
  const Halves a = halves_of(t, msa_ws(in.word));
  const Value half = at < 64 ? a.low : a.high;
  const bool is_signed = (in.word >> 22 & 15) == COPY_S;
  const Value v = t.b.op(is_signed ? Opcode::sextract : Opcode::extract, Type::I64, {half}, 0, at % 64 | bits << 8);
  t.set_gpr32(in.sa(), t.b.trunc(Type::I32, v));
}

void tr_msa_insert(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const MsaElement e = msa_element(in.word);
  const unsigned bits = 8u << e.format, at = e.at * bits;
  Halves d = halves_of(t, msa_wd(in.word));
  Value& half = at < 64 ? d.low : d.high;
  half = t.b.deposit(half, t.b.zext(Type::I64, t.gpr32(in.rd())), at % 64, bits);
  set_halves(t, msa_wd(in.word), d);
}

void tr_msa_control(Translator& t, const Insn& in) {  // CFCMSA, CTCMSA
  if (!t.require_msa()) return;
  if (in.word >> 22 & 1)
    t.set_gpr32(in.sa(), t.call(Helper::cfcmsa, {t.k32(in.rd())}));
  else
    t.call(Helper::ctcmsa, {t.k32(in.sa()), t.gpr32(in.rd())});
}

// --- memory: elements in order, each in the CPU's byte order; at any address

namespace {
Addr address_of(Translator& t, const Insn& in) {
  const s64 offset = static_cast<s64>(u64{in.word} << 38) >> 54;
  return t.address(in.rd(), offset << (in.word & 3));
}
ir::MemInfo at_any_address(bool big) {
  ir::MemInfo m;
  m.big_endian = big;
  return m;
}
// Lanes of 16 or 32 bits of eight bytes that were loaded as one big-endian number, in the order of elements.
Value reordered(Translator& t, Value v, unsigned format) {
  if (format == 3) return v;
  v = t.b.bin(Opcode::rotr, v, t.imm(Type::I8, 32));
  if (format == 2) return v;
  const Value odd = t.b.andi(t.b.shri(v, 16), 0x0000ffff0000ffff);
  return t.b.or_(odd, t.b.shli(t.b.andi(v, 0x0000ffff0000ffff), 16));
}
}  // namespace

void tr_msa_load(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const unsigned format = in.word & 3;
  const Addr a = address_of(t, in);
  if (!t.model.big_endian || format == 0)
    return set_vector(t, msa_wd(in.word), t.b.load(Type::V128, a.base, at_any_address(false), a.disp));
  const Value low = t.b.load(Type::I64, a.base, at_any_address(true), a.disp);
  const Value high = t.b.load(Type::I64, a.base, at_any_address(true), a.disp + 8);
  set_halves(t, msa_wd(in.word), {reordered(t, low, format), reordered(t, high, format)});
}

void tr_msa_store(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const unsigned format = in.word & 3;
  const Addr a = address_of(t, in);
  if (!t.model.big_endian || format == 0) {
    t.b.store(a.base, vector(t, msa_wd(in.word)), at_any_address(false), a.disp);
    return;
  }
  const Halves v = halves_of(t, msa_wd(in.word));
  ir::MemInfo whole;
  whole.probe_bytes = 16;
  t.b.op(Opcode::probe_write, Type::Void, {a.base}, 0, whole.pack(), static_cast<u64>(a.disp));
  t.b.store(a.base, reordered(t, v.low, format), at_any_address(true), a.disp);
  t.b.store(a.base, reordered(t, v.high, format), at_any_address(true), a.disp + 8);
}

// --- branches and what else came with the module

// BZ, BNZ: a lane is zero, or none is; BZ.V, BNZ.V: the whole is.
void tr_msa_branch(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  const bool whole = in.rs() < 16, not_zero = in.rs() & 4;
  t.branch.target = t.wrap_pc(in.pc + 4 + static_cast<u64>(in.simm() * 4));
  t.branch.conditional = true;
  if (whole) {
    const Halves v = halves_of(t, in.rt());
    t.branch.cc = not_zero ? Cond::NZ : Cond::Z;
    t.branch.a = t.b.or_(v.low, v.high);
    t.branch.b = t.k64(0);
    return;
  }
  const Value zeros = t.b.vec(Opcode::vcmpeq, lane_of(in.rs() & 3), {vector(t, in.rt()), splat(t, 3, 0)});
  t.branch.cc = not_zero ? Cond::Z : Cond::NZ;
  t.branch.a = t.b.op(Opcode::vmovmsk, Type::I32, {zeros}, static_cast<u8>(Lane::B));
  t.branch.b = t.k32(0);
}

void tr_lsa(Translator& t, const Insn& in) {
  if (!t.require_msa()) return;
  t.set_gpr32(in.rd(), t.b.add(t.b.shli(t.gpr32(in.rs()), (in.sa() & 3) + 1), t.gpr32(in.rt())));
}

}  // namespace doppel::mips

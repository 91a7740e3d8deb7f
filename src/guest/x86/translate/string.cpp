// String instructions and ports (SDM vol. 2, REP and MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS; IN, OUT). Without a
// repeat prefix they are a few IR ops; with one, a helper copies runs of host memory and comes back early when
// something wants attention: then the instruction starts again with the counts it has reached.
#include "guest/x86/helpers/string_info.h"
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {
namespace {

// +size or -size by the direction flag, as a value of type t.
Value step(Translator& t, Type ty, unsigned size) {
  const unsigned log2 = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  const Value down = t.b.andi(t.b.shri(t.b.get_reg(Type::I32, kRegEflagsSys), 9 - log2), 2 * size);
  return t.b.sext(ty, t.b.sub(t.k32(size), down));
}

Value index_offset(Translator& t, unsigned reg, unsigned addrsize) {
  const Value v = t.gpr(reg, addrsize);
  return addrsize == 2 ? t.b.zext(Type::I32, v) : v;
}
Addr string_address(Translator& t, const Insn& in, const Operand& o, bool write) {
  const unsigned reg = o.kind == OpKind::StrSrc ? RSI : RDI;
  return t.segment_address(o.reg, index_offset(t, reg, in.addrsize), 0, o.size, write);
}
void advance(Translator& t, const Insn& in, unsigned reg, unsigned size) {
  const Type ty = int_type(in.addrsize);
  t.set_gpr(reg, t.b.add(t.gpr(reg, in.addrsize), step(t, ty, size)));
}

bool repeated(const Insn& in) { return in.rep || in.repne; }

void by_helper(Translator& t, const Insn& in, Helper h, unsigned size, unsigned source_segment) {
  StringInfo info;
  info.size = static_cast<u8>(size);
  info.addrsize = in.addrsize;
  info.segment = static_cast<u8>(source_segment);
  info.repeat = repeated(in);
  info.until_equal = in.repne;
  info.code64 = t.is64();
  info.one = (t.mode & kModeTf) || t.must_leave();
  const Value again = t.call(h, {t.k32(info.pack())});
  if (!info.repeat) return;
  t.branch_if(t.b.cmp(Cond::NZ, again, t.imm(t.b.type(again), 0)), in.pc);
}

}  // namespace

void tr_movs(Translator& t, const Insn& in) {
  const Operand &dst = in.op[0], &src = in.op[1];
  if (repeated(in)) return by_helper(t, in, Helper::rep_movs, dst.size, src.reg);
  const Value v = t.load(int_type(src.size), string_address(t, in, src, false));
  t.store(string_address(t, in, dst, true), v);
  advance(t, in, RSI, src.size);
  advance(t, in, RDI, src.size);
}

void tr_stos(Translator& t, const Insn& in) {
  const Operand& dst = in.op[0];
  if (repeated(in)) return by_helper(t, in, Helper::rep_stos, dst.size, ES);
  t.store(string_address(t, in, dst, true), t.read(1));
  advance(t, in, RDI, dst.size);
}

void tr_lods(Translator& t, const Insn& in) {
  const Operand& src = in.op[1];
  if (repeated(in)) return by_helper(t, in, Helper::rep_lods, src.size, src.reg);
  const Value v = t.load(int_type(src.size), string_address(t, in, src, false));
  advance(t, in, RSI, src.size);
  t.write(0, v);
}

void tr_scas(Translator& t, const Insn& in) {
  const Operand& dst = in.op[1];
  if (repeated(in)) return by_helper(t, in, Helper::rep_scas, dst.size, ES);
  const Value v = t.load(int_type(dst.size), string_address(t, in, dst, false));
  t.set_flags(t.fl(Opcode::flags_sub, {t.read(0), v}));
  advance(t, in, RDI, dst.size);
}

void tr_cmps(Translator& t, const Insn& in) {
  const Operand &src = in.op[0], &dst = in.op[1];
  if (repeated(in)) return by_helper(t, in, Helper::rep_cmps, src.size, src.reg);
  const Value a = t.load(int_type(src.size), string_address(t, in, src, false));
  const Value b = t.load(int_type(src.size), string_address(t, in, dst, false));
  t.set_flags(t.fl(Opcode::flags_sub, {a, b}));
  advance(t, in, RSI, src.size);
  advance(t, in, RDI, src.size);
}

void tr_ins(Translator& t, const Insn& in) { by_helper(t, in, Helper::string_in, in.op[0].size, ES); }

void tr_outs(Translator& t, const Insn& in) { by_helper(t, in, Helper::string_out, in.op[1].size, in.op[1].reg); }

void tr_in(Translator& t, const Insn& in) {
  const Operand& d = in.op[0];
  const Value v = t.call(Helper::port_in, {t.read(1), t.k32(d.size)});
  t.write(d, t.b.trunc(int_type(d.size), v));
}

// A device may ask for an interrupt at once: the region ends here.
void tr_out(Translator& t, const Insn& in) {
  const Operand& s = in.op[1];
  t.call(Helper::port_out, {t.read(0), t.read(s), t.k32(s.size)});
  t.end_direct(t.next_pc());
}

}  // namespace doppel::x86

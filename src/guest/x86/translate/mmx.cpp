// MMX registers and state (SDM vol. 1, 9.6). MMn is the significand of physical x87 register n. An MMX write sets bits
// 79:64 of it to ones; every MMX instruction but EMMS makes TOP 0 and all tags valid; EMMS makes all tags empty.
#include "guest/x86/translate/simd.h"

namespace doppel::x86 {

void enter_mmx(Translator& t) {
  t.b.set_reg(kRegTop, t.imm(Type::I8, 0));
  t.b.set_reg(kRegFptag, t.imm(Type::I8, 0));
}

Value read_mmx(Translator& t, unsigned reg) { return t.b.get_reg(Type::I64, static_cast<ir::RegId>(kRegMmx0 + reg)); }

void write_mmx(Translator& t, unsigned reg, Value i64) {
  enter_mmx(t);
  t.b.set_reg(static_cast<ir::RegId>(kRegMmx0 + reg), i64);
  t.b.set_reg(static_cast<ir::RegId>(kRegStExp0 + reg), t.imm(Type::I16, 0xffff));
}

// Before an MMX instruction: pending x87 exceptions are due (#MF); and what x87 helpers of this region wrote to the
// registers, unknown to the optimizer, becomes known as changed.
void begin_mmx(Translator& t) {
  if (t.mode & kModeX87Exc) t.call(Helper::x87_wait);
  const std::vector<ir::Op>& ops = t.b.region().ops;
  bool x87 = false;
  for (; t.mmx_scanned < ops.size(); ++t.mmx_scanned) {
    const ir::Op& op = ops[t.mmx_scanned];
    x87 |= op.code == Opcode::call && op.aux >= static_cast<u32>(Helper::x87_load);  // x87.def comes last
    x87 |= ir::is_xfloat(op.code);
  }
  if (x87) t.call(Helper::x87_changed);
  t.x87.known = false;
}

void tr_emms(Translator& t, const Insn&) {
  if (!t.require_mmx()) return;
  begin_mmx(t);
  t.b.set_reg(kRegFptag, t.imm(Type::I8, 0xff));
  t.b.set_reg(kRegTop, t.imm(Type::I8, 0));
}

bool simd_require(Translator& t, const Insn& in) {
  bool mmx = false, xmm = false;
  for (const Operand& o : in.op) {
    xmm |= o.kind == OpKind::Xmm;
    mmx |= o.kind == OpKind::Mmx;
  }
  if (!(mmx && !xmm ? t.require_mmx() : t.require_sse())) return false;
  if (mmx) begin_mmx(t);
  return true;
}

Value simd_read(Translator& t, const Insn& in, unsigned i) {
  const Operand& o = in.op[i];
  if (o.kind == OpKind::Mmx) return vec_from_int(t, read_mmx(t, o.reg));
  return t.read_xmm(i, o.size == 16);
}

void simd_write(Translator& t, const Insn& in, Value v, unsigned lane64) {
  const Operand& o = in.op[0];
  if (o.kind == OpKind::Mmx)
    write_mmx(t, o.reg, vec_extract(t, Type::I64, Lane::D, v, lane64));
  else
    t.set_xmm(o.reg, v);
}

}  // namespace doppel::x86

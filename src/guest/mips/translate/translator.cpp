#include "guest/mips/translate/translator.h"

namespace doppel::mips {

u64 Translator::wrap_pc(u64 pc) const {
  if (!wide()) return static_cast<u32>(pc);
  return mode & kModeVa64 ? pc : static_cast<u64>(static_cast<s64>(static_cast<s32>(pc)));
}

// --- floating-point registers: with Status.FR = 0 an odd one is the high half of the even one before it

Value Translator::fpr32(unsigned n) {
  const ir::RegId row = fpr_row(n);
  if ((mode & kModeFr) || (n & 1) == 0) return b.get_reg(Type::I32, row);
  return b.trunc(Type::I32, b.shri(b.get_reg(Type::I64, row), 32));
}

void Translator::set_fpr32(unsigned n, Value v) {
  const ir::RegId row = fpr_row(n);
  const unsigned at = (mode & kModeFr) || (n & 1) == 0 ? 0 : 32;
  b.set_reg(row, b.deposit(b.get_reg(Type::I64, row), b.zext(Type::I64, v), at, 32));
}

// --- memory

Addr Translator::address(unsigned base, s64 offset) {
  if (!wide()) return {gpr32(base), offset};
  if (mode & kModeVa64) return {gpr(base), offset};
  return {b.sext(Type::I64, b.addi(gpr32(base), static_cast<u32>(offset))), 0};
}

Addr Translator::address_sum(unsigned base, unsigned index) {
  if (!wide()) return {b.add(gpr32(base), gpr32(index)), 0};
  if (mode & kModeVa64) return {b.add(gpr(base), gpr(index)), 0};
  return {b.sext(Type::I64, b.add(gpr32(base), gpr32(index))), 0};
}

ir::MemInfo Translator::memory(unsigned bytes, bool aligned) const {
  ir::MemInfo m;
  if (aligned || !(mode & kModeMends)) m.align_log2 = bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
  m.big_endian = model.big_endian && bytes > 1;
  return m;
}

// --- exceptions

void Translator::raise(ExcCode code, unsigned coprocessor) {
  b.set_reg(kRegPc, k64(unit_pc));
  call(Helper::exception, {k32(u32{code} | coprocessor << 8 | (in_slot ? 1u << 16 : 0))});
  b.exit_loop();
  ended = true;
}

// Where the instruction is the region's first, a helper looks; else it starts over as the first of another region.
void Translator::raise_if(Value bool8, ExcCode code) {
  if (b.region().is_const(bool8) && b.region().op(bool8).imm == 0) return;
  if (first_unit)
    call(Helper::raise_if, {b.zext(Type::I32, bool8), k32(code)});
  else
    b.exit_restart(bool8, unit_pc, same_page(unit_pc));
}

bool Translator::require_cp0() {
  if (mode & kModeCu0) return true;
  raise(EXC_CPU, 0);
  return false;
}

bool Translator::require_fpu() {
  if (mode & kModeCu1) return true;
  raise(EXC_CPU, 1);
  return false;
}

bool Translator::require_pairs() {
  if (!require_fpu()) return false;
  if (mode & kModeFr) return true;
  raise(EXC_RI);
  return false;
}

bool Translator::require_dsp() {
  if (mode & kModeMx) return true;
  raise(EXC_DSPDIS);
  return false;
}

bool Translator::require_msa() {
  if (!(mode & kModeMsa))
    raise(EXC_MSADIS);
  else if ((mode & (kModeCu1 | kModeFr)) == kModeCu1)
    raise(EXC_RI);
  return !ended;
}

bool Translator::require_64bit() {
  if (mode & kModeOp64) return true;
  raise(EXC_RI);
  return false;
}

}  // namespace doppel::mips

// Translator: registers, operands, addresses, stack, exceptions and region ends. Segment checks by helper (seg_check)
// are made only where the mode word does not already prove them away (SDM vol. 3, 5.3 and vol. 1, 3.7).
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {

// --- registers

void Translator::set_gpr(unsigned reg, Value v) {
  const ir::RegId id = static_cast<ir::RegId>(kRegGpr0 + reg);
  const unsigned bits = ir::type_bits(b.type(v));
  if (bits < 32) {
    const Type whole = addr_type();
    v = b.deposit(b.get_reg(whole, id), b.zext(whole, v), 0, bits);
  }
  b.set_reg(id, v);
}

Value Translator::gpr_high(unsigned reg) {
  const Value whole = b.get_reg(Type::I32, static_cast<ir::RegId>(kRegGpr0 + reg));
  return b.trunc(Type::I8, b.extract(whole, 8, 8));
}

void Translator::set_gpr_high(unsigned reg, Value v) {
  const ir::RegId id = static_cast<ir::RegId>(kRegGpr0 + reg);
  const Type whole = addr_type();
  b.set_reg(id, b.deposit(b.get_reg(whole, id), b.zext(whole, v), 8, 8));
}

// --- operands

Value Translator::read(const Operand& o) {
  switch (o.kind) {
    case OpKind::Reg: return gpr(o.reg, o.size);
    case OpKind::RegHigh: return gpr_high(o.reg);
    case OpKind::Mem: return load(int_type(o.size), address(o.size, false));
    case OpKind::Imm: return imm(int_type(o.size), o.reg == 1 ? insn->imm2 : insn->imm);
    case OpKind::Seg: return b.get_reg(Type::I16, static_cast<ir::RegId>(kRegSegSel0 + o.reg));
    case OpKind::Xmm: return xmm(o.reg);
    default: break;
  }
  UNREACHABLE();
}

void Translator::write(const Operand& o, Value v) {
  switch (o.kind) {
    case OpKind::Reg: return set_gpr(o.reg, v);
    case OpKind::RegHigh: return set_gpr_high(o.reg, v);
    case OpKind::Mem: return store(address(ir::type_bytes(b.type(v)), true), v);
    case OpKind::Xmm: return set_xmm(o.reg, v);
    default: break;
  }
  UNREACHABLE();
}

Value Translator::read_xmm(unsigned i, bool aligned) {
  const Operand& o = insn->op[i];
  if (!o.is_mem()) return xmm(o.reg);
  if (o.size == 16) return load_mem(Type::V128, aligned ? 4 : 0);
  Value v = load_mem(int_type(o.size));
  if (o.size < 4) v = b.zext(Type::I32, v);
  return b.op(Opcode::vfromint, b.type(v), {v});
}

// --- memory

Value Translator::effective_address(const MemOperand& m, s64 extra) {
  const Type t = insn->addrsize == 8 ? Type::I64 : Type::I32;
  Value sum = 0;
  if (m.base != kNoReg) sum = b.get_reg(t, static_cast<ir::RegId>(kRegGpr0 + m.base));
  if (m.index != kNoReg) {
    const Value scaled = b.shli(b.get_reg(t, static_cast<ir::RegId>(kRegGpr0 + m.index)), m.scale);
    sum = sum ? b.add(sum, scaled) : scaled;
  }
  const u64 disp = static_cast<u64>(m.disp + extra);
  sum = sum ? b.addi(sum, t == Type::I32 ? static_cast<u32>(disp) : disp) : b.konst(t, disp);
  return insn->addrsize == 2 ? b.extract(sum, 0, 16) : sum;
}

bool Translator::flat(unsigned seg) const {
  if (is64()) return true;
  if (seg == ES || seg == SS || seg == DS) return mode & kModeFlatData;
  if (seg == FS) return mode & kModeFlatFs;
  if (seg == GS) return mode & kModeFlatGs;
  return false;  // CS: its rights must be looked at
}

Addr Translator::address(const MemOperand& m, unsigned size, bool write, s64 extra) {
  const bool native = insn->addrsize == (is64() ? 8 : 4);
  if (!native || !flat(m.seg)) return segment_address(m.seg, effective_address(m, extra), 0, size, write);
  // base + index * scale + segment base, the displacement left to the access: it all wraps at the same width.
  const Type t = addr_type();
  Value sum = 0;
  s64 disp = m.disp + extra;
  if (m.base != kNoReg) sum = b.get_reg(t, static_cast<ir::RegId>(kRegGpr0 + m.base));
  if (m.index != kNoReg) {
    const Value scaled = b.shli(b.get_reg(t, static_cast<ir::RegId>(kRegGpr0 + m.index)), m.scale);
    sum = sum ? b.add(sum, scaled) : scaled;
  }
  if (m.seg == FS || m.seg == GS) {
    const Value base = b.get_reg(t, static_cast<ir::RegId>(kRegSegBase0 + m.seg));
    sum = sum ? b.add(base, sum) : base;
  }
  if (!sum) {
    sum = b.konst(t, static_cast<u64>(disp));
    disp = 0;
  }
  return {sum, disp, m.seg == SS};
}

Addr Translator::segment_address(unsigned seg, Value offset, s64 disp, unsigned size, bool write) {
  const bool based = is64() ? (seg == FS || seg == GS) : !flat(seg) || seg == FS || seg == GS;
  if (is64()) {
    if (b.type(offset) != Type::I64) {
      // A 32-bit offset wraps before the segment base is added.
      offset = b.zext(Type::I64, b.addi(offset, static_cast<u32>(disp)));
      disp = 0;
    }
    if (based) offset = b.add(b.get_reg(Type::I64, static_cast<ir::RegId>(kRegSegBase0 + seg)), offset);
    return {offset, disp, seg == SS};
  }
  if (!flat(seg)) {
    offset = b.addi(offset, static_cast<u32>(disp));
    disp = 0;
    call(Helper::seg_check, {k32(seg), offset, k32(size), k32(write)});
  }
  if (based) offset = b.add(b.get_reg(Type::I32, static_cast<ir::RegId>(kRegSegBase0 + seg)), offset);
  return {offset, disp, seg == SS};
}

unsigned Translator::align_for(unsigned bytes) const {
  if (!(mode & kModeAlignCheck)) return 0;
  return bytes == 2 ? 1 : bytes == 4 ? 2 : bytes == 8 ? 3 : 0;
}

Value Translator::load(Type t, const Addr& a, s64 extra, unsigned align_log2) {
  ir::MemInfo m;
  m.stack = a.stack;
  m.align_log2 = static_cast<u8>(align_log2 ? align_log2 : align_for(ir::type_bytes(t)));
  return b.load(t, a.base, m, a.disp + extra);
}

Value Translator::load_rmw(Type t, const Addr& a) {
  ir::MemInfo m;
  m.stack = a.stack;
  m.rmw = true;
  m.align_log2 = static_cast<u8>(align_for(ir::type_bytes(t)));
  return b.load(t, a.base, m, a.disp);
}

void Translator::store(const Addr& a, Value v, s64 extra, unsigned align_log2) {
  ir::MemInfo m;
  m.stack = a.stack;
  m.align_log2 = static_cast<u8>(align_log2 ? align_log2 : align_for(ir::type_bytes(b.type(v))));
  b.store(a.base, v, m, a.disp + extra);
}

void Translator::probe_write(const Addr& a, unsigned bytes) {
  ir::MemInfo m;
  m.stack = a.stack;
  m.probe_bytes = static_cast<u8>(bytes);
  b.op(Opcode::probe_write, Type::Void, {a.base}, 0, m.pack(), static_cast<u64>(a.disp));
}

// --- stack

Addr Translator::stack_address(s64 offset, unsigned size, bool write) {
  const unsigned width = stack_size();
  Value sp = gpr(RSP, width);
  if (width == 2) {
    sp = b.zext(Type::I32, b.addi(sp, static_cast<u16>(offset)));
    offset = 0;
  }
  return segment_address(SS, sp, offset, size, write);
}

void Translator::push(Value v) {
  const s64 bytes = ir::type_bytes(b.type(v));
  store(stack_address(-bytes, static_cast<unsigned>(bytes), true), v);
  add_sp(-bytes);
}

Value Translator::stack_load(Type t, s64 offset) { return load(t, stack_address(offset, ir::type_bytes(t), false)); }

void Translator::stack_store(Value v, s64 offset) { store(stack_address(offset, ir::type_bytes(b.type(v)), true), v); }

void Translator::add_sp(s64 n) {
  set_gpr(RSP, b.addi(gpr(RSP, stack_size()), static_cast<u64>(n) & mask_bits(stack_size() * 8)));
}

// --- exceptions and ends

void Translator::raise(u8 vector) {
  call(Helper::raise_vector, {k32(vector)});
  b.exit_loop();
  ended = true;
}

void Translator::raise_error(u8 vector, u32 error) {
  call(Helper::raise_error, {k32(vector), k32(error)});
  b.exit_loop();
  ended = true;
}

void Translator::call_and_leave(Helper h, std::initializer_list<Value> args) {
  b.set_reg(kRegRip, imm(addr_type(), next_pc()));
  call(h, args);
  b.exit_loop();
  ended = true;
}

void Translator::leave(u64 pc) {
  b.set_reg(kRegRip, imm(addr_type(), pc));
  b.exit_loop();
  ended = true;
}

bool Translator::same_page(u64 pc) const {
  const u64 mask = is64() ? ~u64{0} : 0xffffffffu;
  return (((pc + request.base) ^ (request.pc + request.base)) & mask & mem::kPageMask) == 0;
}

void Translator::after_segment_load(unsigned reg, Value changed) {
  if (reg == SS) {
    b.set_reg(kRegShadow, imm(Type::I8, 2));
    b.exit_loop();
    ended = true;
    return;
  }
  const Value moved = b.cmp(Cond::NZ, changed, imm(b.type(changed), 0));
  if (must_leave()) return branch_if(moved, next_pc());
  b.exit_if(moved, next_pc(), false);  // by the jump cache, which is that of the new mode now
}

void Translator::end_direct(u64 pc) {
  if (must_leave()) return leave(pc);
  b.exit_direct(pc, same_page(pc));
  ended = true;
}

void Translator::end_indirect(Value pc) {
  if (must_leave()) {
    b.set_reg(kRegRip, pc);
    b.exit_loop();
  } else {
    b.exit_indirect(pc);
  }
  ended = true;
}

void Translator::branch_if(Value bool8, u64 pc) {
  if (must_leave()) {
    b.set_reg(kRegRip, b.select(bool8, imm(addr_type(), pc), imm(addr_type(), next_pc())));
    b.exit_loop();
    ended = true;
    return;
  }
  b.exit_if(bool8, pc, same_page(pc));
}

void Translator::branch_cc(Cond c, Value f, u64 pc) {
  if (must_leave()) return branch_if(b.setcc(c, f), pc);
  b.exit_cc(c, f, pc, same_page(pc));
}

void Translator::branch_restart(Value bool8) {
  ASSERT(!first_insn());
  b.exit_restart(bool8, insn->pc, same_page(insn->pc));
}

// --- availability of the floating-point units (SDM vol. 3, 2.5 and 13.1)

bool Translator::require_fpu() {
  if (!(mode & (kModeEm | kModeTs))) return true;
  raise(NM);
  return false;
}

bool Translator::require_mmx() {
  if (mode & kModeEm) {
    ud();
    return false;
  }
  if (!(mode & kModeTs)) return true;
  raise(NM);
  return false;
}

bool Translator::require_sse() {
  if ((mode & kModeEm) || !(mode & kModeOsfxsr)) {
    ud();
    return false;
  }
  if (!(mode & kModeTs)) return true;
  raise(NM);
  return false;
}

}  // namespace doppel::x86

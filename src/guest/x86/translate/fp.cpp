// x87 instructions (SDM vol. 1, chapter 8): as IR ops (x87_stack.cpp), or one helper call each.
#include "guest/x86/helpers/x87.h"
#include "guest/x86/translate/x87_stack.h"

namespace doppel::x86 {
namespace {

Value flat_address(Translator& t, const Addr& a) {
  return t.b.zext(Type::I64, t.b.addi(a.base, static_cast<u64>(a.disp)));
}

// Format of the memory operand by opcode and size.
X87Format format_of(const Insn& in) {
  switch (in.opcode) {
    case 0xD8: return X87Format::F32;
    case 0xD9: return X87Format::F32;
    case 0xDA: return X87Format::I32;
    case 0xDB: return in.reg_field() >= 5 ? X87Format::F80 : X87Format::I32;
    case 0xDC: return X87Format::F64;
    case 0xDD: return in.reg_field() == 1 ? X87Format::I64 : X87Format::F64;
    case 0xDE: return X87Format::I16;
    default:
      switch (in.reg_field()) {
        case 4:
        case 6: return X87Format::Bcd;
        case 5:
        case 7: return X87Format::I64;
        default: return X87Format::I16;
      }
  }
}

unsigned bytes_of(X87Format f) {
  switch (f) {
    case X87Format::F32:
    case X87Format::I32: return 4;
    case X87Format::F64:
    case X87Format::I64: return 8;
    case X87Format::I16: return 2;
    default: return 10;
  }
}

Value mem_address(Translator& t, bool write) { return flat_address(t, t.address(bytes_of(format_of(*t.insn)), write)); }

}  // namespace

void tr_fwait(Translator& t, const Insn&) {
  if ((t.mode & kModeTs) && (t.mode & kModeMp)) return t.raise(NM);
  if (!x87_by_ops(t)) t.call(Helper::x87_wait);
}

void tr_x87_arith(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  unsigned op = in.reg_field();
  if (in.mem_form()) {
    if (x87_op_arith_mem(t, op, format_of(in))) return;
    t.call(Helper::x87_arith_mem, {t.k32(op), mem_address(t, false), t.k32(static_cast<u64>(format_of(in)))});
    return;
  }
  // DC and DE: the register form's sub and subr, div and divr have changed places (table A-12).
  const bool to_sti = in.opcode != 0xD8;
  if (to_sti && op >= 4) op ^= 1;
  if (x87_op_arith(t, op, in.rm_field(), to_sti, in.opcode == 0xDE)) return;
  t.call(Helper::x87_arith,
         {t.k32(op), t.k32(in.rm_field() | unsigned{to_sti} << 3 | unsigned{in.opcode == 0xDE} << 4)});
}

void tr_x87_compare(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  if (in.mem_form()) {
    if (x87_op_compare_mem(t, format_of(in), in.reg_field() == 3)) return;
    t.call(Helper::x87_compare_mem,
           {mem_address(t, false), t.k32(static_cast<u64>(format_of(in))), t.k32(in.reg_field() == 3)});
    return;
  }
  unsigned pops = 0;
  switch (in.mnemonic) {
    case Mnemonic::FCOMP:
    case Mnemonic::FUCOMP: pops = 1; break;
    case Mnemonic::FCOMPP:
    case Mnemonic::FUCOMPP: pops = 2; break;
    default: break;
  }
  const bool quiet =
      in.mnemonic == Mnemonic::FUCOM || in.mnemonic == Mnemonic::FUCOMP || in.mnemonic == Mnemonic::FUCOMPP;
  if (x87_op_compare(t, in.rm_field(), pops, quiet)) return;
  t.call(Helper::x87_compare, t.k32(in.rm_field() | pops << 3 | unsigned{quiet} << 5));
}

void tr_x87_comi(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool quiet = in.mnemonic == Mnemonic::FUCOMI || in.mnemonic == Mnemonic::FUCOMIP;
  const bool pop = in.opcode == 0xDF;
  if (x87_op_comi(t, in.rm_field(), pop, quiet)) return;
  const Value bits = t.call(Helper::x87_comi, t.k32(in.rm_field() | unsigned{pop} << 3 | unsigned{quiet} << 5));
  t.set_flags(t.b.op(Opcode::flags_pack, Type::Flags, {bits}));
}

void tr_x87_load(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  if (!in.mem_form()) {
    if (!x87_op_load_st(t, in.rm_field())) t.call(Helper::x87_load_st, t.k32(in.rm_field()));
    return;
  }
  if (x87_op_load(t, format_of(in))) return;
  t.call(Helper::x87_load, {mem_address(t, false), t.k32(static_cast<u64>(format_of(in)))});
}

void tr_x87_store(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool pop = in.mnemonic != Mnemonic::FST && in.mnemonic != Mnemonic::FIST;
  if (!in.mem_form()) {
    if (!x87_op_store_st(t, in.rm_field(), pop)) t.call(Helper::x87_store_st, {t.k32(in.rm_field()), t.k32(pop)});
    return;
  }
  const bool truncate = in.mnemonic == Mnemonic::FISTTP;
  if (x87_op_store(t, format_of(in), pop, truncate)) return;
  t.call(Helper::x87_store, {mem_address(t, true), t.k32(static_cast<u64>(format_of(in))),
                             t.k32(unsigned{pop} | unsigned{truncate} << 1)});
}

void tr_x87_register(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  if (in.mnemonic == Mnemonic::FXCH) {
    if (!x87_op_exchange(t, in.rm_field())) t.call(Helper::x87_exchange, t.k32(in.rm_field()));
    return;
  }
  t.call(Helper::x87_free, {t.k32(in.rm_field()), t.k32(in.mnemonic == Mnemonic::FFREEP)});
}

void tr_x87_cmov(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  static constexpr Cond kConds[] = {Cond::C, Cond::Z, Cond::BE, Cond::P};
  Cond c = kConds[in.reg_field() & 3];
  if (in.opcode != 0xDA) c = ir::invert(c);
  if (x87_op_cmov(t, in.rm_field(), c)) return;
  const Value holds = t.b.setcc(c, t.flags());
  t.call(Helper::x87_cmov, {t.k32(in.rm_field()), t.b.zext(Type::I32, holds)});
}

void tr_x87_constant(Translator& t, const Insn& in) {
  if (!t.require_fpu() || x87_op_constant(t, in.modrm & 7)) return;
  t.call(Helper::x87_constant, t.k32(in.modrm & 7));
}

void tr_x87_unary(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  if (in.mnemonic == Mnemonic::FNOP) {
    if (!x87_by_ops(t)) t.call(Helper::x87_wait);
    return;
  }
  if (!x87_op_unary(t, in.modrm)) t.call(Helper::x87_unary, t.k32(in.modrm));
}

namespace {

// After a helper that may have masked or unmasked exceptions.
void after_control(Translator& t, bool may_unmask) {
  if (may_unmask || !x87_by_ops(t)) t.leave_next();
}

void store_word(Translator& t, Helper h) {
  if (x87_op_store_word(t, h == Helper::x87_get_cw)) return;
  if (t.insn->mem_form()) {
    const Addr a = t.address(2, true);
    t.store(a, t.call(h));
  } else {
    t.set_gpr(RAX, t.call(h));
  }
}

}  // namespace

void tr_x87_control(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  switch (in.mnemonic) {
    case Mnemonic::FLDCW:
      if (x87_op_load_control(t)) return;
      t.call(Helper::x87_set_cw, t.b.zext(Type::I32, t.load_mem(Type::I16)));
      return after_control(t, true);
    case Mnemonic::FNSTCW: return store_word(t, Helper::x87_get_cw);
    case Mnemonic::FNSTSW: return store_word(t, Helper::x87_get_sw);
    case Mnemonic::FNCLEX: t.call(Helper::x87_clex); break;
    case Mnemonic::FNINIT: t.call(Helper::x87_init); return after_control(t, false);
    default: break;  // FENI, FDISI, FSETPM: nothing since the 387
  }
}

void tr_x87_environment(Translator& t, const Insn& in) {
  if (!t.require_fpu()) return;
  const bool big = in.opsize != 2;
  const bool all = in.mnemonic == Mnemonic::FRSTOR || in.mnemonic == Mnemonic::FNSAVE;
  const bool write = in.mnemonic == Mnemonic::FNSTENV || in.mnemonic == Mnemonic::FNSAVE;
  const unsigned bytes = (big ? 28u : 14u) + (all ? 80u : 0u);
  const Value address = flat_address(t, t.address(bytes, write));
  const Value shape = t.k32(unsigned{big} | unsigned{t.protected_mode()} << 1 | unsigned{all} << 2);
  t.call(write ? Helper::x87_store_env : Helper::x87_load_env, {address, shape});
  after_control(t, !write);
}

}  // namespace doppel::x86

// Control transfer (SDM vol. 2). Direct targets on the region's page are followed: the region is a trace. A call that
// was followed leaves its return address behind; the RET that meets it checks the popped address and goes on inline.
#include "guest/x86/translate/translator.h"

namespace doppel::x86 {
namespace {

constexpr unsigned kMaxFollowedCalls = 4;

bool may_follow(const Translator& t, u64 pc) {
  return !t.must_leave() && !t.request.limits.single_step && t.request.limits.max_insns > 1 && !t.end_after_next &&
         t.same_page(pc);
}

void go_to(Translator& t, u64 pc) {
  if (!may_follow(t, pc)) return t.end_direct(pc);
  t.follow = true;
  t.follow_pc = pc;
}

Value as_pc(Translator& t, Value v) { return t.b.zext(t.addr_type(), v); }
Value next_pc_value(Translator& t, const Insn& in) { return t.imm(int_type(in.opsize), t.next_pc()); }

}  // namespace

void tr_jcc(Translator& t, const Insn& in) {
  t.branch_cc(static_cast<Cond>(in.opcode & 15), t.flags(), in.target);
  if (!t.ended && in.target == t.request.pc) t.end_direct(t.next_pc());  // a loop around the region
}

void tr_jmp(Translator& t, const Insn& in) { go_to(t, in.target); }

void tr_call(Translator& t, const Insn& in) {
  t.push(next_pc_value(t, in));
  if (may_follow(t, in.target) && t.return_depth < kMaxFollowedCalls && t.same_page(t.next_pc())) {
    t.return_pcs[t.return_depth++] = t.next_pc();
    return go_to(t, in.target);
  }
  t.end_direct(in.target);
}

void tr_jmp_indirect(Translator& t, const Insn&) { t.end_indirect(as_pc(t, t.read(0))); }

void tr_call_indirect(Translator& t, const Insn& in) {
  const Value to = t.read(0);
  t.push(next_pc_value(t, in));
  t.end_indirect(as_pc(t, to));
}

void tr_ret(Translator& t, const Insn& in) {
  const Value to = as_pc(t, t.stack_load(int_type(in.opsize), 0));
  const s64 release = in.opsize + static_cast<s64>(in.op[0].kind == OpKind::Imm ? in.imm & 0xffff : 0);
  if (t.return_depth > 0 && !t.first_insn() && may_follow(t, t.return_pcs[t.return_depth - 1])) {
    const u64 expected = t.return_pcs[--t.return_depth];
    t.restart_if(t.b.cmp(Cond::NZ, to, t.imm(t.addr_type(), expected)));
    t.add_sp(release);
    return go_to(t, expected);
  }
  t.add_sp(release);
  t.end_indirect(to);
}

void tr_loop(Translator& t, const Insn& in) {
  const unsigned size = in.addrsize;
  const Value count = t.b.addi(t.gpr(RCX, size), mask_bits(size * 8));
  Value taken = t.b.cmp(Cond::NZ, count, t.imm(int_type(size), 0));
  if (in.mnemonic != Mnemonic::LOOP)
    taken = t.b.and_(taken, t.b.setcc(in.mnemonic == Mnemonic::LOOPE ? Cond::Z : Cond::NZ, t.flags()));
  t.set_gpr(RCX, count);
  t.branch_if(taken, in.target);
  if (!t.ended && in.target == t.request.pc) t.end_direct(t.next_pc());
}

void tr_jcxz(Translator& t, const Insn& in) {
  const unsigned size = in.addrsize;
  t.branch_if(t.b.cmp(Cond::Z, t.gpr(RCX, size), t.imm(int_type(size), 0)), in.target);
}

// --- far transfers

void tr_far(Translator& t, const Insn& in) {
  Value offset, selector;
  if (in.op[0].kind == OpKind::Far) {
    offset = t.imm(int_type(in.opsize), in.imm);
    selector = t.imm(Type::I16, in.imm2);
  } else {
    const Addr a = t.address(in.op[0].size, false);
    offset = t.load(int_type(in.opsize), a);
    selector = t.load(Type::I16, a, in.opsize);
  }
  const Helper h = in.mnemonic == Mnemonic::JMPF ? Helper::far_jmp : Helper::far_call;
  t.call_and_leave(h, {selector, offset, t.k32(in.opsize), t.imm(t.addr_type(), t.next_pc())});
}

void tr_retf(Translator& t, const Insn& in) {
  t.call_and_leave(Helper::far_ret, {t.k32(in.opsize), t.k32(in.op[0].kind == OpKind::Imm ? in.imm & 0xffff : 0)});
}

void tr_iret(Translator& t, const Insn& in) {
  t.call_and_leave(Helper::iret, {t.k32(in.opsize), t.imm(t.addr_type(), t.next_pc())});
}

// --- software interrupts and checks

void tr_int(Translator& t, const Insn& in) {
  if (in.mnemonic == Mnemonic::INT3)
    t.call(Helper::int3, {t.k32(in.length)});
  else
    t.call(Helper::int_n, {t.k32(in.imm), t.k32(in.length)});
  t.b.exit_loop();
  t.ended = true;
}

void tr_int1(Translator& t, const Insn& in) {
  t.call(Helper::int1, {t.k32(in.length)});
  t.b.exit_loop();
  t.ended = true;
}

void tr_into(Translator& t, const Insn& in) { t.call(Helper::into, {t.k32(in.length)}); }

void tr_bound(Translator& t, const Insn& in) {
  const Type ty = int_type(in.opsize);
  const Addr a = t.address(in.op[1].size, false);
  const Value lower = t.load(ty, a), upper = t.load(ty, a, in.opsize);
  t.call(Helper::bound_check, {t.b.sext(Type::I64, t.read(0)), t.b.sext(Type::I64, lower), t.b.sext(Type::I64, upper)});
}

void tr_ud(Translator& t, const Insn&) { t.ud(); }

}  // namespace doppel::x86

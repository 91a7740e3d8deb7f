// What the Builder and simplify() make of ops: identities, chains, displacement folding, and that the fold pass does
// the same.
#include "ir/ir_fixture.h"

namespace doppel::ir::test {
namespace {

class Fold : public ::testing::Test {
 protected:
  Fold() {
    b.insn(0x1000);
    x = b.get_reg(Type::I32, kR0);
    y = b.get_reg(Type::I32, 1);
    f = b.get_reg(Type::Flags, kFlags);
  }
  Value k(u64 v, Type t = Type::I32) { return b.konst(t, v); }
  const Op& op(Value v) const { return r.ops[v]; }
  Region r = new_region();
  Builder b{r};
  Value x, y, f;
};

TEST_F(Fold, Identities) {
  EXPECT_EQ(b.add(x, k(0)), x);
  EXPECT_EQ(b.add(k(0), x), x);
  EXPECT_EQ(b.sub(x, k(0)), x);
  EXPECT_EQ(b.mul(k(1), x), x);
  EXPECT_EQ(b.and_(x, x), x);
  EXPECT_EQ(b.andi(x, 0xffffffff), x);
  EXPECT_EQ(b.or_(x, k(0)), x);
  EXPECT_EQ(b.xor_(x, k(0)), x);
  EXPECT_EQ(b.bin(Opcode::shl, x, k(0, Type::I8)), x);
  EXPECT_EQ(b.bin(Opcode::rotl, x, k(0, Type::I8)), x);
  EXPECT_EQ(b.not_(b.not_(x)), x);
  EXPECT_EQ(b.neg(b.neg(x)), x);
  EXPECT_EQ(b.select(b.cmp(Cond::Z, x, y), x, x), x);
  EXPECT_EQ(b.op(Opcode::flags_merge, Type::Flags, {f, b.op(Opcode::flags_logic, Type::I32, {x})}, 0, 0), f);
  EXPECT_EQ(b.op(Opcode::flags_pack, Type::I32, {b.op(Opcode::flags_bits, Type::I32, {f})}), f);
  EXPECT_EQ(b.op(Opcode::flags_shl, Type::I32, {x, k(32, Type::I8), f}), f);
}

TEST_F(Fold, Constants) {
  for (const Value zero : {b.sub(x, x), b.xor_(x, x), b.andi(x, 0), b.mul(x, k(0)), b.bin(Opcode::andn, x, x)}) {
    EXPECT_TRUE(r.is_const(zero));
    EXPECT_EQ(op(zero).imm, 0u);
  }
  EXPECT_EQ(op(b.or_(x, k(~u32{0}))).imm, 0xffffffffu);
  EXPECT_EQ(op(b.cmp(Cond::GE, x, x)).imm, 1u);
  EXPECT_EQ(op(b.cmp(Cond::C, x, x)).imm, 0u);
  EXPECT_EQ(b.type(b.cmp(Cond::C, x, x)), Type::I8);
}

TEST_F(Fold, CanonicalForms) {
  EXPECT_EQ(op(b.xor_(x, k(~u32{0}))).code, Opcode::not_);
  EXPECT_EQ(op(b.add(k(5), x)).arg[0], x);
  const Value flags = b.op(Opcode::flags_add, Type::I32, {k(5), x});
  EXPECT_EQ(op(flags).arg[0], x);  // the same order as its add: backends fuse the pair
  EXPECT_EQ(op(b.select(b.setcc(Cond::G, f), x, y)).code, Opcode::selcc);
  b.exit_if(b.setcc(Cond::G, f), 0x2000, true);
  EXPECT_EQ(r.ops.back().code, Opcode::exit_cc);
  EXPECT_EQ(r.ops.back().sub, static_cast<u8>(Cond::G));
  const size_t n = r.ops.size();
  b.exit_if(k(0, Type::I8), 0x2000, true);  // never taken: at most its constant was appended
  EXPECT_NE(r.ops.back().code, Opcode::exit_if);
  EXPECT_LE(r.ops.size(), n + 1);
  EXPECT_EQ(op(b.op(Opcode::adc, Type::I32, {x, y, k(kFlagOne, Type::Flags)})).code, Opcode::add);
}

TEST_F(Fold, Chains) {
  const Value low = b.trunc(Type::I8, x);
  EXPECT_EQ(b.trunc(Type::I8, b.zext(Type::I64, low)), low);
  const Value back = b.zext(Type::I32, low);
  EXPECT_EQ(op(back).code, Opcode::extract);
  EXPECT_EQ(op(back).arg[0], x);
  EXPECT_EQ(op(b.sext(Type::I32, low)).code, Opcode::sextract);
  const Value wide = b.zext(Type::I64, low);
  EXPECT_EQ(op(b.trunc(Type::I16, wide)).arg[0], low);
  const Value z = b.zext(Type::I64, x);
  EXPECT_EQ(b.trunc(Type::I32, z), x);
  EXPECT_EQ(b.extract(z, 0, 32), z);
  EXPECT_EQ(op(b.extract(z, 32, 8)).imm, 0u);
  EXPECT_EQ(op(b.extract(b.extract(x, 8, 16), 4, 8)).aux, 12u | 8u << 8);
  EXPECT_EQ(op(b.extract(b.extract(x, 8, 16), 12, 20)).aux, 20u | 4u << 8);
  const Value merged = b.deposit(x, y, 0, 8);
  EXPECT_EQ(op(b.trunc(Type::I8, merged)).arg[0], y);
  EXPECT_EQ(op(b.extract(merged, 8, 8)).arg[0], x);
  EXPECT_EQ(op(b.extract(b.deposit(x, y, 8, 8), 8, 8)).arg[0], y);
  EXPECT_EQ(op(b.deposit(merged, x, 0, 16)).arg[0], x);
  EXPECT_EQ(b.deposit(x, y, 0, 32), y);
}

TEST_F(Fold, Displacement) {
  const Value address = b.addi(x, 0xfffffffc);
  const Value v = b.load(Type::I32, address, {}, 8);
  EXPECT_EQ(op(v).arg[0], x);
  EXPECT_EQ(op(v).imm, 4u);
  const Value far = b.addi(b.zext(Type::I64, x), u64{1} << 40);
  EXPECT_EQ(op(b.load(Type::I32, far)).arg[0], far);
}

TEST(FoldPass, SameAsBuilder) {
  Region r = new_region();
  raw_start(r);
  const Value x = raw(r, Opcode::get_reg, Type::I32, {}, 0, kR0);
  const Value zero = raw_const(r, Type::I32, 0);
  const Value sum = raw(r, Opcode::add, Type::I32, {zero, x});
  const Value twice = raw(r, Opcode::xor_, Type::I32, {sum, x});
  raw(r, Opcode::set_reg, Type::I32, {twice}, 0, 1);
  raw(r, Opcode::exit_loop, Type::Void, {});
  OptFlags flags = OptFlags::none();
  flags.fold = flags.dce = true;
  run_pipeline(r, flags);
  EXPECT_EQ(verify(r), "");
  ASSERT_EQ(r.ops.size(), 4u) << dump(r);
  EXPECT_TRUE(r.is_const(1));
}

}  // namespace
}  // namespace doppel::ir::test

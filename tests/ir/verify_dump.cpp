// The verifier refuses each kind of wrong region, and dumps read as documented.
#include "ir/ir_fixture.h"

namespace doppel::ir::test {
namespace {

Region start() {
  Region r = new_region();
  raw_start(r);
  return r;
}
std::string check(Region r) {
  raw(r, Opcode::exit_loop, Type::Void, {});
  return verify(r);
}

TEST(Verify, AcceptsAndRefuses) {
  EXPECT_EQ(check(start()), "");
  Region r = new_region();
  EXPECT_NE(verify(r), "");
  raw_const(r, Type::I8, 1);
  EXPECT_NE(check(r).find("starts with insn"), std::string::npos);

  const auto refuse = [](const char* what, auto&& fill) {
    Region bad = start();
    const Value a = raw_const(bad, Type::I32, 1), b = raw_const(bad, Type::I8, 1);
    fill(bad, a, b);
    const std::string wrong = check(bad);
    EXPECT_NE(wrong.find(what), std::string::npos) << what << ": " << wrong;
  };
  refuse("argument 2 has the type i8", [](Region& x, Value a, Value b) { raw(x, Opcode::add, Type::I32, {a, b}); });
  refuse("wrong number of arguments", [](Region& x, Value a, Value) { raw(x, Opcode::add, Type::I32, {a}); });
  refuse("not made before its use", [](Region& x, Value a, Value) { raw(x, Opcode::add, Type::I32, {a, 9}); });
  refuse("not made before its use", [](Region& x, Value a, Value) { raw(x, Opcode::add, Type::I32, {a, 0}); });
  refuse("no such type", [](Region& x, Value a, Value) { raw(x, Opcode::add, Type::V128, {a, a}); });
  refuse("not narrower", [](Region& x, Value a, Value) { raw(x, Opcode::trunc, Type::I32, {a}); });
  refuse("not wider", [](Region& x, Value a, Value) { raw(x, Opcode::sext, Type::I16, {a}); });
  refuse("no such register", [](Region& x, Value, Value) { raw(x, Opcode::get_reg, Type::I32, {}, 0, 99); });
  refuse("another type", [](Region& x, Value, Value) { raw(x, Opcode::get_reg, Type::I32, {}, 0, kByte); });
  refuse("another type", [](Region& x, Value a, Value) { raw(x, Opcode::set_reg, Type::I32, {a}, 0, kFlags); });
  refuse("bit field", [](Region& x, Value a, Value) { raw(x, Opcode::extract, Type::I32, {a}, 0, 30 | 3 << 8); });
  refuse("two integers don't have", [](Region& x, Value a, Value) {
    raw(x, Opcode::cmp, Type::I32, {a, a}, static_cast<u8>(Cond::P));
  });
  refuse("constant wider", [](Region& x, Value, Value) { raw(x, Opcode::konst, Type::I8, {}, 0, 0, 256); });
  refuse("an end in the middle", [](Region& x, Value, Value) { raw(x, Opcode::exit_loop, Type::Void, {}); });
  refuse("no such helper", [](Region& x, Value, Value) { raw(x, Opcode::call, Type::Void, {}, 0, 77); });
  refuse("arguments for the helper", [](Region& x, Value a, Value) { raw(x, Opcode::call, Type::I32, {a}, 0, kMix); });
  refuse("result has another type", [](Region& x, Value a, Value) {
    raw(x, Opcode::call, Type::I64, {a, a}, 0, kMix);
  });
  refuse("has the type i32", [](Region& x, Value a, Value) { raw(x, Opcode::exit_if, Type::Void, {a}, 0, 0, 0); });
  refuse("has no value", [](Region& x, Value a, Value) {
    raw(x, Opcode::set_reg, Type::I32, {a}, 0, 0);
    raw(x, Opcode::not_, Type::I32, {3});
  });
  refuse("no such lane", [](Region& x, Value, Value) {
    const Value z = raw(x, Opcode::vzero, Type::V128, {});
    raw(x, Opcode::vadds, Type::V128, {z, z}, static_cast<u8>(Lane::W));
  });
  refuse("not the lane's", [](Region& x, Value, Value) {
    const Value z = raw(x, Opcode::vzero, Type::V128, {});
    raw(x, Opcode::vextract, Type::I32, {z}, static_cast<u8>(Lane::D));
  });
  refuse("size missing", [](Region& x, Value a, Value) { raw(x, Opcode::probe_write, Type::Void, {a}); });

  Region open = start();
  EXPECT_NE(verify(open).find("does not end with an exit"), std::string::npos);
}

TEST(Dump, Text) {
  Region r = new_region();
  Builder b(r);
  b.insn(0x1000, 3);
  const Value x = b.get_reg(Type::I32, kR0), y = b.addi(x, 0x10);
  b.set_reg(1, y);
  b.set_reg(kFlags, b.op(Opcode::flags_add, Type::I32, {x, b.konst(Type::I32, 0x10)}));
  b.store(x, b.load(Type::I32, y, {.rmw = true, .stack = true}), {}, -8);
  b.call(kMix, {x, y});
  b.op(Opcode::atomic_rmw, Type::I32, {x, y}, static_cast<u8>(AtomicOp::Xchg));
  b.op(Opcode::exit_if, Type::Void, {b.cmp(Cond::BE, x, y)}, 0, 3 | kExitRestarts, 0x2000);
  const Value v = b.get_reg(Type::V128, kX0);
  b.set_reg(kX0 + 1, b.vec(Opcode::vshuf_w, Lane::W, {v}, 0x1b));
  b.exit_direct(0x1003, true);
  EXPECT_EQ(verify(r), "");
  EXPECT_EQ(dump(r),
            "region pc 0x1000 mode 0x0: 1 instructions, 17 ops\n"
            "-- 0x1000 (3 bytes)\n"
            "  %1 = get_reg.i32 r0\n"
            "  %2 = konst.i32 0x10\n"
            "  %3 = add.i32 %1, %2\n"
            "  set_reg.i32 r1, %3\n"
            "  %5 = flags_add.i32 %1, %2\n"
            "  set_reg.flags flags, %5\n"
            "  %7 = load.i32 [%1 + 0x10] rmw stack\n"
            "  store.i32 [%1 - 0x8], %7\n"
            "  %9 = call.i32 mix(%1, %3)\n"
            "  %10 = atomic_rmw.i32 xchg [%1], %3\n"
            "  %11 = cmp.i32 BE %1, %3\n"
            "  exit_if %11 -> 0x2000 same-page flags-dead restart\n"
            "  %13 = get_reg.v128 x0\n"
            "  %14 = vshuf_w.v128 W %13, imm 0x1b\n"
            "  set_reg.v128 x1, %14\n"
            "  exit_direct -> 0x1003 same-page\n");
}

TEST(Reference, EveryOp) {
  const std::string text = op_reference();
  for (const OpInfo& row : kOpInfo) EXPECT_NE(text.find(std::string("| `") + row.name + "` |"), std::string::npos);
}

}  // namespace
}  // namespace doppel::ir::test

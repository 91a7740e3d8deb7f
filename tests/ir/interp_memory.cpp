// Loads, stores, atomics, byte order, alignment, exits, helpers and registers in the interpreter, over a MemoryPort.
#include "ir/ir_fixture.h"

namespace doppel::ir::test {
namespace {

using backend::interp::End;

struct Program {
  Region r = new_region();
  Builder b{r};
  TestState s;
  TestMemory m;
  Program() { b.insn(0x1000, 2); }
  backend::interp::RunResult go() { return run(r, s, m); }
  Value addr(u64 offset) { return b.konst(Type::I64, TestMemory::kBase + offset); }
};

TEST(InterpMemory, SizesAndByteOrder) {
  for (const Type t : {Type::I8, Type::I16, Type::I32, Type::I64}) {
    Program p;
    for (unsigned i = 0; i < 16; i++) p.m.bytes[0x20 + i] = static_cast<u8>(i + 1);
    p.b.set_reg(kR0, p.b.load(t, p.addr(0x10), {}, 0x10));
    p.b.set_reg(1, p.b.load(t, p.addr(0x20), {.big_endian = true}));
    p.b.store(p.addr(0x40), p.b.load(t, p.addr(0x20)), {.big_endian = true});
    p.b.exit_loop();
    EXPECT_EQ(p.go().end, End::Loop);
    const unsigned n = type_bytes(t);
    u64 little = 0, big = 0;
    for (unsigned i = 0; i < n; i++) {
      little |= u64{i + 1} << (8 * i);
      big |= u64{i + 1} << (8 * (n - 1 - i));
      EXPECT_EQ(p.m.bytes[0x40 + i], n - i);
    }
    EXPECT_EQ(p.s.r[0], little);
    EXPECT_EQ(p.s.r[1], big);
  }
}

TEST(InterpMemory, AddressesWrapAt32Bits) {
  Program p;
  p.m.bytes[0] = 0x5a;
  p.s.r[0] = 0xfffffff0;
  p.b.set_reg(1, p.b.load(Type::I8, p.b.get_reg(Type::I32, kR0), {}, 0x10010));
  p.b.exit_loop();
  EXPECT_EQ(p.go().end, End::Loop);
  EXPECT_EQ(p.s.r[1], 0x5au);
}

TEST(InterpMemory, Vectors) {
  Program p;
  for (unsigned i = 0; i < 16; i++) p.m.bytes[i] = static_cast<u8>(i);
  const Value v = p.b.load(Type::V128, p.addr(0));
  p.b.set_reg(kX0 + 1, v);
  p.b.store(p.addr(0x21), v);
  p.b.exit_loop();
  p.go();
  EXPECT_EQ(p.s.x[1].b[7], 7);
  EXPECT_EQ(p.m.bytes[0x30], 15);
}

TEST(InterpMemory, FaultKeepsRegistersExact) {
  Program p;
  p.b.set_reg(kR0, p.b.konst(Type::I64, 7));
  p.b.insn(0x1002, 3);
  p.b.load(Type::I32, p.b.konst(Type::I64, 0x50));
  p.b.set_reg(kR0, p.b.konst(Type::I64, 8));
  p.b.exit_direct(0x1005, true);
  const auto result = p.go();
  EXPECT_EQ(result.end, End::Fault);
  EXPECT_EQ(result.pc, 0x1002u);
  EXPECT_EQ(result.fault_va, 0x50u);
  EXPECT_EQ(result.insns, 2u);
  EXPECT_EQ(p.s.r[0], 7u);
  EXPECT_EQ(p.s.pc, 0x1002u);
}

TEST(InterpMemory, Alignment) {
  Program p;
  p.b.load(Type::I32, p.addr(2), {.align_log2 = 2});
  p.b.exit_loop();
  EXPECT_EQ(p.go().end, End::Fault);
  EXPECT_EQ(p.m.loads, 0u);
}

TEST(InterpMemory, RmwLoadAndProbeFaultAsWrites) {
  Program p;
  p.b.op(Opcode::probe_write, Type::Void, {p.addr(TestMemory::kSize - 4)}, 0, MemInfo{.probe_bytes = 8}.pack());
  p.b.exit_loop();
  EXPECT_EQ(p.go().end, End::Fault);
}

TEST(InterpMemory, Atomics) {
  struct Row {
    AtomicOp op;
    u64 want;
  };
  for (const Row& row : {Row{AtomicOp::Add, 0x0f},
                         {AtomicOp::Sub, 0xed},
                         {AtomicOp::And, 0x10},
                         {AtomicOp::Or, 0xff},
                         {AtomicOp::Xor, 0xef},
                         {AtomicOp::Xchg, 0x11}}) {
    for (const bool big : {false, true}) {
      Program p;
      const u64 initial = row.op == AtomicOp::Or ? 0xee : 0xfe;
      p.m.bytes[big ? 3 : 0] = static_cast<u8>(initial);
      const Value old = p.b.op(Opcode::atomic_rmw, Type::I32, {p.addr(0), p.b.konst(Type::I32, 0x11)},
                               static_cast<u8>(row.op), MemInfo{.big_endian = big}.pack());
      p.b.set_reg(kR0, old);
      p.b.exit_loop();
      p.go();
      EXPECT_EQ(p.s.r[0], initial);
      EXPECT_EQ(p.m.bytes[big ? 3 : 0], row.want);
      EXPECT_EQ(p.m.bytes[big ? 2 : 1], row.op == AtomicOp::Add ? 1 : 0);
    }
  }
}

TEST(InterpMemory, CompareAndSwap) {
  for (const bool equal : {false, true}) {
    Program p;
    p.m.bytes[8] = 5;
    const Value old = p.b.op(Opcode::atomic_cas, Type::I64,
                             {p.addr(8), p.b.konst(Type::I64, equal ? 5 : 6), p.b.konst(Type::I64, 9)});
    p.b.set_reg(kR0, old);
    p.b.exit_loop();
    p.go();
    EXPECT_EQ(p.s.r[0], 5u);
    EXPECT_EQ(p.m.bytes[8], equal ? 9 : 5);
  }
}

TEST(InterpMemory, RegistersOfEveryWidth) {
  Program p;
  p.s.r[2] = 0x1122334455667788;
  p.s.dword = 0xaabbccdd;
  p.b.set_reg(kR0, p.b.get_reg(Type::I8, 2));
  p.b.set_reg(1, p.b.get_reg(Type::I32, 2));
  p.b.set_reg(kByte, p.b.get_reg(Type::I8, kDword));
  p.b.set_reg(kWord, p.b.get_reg(Type::I8, 2));
  p.b.exit_loop();
  p.s.word = 0xffff;
  p.go();
  EXPECT_EQ(p.s.r[0], 0x88u);
  EXPECT_EQ(p.s.r[1], 0x55667788u);
  EXPECT_EQ(p.s.byte, 0xdd);
  EXPECT_EQ(p.s.word, 0x88);
  EXPECT_EQ(p.s.dword, 0xaabbccddu);
}

TEST(InterpMemory, Exits) {
  for (int taken = 0; taken < 4; taken++) {
    Program p;
    p.s.flags = kFlagOne | (taken == 0 ? kFlagZ : 0);
    p.s.r[1] = taken == 1;
    p.b.exit_cc(Cond::Z, p.b.get_reg(Type::Flags, kFlags), 0x2000, true);
    p.b.exit_if(p.b.get_reg(Type::I8, 1), 0x3000, false);
    if (taken == 2)
      p.b.exit_direct(0x4000, true);
    else
      p.b.exit_indirect(p.b.konst(Type::I32, 0xfffffff0));
    const auto result = p.go();
    const u64 want[] = {0x2000, 0x3000, 0x4000, 0xfffffff0};
    EXPECT_EQ(result.end, End::Exit);
    EXPECT_EQ(result.pc, want[taken]);
    EXPECT_EQ(p.s.pc, want[taken]);
  }
}

TEST(InterpMemory, Helpers) {
  Program p;
  p.s.r[7] = 100;
  p.b.set_reg(kR0, p.b.call(kMix, {p.b.konst(Type::I32, 0xffffffff), p.b.konst(Type::I8, 9)}));
  p.b.set_reg(1, p.b.call(kBump, {p.b.konst(Type::I64, 5)}));
  p.b.exit_loop();
  EXPECT_FALSE(backend::interp::can_run(p.r));
  EXPECT_EQ(backend::interp::run_region(p.r, p.s.h, p.m).end, End::Unsupported);
  EXPECT_EQ(p.s.r[0], 0u);
  p.go();
  EXPECT_EQ(p.s.r[0], static_cast<u32>(0xffffffffu * 3u + 9u));
  EXPECT_EQ(p.s.r[1], 105u);
}

}  // namespace
}  // namespace doppel::ir::test

// Entries, exits and calls of the x64 JIT: requests, instruction counting, links, the jump cache, the pc map, the code
// of small traces (that one guest instruction becomes one host instruction where it can).
#include "ir/x64_fixture.h"

namespace doppel::ir::test {
namespace {

struct X64Control : ::testing::Test {
  X64Jit jit;
  Region r = new_region();
  Builder b{r};
  std::unique_ptr<OwnedBlock> make(const Region& region, size_t offset) {
    const backend::Emitted& e = jit.backend->emit(region, jit.config);
    auto block = std::make_unique<OwnedBlock>();
    block->pc = region.pc;
    block->code = jit.area() + X64Jit::kThunks + offset;
    block->adopt(e);
    block->cold = jit.area() + X64Jit::kArea / 2 + offset;
    jit.backend->install(e, *block);
    return block;
  }
  // r0 += 1, then to `to`.
  static Region step(u64 pc, u64 to, bool same_page) {
    Region s = new_region();
    s.pc = pc;
    Builder x(s);
    x.insn(pc, 2);
    x.set_reg(kR0, x.addi(x.get_reg(Type::I64, kR0), 1));
    x.exit_direct(to, same_page);
    return s;
  }
};

TEST_F(X64Control, ExitsReturnAndLink) {
  auto one = make(step(0x1000, 0x1010, true), 0), two = make(step(0x1010, 0x2000, false), 4096);
  ASSERT_EQ(one->links.size(), 1u);
  EXPECT_EQ(two->links.size(), 0u);
  auto res = jit.enter(jit.state, *one);
  EXPECT_EQ(res.reason, ExitReason::Link);
  EXPECT_EQ(res.pc, 0x1010u);
  EXPECT_EQ(jit.state.h.exit_slot, reinterpret_cast<u64>(&one->links[0]));
  EXPECT_EQ(jit.state.r[0], 1u);
  jit.backend->link(one->links[0], *two);
  res = jit.enter(jit.state, *one);
  EXPECT_EQ(res.reason, ExitReason::Lookup);
  EXPECT_EQ(res.pc, 0x2000u);
  EXPECT_EQ(jit.state.r[0], 3u);
  jit.backend->unlink(one->links[0]);
  res = jit.enter(jit.state, *one);
  EXPECT_EQ(res.reason, ExitReason::Link);
  EXPECT_EQ(jit.state.r[0], 4u);
}

TEST_F(X64Control, JumpCacheLeadsAcrossPages) {
  auto one = make(step(0x1000, 0x2000, false), 0), two = make(step(0x2000, 0x3000, false), 4096);
  auto enter = [&](u64 pc, const CodeBlock& block) {
    jit.jump_cache_[mem::jump_cache_index(pc)] = {pc, jit.state.h.jump_generation,
                                                  static_cast<u32>(block.code - jit.state.h.code_base)};
  };
  enter(0x2000, *two);
  EXPECT_EQ(jit.enter(jit.state, *one).pc, 0x3000u);
  EXPECT_EQ(jit.state.r[0], 2u);
  jit.state.h.jump_generation++;
  EXPECT_EQ(jit.enter(jit.state, *one).pc, 0x2000u);
  // indirect
  Region ind = new_region();
  Builder x(ind);
  x.insn(0x1000, 2);
  x.exit_indirect(x.get_reg(Type::I32, 1));
  auto three = make(ind, 8192);
  jit.state.r[1] = 0xffffffff00002000;
  EXPECT_EQ(jit.enter(jit.state, *three).pc, 0x2000u);
  enter(0x2000, *two);
  EXPECT_EQ(jit.enter(jit.state, *three).pc, 0x3000u);
}

TEST_F(X64Control, ExitsThatMayNotLinkUseTheJumpCache) {
  auto one = make(step(0x1000, 0x1010, true), 0), two = make(step(0x1010, 0x3000, false), 4096);
  jit.backend->link_by_jump_cache(one->links[0]);
  auto res = jit.enter(jit.state, *one);
  EXPECT_EQ(res.reason, ExitReason::Lookup);
  EXPECT_EQ(res.pc, 0x1010u);
  EXPECT_EQ(jit.state.h.exit_slot, 0u);
  mem::JumpCacheEntry& entry = jit.jump_cache_[mem::jump_cache_index(0x1010)];
  entry = {0x1010, jit.state.h.jump_generation, static_cast<u32>(two->code - jit.state.h.code_base)};
  EXPECT_EQ(jit.enter(jit.state, *one).pc, 0x3000u);
  EXPECT_EQ(jit.state.r[0], 3u);
  jit.state.h.jump_generation++;
  EXPECT_EQ(jit.enter(jit.state, *one).pc, 0x1010u);
}

TEST_F(X64Control, RequestAndIcount) {
  auto one = make(step(0x1000, 0x1010, true), 0);
  jit.state.h.exit_request = 1;
  auto res = jit.enter(jit.state, *one);
  EXPECT_EQ(res.reason, ExitReason::Request);
  EXPECT_EQ(res.pc, 0x1000u);
  EXPECT_EQ(jit.state.r[0], 0u);
  jit.state.h.exit_request = 0;

  jit.config.icount = true;
  jit.config.icount_insns = 3;
  Region t = new_region();
  Builder x(t);
  x.insn(0x1000, 1);
  x.exit_if(x.cmp(Cond::Z, x.get_reg(Type::I64, kR0), x.konst(Type::I64, 5)), 0x1100, true);
  x.insn(0x1001, 1);
  x.insn(0x1002, 1);
  x.exit_direct(0x1003, true);
  auto two = make(t, 4096);
  jit.state.h.icount_left = 10;
  EXPECT_EQ(jit.enter(jit.state, *two).pc, 0x1003u);
  EXPECT_EQ(jit.state.h.icount_left, 7);
  jit.state.r[0] = 5;
  EXPECT_EQ(jit.enter(jit.state, *two).pc, 0x1100u);
  EXPECT_EQ(jit.state.h.icount_left, 6);
  for (Op& op : t.ops)
    if (op.code == Opcode::exit_if) op.aux |= kExitRestarts;
  auto three = make(t, 8192);
  EXPECT_EQ(jit.enter(jit.state, *three).pc, 0x1100u);
  EXPECT_EQ(jit.state.h.icount_left, 6);
  jit.state.h.icount_left = 2;
  res = jit.enter(jit.state, *two);
  EXPECT_EQ(res.reason, ExitReason::Icount);
  EXPECT_EQ(jit.state.h.icount_left, 2);
  EXPECT_EQ(res.pc, 0x1000u);
}

TEST_F(X64Control, FaultsFindTheirInstruction) {
  b.insn(0x1000, 2);
  b.set_reg(kR0, b.konst(Type::I64, 1));
  b.insn(0x1002, 3);
  b.store(b.konst(Type::I64, 0x999000), b.get_reg(Type::I32, 1));
  b.set_reg(kR0, b.konst(Type::I64, 2));
  b.exit_loop();
  auto block = make(r, 0);
  const auto res = jit.enter(jit.state, *block);
  EXPECT_TRUE(res.fault);
  EXPECT_EQ(res.pc, 0x1002u);
  EXPECT_EQ(jit.hooks.fault_va, 0x999000u);
  EXPECT_EQ(jit.state.r[0], 1u);
  ASSERT_EQ(block->pc_map.size(), 1u);
  EXPECT_EQ(block->pc_map[0].insn, 1u);
}

// Lines of the disassembly between the entry check and the final jump.
std::vector<std::string> body(X64Jit& jit, const Region& r) {
  jit.compile(r);
  std::vector<std::string> lines;
  const std::string text = jit.code();
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at + 15, end - at - 15));
    at = end + 1;
  }
  lines.erase(lines.begin(), lines.begin() + 2);
  for (size_t i = 0; i < lines.size(); i++) {
    if (lines[i].starts_with("jmp")) {
      lines.resize(i);
      break;
    }
  }
  return lines;
}

TEST_F(X64Control, OneInstructionForOne) {
  b.insn(0x1000, 2);
  const Value x = b.get_reg(Type::I32, 0), y = b.get_reg(Type::I32, 3);
  const Value sum = b.add(x, y);
  b.set_reg(0, sum);
  b.exit_direct(0x1002, true);
  EXPECT_EQ(body(jit, r), std::vector<std::string>{"add ebx, r14d"});
}

TEST_F(X64Control, CompareAndBranch) {
  b.insn(0x1000, 2);
  const Value x = b.get_reg(Type::I32, 0), k = b.konst(Type::I32, 10);
  const Value f = b.op(Opcode::flags_sub, Type::I32, {x, k});
  b.exit_cc(Cond::L, f, 0x1010, true);
  b.exit_direct(0x1002, true);
  const auto lines = body(jit, r);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "cmp ebx, 0xa");
  EXPECT_EQ(lines[1].substr(0, 3), "jl ");
}

TEST_F(X64Control, LeaForAddressArithmetic) {
  b.insn(0x1000, 2);
  const Value a = b.add(b.get_reg(Type::I32, 0), b.shli(b.get_reg(Type::I32, 1), 2));
  b.set_reg(2, b.addi(a, 8));
  b.exit_direct(0x1002, true);
  EXPECT_EQ(body(jit, r), std::vector<std::string>{"lea edi, [rbx + rsi*4 + 8]"});
}

TEST_F(X64Control, AddWithFlagsAndBranch) {
  b.insn(0x1000, 2);
  const Value x = b.get_reg(Type::I32, 0), y = b.get_reg(Type::I32, 1);
  const Value sum = b.add(x, y), f = b.op(Opcode::flags_add, Type::I32, {x, y});
  b.set_reg(0, sum);
  b.set_reg(kFlags, f);
  b.exit_cc(Cond::Z, f, 0x1010, true);
  b.exit_direct(0x1002, true);
  const auto lines = body(jit, r);
  ASSERT_EQ(lines.size(), 5u) << jit.code();
  EXPECT_EQ(lines[0], "add ebx, esi");
  EXPECT_EQ(lines[1], "lahf ");
  EXPECT_EQ(lines[2], "seto al");
  EXPECT_EQ(lines[4].substr(0, 3), "je ");
}

TEST_F(X64Control, ScaledIndexAloneIsOneLea) {
  b.insn(0x1000, 2);
  b.set_reg(2, b.load(Type::I32, b.shli(b.get_reg(Type::I32, 1), 3), {}, 0x10040));
  b.exit_direct(0x1002, true);
  const auto lines = body(jit, r);
  ASSERT_FALSE(lines.empty());
  EXPECT_NE(lines[0].find("[rsi*8 + 0x10040]"), std::string::npos) << jit.code();
}

TEST_F(X64Control, LowLanesStayInVectorRegisters) {
  b.insn(0x1000, 2);
  const Value sum = b.vec(Opcode::vadd, Lane::W, {b.get_reg(Type::V128, kX0), b.get_reg(Type::V128, kX0 + 1)});
  const Value low = b.op(Opcode::vextract, Type::I64, {sum}, static_cast<u8>(Lane::D));
  const Value again = b.op(Opcode::vfromint, Type::I64, {low});
  b.set_reg(kX0 + 2, again);
  b.exit_direct(0x1002, true);
  auto block = make(r, 0);
  store_le<u64>(jit.state.x[0].b, 0x100000002);
  store_le<u64>(jit.state.x[1].b, 0x300000004);
  store_le<u64>(jit.state.x[0].b + 8, 7);
  jit.enter(jit.state, *block);
  EXPECT_EQ(load_le<u64>(jit.state.x[2].b), 0x400000006u);
  EXPECT_EQ(load_le<u64>(jit.state.x[2].b + 8), 0u);
  for (const std::string& line : body(jit, r)) EXPECT_EQ(line.find("rax"), std::string::npos) << jit.code();
}

TEST_F(X64Control, DescribesItsPins) {
  EXPECT_NE(jit.backend->describe().find("r0=rbx"), std::string::npos);
  X64Jit none(0);
  EXPECT_EQ(none.backend->describe(), "x64, pinned none");
}

}  // namespace
}  // namespace doppel::ir::test

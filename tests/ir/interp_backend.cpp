// The interpreter as a backend: links, requests, instruction counting, the running pc at a fault, atomics through the
// soft TLB.
#include <csetjmp>

#include "backend/backend.h"
#include "ir/ir_fixture.h"
#include "mem/guest_access.h"
#include "mem/soft_tlb.h"

namespace doppel::ir::test {
namespace {

using backend::Backend;
using backend::CodeBlock;
using backend::ExitReason;

constexpr u64 kRam = 0x10000;
constexpr u64 kDevice = 0x100000, kHole = 0x200000, kReadOnly = 0x300000;

struct Device : mem::IoHandler {
  u64 value = 5;
  u64 io_read(u64, unsigned) override { return value; }
  void io_write(u64, u64 v, unsigned) override { value = v; }
};

// Identity mapping, but for a hole and a page without write access.
struct Hooks : mem::MmuHooks, mem::Runtime {
  Backend* backend = nullptr;
  std::jmp_buf out;
  u64 fault_va = 0, fault_pc = 0;
  u32 fault_insn = 0;
  bool fault_stack = false, alignment = false;
  mem::Access fault_access{};
  bool translate(mem::VcpuHeader&, u64 va, mem::Access access, u32, mem::Translation& t) override {
    const u64 page = va & mem::kPageMask;
    if (page == kHole || (page == kReadOnly && access == mem::Access::Write)) return false;
    t = {page == kReadOnly ? kRam : page, true, page != kReadOnly, true};
    return true;
  }
  [[noreturn]] void fault(mem::VcpuHeader& cpu, u64 va, mem::Access access) {
    fault_va = va;
    fault_access = access;
    backend->current_block(cpu, fault_pc, fault_insn);
    std::longjmp(out, 1);
  }
  void raise_fault(mem::VcpuHeader& cpu, u64 va, mem::Access access, u32, bool stack) override {
    fault_stack = stack;
    fault(cpu, va, access);
  }
  void raise_alignment(mem::VcpuHeader& cpu, u64 va, mem::Access access) override {
    alignment = true;
    fault(cpu, va, access);
  }
  void watchpoint_hit(mem::VcpuHeader&, u64, u32, mem::Access) override {}
  void sync_pc() override {}
  [[noreturn]] void unwind() override { std::longjmp(out, 1); }
  void flush_jump_cache() override {}
  u64 icount() override { return 0; }
  void code_written(u64, u64) override {}
  void debug_watch(u64, u32, bool) override {}
};

class InterpBackend : public ::testing::Test {
 protected:
  InterpBackend() {
    backend_ = backend::make_interp_backend({.layout = &test_layout(), .helpers = &test_helpers()});
    hooks_.backend = backend_.get();
    s_.h.mmu = &hooks_;
    s_.h.runtime = &hooks_;
    auto ram = memory_.create_ram("ram", 0x2000);
    EXPECT_TRUE(ram.ok());
    host_ = ram.value()->host;
    memory_.map_ram("ram", kRam, ram.value(), 0, 0x2000, 0);
    memory_.map_io("device", kDevice, 0x1000, &device_, 0);
    memory_.exclusive_hook = [](mem::VcpuHeader&, void (*body)(void*), void* context) { body(context); };
  }
  CodeBlock& install(const Region& region, backend::EmitConfig config = {}) {
    EXPECT_EQ(verify(region), "");
    auto block = std::make_unique<OwnedBlock>();
    block->pc = region.pc;
    block->insn_count = region.insn_count;
    block->region = std::make_unique<Region>(region);
    const backend::Emitted& emitted = backend_->emit(region, config);
    code_.push_back(std::vector<u8>(emitted.code.size()));
    block->code = code_.back().data();
    block->adopt(emitted);
    backend_->install(emitted, *block);
    blocks_.push_back(std::move(block));
    return *blocks_.back();
  }
  // r0 += n, then to `next`.
  Region counter(u64 pc, u64 n, u64 next) {
    Region r = new_region();
    r.pc = pc;
    Builder b(r);
    b.insn(pc, 1);
    b.set_reg(kR0, b.addi(b.get_reg(Type::I64, kR0), n));
    b.exit_direct(next, true);
    return r;
  }
  // Runs; true if it came back, false if a fault unwound.
  bool enter(CodeBlock& block, ExitReason& reason) {
    if (setjmp(hooks_.out)) return false;
    reason = backend_->enter(s_.h, block);
    return true;
  }

  TestState s_;
  Device device_;
  Hooks hooks_;
  mem::AddressSpace memory_;
  u8* host_ = nullptr;
  mem::SoftTlb tlb_{s_.h, memory_};
  std::unique_ptr<Backend> backend_;
  std::vector<std::vector<u8>> code_;
  std::vector<std::unique_ptr<OwnedBlock>> blocks_;
};

TEST_F(InterpBackend, LinksAndRequests) {
  CodeBlock& a = install(counter(0x1000, 1, 0x2000));
  CodeBlock& b = install(counter(0x2000, 10, 0x3000));
  EXPECT_EQ(backend_->enter(s_.h, a), ExitReason::Link);
  EXPECT_EQ(s_.pc, 0x2000u);
  ASSERT_EQ(s_.h.exit_slot, reinterpret_cast<u64>(&a.links[0]));
  backend_->link(a.links[0], b);
  EXPECT_EQ(backend_->enter(s_.h, a), ExitReason::Link);
  EXPECT_EQ(s_.pc, 0x3000u);
  EXPECT_EQ(s_.h.exit_slot, reinterpret_cast<u64>(&b.links[0]));
  EXPECT_EQ(s_.r[0], 12u);
  backend_->unlink(a.links[0]);
  EXPECT_EQ(backend_->enter(s_.h, a), ExitReason::Link);
  EXPECT_EQ(s_.r[0], 13u);
  s_.h.exit_request = 1;
  s_.pc = 0;
  EXPECT_EQ(backend_->enter(s_.h, b), ExitReason::Request);
  EXPECT_EQ(s_.pc, 0x2000u);
  EXPECT_EQ(s_.r[0], 13u);
  EXPECT_EQ(s_.h.entry_sp, 0u);
}

TEST_F(InterpBackend, SlotsInOpOrder) {
  Region r = new_region();
  Builder b(r);
  b.insn(0x1000, 1);
  b.exit_cc(Cond::Z, b.get_reg(Type::Flags, kFlags), 0x2000, true);
  b.exit_if(b.get_reg(Type::I8, 1), 0x3000, true);
  b.exit_direct(0x4000, false);
  CodeBlock& block = install(r);
  ASSERT_EQ(block.links.size(), 3u);
  EXPECT_EQ(backend_->enter(s_.h, block), ExitReason::Lookup);  // another page: never linked
  s_.r[1] = 1;
  EXPECT_EQ(backend_->enter(s_.h, block), ExitReason::Link);
  EXPECT_EQ(s_.h.exit_slot, reinterpret_cast<u64>(&block.links[1]));
  EXPECT_EQ(block.links[1].pc, 0x3000u);
  CodeBlock& alone = install(r, {.chain = false});
  EXPECT_EQ(backend_->enter(s_.h, alone), ExitReason::Lookup);
  EXPECT_EQ(s_.pc, 0x3000u);
}

TEST_F(InterpBackend, CountsInstructions) {
  Region r = new_region();
  r.insn_count = 3;
  Builder b(r);
  b.insn(0x1000, 1);
  b.insn(0x1001, 1);
  b.exit_if(b.get_reg(Type::I8, 1), 0x3000, true);
  b.insn(0x1002, 1);
  b.exit_direct(0x4000, true);
  CodeBlock& block = install(r, {.icount = true, .icount_insns = 3});
  s_.h.icount_left = 5;
  EXPECT_EQ(backend_->enter(s_.h, block), ExitReason::Link);
  EXPECT_EQ(s_.h.icount_left, 2);
  EXPECT_EQ(backend_->enter(s_.h, block), ExitReason::Icount);
  EXPECT_EQ(s_.h.icount_left, 2);
  EXPECT_EQ(s_.pc, 0x1000u);
  s_.h.icount_left = 5;
  s_.r[1] = 1;
  EXPECT_EQ(backend_->enter(s_.h, block), ExitReason::Link);  // by the side exit: two were executed
  EXPECT_EQ(s_.h.icount_left, 3);
}

TEST_F(InterpBackend, FaultKnowsItsInstruction) {
  struct Row {
    u64 va;
    bool store, stack, rmw;
    u8 align;
  };
  for (const Row& row : {Row{kHole, false, true, false, 0},
                         {kReadOnly, true, false, false, 0},
                         {kReadOnly, false, false, true, 0},
                         {kRam + 1, false, false, false, 2}}) {
    Region r = new_region();
    Builder b(r);
    b.insn(0x1000, 4);
    b.set_reg(2, b.konst(Type::I64, 77));
    b.insn(0x1004, 4);
    const Value a = b.konst(Type::I64, row.va);
    const MemInfo info{.align_log2 = row.align, .rmw = row.rmw, .stack = row.stack};
    if (row.store)
      b.store(a, b.konst(Type::I32, 1), info);
    else
      b.load(Type::I32, a, info);
    b.exit_loop();
    ExitReason reason{};
    hooks_.alignment = false;
    ASSERT_FALSE(enter(install(r), reason));
    EXPECT_EQ(hooks_.fault_pc, 0x1004u);
    EXPECT_EQ(hooks_.fault_insn, 1u);
    EXPECT_EQ(hooks_.fault_va, row.va);
    EXPECT_EQ(hooks_.alignment, row.align != 0);
    if (!row.align) {
      EXPECT_EQ(hooks_.fault_stack, row.stack);
      EXPECT_EQ(hooks_.fault_access, row.store || row.rmw ? mem::Access::Write : mem::Access::Read);
    }
    EXPECT_EQ(s_.r[2], 77u);
  }
}

TEST_F(InterpBackend, MemoryAndAtomics) {
  // Plain, unaligned, page-crossing, device: each gives the old value and adds.
  for (const u64 va : {kRam + 0x10, kRam + 0x21, kRam + 0xffe, kDevice}) {
    Region r = new_region();
    Builder b(r);
    b.insn(0x1000, 4);
    const Value a = b.konst(Type::I64, va);
    if (va != kDevice) b.store(a, b.konst(Type::I32, 5));
    b.set_reg(1, b.op(Opcode::atomic_rmw, Type::I32, {a, b.konst(Type::I32, 3)}, static_cast<u8>(AtomicOp::Add)));
    b.set_reg(2, b.op(Opcode::atomic_cas, Type::I32, {a, b.konst(Type::I32, 8), b.konst(Type::I32, 100)}));
    b.set_reg(3, b.load(Type::I32, a));
    b.exit_loop();
    ExitReason reason{};
    ASSERT_TRUE(enter(install(r), reason)) << va;
    EXPECT_EQ(reason, ExitReason::Loop);
    EXPECT_EQ(s_.r[1], 5u) << va;
    EXPECT_EQ(s_.r[2], 8u) << va;
    EXPECT_EQ(s_.r[3], 100u) << va;
  }
  EXPECT_EQ(host_[0x10], 100);
  EXPECT_EQ(device_.value, 100u);
}

TEST_F(InterpBackend, WideCompareAndSwap) {
  std::memset(host_, 7, 32);
  Region r = new_region();
  Builder b(r);
  b.insn(0x1000, 4);
  const Value a = b.konst(Type::I64, kRam + 16);
  const Value old = b.load(Type::V128, a);
  b.set_reg(kX0, b.op(Opcode::atomic_cas, Type::V128, {a, old, b.vec(Opcode::vzero, Lane::D, {})}));
  b.exit_loop();
  ExitReason reason{};
  ASSERT_TRUE(enter(install(r), reason));
  EXPECT_EQ(host_[16], 0);
  EXPECT_EQ(host_[31], 0);
  EXPECT_EQ(host_[15], 7);
  EXPECT_EQ(s_.x[0].b[3], 7);
}

}  // namespace
}  // namespace doppel::ir::test

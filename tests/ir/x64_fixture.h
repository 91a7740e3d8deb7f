// Runs a region on the x64 JIT and in the interpreter from the same state and memory, and compares all of both.
#pragma once
#include <sys/mman.h>
#include <xmmintrin.h>

#include <csetjmp>
#include <memory>

#include "backend/x64/emitter.h"
#include "ir/ir_fixture.h"
#include "ir/recipe.h"
#include "mem/soft_tlb.h"

namespace doppel::ir::test {

using backend::CodeBlock;
using backend::ExitReason;
using backend::interp::End;
using backend::x64::HostFeatures;

// Identity mapping of TestMemory's page; everything else faults.
struct X64Hooks : mem::MmuHooks, mem::Runtime {
  std::jmp_buf out;
  u64 fault_va = 0;
  bool translate(mem::VcpuHeader&, u64 va, mem::Access, u32, mem::Translation& t) override {
    t = {va & mem::kPageMask, true, true, true};
    return (va & mem::kPageMask) == TestMemory::kBase;
  }
  void raise_fault(mem::VcpuHeader&, u64 va, mem::Access, u32, bool) override {
    fault_va = va;
    std::longjmp(out, 1);
  }
  void raise_alignment(mem::VcpuHeader&, u64 va, mem::Access) override {
    fault_va = va;
    std::longjmp(out, 1);
  }
  void watchpoint_hit(mem::VcpuHeader&, u64, u32, mem::Access) override {}
  void sync_pc() override {}
  [[noreturn]] void unwind() override { std::longjmp(out, 1); }
  void flush_jump_cache() override {}
  u64 icount() override { return 0; }
  void code_written(u64, u64) override {}
  void debug_watch(u64, u32, bool) override {}
};

class X64Jit {
 public:
  static constexpr size_t kArea = 4 << 20, kThunks = 64 << 10;
  explicit X64Jit(int max_pinned = -1, const HostFeatures& host = HostFeatures::detect()) {
    area_ =
        static_cast<u8*>(mmap(nullptr, kArea, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    backend = backend::x64::make_backend({&test_layout(), &test_helpers(), max_pinned, area_, kThunks}, host);
    ram_ = memory_.wrap_ram("ram", ram_bytes_, mem::kPageSize, false);
    memory_.map_ram("ram", TestMemory::kBase, ram_, 0, mem::kPageSize, 0);
    jump_cache_.resize(size_t{1} << mem::kJumpCacheBits);
    prepare(state);
    tlb_ = std::make_unique<mem::SoftTlb>(state.h, memory_);
    state.h.soft_tlb = tlb_.get();
    prepare(state);
  }
  ~X64Jit() { munmap(area_, kArea); }

  struct Result {
    bool fault = false;
    ExitReason reason{};
    u64 pc = 0;
    u32 insn = 0;  // of a fault
  };
  // Emits and installs; `config` may be changed by the caller.
  CodeBlock& compile(const Region& r) {
    const backend::Emitted& e = backend->emit(r, config);
    block_ = std::make_unique<OwnedBlock>();
    block_->code = area_ + kThunks;
    block_->adopt(e);
    block_->cold = area_ + kArea - (block_->code_size - block_->hot_size);
    backend->install(e, *block_);
    return *block_;
  }
  // From `s`, which gets the state afterwards.
  Result run(const Region& r, TestState& s, std::vector<u8>& bytes) {
    copy_guest(state, s);
    if (slow_always)
      tlb_->watch_range(TestMemory::kBase, mem::kPageSize);
    else
      tlb_->clear_watches();
    tlb_->flush_page(TestMemory::kBase);
    std::memcpy(ram_bytes_, bytes.data(), mem::kPageSize);
    CodeBlock& block = compile(r);
    const Result result = enter(state, block);
    if (const FlagRecipe* recipe =
            result.fault ? recipe_at(r.recipes, result.insn) : nullptr) {  // as the executor does
      const std::span<const RecipeOp> ops(r.recipe_ops.data() + recipe->begin, recipe->count);
      // SAFETY: the rows of the layout are offsets from the start of the state.
      state.flags = evaluate_recipe(ops, test_layout(), reinterpret_cast<const u8*>(&state));
    }
    std::memcpy(bytes.data(), ram_bytes_, mem::kPageSize);
    copy_guest(s, state);
    return result;
  }
  static void copy_guest(TestState& to, const TestState& from) {
    std::memcpy(to.r, from.r, sizeof to.r);
    to.pc = from.pc;
    to.flags = from.flags;
    to.byte = from.byte;
    to.word = from.word;
    to.dword = from.dword;
    std::memcpy(to.x, from.x, sizeof to.x);
    to.h.fp_env = from.h.fp_env;
    std::memcpy(to.st, from.st, sizeof to.st);
    to.control = from.control;
    to.status = from.status;
    to.top = from.top;
    to.tags = from.tags;
    to.step = from.step;
  }
  std::string code() const { return block_ ? backend->disassemble(block_->code, block_->hot_size, 0) : ""; }

  std::unique_ptr<backend::Backend> backend;
  backend::EmitConfig config;
  bool slow_always = false;  // a watchpoint covers the memory: no access by the fast path
  X64Hooks hooks;
  TestState state;
  std::vector<mem::JumpCacheEntry> jump_cache_;
  u8* area() { return area_; }
  u8* ram() { return ram_bytes_; }
  mem::AddressSpace& memory() { return memory_; }
  void prepare(TestState& s) {
    s.h.phys = &memory_;
    s.h.mmu = &hooks;
    s.h.runtime = &hooks;
    s.h.jump_cache = jump_cache_.data();
    s.h.code_base = area_;
  }
  Result enter(TestState& s, CodeBlock& block) {
    Result result;
    if (setjmp(hooks.out) == 0) {
      result.reason = backend->enter(s.h, block);
      result.pc = s.pc;
    } else {
      _mm_setcsr(s.h.host_fp_env);
      result.fault = true;
      const u8* at = backend->return_address(s.h);
      for (const auto& row : block.pc_map) {
        if (block.at(row.host) == at) result.pc = row.pc, result.insn = row.insn;
      }
      s.pc = result.pc;
    }
    return result;
  }

 private:
  u8* area_;
  alignas(4096) u8 ram_bytes_[mem::kPageSize] = {};
  mem::AddressSpace memory_;
  mem::RamBlock* ram_;
  std::unique_ptr<mem::SoftTlb> tlb_;
  std::unique_ptr<OwnedBlock> block_;
};

// Both ways; false (with a report) if anything differs.
inline bool same(X64Jit& jit, const Region& r, const TestState& start, const std::vector<u8>& bytes) {
  const std::string wrong = verify(r);
  EXPECT_EQ(wrong, "") << dump(r);
  if (!wrong.empty()) return false;
  TestState a, b;
  X64Jit::copy_guest(a, start);
  X64Jit::copy_guest(b, start);
  TestMemory m;
  m.bytes = bytes;
  std::vector<u8> jit_bytes = bytes;
  const auto want = backend::interp::run_region(r, a.h, m, kHelperAll);
  const auto got = jit.run(r, b, jit_bytes);
  std::string diff;
  auto check = [&](const char* what, u64 x, u64 y) {
    if (x == y) return;
    char text[120];
    std::snprintf(text, sizeof text, "%s: interpreter %llx, JIT %llx\n", what, static_cast<unsigned long long>(x),
                  static_cast<unsigned long long>(y));
    diff += text;
  };
  check("fault", want.end == End::Fault, got.fault);
  if (want.end != End::Loop) check("pc", a.pc, b.pc);
  for (int i = 0; i < 8; i++) check(("r" + std::to_string(i)).c_str(), a.r[i], b.r[i]);
  check("flags", a.flags, b.flags);
  check("byte", a.byte, b.byte);
  check("word", a.word, b.word);
  check("dword", a.dword, b.dword);
  check("fp_env", a.h.fp_env, b.h.fp_env);
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < 2; k++)
      check(("x" + std::to_string(i)).c_str(), load_le<u64>(a.x[i].b + 8 * k), load_le<u64>(b.x[i].b + 8 * k));
  }
  check("control", a.control, b.control);
  check("status", a.status, b.status);
  check("top", a.top, b.top);
  check("tags", a.tags, b.tags);
  check("step", a.step, b.step);
  for (int i = 0; i < 8; i++) {
    if ((a.tags >> i) & 1) continue;  // what an empty register holds is undefined
    check(("st" + std::to_string(i)).c_str(), a.st[i].significand, b.st[i].significand);
    check(("exponent" + std::to_string(i)).c_str(), a.st[i].sign_exponent, b.st[i].sign_exponent);
  }
  if (std::memcmp(m.bytes.data(), jit_bytes.data(), jit_bytes.size()) != 0) diff += "memory differs\n";
  EXPECT_EQ(diff, "") << dump(r) << jit.code();
  return diff.empty();
}

}  // namespace doppel::ir::test

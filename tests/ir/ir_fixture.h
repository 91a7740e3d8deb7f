// A small guest for IR tests: eight 64-bit registers, a byte and a word register, four vectors, flags and pc; a few
// helpers; and a flat buffer as memory in which some addresses fault. Ops are appended raw (no folding) or by the
// Builder.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "backend/backend.h"
#include "backend/interp/eval.h"
#include "ir/builder.h"
#include "ir/ir.h"
#include "ir/opt/pipeline.h"

namespace doppel::ir::test {

struct Vec {
  alignas(16) u8 b[16] = {};
  bool operator==(const Vec&) const = default;
};
struct Float80 {
  u64 significand = 0;
  u16 sign_exponent = 0;
  u16 pad[3] = {};
};
struct TestState {
  mem::VcpuHeader h;
  u64 r[8] = {};
  u64 pc = 0;
  u16 flags = kFlagOne;
  u8 byte = 0;
  u16 word = 0;
  u32 dword = 0;
  u64 flag_operand = 0;
  Vec x[4] = {};
  Float80 st[8] = {};
  u16 control = 0x37f, status = 0;
  u8 top = 0, tags = 0xff, step = 0;
};
enum : RegId { kR0 = 0, kPc = 8, kFlags, kByte, kWord, kDword, kX0, kFlagOperand = kX0 + 4, kRegs };

inline u32 off(const auto TestState::*member) {
  static const TestState s;
  return static_cast<u32>(reinterpret_cast<const u8*>(&(s.*member)) - reinterpret_cast<const u8*>(&s));
}
inline const StateLayout& test_layout() {
  static const std::vector<RegRow> rows = [] {
    static const char* const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    static const char* const vectors[] = {"x0", "x1", "x2", "x3"};
    std::vector<RegRow> v;
    for (u32 i = 0; i < 8; i++) v.push_back({names[i], off(&TestState::r) + 8 * i, Type::I64, static_cast<u8>(i + 1)});
    v.push_back({"pc", off(&TestState::pc), Type::I64, 0});
    v.push_back({"flags", off(&TestState::flags), Type::Flags, 0});
    v.push_back({"byte", off(&TestState::byte), Type::I8, 0});
    v.push_back({"word", off(&TestState::word), Type::I16, 0});
    v.push_back({"dword", off(&TestState::dword), Type::I32, 0});
    for (u32 i = 0; i < 4; i++) v.push_back({vectors[i], off(&TestState::x) + 16 * i, Type::V128, 0});
    v.push_back({"flag_operand", off(&TestState::flag_operand), Type::I64, 0});
    return v;
  }();
  static const StateLayout layout{rows.data(),
                                  kRegs,
                                  kPc,
                                  kFlags,
                                  kFlagOperand,
                                  {off(&TestState::st), off(&TestState::control), off(&TestState::status),
                                   off(&TestState::top), off(&TestState::tags), off(&TestState::step)}};
  return layout;
}

inline u64 helper_mix(void*, u64 a, u64 b) { return a * 3 + b; }
inline u64 helper_bump(void* s, u64 a) { return static_cast<TestState*>(s)->r[7] += a; }
inline u64 helper_peek(void* s) { return static_cast<TestState*>(s)->r[0]; }
inline u64 helper_choose(void*, u64 a, u64 b, u64 c) { return a * 5 + b * 3 + c; }
enum : u16 { kMix, kBump, kPeek, kMayFault, kChoose };
inline const HelperTable& test_helpers() {
  static const HelperInfo rows[] = {
      {"mix", reinterpret_cast<void (*)()>(&helper_mix), 2, Type::I32, kHelperPure},
      {"bump", reinterpret_cast<void (*)()>(&helper_bump), 1, Type::I64, kHelperReadsState | kHelperWritesState},
      {"peek", reinterpret_cast<void (*)()>(&helper_peek), 0, Type::I64, kHelperReadsState},
      {"check", reinterpret_cast<void (*)()>(&helper_mix), 2, Type::Void, kHelperMayFault},
      {"choose", reinterpret_cast<void (*)()>(&helper_choose), 3, Type::I64, kHelperPure},
  };
  static const HelperTable table{rows, 5};
  return table;
}

inline Region new_region() {
  Region r;
  r.layout = &test_layout();
  r.helpers = &test_helpers();
  r.pc = 0x1000;
  r.insn_count = 1;
  return r;
}
// Appends without any folding.
inline Value raw(Region& r, Opcode code, Type type, std::initializer_list<Value> args, u8 sub = 0, u32 aux = 0,
                 u64 imm = 0) {
  Op op{code, type, sub, 0, aux, {}, imm};
  for (const Value a : args) op.arg[op.nargs++] = a;
  r.ops.push_back(op);
  return static_cast<Value>(r.ops.size() - 1);
}
inline Value raw_const(Region& r, Type t, u64 v) {
  return raw(r, Opcode::konst, t, {}, 0, 0, v & mask_bits(type_bits(t)));
}
inline void raw_start(Region& r) { raw(r, Opcode::insn, Type::Void, {}, 0, 1, r.pc); }

// Memory: 4 KiB at 0x10000, wrapping bytes; anything else faults. Records what was stored.
class TestMemory : public backend::interp::MemoryPort {
 public:
  static constexpr u64 kBase = 0x10000, kSize = 0x1000;
  std::vector<u8> bytes = std::vector<u8>(kSize);
  unsigned stores = 0, loads = 0;
  bool inside(u64 va, unsigned size) const { return va >= kBase && va + size <= kBase + kSize && va + size > va; }
  bool load(u64 va, void* out, unsigned size, const MemInfo&) override {
    loads++;
    if (!inside(va, size)) return false;
    std::memcpy(out, &bytes[va - kBase], size);
    return true;
  }
  bool store(u64 va, const void* data, unsigned size, const MemInfo&) override {
    if (!inside(va, size)) return false;
    stores++;
    std::memcpy(&bytes[va - kBase], data, size);
    return true;
  }
  bool probe_write(u64 va, unsigned size, const MemInfo&) override { return inside(va, size); }
};

inline backend::interp::RunResult run(const Region& r, TestState& s, TestMemory& m) {
  const std::string wrong = verify(r);
  EXPECT_EQ(wrong, "") << dump(r);
  return backend::interp::run_region(r, s.h, m, kHelperAll);
}

// The value of one integer op on constants, run raw; checks that the Builder folds it to the same value.
inline u64 eval(Opcode code, Type type, std::vector<std::pair<Type, u64>> args, u8 sub = 0, u32 aux = 0) {
  Region r = new_region();
  raw_start(r);
  Op op{code, type, sub, 0, aux};
  for (const auto& [t, v] : args) op.arg[op.nargs++] = raw_const(r, t, v);
  r.ops.push_back(op);
  const Type result = result_type(op);
  raw(r, Opcode::set_reg, result, {static_cast<Value>(r.ops.size() - 1)}, 0, result == Type::Flags ? kFlags : kR0);
  raw(r, Opcode::exit_loop, Type::Void, {});
  TestState s;
  TestMemory m;
  run(r, s, m);
  const u64 got = result == Type::Flags ? s.flags : s.r[0];

  Region folded = new_region();
  Builder b(folded);
  b.insn(0x1000);
  Value v[3] = {};
  for (size_t i = 0; i < args.size(); i++) v[i] = b.konst(args[i].first, args[i].second);
  const Value f = args.size() == 1   ? b.op(code, type, {v[0]}, sub, aux)
                  : args.size() == 2 ? b.op(code, type, {v[0], v[1]}, sub, aux)
                                     : b.op(code, type, {v[0], v[1], v[2]}, sub, aux);
  const bool refused =
      (code == Opcode::udiv2 || code == Opcode::urem2) && (args[2].second == 0 || args[0].second >= args[2].second);
  if (!refused) {
    EXPECT_TRUE(folded.is_const(f)) << dump(folded);
    EXPECT_EQ(folded.op(f).imm, got) << dump(folded);
    EXPECT_EQ(folded.op(f).type, result);
  }
  return got;
}

// A region's code with the arrays that the code cache would own.
struct OwnedBlock : backend::CodeBlock {
  void adopt(const backend::Emitted& e) {
    code_size = static_cast<u32>(e.code.size());
    hot_size = e.hot_size;
    slots_ = e.links;
    rows_ = e.pc_map;
    for (backend::LinkSlot& l : slots_) l.from = this;
    links = slots_;
    pc_map = rows_;
  }

 private:
  std::vector<backend::LinkSlot> slots_;
  std::vector<backend::PcMapRow> rows_;
};

}  // namespace doppel::ir::test

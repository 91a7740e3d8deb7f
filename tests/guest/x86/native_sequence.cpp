// Random sequences of integer instructions with loops, branches and memory operands of which some fault, run on the
// host CPU and translated: registers, flags, memory, and of a fault its kind, place, address and error code must agree.
// What single instructions (native_int.cpp) don't show: the passes, linked regions, and flags that are not computed
// because later instructions overwrite them. A failure prints seed and bytes. DOPPEL_RANDOM_TESTS sets how many,
// DOPPEL_SEED where to begin; DOPPEL_TEST_FULL makes it millions.
#if defined(__x86_64__) && defined(__linux__)
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "guest/x86/flat_machine.h"
#include "guest/x86/native_program.h"

namespace doppel::x86::test {
namespace {

struct Outcome {
  NativeState s;
  std::vector<u8> data;
};

class NativeSequence : public ::testing::Test {
 protected:
  static constexpr size_t kData = kProgramData;

  Outcome on_machine(FlatMachine& machine, const NativeState& before, u64 pc, bool bits32) {
    Outcome o{before, {}};
    X86State& x = machine.state();
    machine.code_changed(host_.code(), NativeHost::kPage);
    std::memcpy(x.gpr, before.gpr, sizeof x.gpr);
    x.flags = ir::eflags_to_flags(static_cast<u32>(before.rflags));
    x.eflags = static_cast<u32>(before.rflags) & (DF | IF);
    x.rip = pc;
    machine.user_mode(bits32);
    const u8 vector = machine.run();
    o.s.signal = vector == BP ? SIGTRAP : vector == UD ? SIGILL : SIGSEGV;
    o.s.error = x.exc_has_error ? x.exc_error : 0;
    o.s.fault_va = vector == PF_ ? x.exc_cr2 : 0;
    std::memcpy(o.s.gpr, x.gpr, sizeof x.gpr);
    o.s.rflags = get_eflags(x);
    o.s.rip = x.rip;
    o.data.assign(host_.data(), host_.data() + kData);
    return o;
  }

  void compare(const Program& p, u64 seed, bool bits32, const Outcome& want, const Outcome& got) {
    const std::string what = describe(p, seed, bits32);
    ASSERT_EQ(got.s.signal, want.s.signal) << what;
    ASSERT_EQ(got.s.rip, want.s.rip) << what;
    const u64 mask = bits32 ? 0xffffffffu : ~u64{0};
    for (int i = 0; i < (bits32 ? 8 : 16); i++)
      ASSERT_EQ(got.s.gpr[i] & mask, want.s.gpr[i] & mask) << what << " register " << i;
    const u64 care = kArithFlags & ~(p.af_defined() ? 0u : u32{AF});
    ASSERT_EQ(got.s.rflags & care, want.s.rflags & care) << what << " flags";
    if (want.s.signal == SIGSEGV) {
      ASSERT_EQ(got.s.error, want.s.error) << what << " error code";
      ASSERT_EQ(got.s.fault_va, want.s.fault_va) << what << " address";
    }
    ASSERT_EQ(std::memcmp(got.data.data(), want.data.data(), kData), 0) << what << " memory";
  }

  void run_random(bool bits32, bool interpreter, bool optimise, int max_pinned) {
    if (!host_.usable()) GTEST_SKIP() << "the host does not give the low memory that the native run needs";
    CpuModel model;
    for (u32& f : model.features) f = ~u32{0};
    FlatMachine machine(model, interpreter, optimise, max_pinned);
    machine.map(host_.code(), NativeHost::kPage, false);
    machine.map(host_.data(), kData, true);
    const u64 pc = reinterpret_cast<u64>(host_.code()) + 256;
    const char* full_text = std::getenv("DOPPEL_TEST_FULL");
    const bool full = full_text && *full_text;
    const u64 first = number("DOPPEL_SEED", 1), count = number("DOPPEL_RANDOM_TESTS", full ? 500000 : 20000);
    u64 faults = 0;
    for (u64 seed = first; seed < first + count; seed++) {
      const Program p(seed, bits32);
      std::mt19937_64 rng(~seed);
      host_.clear_code();
      std::memcpy(host_.code() + 256, p.code().data(), p.code().size());
      for (size_t i = 0; i < kData; i += 8) store_le<u64>(host_.data() + i, rng());
      const NativeState before = start_of_program(rng, reinterpret_cast<u64>(host_.data()), pc, bits32);
      const std::vector<u8> data(host_.data(), host_.data() + kData);
      Outcome want{before, {}};
      host_.run(want.s, pc, bits32);
      want.data.assign(host_.data(), host_.data() + kData);
      std::memcpy(host_.data(), data.data(), kData);
      const Outcome got = on_machine(machine, before, pc, bits32);
      faults += want.s.signal == SIGSEGV;
      compare(p, seed, bits32, want, got);
      if (HasFatalFailure()) return;
    }
    if (count >= 1000) {
      EXPECT_GT(faults, count / 10);  // or the data is not where it should be
    }
  }
  static u64 number(const char* name, u64 otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  }
  NativeHost host_;
};

// XCHG and the like below the data: the fault is that of a write, though they read first.
TEST_F(NativeSequence, ExchangeFaultsAsAWrite) {
  if (!host_.usable()) GTEST_SKIP();
  CpuModel model;
  for (u32& f : model.features) f = ~u32{0};
  FlatMachine machine(model, false, true);
  machine.map(host_.code(), NativeHost::kPage, false);
  machine.map(host_.data(), kData, true);
  for (const std::vector<u8>& code :
       {std::vector<u8>{0x87, 0x46, 0xf9}, {0x0f, 0xc1, 0x46, 0xf9}, {0xff, 0x46, 0xf9}}) {
    host_.clear_code();
    std::memcpy(host_.code(), code.data(), code.size());
    NativeState s = {};
    s.gpr[RSI] = reinterpret_cast<u64>(host_.data());
    s.rflags = 0x202;
    const Outcome got = on_machine(machine, s, reinterpret_cast<u64>(host_.code()), false);
    EXPECT_EQ(got.s.error, 6u);
    EXPECT_EQ(got.s.fault_va, s.gpr[RSI] - 7);
  }
}
TEST_F(NativeSequence, Jit64) { run_random(false, false, true, -1); }
TEST_F(NativeSequence, Jit32) { run_random(true, false, true, -1); }
TEST_F(NativeSequence, JitPlain64) { run_random(false, false, false, 0); }
TEST_F(NativeSequence, JitPlain32) { run_random(true, false, false, 0); }
TEST_F(NativeSequence, Interpreter64) { run_random(false, true, true, -1); }
TEST_F(NativeSequence, Interpreter32) { run_random(true, true, true, -1); }

}  // namespace
}  // namespace doppel::x86::test
#endif

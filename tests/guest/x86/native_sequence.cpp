// Random sequences of integer instructions with loops, branches and memory operands of which some fault, run on the
// host CPU and translated: registers, flags, memory, and of a fault its kind, place, address and error code must agree.
// What single instructions (native_int.cpp) don't show: the passes, linked regions, and flags that are not computed
// because later instructions overwrite them. A failure prints seed and bytes. DOPPEL_RANDOM_TESTS sets how many,
// DOPPEL_SEED where to begin; DOPPEL_TEST_FULL makes it millions.
//
// Registers: RSP and RBX point into the data, RSI to its first bytes, RDI to its last ones (beyond both nothing is
// mapped); RBP counts the rounds. Undefined flags (AF after logic and shifts, most after IMUL) are not compared or are
// overwritten at once.
#include "guest/x86/native_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "guest/x86/flat_machine.h"

namespace doppel::x86::test {
namespace {

struct Outcome {
  NativeState s;
  std::vector<u8> data;
};

class Program {
 public:
  Program(u64 seed, bool bits32) : rng_(seed), bits32_(bits32) {
    af_ = !chance(2);
    const unsigned n = 1 + below(30);
    const bool loop = chance(2);
    for (unsigned i = 0; i < n && code_.size() < 110; i++) instruction();
    if (!loop) return;
    put({0xff, 0xcd});  // dec ebp; jnz to the start
    put({0x75, static_cast<unsigned>(-static_cast<int>(code_.size()) - 2) & 0xff});
  }
  const std::vector<u8>& code() const { return code_; }
  bool af_defined() const { return af_; }

 private:
  u64 rnd() { return rng_(); }
  unsigned below(unsigned n) { return static_cast<unsigned>(rng_() % n); }
  bool chance(unsigned n) { return below(n) == 0; }
  void put(std::initializer_list<unsigned> bytes) {
    for (const unsigned b : bytes) code_.push_back(static_cast<u8>(b));
  }
  void immediate(unsigned bytes) {
    for (u64 v = chance(2) ? rnd() : below(4); bytes-- > 0; v >>= 8) put({static_cast<unsigned>(v & 0xff)});
  }

  // Operand size in bytes, with its prefix to come.
  struct Form {
    unsigned size, reg, rm;
    bool memory;
  };
  Form form(bool may_be_byte = true, bool may_be_memory = true) {
    Form f{};
    f.size = 1u << below(bits32_ ? 3 : 4);
    if (f.size == 1 && !may_be_byte) f.size = 4;
    f.memory = may_be_memory && chance(2);
    f.reg = reg(f.size);
    f.rm = f.memory ? base() : reg(f.size);
    return f;
  }
  unsigned reg(unsigned size) {
    static constexpr unsigned kWide[] = {0, 1, 2, 8, 9, 10, 11, 12, 13, 14, 15};
    static constexpr unsigned kByte32[] = {0, 1, 2, 4, 5, 6};  // AL CL DL AH CH DH
    if (bits32_) return size == 1 ? kByte32[below(6)] : kWide[below(3)];
    return kWide[below(11)];
  }
  unsigned base() {
    static constexpr unsigned kBases[] = {RBX, RSI, RDI};
    return kBases[below(3)];
  }
  // Prefixes, opcode bytes, ModRM and displacement.
  void encode(const Form& f, std::initializer_list<unsigned> opcode, unsigned reg_field) {
    if (f.size == 2) put({0x66});
    if (!bits32_) {
      const unsigned rex = (f.size == 8 ? 8u : 0u) | (reg_field & 8 ? 4u : 0u) | (f.rm & 8 ? 1u : 0u);
      if (rex) put({0x40 | rex});
    }
    put(opcode);
    if (f.memory)
      put({0x40u | (reg_field & 7) << 3 | (f.rm & 7), (below(96) - 16) & 0xff});
    else
      put({0xc0u | (reg_field & 7) << 3 | (f.rm & 7)});
  }

  void instruction() {
    switch (below(16)) {
      case 0:
      case 1:
      case 2:
      case 3: alu(); break;
      case 4: immediate_alu(); break;
      case 5: {
        const Form f = form();
        encode(f, {f.size == 1 ? 0xfeu : 0xffu}, below(2));  // INC, DEC
        break;
      }
      case 6: {
        const Form f = form();
        encode(f, {f.size == 1 ? 0xf6u : 0xf7u}, 2 + below(2));  // NOT, NEG
        break;
      }
      case 7: {  // MOV, either way
        const Form f = form();
        encode(f, {(chance(2) ? 0x88u : 0x8au) | (f.size != 1)}, f.reg);
        break;
      }
      case 8: {
        const Form f = form(false);
        encode(f, {0x0f, (chance(2) ? 0xb6u : 0xbeu) | below(2)}, f.reg);  // MOVZX, MOVSX
        break;
      }
      case 9: shift(); break;
      case 10: {
        Form f = form();
        f.size = 1;
        if (!f.memory) f.rm = reg(1);
        encode(f, {0x0f, 0x90 | condition()}, 0);
        break;
      }
      case 11: {
        const Form f = form(false);
        encode(f, {0x0f, 0x40 | condition()}, f.reg);
        break;
      }
      case 12: branch(); break;
      case 13: {  // PUSH, POP
        const unsigned r = below(3);
        put({(chance(2) ? 0x50u : 0x58u) | r});
        break;
      }
      case 14: multiply(); break;
      default: {  // XADD, CMPXCHG, XCHG, LEA
        Form f = form();
        const unsigned wide = f.size != 1;
        switch (below(4)) {
          case 0: encode(f, {0x0f, 0xc0 | wide}, f.reg); break;
          case 1: encode(f, {0x0f, 0xb0 | wide}, f.reg); break;
          case 2: encode(f, {0x86 | wide}, f.reg); break;
          default:
            f.size = std::max(f.size, 4u);
            f.memory = true;
            f.rm = base();
            f.reg = reg(4);
            encode(f, {0x8d}, f.reg);
            break;
        }
        break;
      }
    }
  }
  // ADD OR ADC SBB AND SUB XOR CMP; logic leaves AF undefined.
  unsigned operation() {
    static constexpr unsigned kDefined[] = {0, 2, 3, 5, 7};
    return af_ ? kDefined[below(5)] : below(8);
  }
  void alu() {
    const Form f = form();
    if (!af_ && chance(8)) return encode(f, {0x84u | (f.size != 1)}, f.reg);  // TEST
    encode(f, {operation() << 3 | (chance(2) ? 2u : 0u) | (f.size != 1)}, f.reg);
  }
  void immediate_alu() {
    const Form f = form();
    const unsigned op = operation();
    if (f.size == 1 || chance(2)) {
      encode(f, {f.size == 1 ? 0x80u : 0x83u}, op);
      immediate(1);
    } else {
      encode(f, {0x81}, op);
      immediate(std::min(f.size, 4u));
    }
  }
  void shift() {
    if (af_) return;
    static constexpr unsigned kOps[] = {0, 1, 2, 3, 4, 5, 7};  // ROL ROR RCL RCR SHL SHR SAR, by one
    const Form f = form();
    encode(f, {f.size == 1 ? 0xd0u : 0xd1u}, kOps[below(7)]);
  }
  void multiply() {
    if (af_) return;
    const Form f = form(false);
    encode(f, {0x0f, 0xaf}, f.reg);
    Form t{f.size, f.reg, f.reg, false};
    encode(t, {0x85}, f.reg);  // TEST: defines what IMUL does not
  }
  unsigned condition() { return below(16); }
  void branch() {
    put({0x70 | condition(), 0});
    const size_t at = code_.size();
    if (chance(2))
      alu();
    else
      immediate_alu();
    code_[at - 1] = static_cast<u8>(code_.size() - at);
  }

  std::mt19937_64 rng_;
  const bool bits32_;
  bool af_ = false;
  std::vector<u8> code_;
};

class NativeSequence : public ::testing::Test {
 protected:
  static constexpr size_t kData = 2 * NativeHost::kPage;

  NativeState start(std::mt19937_64& rng, u64 pc, bool bits32) {
    NativeState s = {};
    for (u64& g : s.gpr) g = rng() % 3 ? rng() >> (rng() % 64) : rng() % 5;
    const u64 data = reinterpret_cast<u64>(host_.data());
    s.gpr[RSP] = data + 4096;
    s.gpr[RBX] = data + 2048 + rng() % 4096;
    s.gpr[RSI] = data + rng() % 24;
    s.gpr[RDI] = data + kData - rng() % 96;
    s.gpr[RBP] = 1 + rng() % 4;
    if (bits32)
      for (u64& g : s.gpr) g &= 0xffffffffu;
    s.rflags = 0x202 | (rng() & kArithFlags);
    s.rip = pc;
    return s;
  }

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

  static std::string describe(const Program& p, u64 seed, bool bits32) {
    std::string text = "DOPPEL_SEED=" + std::to_string(seed) + (bits32 ? " 32-bit:" : " 64-bit:");
    char b[8];
    for (const u8 c : p.code()) std::snprintf(b, sizeof b, " %02x", c), text += b;
    return text;
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
      const NativeState before = start(rng, pc, bits32);
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

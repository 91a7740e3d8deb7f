// Every row of the SSE and MMX tables, with random operands, run on the host CPU and translated: all registers, flags,
// MXCSR, x87 tags and memory must agree. With exceptions masked, then with some unmasked (the checking helpers and
// #XM). x86-64 Linux hosts only.
#include "guest/x86/simd_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <gtest/gtest.h>

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "backend/interp/eval.h"
#include "guest/x86/simd_translate.h"
#include "ir/opt/pipeline.h"
#include "unit/fpu_operands.h"

namespace doppel::x86::test {
namespace {

struct alignas(64) Memory {
  u8 bytes[192];
};

// The test's block of memory at its host address.
class BlockPort : public backend::interp::MemoryPort {
 public:
  explicit BlockPort(Memory& m) : m_(m) {}
  bool load(u64 va, void* out, unsigned size, const ir::MemInfo&) override {
    if (!inside(va, size)) return false;
    std::memcpy(out, reinterpret_cast<const void*>(va), size);
    return true;
  }
  bool store(u64 va, const void* data, unsigned size, const ir::MemInfo&) override {
    if (!inside(va, size)) return false;
    std::memcpy(reinterpret_cast<void*>(va), data, size);
    return true;
  }
  bool probe_write(u64 va, unsigned size, const ir::MemInfo&) override { return inside(va, size); }

 private:
  bool inside(u64 va, unsigned size) const {
    const u64 start = reinterpret_cast<u64>(m_.bytes);
    return va >= start && va + size <= start + sizeof m_.bytes;
  }
  Memory& m_;
};

class JumpRuntime : public mem::Runtime {
 public:
  void sync_pc() override {}
  [[noreturn]] void unwind() override { longjmp(target, 1); }
  void flush_jump_cache() override {}
  u64 icount() override { return 0; }
  void code_written(u64, u64) override {}
  void debug_watch(u64, u32, bool) override {}
  jmp_buf target;
};

bool is_xmm(Opd o) {
  return o == Opd::Vx || o == Opd::Wx || o == Opd::Wq || o == Opd::Wd || o == Opd::Ww || o == Opd::Ux;
}
bool is_mmx_operand(Opd o) { return o == Opd::Pq || o == Opd::Pd || o == Opd::Qq || o == Opd::Qd || o == Opd::Nq; }
bool takes_memory(Opd o) {
  switch (o) {
    case Opd::Wx:
    case Opd::Wq:
    case Opd::Wd:
    case Opd::Ww:
    case Opd::Qq:
    case Opd::Qd:
    case Opd::Ey:
    case Opd::Ed:
    case Opd::RdMb:
    case Opd::RdMw:
    case Opd::M:
    case Opd::Mq:
    case Opd::Mx:
    case Opd::Md: return true;
    default: return false;
  }
}
bool memory_only(Opd o) { return o == Opd::Mq || o == Opd::Mx || o == Opd::Md; }

class SimdRandom : public ::testing::Test {
 protected:
  SimdRandom() : model_(model_with_everything()), decoder_(model_), rng_(2024), floats_(7), doubles_(8) {}

  // One random encoding of the row.
  Code encode(const Row& r) {
    Code c;
    bool has_imm = false, imm16 = false, has_modrm = false, may_be_memory = false, must_be_memory = false,
         reg_is_xmm = false, rm_is_xmm = false, wide = false;
    for (const Opd o : r.operand) {
      has_imm |= o == Opd::Ib || o == Opd::Iw;
      has_modrm |= o != Opd::NONE && o != Opd::Ib && o != Opd::Iw && o != Opd::XMM0;
      imm16 |= o == Opd::Iw;
      may_be_memory |= takes_memory(o);
      must_be_memory |= memory_only(o);
      reg_is_xmm |= o == Opd::Vx;
      rm_is_xmm |= is_xmm(o) && o != Opd::Vx;
      wide |= o == Opd::Ey || o == Opd::Gy;
    }
    if (r.ext == ExtKind::RegReg) may_be_memory = false;
    const bool memory = must_be_memory || (may_be_memory && rng_() % 2 == 0);
    unsigned reg = rng_() % (reg_is_xmm ? 16 : 3), rm = memory ? 6 : rng_() % (rm_is_xmm ? 16 : 3);
    for (const Opd o : r.operand) {
      if (o == Opd::Pq || o == Opd::Pd) reg = rng_() % 8;
      if (!memory && is_mmx_operand(o) && o != Opd::Pq && o != Opd::Pd) rm = rng_() % 8;
    }
    if (r.ext == ExtKind::RegReg || r.ext == ExtKind::MemReg || r.ext == ExtKind::Reg) reg = r.ext_value;
    if (r.prefix == OpPrefix::P66) c.put(0x66);
    if (r.prefix == OpPrefix::PF3) c.put(0xf3);
    if (r.prefix == OpPrefix::PF2) c.put(0xf2);
    unsigned rex = (reg & 8 ? 4u : 0u) | (rm & 8 ? 1u : 0u);
    if (wide && rng_() % 2) rex |= 8;
    if (rex) c.put(0x40 | rex);
    c.put(0x0f);
    if (r.map == Map::M38) c.put(0x38);
    if (r.map == Map::M3A) c.put(0x3a);
    c.put(r.opcode);
    if (has_modrm) {
      c.put((memory ? 0x40 : 0xc0) | (reg & 7) << 3 | (rm & 7));
      if (memory) c.put(16 * (rng_() % 5));
    }
    if (has_imm) c.put(rng_() % 3 ? rng_() & 0xff : rng_() & 0x3f);
    if (imm16) c.put(rng_() & 0xff);
    return c;
  }

  u64 random64() {
    switch (rng_() % 8) {
      case 0: return rng_();
      case 1: return rng_() & rng_();
      case 2: return 0;
      case 3: return rng_() & 0x8080808080808080;
      case 4: return rng_() % 20;
      case 5: return doubles_.next();
      default: return floats_.next() | u64{floats_.next()} << 32;
    }
  }

  void random_state(HostRegisters& h, Memory& m, bool mmx, u32 masks) {
    std::memset(&h, 0, sizeof h);
    h.fx.fcw = 0x37f;
    for (auto& x : h.fx.xmm)
      for (u64& v : x) v = random64();
    for (unsigned i = 0; i < 16; ++i)  // some pairs close to each other
      if (rng_() % 4 == 0) std::memcpy(h.fx.xmm[i], h.fx.xmm[rng_() % 16], 16);
    h.fx.mxcsr = masks | static_cast<u32>(rng_() & 3) << 13 | (rng_() % 4 == 0 ? 0x40u : 0u) |
                 (rng_() % 4 == 0 ? 0x8000u : 0u) | (rng_() % 4 == 0 ? static_cast<u32>(rng_()) & 0x3fu : 0u);
    for (auto& st : h.fx.st) {
      st.significand = random64() | (mmx ? 0 : u64{1} << 63);
      st.sign_exponent = static_cast<u16>(rng_());
    }
    h.fx.ftw = static_cast<u8>(rng_());
    h.fx.fsw = static_cast<u16>((rng_() & 7) << 11);
    for (u64& g : h.gpr) g = rng_() % 2 ? rng_() : random64();
    if (rng_() % 2)
      for (u64& g : h.gpr) g = rng_() % 40 - 20;
    h.rsi = h.rdi = reinterpret_cast<u64>(m.bytes);
    h.rflags = 2 | (rng_() & kArithFlags);
    for (unsigned i = 0; i < sizeof m.bytes; i += 8) store_le<u64>(m.bytes + i, random64());
  }

  void to_guest(const HostRegisters& h, X86State& s) {
    s.h.runtime = &runtime_;
    s.model = &model_;
    s.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    s.mode_cache = kMode;
    s.gpr[RAX] = h.gpr[0];
    s.gpr[RCX] = h.gpr[1];
    s.gpr[RDX] = h.gpr[2];
    s.gpr[RSI] = h.rsi;
    s.gpr[RDI] = h.rdi;
    s.flags = ir::eflags_to_flags(static_cast<u32>(h.rflags));
    s.mxcsr = h.fx.mxcsr;
    s.h.fp_env = h.fx.mxcsr | 0x1f80;
    for (unsigned i = 0; i < 16; ++i) std::memcpy(&s.xmm[i], h.fx.xmm[i], 16);
    s.fcw = h.fx.fcw;
    s.top = (h.fx.fsw >> 11) & 7;
    s.fptag = static_cast<u8>(~h.fx.ftw);
    for (unsigned i = 0; i < 8; ++i) {
      s.st[(s.top + i) & 7].significand = h.fx.st[i].significand;
      s.st[(s.top + i) & 7].sign_exponent = h.fx.st[i].sign_exponent;
    }
  }

  // Empty if the guest's state is what the host has, else the differences.
  std::string compare(const HostRegisters& h, const X86State& s, const Memory& host_memory,
                      const Memory& guest_memory) {
    std::string out;
    char line[160];
    const auto differ = [&](const char* what, unsigned i, u64 want, u64 got) {
      if (want == got) return;
      std::snprintf(line, sizeof line, "\n  %s%u: host %016llx guest %016llx", what, i,
                    static_cast<unsigned long long>(want), static_cast<unsigned long long>(got));
      out += line;
    };
    const Gpr regs[3] = {RAX, RCX, RDX};
    for (unsigned i = 0; i < 3; ++i) differ("gpr", i, h.gpr[i], s.gpr[regs[i]]);
    for (unsigned i = 0; i < 16; ++i) {
      differ("xmm.lo", i, h.fx.xmm[i][0], s.xmm[i].d[0]);
      differ("xmm.hi", i, h.fx.xmm[i][1], s.xmm[i].d[1]);
    }
    differ("flags", 0, h.rflags & kArithFlags, ir::flags_to_eflags(s.flags));
    differ("mxcsr", 0, h.fx.mxcsr & 0xffff, (s.mxcsr & 0xffff) | (s.h.fp_env & 0x3f));
    const unsigned top = (h.fx.fsw >> 11) & 7;
    differ("top", 0, top, s.top);
    differ("ftw", 0, h.fx.ftw, static_cast<u8>(~s.fptag));
    for (unsigned i = 0; i < 8; ++i) {
      differ("st", i, h.fx.st[i].significand, s.st[(top + i) & 7].significand);
      differ("st.exp", i, h.fx.st[i].sign_exponent, s.st[(top + i) & 7].sign_exponent);
    }
    for (unsigned i = 0; i < sizeof host_memory.bytes; i += 8)
      differ("memory+", i, load_le<u64>(host_memory.bytes + i), load_le<u64>(guest_memory.bytes + i));
    return out;
  }

  // False: an exception unwound (recorded in the state).
  bool run_guest(const ir::Region& region, X86State& s, Memory& m) {
    BlockPort port(m);
    if (setjmp(runtime_.target)) return false;
    const auto r = backend::interp::run_region(region, s.h, port, ir::kHelperAll);
    EXPECT_TRUE(r.end == backend::interp::End::Exit) << ir::dump(region);
    return true;
  }

  static bool host_has(Feature f) {
    switch (f) {
      case Feature::SSE3: return __builtin_cpu_supports("sse3");
      case Feature::SSSE3: return __builtin_cpu_supports("ssse3");
      case Feature::SSE41: return __builtin_cpu_supports("sse4.1");
      case Feature::SSE42: return __builtin_cpu_supports("sse4.2");
      case Feature::AES: return __builtin_cpu_supports("aes");
      case Feature::PCLMUL: return __builtin_cpu_supports("pclmul");
      case Feature::SSE4A: return __builtin_cpu_supports("sse4a");
      case Feature::SHA: {
        unsigned a, b, c, d;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
      }
      default: return true;
    }
  }
  bool tested(const Row& r) const {
    if (!handler_of(r.mnemonic) || !host_has(static_cast<Feature>(r.attrs >> 24))) return false;
    switch (r.mnemonic) {
      case Mnemonic::LDMXCSR:
      case Mnemonic::STMXCSR: return false;  // the system part's
      case Mnemonic::MASKMOVQ:
      case Mnemonic::MASKMOVDQU: return false;  // needs the soft TLB
      case Mnemonic::RCPPS:
      case Mnemonic::RCPSS:
      case Mnemonic::RSQRTPS:
      case Mnemonic::RSQRTSS: return false;  // approximations
      default: return true;
    }
  }

  void run_row(const Row& r, unsigned times, u32 masks);

  HostCpu host_;
  CpuModel model_;
  Decoder decoder_;
  std::mt19937_64 rng_;
  fpu::test::Operands<fpu::f32> floats_;
  fpu::test::Operands<fpu::f64> doubles_;
  JumpRuntime runtime_;
};

void SimdRandom::run_row(const Row& r, unsigned times, u32 masks) {
  bool mmx = false;
  for (const Opd o : r.operand) mmx |= is_mmx_operand(o);
  const u64 mode = kMode | (masks == 0x1f80 ? u64{0} : u64{kModeFpExc});
  ir::Region region;
  auto state = std::make_unique<X86State>();
  for (unsigned i = 0; i < times; ++i) {
    const Code c = encode(r);
    Memory guest_memory, host_memory;
    HostRegisters h;
    random_state(h, guest_memory, mmx, masks);
    std::memset(static_cast<void*>(state.get()), 0, sizeof *state);
    to_guest(h, *state);
    const HostRegisters before = h;
    host_memory = guest_memory;
    translate_one(c, mode, decoder_, model_, region);
    if (HasFatalFailure()) return;
    if (i % 2) {
      ir::run_pipeline(region, {});
      ASSERT_EQ(ir::verify(region), "") << ir::dump(region);
    }
    // The host works on the same addresses: its memory is swapped in for the run.
    const bool host_ok = host_.run(c.bytes, c.size, h);
    std::swap(host_memory, guest_memory);
    const bool guest_ok = run_guest(region, *state, guest_memory);
    if (r.mnemonic == Mnemonic::CVTPI2PS && c.bytes[c.size - 2] < 0xc0 && c.bytes[c.size - 2] >= 0x40) {
      // From memory: the SDM enters MMX state, AMD's processors do not.
      state->top = before.fx.fsw >> 11 & 7;
      state->fptag = static_cast<u8>(~before.fx.ftw);
    }
    const std::string difference = compare(h, *state, host_memory, guest_memory);
    if (!guest_ok) {
      EXPECT_EQ(state->exc_vector, XM);
    }
    if (host_ok == guest_ok && difference.empty()) continue;
    char regs[200];
    std::snprintf(regs, sizeof regs, "rm %016llx:%016llx mxcsr %x",
                  static_cast<unsigned long long>(before.fx.xmm[c.bytes[c.size - 1] & 7][1]),
                  static_cast<unsigned long long>(before.fx.xmm[c.bytes[c.size - 1] & 7][0]), before.fx.mxcsr);
    ADD_FAILURE() << mnemonic_name(r.mnemonic) << " " << hex(c) << (host_ok ? "" : " host raised")
                  << (guest_ok ? "" : " guest raised") << " " << regs << difference << "\n"
                  << ir::dump(region);
    return;
  }
}

// ./test --full: twenty times as many of each instruction.
int scale() {
  const char* full = std::getenv("DOPPEL_TEST_FULL");
  return full && *full ? 20 : 1;
}

TEST_F(SimdRandom, AllRows) {
  unsigned rows = 0;
  for (size_t i = 0; i < row_count(); ++i) {
    if (!tested(row(i))) continue;
    run_row(row(i), 150 * scale(), 0x1f80);
    ++rows;
  }
  EXPECT_GT(rows, 200u);
}

TEST_F(SimdRandom, UnmaskedExceptions) {
  for (size_t i = 0; i < row_count(); ++i) {
    if (!tested(row(i))) continue;
    for (const u32 masks : {0x0000u, 0x1000u, 0x1e80u, 0x1d80u, 0x1b80u, 0x1780u, 0x0f80u, 0x1c80u})
      run_row(row(i), 12 * scale(), masks);
  }
}

// Without CR4.OSXMMEXCPT an unmasked exception is #UD; nothing is written but the sticky flag.
TEST_F(SimdRandom, UnmaskedWithoutOsxmmexcpt) {
  ir::Region region;
  translate_one({0xf2, 0x0f, 0x5e, 0xc1}, kMode | kModeFpExc, decoder_, model_, region);  // divsd xmm0, xmm1
  auto state = std::make_unique<X86State>();
  state->h.runtime = &runtime_;
  state->cr4 = CR4_OSFXSR;
  state->mxcsr = 0x1f80 & ~0x200;
  state->h.fp_env = 0x1f80;
  state->xmm[0].pd[0] = 1;
  Memory memory;
  EXPECT_FALSE(run_guest(region, *state, memory));
  EXPECT_EQ(state->exc_vector, UD);
  EXPECT_EQ(state->h.fp_env, 0x1f84u);
  EXPECT_EQ(state->xmm[0].pd[0], 1);
}

}  // namespace
}  // namespace doppel::x86::test
#endif

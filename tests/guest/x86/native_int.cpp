// Random integer instructions, 64-bit and 32-bit code, run on the host CPU and translated: registers, defined flags,
// memory and faults must agree. Three engines: the region alone in the interpreter, and a whole CPU with soft TLB by
// the interpreter and by the JIT. DOPPEL_RANDOM_TESTS sets how many of each.
#include "guest/x86/native_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <gtest/gtest.h>

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "backend/interp/eval.h"
#include "guest/x86/flat_machine.h"
#include "guest/x86/translate/frontend.h"
#include "guest/x86/translate/translator.h"
#include "ir/opt/pipeline.h"

namespace doppel::x86::test {
namespace {

constexpr u64 kMode64 = kModeCs64 | kModeSs32 | kModePe | kModeFlatData | kModeFlatCode | kModeLma | kModeFlatFsGs |
                        kModeFlatFs | kModeFlatGs | kModeOsfxsr | (3u << kModeCplShift);
constexpr u64 kMode32 = kModeCs32 | kModeSs32 | kModePe | kModeFlatData | kModeFlatCode | kModeLma | kModeFlatFsGs |
                        kModeFlatFs | kModeFlatGs | kModeOsfxsr | (3u << kModeCplShift);

enum class Engine { Region, Interpreter, Jit, JitPlain /* no optimiser, no pinned registers */ };

bool tested(const Insn& in, Engine engine) {
  const bool whole = engine != Engine::Region;  // helpers that reach memory need a soft TLB
  if (in.rep || in.repne) {
    switch (in.mnemonic) {
      case Mnemonic::MOVS:
      case Mnemonic::CMPS:
      case Mnemonic::SCAS:
      case Mnemonic::STOS:
      case Mnemonic::LODS:
        if (!whole) return false;
        break;
      case Mnemonic::POPCNT:
      case Mnemonic::LZCNT:
      case Mnemonic::TZCNT:
      case Mnemonic::CRC32:
      case Mnemonic::ADOX: break;
      default: return false;
    }
  }
  if (in.seg == FS || in.seg == GS) return false;
  if (in.mnemonic == Mnemonic::MOVSXD && in.opsize == 2) return false;  // Intel reads 2 bytes of memory, AMD 4
  if (in.mnemonic == Mnemonic::CMPXCHG8B && in.rex_w() && !whole) return false;
  switch (in.mnemonic) {
#define M(name, handler) case Mnemonic::name:
    M(ADD, )
    M(OR, )
    M(ADC, )
    M(SBB, ) M(AND, ) M(SUB, ) M(XOR, ) M(CMP, ) M(TEST, ) M(INC, ) M(DEC, ) M(NOT, ) M(NEG, ) M(MUL, ) M(IMUL, )
        M(IMUL_GV, ) M(DIV, ) M(IDIV, ) M(CBW, ) M(CWD, ) M(DAA, ) M(DAS, ) M(AAA, ) M(AAS, ) M(AAM, ) M(AAD, )
            M(ADCX, ) M(ADOX, ) M(CRC32, ) M(ROL, ) M(ROR, ) M(RCL, ) M(RCR, ) M(SHL, ) M(SHR, ) M(SAR, ) M(SHLD, )
                M(SHRD, ) M(BT, ) M(BTS, ) M(BTR, ) M(BTC, ) M(BSF, ) M(BSR, ) M(TZCNT, ) M(LZCNT, ) M(POPCNT, )
                    M(BSWAP, ) M(SETCC, ) M(CMOVCC, ) M(MOV, ) M(MOVNTI, ) M(MOVZX, ) M(MOVSX, ) M(MOVSXD, ) M(MOVBE, )
                        M(LEA, ) M(XCHG, ) M(XADD, ) M(CMPXCHG, ) M(CMPXCHG8B, ) M(XLAT, ) M(LAHF, ) M(SAHF, ) M(CLC, )
                            M(STC, ) M(CMC, ) M(CLD, ) M(STD, ) M(SALC, ) M(NOP, ) M(PREFETCH, ) M(PUSH, ) M(POP, )
                                M(PUSHA, ) M(POPA, ) M(PUSHF, ) M(ENTER, ) M(LEAVE, ) M(JCC, ) M(JMP, ) M(CALL, )
                                    M(LOOP, ) M(LOOPE, ) M(LOOPNE, ) M(JCXZ, ) M(RET, ) M(JMP_IND, ) M(CALL_IND, )
                                        M(BOUND, ) M(MOVS, ) M(CMPS, ) M(SCAS, ) M(STOS, ) M(LODS, ) M(UD2, )
#undef M
                                            return true;
    default: return false;
  }
}

bool host_has(Feature f) {
  switch (f) {
    case Feature::POPCNT: return __builtin_cpu_supports("popcnt");
    case Feature::SSE42: return __builtin_cpu_supports("sse4.2");
    case Feature::LZCNT: return __builtin_cpu_supports("lzcnt");
    case Feature::BMI1: return __builtin_cpu_supports("bmi");
    case Feature::MOVBE:
    case Feature::ADX: return __builtin_cpu_supports("avx2");
    default: return true;
  }
}

// EFLAGS bits the manual leaves undefined.
u32 undefined_flags(const Insn& in, const NativeState& before) {
  const unsigned bits = in.op[0].size * 8;
  const auto count = [&](unsigned operand) {
    const u64 n = in.op[operand].kind == OpKind::Imm ? in.imm : before.gpr[RCX];
    return static_cast<unsigned>(n & (bits == 64 ? 63 : 31));
  };
  switch (in.mnemonic) {
    case Mnemonic::AND:
    case Mnemonic::OR:
    case Mnemonic::XOR:
    case Mnemonic::TEST: return AF;
    case Mnemonic::MUL:
    case Mnemonic::IMUL:
    case Mnemonic::IMUL_GV: return SF | ZF | AF | PF;
    case Mnemonic::DIV:
    case Mnemonic::IDIV: return kArithFlags;
    case Mnemonic::BSF:
    case Mnemonic::BSR: return kArithFlags & ~u32{ZF};
    case Mnemonic::TZCNT:
    case Mnemonic::LZCNT: return OF | SF | PF | AF;
    case Mnemonic::BT:
    case Mnemonic::BTS:
    case Mnemonic::BTR:
    case Mnemonic::BTC: return OF | SF | AF | PF;
    case Mnemonic::AAA:
    case Mnemonic::AAS: return OF | SF | ZF | PF;
    case Mnemonic::DAA:
    case Mnemonic::DAS: return OF;
    case Mnemonic::AAM:
    case Mnemonic::AAD: return OF | AF | CF;
    case Mnemonic::SHL:
    case Mnemonic::SHR:
    case Mnemonic::SAR: {
      const unsigned n = count(1);
      if (n == 0) return 0;
      return AF | (n > 1 ? OF : 0u) | (n >= bits && in.mnemonic != Mnemonic::SAR ? CF : 0u);
    }
    case Mnemonic::ROL:
    case Mnemonic::ROR:
    case Mnemonic::RCL:
    case Mnemonic::RCR: return count(1) > 1 ? OF : 0u;
    case Mnemonic::SHLD:
    case Mnemonic::SHRD: {
      const unsigned n = count(2);
      if (n == 0) return 0;
      return n > bits ? kArithFlags : AF | (n > 1 ? OF : 0u);
    }
    default: return 0;
  }
}

class DataPort : public backend::interp::MemoryPort {
 public:
  DataPort(NativeHost& h) : h_(h) {}
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
    const u64 start = reinterpret_cast<u64>(h_.data());
    return va >= start && va + size <= start + 2 * NativeHost::kPage;
  }
  NativeHost& h_;
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

class PageReader : public guest::CodeReader {
 public:
  explicit PageReader(NativeHost& h) : h_(h) {}
  size_t fetch(u64 va, u8* out, size_t size) override {
    const u64 start = reinterpret_cast<u64>(h_.code()), end = start + NativeHost::kPage;
    if (va < start || va >= end) return 0;
    const size_t n = std::min<u64>(size, end - va);
    std::memcpy(out, reinterpret_cast<const void*>(va), n);
    return n;
  }

 private:
  NativeHost& h_;
};

struct Outcome {
  NativeState s;
  std::vector<u8> data;
};

class NativeInt : public ::testing::Test {
 protected:
  NativeInt()
      : model_(make_model()),
        decoder_(model_),
        frontend_(make_frontend(model_)),
        rng_(42),
        state_(std::make_unique<X86State>()) {}
  static CpuModel make_model() {
    CpuModel m;
    for (u32& f : m.features) f = ~u32{0};
    return m;
  }
  u64 rnd() { return rng_(); }
  u64 value() {
    switch (rnd() % 8) {
      case 0: return rnd() % 64;
      case 1: return 0;
      case 2: return ~u64{0} >> (rnd() % 64);
      case 3: return u64{1} << (rnd() % 64);
      case 4: return (u64{1} << (rnd() % 64)) - 1 + rnd() % 3;
      case 5: return ~u64{0};
      default: return rnd();
    }
  }
  u64 data_at() {  // an address in the data, sometimes across or beyond its end
    const u64 base = reinterpret_cast<u64>(host_.data());
    switch (rnd() % 16) {
      case 0: return base + 2 * NativeHost::kPage - 1 - rnd() % 16;
      case 1: return base + 2 * NativeHost::kPage + rnd() % 16;
      case 2: return base + NativeHost::kPage - rnd() % 16;
      default: return base + 1024 + rnd() % 6000;
    }
  }

  // One random instruction of the row at `at`; false: not usable.
  bool make(const Row& r, bool bits32, u8* bytes) {
    size_t n = 0;
    const auto put = [&](u64 v) { bytes[n++] = static_cast<u8>(v); };
    const bool p66 = r.prefix == OpPrefix::P66 || (r.prefix != OpPrefix::NP && rnd() % 5 == 0);
    if (p66) put(0x66);
    if (rnd() % 12 == 0) put(0x67);
    if ((r.attrs & LOCK) && rnd() % 4 == 0) put(0xf0);
    const bool string = r.mnemonic == Mnemonic::MOVS || r.mnemonic == Mnemonic::CMPS || r.mnemonic == Mnemonic::SCAS ||
                        r.mnemonic == Mnemonic::STOS || r.mnemonic == Mnemonic::LODS;
    if (string && engine_ != Engine::Region && rnd() % 2) put(0xf2 + rnd() % 2);
    if (r.prefix == OpPrefix::PF3) put(0xf3);
    if (r.prefix == OpPrefix::PF2) put(0xf2);
    if (!bits32 && (rnd() % 2 || (r.attrs & W1))) put(0x40 | (rnd() & 15) | ((r.attrs & W1) ? 8 : 0));
    if (r.map != Map::M1) put(0x0f);
    if (r.map == Map::M38) put(0x38);
    unsigned span = r.attrs & CC ? 16 : 1;
    for (const Opd o : r.operand)
      if (o == Opd::Zb || o == Opd::Zv) span = 8;
    put(r.opcode + rnd() % span);
    u64 modrm = rnd();
    if (r.ext == ExtKind::Reg || r.ext == ExtKind::MemReg || r.ext == ExtKind::RegReg)
      modrm = (modrm & 0xc7) | r.ext_value << 3;
    if (r.ext == ExtKind::MemReg && (modrm & 0xc0) == 0xc0) modrm &= 0x3f;
    put(r.ext == ExtKind::Byte ? r.ext_value : modrm);
    while (n < 16) put(rnd() % 4 ? rnd() : rnd() % 32);
    return true;
  }

  // Registers that make memory operands and branch targets land where they should. False: take another instruction.
  bool prepare(const Insn& in, NativeState& s, bool bits32) {
    for (u64& g : s.gpr) g = value();
    s.gpr[RSP] = data_at();
    if (rnd() % 4) s.gpr[RSP] &= ~u64{7};
    const u64 width = in.addrsize == 8 ? ~u64{0} : in.addrsize == 4 ? 0xffffffffu : 0xffffu;
    if (in.addrsize == 2) return false;
    const bool mem = in.has_modrm ? in.mem_form() : false;
    bool moffs = false;
    for (const Operand& o : in.op) moffs |= o.is_mem() && !in.has_modrm;
    if (moffs) return false;
    if (mem && in.mnemonic != Mnemonic::LEA && in.mnemonic != Mnemonic::NOP && in.mnemonic != Mnemonic::PREFETCH) {
      const MemOperand& m = in.mem;
      if (m.rip_rel || (m.base == kNoReg && m.index == kNoReg) || m.base == m.index) return false;
      u64 to = data_at();
      const bool bits = in.mnemonic == Mnemonic::BT || in.mnemonic == Mnemonic::BTS || in.mnemonic == Mnemonic::BTR ||
                        in.mnemonic == Mnemonic::BTC;
      if (bits && in.op[1].is_reg()) {
        const u8 r = in.op[1].reg;
        if (r == m.base || r == m.index || r == RSP) return false;
        s.gpr[r] = (s.gpr[r] & ~mask_bits(in.opsize * 8)) | ((rnd() % 4000 - 2000) & mask_bits(in.opsize * 8));
      }
      u64 index = 0;
      if (m.index != kNoReg) {
        if (m.base == kNoReg) return false;
        index = (s.gpr[m.index] & width) << m.scale;
      }
      u64 base = (to - static_cast<u64>(m.disp) - index) & width;
      if (in.addrsize == 4 && !bits32) base |= rnd() << 32;
      s.gpr[m.base] = base;
    }
    switch (in.mnemonic) {
      case Mnemonic::XLAT: s.gpr[RBX] = (data_at() - (s.gpr[RAX] & 0xff)) & width; break;
      case Mnemonic::MOVS:
      case Mnemonic::CMPS:
      case Mnemonic::SCAS:
      case Mnemonic::STOS:
      case Mnemonic::LODS:
        s.gpr[RSI] = data_at();
        s.gpr[RDI] = rnd() % 4 ? data_at() : s.gpr[RSI] + rnd() % 32 - 16;
        if (in.rep || in.repne) {
          s.gpr[RCX] = rnd() % 8 ? rnd() % 64 : rnd() % 9000;
          if (rnd() % 2) std::memset(host_.data(), static_cast<int>(s.gpr[RAX]), 2 * NativeHost::kPage);
          if (rnd() % 2) host_.data()[rnd() % (2 * NativeHost::kPage)] ^= 1;
        }
        break;
      case Mnemonic::ENTER:
        if ((in.imm & 0xffff) > 512) return false;
        s.gpr[RBP] = data_at();
        break;
      case Mnemonic::LEAVE: s.gpr[RBP] = data_at(); break;
      default: break;
    }
    // Undefined results: a double shift of 16 bits by more than 16.
    if ((in.mnemonic == Mnemonic::SHLD || in.mnemonic == Mnemonic::SHRD) && in.opsize == 2 &&
        ((in.op[2].kind == OpKind::Imm ? in.imm : s.gpr[RCX]) & 31) > 16)
      return false;
    const u64 page = reinterpret_cast<u64>(host_.code());
    switch (in.mnemonic) {
      case Mnemonic::JCC:
      case Mnemonic::JMP:
      case Mnemonic::CALL:
      case Mnemonic::LOOP:
      case Mnemonic::LOOPE:
      case Mnemonic::LOOPNE:
      case Mnemonic::JCXZ:
        if (in.target < page || in.target >= page + NativeHost::kPage) return false;
        if (in.target + 1 >= in.pc && in.target < in.pc + in.length) return false;
        if (in.opsize_prefix) return false;
        break;
      case Mnemonic::JMP_IND:
      case Mnemonic::CALL_IND:
      case Mnemonic::RET: {
        if (in.opsize_prefix) return false;
        const u64 to = page + 512 + rnd() % 512;
        const unsigned size = bits32 ? 4 : 8;
        if (in.mnemonic == Mnemonic::RET) {
          s.gpr[RSP] = reinterpret_cast<u64>(host_.data()) + 2048 + rnd() % 1000;
          std::memcpy(host_.data() + (s.gpr[RSP] - reinterpret_cast<u64>(host_.data())), &to, size);
        } else if (!mem) {
          s.gpr[in.op[0].reg] = to;
          if (in.op[0].reg == RSP) return false;
        } else {
          return false;
        }
        break;
      }
      default: break;
    }
    if (bits32)
      for (u64& g : s.gpr) g &= 0xffffffffu;
    const u64 base = reinterpret_cast<u64>(host_.data());
    if (s.gpr[RSP] < base)
      s.gpr[RSP] = base + 4096;  // the host's signal delivery does not care; pushes stay in the data
    s.rflags = 0x202 | (rnd() & kArithFlags) | (rnd() % 4 == 0 ? u64{DF} : 0);
    s.rip = in.pc;
    return true;
  }

  Outcome translated(const NativeState& before, u64 pc, u64 insn_pc, u64 mode, u32 max_insns, bool optimise) {
    Outcome o{before, {}};
    X86State& x = *state_;
    std::memset(static_cast<void*>(&x), 0, sizeof x);
    x.h.runtime = &runtime_;
    x.h.fp_env = 0x1f80;
    x.mxcsr = 0x1f80;
    std::memcpy(x.gpr, before.gpr, sizeof x.gpr);
    x.flags = ir::eflags_to_flags(static_cast<u32>(before.rflags));
    x.eflags = static_cast<u32>(before.rflags) & (DF | IF);
    x.rip = pc;
    x.cr0 = CR0_PE;
    x.cpl = 3;
    x.mode_cache = mode;
    o.s.signal = 0;
    u64 at = pc;
    u32 left = max_insns;
    for (int rounds = 0; rounds < 4; rounds++) {
      PageReader reader(host_);
      guest::TranslateRequest rq{at, mode, 0, &reader, {}};
      rq.limits.max_insns = left;
      frontend_->translate(rq, region_);
      const std::string wrong = ir::verify(region_);
      EXPECT_EQ(wrong, "") << ir::dump(region_);
      if (!wrong.empty()) break;
      if (optimise) ir::run_pipeline(region_, ir::OptFlags{});
      DataPort port(host_);
      if (setjmp(runtime_.target) != 0) {
        o.s.signal = x.exc_vector == DE ? SIGFPE : x.exc_vector == UD ? SIGILL : SIGSEGV;
        at = insn_pc;
        break;
      }
      const backend::interp::RunResult r = backend::interp::run_region(region_, x.h, port, ir::kHelperAll);
      EXPECT_NE(r.end, backend::interp::End::Unsupported);
      at = r.pc;
      if (r.end == backend::interp::End::Fault) {
        o.s.signal = SIGSEGV;
        break;
      }
      if (at != insn_pc) {
        o.s.signal = SIGTRAP;
        break;
      }
      left = 1;  // restarted: now the first of its region
    }
    std::memcpy(o.s.gpr, x.gpr, sizeof x.gpr);
    o.s.rflags = get_eflags(x);
    o.s.rip = at;
    return o;
  }

  // The same by a whole CPU.
  Outcome on_machine(const NativeState& before, u64 pc, bool bits32) {
    Outcome o{before, {}};
    X86State& x = machine_->state();
    machine_->code_changed(host_.code(), NativeHost::kPage);
    std::memcpy(x.gpr, before.gpr, sizeof x.gpr);
    x.flags = ir::eflags_to_flags(static_cast<u32>(before.rflags));
    x.eflags = static_cast<u32>(before.rflags) & (DF | IF);
    x.rip = pc;
    machine_->user_mode(bits32);
    const u8 vector = machine_->run();
    switch (vector) {
      case BP: o.s.signal = SIGTRAP; break;
      case DE: o.s.signal = SIGFPE; break;
      case UD: o.s.signal = SIGILL; break;
      default: o.s.signal = SIGSEGV; break;
    }
    std::memcpy(o.s.gpr, x.gpr, sizeof x.gpr);
    o.s.rflags = get_eflags(x);
    o.s.rip = x.rip;
    return o;
  }

  void compare(const Insn& in, const u8* bytes, const NativeState& before, const Outcome& want, const Outcome& got,
               u64 data_size, bool bits32) {
    std::string text;
    const size_t n = frontend_->disassemble(bytes, 15, in.pc, bits32 ? kMode32 : kMode64, text);
    (void)n;
    std::string hex;
    char buffer[8];
    for (unsigned i = 0; i < in.length; i++) std::snprintf(buffer, sizeof buffer, "%02x ", bytes[i]), hex += buffer;
    const std::string what = hex + " " + mnemonic_name(in.mnemonic) + " " + text + (bits32 ? " (32-bit)" : " (64-bit)");
    ASSERT_EQ(got.s.signal, want.s.signal == SIGBUS ? SIGSEGV : want.s.signal) << what;  // SIGBUS: #SS
    if (want.s.signal != SIGTRAP && in.mnemonic == Mnemonic::POPA)
      return;  // processors differ in what is loaded before the fault
    const u64 mask = bits32 ? 0xffffffffu : ~u64{0};
    ASSERT_EQ(got.s.rip & mask, want.s.rip & mask) << what;
    for (int i = 0; i < (bits32 ? 8 : 16); i++)
      ASSERT_EQ(got.s.gpr[i] & mask, want.s.gpr[i] & mask)
          << what << " register " << i << std::hex << " before 0x" << before.gpr[i] << " rcx 0x" << before.gpr[RCX];
    u32 care = kArithFlags | DF;
    if (want.s.signal == SIGTRAP) care &= ~undefined_flags(in, before);
    if (in.mnemonic == Mnemonic::DIV || in.mnemonic == Mnemonic::IDIV) care &= ~kArithFlags;
    ASSERT_EQ(got.s.rflags & care, want.s.rflags & care)
        << what << std::hex << " before 0x" << before.rflags << " got 0x" << got.s.rflags << " want 0x" << want.s.rflags
        << " rcx 0x" << before.gpr[RCX];
    const bool partial = want.s.signal != SIGTRAP && (in.mnemonic == Mnemonic::PUSHA || in.mnemonic == Mnemonic::ENTER);
    if (partial) return;
    ASSERT_EQ(std::memcmp(got.data.data(), want.data.data(), data_size), 0) << what << " memory";
  }

  void run_random(Engine engine, bool bits32, u64 total) {
    if (!host_.usable()) GTEST_SKIP() << "the host does not give the low memory that the native run needs";
    engine_ = engine;
    if (engine != Engine::Region) {
      machine_ = std::make_unique<FlatMachine>(model_, engine == Engine::Interpreter, engine != Engine::JitPlain,
                                               engine == Engine::JitPlain ? 0 : -1);
      machine_->map(host_.code(), NativeHost::kPage, false);
      machine_->map(host_.data(), 2 * NativeHost::kPage, true);
    }
    const u64 mode = bits32 ? kMode32 : kMode64;
    const size_t data_size = 2 * NativeHost::kPage;
    std::vector<const Row*> rows;
    for (size_t i = 0; i < row_count(); i++) {
      const Row& r = row(i);
      Insn probe;
      probe.mnemonic = r.mnemonic;
      if (r.map <= Map::M38 && tested(probe, engine_) && !(r.attrs & (bits32 ? ONLY64 : NO64)) &&
          host_has(static_cast<Feature>(r.attrs >> 24)))
        rows.push_back(&r);
    }
    u64 done = 0, tries = 0;
    while (done < total && tries++ < total * 20) {
      u8 bytes[16];
      const Row& r = *rows[rnd() % rows.size()];
      make(r, bits32, bytes);
      const bool nop_first = rnd() % 2;
      host_.clear_code();
      const u64 pc = reinterpret_cast<u64>(host_.code()) + 256 + rnd() % 16;
      const u64 insn_pc = pc + nop_first;
      Insn in;
      if (decoder_.decode(bytes, 15, insn_pc, mode, in) != DecodeStatus::Ok || !tested(in, engine_)) continue;
      for (size_t i = 0; i < data_size; i++) host_.data()[i] = static_cast<u8>(rnd() >> 24);
      NativeState before = {};
      if (!prepare(in, before, bits32)) continue;
      if (nop_first) host_.code()[pc - reinterpret_cast<u64>(host_.code())] = 0x90;
      std::memcpy(host_.code() + (insn_pc - reinterpret_cast<u64>(host_.code())), bytes, in.length);
      const std::vector<u8> data(host_.data(), host_.data() + data_size);
      Outcome want{before, {}};
      host_.run(want.s, pc, bits32);
      want.data.assign(host_.data(), host_.data() + data_size);
      std::memcpy(host_.data(), data.data(), data_size);
      Outcome got = machine_ ? on_machine(before, pc, bits32)
                             : translated(before, pc, insn_pc, mode, nop_first ? 2 : 1, rnd() % 2);
      got.data.assign(host_.data(), host_.data() + data_size);
      compare(in, bytes, before, want, got, data_size, bits32);
      if (HasFatalFailure() || HasNonfatalFailure()) {
        if (++failures_ >= 1) return;  // the rest would be the same
      }
      done++;
    }
    std::printf("%llu instructions of %llu tries\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(tries));
  }
  static u64 how_many() {
    const char* text = std::getenv("DOPPEL_RANDOM_TESTS");
    const char* full = std::getenv("DOPPEL_TEST_FULL");
    return text ? std::strtoull(text, nullptr, 10) : full && *full ? 250000 : 10000;
  }

  NativeHost host_;
  CpuModel model_;
  Decoder decoder_;
  std::unique_ptr<guest::Frontend> frontend_;
  std::mt19937_64 rng_;
  std::unique_ptr<X86State> state_;
  JumpRuntime runtime_;
  ir::Region region_;
  int failures_ = 0;
  Engine engine_ = Engine::Region;
  std::unique_ptr<FlatMachine> machine_;
};

TEST_F(NativeInt, Region64) { run_random(Engine::Region, false, how_many()); }
TEST_F(NativeInt, Region32) { run_random(Engine::Region, true, how_many()); }
TEST_F(NativeInt, Interpreter64) { run_random(Engine::Interpreter, false, how_many()); }
TEST_F(NativeInt, Interpreter32) { run_random(Engine::Interpreter, true, how_many()); }
TEST_F(NativeInt, Jit64) { run_random(Engine::Jit, false, how_many()); }
TEST_F(NativeInt, Jit32) { run_random(Engine::Jit, true, how_many()); }
TEST_F(NativeInt, JitPlain64) { run_random(Engine::JitPlain, false, how_many()); }
TEST_F(NativeInt, JitPlain32) { run_random(Engine::JitPlain, true, how_many()); }

}  // namespace
}  // namespace doppel::x86::test
#endif

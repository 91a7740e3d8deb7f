// Random x87 programs run on the host CPU and translated: registers, tags, status word with conditions and sticky
// flags, memory, and where an unmasked exception traps must agree. Registers begin as any 80-bit pattern, valid or
// empty; stack faults happen; MMX instructions, branches and control words come between. What an empty register holds
// is not looked at: nothing but a saved image shows it, and translated code does not keep it. Before each run the TLB
// is emptied, so that slow paths run with values in host registers. DOPPEL_RANDOM_TESTS sets how many programs of each
// kind.
#include "guest/x86/native_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "guest/x86/flat_machine.h"
#include "mem/soft_tlb.h"

namespace doppel::x86::test {
namespace {

enum class Engine { Interpreter, Jit, JitPlain /* no optimiser, no pinned registers */ };
enum class Masks { All, Some };

// Where things are in the two pages of data. FRSTOR's image lies across them.
constexpr u32 kPage = NativeHost::kPage, kImage = kPage - 60, kWords = 256, kNumbers = 512, kValues = 1024,
              kValuesEnd = 2 * kPage - 1024;
constexpr u64 kBase = RBX;

struct End {
  u64 signal, rip, rax, flags;
  u16 control, status;
  u8 tags;  // 1: not empty, by physical register
  struct Reg {
    u64 significand;
    u16 exponent;
    bool operator==(const Reg&) const = default;
  } st[8];
  bool operator==(const End&) const = default;
};
void PrintTo(const End& e, std::ostream* os) {
  char text[100];
  std::snprintf(text, sizeof text, "signal %d rip %llx rax %llx flags %llx cw %04x sw %04x tags %02x",
                static_cast<int>(e.signal), static_cast<unsigned long long>(e.rip),
                static_cast<unsigned long long>(e.rax), static_cast<unsigned long long>(e.flags), e.control, e.status,
                e.tags);
  *os << text;
  for (const auto& r : e.st) {
    std::snprintf(text, sizeof text, " %04x:%016llx", r.exponent, static_cast<unsigned long long>(r.significand));
    *os << text;
  }
}

class NativeX87 : public ::testing::Test {
 protected:
  u64 rnd() { return rng_(); }
  u64 rnd(u64 n) { return rng_() % n; }

  // --- values
  X87Reg value80() {
    static constexpr u64 kSignificands[] = {0,
                                            1,
                                            0x8000000000000000,
                                            0xc000000000000000,
                                            0xffffffffffffffff,
                                            0x7fffffffffffffff,
                                            0x8000000000000001,
                                            0x8000000000000400,
                                            0xfffffffffffffbff};
    static constexpr u16 kExponents[] = {0,      0,      1,      0x3fff, 0x3ffe, 0x4000, 0x401d, 0x401e, 0x403e,
                                         0x403d, 0x7ffe, 0x7fff, 0x7fff, 0x3c01, 0x3c00, 0x3f81, 0x43fe, 0x407e};
    X87Reg r;
    r.significand = rnd(3) == 0 ? kSignificands[rnd(std::size(kSignificands))] : rnd() | u64{rnd(20) != 0} << 63;
    if (rnd(4) == 0) r.significand &= ~u64{0} << rnd(64);
    r.sign_exponent = static_cast<u16>(rnd(4) == 0 ? kExponents[rnd(std::size(kExponents))] : 0x3fff - 20 + rnd(60));
    if (rnd(40) == 0) r.sign_exponent = static_cast<u16>(rnd());
    r.sign_exponent = static_cast<u16>(r.sign_exponent | (rnd() & 0x8000));
    return r;
  }
  u64 value64() {
    static constexpr u64 kOdd[] = {0,
                                   1,
                                   0x8000000000000000,
                                   0x7ff0000000000000,
                                   0xfff8000000000000,
                                   0x7ff0000000000001,
                                   0x000fffffffffffff,
                                   0x3ff0000000000000,
                                   0x43e0000000000000,
                                   0x7fefffffffffffff};
    if (rnd(3) == 0) return kOdd[rnd(std::size(kOdd))];
    return (rnd() & 0x800fffffffffffff) | (0x3ff - 20 + rnd(60)) << 52;
  }
  u32 value32() {
    static constexpr u32 kOdd[] = {0,          1,          0x80000000, 0x7f800000, 0xffc00000,
                                   0x7f800001, 0x007fffff, 0x3f800000, 0x5f000000, 0x7f7fffff};
    if (rnd(3) == 0) return kOdd[rnd(std::size(kOdd))];
    return static_cast<u32>((rnd() & 0x807fffff) | (0x7f - 20 + rnd(60)) << 23);
  }
  u16 control_word(Masks masks) {
    static constexpr u16 kPrecisions[] = {0, 2, 3, 3};
    // Unmasked, a denormal stops some processors before FLD pushes, others after it.
    const u64 m = masks == Masks::All || rnd(4) == 0 ? 0x3f : (rnd() & 0x3f) | 2;
    return static_cast<u16>(0x40 | m | kPrecisions[rnd(4)] << 8 | rnd(4) << 10);
  }

  // --- the program
  void byte(u64 b) { host_.code()[at_++] = static_cast<u8>(b); }
  void dword(u64 v) {
    for (int i = 0; i < 4; i++) byte(v >> (8 * i));
  }
  void mem_insn(unsigned opcode, unsigned field, u32 offset) {
    byte(opcode);
    byte(0x80 | field << 3 | kBase);
    dword(offset);
  }
  u32 any_place() {
    return kValues + 8 * static_cast<u32>(rnd((kValuesEnd - kValues) / 8)) + (rnd(8) == 0 ? rnd(8) : 0);
  }

  // FTST: where an operand is a NaN, processors differ in conditions that these leave alone or clear.
  void after_special(unsigned modrm) {
    const bool conditions = modrm == 0xf2 || modrm == 0xf5 || modrm == 0xf8 || modrm == 0xfb || modrm >= 0xfe;
    if (conditions) byte(0xd9), byte(0xe4);
  }
  // Their conditions for finite operands: FNINIT; FLDCW; two FLD; one of them; FNSTSW AX.
  void special_of_numbers() {
    static constexpr u8 kCodes[] = {0xf5, 0xf8, 0xfe, 0xff};
    byte(0xdb), byte(0xe3);
    mem_insn(0xd9, 5, kWords + 2 * static_cast<u32>(rnd(16)));
    for (int i = 0; i < 2; i++) mem_insn(0xd9, 0, kNumbers + 4 * static_cast<u32>(rnd(64)));
    byte(0xd9), byte(kCodes[rnd(4)]), byte(0xdf), byte(0xe0);
  }

  bool memory_form(Masks masks) {
    const unsigned opcode = 0xd8 + static_cast<unsigned>(rnd(8)), field = static_cast<unsigned>(rnd(8));
    const bool environment =
        (opcode == 0xd9 && (field == 4 || field == 6)) || (opcode == 0xdd && (field == 4 || field == 6));
    const bool none = (opcode == 0xd9 && field == 1) || (opcode == 0xdb && (field == 4 || field == 6)) ||
                      (opcode == 0xdd && field == 5);
    const bool bcd = opcode == 0xdf && (field == 4 || field == 6);
    const bool status = masks == Masks::Some && opcode == 0xdd && field == 7;  // conditions after a fault differ
    if (environment || none || bcd || status) return false;
    const bool word = opcode == 0xd9 && field == 5;
    mem_insn(opcode, field, word ? kWords + 2 * static_cast<u32>(rnd(16)) : any_place());
    return true;
  }
  bool register_form(Masks masks) {
    const unsigned opcode = 0xd8 + static_cast<unsigned>(rnd(8)), modrm = 0xc0 + static_cast<unsigned>(rnd(64));
    const unsigned field = (modrm >> 3) & 7;
    switch (opcode) {
      case 0xd9:
        if (modrm >= 0xd1 && modrm <= 0xd7) return false;
        if (modrm >= 0xe0 &&
            (modrm == 0xe5 || modrm == 0xe2 || modrm == 0xe3 || modrm == 0xe6 || modrm == 0xe7 || modrm == 0xef))
          return false;
        if (modrm >= 0xf0 && modrm != 0xfa && modrm != 0xfc && modrm != 0xf6 && modrm != 0xf7 && masks == Masks::Some)
          return false;  // on the host's x87, which has them masked
        if (field == 3) return false;
        break;
      case 0xda:
        if (field >= 4 && modrm != 0xe9) return false;
        break;
      case 0xdb:
        if (field == 7 || (field == 4 && modrm != 0xe2 && modrm != 0xe3)) return false;
        if (modrm == 0xe3 && rnd(4) != 0) return false;
        break;
      case 0xdc:
        if (field == 2 || field == 3) return false;
        break;
      case 0xdd:
        if (field == 1 || field > 5) return false;
        break;
      case 0xde:
        if (field == 2 || (field == 3 && modrm != 0xd9)) return false;
        break;
      case 0xdf:
        if (modrm != 0xe0 && field != 5 && field != 6) return false;
        break;
      default: break;
    }
    byte(opcode);
    byte(modrm);
    const bool comi = (opcode == 0xdb || opcode == 0xdf) && (field == 5 || field == 6);
    const bool cmov = (opcode == 0xda || opcode == 0xdb) && field < 4, free = opcode == 0xdd && field == 0;
    if (opcode == 0xd9) after_special(modrm);
    if (comi || cmov || free) byte(0xd9), byte(0xc8);  // FXCH ST(0): processors differ in C1
    return true;
  }
  // FLD and FSTP and what compilers write most, so that the stack is not wrong all the time.
  void common(Masks masks) {
    static constexpr struct {
      u8 opcode, field;
    } kLoads[] = {{0xd9, 0}, {0xdd, 0}, {0xdb, 0}, {0xdb, 5}, {0xdf, 5}},
      kStores[] = {{0xd9, 3}, {0xdd, 3}, {0xdb, 3}, {0xdb, 7}, {0xdf, 7}, {0xdb, 1}},
      kMemory[] = {{0xd8, 0}, {0xd8, 1}, {0xdc, 4}, {0xdc, 6}, {0xda, 1}, {0xde, 0}};
    const unsigned i = static_cast<unsigned>(rnd(3));
    if (masks == Masks::All && rnd(12) == 0) {
      const unsigned modrm = 0xf0 + static_cast<unsigned>(rnd(16));
      byte(0xd9), byte(modrm);
      after_special(modrm);
      return;
    }
    switch (rnd(8)) {
      case 0: {
        const auto& l = kLoads[rnd(std::size(kLoads))];
        return mem_insn(l.opcode, l.field, any_place());
      }
      case 1: {
        const auto& l = kStores[rnd(std::size(kStores))];
        return mem_insn(l.opcode, l.field, any_place());
      }
      case 2: {
        const auto& l = kMemory[rnd(std::size(kMemory))];
        return mem_insn(l.opcode, l.field, any_place());
      }
      case 3: byte(0xd9), byte(0xc0 + i); break;                                   // FLD ST(i)
      case 4: byte(0xd9), byte(0xc8 + i); break;                                   // FXCH
      case 5: byte(0xd8), byte(0xc0 + 8 * rnd(8) + i); break;                      // arithmetic, FCOM(P)
      case 6: byte(0xde), byte(0xc1 + 8 * (rnd(2) ? rnd(2) : 4 + rnd(4))); break;  // FADDP ...
      case 7: byte(0xdc), byte(0xc0 + 8 * (rnd(2) ? rnd(2) : 4 + rnd(4)) + i); break;
    }
  }
  void other(Masks masks) {
    switch (rnd(8)) {
      case 0: byte(0xdf), byte(0xe0), byte(0x9e); break;  // FNSTSW AX; SAHF
      case 1: byte(0x9b); break;
      case 2:  // a branch over an FCHS
        byte(0x70 + rnd(16)), byte(2), byte(0xd9), byte(0xe0);
        break;
      case 3: byte(0x8b), byte(0x80 | 1 << 3 | kBase), dword(any_place()); break;  // MOV ECX, [mem]
      case 4: byte(0x89), byte(0x80 | 1 << 3 | kBase), dword(any_place()); break;  // MOV [mem], ECX
      case 5:
        if (rnd(4) == 0) {  // MOVQ to all eight MMX registers, PADDW, EMMS perhaps
          for (unsigned i = 0; i < 8; i++) byte(0x0f), byte(0x6f), byte(0x80 | i << 3 | kBase), dword(any_place());
          byte(0x0f), byte(0xfd), byte(0xc0 | rnd(64));
          if (rnd(2)) byte(0x0f), byte(0x77);
        }
        break;
      case 7:
        if (masks == Masks::All) special_of_numbers();
        break;
      case 6: byte(0xd9), byte(0xee), byte(0xd9), byte(0xe5); break;  // FLDZ; FXAM
    }
  }

  u64 make_program(Masks masks) {
    host_.clear_code();
    at_ = 256;
    for (u32 i = kValues; i < kValuesEnd; i += 8) {
      u64 v = value64();
      if (rnd(3) == 0) v = value32() | u64{value32()} << 32;
      if (rnd(5) == 0) v = rnd() >> rnd(64);
      std::memcpy(host_.data() + i, &v, 8);
    }
    for (u32 i = 0; i < 16; i++) {
      const u16 cw = control_word(masks);
      std::memcpy(host_.data() + kWords + 2 * i, &cw, 2);
    }
    for (u32 i = 0; i < 64; i++) {
      const u32 v = static_cast<u32>((rnd() & 0x807fffff) | (0x7f - 10 + rnd(rnd(4) ? 20 : 100)) << 23);
      std::memcpy(host_.data() + kNumbers + 4 * i, &v, 4);
    }
    const u32 words[7] = {control_word(masks), static_cast<u32>(rnd() & (masks == Masks::All ? 0x7f7fu : 0x7f00u)),
                          static_cast<u32>(rnd(4) == 0 ? rnd() & 0xffff : u64{0xffff} << 2 * rnd(9) & 0xffff)};
    std::memcpy(host_.data() + kImage, words, sizeof words);
    for (u32 i = 0; i < 8; i++) {
      const X87Reg r = value80();
      std::memcpy(host_.data() + kImage + 28 + 10 * i, &r, 10);
    }
    mem_insn(0xdd, 4, kImage);  // FRSTOR
    for (u64 n = 1 + rnd(24); n > 0; n--) {
      const u64 kind = rnd(16);
      if (kind < 9)
        common(masks);
      else if (kind < 11)
        while (!memory_form(masks)) {
        }
      else if (kind < 14)
        while (!register_form(masks)) {
        }
      else
        other(masks);
    }
    return reinterpret_cast<u64>(host_.code()) + 256;
  }

  // --- the two ways
  static End native_end(const NativeState& s) {
    End e{};
    e.signal = s.signal == SIGFPE ? u64{MF} : s.signal == SIGTRAP ? u64{BP} : 100 + static_cast<u64>(s.signal);
    e.rip = s.rip;
    e.rax = s.gpr[RAX];
    e.flags = s.rflags & kArithFlags;
    e.control = load_le<u16>(s.fxsave);
    e.status = load_le<u16>(s.fxsave + 2);
    e.tags = s.fxsave[4];
    for (unsigned i = 0; i < 8; i++) {
      if ((e.tags >> (((e.status >> 11) + i) & 7)) & 1)
        e.st[i] = {load_le<u64>(s.fxsave + 32 + 16 * i), load_le<u16>(s.fxsave + 40 + 16 * i)};
    }
    return e;
  }
  static End machine_end(const X86State& s, u8 vector) {
    End e{};
    e.signal = vector;
    e.rip = s.rip;
    e.rax = s.gpr[RAX];
    e.flags = get_eflags(s) & kArithFlags;
    e.control = s.fcw;
    e.status = static_cast<u16>(s.fsw | s.top << 11);
    e.tags = static_cast<u8>(~s.fptag);
    for (unsigned i = 0; i < 8; i++) {
      const X87Reg& r = s.st[(s.top + i) & 7];
      if ((e.tags >> ((s.top + i) & 7)) & 1) e.st[i] = {r.significand, r.sign_exponent};
    }
    return e;
  }

  std::string program_text(u64 pc) {
    std::string text, line;
    const u64 end = reinterpret_cast<u64>(host_.code()) + at_;
    while (pc < end) {
      const size_t n = frontend_->disassemble(reinterpret_cast<const u8*>(pc), 15, pc, mode_, line);
      char address[24];
      std::snprintf(address, sizeof address, "%llx: ", static_cast<unsigned long long>(pc));
      text += address + line + "\n";
      pc += n ? n : 1;
    }
    return text;
  }

  void run_random(Engine engine, Masks masks, bool bits32) {
    if (!host_.usable()) GTEST_SKIP() << "the host does not give the low memory that the native run needs";
    mode_ = bits32 ? kModeCs32 : kModeCs64;
    CpuModel model;
    for (u32& f : model.features) f = ~u32{0};
    frontend_ = make_frontend(model);
    FlatMachine machine(model, engine == Engine::Interpreter, engine != Engine::JitPlain,
                        engine == Engine::JitPlain ? 0 : -1);
    machine.map(host_.code(), NativeHost::kPage, false);
    machine.map(host_.data(), 2 * NativeHost::kPage, true);
    const char* wanted = std::getenv("DOPPEL_RANDOM_TESTS");
    const char* full = std::getenv("DOPPEL_TEST_FULL");
    for (u64 left = wanted ? std::strtoull(wanted, nullptr, 10) : full && *full ? 100000 : 4000; left > 0; left--) {
      const u64 pc = make_program(masks);
      const std::vector<u8> data(host_.data(), host_.data() + 2 * kPage);
      NativeState native = {};
      for (u64& g : native.gpr) g = rnd() & 0x7fffffff;
      native.gpr[RBX] = reinterpret_cast<u64>(host_.data());
      native.gpr[RSP] = reinterpret_cast<u64>(host_.data()) + 200;
      native.rflags = 0x202 | (rnd() & kArithFlags);
      X86State& x = machine.state();
      std::memcpy(x.gpr, native.gpr, sizeof x.gpr);
      x.flags = ir::eflags_to_flags(static_cast<u32>(native.rflags));
      x.eflags = static_cast<u32>(native.rflags) & IF;
      x.rip = pc;
      x.fsw = x.top = 0;
      x.fptag = 0xff;
      host_.run(native, pc, bits32);
      const std::vector<u8> want(host_.data(), host_.data() + 2 * kPage);
      std::memcpy(host_.data(), data.data(), data.size());
      machine.code_changed(host_.code(), NativeHost::kPage);
      machine.user_mode(bits32);
      x.h.soft_tlb->flush_all();
      const u8 vector = machine.run();
      End got = machine_end(x, vector), expected = native_end(native);
      if (got.status &
          0x80) {  // conditions of a comparison that was not made (perhaps read, and put into flags): processors differ
        for (End* e : {&got, &expected}) {
          e->status &= 0xb8ff;
          e->rax &= ~u64{0x4700};
          e->flags = 0;
        }
      }
      ASSERT_EQ(got, expected) << program_text(pc);
      for (u32 i = 0; i < 2 * kPage; i++)
        ASSERT_EQ(host_.data()[i], want[i]) << "memory at " << std::hex << i << "\n" << program_text(pc);
    }
  }

 private:
  NativeHost host_;
  std::unique_ptr<guest::Frontend> frontend_;
  std::mt19937_64 rng_{87};
  u64 mode_ = 0;
  u32 at_ = 0;
};

TEST_F(NativeX87, Jit) { run_random(Engine::Jit, Masks::All, false); }
TEST_F(NativeX87, Jit32) { run_random(Engine::Jit, Masks::All, true); }
TEST_F(NativeX87, JitPlain) { run_random(Engine::JitPlain, Masks::All, true); }
TEST_F(NativeX87, Interpreter) { run_random(Engine::Interpreter, Masks::All, false); }
TEST_F(NativeX87, JitUnmasked) { run_random(Engine::Jit, Masks::Some, true); }
TEST_F(NativeX87, InterpreterUnmasked) { run_random(Engine::Interpreter, Masks::Some, false); }

}  // namespace
}  // namespace doppel::x86::test
#endif

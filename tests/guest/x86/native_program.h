// Random sequences of integer instructions with loops, branches and memory operands of which some fault: what
// native_sequence.cpp and direct_random.cpp run on the host CPU and translated.
//
// Registers: RSP and RBX point into the data, RSI to its first bytes, RDI to its last ones (beyond both nothing is
// mapped); RBP counts the rounds. Undefined flags (AF after logic and shifts, most after IMUL) are not compared or are
// overwritten at once.
#pragma once
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "guest/x86/native_host.h"
#include "guest/x86/state.h"

namespace doppel::x86::test {

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

constexpr size_t kProgramData = 2 * NativeHost::kPage;

// Registers to begin with.
inline NativeState start_of_program(std::mt19937_64& rng, u64 data, u64 pc, bool bits32) {
  NativeState s = {};
  for (u64& g : s.gpr) g = rng() % 3 ? rng() >> (rng() % 64) : rng() % 5;
  s.gpr[RSP] = data + 4096;
  s.gpr[RBX] = data + 2048 + rng() % 4096;
  s.gpr[RSI] = data + rng() % 24;
  s.gpr[RDI] = data + kProgramData - rng() % 96;
  s.gpr[RBP] = 1 + rng() % 4;
  if (bits32)
    for (u64& g : s.gpr) g &= 0xffffffffu;
  s.rflags = 0x202 | (rng() & kArithFlags);
  s.rip = pc;
  return s;
}

inline std::string describe(const Program& p, u64 seed, bool bits32) {
  std::string text = "DOPPEL_SEED=" + std::to_string(seed) + (bits32 ? " 32-bit:" : " 64-bit:");
  char b[8];
  for (const u8 c : p.code()) std::snprintf(b, sizeof b, " %02x", c), text += b;
  return text;
}

}  // namespace doppel::x86::test

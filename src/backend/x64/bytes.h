// Instructions of the sequences that make up most of the code (the TLB check, slow-path stubs, exits) as bytes: ten
// times faster to write than through Xbyak, which does all else. SDM vol. 2, chapter 2 (REX, ModRM, SIB).
#pragma once
#include "backend/x64/host.h"

namespace doppel::backend::x64 {

class Bytes {
 public:
  explicit Bytes(Xbyak::CodeGenerator& c) : c_(c), start_(const_cast<u8*>(c.getCode())), p_(start_ + c.getSize()) {}
  ~Bytes() { c_.setSize(static_cast<size_t>(p_ - start_)); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  void b(unsigned v) { *p_++ = static_cast<u8>(v); }
  void d(u32 v) {
    store_le<u32>(p_, v);
    p_ += 4;
  }
  void q(u64 v) {
    store_le<u64>(p_, v);
    p_ += 8;
  }
  // op reg, rm (registers)
  void rr(unsigned op, bool wide, int r, int rm) {
    rex(wide, r, rm);
    b(op);
    b(0xc0 | (r & 7) << 3 | (rm & 7));
  }
  // op reg, [base + disp]
  void rm(unsigned op, bool wide, int r, int base, s32 disp) {
    rex(wide, r, base);
    b(op);
    modrm(r, base, disp);
  }
  void mov(bool wide, int d, int s) { rr(0x8b, wide, d, s); }
  void load(bool wide, int d, int base, s32 disp) { rm(0x8b, wide, d, base, disp); }
  void store(bool wide, int base, s32 disp, int s) { rm(0x89, wide, s, base, disp); }
  void lea(bool wide, int d, int base, s32 disp) { rm(0x8d, wide, d, base, disp); }
  void store_imm(bool wide, int base, s32 disp, u32 imm) {
    rm(0xc7, wide, 0, base, disp);
    d(imm);
  }
  // A place in guest memory that is the process's own: base + (index << scale) + disp, either register -1: none; in 64
  // bits, or cut to 32.
  struct Place {
    bool wide;
    int base, index;
    unsigned scale;
    s32 disp;
  };
  // op reg, [place]; `size`: bytes of the register operand; `escape`: 0F before the opcode.
  void at_place(unsigned op, bool escape, unsigned size, int r, const Place& m) {
    if (!m.wide) b(0x67);
    if (size == 2 && !escape) b(0x66);
    unsigned v = (size == 8 ? 8u : 0u) | (r >= 8 ? 4u : 0u) | (m.index >= 8 ? 2u : 0u) | (m.base >= 8 ? 1u : 0u);
    if (v || (size == 1 && !escape && r >= 4)) b(0x40 | v);
    if (escape) b(0x0f);
    b(op);
    const bool short_disp = m.disp == static_cast<s8>(m.disp);
    const unsigned mod = m.base < 0 ? 0 : m.disp == 0 && (m.base & 7) != kRbp ? 0 : short_disp ? 1 : 2;
    if (m.index < 0 && (m.base & 7) != kRsp) {
      b(mod << 6 | (r & 7) << 3 | (m.base & 7));
    } else {
      b(mod << 6 | (r & 7) << 3 | 4);
      b(m.scale << 6 | (m.index < 0 ? 4u : static_cast<unsigned>(m.index & 7)) << 3 |
        (m.base < 0 ? 5u : static_cast<unsigned>(m.base & 7)));
    }
    if (mod == 1) b(static_cast<u8>(m.disp));
    if (mod == 2 || m.base < 0) d(static_cast<u32>(m.disp));
  }
  void and_imm(bool wide, int r, u32 imm) {
    rex(wide, 4, r);
    b(0x81);
    b(0xe0 | (r & 7));
    d(imm);
  }
  void shr_imm(int r, unsigned n) {
    rex(false, 5, r);
    b(0xc1);
    b(0xe8 | (r & 7));
    b(n);
  }
  // Each returns the place of its 32-bit displacement.
  u32 jcc(int cc) {
    b(0x0f);
    b(0x80 | cc);
    return hole();
  }
  u32 jmp() {
    b(0xe9);
    return hole();
  }
  u32 call() {
    b(0xe8);
    return hole();
  }
  u32 at() const { return static_cast<u32>(p_ - start_); }

 private:
  u32 hole() {
    d(0);
    return at() - 4;
  }
  void rex(bool wide, int r, int rm) {
    const unsigned v = (wide ? 8u : 0u) | (r >= 8 ? 4u : 0u) | (rm >= 8 ? 1u : 0u);
    if (v) b(0x40 | v);
  }
  void modrm(int r, int base, s32 disp) {
    const bool short_disp = disp == static_cast<s8>(disp);
    const unsigned mod = disp == 0 && (base & 7) != kRbp ? 0 : short_disp ? 1 : 2;
    b(mod << 6 | (r & 7) << 3 | (base & 7));
    if ((base & 7) == kRsp) b(0x24);
    if (mod == 1) b(static_cast<u8>(disp));
    if (mod == 2) d(static_cast<u32>(disp));
  }
  Xbyak::CodeGenerator& c_;
  u8* start_;
  u8* p_;
};

constexpr s32 header_disp(u32 offset) { return static_cast<s32>(offset) - kBias; }  // from RBP

}  // namespace doppel::backend::x64

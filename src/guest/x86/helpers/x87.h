// Shared by the x87 helpers: formats of memory operands, the register stack, status and exceptions (SDM vol. 1, chapter
// 8).
#pragma once
#include "fpu/fpu.h"
#include "guest/x86/state.h"
#include "mem/guest_access.h"

namespace doppel::x86 {

enum class X87Format : u8 { F32, F64, F80, I16, I32, I64, Bcd };

namespace x87 {

enum Status : u16 {
  IE = 1,
  DE_ = 2,
  ZE = 4,
  OE = 8,
  UE = 16,
  PE = 32,
  SF_ = 64,
  ES_ = 128,
  C0 = 256,
  C1 = 512,
  C2 = 1024,
  C3 = 0x4000,
  B = 0x8000
};
constexpr u16 kConditions = C0 | C1 | C2 | C3;

inline fpu::f80 to_f80(const X87Reg& r) { return {r.significand, r.sign_exponent}; }
inline X87Reg from_f80(const fpu::f80& v) { return {v.significand, v.sign_exponent, {}}; }
constexpr X87Reg kIndefinite{0xc000000000000000ull, 0xffff, {}};

inline unsigned phys(const X86State& s, unsigned i) { return (s.top + i) & 7; }
inline bool empty(const X86State& s, unsigned i) { return (s.fptag >> phys(s, i)) & 1; }
inline X87Reg& st(X86State& s, unsigned i) { return s.st[phys(s, i)]; }
inline void set_st(X86State& s, unsigned i, const X87Reg& v) {
  s.st[phys(s, i)] = v;
  s.fptag = static_cast<u8>(s.fptag & ~(1u << phys(s, i)));
}
inline void pop(X86State& s) {
  s.fptag = static_cast<u8>(s.fptag | (1u << s.top));
  s.top = (s.top + 1) & 7;
}
inline bool unmasked(const X86State& s, u32 flags) { return (flags & ~s.fcw & 0x3f) != 0; }
inline void set_conditions(X86State& s, u16 bits) { s.fsw = static_cast<u16>((s.fsw & ~kConditions) | bits); }

void check_pending(X86State& s);      // a waiting instruction begins: #MF, or FERR# when CR0.NE = 0
bool signal(X86State& s, u32 flags);  // sticky flags; true if one of them is unmasked
// ST(i) was empty: IE and SF, C1 = 0. True if the instruction shall go on with the indefinite as its result.
bool underflow(X86State& s);
void push(X86State& s, const X87Reg& value);  // overflow: IE, SF, C1 = 1, and the indefinite when masked
fpu::Env make_env(const X86State& s);

// Results of arithmetic, by the host's x87 when it has one and all exceptions are masked, else by src/fpu.
struct Outcome {
  X87Reg value;
  u32 flags = 0;
  bool c1 = false;
};
enum class Arith : u8 { Add = 0, Mul = 1, Sub = 4, SubR = 5, Div = 6, DivR = 7 };
Outcome arithmetic(const X86State& s, Arith op, const X87Reg& a, const X87Reg& b);  // a op b; R: b op a
Outcome load_f32(const X86State& s, u32 bits);
Outcome load_f64(const X86State& s, u64 bits);
X87Reg load_int(s64 value);
struct Narrow {
  u64 bits;
  u32 flags;
  bool c1;
};
Narrow store_f32(const X86State& s, const X87Reg& v);
Narrow store_f64(const X86State& s, const X87Reg& v);
Narrow store_int(const X86State& s, const X87Reg& v, unsigned bits, bool truncate);
struct Compared {
  u16 conditions;
  u32 flags;
};
Compared compare(const X86State& s, const X87Reg& a, const X87Reg& b, bool quiet);
// Square root, rounding, and the transcendental and partial instructions, by ModRM byte of D9 F0..FF. `b` is ST(1).
struct Special {
  X87Reg st0, st1;
  bool writes_st1 = false, pushes = false, pops = false;
  u16 conditions = 0;
  u32 flags = 0;
};
Special special(const X86State& s, u8 modrm, const X87Reg& a, const X87Reg& b);

}  // namespace x87
}  // namespace doppel::x86

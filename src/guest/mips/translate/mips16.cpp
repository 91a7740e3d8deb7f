#include "guest/mips/translate/mips16.h"

#include <array>

namespace doppel::mips {
namespace {

// What SAVE and RESTORE name (MD00076, SAVE): registers below the frame's top in their order from it downwards, and
// how many of a0 to a3 SAVE puts above it.
struct Frame {
  bool save = false;
  u32 bytes = 0;
  unsigned arguments = 0, count = 0;
  std::array<u8, 16> regs{};
  void push(unsigned reg) { regs[count++] = static_cast<u8>(reg); }
};

Frame frame_of(const Half& half) {
  static constexpr u8 kArguments[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 3, 3, 4, 0};
  static constexpr u8 kStatics[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 4, 0, 1, 0, 0};
  const u32 w = half.word, aregs = half.first & 15, xsregs = half.first >> 8 & 7;
  Frame f;
  f.save = w >> 7 & 1;
  f.bytes = ((half.first & 0xf0) | (w & 15)) * 8;
  if (!half.extended && f.bytes == 0) f.bytes = 128;
  f.arguments = kArguments[aregs];
  if (w >> 6 & 1) f.push(RA);
  if (xsregs == 7) f.push(30);
  for (unsigned n = xsregs == 7 ? 6 : xsregs; n > 0; n--) f.push(17 + n);  // s7 to s2
  if (w >> 4 & 1) f.push(17);
  if (w >> 5 & 1) f.push(16);
  for (unsigned i = 0; i < kStatics[aregs]; i++) f.push(7 - i);  // a3 downwards
  return f;
}

}  // namespace

void tr_pc_relative16(Translator& t, const Insn16& in, u64 pc) {
  const u64 address = (pc & ~u64{3}) + static_cast<u64>(s64{in.immediate});
  if (in.word == 0) return t.set_gpr32(in.rx, t.k32(address));
  t.set_gpr32(in.rx, t.load(Type::I32, {t.k32(address), 0}));
}

// SP and the registers are written when nothing can fault any more.
void tr_save_restore16(Translator& t, const Half& half) {
  const Frame f = frame_of(half);
  const Value sp = t.gpr32(SP);
  if (f.save) {
    for (unsigned i = 0; i < f.arguments; i++) t.store({sp, 4 * i}, t.gpr32(4 + i));
    for (unsigned i = 0; i < f.count; i++) t.store({sp, -4 * (s64{i} + 1)}, t.gpr32(f.regs[i]));
    return t.set_gpr32(SP, t.b.addi(sp, 0u - f.bytes));
  }
  const Value top = t.b.addi(sp, f.bytes);
  std::array<Value, 16> values{};
  for (unsigned i = 0; i < f.count; i++) values[i] = t.load(Type::I32, {top, -4 * (s64{i} + 1)});
  for (unsigned i = 0; i < f.count; i++) t.set_gpr32(f.regs[i], values[i]);
  t.set_gpr32(SP, top);
}

u64 jal_target16(const Half& half, u64 pc) {
  const u64 target = u64{half.first & 0x1f} << 23 | u64{half.first >> 5 & 0x1f} << 18 | u64{half.word} << 2;
  const bool exchanges = half.first >> 10 & 1;
  return ((pc + 4) & 0xf0000000) | target | (exchanges ? 0 : 1);
}

}  // namespace doppel::mips

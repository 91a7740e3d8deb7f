// The decode tables: every row decodes from an encoding made from it, no row is shadowed by an earlier one, and
// lengths, operands, addressing and prefixes of hand-picked encodings are right.
#include "guest/x86/decode/decode.h"

#include <gtest/gtest.h>

#include <initializer_list>

namespace doppel::x86 {
namespace {

constexpr u64 k16 = 0, k32 = kModeCs32 | kModePe, k64 = kModeCs64 | kModePe | kModeLma;

CpuModel everything() {
  CpuModel m;
  for (u32& f : m.features) f = ~u32{0};
  return m;
}

struct Bytes {
  u8 b[32] = {};
  size_t n = 0;
  void put(unsigned v) { b[n++] = static_cast<u8>(v); }
};

// An encoding of the row: required prefixes, opcode, a ModRM byte that fits, zero immediates.
Bytes encode(const Row& r) {
  Bytes out;
  if (r.prefix == OpPrefix::P66) out.put(0x66);
  if (r.prefix == OpPrefix::PF3) out.put(0xf3);
  if (r.prefix == OpPrefix::PF2) out.put(0xf2);
  if (r.attrs & W1) out.put(0x48);
  if (r.map != Map::M1) out.put(0x0f);
  if (r.map == Map::M38) out.put(0x38);
  if (r.map == Map::M3A) out.put(0x3a);
  out.put(r.opcode);
  unsigned modrm = 0x00;  // [rAX]
  bool reg_only = r.ext == ExtKind::RegReg || r.ext == ExtKind::RegAny;
  for (const Opd o : r.operand)
    reg_only |= o == Opd::Rd || o == Opd::Ry || o == Opd::Rv || o == Opd::Nq || o == Opd::Ux;
  if (reg_only) modrm = 0xc0;
  if (r.ext == ExtKind::Reg || r.ext == ExtKind::MemReg || r.ext == ExtKind::RegReg) modrm |= r.ext_value << 3;
  if (r.ext == ExtKind::Byte) modrm = r.ext_value;
  out.put(modrm);  // the first immediate byte where there is no ModRM
  out.n = 20;
  return out;
}

class DecodeTest : public ::testing::Test {
 protected:
  DecodeTest() : model(everything()), decoder(model) {}
  Insn ok(u64 mode, std::initializer_list<unsigned> list, u64 pc = 0x1000) {
    Insn in;
    EXPECT_EQ(status(mode, list, in, pc), DecodeStatus::Ok);
    EXPECT_EQ(in.length, list.size());
    return in;
  }
  DecodeStatus status(u64 mode, std::initializer_list<unsigned> list, Insn& in, u64 pc = 0x1000) {
    Bytes b;
    for (const unsigned v : list) b.put(v);
    return decoder.decode(b.b, b.n, pc, mode, in);
  }
  DecodeStatus status(u64 mode, std::initializer_list<unsigned> list) {
    Insn in;
    return status(mode, list, in);
  }
  CpuModel model;
  Decoder decoder;
};

TEST_F(DecodeTest, EveryRowDecodesToItself) {
  for (size_t i = 0; i < row_count(); i++) {
    const Row& r = row(i);
    const Bytes b = encode(r);
    Insn in;
    const u64 mode = (r.attrs & ONLY64) ? k64 : k32;
    ASSERT_EQ(decoder.decode(b.b, b.n, 0, (r.attrs & W1) ? k64 : mode, in), DecodeStatus::Ok)
        << "row " << i << " " << mnemonic_name(r.mnemonic) << " opcode " << std::hex << unsigned{r.opcode};
    // Rows that differ only in their feature give the same mnemonic.
    EXPECT_EQ(in.mnemonic, r.mnemonic) << "row " << i << " " << mnemonic_name(r.mnemonic) << " is shadowed by "
                                       << mnemonic_name(in.mnemonic) << " opcode " << std::hex << unsigned{r.opcode};
  }
}

TEST_F(DecodeTest, RandomBytesNeverReadTooFar) {
  u64 seed = 1;
  for (int i = 0; i < 200000; i++) {
    u8 bytes[15];
    for (u8& byte : bytes) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<u8>(seed >> 56);
    }
    const u64 mode = i % 3 == 0 ? k16 : i % 3 == 1 ? k32 : k64;
    Insn whole;
    if (decoder.decode(bytes, 15, 0, mode, whole) != DecodeStatus::Ok) continue;
    ASSERT_GE(whole.length, 1);
    ASSERT_LE(whole.length, 15);
    Insn part;
    ASSERT_EQ(decoder.decode(bytes, whole.length, 0, mode, part), DecodeStatus::Ok);
    ASSERT_EQ(decoder.decode(bytes, whole.length - 1u, 0, mode, part), DecodeStatus::NeedMore);
  }
}

TEST_F(DecodeTest, OperandSizes) {
  EXPECT_EQ(ok(k32, {0x01, 0xd8}).opsize, 4);
  EXPECT_EQ(ok(k32, {0x66, 0x01, 0xd8}).opsize, 2);
  EXPECT_EQ(ok(k16, {0x01, 0xd8}).opsize, 2);
  EXPECT_EQ(ok(k16, {0x66, 0x01, 0xd8}).opsize, 4);
  EXPECT_EQ(ok(k64, {0x48, 0x01, 0xd8}).opsize, 8);
  EXPECT_EQ(ok(k64, {0x66, 0x48, 0x01, 0xd8}).opsize, 8);
  EXPECT_EQ(ok(k64, {0x50}).opsize, 8);
  EXPECT_EQ(ok(k64, {0x66, 0x50}).opsize, 2);
  EXPECT_EQ(ok(k64, {0x66, 0xe8, 0, 0, 0, 0}).opsize, 8);
}

TEST_F(DecodeTest, RexOnlyCountsLast) {
  EXPECT_EQ(ok(k64, {0x48, 0x66, 0x01, 0xd8}).opsize, 2);
  EXPECT_EQ(ok(k64, {0x40, 0x88, 0xe0}).op[1].kind, OpKind::Reg);  // SPL
  EXPECT_EQ(ok(k64, {0x88, 0xe0}).op[1].kind, OpKind::RegHigh);    // AH
  EXPECT_EQ(ok(k64, {0x4d, 0x01, 0xc0}).op[0].reg, R8);
}

TEST_F(DecodeTest, Addresses) {
  Insn in = ok(k64, {0x48, 0x8b, 0x05, 0x10, 0, 0, 0}, 0x1000);  // mov rax, [rip+0x10]
  EXPECT_EQ(in.mem.disp, 0x1017);
  in = ok(k64, {0xc7, 0x05, 0x10, 0, 0, 0, 1, 2, 3, 4}, 0x1000);  // the immediate counts
  EXPECT_EQ(in.mem.disp, 0x101a);
  in = ok(k32, {0x8b, 0x44, 0x8d, 0xf0});  // [ebp+ecx*4-16]
  EXPECT_EQ(in.mem.base, RBP);
  EXPECT_EQ(in.mem.index, RCX);
  EXPECT_EQ(in.mem.scale, 2);
  EXPECT_EQ(in.mem.disp, -16);
  EXPECT_EQ(in.mem.seg, SS);
  in = ok(k32, {0x8b, 0x04, 0x25, 0x78, 0x56, 0x34, 0x12});  // SIB without base or index
  EXPECT_EQ(in.mem.base, kNoReg);
  EXPECT_EQ(in.mem.index, kNoReg);
  EXPECT_EQ(in.mem.seg, DS);
  in = ok(k64, {0x4a, 0x8b, 0x04, 0x20});  // R12 is an index
  EXPECT_EQ(in.mem.index, R12);
  in = ok(k64, {0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0});  // gs:[0]
  EXPECT_EQ(in.mem.seg, GS);
  in = ok(k16, {0x8b, 0x42, 0x05});  // [bp+si+5]
  EXPECT_EQ(in.mem.base, RBP);
  EXPECT_EQ(in.mem.index, RSI);
  EXPECT_EQ(in.mem.seg, SS);
  in = ok(k16, {0xa1, 0x34, 0x12});
  EXPECT_EQ(in.mem.disp, 0x1234);
  in = ok(k64, {0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(static_cast<u64>(in.mem.disp), 0x0807060504030201u);
}

TEST_F(DecodeTest, BranchTargets) {
  EXPECT_EQ(ok(k64, {0xeb, 0xfe}, 0x1000).target, 0x1000u);
  EXPECT_EQ(ok(k32, {0xe9, 0xfb, 0xff, 0xff, 0xff}, 0xfffffffe).target, 0xfffffffeu);
  EXPECT_EQ(ok(k16, {0xeb, 0x10}, 0xfff8).target, 0x000au);
  EXPECT_EQ(ok(k64, {0x0f, 0x84, 0, 0, 0, 0x80}, 0x1000).target, 0xffffffff80001006u);
}

TEST_F(DecodeTest, LockAndUndefined) {
  EXPECT_EQ(status(k32, {0xf0, 0x01, 0x00}), DecodeStatus::Ok);
  EXPECT_EQ(status(k32, {0xf0, 0x01, 0xc0}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k32, {0xf0, 0x03, 0x00}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k32, {0xf0, 0x39, 0x00}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k64, {0x06}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k64, {0xc4, 0xe2, 0x78, 0xf2, 0xc0}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k32, {0x8d, 0xc0}), DecodeStatus::Invalid);
  EXPECT_EQ(status(k32, {0x0f, 0xff}), DecodeStatus::NeedMore);
  EXPECT_EQ(status(k16, {0x63, 0x00}), DecodeStatus::Invalid);  // ARPL in real mode
}

TEST_F(DecodeTest, FifteenBytes) {
  EXPECT_EQ(status(k32, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}),
            DecodeStatus::Ok);
  EXPECT_EQ(
      status(k32, {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}),
      DecodeStatus::TooLong);
}

TEST_F(DecodeTest, FeaturesChooseRows) {
  Insn in;
  EXPECT_EQ(status(k32, {0xf3, 0x0f, 0xbd, 0xc1}, in), DecodeStatus::Ok);
  EXPECT_EQ(in.mnemonic, Mnemonic::LZCNT);
  CpuModel old;
  old.family = 5;
  const Decoder d(old);
  const u8 lzcnt[] = {0xf3, 0x0f, 0xbd, 0xc1}, cmov[] = {0x0f, 0x44, 0xc1}, cpuid[] = {0x0f, 0xa2};
  EXPECT_EQ(d.decode(lzcnt, 4, 0, k32, in), DecodeStatus::Ok);
  EXPECT_EQ(in.mnemonic, Mnemonic::BSR);
  EXPECT_EQ(d.decode(cmov, 3, 0, k32, in), DecodeStatus::Invalid);
  EXPECT_EQ(d.decode(cpuid, 2, 0, k32, in), DecodeStatus::Ok);
}

}  // namespace
}  // namespace doppel::x86

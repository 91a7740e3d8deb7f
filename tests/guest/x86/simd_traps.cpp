// When SSE and MMX instructions fault: CR0.EM, CR0.TS, CR4.OSFXSR, missing features, alignment, #XM; and the portable
// AES and PCLMULQDQ against published values.
#include <gtest/gtest.h>

#include "fpu/fpu.h"
#include "guest/x86/helpers/simd_crypto_host.h"
#include "guest/x86/simd_translate.h"

namespace doppel::x86::test {
namespace {

constexpr u64 kPlain = kMode;
const Code kAddps{0x0f, 0x58, 0xc1}, kPaddb{0x0f, 0xfc, 0xc1}, kPaddbXmm{0x66, 0x0f, 0xfc, 0xc1},
    kCvtpi2ps{0x0f, 0x2a, 0xc1}, kEmms{0x0f, 0x77}, kMovq2dq{0xf3, 0x0f, 0xd6, 0xc1};

class SimdTraps : public ::testing::Test {
 protected:
  SimdTraps() : model_(model_with_everything()), decoder_(model_) {}
  // The vector an instruction raises at once, or -1.
  int trap(const Code& c, u64 mode) {
    translate_one(c, mode, decoder_, model_, region_);
    for (const ir::Op& op : region_.ops)
      if (op.code == Opcode::call &&
          (op.aux == static_cast<u32>(Helper::raise_vector) || op.aux == static_cast<u32>(Helper::raise_ud)))
        return op.aux == static_cast<u32>(Helper::raise_ud) ? int{UD} : static_cast<int>(region_.ops[op.arg[0]].imm);
    return -1;
  }
  // Alignment (log2) of the memory access of an instruction.
  int alignment(const Code& c) {
    translate_one(c, kPlain, decoder_, model_, region_);
    for (const ir::Op& op : region_.ops)
      if (op.code == Opcode::load || op.code == Opcode::store) return ir::MemInfo::unpack(op.aux).align_log2;
    return -1;
  }
  CpuModel model_;
  Decoder decoder_;
  ir::Region region_;
};

TEST_F(SimdTraps, ControlRegisters) {
  for (const Code& c : {kAddps, kPaddb, kPaddbXmm, kCvtpi2ps, kEmms, kMovq2dq}) {
    EXPECT_EQ(trap(c, kPlain), -1) << hex(c);
    EXPECT_EQ(trap(c, kPlain | kModeTs), NM) << hex(c);
    EXPECT_EQ(trap(c, kPlain | kModeEm), UD) << hex(c);
    EXPECT_EQ(trap(c, kPlain | kModeEm | kModeTs), UD) << hex(c);
  }
  // CR4.OSFXSR is needed by all that touch XMM registers.
  for (const Code& c : {kAddps, kPaddbXmm, kCvtpi2ps, kMovq2dq})
    EXPECT_EQ(trap(c, kPlain & ~u64{kModeOsfxsr}), UD) << hex(c);
  for (const Code& c : {kPaddb, kEmms}) EXPECT_EQ(trap(c, kPlain & ~u64{kModeOsfxsr}), -1) << hex(c);
}

// MMX instructions report pending x87 exceptions; XMM ones do not look at the x87.
TEST_F(SimdTraps, PendingX87) {
  const auto waits = [&](const Code& c) {
    translate_one(c, kPlain | kModeX87Exc, decoder_, model_, region_);
    return region_.ops[1].code == Opcode::call && region_.ops[1].aux == static_cast<u32>(Helper::x87_wait);
  };
  for (const Code& c : {kPaddb, kCvtpi2ps, kEmms, kMovq2dq}) EXPECT_TRUE(waits(c)) << hex(c);
  for (const Code& c : {kAddps, kPaddbXmm}) EXPECT_FALSE(waits(c)) << hex(c);
}

TEST_F(SimdTraps, Alignment) {
  EXPECT_EQ(alignment({0x0f, 0x58, 0x00}), 4);                 // addps xmm0, [rax]
  EXPECT_EQ(alignment({0x66, 0x0f, 0x6f, 0x00}), 4);           // movdqa
  EXPECT_EQ(alignment({0x66, 0x0f, 0xe7, 0x00}), 4);           // movntdq
  EXPECT_EQ(alignment({0x66, 0x0f, 0x38, 0x2a, 0x00}), 4);     // movntdqa
  EXPECT_EQ(alignment({0x0f, 0x14, 0x00}), 4);                 // unpcklps
  EXPECT_EQ(alignment({0x66, 0x0f, 0x38, 0xdc, 0x00}), 4);     // aesenc
  EXPECT_EQ(alignment({0x0f, 0x10, 0x00}), 0);                 // movups
  EXPECT_EQ(alignment({0xf3, 0x0f, 0x7f, 0x00}), 0);           // movdqu store
  EXPECT_EQ(alignment({0xf2, 0x0f, 0xf0, 0x00}), 0);           // lddqu
  EXPECT_EQ(alignment({0x66, 0x0f, 0x3a, 0x63, 0x00, 0}), 0);  // pcmpistri
  EXPECT_EQ(alignment({0xf2, 0x0f, 0x58, 0x00}), 0);           // addsd
  EXPECT_EQ(alignment({0x0f, 0xfc, 0x00}), 0);                 // paddb mm0
}

TEST_F(SimdTraps, Features) {
  CpuModel pentium2;
  pentium2.features[static_cast<size_t>(FeatureWord::L1Edx)] = 1u << 23;  // MMX alone
  const Decoder old(pentium2);
  const auto valid = [&](const Code& c) {
    Insn in;
    return old.decode(c.bytes, c.size, 0, kPlain, in) == DecodeStatus::Ok;
  };
  EXPECT_TRUE(valid(kPaddb));
  EXPECT_TRUE(valid(kEmms));
  EXPECT_FALSE(valid(kAddps));
  EXPECT_FALSE(valid(kPaddbXmm));
  EXPECT_FALSE(valid({0x0f, 0xe0, 0xc1}));        // pavgb mm: came with SSE
  EXPECT_FALSE(valid({0x0f, 0xd4, 0xc1}));        // paddq mm: came with SSE2
  EXPECT_FALSE(valid({0x0f, 0x38, 0x00, 0xc1}));  // pshufb mm: SSSE3
  EXPECT_FALSE(valid({0x66, 0x0f, 0x38, 0xdc, 0xc1}));
}

// FIPS 197, appendix B: the first round of the example, and the same undone.
TEST(SimdCrypto, AesRound) {
  const auto xmm = [](std::initializer_list<unsigned> bytes) {
    Xmm v;
    unsigned i = 0;
    for (const unsigned b : bytes) v.b[i++] = static_cast<u8>(b);
    return v;
  };
  const Xmm start =
      xmm({0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b, 0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08});
  const Xmm key = xmm({0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1, 0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05});
  const Xmm after =
      xmm({0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b, 0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49});
  Xmm v = start;
  soft_aes(AesOp::Enc, v, key);
  EXPECT_EQ(std::memcmp(&v, &after, 16), 0);
}

TEST(SimdCrypto, PortableEqualsHost) {
  u64 seed = 0x9e3779b97f4a7c15;
  const auto next = [&] { return seed = seed * 6364136223846793005u + 1442695040888963407u; };
  for (unsigned i = 0; i < 400; ++i) {
    Xmm a, b;
    for (unsigned k = 0; k < 2; ++k) {
      a.d[k] = next() ^ (next() >> 32);
      b.d[k] = next() ^ (next() >> 32);
    }
    for (const AesOp op : {AesOp::Enc, AesOp::EncLast, AesOp::Dec, AesOp::DecLast, AesOp::Imc}) {
      Xmm host = a, soft = a;
      if (!host_aes(op, host, b)) GTEST_SKIP() << "host without AES instructions";
      soft_aes(op, soft, b);
      ASSERT_EQ(std::memcmp(&host, &soft, 16), 0) << static_cast<int>(op);
    }
    Xmm host, soft;
    if (!host_clmul(a.d[0], b.d[0], host)) GTEST_SKIP() << "host without PCLMULQDQ";
    soft_clmul(a.d[0], b.d[0], soft);
    ASSERT_EQ(std::memcmp(&host, &soft, 16), 0);
  }
}

}  // namespace
}  // namespace doppel::x86::test

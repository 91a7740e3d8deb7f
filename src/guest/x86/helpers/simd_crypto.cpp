// Helpers of AESENC and its kin (SDM vol. 1, 12.13; FIPS 197) and PCLMULQDQ: by the host's instructions if it has them,
// else by tables computed at compile time.
#include <array>

#include "guest/x86/helpers/simd_crypto_host.h"
#include "guest/x86/helpers/table.h"

namespace doppel::x86 {
namespace {

constexpr u8 times2(u8 v) { return static_cast<u8>((v << 1) ^ ((v & 0x80) ? 0x1b : 0)); }
constexpr u8 multiply(u8 a, u8 b) {
  u8 r = 0;
  for (; b != 0; b >>= 1, a = times2(a))
    if (b & 1) r ^= a;
  return r;
}

struct Tables {
  std::array<u8, 256> sbox{}, inverse{};
  // One column of MixColumns for a byte in row 0, S-box applied (and the same of the inverse cipher); mix: without
  // S-box.
  std::array<u32, 256> encrypt{}, decrypt{}, mix{};
  constexpr Tables() {
    u8 p = 1, q = 1;  // p runs through all nonzero bytes, q is its inverse: generator 3
    do {
      p = static_cast<u8>(p ^ times2(p));
      q = static_cast<u8>(q ^ (q << 1));
      q = static_cast<u8>(q ^ (q << 2));
      q = static_cast<u8>(q ^ (q << 4));
      if (q & 0x80) q ^= 0x09;
      const u8 x = static_cast<u8>(q ^ std::rotl(q, 1) ^ std::rotl(q, 2) ^ std::rotl(q, 3) ^ std::rotl(q, 4) ^ 0x63);
      sbox[p] = x;
      inverse[x] = p;
    } while (p != 1);
    sbox[0] = 0x63;
    inverse[0x63] = 0;
    for (unsigned i = 0; i < 256; ++i) {
      const u8 s = sbox[i];
      encrypt[i] = u32{multiply(s, 2)} | u32{s} << 8 | u32{s} << 16 | u32{multiply(s, 3)} << 24;
      decrypt[i] = unmix(inverse[i]);
      mix[i] = unmix(static_cast<u8>(i));
    }
  }
  static constexpr u32 unmix(u8 v) {
    return u32{multiply(v, 14)} | u32{multiply(v, 9)} << 8 | u32{multiply(v, 13)} << 16 | u32{multiply(v, 11)} << 24;
  }
};
constexpr Tables kTables;
static_assert(kTables.sbox[0x53] == 0xed && kTables.inverse[0xed] == 0x53);

// One round on columns: `direction` 1 takes rows from columns to the right (ShiftRows), -1 from the left
// (InvShiftRows).
Xmm round(const Xmm& state, const Xmm& key, const std::array<u32, 256>& column, int direction) {
  Xmm r;
  for (int c = 0; c < 4; ++c) {
    u32 w = 0;
    for (int row = 0; row < 4; ++row) w ^= std::rotl(column[state.b[row + 4 * ((c + direction * row) & 3)]], 8 * row);
    r.w[c] = w ^ key.w[c];
  }
  return r;
}
Xmm last_round(const Xmm& state, const Xmm& key, const std::array<u8, 256>& box, int direction) {
  Xmm r;
  for (int c = 0; c < 4; ++c)
    for (int row = 0; row < 4; ++row)
      r.b[row + 4 * c] = box[state.b[row + 4 * ((c + direction * row) & 3)]] ^ key.b[row + 4 * c];
  return r;
}
u32 substitute(u32 w) {
  u32 r = 0;
  for (unsigned i = 0; i < 4; ++i) r |= u32{kTables.sbox[(w >> (8 * i)) & 0xff]} << (8 * i);
  return r;
}

}  // namespace

// Portable: the reference of the tests, and what hosts without such instructions run.
void soft_aes(AesOp op, Xmm& v, const Xmm& key) {
  switch (op) {
    case AesOp::Enc: v = round(v, key, kTables.encrypt, 1); return;
    case AesOp::EncLast: v = last_round(v, key, kTables.sbox, 1); return;
    case AesOp::Dec: v = round(v, key, kTables.decrypt, -1); return;
    case AesOp::DecLast: v = last_round(v, key, kTables.inverse, -1); return;
    case AesOp::Imc: break;
  }
  for (unsigned c = 0; c < 4; ++c) {
    u32 w = 0;
    for (unsigned row = 0; row < 4; ++row) w ^= std::rotl(kTables.mix[key.b[row + 4 * c]], static_cast<int>(8 * row));
    v.w[c] = w;
  }
}
void soft_clmul(u64 a, u64 b, Xmm& product) {
  u128 multiple[16] = {};  // four bits of b a step
  for (unsigned i = 1; i < 16; ++i) multiple[i] = (multiple[i >> 1] << 1) ^ (i & 1 ? u128{a} : u128{0});
  u128 r = 0;
  for (int shift = 60; shift >= 0; shift -= 4) r = (r << 4) ^ multiple[(b >> shift) & 15];
  product.d[0] = static_cast<u64>(r);
  product.d[1] = static_cast<u64>(r >> 64);
}

namespace {
u64 aes(X86State* s, AesOp op) {
  if (!host_aes(op, s->vtemp[0], s->vtemp[1])) soft_aes(op, s->vtemp[0], s->vtemp[1]);
  return 0;
}
}  // namespace

u64 helper_aesenc(X86State* s) { return aes(s, AesOp::Enc); }
u64 helper_aesenclast(X86State* s) { return aes(s, AesOp::EncLast); }
u64 helper_aesdec(X86State* s) { return aes(s, AesOp::Dec); }
u64 helper_aesdeclast(X86State* s) { return aes(s, AesOp::DecLast); }
u64 helper_aesimc(X86State* s) { return aes(s, AesOp::Imc); }

u64 helper_aeskeygenassist(X86State* s, u64 imm) {
  const u32 x1 = substitute(s->vtemp[1].w[1]), x3 = substitute(s->vtemp[1].w[3]);
  const u32 rcon = static_cast<u8>(imm);
  Xmm r;
  r.w[0] = x1;
  r.w[1] = std::rotr(x1, 8) ^ rcon;
  r.w[2] = x3;
  r.w[3] = std::rotr(x3, 8) ^ rcon;
  s->vtemp[0] = r;
  return 0;
}

u64 helper_pclmulqdq(X86State* s, u64 imm) {
  const u64 a = s->vtemp[0].d[imm & 1], b = s->vtemp[1].d[(imm >> 4) & 1];
  if (!host_clmul(a, b, s->vtemp[0])) soft_clmul(a, b, s->vtemp[0]);
  return 0;
}

}  // namespace doppel::x86

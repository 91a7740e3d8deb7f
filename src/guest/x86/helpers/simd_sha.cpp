// Helpers of the SHA extensions (SDM vol. 2, SHA1RNDS4 to SHA256MSG2; FIPS 180-4) and of SSE4A's bit fields (AMD APM
// vol. 4, EXTRQ).
#include "guest/x86/decode/decode.h"
#include "guest/x86/helpers/table.h"

namespace doppel::x86 {
namespace {

u32 sigma0(u32 x) { return std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3); }
u32 sigma1(u32 x) { return std::rotr(x, 17) ^ std::rotr(x, 19) ^ (x >> 10); }

Xmm sha1_rounds(const Xmm& a, const Xmm& b, unsigned function) {
  static constexpr u32 kConstant[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  u32 A = a.w[3], B = a.w[2], C = a.w[1], D = a.w[0], E = 0;  // E comes added to the first word
  for (unsigned i = 0; i < 4; ++i) {
    u32 f;
    if (function == 0)
      f = (B & C) ^ (~B & D);
    else if (function == 2)
      f = (B & C) ^ (B & D) ^ (C & D);
    else
      f = B ^ C ^ D;
    const u32 next = f + std::rotl(A, 5) + b.w[3 - i] + E + kConstant[function];
    E = D;
    D = C;
    C = std::rotl(B, 30);
    B = A;
    A = next;
  }
  Xmm r;
  r.w[3] = A;
  r.w[2] = B;
  r.w[1] = C;
  r.w[0] = D;
  return r;
}

Xmm sha256_rounds(const Xmm& cdgh, const Xmm& abef, const Xmm& wk) {
  u32 A = abef.w[3], B = abef.w[2], C = cdgh.w[3], D = cdgh.w[2], E = abef.w[1], F = abef.w[0], G = cdgh.w[1],
      H = cdgh.w[0];
  for (unsigned i = 0; i < 2; ++i) {
    const u32 t1 = ((E & F) ^ (~E & G)) + (std::rotr(E, 6) ^ std::rotr(E, 11) ^ std::rotr(E, 25)) + wk.w[i] + H;
    const u32 t2 = ((A & B) ^ (A & C) ^ (B & C)) + (std::rotr(A, 2) ^ std::rotr(A, 13) ^ std::rotr(A, 22));
    H = G;
    G = F;
    F = E;
    E = D + t1;
    D = C;
    C = B;
    B = A;
    A = t1 + t2;
  }
  Xmm r;
  r.w[3] = A;
  r.w[2] = B;
  r.w[1] = E;
  r.w[0] = F;
  return r;
}

}  // namespace

u64 helper_sha(X86State* s, u64 mnemonic, u64 imm) {
  const Xmm a = s->vtemp[0], b = s->vtemp[1];
  Xmm r = a;
  switch (static_cast<Mnemonic>(mnemonic)) {
    case Mnemonic::SHA1RNDS4: r = sha1_rounds(a, b, imm & 3); break;
    case Mnemonic::SHA1NEXTE:
      r = b;
      r.w[3] += std::rotl(a.w[3], 30);
      break;
    case Mnemonic::SHA1MSG1:
      r.w[3] = a.w[1] ^ a.w[3];
      r.w[2] = a.w[0] ^ a.w[2];
      r.w[1] = b.w[3] ^ a.w[1];
      r.w[0] = b.w[2] ^ a.w[0];
      break;
    case Mnemonic::SHA1MSG2:
      for (unsigned i = 3; i > 0; --i) r.w[i] = std::rotl(a.w[i] ^ b.w[i - 1], 1);
      r.w[0] = std::rotl(a.w[0] ^ r.w[3], 1);
      break;
    case Mnemonic::SHA256RNDS2: r = sha256_rounds(a, b, s->vtemp[2]); break;
    case Mnemonic::SHA256MSG1:
      for (unsigned i = 0; i < 4; ++i) r.w[i] = a.w[i] + sigma0(i == 3 ? b.w[0] : a.w[i + 1]);
      break;
    case Mnemonic::SHA256MSG2:
      r.w[0] = a.w[0] + sigma1(b.w[2]);
      r.w[1] = a.w[1] + sigma1(b.w[3]);
      r.w[2] = a.w[2] + sigma1(r.w[0]);
      r.w[3] = a.w[3] + sigma1(r.w[1]);
      break;
    default: break;
  }
  s->vtemp[0] = r;
  return 0;
}

// Length 0 means 64; what lies beyond bit 63 is undefined and taken as zeros (or not inserted).
u64 helper_extrq(X86State*, u64 value, u64 length, u64 index) {
  length &= 63;
  index &= 63;
  return (value >> index) & mask_bits(length ? static_cast<unsigned>(length) : 64);
}
u64 helper_insertq(X86State*, u64 value, u64 field, u64 length, u64 index) {
  length &= 63;
  index &= 63;
  const u64 mask = mask_bits(length ? static_cast<unsigned>(length) : 64) << index;
  return (value & ~mask) | ((field << index) & mask);
}

}  // namespace doppel::x86

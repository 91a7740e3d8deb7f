// AES-NI and PCLMULQDQ of an x86-64 host, found at run time. Other hosts: none.
#include "guest/x86/helpers/simd_crypto_host.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace doppel::x86 {
namespace {

__m128i load(const Xmm& v) { return _mm_load_si128(reinterpret_cast<const __m128i*>(&v)); }
void save(Xmm& v, __m128i x) { _mm_store_si128(reinterpret_cast<__m128i*>(&v), x); }

__attribute__((target("aes"))) void aes(AesOp op, Xmm& v, const Xmm& key) {
  switch (op) {
    case AesOp::Enc: save(v, _mm_aesenc_si128(load(v), load(key))); break;
    case AesOp::EncLast: save(v, _mm_aesenclast_si128(load(v), load(key))); break;
    case AesOp::Dec: save(v, _mm_aesdec_si128(load(v), load(key))); break;
    case AesOp::DecLast: save(v, _mm_aesdeclast_si128(load(v), load(key))); break;
    case AesOp::Imc: save(v, _mm_aesimc_si128(load(key))); break;
  }
}
__attribute__((target("pclmul"))) void clmul(u64 a, u64 b, Xmm& product) {
  save(product,
       _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<s64>(a)), _mm_cvtsi64_si128(static_cast<s64>(b)), 0));
}

}  // namespace

bool host_aes(AesOp op, Xmm& v, const Xmm& key) {
  static const bool available = __builtin_cpu_supports("aes");
  if (available) aes(op, v, key);
  return available;
}
bool host_clmul(u64 a, u64 b, Xmm& product) {
  static const bool available = __builtin_cpu_supports("pclmul");
  if (available) clmul(a, b, product);
  return available;
}

}  // namespace doppel::x86
#else
namespace doppel::x86 {
bool host_aes(AesOp, Xmm&, const Xmm&) { return false; }
bool host_clmul(u64, u64, Xmm&) { return false; }
}  // namespace doppel::x86
#endif

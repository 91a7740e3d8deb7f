// AES rounds and carry-less multiplication by the host's own instructions, where it has them (simd_crypto_x64.cpp).
#pragma once
#include "guest/x86/state.h"

namespace doppel::x86 {

enum class AesOp : u8 { Enc, EncLast, Dec, DecLast, Imc };
// v = op(v, key); Imc looks at key only. False: the host can't.
bool host_aes(AesOp op, Xmm& v, const Xmm& key);
bool host_clmul(u64 a, u64 b, Xmm& product);
// The same in portable code (simd_crypto.cpp).
void soft_aes(AesOp op, Xmm& v, const Xmm& key);
void soft_clmul(u64 a, u64 b, Xmm& product);

}  // namespace doppel::x86

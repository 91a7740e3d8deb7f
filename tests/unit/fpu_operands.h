// Operands for the soft-float tests: the edges of each format, then random values of several shapes. Deterministic.
#pragma once
#include <random>
#include <vector>

#include "fpu/fpu.h"

namespace doppel::fpu::test {

template <typename F>
struct Shape;
template <>
struct Shape<f32> {
  static constexpr unsigned kFraction = 23, kExp = 8;
};
template <>
struct Shape<f64> {
  static constexpr unsigned kFraction = 52, kExp = 11;
};

template <typename F>
F make(u64 sign, u64 exp, u64 fraction) {
  if constexpr (std::is_same_v<F, f80>) {
    return {fraction, static_cast<u16>(sign << 15 | (exp & 0x7fff))};
  } else {
    using S = Shape<F>;
    return static_cast<F>(sign << (S::kFraction + S::kExp) | (exp & mask_bits(S::kExp)) << S::kFraction |
                          (fraction & mask_bits(S::kFraction)));
  }
}

template <typename F>
class Operands {
 public:
  explicit Operands(u64 seed) : rng_(seed) {
    constexpr bool x87 = std::is_same_v<F, f80>;
    u64 bias = 16383, top = 0x7fff, fraction_bits = 63, one = u64{1} << 63;
    if constexpr (!x87) {
      bias = mask_bits(Shape<F>::kExp - 1);
      top = mask_bits(Shape<F>::kExp);
      fraction_bits = Shape<F>::kFraction;
      one = 0;
    }
    const u64 all = mask_bits(static_cast<unsigned>(fraction_bits)), quiet = u64{1} << (fraction_bits - 1);
    for (u64 s : {0, 1}) {
      for (u64 f : {u64{0}, u64{1}, u64{2}, quiet, all, all - 1, quiet - 1}) edges_.push_back(make<F>(s, 0, f));
      for (u64 f : {u64{0}, u64{1}, quiet, quiet | 1, quiet | 5, all, quiet - 1})
        edges_.push_back(make<F>(s, top, f | one));
      for (u64 e : {u64{1}, u64{2}, bias - 1, bias, bias + 1, bias + 31, bias + 63, bias + fraction_bits, top - 1,
                    top - 2, bias / 2, bias + bias / 2})
        for (u64 f : {u64{0}, u64{1}, quiet, all}) edges_.push_back(make<F>(s, e, f | one));
      if (x87) {
        edges_.push_back(make<F>(s, 0, one));  // pseudo-denormal
        edges_.push_back(make<F>(s, 0, one | 1));
        edges_.push_back(make<F>(s, 5, all));  // unnormal
        edges_.push_back(make<F>(s, bias, quiet));
        edges_.push_back(make<F>(s, top, 0));          // pseudo-infinity
        edges_.push_back(make<F>(s, top, quiet | 1));  // pseudo-NaN
      }
    }
  }
  F next() {
    const u64 r = rng_();
    if (r % 5 < 2) return edges_[(r >> 8) % edges_.size()];
    u64 fraction = rng_();
    if (r & 0x100) fraction &= rng_() & rng_();
    if (r & 0x200) fraction &= ~mask_bits(static_cast<unsigned>(rng_() % 60));
    if (r & 0x400) fraction |= mask_bits(static_cast<unsigned>(rng_() % 60));
    u64 exp = rng_();
    u64 bias = 16383, span = 32767;
    if constexpr (!std::is_same_v<F, f80>) {
      bias = mask_bits(Shape<F>::kExp - 1);
      span = mask_bits(Shape<F>::kExp);
    }
    if ((r >> 16) % 4 == 0)
      exp = bias - 3 + exp % 7;
    else if ((r >> 16) % 4 == 1)
      exp = bias - 70 + exp % 140;
    else if ((r >> 16) % 4 == 2)
      exp = (exp & 1) ? exp % 20 : span - exp % 20;
    if constexpr (std::is_same_v<F, f80>) {
      if ((r >> 24) % 16 != 0 && (exp & 0x7fff) != 0) fraction |= u64{1} << 63;
    }
    return make<F>(r >> 63, exp, fraction);
  }
  u64 random() { return rng_(); }

 private:
  std::mt19937_64 rng_;
  std::vector<F> edges_;
};

}  // namespace doppel::fpu::test

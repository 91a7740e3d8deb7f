#include "base/hash64.h"

#include <bit>

namespace doppel {
namespace {
constexpr u64 kPrime1 = 0x9e3779b185ebca87, kPrime2 = 0xc2b2ae3d27d4eb4f, kPrime3 = 0x165667b19e3779f9,
              kPrime4 = 0x85ebca77c2b2ae63, kPrime5 = 0x27d4eb2f165667c5;
constexpr size_t kStripe = 32;

u64 round(u64 acc, u64 lane) { return std::rotl(acc + lane * kPrime2, 31) * kPrime1; }
u64 merge(u64 acc, u64 lane) { return (acc ^ round(0, lane)) * kPrime1 + kPrime4; }

// Whole stripes of 32 bytes, in four lanes.
u64 stripes(const u8*& at, const u8* end, u64 seed) {
  u64 a = seed + kPrime1 + kPrime2, b = seed + kPrime2, c = seed, d = seed - kPrime1;
  for (; end - at >= static_cast<std::ptrdiff_t>(kStripe); at += kStripe) {
    a = round(a, load_le<u64>(at));
    b = round(b, load_le<u64>(at + 8));
    c = round(c, load_le<u64>(at + 16));
    d = round(d, load_le<u64>(at + 24));
  }
  u64 acc = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
  for (const u64 lane : {a, b, c, d}) acc = merge(acc, lane);
  return acc;
}
}  // namespace

u64 hash64(std::span<const u8> data, u64 seed) {
  const u8 *at = data.data(), *end = at + data.size();
  u64 acc = data.size() >= kStripe ? stripes(at, end, seed) : seed + kPrime5;
  acc += data.size();
  for (; end - at >= 8; at += 8) acc = std::rotl(acc ^ round(0, load_le<u64>(at)), 27) * kPrime1 + kPrime4;
  if (end - at >= 4) {
    acc = std::rotl(acc ^ load_le<u32>(at) * kPrime1, 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at != end; at++) acc = std::rotl(acc ^ *at * kPrime5, 11) * kPrime1;
  acc = (acc ^ acc >> 33) * kPrime2;
  acc = (acc ^ acc >> 29) * kPrime3;
  return acc ^ acc >> 32;
}

}  // namespace doppel

// Strong address types: a guest's virtual and physical addresses never mix with each other or with host pointers.
#pragma once
#include <compare>
#include <cstdint>

namespace doppel {
struct GuestVA {
  uint64_t v = 0;
  auto operator<=>(const GuestVA&) const = default;
};
struct GuestPA {
  uint64_t v = 0;
  auto operator<=>(const GuestPA&) const = default;
};
}  // namespace doppel

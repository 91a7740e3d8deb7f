#include "coverage.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace {
constexpr size_t kSize = 1 << 16;
std::array<std::uint8_t, kSize> hits, known;  // known: a bit for each class of counts
// Plain memory: code that is instrumented runs before and after everything else here.
std::uint32_t touched_list[kSize];
size_t touched_count;
std::vector<std::uint32_t> remembered;
std::uintptr_t before;
bool called;

std::span<const std::uint32_t> touched() { return {touched_list, touched_count}; }

std::uint8_t count_class(std::uint8_t n) {
  return n < 4 ? static_cast<std::uint8_t>(1 << n >> 1) : n < 8 ? 8 : n < 32 ? 16 : n < 128 ? 32 : 64;
}
}  // namespace

// Called by instrumented code at every edge.
extern "C" void __sanitizer_cov_trace_pc() {
  const auto pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));  // SAFETY: only a number
  const size_t at = (pc ^ before << 3) % kSize;
  before = pc >> 1;
  called = true;
  if (hits[at] == 0) touched_list[touched_count++] = static_cast<std::uint32_t>(at);
  if (hits[at] < 255) hits[at]++;
}

namespace doppel::fuzz {

void coverage_begin() {
  for (const auto at : touched()) hits[at] = 0;
  touched_count = 0;
  before = 0;
}

size_t coverage_new() {
  size_t n = 0;
  for (const auto at : touched()) {
    const std::uint8_t c = count_class(hits[at]);
    if ((known[at] & c) != 0) continue;
    known[at] |= c;
    n++;
  }
  return n;
}

size_t coverage_fresh_branches() {
  size_t n = 0;
  for (const auto at : touched()) n += known[at] == 0;
  return n;
}

void coverage_forget() { known = {}; }

size_t coverage_branches() {
  size_t n = 0;
  for (const auto k : known) n += k != 0;
  return n;
}

bool coverage_available() { return called; }

void coverage_remember() { remembered.assign(touched().begin(), touched().end()); }

bool coverage_keeps() {
  for (const auto at : remembered) {
    if (hits[at] == 0) return false;
  }
  return true;
}

}  // namespace doppel::fuzz

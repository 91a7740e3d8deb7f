// A case of the device fuzzer: a list of steps, as numbers and as a line of text (the form of the corpus).
#pragma once
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"

namespace doppel::fuzz {

// What a step does to the device, and what its fields mean there.
enum class Action : u8 {
  Read,    // window `target`, `offset`, size 1 << `width`
  Write,   // the same, `value`
  Memory,  // guest memory at `offset`: `value`, size 1 << `width`
  Time,    // `value` nanoseconds pass
  State,   // `target`: 0 reset, 1 save and load, 2 sleep and wake, 3 a tampered state
  Drive,   // what the family's driver does: `target` says what, `offset` and `value` how
  Count
};

struct Step {
  Action action = Action::Read;
  u8 target = 0, width = 0;
  u32 offset = 0;
  u64 value = 0;
  bool operator==(const Step&) const = default;
};
using Case = std::vector<Step>;

constexpr size_t kMaxSteps = 300;

// "R3.2:38 W0.2:400=fa ...": action, target, width, offset, value; all hexadecimal.
std::string to_text(const Case& c);
std::optional<Case> from_text(std::string_view text);

Step random_step(std::mt19937_64& random);
// One to eight changes; `other`: a case to take steps from.
Case mutated(const Case& c, const Case& other, std::mt19937_64& random);

}  // namespace doppel::fuzz

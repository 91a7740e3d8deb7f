#include "case.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

namespace doppel::fuzz {
namespace {

constexpr char kLetters[] = "RWMTSD";

// Numbers that devices treat in a way of their own.
u64 interesting(std::mt19937_64& random) {
  static constexpr u64 kValues[] = {0,          1,           2,
                                    3,          7,           8,
                                    15,         16,          63,
                                    64,         0x7f,        0x80,
                                    0xff,       0x100,       0x1ff,
                                    0x5ea,      0x600,       0xfff,
                                    0x1000,     0x3fff,      0x7fff,
                                    0x8000,     0xfffe,      0xffff,
                                    0x10000,    0xfffff,     0x100000,
                                    0x7fffffff, 0x80000000,  0xfffffffe,
                                    0xffffffff, 0x100000000, 0x7fffffffffffffff,
                                    ~u64{0}};
  switch (random() % 4) {
    case 0: return kValues[random() % std::size(kValues)];
    case 1: return random() & 0xff;
    case 2: return random() & (random() % 2 ? 0xffff : 0xffffffff);
    default: return random();
  }
}

u32 place(std::mt19937_64& random) {
  switch (random() % 3) {
    case 0: return static_cast<u32>(random() & 0x7f);
    case 1: return static_cast<u32>(random() & 0xffff);
    default: return static_cast<u32>(random() & 0xfffff);
  }
}

void change_step(Step& s, std::mt19937_64& random) {
  switch (random() % 9) {
    case 0: s.value = interesting(random); break;
    case 1: s.value ^= u64{1} << (random() & 63); break;
    case 2: s.value += random() % 33 - 16; break;
    case 3: s.value = (s.value & ~(u64{0xff} << 8 * (random() & 7))) | (random() & 0xff) << 8 * (random() & 7); break;
    case 4: s.offset = place(random); break;
    case 5: s.offset ^= 1u << (random() % 20); break;
    case 6: s.target = static_cast<u8>(random() & 15); break;
    case 7: s.width = static_cast<u8>(random() & 3); break;
    default: s = random_step(random);
  }
}

std::ptrdiff_t at(std::mt19937_64& random, size_t size) { return static_cast<std::ptrdiff_t>(random() % size); }

}  // namespace

std::string to_text(const Case& c) {
  std::string text;
  char step[64];
  for (const Step& s : c) {
    std::snprintf(step, sizeof step, "%c%x.%x:%x=%llx ", kLetters[static_cast<size_t>(s.action)], s.target, s.width,
                  s.offset, static_cast<unsigned long long>(s.value));
    text += step;
  }
  if (!text.empty()) text.pop_back();
  return text;
}

std::optional<Case> from_text(std::string_view text) {
  Case c;
  std::istringstream in{std::string(text)};
  for (std::string word; in >> word;) {
    char letter = 0;
    unsigned target = 0, width = 0, offset = 0;
    unsigned long long value = 0;
    if (std::sscanf(word.c_str(), "%c%x.%x:%x=%llx", &letter, &target, &width, &offset, &value) != 5) return {};
    const size_t action = std::string_view(kLetters).find(letter);
    if (action == std::string_view::npos || target > 255 || width > 3) return {};
    c.push_back({static_cast<Action>(action), static_cast<u8>(target), static_cast<u8>(width), offset, value});
  }
  return c;
}

Step random_step(std::mt19937_64& random) {
  Step s;
  const u64 r = random() % 32;
  s.action = r < 14   ? Action::Drive
             : r < 21 ? Action::Write
             : r < 24 ? Action::Read
             : r < 28 ? Action::Memory
             : r < 30 ? Action::Time
                      : Action::State;
  s.target = static_cast<u8>(random() & 15);
  s.width = static_cast<u8>(random() & 3);
  s.offset = place(random);
  s.value = s.action == Action::Time ? random() % 5'000'000 : interesting(random);
  return s;
}

Case mutated(const Case& c, const Case& other, std::mt19937_64& random) {
  Case out = c;
  for (u64 n = 1 + random() % 8; n > 0; n--) {
    const u64 kind = random() % 8;
    if (out.empty() || kind == 0) {
      out.insert(out.begin() + at(random, out.size() + 1), random_step(random));
    } else if (kind == 1) {
      const auto from = at(random, out.size());
      const auto count = std::min<std::ptrdiff_t>(1 + at(random, 4), static_cast<std::ptrdiff_t>(out.size()) - from);
      out.erase(out.begin() + from, out.begin() + from + count);
    } else if (kind == 2 && !other.empty()) {  // a stretch of the other one
      const auto from = at(random, other.size());
      const auto count = std::min<std::ptrdiff_t>(1 + at(random, 16), static_cast<std::ptrdiff_t>(other.size()) - from);
      out.insert(out.begin() + at(random, out.size() + 1), other.begin() + from, other.begin() + from + count);
    } else if (kind == 3) {  // again
      const Step s = out[random() % out.size()];
      out.insert(out.begin() + at(random, out.size() + 1), s);
    } else {
      change_step(out[random() % out.size()], random);
    }
  }
  if (out.size() > kMaxSteps) out.resize(kMaxSteps);
  return out;
}

}  // namespace doppel::fuzz

// Key codes: the number that the window, the monitor and QMP give to a keyboard, named as sendkey has them (keys.def).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::display {

enum class Key : u32 {
  unmapped,
#define KEY(enumerator, name, set1) enumerator,
#include "display/keys.def"
#undef KEY
  Count
};

// Buttons of pointer events.
enum PointerButton : u32 { kButtonLeft = 1, kButtonRight = 2, kButtonMiddle = 4, kButtonSide = 8, kButtonExtra = 16 };

// "unmapped" for a code out of range.
std::string_view key_name(u32 qcode);
// Scan code set 1; 0xe0nn: with the prefix e0; 0: none.
u16 key_set1(u32 qcode);
// A name ("ret", "enter" too) or a set 1 number as sendkey takes it ("0x1c", "0xe01c", "0x9c" for e0 1c).
std::optional<u32> key_from_name(std::string_view name);
// "ctrl-alt-delete" as sendkey takes it: the keys in order. Error: names the key that isn't known.
Result<std::vector<u32>> parse_key_chord(std::string_view chord);
// A character of the US layout: the key and whether shift is held.
struct TypedKey {
  u32 qcode;
  bool shift;
};
std::optional<TypedKey> key_from_character(char c);
std::vector<std::string_view> key_names();

}  // namespace doppel::display

#include "display/input_event.h"

#include <charconv>

namespace doppel::display {
namespace {
struct Row {
  std::string_view name;
  u16 set1;
};
constexpr Row kRows[] = {
    {"unmapped", 0},
#define KEY(enumerator, name, set1) {name, set1},
#include "display/keys.def"
#undef KEY
};
static_assert(std::size(kRows) == static_cast<size_t>(Key::Count));

constexpr u32 code(Key key) { return static_cast<u32>(key); }

// A numeric key of sendkey: bit 7 of a one-byte code stands for the prefix e0.
std::optional<u32> key_from_number(u32 number) {
  const u32 set1 = number < 0x100 && (number & 0x80) ? 0xe000 | (number & 0x7f) : number;
  for (u32 i = 1; i < std::size(kRows); i++) {
    if (kRows[i].set1 == set1) return i;
  }
  return std::nullopt;
}

// The US layout's characters by key, unshifted then shifted.
struct Typed {
  Key key;
  char plain, shifted;
};
constexpr Typed kTyped[] = {
    {Key::k1, '1', '!'},           {Key::k2, '2', '@'},           {Key::k3, '3', '#'},
    {Key::k4, '4', '$'},           {Key::k5, '5', '%'},           {Key::k6, '6', '^'},
    {Key::k7, '7', '&'},           {Key::k8, '8', '*'},           {Key::k9, '9', '('},
    {Key::k0, '0', ')'},           {Key::minus, '-', '_'},        {Key::equal, '=', '+'},
    {Key::tab, '\t', '\t'},        {Key::bracket_left, '[', '{'}, {Key::bracket_right, ']', '}'},
    {Key::ret, '\n', '\n'},        {Key::semicolon, ';', ':'},    {Key::apostrophe, '\'', '"'},
    {Key::grave_accent, '`', '~'}, {Key::backslash, '\\', '|'},   {Key::comma, ',', '<'},
    {Key::dot, '.', '>'},          {Key::slash, '/', '?'},        {Key::spc, ' ', ' '},
    {Key::backspace, '\b', '\b'},  {Key::esc, '\x1b', '\x1b'},
};
}  // namespace

std::string_view key_name(u32 qcode) { return kRows[qcode < std::size(kRows) ? qcode : 0].name; }

u16 key_set1(u32 qcode) { return kRows[qcode < std::size(kRows) ? qcode : 0].set1; }

std::optional<u32> key_from_name(std::string_view name) {
  if (name == "enter" || name == "return") name = "ret";
  if (name == "space") name = "spc";
  if (name.size() > 2 && name[0] == '0' && (name[1] == 'x' || name[1] == 'X')) {
    u32 number = 0;
    const auto [end, error] = std::from_chars(name.data() + 2, name.data() + name.size(), number, 16);
    if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
    return key_from_number(number);
  }
  for (u32 i = 1; i < std::size(kRows); i++) {
    if (kRows[i].name == name) return i;
  }
  return std::nullopt;
}

Result<std::vector<u32>> parse_key_chord(std::string_view chord) {
  std::vector<u32> keys;
  for (;;) {
    const size_t dash = chord.find('-');
    const std::string_view word = chord.substr(0, dash);
    const auto key = key_from_name(word);
    if (!key)
      return Error{"unknown key '" + std::string(word) + "'", "names are those of sendkey: a, ret, ctrl, f1, ..."};
    keys.push_back(*key);
    if (dash == std::string_view::npos) return keys;
    chord.remove_prefix(dash + 1);
  }
}

std::optional<TypedKey> key_from_character(char c) {
  if (c == '\r') c = '\n';
  const bool upper = c >= 'A' && c <= 'Z';
  if (upper || (c >= 'a' && c <= 'z')) {
    const char lower = static_cast<char>(upper ? c - 'A' + 'a' : c);
    const auto key = key_from_name(std::string_view(&lower, 1));
    if (key) return TypedKey{*key, upper};
  }
  for (const Typed& row : kTyped) {
    if (row.plain == c) return TypedKey{code(row.key), false};
    if (row.shifted == c) return TypedKey{code(row.key), true};
  }
  return std::nullopt;
}

std::vector<std::string_view> key_names() {
  std::vector<std::string_view> names;
  for (size_t i = 1; i < std::size(kRows); i++) names.push_back(kRows[i].name);
  return names;
}

}  // namespace doppel::display

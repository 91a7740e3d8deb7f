#include "block/fat/names.h"

#include <algorithm>

namespace doppel::block::fat {
namespace {

constexpr size_t kMaxLong = 255, kPart = 13;
constexpr u8 kLongName = 0x0f, kLast = 0x40;

// One character; invalid bytes are replaced one by one.
char32_t take(std::string_view& text) {
  const u8 first = static_cast<u8>(text.front());
  const size_t n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
  char32_t c = n <= 1 ? first : first & (0x7f >> n);
  bool good = n != 0 && n <= text.size();
  for (size_t i = 1; good && i < n; i++) {
    const u8 b = static_cast<u8>(text[i]);
    good = b >> 6 == 2;
    c = c << 6 | (b & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  good = good && c >= kLeast[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
  text.remove_prefix(good ? n : 1);
  return good ? c : U'_';
}

bool allowed(char32_t c) {
  return c >= 0x20 && c != 0x7f &&
         (c > 0x7f || std::string_view("\"*/:<>?\\|").find(static_cast<char>(c)) == std::string_view::npos);
}

std::u16string to_long(std::string_view text) {
  std::u16string out;
  while (!text.empty()) {
    char32_t c = take(text);
    if (!allowed(c)) c = U'_';
    if (c > 0xffff) {
      out += static_cast<char16_t>(0xd800 + ((c - 0x10000) >> 10));
      out += static_cast<char16_t>(0xdc00 + ((c - 0x10000) & 0x3ff));
    } else {
      out += static_cast<char16_t>(c);
    }
  }
  if (out.size() > kMaxLong) out.resize(kMaxLong);
  for (size_t i = out.size(); i-- > 0 && (out[i] == u'.' || out[i] == u' ');) out[i] = u'_';
  for (size_t i = 0; i < out.size() && out[i] == u' '; i++) out[i] = u'_';
  return out;
}

char16_t upper(char16_t c) {
  if ((c >= u'a' && c <= u'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7)) return static_cast<char16_t>(c - 32);
  if ((c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f)) return static_cast<char16_t>(c - 32);
  return c;
}

std::u16string upper(std::u16string text) {
  for (char16_t& c : text) c = upper(c);
  return text;
}

// A character of a short name; '_' where it can't be.
u8 short_char(char16_t c) {
  c = upper(c);
  if ((c >= u'A' && c <= u'Z') || (c >= u'0' && c <= u'9')) return static_cast<u8>(c);
  return c < 0x80 && std::string_view("!#$%&'()-@^_`{}~").find(static_cast<char>(c)) != std::string_view::npos
             ? static_cast<u8>(c)
             : u8{'_'};
}

struct Split {
  std::string base, extension;
  bool exact = true;  // nothing was lost but the case
};

Split split(const std::u16string& name) {
  Split out;
  const size_t dot = name.rfind(u'.');
  for (size_t i = 0; i < name.size(); i++) {
    const bool behind = dot != std::u16string::npos && dot != 0 && i > dot;
    if (name[i] == u'.' || name[i] == u' ') {
      out.exact = out.exact && name[i] == u'.' && i == dot && dot != 0;
      continue;
    }
    const u8 c = short_char(name[i]);
    out.exact = out.exact && (c != '_' || name[i] == u'_');
    (behind ? out.extension : out.base) += static_cast<char>(c);
  }
  if (out.base.empty()) out.base = "_", out.exact = false;
  out.exact = out.exact && out.base.size() <= 8 && out.extension.size() <= 3;
  out.extension.resize(std::min<size_t>(out.extension.size(), 3));
  return out;
}

ShortName join(std::string_view base, std::string_view extension) {
  ShortName out;
  out.fill(' ');
  std::copy(base.begin(), base.end(), out.begin());
  std::copy(extension.begin(), extension.end(), out.begin() + 8);
  return out;
}

u8 checksum(const ShortName& name) {
  u8 sum = 0;
  for (const u8 c : name) sum = static_cast<u8>((sum << 7 | sum >> 1) + c);
  return sum;
}

std::u16string text_of(const ShortName& n) {
  std::u16string out;
  for (size_t i = 0; i < 11; i++) {
    if (i == 8 && n[8] != ' ') out += u'.';
    if (n[i] != ' ') out += static_cast<char16_t>(n[i]);
  }
  return out;
}

}  // namespace

ShortName NameMaker::alias(const std::u16string& name) {
  const Split s = split(name);
  if (s.exact) {
    const ShortName plain = join(s.base, s.extension);
    if (short_names_.insert(plain).second) return plain;
  }
  for (unsigned& n = numbers_[s.base.substr(0, 6) + "." + s.extension];;) {
    const std::string tail = "~" + std::to_string(++n);
    const ShortName tried = join(s.base.substr(0, 8 - tail.size()) + tail, s.extension);
    if (short_names_.insert(tried).second) return tried;
  }
}

Names NameMaker::add(const std::string& host_name) {
  std::u16string name = to_long(host_name);
  const std::u16string wanted = name;
  for (unsigned n = 2; !long_names_.insert(upper(name)).second; n++) {
    std::u16string tail = u"~";
    for (const char c : std::to_string(n)) tail += static_cast<char16_t>(c);
    name = wanted.substr(0, kMaxLong - tail.size()) + tail;
  }
  Names out{name, alias(name)};
  if (text_of(out.short_name) == name) out.long_name.clear();
  return out;
}

u64 long_entries(const Names& n) { return (n.long_name.size() + kPart - 1) / kPart; }

void put_long_name(std::vector<u8>& folder, const Names& n) {
  const u64 count = long_entries(n);
  for (u64 part = count; part-- > 0;) {
    std::array<u8, 32> e{};
    e[0] = static_cast<u8>((part + 1) | (part + 1 == count ? kLast : 0));
    e[11] = kLongName;
    e[13] = checksum(n.short_name);
    for (size_t i = 0; i < kPart; i++) {
      const size_t at = part * kPart + i, place = i < 5 ? 1 + i * 2 : i < 11 ? 14 + (i - 5) * 2 : 28 + (i - 11) * 2;
      const u16 c = at < n.long_name.size() ? n.long_name[at] : at == n.long_name.size() ? u16{0} : u16{0xffff};
      store_le<u16>(&e[place], c);
    }
    folder.insert(folder.end(), e.begin(), e.end());
  }
}

}  // namespace doppel::block::fat

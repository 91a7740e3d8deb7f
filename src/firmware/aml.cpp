#include "firmware/aml.h"

#include "base/assert.h"

namespace doppel::firmware::aml {
namespace {
enum Op : u8 {
  kZero = 0x00,
  kOne = 0x01,
  kName = 0x08,
  kByte = 0x0a,
  kWord = 0x0b,
  kDWord = 0x0c,
  kString = 0x0d,
  kQWord = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kDualName = 0x2e,
  kMultiName = 0x2f,
  kExt = 0x5b,
  kLocal0 = 0x60,
  kArg0 = 0x68,
  kStore = 0x70,
  kAnd = 0x7b,
  kOr = 0x7d,
  kNotify = 0x86,
  kCreateDWordField = 0x8a,
  kLEqual = 0x93,
  kIf = 0xa0,
  kElse = 0xa1,
  kReturn = 0xa4,
};
enum ExtOp : u8 { kOpRegion = 0x80, kField = 0x81, kDevice = 0x82, kProcessor = 0x83 };

Aml op(u8 byte) { return {{byte}}; }
Aml ext(u8 byte) { return {{kExt, byte}}; }

template <typename T>
void put(Aml& out, T value) {
  for (size_t i = 0; i < sizeof value; i++) out.bytes.push_back(static_cast<u8>(static_cast<u64>(value) >> (8 * i)));
}

// PkgLength without its own bytes counted (fields) or with them (everything else).
Aml encode_length(u32 length) {
  Aml out;
  if (length < 0x40) {
    out.bytes.push_back(static_cast<u8>(length));
    return out;
  }
  const unsigned more = length < 0x1000 ? 1 : length < 0x100000 ? 2 : 3;
  out.bytes.push_back(static_cast<u8>((more << 6) | (length & 15)));
  for (unsigned i = 0; i < more; i++) out.bytes.push_back(static_cast<u8>(length >> (4 + 8 * i)));
  return out;
}

Aml with_length(const Aml& body) {
  const u32 size = static_cast<u32>(body.bytes.size());
  const unsigned own = size + 1 < 0x40 ? 1 : size + 2 < 0x1000 ? 2 : size + 3 < 0x100000 ? 3 : 4;
  return encode_length(size + own) + body;
}

void put_segment(Aml& out, std::string_view segment) {
  ASSERT(!segment.empty() && segment.size() <= 4);
  for (size_t i = 0; i < 4; i++) out.bytes.push_back(static_cast<u8>(i < segment.size() ? segment[i] : '_'));
}

Aml address_space(u8 tag, Window kind, WindowRange range, unsigned width) {
  Aml out = op(tag);
  put<u16>(out, static_cast<u16>(3 + 5 * width));
  put<u8>(out, static_cast<u8>(kind));
  put<u8>(out, 0x0c);  // producer, positive decode, min and max fixed
  put<u8>(out, kind == Window::Io ? 3 : kind == Window::Memory ? (range.cacheable ? 3 : 1) : 0);
  const u64 values[5] = {0, range.min, range.max, 0, range.max - range.min + 1};
  for (const u64 value : values) {
    for (unsigned i = 0; i < width; i++) out.bytes.push_back(static_cast<u8>(value >> (8 * i)));
  }
  return out;
}
}  // namespace

Aml name_string(std::string_view path) {
  Aml out;
  while (!path.empty() && (path[0] == '\\' || path[0] == '^')) {
    out.bytes.push_back(static_cast<u8>(path[0]));
    path.remove_prefix(1);
  }
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    segments.push_back(path.substr(0, dot));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  if (segments.empty()) out.bytes.push_back(0);
  if (segments.size() == 2) out.bytes.push_back(kDualName);
  if (segments.size() > 2) {
    out.bytes.push_back(kMultiName);
    out.bytes.push_back(static_cast<u8>(segments.size()));
  }
  for (const std::string_view segment : segments) put_segment(out, segment);
  return out;
}

Aml integer(u64 value) {
  if (value <= 1) return op(value ? kOne : kZero);
  Aml out;
  if (value <= 0xff) {
    out = op(kByte);
    put<u8>(out, static_cast<u8>(value));
    return out;
  }
  if (value <= 0xffff) {
    out = op(kWord);
    put<u16>(out, static_cast<u16>(value));
    return out;
  }
  if (value <= 0xffffffff) {
    out = op(kDWord);
    put<u32>(out, static_cast<u32>(value));
    return out;
  }
  out = op(kQWord);
  put<u64>(out, value);
  return out;
}

Aml string(std::string_view text) {
  Aml out = op(kString);
  out.bytes.insert(out.bytes.end(), text.begin(), text.end());
  out.bytes.push_back(0);
  return out;
}

Aml buffer(const std::vector<u8>& data) { return op(kBuffer) + with_length(integer(data.size()) + Aml{data}); }

Aml package(const std::vector<Aml>& elements) {
  ASSERT(elements.size() < 256);
  Aml body = op(static_cast<u8>(elements.size()));
  for (const Aml& element : elements) body += element;
  return op(kPackage) + with_length(body);
}

// Three letters of five bits and four hexadecimal digits, most significant first, as a big-endian dword.
Aml eisa_id(std::string_view id) {
  ASSERT(id.size() == 7);
  const auto hex = [](char c) { return static_cast<u32>(c <= '9' ? c - '0' : c - 'A' + 10); };
  u32 value = 0;
  for (int i = 0; i < 3; i++) value = (value << 5) | (static_cast<u32>(id[static_cast<size_t>(i)] - 'A' + 1) & 0x1f);
  for (size_t i = 3; i < 7; i++) value = (value << 4) | hex(id[i]);
  Aml out = op(kDWord);
  put<u32>(out, __builtin_bswap32(value));
  return out;
}

Aml arg(unsigned n) { return op(static_cast<u8>(kArg0 + n)); }
Aml local(unsigned n) { return op(static_cast<u8>(kLocal0 + n)); }
Aml name(std::string_view path, const Aml& value) { return op(kName) + name_string(path) + value; }
Aml scope(std::string_view path, const Aml& body) { return op(kScope) + with_length(name_string(path) + body); }
Aml device(std::string_view path, const Aml& body) { return ext(kDevice) + with_length(name_string(path) + body); }

Aml processor(std::string_view path, u8 id, u32 pblk, u8 pblk_length, const Aml& body) {
  Aml head = name_string(path) + op(id);
  put<u32>(head, pblk);
  put<u8>(head, pblk_length);
  return ext(kProcessor) + with_length(head + body);
}

Aml method(std::string_view path, unsigned arguments, bool serialized, const Aml& body) {
  return op(kMethod) + with_length(name_string(path) + op(static_cast<u8>(arguments | (serialized ? 8 : 0))) + body);
}

Aml op_region(std::string_view path, Space space, u64 offset, u64 length) {
  return ext(kOpRegion) + name_string(path) + op(static_cast<u8>(space)) + integer(offset) + integer(length);
}

Aml field(std::string_view region, FieldAccess access, const std::vector<FieldUnit>& units) {
  Aml body = name_string(region) + op(static_cast<u8>(access));  // no lock, preserve
  for (const FieldUnit& unit : units) {
    if (unit.name.empty()) {
      body += op(0);
    } else {
      put_segment(body, unit.name);
    }
    body += encode_length(unit.bits);
  }
  return ext(kField) + with_length(body);
}

Aml store(const Aml& value, const Aml& target) { return op(kStore) + value + target; }
Aml and_(const Aml& a, const Aml& b, const Aml& target) { return op(kAnd) + a + b + target; }
Aml or_(const Aml& a, const Aml& b, const Aml& target) { return op(kOr) + a + b + target; }
Aml equal(const Aml& a, const Aml& b) { return op(kLEqual) + a + b; }
Aml if_(const Aml& condition, const Aml& body) { return op(kIf) + with_length(condition + body); }
Aml else_(const Aml& body) { return op(kElse) + with_length(body); }
Aml notify(const Aml& object, const Aml& value) { return op(kNotify) + object + value; }
Aml return_(const Aml& value) { return op(kReturn) + value; }

Aml create_dword_field(const Aml& source, u32 offset, std::string_view path) {
  return op(kCreateDWordField) + source + integer(offset) + name_string(path);
}

Aml resources(const Aml& descriptors) {
  std::vector<u8> data = descriptors.bytes;
  data.push_back(0x79);  // end tag; checksum 0: not used
  data.push_back(0);
  return buffer(data);
}

Aml io(u16 min, u16 max, u8 align, u8 length) {
  Aml out{{0x47, 1}};  // 16-bit decode
  put<u16>(out, min);
  put<u16>(out, max);
  put<u8>(out, align);
  put<u8>(out, length);
  return out;
}

Aml irq(u8 number) {
  Aml out{{0x22}};
  put<u16>(out, static_cast<u16>(1u << number));
  return out;
}

Aml dma(u8 channel) { return {{0x2a, static_cast<u8>(1u << channel), 0}}; }

Aml memory32_fixed(bool writable, u32 base, u32 length) {
  Aml out{{0x86, 9, 0, static_cast<u8>(writable)}};
  put<u32>(out, base);
  put<u32>(out, length);
  return out;
}

Aml extended_irqs(std::initializer_list<u32> numbers) {
  Aml out{{0x89}};
  put<u16>(out, static_cast<u16>(2 + 4 * numbers.size()));
  put<u8>(out, 0x09);  // consumer, level, active high, shared
  put<u8>(out, static_cast<u8>(numbers.size()));
  for (const u32 number : numbers) put<u32>(out, number);
  return out;
}

Aml word_window(Window kind, WindowRange range) { return address_space(0x88, kind, range, 2); }
Aml dword_window(Window kind, WindowRange range) { return address_space(0x87, kind, range, 4); }
Aml qword_window(Window kind, WindowRange range) { return address_space(0x8a, kind, range, 8); }

}  // namespace doppel::firmware::aml

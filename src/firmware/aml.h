// AML builder: ACPI machine language (ACPI specification 2.0, chapter 17 and 6.4) as byte strings. Each function gives
// one term;
// `+` joins them. Only what our boards' tables need.
//
//   Aml dsdt = scope("\\_SB", device("PCI0", name("_HID", eisa_id("PNP0A03")) + name("_ADR", integer(0))));
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/bits.h"

namespace doppel::firmware::aml {

struct Aml {
  std::vector<u8> bytes;
  Aml& operator+=(const Aml& other) {
    bytes.insert(bytes.end(), other.bytes.begin(), other.bytes.end());
    return *this;
  }
  friend Aml operator+(Aml a, const Aml& b) { return a += b; }
};

// "\\_SB.PCI0", "^LNKA", "COM1": segments are padded with '_'.
Aml name_string(std::string_view path);
Aml integer(u64 value);
Aml string(std::string_view text);
Aml buffer(const std::vector<u8>& data);
Aml package(const std::vector<Aml>& elements);
Aml eisa_id(std::string_view id);  // "PNP0A03"
Aml arg(unsigned n);
Aml local(unsigned n);

Aml name(std::string_view path, const Aml& value);
Aml scope(std::string_view path, const Aml& body);
Aml device(std::string_view path, const Aml& body);
Aml processor(std::string_view path, u8 id, u32 pblk, u8 pblk_length, const Aml& body);
Aml method(std::string_view path, unsigned arguments, bool serialized, const Aml& body);

enum class Space : u8 { SystemMemory = 0, SystemIo = 1, PciConfig = 2 };
Aml op_region(std::string_view path, Space space, u64 offset, u64 length);
struct FieldUnit {
  std::string name;
  unsigned bits;
};  // an empty name skips bits
enum class FieldAccess : u8 { Any = 0, Byte = 1, Word = 2, DWord = 3 };
Aml field(std::string_view region, FieldAccess access, const std::vector<FieldUnit>& units);

Aml store(const Aml& value, const Aml& target);
Aml and_(const Aml& a, const Aml& b, const Aml& target = {{0}});  // {0}: no target
Aml or_(const Aml& a, const Aml& b, const Aml& target = {{0}});
Aml equal(const Aml& a, const Aml& b);
Aml if_(const Aml& condition, const Aml& body);
Aml else_(const Aml& body);
Aml return_(const Aml& value);
Aml notify(const Aml& object, const Aml& value);
Aml create_dword_field(const Aml& source, u32 offset, std::string_view path);

// Resource descriptors; resources() adds the end tag and makes a buffer.
Aml resources(const Aml& descriptors);
Aml io(u16 min, u16 max, u8 align, u8 length);
Aml irq(u8 number);   // edge, active high, exclusive
Aml dma(u8 channel);  // compatibility timing, not a bus master, 8 bits
Aml memory32_fixed(bool writable, u32 base, u32 length);
Aml extended_irqs(std::initializer_list<u32> numbers);  // consumer, level, active high, shared
enum class Window : u8 { Memory = 0, Io = 1, BusNumber = 2 };
struct WindowRange {
  u64 min, max;
  bool cacheable = false;
};
Aml word_window(Window kind, WindowRange range);  // produced by a bridge, fixed at both ends
Aml dword_window(Window kind, WindowRange range);
Aml qword_window(Window kind, WindowRange range);

}  // namespace doppel::firmware::aml

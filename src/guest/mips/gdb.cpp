// The debugger's view (org.gnu.gdb.mips.cpu, .cp0 and .fpu), and the text of `info registers`.
#include <cstdio>

#include "guest/mips/cpu.h"

namespace doppel::mips {
namespace {

constexpr const char* kNames[32] = {"zero", "at", "v0", "v1", "a0", "a1", "a2", "a3", "t0", "t1", "t2",
                                    "t3",   "t4", "t5", "t6", "t7", "s0", "s1", "s2", "s3", "s4", "s5",
                                    "s6",   "s7", "t8", "t9", "k0", "k1", "gp", "sp", "s8", "ra"};
// Numbers as gdb has them: general registers, then status lo hi badvaddr cause pc, then floating point.
constexpr size_t kStatus = 32, kLo = 33, kHi = 34, kBadVaddr = 35, kCause = 36, kPc = 37, kFpr = 38, kFcsr = 70,
                 kFir = 71, kCount = 72;

void append(std::string& text, const char* format, auto... values) {
  char line[160];
  std::snprintf(line, sizeof line, format, values...);
  text += line;
}

}  // namespace

// gdb takes a double of an o32 program apart into two registers of 32 bits, whatever Status.FR is: such programs show
// their registers that way, the high half of an even one in the odd one behind it.
void MipsCpu::build_gdb_registers() {
  gdb_registers_.clear();
  const u16 bits = model_.is_64bit ? 64 : 32;
  for (unsigned i = 0; i < 32; i++) gdb_registers_.push_back({"r" + std::to_string(i), bits, "int", "general"});
  for (const char* name : {"status", "lo", "hi", "badvaddr", "cause", "pc"})
    gdb_registers_.push_back({name, bits, name[0] == 'p' ? "code_ptr" : "int", "general"});
  const u16 fpr = model_.fpu64 && (!s_->program || model_.is_64bit) ? 64 : 32;
  for (unsigned i = 0; i < 32; i++)
    gdb_registers_.push_back({"f" + std::to_string(i), fpr, fpr == 64 ? "ieee_double" : "ieee_single", "float"});
  gdb_registers_.push_back({"fcsr", bits, "int", "float"});
  gdb_registers_.push_back({"fir", bits, "int", "float"});
}

std::string MipsCpu::gdb_feature() const {
  std::string xml = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">";
  xml += std::string("<architecture>mips") + (model_.is_64bit ? ":isa64" : ":isa32") + "</architecture>";
  const auto group = [&](const char* feature, std::initializer_list<std::pair<size_t, size_t>> ranges) {
    xml += std::string("<feature name=\"org.gnu.gdb.mips.") + feature + "\">";
    for (const auto& [first, last] : ranges) {
      for (size_t n = first; n <= last; n++) {
        const guest::GdbRegister& r = gdb_registers_[n];
        xml += "<reg name=\"" + r.name + "\" bitsize=\"" + std::to_string(r.bits) + "\" type=\"" + r.type +
               "\" regnum=\"" + std::to_string(n) + "\"/>";
      }
    }
    xml += "</feature>";
  };
  group("cpu", {{0, 31}, {kLo, kHi}, {kPc, kPc}});
  group("cp0", {{kStatus, kStatus}, {kBadVaddr, kCause}});
  group("fpu", {{kFpr, kFir}});
  return xml + "</target>";
}

// Whether it is the high half of the register before it.
bool MipsCpu::gdb_is_half(size_t number) const {
  return ((number - kFpr) & 1) != 0 && (gdb_registers_[number].bits == 32 || !(s_->status & ST_FR));
}

size_t MipsCpu::gdb_read(size_t number, u8* out) const {
  if (number >= kCount) return 0;
  MipsState& s = *s_;
  u64 value = 0;
  if (number < 32)
    value = s.gpr[number];
  else if (number >= kFpr && number < kFcsr)
    value = gdb_is_half(number) ? s.fpr[number - kFpr - 1] >> 32 : s.fpr[number - kFpr];
  else
    switch (number) {
      case kStatus: value = s.status; break;
      case kLo: value = s.lo; break;
      case kHi: value = s.hi; break;
      case kBadVaddr: value = s.bad_vaddr; break;
      case kCause: value = read_cp0(s, 13, 0); break;
      case kPc: value = s.pc; break;
      case kFcsr:
        sync_fcsr(s);
        value = s.fcr31;
        break;
      default: value = model_.fir; break;
    }
  const size_t size = gdb_registers_[number].bits / 8;
  for (size_t i = 0; i < size; i++) out[i] = static_cast<u8>(value >> (8 * (model_.big_endian ? size - 1 - i : i)));
  return size;
}

size_t MipsCpu::gdb_write(size_t number, const u8* in) {
  if (number >= kCount) return 0;
  MipsState& s = *s_;
  const size_t size = gdb_registers_[number].bits / 8;
  u64 value = 0;
  for (size_t i = 0; i < size; i++) value |= u64{in[model_.big_endian ? size - 1 - i : i]} << (8 * i);
  if (number < 32) {
    if (number != 0) s.gpr[number] = value;
  } else if (number >= kFpr && number < kFcsr) {
    u64& r = s.fpr[number - kFpr - gdb_is_half(number)];
    if (gdb_is_half(number))
      r = static_cast<u32>(r) | value << 32;
    else
      r = size == 4 ? (r & ~u64{0xffffffff}) | value : value;
  } else {
    switch (number) {
      case kStatus: set_status(s, static_cast<u32>(value)); break;
      case kLo: s.lo = value; break;
      case kHi: s.hi = value; break;
      case kCause: write_cp0(s, 13, 0, value); break;
      case kPc: set_pc(model_.mips16 && (value & 1) ? value : value & ~u64{3}); break;
      case kFcsr: set_fcsr(s, static_cast<u32>(value)); break;
      default: break;
    }
  }
  return size;
}

std::string MipsCpu::dump_registers() const {
  MipsState& s = *s_;
  std::string text;
  append(text, "pc=0x%0*llx HI=0x%0*llx LO=0x%0*llx %s\n", model_.is_64bit ? 16 : 8,
         static_cast<unsigned long long>(s.pc), model_.is_64bit ? 16 : 8, static_cast<unsigned long long>(s.hi),
         model_.is_64bit ? 16 : 8, static_cast<unsigned long long>(s.lo), s.mode_cache & kModeUser ? "user" : "kernel");
  for (unsigned i = 0; i < 32; i++)
    append(text, "%sGPR%02u: %2s %0*llx%s", i % 4 == 0 ? "" : " ", i, kNames[i], model_.is_64bit ? 16 : 8,
           static_cast<unsigned long long>(s.gpr[i]), i % 4 == 3 ? "\n" : "");
  append(text, "CP0 Status  0x%08x Cause   0x%08x EPC    0x%llx\n", s.status, static_cast<u32>(read_cp0(s, 13, 0)),
         static_cast<unsigned long long>(s.epc));
  append(text, "    Config0 0x%08x Config1 0x%08x BadVA  0x%llx EntryHi 0x%llx\n", s.config0, model_.config1,
         static_cast<unsigned long long>(s.bad_vaddr), static_cast<unsigned long long>(s.entry_hi));
  if (model_.fpu) append(text, "CP1 FCSR    0x%08x FIR     0x%08x\n", s.fcr31, model_.fir);
  return text;
}

}  // namespace doppel::mips

// The debugger's view: target descriptions for i386 and amd64 (register order of gdb's org.gnu.gdb.i386.core, .sse,
// .linux and .segments features), and the text of `info registers` in the form QEMU prints, which tools parse.
#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "guest/x86/cpu.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

constexpr u8 kOrder64[16] = {RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, R9, R10, R11, R12, R13, R14, R15};
constexpr const char* kNames64[16] = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr const char* kNames32[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
constexpr const char* kSegNames[6] = {"cs", "ss", "ds", "es", "fs", "gs"};
constexpr u8 kSegOrder[6] = {CS, SS, DS, ES, FS, GS};
constexpr const char* kFpuNames[8] = {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"};

bool wide_model(const CpuModel& m) { return m.has(FeatureWord::E1Edx, 29); }

// The full tag word from the abridged one: 0 valid, 1 zero, 2 special, 3 empty.
u32 full_tag_word(const X86State& s) {
  u32 tags = 0;
  for (unsigned i = 0; i < 8; i++) {
    unsigned tag = 0;
    const u16 exponent = s.st[i].sign_exponent & 0x7fff;
    const u64 significand = s.st[i].significand;
    if ((s.fptag >> i) & 1)
      tag = 3;
    else if (exponent == 0 && significand == 0)
      tag = 1;
    else if (exponent == 0 || exponent == 0x7fff || !(significand >> 63))
      tag = 2;
    tags |= tag << (2 * i);
  }
  return tags;
}

u32 status_word(const X86State& s) { return (s.fsw & 0xc7ffu) | (s.top & 7u) << 11; }

u32 fpu_register(const X86State& s, unsigned n) {
  switch (n) {
    case 0: return s.fcw;
    case 1: return status_word(s);
    case 2: return full_tag_word(s);
    case 3: return s.fcs;
    case 4: return static_cast<u32>(s.fip);
    case 5: return s.fds;
    case 6: return static_cast<u32>(s.fdp);
    default: return s.fop;
  }
}

// What a number means: the groups in the order of the description.
enum class Group { Gpr, Pc, Flags, Seg, St, Fpu, Xmm, Mxcsr, Orig, FsBase, GsBase, None };
struct Place {
  Group group;
  unsigned index;
};

Place place_of(size_t n, bool wide) {
  const size_t gprs = wide ? 16 : 8;
  if (n < gprs) return {Group::Gpr, static_cast<unsigned>(n)};
  n -= gprs;
  if (n == 0) return {Group::Pc, 0};
  if (n == 1) return {Group::Flags, 0};
  n -= 2;
  if (n < 6) return {Group::Seg, static_cast<unsigned>(n)};
  n -= 6;
  if (n < 8) return {Group::St, static_cast<unsigned>(n)};
  n -= 8;
  if (n < 8) return {Group::Fpu, static_cast<unsigned>(n)};
  n -= 8;
  if (n < gprs) return {Group::Xmm, static_cast<unsigned>(n)};
  n -= gprs;
  if (n == 0) return {Group::Mxcsr, 0};
  if (n == 1) return {Group::Orig, 0};
  if (wide && n == 2) return {Group::FsBase, 0};
  if (wide && n == 3) return {Group::GsBase, 0};
  return {Group::None, 0};
}

std::string reg_xml(const guest::GdbRegister& r) {
  std::string line =
      "  <reg name=\"" + r.name + "\" bitsize=\"" + std::to_string(r.bits) + "\" type=\"" + r.type + "\"";
  if (!r.group.empty()) line += " group=\"" + r.group + "\"";
  return line + "/>\n";
}

constexpr const char* kFlagsXml =
    "  <flags id=\"i386_eflags\" size=\"4\">\n"
    "    <field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" "
    "start=\"2\" end=\"2\"/>\n"
    "    <field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" "
    "start=\"7\" end=\"7\"/>\n"
    "    <field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" "
    "start=\"10\" end=\"10\"/>\n"
    "    <field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" "
    "start=\"16\" end=\"16\"/>\n"
    "    <field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VIF\" "
    "start=\"19\" end=\"19\"/>\n"
    "    <field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"ID\" start=\"21\" end=\"21\"/>\n"
    "  </flags>\n";

constexpr const char* kVectorXml =
    "  <vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n  <vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
    "  <vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n  <vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
    "  <vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n  <vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
    "  <union id=\"vec128\">\n"
    "    <field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" "
    "type=\"v16i8\"/>\n"
    "    <field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" "
    "type=\"v2i64\"/>\n"
    "    <field name=\"uint128\" type=\"uint128\"/>\n  </union>\n"
    "  <flags id=\"i386_mxcsr\" size=\"4\">\n"
    "    <field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" "
    "start=\"2\" end=\"2\"/>\n"
    "    <field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" "
    "start=\"5\" end=\"5\"/>\n"
    "    <field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" "
    "start=\"8\" end=\"8\"/>\n"
    "    <field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" "
    "start=\"11\" end=\"11\"/>\n"
    "    <field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/>\n"
    "  </flags>\n";

template <typename T>
size_t put(u8* out, T v) {
  store_le<T>(out, v);
  return sizeof v;
}

[[gnu::format(printf, 2, 3)]] void append(std::string& out, const char* format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  out += text;
}

using ull = unsigned long long;

void dump_segment(std::string& out, const X86State& s, const char* name, const Segment& g) {
  const u32 limit_bits = (g.attr & kAttrG) ? g.limit >> 12 : g.limit;
  const u32 flags = u32{g.attr} << 8 | (limit_bits & 0xf0000);
  if (code64(s))
    append(out, "%-3s=%04x %016llx %08x %08x", name, g.selector, static_cast<ull>(g.base), g.limit, flags);
  else
    append(out, "%-3s=%04x %08x %08x %08x", name, g.selector, static_cast<u32>(g.base), g.limit, flags);
  if (!(s.cr0 & CR0_PE) || !(g.attr & kAttrP)) {
    out += "\n";
    return;
  }
  append(out, " DPL=%d ", (g.attr >> 5) & 3);
  const char accessed = (g.attr & kAttrAccessed) ? 'A' : '-';
  if (!(g.attr & kAttrS)) {
    static constexpr const char* kLegacy[16] = {
        "Reserved", "TSS16-avl", "LDT",      "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
        "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32"};
    static constexpr const char* kLong[16] = {
        "<hiword>", "Reserved",  "LDT",      "Reserved",   "Reserved",   "Reserved", "Reserved",  "Reserved",
        "Reserved", "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64"};
    out += (long_mode(s) ? kLong : kLegacy)[g.attr & 15];
  } else if (g.attr & kAttrCode) {
    out += (g.attr & kAttrL) ? "CS64" : (g.attr & kAttrDB) ? "CS32" : "CS16";
    append(out, " [%c%c%c]", (g.attr & kAttrConforming) ? 'C' : '-', (g.attr & kAttrReadable) ? 'R' : '-', accessed);
  } else {
    out += (g.attr & kAttrDB) || long_mode(s) ? "DS  " : "DS16";
    append(out, " [%c%c%c]", (g.attr & kAttrExpandDown) ? 'E' : '-', (g.attr & kAttrWritable) ? 'W' : '-', accessed);
  }
  out += "\n";
}

}  // namespace

// --- gdb

void X86Cpu::build_gdb_registers() {
  const bool wide = wide_model(model_);
  auto& r = gdb_registers_;
  const u16 bits = wide ? 64 : 32;
  const std::string word = wide ? "int64" : "int32";
  for (unsigned i = 0; i < (wide ? 16u : 8u); i++) {
    const bool pointer = wide ? i == 6 || i == 7 : i == 4 || i == 5;
    r.push_back({wide ? kNames64[i] : kNames32[i], bits, pointer ? "data_ptr" : word, "general"});
  }
  r.push_back({wide ? "rip" : "eip", bits, "code_ptr", "general"});
  r.push_back({"eflags", 32, "i386_eflags", "general"});
  for (const char* n : kSegNames) r.push_back({n, 32, "int32", "general"});
  for (unsigned i = 0; i < 8; i++) r.push_back({"st" + std::to_string(i), 80, "i387_ext", "float"});
  for (const char* n : kFpuNames) r.push_back({n, 32, "int", "float"});
  for (unsigned i = 0; i < (wide ? 16u : 8u); i++) r.push_back({"xmm" + std::to_string(i), 128, "vec128", "vector"});
  r.push_back({"mxcsr", 32, "i386_mxcsr", "vector"});
  r.push_back({wide ? "orig_rax" : "orig_eax", bits, "int", "system"});
  if (wide) {
    r.push_back({"fs_base", 64, "int", "general"});
    r.push_back({"gs_base", 64, "int", "general"});
  }
}

std::string X86Cpu::gdb_feature() const {
  const bool wide = wide_model(model_);
  const size_t core = (wide ? 16 : 8) + 2 + 6 + 16, sse = core + (wide ? 17 : 9), total = gdb_registers_.size();
  std::string xml = "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n";
  xml += std::string("<architecture>") + (wide ? "i386:x86-64" : "i386") + "</architecture>\n";
  const auto feature = [&](const char* name, const char* types, size_t from, size_t to) {
    xml += std::string("<feature name=\"org.gnu.gdb.i386.") + name + "\">\n" + types;
    for (size_t i = from; i < to; i++) xml += reg_xml(gdb_registers_[i]);
    xml += "</feature>\n";
  };
  feature("core", kFlagsXml, 0, core);
  feature("sse", kVectorXml, core, sse);
  feature("linux", "", sse, sse + 1);
  if (wide) feature("segments", "", sse + 1, total);
  return xml + "</target>\n";
}

size_t X86Cpu::gdb_read(size_t number, u8* out) const {
  const X86State& s = *s_;
  const bool wide = wide_model(model_);
  const Place p = place_of(number, wide);
  switch (p.group) {
    case Group::Gpr:
      return wide ? put<u64>(out, s.gpr[kOrder64[p.index]]) : put<u32>(out, static_cast<u32>(s.gpr[p.index]));
    // Linear, so that breakpoints and disassembly work in real mode too.
    case Group::Pc: return wide ? put<u64>(out, linear_pc()) : put<u32>(out, static_cast<u32>(linear_pc()));
    case Group::Flags: return put<u32>(out, get_eflags(s));
    case Group::Seg: return put<u32>(out, s.seg[kSegOrder[p.index]].selector);
    case Group::St: {
      const X87Reg& r = s.st[(s.top + p.index) & 7];
      put<u64>(out, r.significand);
      put<u16>(out + 8, r.sign_exponent);
      return 10;
    }
    case Group::Fpu: return put<u32>(out, fpu_register(s, p.index));
    case Group::Xmm: std::memcpy(out, s.xmm[p.index].b, 16); return 16;
    case Group::Mxcsr: return put<u32>(out, s.mxcsr | (s.h.fp_env & 0x3f));
    case Group::Orig: return wide ? put<u64>(out, ~u64{0}) : put<u32>(out, ~u32{0});
    case Group::FsBase: return put<u64>(out, s.seg[FS].base);
    case Group::GsBase: return put<u64>(out, s.seg[GS].base);
    default: return 0;
  }
}

size_t X86Cpu::gdb_write(size_t number, const u8* in) {
  X86State& s = *s_;
  const bool wide = wide_model(model_);
  const Place p = place_of(number, wide);
  const size_t word = wide ? 8 : 4;
  const auto value = [&] { return wide ? load_le<u64>(in) : load_le<u32>(in); };
  switch (p.group) {
    case Group::Gpr: s.gpr[wide ? kOrder64[p.index] : p.index] = value(); return word;
    case Group::Pc:
      s.rip = value() - code_base();
      if (!code64(s)) s.rip = static_cast<u32>(s.rip);
      return word;
    case Group::Flags: set_eflags(s, load_le<u32>(in), ~u32{VM}); return 4;
    case Group::Seg: {
      // Only where it has a plain meaning: loading a descriptor may fault.
      const u16 selector = load_le<u16>(in);
      if (!protected_mode(s))
        load_real_segment(s, kSegOrder[p.index], selector);
      else if (vm86(s))
        load_vm86_segment(s, kSegOrder[p.index], selector);
      update_mode(s);
      return 4;
    }
    case Group::St: {
      X87Reg& r = s.st[(s.top + p.index) & 7];
      r.significand = load_le<u64>(in);
      r.sign_exponent = load_le<u16>(in + 8);
      return 10;
    }
    case Group::Fpu:
      if (p.index == 0) s.fcw = static_cast<u16>((load_le<u32>(in) & 0x1f7f) | 0x40);
      if (p.index == 1) {
        const u32 v = load_le<u32>(in);
        // The debugger names registers from the top: they stay what they are, as it writes them before the status.
        std::rotate(s.st, s.st + ((s.top - (v >> 11)) & 7), s.st + 8);
        s.top = (v >> 11) & 7;
        s.fsw = v & 0xc7ff;
      }
      if (p.index == 2) {
        const u32 v = load_le<u32>(in);
        s.fptag = 0;
        for (unsigned i = 0; i < 8; i++)
          if (((v >> (2 * i)) & 3) == 3) s.fptag |= static_cast<u8>(1u << i);
      }
      return 4;
    case Group::Xmm: std::memcpy(s.xmm[p.index].b, in, 16); return 16;
    case Group::Mxcsr: set_mxcsr(s, load_le<u32>(in) & 0xffff); return 4;
    case Group::Orig: return word;
    case Group::FsBase: s.seg[FS].base = load_le<u64>(in); return 8;
    case Group::GsBase: s.seg[GS].base = load_le<u64>(in); return 8;
    default: return 0;
  }
}

// --- info registers

std::string X86Cpu::dump_registers() const {
  const X86State& s = *s_;
  const u32 efl = get_eflags(s);
  std::string out;
  const auto flag = [&](u32 bit, char c) { return (efl & bit) ? c : '-'; };
  char flags[8] = {flag(DF, 'D'), flag(OF, 'O'), flag(SF, 'S'), flag(ZF, 'Z'),
                   flag(AF, 'A'), flag(PF, 'P'), flag(CF, 'C'), 0};
  const auto tail = [&] {
    append(out, "EFL=%08x [%s] CPL=%d II=%d A20=%d SMM=%d HLT=%d\n", efl, flags, s.cpl, s.shadow != 0, s.a20, s.smm,
           s.halted != 0);
  };
  const u64* g = s.gpr;
  if (code64(s)) {
    const auto row = [&](const char* a, u64 va, const char* b, u64 vb, const char* c, u64 vc, const char* d, u64 vd) {
      append(out, "%s=%016llx %s=%016llx %s=%016llx %s=%016llx\n", a, static_cast<ull>(va), b, static_cast<ull>(vb), c,
             static_cast<ull>(vc), d, static_cast<ull>(vd));
    };
    row("RAX", g[RAX], "RBX", g[RBX], "RCX", g[RCX], "RDX", g[RDX]);
    row("RSI", g[RSI], "RDI", g[RDI], "RBP", g[RBP], "RSP", g[RSP]);
    row("R8 ", g[R8], "R9 ", g[R9], "R10", g[R10], "R11", g[R11]);
    row("R12", g[R12], "R13", g[R13], "R14", g[R14], "R15", g[R15]);
    append(out, "RIP=%016llx ", static_cast<ull>(s.rip));
    append(out, "RFL=%08x [%s] CPL=%d II=%d A20=%d SMM=%d HLT=%d\n", efl, flags, s.cpl, s.shadow != 0, s.a20, s.smm,
           s.halted != 0);
  } else {
    const auto w = [&](unsigned r) { return static_cast<u32>(g[r]); };
    append(out, "EAX=%08x EBX=%08x ECX=%08x EDX=%08x\n", w(RAX), w(RBX), w(RCX), w(RDX));
    append(out, "ESI=%08x EDI=%08x EBP=%08x ESP=%08x\n", w(RSI), w(RDI), w(RBP), w(RSP));
    append(out, "EIP=%08x ", static_cast<u32>(s.rip));
    tail();
  }
  static constexpr const char* kNames[6] = {"ES", "CS", "SS", "DS", "FS", "GS"};
  for (unsigned i = 0; i < 6; i++) dump_segment(out, s, kNames[i], s.seg[i]);
  dump_segment(out, s, "LDT", s.seg[LDTR]);
  dump_segment(out, s, "TR", s.seg[TR]);
  if (long_mode(s)) {
    append(out, "GDT=     %016llx %08x\nIDT=     %016llx %08x\n", static_cast<ull>(s.gdtr.base), s.gdtr.limit,
           static_cast<ull>(s.idtr.base), s.idtr.limit);
    append(out, "CR0=%08x CR2=%016llx CR3=%016llx CR4=%08x\n", static_cast<u32>(s.cr0), static_cast<ull>(s.cr2),
           static_cast<ull>(s.cr3), static_cast<u32>(s.cr4));
  } else {
    append(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", static_cast<u32>(s.gdtr.base), s.gdtr.limit,
           static_cast<u32>(s.idtr.base), s.idtr.limit);
    append(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", static_cast<u32>(s.cr0), static_cast<u32>(s.cr2),
           static_cast<u32>(s.cr3), static_cast<u32>(s.cr4));
  }
  const int digits = wide_model(model_) ? 16 : 8;
  for (unsigned i = 0; i < 4; i++) append(out, "DR%u=%0*llx ", i, digits, static_cast<ull>(s.dr[i]));
  append(out, "\nDR6=%0*llx DR7=%0*llx\n", digits, static_cast<ull>(s.dr[6]), digits, static_cast<ull>(s.dr[7]));
  append(out, "EFER=%016llx\n", static_cast<ull>(s.efer));
  append(out, "FCW=%04x FSW=%04x [ST=%d] FTW=%02x MXCSR=%08x\n", s.fcw, status_word(s), s.top,
         static_cast<u8>(~s.fptag), s.mxcsr | (s.h.fp_env & 0x3f));
  for (unsigned i = 0; i < 8; i++) {
    append(out, "FPR%u=%016llx %04x%c", i, static_cast<ull>(s.st[i].significand), s.st[i].sign_exponent,
           i & 1 ? '\n' : ' ');
  }
  for (unsigned i = 0; i < (code64(s) ? 16u : 8u); i++) {
    append(out, "XMM%02u=%016llx%016llx%c", i, static_cast<ull>(s.xmm[i].d[1]), static_cast<ull>(s.xmm[i].d[0]),
           i & 1 ? '\n' : ' ');
  }
  return out;
}

}  // namespace doppel::x86

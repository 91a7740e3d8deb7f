// RDMSR and WRMSR: the rows of sysregs.def and the registers that do something.
#include "base/log.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

// Storage of STORED rows.
enum MsrSlot : unsigned {
#define FIELD(number, name, field, mask, doc)
#define CANONICAL(number, name, field, doc)
#define STORED(number, name, reset, mask, doc) kSlot_##name,
#define CONSTANT(number, name, value, doc)
#define IGNORED(number, name, value, doc)
#define SPECIAL(number, name, doc)
#include "guest/x86/sysregs.def"
#undef FIELD
#undef CANONICAL
#undef STORED
#undef CONSTANT
#undef IGNORED
#undef SPECIAL
  kSlotCount
};
static_assert(kSlotCount <= kMsrSlots);

bool read_TSC(X86State& s, u64& v) {
  v = s.platform->tsc() + s.tsc_offset;
  return true;
}
bool write_TSC(X86State& s, u64 v) {
  s.tsc_offset = v - s.platform->tsc();
  return true;
}
bool read_TSC_ADJUST(X86State& s, u64& v) {
  v = s.tsc_offset;
  return true;
}
bool write_TSC_ADJUST(X86State& s, u64 v) {
  s.tsc_offset = v;
  return true;
}

bool read_TSC_DEADLINE(X86State& s, u64& v) {
  if (!s.model->has(FeatureWord::L1Ecx, 24)) return false;
  v = s.tsc_deadline;
  return true;
}
bool write_TSC_DEADLINE(X86State& s, u64 v) {
  if (!s.model->has(FeatureWord::L1Ecx, 24)) return false;
  s.tsc_deadline = v;
  s.platform->tsc_deadline(s.h.index, v == 0 ? 0 : v - s.tsc_offset);  // the board's counter has no offset
  return true;
}

bool read_BIOS_SIGN_ID(X86State& s, u64& v) {
  v = s.model->vendor == "GenuineIntel" ? u64{1} << 32 : 0x1000065;
  return true;
}
bool write_BIOS_SIGN_ID(X86State&, u64) { return true; }

bool read_EFER(X86State& s, u64& v) {
  v = s.efer;
  return true;
}
bool write_EFER(X86State& s, u64 v) {
  const u64 allowed = efer_allowed(*s.model);
  if (v & ~(allowed | EFER_LMA)) return false;
  if (((v ^ s.efer) & EFER_LME) && (s.cr0 & CR0_PG)) return false;
  const u64 next = (v & allowed) | (s.efer & EFER_LMA);
  const bool nx = (next ^ s.efer) & EFER_NXE;
  s.efer = next;
  if (nx) flush_tlb(s);
  update_mode(s);
  return true;
}

bool read_PAT(X86State& s, u64& v) {
  v = s.pat;
  return true;
}
bool write_PAT(X86State& s, u64 v) {
  for (unsigned i = 0; i < 8; i++) {
    const unsigned type = (v >> (8 * i)) & 0xff;
    if (type > 7 || type == 2 || type == 3) return false;
  }
  s.pat = v;
  return true;
}

bool apic_msr(u32 n) { return n == 0x1b || (n >= 0x800 && n < 0x900); }
// Long-mode and SYSCALL registers are there when the model has extended features.
bool absent(const X86State& s, u32 n) { return n >= 0xc0000080u && n < 0xc0000200u && s.model->xlevel < 0x80000001u; }

}  // namespace

u64 efer_allowed(const CpuModel& m) {
  u64 v = 0;
  if (m.has(FeatureWord::E1Edx, 11)) v |= EFER_SCE;
  if (m.has(FeatureWord::E1Edx, 29)) v |= EFER_LME;
  if (m.has(FeatureWord::E1Edx, 20)) v |= EFER_NXE;
  if (m.has(FeatureWord::E1Edx, 25)) v |= EFER_FFXSR;
  return v;
}

// The formatter takes rows of labels in macros apart.
// clang-format off
bool read_msr(X86State& s, u32 number, u64& value) {
  if (apic_msr(number)) return s.platform->apic_msr_read(s.h.index, number, value);
  if (absent(s, number)) return false;
  switch (number) {
#define FIELD(number, name, field, mask, doc) case number: value = s.field; return true;
#define CANONICAL(number, name, field, doc) case number: value = s.field; return true;
#define STORED(number, name, reset, mask, doc) case number: value = s.msr[kSlot_##name]; return true;
#define CONSTANT(number, name, constant, doc) case number: value = constant; return true;
#define IGNORED(number, name, constant, doc) case number: value = constant; return true;
#define SPECIAL(number, name, doc) case number: return read_##name(s, value);
#include "guest/x86/sysregs.def"
#undef FIELD
#undef CANONICAL
#undef STORED
#undef CONSTANT
#undef IGNORED
#undef SPECIAL
    default: return false;
  }
}

bool write_msr(X86State& s, u32 number, u64 value) {
  if (apic_msr(number)) return s.platform->apic_msr_write(s.h.index, number, value);
  if (absent(s, number)) return false;
  switch (number) {
#define FIELD(number, name, field, mask, doc) \
  case number:                                \
    if (value & ~u64{mask}) return false;     \
    s.field = value;                          \
    return true;
#define CANONICAL(number, name, field, doc) \
  case number:                              \
    if (!canonical(value)) return false;    \
    s.field = value;                        \
    return true;
#define STORED(number, name, reset, mask, doc)                            \
  case number: {                                                          \
    u64& slot = s.msr[kSlot_##name];                                      \
    slot = (slot & ~u64{mask}) | (value & u64{mask});                     \
    return true;                                                          \
  }
#define CONSTANT(number, name, value, doc) case number: return false;
#define IGNORED(number, name, value, doc) case number: return true;
#define SPECIAL(number, name, doc) case number: return write_##name(s, value);
#include "guest/x86/sysregs.def"
#undef FIELD
#undef CANONICAL
#undef STORED
#undef CONSTANT
#undef IGNORED
#undef SPECIAL
    default: return false;
  }
}

// clang-format on

void reset_msrs(X86State& s) {
  s.star = s.lstar = s.cstar = s.sfmask = s.kernel_gs_base = 0;
  s.sysenter_cs = s.sysenter_esp = s.sysenter_eip = 0;
  s.tsc_offset = s.tsc_aux = s.tsc_deadline = 0;
  s.pat = 0x0007040600070406;
  s.misc_enable = 1 | (s.model->has(FeatureWord::L1Ecx, 3) ? u64{1} << 18 : 0);
  s.mtrr_def_type = 0;
  for (u64& v : s.mtrr_fixed) v = 0;
  for (u64& v : s.mtrr_var) v = 0;
#define FIELD(number, name, field, mask, doc)
#define CANONICAL(number, name, field, doc)
#define STORED(number, name, reset, mask, doc) s.msr[kSlot_##name] = reset;
#define CONSTANT(number, name, value, doc)
#define IGNORED(number, name, value, doc)
#define SPECIAL(number, name, doc)
#include "guest/x86/sysregs.def"
}

}  // namespace doppel::x86

// Exceptions as they are raised: recorded, then the region is left; deliver_pending (cpu.cpp) takes them up at the
// boundary. Double and triple faults, and debug exceptions (SDM vol. 3, 6.15 and chapter 17). Trap: raise() unwinds by
// longjmp; the frames between the fault and the vCPU loop must own nothing.
#include "base/assert.h"
#include "base/log.h"
#include "guest/x86/platform.h"
#include "guest/x86/system/system.h"

namespace doppel::x86 {
namespace {

[[noreturn]] void record_and_leave(X86State& s, u8 vector, bool has_error, u32 error, u8 soft, u8 next_len) {
  s.exc_pending = 1;
  s.exc_vector = vector;
  s.exc_has_error = has_error;
  s.exc_error = error;
  s.exc_soft = soft;
  s.exc_next_len = next_len;
  s.pc_exact = 0;
  leave_to_loop(s);
}

void sync_pc(X86State& s) {
  if (!s.pc_exact) s.h.runtime->sync_pc();
}

bool has_error_code(u8 vector) {
  switch (vector) {
    case DF_:
    case TS:
    case NP:
    case SS_:
    case GP:
    case PF_:
    case AC_: return true;
    default: return false;
  }
}

}  // namespace

bool is_contributory(u8 vector) { return vector == DE || (vector >= TS && vector <= GP); }

void raise(X86State& s, u8 vector) {
  sync_pc(s);
  record_and_leave(s, vector, has_error_code(vector), 0, 0, 0);
}

void raise_error(X86State& s, u8 vector, u32 error) {
  sync_pc(s);
  // Real mode pushes no error codes; deliver_interrupt knows.
  record_and_leave(s, vector, true, error, 0, 0);
}

void raise_page_fault(X86State& s, u64 va, u32 error) {
  sync_pc(s);
  s.exc_cr2 = va;
  s.cr2 = va;
  record_and_leave(s, PF_, true, error, 0, 0);
}

void raise_software(X86State& s, u8 vector, u32 next_len) {
  sync_pc(s);
  record_and_leave(s, vector, false, 0, 1, static_cast<u8>(next_len));
}

void raise_here(X86State& s, u8 vector) { record_and_leave(s, vector, has_error_code(vector), 0, 0, 0); }

void leave_to_loop(X86State& s) {
  s.h.runtime->unwind();
  UNREACHABLE();  // the compiler forgets that a virtual function does not return
}

// --- debug registers

namespace {
unsigned breakpoint_length(u64 dr7, unsigned n) {
  static constexpr u8 kLength[4] = {1, 2, 8, 4};
  return kLength[(dr7 >> (18 + 4 * n)) & 3];
}
bool breakpoint_enabled(u64 dr7, unsigned n) { return (dr7 >> (2 * n)) & 3; }
unsigned breakpoint_type(u64 dr7, unsigned n) { return static_cast<unsigned>((dr7 >> (16 + 4 * n)) & 3); }
}  // namespace

u64 match_breakpoints(const X86State& s, u64 address, u32 size, unsigned kinds) {
  u64 hit = 0;
  for (unsigned n = 0; n < 4; n++) {
    if (!breakpoint_enabled(s.dr[7], n) || !((kinds >> breakpoint_type(s.dr[7], n)) & 1)) continue;
    const u64 length = breakpoint_type(s.dr[7], n) == 0 ? 1 : breakpoint_length(s.dr[7], n);
    const u64 start = s.dr[n] & ~(length - 1);
    if (address < start + length && start < address + size) hit |= u64{1} << n;
  }
  return hit;
}

void update_watches(X86State& s) {
  if (s.h.soft_tlb) {
    mem::tlb_clear_watches(s.h);
    for (unsigned n = 0; n < 4; n++) {
      const unsigned type = breakpoint_type(s.dr[7], n);
      if (!breakpoint_enabled(s.dr[7], n) || (type != 1 && type != 3)) continue;
      const u64 length = breakpoint_length(s.dr[7], n);
      mem::tlb_watch_range(s.h, s.dr[n] & ~(length - 1), length);
    }
  }
  update_mode(s);
}

}  // namespace doppel::x86

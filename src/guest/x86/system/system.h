// Shared by the system parts of the x86 CPU (segment, exception, interrupt, far transfer, task, paging, SMM):
// descriptors, the stack that a transfer uses, and the steps that more than one of them takes. Nothing here is for
// translated code. SDM vol. 3, chapters 3 to 7.
#pragma once
#include "guest/x86/state.h"
#include "mem/guest_access.h"

namespace doppel::x86 {

inline bool protected_mode(const X86State& s) { return (s.cr0 & CR0_PE) != 0; }
inline bool vm86(const X86State& s) { return (s.eflags & VM) && (s.cr0 & CR0_PE); }
inline bool real_or_vm86(const X86State& s) { return !(s.cr0 & CR0_PE) || (s.eflags & VM); }
inline bool long_mode(const X86State& s) { return (s.efer & EFER_LMA) != 0; }
inline bool code64(const X86State& s) { return long_mode(s) && (s.seg[CS].attr & kAttrL); }
inline unsigned iopl(const X86State& s) { return (s.eflags >> 12) & 3; }
inline bool canonical(u64 va) { return sign_extend(va, 48) == va; }
// Linear addresses have 32 bits outside long mode.
inline u64 wrap_linear(const X86State& s, u64 va) { return long_mode(s) ? va : static_cast<u32>(va); }
inline bool null_selector(u16 sel) { return (sel & 0xfffc) == 0; }

// Implicit accesses of the processor: descriptor tables and TSS.
template <typename T>
T load_system(X86State& s, u64 va) {
  return mem::load<T>(s.h, wrap_linear(s, va), implicit_mmu_mode(s));
}
template <typename T>
void store_system(X86State& s, u64 va, T v) {
  mem::store<T>(s.h, wrap_linear(s, va), v, implicit_mmu_mode(s));
}

// A descriptor as it lies in memory (SDM vol. 3, figure 3-8).
struct Descriptor {
  u32 lo = 0, hi = 0;
  unsigned type() const { return (hi >> 8) & 15; }
  bool system() const { return !(hi & (1u << 12)); }
  unsigned dpl() const { return (hi >> 13) & 3; }
  bool present() const { return hi & (1u << 15); }
  bool code() const { return !system() && (hi & (1u << 11)); }
  bool conforming() const { return code() && (hi & (1u << 10)); }
  bool readable() const { return !system() && (!code() || (hi & (1u << 9))); }
  bool writable() const { return !system() && !code() && (hi & (1u << 9)); }
  bool l() const { return hi & (1u << 21); }
  bool db() const { return hi & (1u << 22); }
  u32 base() const { return (lo >> 16) | (hi & 0xff) << 16 | (hi & 0xff000000u); }
  u32 limit() const {
    const u32 l = (lo & 0xffff) | (hi & 0xf0000);
    return (hi & (1u << 23)) ? l << 12 | 0xfff : l;
  }
  u16 attr() const { return static_cast<u16>((hi >> 8) & 0xf0ff); }
  Segment segment(u16 selector) const { return {base(), limit(), selector, attr()}; }
  // Gates.
  u16 gate_selector() const { return static_cast<u16>(lo >> 16); }
  u32 gate_offset() const { return (lo & 0xffff) | (hi & 0xffff0000u); }
};
enum SystemType : unsigned {
  kTss16 = 1,
  kLdt = 2,
  kTss16Busy = 3,
  kCallGate16 = 4,
  kTaskGate = 5,
  kIntGate16 = 6,
  kTrapGate16 = 7,
  kTss32 = 9 /* 64-bit too */,
  kTss32Busy = 11,
  kCallGate32 = 12,
  kIntGate32 = 14,
  kTrapGate32 = 15
};

// --- segment.cpp
// The linear address of a selector's descriptor; false when it lies outside its table.
bool descriptor_address(const X86State& s, u16 selector, unsigned size, u64& address);
bool read_descriptor(X86State& s, u16 selector, Descriptor& d);
// The upper half of a 16-byte system descriptor of long mode; false outside the table or when its type bits are not
// zero.
bool read_descriptor_high(X86State& s, u16 selector, u32& base_high);
void mark_accessed(X86State& s, u16 selector, Descriptor& d);
void set_busy(X86State& s, u16 selector, bool busy);
void load_real_segment(X86State& s, unsigned reg, u16 selector);
void load_vm86_segment(X86State& s, unsigned reg, u16 selector);
// MOV, POP, LxS to ES SS DS FS GS in any mode, with all checks.
void load_data_segment(X86State& s, unsigned reg, u16 selector);
// Makes the segment null. FS and GS lose their base; DPL stays that of `cpl` for SS.
void load_null_segment(X86State& s, unsigned reg, u16 selector);
// The checks of a new stack segment for privilege `cpl`; raises `vector` (#TS or #GP) with `ext` or-ed in the error
// code, #SS if not present.
Descriptor check_stack_segment(X86State& s, u16 selector, unsigned cpl, u8 vector, u32 ext);
// After a return to an outer privilege: data segments that the new CPL may not use become null.
void drop_privileged_segments(X86State& s);
// CS from its descriptor; sets CPL. Caller updates the mode.
void set_cs(X86State& s, u16 selector, const Descriptor& d, unsigned cpl);
// A near or far target offset: #GP(`error`) beyond the limit or not canonical.
void check_target(X86State& s, const Descriptor& d, u64 offset, u32 error);

// The stack a transfer pushes on or pops from. First check everything (reserve), then write.
struct Stack {
  X86State& s;
  Segment ss;
  u64 sp;
  u64 mask;  // ~0 in 64-bit mode, else 0xffffffff or 0xffff
  u32 mmu;
  u32 error;  // code of #SS
  bool flat64;
  static Stack current(X86State& s);
  static Stack make(X86State& s, const Segment& ss, u64 sp, bool flat64, unsigned cpl, u32 error);
  void check(u64 offset, unsigned size) const;        // #SS
  void reserve(unsigned count, unsigned size) const;  // count pushes of `size` cannot fault afterwards
  void push(u64 value, unsigned size);
  u64 pop(unsigned size);
  u64 peek(u64 distance, unsigned size) const;  // at sp + distance
  u64 linear(u64 offset) const;
  void commit() const;  // writes rSP
};

// --- exception.cpp, interrupt.cpp
bool is_contributory(u8 vector);
// What is delivered through the IDT.
struct Delivery {
  u8 vector = 0;
  bool has_error = false;
  u32 error = 0;
  bool soft = false;   // INT n, INT3, INTO: gate DPL checked, EXT = 0
  bool fault = false;  // pushes RF = 1
  u64 return_rip = 0;
};
void deliver_interrupt(X86State& s, const Delivery& d);
// INT n of virtual-8086 mode through the program's own table (VME).
void deliver_vm86_redirected(X86State& s, u8 vector, u64 return_rip);
void iret_protected(X86State& s, unsigned opsize);
void iret_real(X86State& s, unsigned opsize);

// --- task.cpp
enum class TaskSource { Jmp, Call, Int, Iret };
// Saves the current task with `next_rip` and enters `selector`'s TSS. error_code: pushed on the new stack when not
// null.
void task_switch(X86State& s, u16 selector, const Descriptor& tss, TaskSource source, u64 next_rip,
                 const u32* error_code);
// The stack for privilege `cpl` from the 16- or 32-bit TSS.
void tss_stack(X86State& s, unsigned cpl, u16& ss, u32& sp, u32 ext);
u64 tss_stack64(X86State& s, unsigned index /* 0-2: RSPn; 3 + n: ISTn, n from 1 */, u32 ext);
// The I/O permission bitmap.
bool io_allowed(X86State& s, u16 port, unsigned size);
// VME: is INT n redirected to the 8086 program?
bool vme_redirected(X86State& s, u8 vector);

// --- paging state (mmu.cpp) and control registers (system_cr.cpp)
bool load_pdptes(X86State& s, u64 cr3);  // false: reserved bits; nothing changed
void flush_tlb(X86State& s);
void switch_space(X86State& s, bool keep);  // after a change of CR3
void write_cr0(X86State& s, u64 value);     // checks; #GP
void write_cr3(X86State& s, u64 value);
void write_cr4(X86State& s, u64 value);
u64 cr4_allowed(const CpuModel& m);
// Sets registers without checks (reset, RSM, loading a state), then recomputes all that is derived.
void paging_changed(X86State& s);
void update_watches(X86State& s);  // after DR7 or DR0-3 changed

// --- sysregs.cpp
bool read_msr(X86State& s, u32 number, u64& value);  // false: #GP
bool write_msr(X86State& s, u32 number, u64 value);
void reset_msrs(X86State& s);
u64 efer_allowed(const CpuModel& m);

// --- cpuid.cpp
struct CpuidResult {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};
CpuidResult cpuid(const X86State& s, u32 leaf, u32 subleaf);
u32 xsave_size(u64 components, bool compacted);
constexpr u64 kXcr0Supported = 3;  // x87, SSE

// --- smm.cpp
void enter_smm(X86State& s);
void leave_smm(X86State& s);  // RSM; raises nothing: a bad image is a shutdown

// --- cpu.cpp
void reset_state(X86State& s);
void init_state(X86State& s);  // INIT: keeps caches, FPU, SSE, MSRs
void shutdown(X86State& s);
void pull_exit(X86State& s);            // asks for a look at the events
bool interrupt_due(const X86State& s);  // INTR or the local APIC, and IF and no shadow

// Debug exceptions (exception.cpp).
u64 match_breakpoints(const X86State& s, u64 address, u32 size, unsigned kinds /* bit n: R/W type n */);

}  // namespace doppel::x86

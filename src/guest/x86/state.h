// The x86 CPU's state: plain data, first the VcpuHeader, then what generated code touches most. Names are the SDM's.
// Architectural registers are exact whenever a helper that reads state runs, and at every region boundary.
#pragma once
#include "guest/x86/cpu_models.h"
#include "ir/ir.h"
#include "mem/vcpu_header.h"

namespace doppel::x86 {

class Platform;

enum Gpr : u8 { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum SegReg : u8 { ES, CS, SS, DS, FS, GS, LDTR, TR };

// A segment register with its hidden part. `attr` is bits 8..23 of the descriptor's high dword, shifted right by 8:
// type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15 (SDM vol. 3, 3.4.5). `limit` is in bytes, G applied.
struct Segment {
  u64 base = 0;
  u32 limit = 0;
  u16 selector = 0;
  u16 attr = 0;
};
enum SegAttr : u16 {
  kAttrAccessed = 1,
  kAttrWritable = 2 /* data */,
  kAttrReadable = 2 /* code */,
  kAttrExpandDown = 4,
  kAttrConforming = 4,
  kAttrCode = 8,
  kAttrS = 1 << 4,
  kAttrP = 1 << 7,
  kAttrL = 1 << 13,
  kAttrDB = 1 << 14,
  kAttrG = 1 << 15
};

enum Eflags : u32 {
  CF = 1,
  PF = 1 << 2,
  AF = 1 << 4,
  ZF = 1 << 6,
  SF = 1 << 7,
  TF = 1 << 8,
  IF = 1 << 9,
  DF = 1 << 10,
  OF = 1 << 11,
  IOPL = 3 << 12,
  NT = 1 << 14,
  RF = 1 << 16,
  VM = 1 << 17,
  AC = 1 << 18,
  VIF = 1 << 19,
  VIP = 1 << 20,
  ID = 1 << 21
};
constexpr u32 kArithFlags = CF | PF | AF | ZF | SF | OF;

enum Cr0 : u32 {
  CR0_PE = 1,
  CR0_MP = 2,
  CR0_EM = 4,
  CR0_TS = 8,
  CR0_ET = 16,
  CR0_NE = 32,
  CR0_WP = 1 << 16,
  CR0_AM = 1 << 18,
  CR0_NW = 1 << 29,
  CR0_CD = 1 << 30,
  CR0_PG = 1u << 31
};
enum Cr4 : u32 {
  CR4_VME = 1,
  CR4_PVI = 2,
  CR4_TSD = 4,
  CR4_DE = 8,
  CR4_PSE = 16,
  CR4_PAE = 32,
  CR4_MCE = 64,
  CR4_PGE = 128,
  CR4_PCE = 256,
  CR4_OSFXSR = 512,
  CR4_OSXMMEXCPT = 1024,
  CR4_UMIP = 2048,
  CR4_LA57 = 4096,
  CR4_FSGSBASE = 1 << 16,
  CR4_PCIDE = 1 << 17,
  CR4_OSXSAVE = 1 << 18,
  CR4_SMEP = 1 << 20,
  CR4_SMAP = 1 << 21
};
enum Efer : u32 { EFER_SCE = 1, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11, EFER_FFXSR = 1 << 14 };
enum Vector : u8 {
  DE = 0,
  DB = 1,
  NMI = 2,
  BP = 3,
  OF_ = 4,
  BR = 5,
  UD = 6,
  NM = 7,
  DF_ = 8,
  TS = 10,
  NP = 11,
  SS_ = 12,
  GP = 13,
  PF_ = 14,
  MF = 16,
  AC_ = 17,
  MC = 18,
  XM = 19
};

union alignas(16) Xmm {
  u8 b[16];
  u16 h[8];
  u32 w[4];
  u64 d[2];
  float ps[4];
  double pd[2];
};
// An x87 register as it lies in memory: 64-bit significand, then sign and exponent.
struct alignas(16) X87Reg {
  u64 significand = 0;
  u16 sign_exponent = 0;
  u16 pad[3] = {};
};

// Events from other threads (bits of `events`); deliver_pending looks at them.
enum CpuEvent : u32 {
  kEventIntr = 1 /* INTR pin high */,
  kEventNmi = 2,
  kEventSmi = 4,
  kEventInit = 8,
  kEventSipi = 16,
  kEventApic = 32 /* local APIC has a vector */,
  kEventReset = 64,
  kEventDebugStop = 128,
  kEventA20 = 256 /* the gate moved */
};

// Bits of the mode word (GuestCpu::mode): all that the meaning of code bytes depends on besides the CPU model.
enum ModeBits : u64 {
  kModeCs32 = 1 << 0,  // CS.D (or legacy 32-bit code)
  kModeCs64 = 1 << 1,  // 64-bit code segment (EFER.LMA and CS.L)
  kModeSs32 = 1 << 2,  // SS.B (64-bit mode: set)
  kModePe = 1 << 3,    // CR0.PE
  kModeVm86 = 1 << 4,
  kModeCplShift = 5,  // two bits
  kModeCpl = 3 << 5,
  kModeFlatData =
      1 << 7,  // DS ES SS: base 0, limit 4 GiB, writable, expand-up, present: no checks (always in 64-bit mode)
  kModeFlatCode = 1 << 8,  // CS: base 0, limit 4 GiB: no limit check on fetch
  kModeLma = 1 << 9,
  kModeTs = 1 << 10,
  kModeEm = 1 << 11,
  kModeMp = 1 << 12,  // CR0
  kModeOsfxsr = 1 << 13,
  kModeOsxsave = 1 << 14,  // CR4
  kModeSmm = 1 << 15,
  kModeTf = 1 << 16,          // EFLAGS.TF
  kModeShadow = 1 << 17,      // the instruction after STI or MOV SS: one-instruction region, no interrupt before it
  kModeFpExc = 1 << 18,       // MXCSR has an unmasked exception: SSE float through checking helpers
  kModeX87Exc = 1 << 19,      // x87 control word has an unmasked exception
  kModeAlignCheck = 1 << 20,  // CR0.AM, EFLAGS.AC, CPL 3
  kModeIoplOk = 1 << 21,      // CPL <= IOPL: CLI, STI, IN, OUT need no further check
  kModeFlatFsGs =
      1 << 22,  // FS and GS usable without limit checks (limit 4 GiB, writable, present; base may differ). 64-bit: set
  kModeUmip = 1 << 23,
  kModeX87Step =
      1 << 24,          // an x87 register is not valid or empty as translated code wanted it: one instruction by helper
  kModeTsd = 1 << 27,   // CR4.TSD
  kModeIobp = 1 << 28,  // a breakpoint is armed in DR7 (code, data or I/O): one-instruction regions that call
                        // insn_breakpoint first
  kModeFlatFs = 1 << 29,  // FS alone, GS alone, as kModeFlatFsGs
  kModeFlatGs = 1 << 30,
};

enum HaltState : u8 {
  kRunning = 0,
  kHalted = 1 /* HLT, MWAIT */,
  kWaitSipi = 2,
  kMwaitAny = 3 /* MWAIT that interrupts end even if IF = 0 */,
  kShutdown = 4 /* after a triple fault */
};
constexpr unsigned kMsrSlots = 64;

struct X86State {
  mem::VcpuHeader h;
  u64 gpr[16];
  u64 rip;
  u16 flags;       // arithmetic flags, in the IR's FLAGS form
  u32 eflags;      // all other bits of EFLAGS; arithmetic bits here are zero. Use get_eflags/set_eflags
  Segment seg[8];  // by SegReg
  Xmm xmm[16];
  u32 mxcsr;  // as the guest wrote it; sticky bits may be newer in h.fp_env (sync_mxcsr)
  // x87 (SDM vol. 1, chapter 8). st[i] is physical register i; ST(n) is st[(top + n) & 7].
  X87Reg st[8];
  u16 fcw;
  u16 fsw;  // without TOP, which is in `top`
  u8 top;
  u8 fptag;     // one bit a physical register: 1 = empty
  u8 x87_step;  // see kModeX87Step
  u16 fop;
  u64 fip, fdp;
  u16 fcs, fds;
  // System registers
  u64 cr0, cr2, cr3, cr4, cr8;
  u64 dr[8];
  u64 efer;
  Segment gdtr, idtr;  // base and limit used
  u64 star, lstar, cstar, sfmask, kernel_gs_base;
  u64 sysenter_cs, sysenter_esp, sysenter_eip;
  u64 tsc_offset, tsc_aux, tsc_deadline, apic_base, pat, misc_enable, smbase, xcr0;
  u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
  u64 pdpte[4];  // PAE: loaded with CR3
  // Execution
  u8 cpl;
  u8 halted;  // see HaltState
  u8 smm, nmi_blocked,
      shadow /* interrupt shadow until the next instruction has run; 1: STI, 2: MOV SS (holds #DB back too) */;
  u8 a20;
  std::atomic<u8> a20_wanted;  // the A20M# pin
  u8 sipi_vector;
  // A recorded exception, to be delivered by deliver_pending (exception.cpp).
  u8 exc_pending, exc_vector, exc_has_error, exc_soft /* INT n, INT3, INTO */, exc_next_len;
  u32 exc_error;
  u64 exc_cr2;
  u64 exc_dr6;
  s16 delivering;           // vector being delivered, or -1: for double and triple faults
  std::atomic<u32> events;  // CpuEvent bits, any thread
  u64 mode_cache;           // see update_mode
  u64 system_mode;          // its bits that system registers decide
  Platform* platform;
  const CpuModel* model;
  u64 pdpt_version;
  Xmm vtemp[4];  // operands of vector helpers
  u64 monitor_address;
  u8 monitor_armed;
  u64 flag_operand;  // of a flag recipe (ir/ir.h)
  u64 trap_dr6;      // data and I/O breakpoints hit by the running instruction: a #DB trap after it
  u8 step_held;      // the running instruction makes no single-step trap (SYSCALL that clears TF)
  u8 pc_exact;  // RIP is the one to report though generated code runs: a task switch is past its point of no return
  u64 msr[kMsrSlots];  // registers of sysregs.def that are only stored
  u8 program;          // the CPU runs a single program (user.cpp)
  void* cpu;           // the X86Cpu
};

// --- accessors used by every part of the CPU (state.cpp)
u32 get_eflags(const X86State& s);  // the whole register, bit 1 set
void set_eflags(X86State& s, u32 value,
                u32 mask);      // bits in `mask` change; calls update_mode when TF, VM, AC, IOPL change
void update_mode(X86State& s);  // recomputes mode_cache and the MMU mode after any change of CRs, CPL, segments, EFLAGS
void update_code_mode(X86State& s);      // the same when only CPL, segments or EFLAGS changed
u64 mode_word(const X86State& s);        // GuestCpu::mode
void select_code(X86State& s);           // generated code's next exit shall look for code of the mode that holds now
void sync_mxcsr(X86State& s);            // folds h.fp_env's sticky bits into mxcsr
void set_mxcsr(X86State& s, u32 value);  // value checked by the caller; sets h.fp_env with all exceptions masked
extern const ir::StateLayout kLayout;    // rows below

// Register ids of the layout, in this order.
enum Reg : ir::RegId {
  kRegGpr0 = 0,
  /* ..15 */ kRegRip = 16,
  kRegFlags,
  kRegEflagsSys,
  kRegSegBase0,
  /* ES CS SS DS FS GS: 6 rows, I64 */ kRegSegSel0 = kRegSegBase0 + 6, /* 6 rows, I16 */
  kRegXmm0 = kRegSegSel0 + 6,
  /* 16 rows, V128 */ kRegVtemp0 = kRegXmm0 + 16, /* 4 rows */
  kRegMmx0 = kRegVtemp0 + 4,                      /* 8 rows, I64: significands of the physical x87 registers */
  kRegTop = kRegMmx0 + 8,
  kRegFcw,
  kRegFsw,
  kRegFptag,
  kRegMxcsr,
  kRegCpl,
  kRegShadow,
  kRegExcNextLen,
  kRegCr0,
  kRegCr2,
  kRegCr3,
  kRegCr4,
  kRegTemp0 /* 4 rows, I64: h.scratch[0..3] */,
  kRegStExp0 = kRegTemp0 + 4,
  /* 8 rows, I16: sign and exponent of the physical x87 registers */ kRegX87Step = kRegStExp0 + 8,
  kRegFlagOperand,
  kRegCount
};

constexpr u8 kProgramSyscall = 2;  // exc_soft: SYSCALL by a single program
void program_syscall(X86State& s, u64 next_pc);

// --- exceptions (exception.cpp). All record the exception with the pc of the running instruction (or RIP, when called
// outside generated code) and unwind to the vCPU loop, which calls deliver_pending.
[[noreturn]] void raise(X86State& s, u8 vector);
[[noreturn]] void raise_error(X86State& s, u8 vector, u32 error);
[[noreturn]] void raise_page_fault(X86State& s, u64 va, u32 error);
// INT n, INT3, INTO, INT1: RIP is `next_len` bytes after the instruction's start when the handler runs.
[[noreturn]] void raise_software(X86State& s, u8 vector, u32 next_len);
// RIP already is what the handler shall see (traps after an instruction): no sync_pc.
[[noreturn]] void raise_here(X86State& s, u8 vector);
// Leaves the region after a helper that changed the world; RIP must already be set.
[[noreturn]] void leave_to_loop(X86State& s);

// MMU modes (VcpuHeader::mmu_mode).
enum MmuMode : u32 {
  kMmuSupervisor = 0,
  kMmuUser = 1,
  kMmuSupervisorSmap = 2 /* explicit supervisor accesses with SMAP on and AC = 0 */
};
inline u32 explicit_mmu_mode(const X86State& s) { return s.h.mmu_mode; }
// Implicit supervisor accesses (descriptor tables, TSS, interrupt stacks).
inline u32 implicit_mmu_mode(const X86State& s) { return (s.cr4 & CR4_SMAP) ? kMmuSupervisorSmap : kMmuSupervisor; }

}  // namespace doppel::x86

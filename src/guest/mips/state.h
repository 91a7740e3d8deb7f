// The state of a MIPS32 or MIPS64 CPU: plain data. Sources: MIPS Architecture For Programmers, volumes I-A, II-A and
// III (MD00082, MD00086, MD00090 for MIPS32; MD00083, MD00087, MD00091 for MIPS64).
//
// On a 32-bit CPU a general register's row holds the 32-bit value zero-extended; on a 64-bit CPU all 64 bits. The pc is
// zero-extended or sign-extended likewise; where there is MIPS16, its bit 0 says that the code is that. A branch and
// its delay slot are one unit of translation: a fault in the slot has the branch's pc with a mark (slot_mark; set_pc
// takes it apart), so that EPC and Cause.BD are exact and the unit starts over.
#pragma once
#include <atomic>

#include "guest/mips/cpu_models.h"
#include "ir/ir.h"
#include "mem/vcpu_header.h"

namespace doppel::mips {

class Platform;
class MipsCpu;

// General registers that instructions name by themselves.
enum Gpr : unsigned { ZERO = 0, SP = 29, RA = 31 };

// CP0 Status (vol. III, 9.24).
enum StatusBits : u32 {
  ST_IE = 1,
  ST_EXL = 1 << 1,
  ST_ERL = 1 << 2,
  ST_KSU = 3 << 3,
  ST_UX = 1 << 5,
  ST_SX = 1 << 6,
  ST_KX = 1 << 7,
  ST_IM = 0xff << 8,
  ST_NMI = 1 << 19,
  ST_SR = 1 << 20,
  ST_TS = 1 << 21,
  ST_BEV = 1 << 22,
  ST_PX = 1 << 23,
  ST_MX = 1 << 24,
  ST_RE = 1 << 25,
  ST_FR = 1 << 26,
  ST_RP = 1 << 27,
  ST_CU0 = 1 << 28,
  ST_CU1 = 1 << 29,
  ST_CU2 = 1 << 30,
};
constexpr unsigned kKsuShift = 3;

// CP0 Cause (vol. III, 9.28).
enum CauseBits : u32 {
  CA_EXC = 0x1f << 2,
  CA_IP = 0xff << 8,
  CA_IP_SOFT = 3 << 8,
  CA_WP = 1 << 22,
  CA_IV = 1 << 23,
  CA_DC = 1 << 27,
  CA_CE = 3 << 28,
  CA_TI = 1 << 30,
  CA_BD = 1u << 31,
};

// Exception codes (vol. III, table 9.47).
enum ExcCode : u8 {
  EXC_INT = 0,
  EXC_MOD = 1,
  EXC_TLBL = 2,
  EXC_TLBS = 3,
  EXC_ADEL = 4,
  EXC_ADES = 5,
  EXC_IBE = 6,
  EXC_DBE = 7,
  EXC_SYS = 8,
  EXC_BP = 9,
  EXC_RI = 10,
  EXC_CPU = 11,
  EXC_OV = 12,
  EXC_TR = 13,
  EXC_MSAFPE = 14,
  EXC_FPE = 15,
  EXC_MSADIS = 21,
  EXC_WATCH = 23,
  EXC_MCHECK = 24,
  EXC_DSPDIS = 26,
};

// FCSR (vol. I-A, 6.5.1): flags at 2, enables at 7, causes at 12; condition 0 at 23, conditions 1 to 7 at 25.
enum FcsrBits : u32 { FCSR_RM = 3, FCSR_NAN2008 = 1 << 18, FCSR_ABS2008 = 1 << 19, FCSR_FS = 1 << 24 };
enum FpException : u32 { FP_I = 1, FP_U = 2, FP_O = 4, FP_Z = 8, FP_V = 16, FP_E = 32 };
constexpr unsigned kFcsrFlags = 2, kFcsrEnables = 7, kFcsrCauses = 12;
constexpr unsigned fcsr_condition_bit(unsigned cc) { return cc == 0 ? 23 : 24 + cc; }

// Config5 (vol. III, 9.55).
enum Config5Bits : u32 { C5_UFR = 1 << 2, C5_MSAEN = 1 << 27 };

// DSPControl (DSP Module MD00374, 3.4): pos at 0, scount at 7, c 13, EFI 14, ouflag at 16, ccond at 24.
enum DspControlBits : u32 { DSP_C = 1 << 13, DSP_EFI = 1 << 14 };
constexpr unsigned kDspOuFlag = 16, kDspCcond = 24;

// MMU modes of the soft TLB.
enum MmuMode : u32 { kMmuKernel = 0, kMmuSupervisor = 1, kMmuUser = 2 };

// The mode word of a region: what the meaning of its bytes depends on.
enum ModeBits : u64 {
  kModeUser = 1,        // CP0 needs Status.CU0
  kModeSupervisor = 2,  // likewise
  kModeCu0 = 4,
  kModeCu1 = 8,
  kModeFr = 0x10,      // 32 floating-point registers of 64 bits
  kModeOp64 = 0x20,    // 64-bit operations are allowed
  kModeVa64 = 0x40,    // addresses are not cut to 32 bits
  kModeMx = 0x100,     // DSP instructions are allowed
  kModeMsa = 0x200,    // MSA instructions are allowed
  kModeMends = 0x400,  // a single program's: its system does loads and stores at any address
  kModeFpHost = 0x80,  // no floating-point trap is enabled, nothing is flushed to zero: the host's own arithmetic does
};

// One entry of the TLB: two pages (vol. III, 4.6).
struct TlbPair {
  u64 vpn2 = 0;       // EntryHi.VPN2 in place, R included on 64-bit CPUs
  u32 page_mask = 0;  // PageMask in place (bits 28..13)
  u8 asid = 0;
  bool global = false;
  u8 pad[2] = {};
  u64 lo[2] = {};  // EntryLo: PFN at 6, C at 3, D 2, V 1
};
static_assert(sizeof(TlbPair) == 32);
constexpr unsigned kMaxTlb = 64;

// Pairs that TLBWR replaced (system/tlb.h).
struct RetiredTlb {
  static constexpr size_t kSets = 128, kWays = 4;
  u64 rewritten = 0;  // entries that TLBWI wrote other pages over
  u32 sizes = 0;      // which page sizes there are: the number of bits of PageMask
  u32 pad = 0;
  TlbPair pairs[kSets][kWays];
};

enum Event : u32 { kEventNmi = 1 };
constexpr u32 kTimerLine = 0x8000;  // IP7

constexpr u32 kFpNone = ~u32{0};

struct MipsState {
  mem::VcpuHeader h;
  u64 gpr[32] = {};
  u64 pc = 0;
  u64 hi = 0, lo = 0;
  u64 fpr[32] = {};                    // with MSA the lower halves of the vector registers
  u64 msa_high[32] = {};               // the upper halves
  u64 acc_hi[3] = {}, acc_lo[3] = {};  // the DSP accumulators 1 to 3; HI and LO are number 0
  u32 fcr31 = 0, msacsr = 0, dsp_control = 0;
  u16 flags = 0;   // the IR's; not used by this guest
  u8 in_slot = 0;  // the pc is that of a branch whose delay slot was under way
  u8 ll_bit = 0;
  u8 waiting = 0;  // WAIT
  // The last floating-point operation that translated code did by itself: an FpOp as helpers take it, or kFpNone; its
  // operands. Its causes are found out when FCSR is looked at; flags are the fp_env's but Invalid, which is in
  // fp_invalid (helpers/fp.cpp).
  u32 fp_last = kFpNone;
  u32 fp_invalid = 0;
  u64 fp_a = 0, fp_b = 0, fp_c = 0;
  u64 ll_address = 0, ll_value = 0;
  // CP0
  u32 index = 0, wired = 0, page_mask = 0, hwrena = 0;
  u64 entry_lo0 = 0, entry_lo1 = 0, context = 0, entry_hi = 0, user_local = 0;
  u64 bad_vaddr = 0, epc = 0, error_epc = 0, depc = 0, desave = 0;
  u32 count_offset = 0, stopped_count = 0, compare = 0;
  u32 status = 0, intctl = 0, srsctl = 0, cause = 0, ebase = 0;
  u32 config0 = 0, config5 = 0, lladdr = 0, taglo = 0, datalo = 0, taghi = 0, datahi = 0, debug = 0, cacheerr = 0,
      errctl = 0;
  u64 watch_lo = 0;
  u32 watch_hi = 0;
  u32 perf_control = 0;
  TlbPair tlb[kMaxTlb];
  u32 random_counter = 0;
  RetiredTlb retired;

  std::atomic<u32> lines{0};             // hardware interrupts, in the bits of Cause.IP
  std::atomic<u32> events{0};            // Event
  std::atomic<u64> compare_at{~u64{0}};  // when Count will equal Compare, in ticks of 64 bits
  // What translate() found out for raise_fault.
  u8 fault_code = 0;
  u8 fault_refill = 0;
  // A single program's (user.cpp): it runs one; an exception waits for the sink, its code and coprocessor.
  u8 program = 0, event_pending = 0, event_code = 0, event_write = 0, event_fetch = 0;

  u64 mode_cache = 0;
  const CpuModel* model = nullptr;
  Platform* platform = nullptr;
  MipsCpu* cpu = nullptr;
};

// The pc of a fault in the delay slot of the branch at `pc`: bit 0, or where bit 0 is taken, bit 32, which no pc has.
constexpr u64 slot_mark_bit(const CpuModel& model) { return model.is_64bit ? 1 : u64{1} << 32; }
constexpr u64 slot_mark(const CpuModel& model, u64 pc) { return pc | slot_mark_bit(model); }

// Rows of kLayout.
enum RegRows : ir::RegId {
  kRegGpr0 = 0,
  kRegPc = 32,
  kRegHi,
  kRegLo,
  kRegFlags,
  kRegFpr0,
  kRegFcr31 = kRegFpr0 + 32,
  kRegLlBit,
  kRegLlAddress,
  kRegLlValue,
  kRegUserLocal,
  kRegFpLast,
  kRegFpA,
  kRegFpB,
  kRegFpC,
  kRegDspControl,
  kRegAccHi1,
  kRegAccLo1 = kRegAccHi1 + 3,
  kRegMsaHigh0 = kRegAccLo1 + 3,
  kRegCount = kRegMsaHigh0 + 32
};
extern const ir::StateLayout kLayout;

// Recomputes the mode word and the MMU mode after a change of Status.
void update_mode(MipsState& s);
inline bool has_64bit(const MipsState& s) { return s.model->is_64bit; }
// An address as a 32-bit CPU has it, or sign-extended from 32 bits on a 64-bit one.
inline u64 canonical32(const MipsState& s, u32 address) {
  return has_64bit(s) ? static_cast<u64>(static_cast<s64>(static_cast<s32>(address))) : address;
}
// Count as the program sees it now.
u32 read_count(const MipsState& s);
u64 timer_ticks(const MipsState& s);             // the counter behind it: 64 bits, no offset
u64 ticks_to_ns(const MipsState& s, u64 ticks);  // not before they are over
// Raises the timer interrupt if Count has passed Compare. The board's timer comes late, and programs look (any thread).
void check_timer(MipsState& s);
// Interrupt requests as Cause.IP shows them.
inline u32 pending_ip(const MipsState& s) {
  return (s.cause & CA_IP_SOFT) | (s.lines.load(std::memory_order_seq_cst) & CA_IP);
}
inline bool interrupts_on(const MipsState& s) { return (s.status & (ST_IE | ST_EXL | ST_ERL)) == ST_IE; }
inline bool interrupt_due(const MipsState& s) { return interrupts_on(s) && (pending_ip(s) & s.status & ST_IM) != 0; }

// --- exceptions (exception.cpp)
// Enters the handler: EPC, Cause, Status, pc. `s.pc` and `s.in_slot` say where.
void enter_exception(MipsState& s, ExcCode code, unsigned coprocessor = 0, bool refill = false);
void enter_address(MipsState& s, ExcCode code, u64 va, bool refill = false);  // with BadVAddr and what follows from it
// The same for what generated code or a slow path met: finds the pc, enters, unwinds.
[[noreturn]] void raise(MipsState& s, ExcCode code, unsigned coprocessor = 0);
[[noreturn]] void raise_address(MipsState& s, ExcCode code, u64 va, bool refill = false);
void enter_reset(MipsState& s, bool nmi);

// --- CP0 registers (sysregs.cpp)
u64 read_cp0(MipsState& s, unsigned reg, unsigned sel);
void write_cp0(MipsState& s, unsigned reg, unsigned sel, u64 value);
void set_status(MipsState& s, u32 value);
void set_msacsr(MipsState& s, u32 value);
void set_fcsr(MipsState& s, u32 value);  // updates the mode
void sync_fcsr(MipsState& s);            // causes and flags of what was done by translated code

// --- TLB (mmu.cpp)
void tlb_write(MipsState& s, unsigned index, bool random = false);
void tlb_read(MipsState& s);
void tlb_probe(MipsState& s);
u32 random_index(MipsState& s);
void clear_retired(MipsState& s);  // of a CPU whose soft TLB is empty

}  // namespace doppel::mips

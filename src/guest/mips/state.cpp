// The layout rows of the MIPS state, and what has to be recomputed when Status changes.
#include "guest/mips/state.h"

#include <cstddef>

#include "guest/mips/platform.h"
#include "mem/guest_access.h"

namespace doppel::mips {
namespace {

#define ROW(name, field, type, rank) \
  { name, static_cast<u32>(offsetof(MipsState, field)), ir::Type::type, rank }
#define GPR(name, n, rank) ROW(name, gpr[n], I64, rank)
#define FPR(n) ROW("f" #n, fpr[n], I64, 0)
#define HIGH(n) ROW("w" #n "_high", msa_high[n], I64, 0)

// The names of the o32 calling convention. Pin ranks: what compilers use most, first.
const ir::RegRow kRows[] = {
    GPR("zero", 0, 0),
    GPR("at", 1, 12),
    GPR("v0", 2, 1),
    GPR("v1", 3, 2),
    GPR("a0", 4, 3),
    GPR("a1", 5, 4),
    GPR("a2", 6, 6),
    GPR("a3", 7, 7),
    GPR("t0", 8, 10),
    GPR("t1", 9, 11),
    GPR("t2", 10, 13),
    GPR("t3", 11, 14),
    GPR("t4", 12, 15),
    GPR("t5", 13, 0),
    GPR("t6", 14, 0),
    GPR("t7", 15, 0),
    GPR("s0", 16, 8),
    GPR("s1", 17, 9),
    GPR("s2", 18, 16),
    GPR("s3", 19, 0),
    GPR("s4", 20, 0),
    GPR("s5", 21, 0),
    GPR("s6", 22, 0),
    GPR("s7", 23, 0),
    GPR("t8", 24, 0),
    GPR("t9", 25, 0),
    GPR("k0", 26, 0),
    GPR("k1", 27, 0),
    GPR("gp", 28, 0),
    GPR("sp", 29, 5),
    GPR("s8", 30, 0),
    GPR("ra", 31, 0),
    ROW("pc", pc, I64, 0),
    ROW("hi", hi, I64, 0),
    ROW("lo", lo, I64, 0),
    ROW("flags", flags, Flags, 0),
    FPR(0),
    FPR(1),
    FPR(2),
    FPR(3),
    FPR(4),
    FPR(5),
    FPR(6),
    FPR(7),
    FPR(8),
    FPR(9),
    FPR(10),
    FPR(11),
    FPR(12),
    FPR(13),
    FPR(14),
    FPR(15),
    FPR(16),
    FPR(17),
    FPR(18),
    FPR(19),
    FPR(20),
    FPR(21),
    FPR(22),
    FPR(23),
    FPR(24),
    FPR(25),
    FPR(26),
    FPR(27),
    FPR(28),
    FPR(29),
    FPR(30),
    FPR(31),
    ROW("fcr31", fcr31, I32, 0),
    ROW("ll_bit", ll_bit, I8, 0),
    ROW("ll_address", ll_address, I64, 0),
    ROW("ll_value", ll_value, I64, 0),
    ROW("user_local", user_local, I64, 0),
    ROW("fp_last", fp_last, I32, 0),
    ROW("fp_a", fp_a, I64, 0),
    ROW("fp_b", fp_b, I64, 0),
    ROW("fp_c", fp_c, I64, 0),
    ROW("dspcontrol", dsp_control, I32, 0),
    ROW("hi1", acc_hi[0], I64, 0),
    ROW("hi2", acc_hi[1], I64, 0),
    ROW("hi3", acc_hi[2], I64, 0),
    ROW("lo1", acc_lo[0], I64, 0),
    ROW("lo2", acc_lo[1], I64, 0),
    ROW("lo3", acc_lo[2], I64, 0),
    HIGH(0),
    HIGH(1),
    HIGH(2),
    HIGH(3),
    HIGH(4),
    HIGH(5),
    HIGH(6),
    HIGH(7),
    HIGH(8),
    HIGH(9),
    HIGH(10),
    HIGH(11),
    HIGH(12),
    HIGH(13),
    HIGH(14),
    HIGH(15),
    HIGH(16),
    HIGH(17),
    HIGH(18),
    HIGH(19),
    HIGH(20),
    HIGH(21),
    HIGH(22),
    HIGH(23),
    HIGH(24),
    HIGH(25),
    HIGH(26),
    HIGH(27),
    HIGH(28),
    HIGH(29),
    HIGH(30),
    HIGH(31),
};
static_assert(std::size(kRows) == kRegCount);

}  // namespace

const ir::StateLayout kLayout{kRows, kRegCount, kRegPc, kRegFlags};

void update_mode(MipsState& s) {
  const u32 ksu = (s.status & ST_KSU) >> kKsuShift;
  const bool kernel = (s.status & (ST_EXL | ST_ERL)) || ksu == 0 || ksu == 3;
  u64 m = 0;
  u32 mmu = kMmuKernel;
  if (!kernel) {
    m |= ksu == 2 ? kModeUser : kModeSupervisor;
    mmu = ksu == 2 ? kMmuUser : kMmuSupervisor;
  }
  if (kernel || (s.status & ST_CU0)) m |= kModeCu0;
  if (s.model->fpu && (s.status & ST_CU1)) m |= kModeCu1;
  if (s.status & ST_FR) m |= kModeFr;
  if (s.status & ST_MX) m |= kModeMx;
  if (s.program) m |= kModeMends;
  if (s.config5 & C5_MSAEN) m |= kModeMsa;
  if (!(s.fcr31 & (FCSR_FS | 0x1fu << kFcsrEnables))) m |= kModeFpHost;
  if (has_64bit(s)) {
    const u32 extended = mmu == kMmuUser ? ST_UX : mmu == kMmuSupervisor ? ST_SX : ST_KX;
    if (s.status & extended) m |= kModeVa64;
    if (mmu != kMmuUser || (s.status & (ST_UX | ST_PX))) m |= kModeOp64;
  }
  s.mode_cache = m;
  if (mmu == s.h.mmu_mode) return;
  if (s.h.soft_tlb)
    mem::tlb_set_mode(s.h, mmu);
  else
    s.h.mmu_mode = mmu;
}

u32 read_count(const MipsState& s) {
  if (s.cause & CA_DC) return s.stopped_count;
  return static_cast<u32>(timer_ticks(s)) + s.count_offset;
}

u64 timer_ticks(const MipsState& s) {
  return static_cast<u64>(static_cast<u128>(s.platform->now_ns()) * s.platform->count_hz() / 1'000'000'000u);
}

u64 ticks_to_ns(const MipsState& s, u64 ticks) {
  const u64 hz = s.platform->count_hz();
  return static_cast<u64>((static_cast<u128>(ticks) * 1'000'000'000u + hz - 1) / hz);
}

void check_timer(MipsState& s) {
  u64 at = s.compare_at.load(std::memory_order_seq_cst);
  if (at > timer_ticks(s) || !s.compare_at.compare_exchange_strong(at, at + (u64{1} << 32))) return;
  s.lines.fetch_or(kTimerLine | CA_TI, std::memory_order_seq_cst);
  s.h.exit_request.store(1, std::memory_order_seq_cst);
}

}  // namespace doppel::mips

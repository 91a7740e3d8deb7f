// The floating-point helpers and FCSR (vol. I-A, chapter 6): its causes, flags and traps are exact.
#include "guest/mips/helpers/fp_ops.h"

namespace doppel::mips {
namespace {

FpUnit unit_of(const MipsState& s) {
  static constexpr fpu::Rounding kRounding[4] = {fpu::Rounding::Nearest, fpu::Rounding::Zero, fpu::Rounding::Up,
                                                 fpu::Rounding::Down};
  FpUnit unit;
  unit.env.rounding = kRounding[s.fcr31 & FCSR_RM];
  unit.env.ftz = unit.env.daz = (s.fcr31 & FCSR_FS) != 0;
  if (s.fcr31 >> kFcsrEnables & FP_U) unit.env.unmasked = fpu::kUnderflow;
  unit.nan2008 = s.model->nan2008;
  return unit;
}

Outcome perform(const MipsState& s, u64 what, u64 a, u64 b, u64 c) { return fp_perform(unit_of(s), what, a, b, c); }

// Causes of an operation that is over; traps if one of them is enabled.
void finish(MipsState& s, u32 cause) {
  s.fp_last = kFpNone;
  s.fcr31 = (s.fcr31 & ~(0x3fu << kFcsrCauses)) | cause << kFcsrCauses;
  if (cause & (s.fcr31 >> kFcsrEnables & 0x1f)) raise(s, EXC_FPE);
  s.fcr31 |= (cause & 0x1f) << kFcsrFlags;
}

// User programs may change Status.FR by CTC1 (vol. I-A, 5.6.6) where FIR.UFRP and Config5.UFR say so.
bool may_change_fr(const MipsState& s) { return (s.model->fir >> 28 & 1) && (s.config5 & C5_UFR); }

u64 finished(MipsState& s, const Outcome& out) {
  finish(s, out.cause);
  return out.value;
}

}  // namespace

void set_fcsr(MipsState& s, u32 value) {
  static constexpr u32 kRounding[4] = {0, 3, 2, 1};  // MXCSR.RC of nearest, zero, up, down
  const u32 writable = s.model->release >= 2 || s.model->is_64bit ? 0xff83ffffu : 0x0183ffffu;
  s.fcr31 = (value & writable) | (s.model->nan2008 ? u32{FCSR_NAN2008 | FCSR_ABS2008} : 0u);
  s.fp_last = kFpNone;
  s.fp_invalid = 0;
  s.h.fp_env = 0x1f80 | kRounding[s.fcr31 & FCSR_RM] << 13;
  update_mode(s);
}

void sync_fcsr(MipsState& s) {
  if (s.fp_last != kFpNone) {
    const u32 cause = perform(s, s.fp_last, s.fp_a, s.fp_b, s.fp_c).cause;
    s.fp_last = kFpNone;
    s.fcr31 = (s.fcr31 & ~(0x3fu << kFcsrCauses)) | cause << kFcsrCauses | cause << kFcsrFlags;
  }
  // The host's Invalid and Denormal are not looked at: its NaNs are not this CPU's.
  const u32 sticky = s.h.fp_env;
  const u32 flags = (sticky & 4 ? u32{FP_Z} : 0u) | (sticky & 8 ? u32{FP_O} : 0u) | (sticky & 16 ? u32{FP_U} : 0u) |
                    (sticky & 32 ? u32{FP_I} : 0u) | (s.fp_invalid ? u32{FP_V} : 0u);
  s.fcr31 |= flags << kFcsrFlags;
  s.h.fp_env &= ~0x3fu;
  s.fp_invalid = 0;
}

u64 helper_fp_unary(MipsState* s, u64 what, u64 a) { return finished(*s, perform(*s, what, a, 0, 0)); }
u64 helper_fp_binary(MipsState* s, u64 what, u64 a, u64 b) { return finished(*s, perform(*s, what, a, b, 0)); }
u64 helper_fp_ternary(MipsState* s, u64 what, u64 a, u64 b, u64 c) { return finished(*s, perform(*s, what, a, b, c)); }

// For what the host's arithmetic is not right about: called from the midst of translated code.
u64 helper_fp_exact(MipsState* s, u64 what, u64 a, u64 b) {
  const Outcome out = perform(*s, what, a, b, 0);
  if (out.cause & FP_V) s->fp_invalid = 1;
  return out.value;
}

// A paired comparison sets the next condition too.
u64 helper_fp_compare(MipsState* s, u64 what, u64 cc, u64 a, u64 b) {
  const u64 holds = finished(*s, perform(*s, what, a, b, 0));
  for (unsigned i = 0; i < (what & kFpPaired ? 2u : 1u); i++) {
    const u32 bit = u32{1} << fcsr_condition_bit(static_cast<unsigned>(cc) + i);
    s->fcr31 = holds >> i & 1 ? s->fcr31 | bit : s->fcr31 & ~bit;
  }
  return 0;
}

// FIR, FCCR, FEXR, FENR and FCSR (vol. I-A, 6.5).
u64 helper_cfc1(MipsState* s, u64 reg) {
  sync_fcsr(*s);
  const u32 f = s->fcr31;
  switch (reg) {
    case 0: return s->model->fir;
    case 1:  // UFR
      if (!may_change_fr(*s)) raise(*s, EXC_RI);
      return s->status & ST_FR ? 1 : 0;
    case 25: return (f >> 23 & 1) | (f >> 24 & 0xfe);
    case 26: return f & (0x3fu << kFcsrCauses | 0x1fu << kFcsrFlags);
    case 28: return (f & (0x1fu << kFcsrEnables | FCSR_RM)) | (f & FCSR_FS ? 4 : 0);
    case 31: return f;
    default: return 0;
  }
}

u64 helper_ctc1(MipsState* s, u64 reg, u64 value) {
  sync_fcsr(*s);
  const u32 v = static_cast<u32>(value);
  const u32 f = s->fcr31;
  if (reg == 1 || reg == 4) {  // UFR clears Status.FR, UNFR sets it
    if (!may_change_fr(*s)) raise(*s, EXC_RI);
    set_status(*s, reg == 1 ? s->status & ~u32{ST_FR} : s->status | ST_FR);
    return 0;
  }
  const auto put = [&](u32 mask, u32 bits) { set_fcsr(*s, (f & ~mask) | (bits & mask)); };
  switch (reg) {
    case 25: put(0xfe800000, (v & 1) << 23 | (v & 0xfe) << 24); break;
    case 26: put(0x3fu << kFcsrCauses | 0x1fu << kFcsrFlags, v); break;
    case 28: put(0x1fu << kFcsrEnables | FCSR_RM | FCSR_FS, (v & ~u32{FCSR_FS}) | (v & 4 ? u32{FCSR_FS} : 0)); break;
    case 31: set_fcsr(*s, v); break;
    default: break;
  }
  const u32 cause = s->fcr31 >> kFcsrCauses & 0x3f, enabled = (s->fcr31 >> kFcsrEnables & 0x1f) | FP_E;
  if (cause & enabled) raise(*s, EXC_FPE);
  return 0;
}

}  // namespace doppel::mips

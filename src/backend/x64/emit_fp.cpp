// Floating point beyond the table of emit_vector.cpp: comparisons into flags, conversions from and to integers,
// horizontal ops on hosts without SSE3. All under the live MXCSR, so results and sticky flags are the hardware's. SDM
// vol. 1, chapter 11.
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::Lane;
using Xbyak::Operand;
using Xbyak::Xmm;

void Emitter::op_vfcomi(const Op& op) {
  clobber_flags();
  const bool quiet = op.imm == 1, single = static_cast<Lane>(op.sub) == Lane::SS;
  const Xmm a(use(op.arg[0]));
  const Src s = xsource(op.arg[1]);
  with_x(s, [&](const Operand& o) {
    if (host_.avx) {
      single ? (quiet ? c.vucomiss(a, o) : c.vcomiss(a, o)) : (quiet ? c.vucomisd(a, o) : c.vcomisd(a, o));
    } else {
      single ? (quiet ? c.ucomiss(a, o) : c.comiss(a, o)) : (quiet ? c.ucomisd(a, o) : c.comisd(a, o));
    }
  });
  flags_result(cur_);
}

void Emitter::op_vf_f2i(const Op& op) {
  const Src s = xsource(op.arg[op.nargs - 1]);
  const Xmm d(def(cur_, true));
  const bool truncate = op.imm == 1, single = static_cast<Lane>(op.sub) == Lane::PS;
  with_x(s, [&](const Operand& o) {
    if (host_.avx) {
      single ? (truncate ? c.vcvttps2dq(d, o) : c.vcvtps2dq(d, o))
             : (truncate ? c.vcvttpd2dq(d, o) : c.vcvtpd2dq(d, o));
    } else {
      single ? (truncate ? c.cvttps2dq(d, o) : c.cvtps2dq(d, o)) : (truncate ? c.cvttpd2dq(d, o) : c.cvtpd2dq(d, o));
    }
  });
}

void Emitter::op_vf_fromint(const Op& op) {
  const bool single = static_cast<Lane>(op.sub) == Lane::SS;
  const unsigned bits = vals_[op.arg[1]].type == Type::I64 ? 64 : 32;
  const Xbyak::Reg b = reg(use(op.arg[1]), bits);
  if (host_.avx) {
    const Xmm a(use(op.arg[0]));
    const Xmm d(def(cur_, true));
    single ? c.vcvtsi2ss(d, a, b) : c.vcvtsi2sd(d, a, b);
  } else {
    const Xmm d(xcopy(cur_, op.arg[0]));
    single ? c.cvtsi2ss(d, b) : c.cvtsi2sd(d, b);
  }
}

void Emitter::op_vf_toint(const Op& op) {
  const bool single = static_cast<Lane>(op.sub) == Lane::SS, truncate = op.imm == 1;
  const unsigned bits = op.type == Type::I64 ? 64 : 32;
  const Xmm a(use(op.arg[0]));
  const int r = def(cur_);
  const Xbyak::Reg64 d64 = r64(r);
  const Xbyak::Reg32 d32 = r32(r);
  if (bits == 64) {
    if (single)
      truncate ? c.cvttss2si(d64, a) : c.cvtss2si(d64, a);
    else
      truncate ? c.cvttsd2si(d64, a) : c.cvtsd2si(d64, a);
  } else {
    if (single)
      truncate ? c.cvttss2si(d32, a) : c.cvtss2si(d32, a);
    else
      truncate ? c.cvttsd2si(d32, a) : c.cvtsd2si(d32, a);
  }
  set_zx(cur_, bits);
}

// HADD and HSUB from SSE2 instructions: the even lanes of a and b, and the odd ones, side by side.
void Emitter::pair_floats(const Op& op, bool subtract) {
  const Xmm b(use(op.arg[1]));
  const Xmm a(use(op.arg[0]));
  const Xmm t(scratch_xmm());
  c.movaps(t, a);
  const Xmm d(scratch_xmm());
  c.movaps(d, a);
  if (static_cast<Lane>(op.sub) == Lane::PS) {
    c.shufps(d, b, 0x88);
    c.shufps(t, b, 0xdd);
    subtract ? c.subps(d, t) : c.addps(d, t);
  } else {
    c.unpcklpd(d, b);
    c.unpckhpd(t, b);
    subtract ? c.subpd(d, t) : c.addpd(d, t);
  }
  attach(xmm_, cur_, d.getIdx());
}

// ADDSUB from SSE2: the lanes that an operation isn't for are zero in it, so that it sets no flags for them.
void Emitter::add_sub(const Op& op) {
  const Xmm a(use(op.arg[0])), b(use(op.arg[1]));
  const Xmm d(scratch_xmm()), t(scratch_xmm()), mask(scratch_xmm());
  const bool single = static_cast<Lane>(op.sub) == Lane::PS;
  auto half = [&](const Xmm& out, const Xmm& in) {
    c.movaps(out, in);
    c.andps(out, mask);
  };
  c.pcmpeqd(mask, mask);
  single ? c.psrlq(mask, 32) : c.psrldq(mask, 8);  // even lanes
  half(d, a);
  half(t, b);
  single ? c.subps(d, t) : c.subpd(d, t);
  c.andps(d, mask);  // 0 - 0 may be -0 when rounding down
  const Xmm e(scratch_xmm());
  c.pcmpeqd(mask, mask);
  single ? c.psllq(mask, 32) : c.pslldq(mask, 8);  // odd lanes
  half(e, a);
  half(t, b);
  single ? c.addps(e, t) : c.addpd(e, t);
  c.andps(e, mask);
  c.orps(d, e);
  attach(xmm_, cur_, d.getIdx());
}

void Emitter::op_vhadd(const Op& op) {
  op.sub >= static_cast<u8>(Lane::PS) && !host_.sse3 ? pair_floats(op, false) : vec(op);
}
void Emitter::op_vhsub(const Op& op) {
  op.sub >= static_cast<u8>(Lane::PS) && !host_.sse3 ? pair_floats(op, true) : vec(op);
}
void Emitter::op_vaddsub(const Op& op) { host_.sse3 ? vec(op) : add_sub(op); }

}  // namespace doppel::backend::x64

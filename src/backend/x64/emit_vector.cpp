// Vector ops on integers and bits: one SSE instruction where there is one (three-operand AVX forms if the host has
// them), by the table below. Float rows of the same table are in emit_fp.cpp's section of it. SDM vol. 2.
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

using ir::Lane;
using Xbyak::CodeGenerator;
using Xbyak::Operand;
using Xbyak::Xmm;

bool Emitter::has(u8 level) const {
  switch (level) {
    case 0: return true;
    case 1: return host_.sse3;
    case 2: return host_.ssse3;
    case 3: return host_.sse41;
    default: return host_.sse42;
  }
}

#define SSE(fn) [](CodeGenerator& g, const Xmm& d, const Operand& s, u8) { g.fn(d, s); }
#define AVX(fn) [](CodeGenerator& g, const Xmm& d, const Xmm& a, const Operand& b, u8) { g.v##fn(d, a, b); }
#define AVX1(fn) [](CodeGenerator& g, const Xmm& d, const Xmm&, const Operand& b, u8) { g.v##fn(d, b); }
#define SSEI(fn) [](CodeGenerator& g, const Xmm& d, const Operand& s, u8 imm) { g.fn(d, s, imm); }
#define AVXI(fn) [](CodeGenerator& g, const Xmm& d, const Xmm& a, const Operand& b, u8 imm) { g.v##fn(d, a, b, imm); }
#define AVX1I(fn) [](CodeGenerator& g, const Xmm& d, const Xmm&, const Operand& b, u8 imm) { g.v##fn(d, b, imm); }
// code, lane, needed level, instruction
#define BIN(code, lane, needs, fn) {Opcode::code, lane, needs, 0, SSE(fn), AVX(fn)},
#define COM(code, lane, needs, fn) {Opcode::code, lane, needs, 1, SSE(fn), AVX(fn)},
#define UNA(code, lane, needs, fn) {Opcode::code, lane, needs, 2, SSE(fn), AVX1(fn)},
#define BINI(code, lane, needs, fn) {Opcode::code, lane, needs, 0, SSEI(fn), AVXI(fn)},
#define UNAI(code, lane, needs, fn) {Opcode::code, lane, needs, 2, SSEI(fn), AVX1I(fn)},

const Emitter::VecRow* Emitter::vec_row(Opcode code, u8 sub) {
  constexpr u8 any = kAnyLane, B = 0, H = 1, W = 2, D = 3, PS = 4, PD = 5, SS = 6, SD = 7;
  static const VecRow kRows[] = {
      COM(vand, any, 0, pand) COM(vor, any, 0, por) COM(vxor, any, 0, pxor) BIN(vandn, any, 0, pandn) COM(
          vadd, B, 0, paddb) COM(vadd, H, 0, paddw) COM(vadd, W, 0, paddd) COM(vadd, D, 0, paddq) BIN(vsub, B, 0, psubb)
          BIN(vsub, H, 0, psubw) BIN(vsub, W, 0, psubd) BIN(vsub, D, 0, psubq) COM(vadds, B, 0, paddsb) COM(
              vadds, H, 0, paddsw) COM(vaddus, B, 0, paddusb) COM(vaddus, H, 0, paddusw) BIN(vsubs, B, 0, psubsb)
              BIN(vsubs, H, 0, psubsw) BIN(vsubus, B, 0, psubusb) BIN(vsubus, H, 0, psubusw) COM(vmullo, H, 0, pmullw)
                  COM(vmullo, W, 3, pmulld) COM(vmulhs, any, 0, pmulhw) COM(vmulhu, any, 0, pmulhuw) COM(
                      vmulhrs, any, 2, pmulhrsw) COM(vmuludq, any, 0, pmuludq) COM(vmuldq, any, 3, pmuldq)
                      COM(vmaddwd, any, 0, pmaddwd) BIN(vmaddubsw, any, 2, pmaddubsw) COM(vsadbw, any, 0, psadbw) COM(
                          vavg, B, 0, pavgb) COM(vavg, H, 0, pavgw) COM(vmins, B, 3, pminsb) COM(vmins, H, 0, pminsw)
                          COM(vmins, W, 3, pminsd) COM(vminu, B, 0, pminub) COM(vminu, H, 3, pminuw) COM(
                              vminu, W, 3, pminud) COM(vmaxs, B, 3, pmaxsb) COM(vmaxs, H, 0, pmaxsw)
                              COM(vmaxs, W, 3, pmaxsd) COM(vmaxu, B, 0, pmaxub) COM(vmaxu, H, 3, pmaxuw) COM(
                                  vmaxu, W, 3, pmaxud) UNA(vabs, B, 2, pabsb) UNA(vabs, H, 2, pabsw)
                                  UNA(vabs, W, 2, pabsd) BIN(vsign, B, 2, psignb) BIN(vsign, H, 2, psignw) BIN(
                                      vsign, W, 2, psignd) COM(vcmpeq, B, 0, pcmpeqb) COM(vcmpeq, H, 0, pcmpeqw)
                                      COM(vcmpeq, W, 0, pcmpeqd) COM(vcmpeq, D, 3, pcmpeqq) BIN(vcmpgt, B, 0, pcmpgtb)
                                          BIN(vcmpgt, H, 0, pcmpgtw) BIN(vcmpgt, W, 0, pcmpgtd) BIN(
                                              vcmpgt, D, 4, pcmpgtq) BIN(vshl, H, 0, psllw) BIN(vshl, W, 0, pslld)
                                              BIN(vshl, D, 0, psllq) BIN(vshr, H, 0, psrlw) BIN(vshr, W, 0, psrld) BIN(
                                                  vshr, D, 0, psrlq) BIN(vsar, H, 0, psraw) BIN(vsar, W, 0, psrad)
                                                  BIN(vpackss, H, 0, packsswb) BIN(vpackss, W, 0, packssdw) BIN(
                                                      vpackus, H, 0, packuswb) BIN(vpackus, W, 3, packusdw)
                                                      BIN(vunpacklo, B, 0, punpcklbw) BIN(
                                                          vunpacklo, H, 0, punpcklwd) BIN(vunpacklo, W, 0, punpckldq)
                                                          BIN(vunpacklo, D, 0, punpcklqdq) BIN(
                                                              vunpackhi, B, 0,
                                                              punpckhbw) BIN(vunpackhi, H, 0, punpckhwd)
                                                              BIN(vunpackhi, W, 0, punpckhdq) BIN(
                                                                  vunpackhi, D, 0,
                                                                  punpckhqdq) BIN(vshuf_b, any, 2, pshufb)
                                                                  UNAI(vshuf_w, any, 0, pshufd) UNAI(
                                                                      vshuf_hl, any, 0,
                                                                      pshuflw) UNAI(vshuf_hh, any, 0, pshufhw)
                                                                      BINI(vshuf_ps, any, 0, shufps) BINI(
                                                                          vshuf_pd, any, 0,
                                                                          shufpd) BINI(valign, any, 2, palignr)
                                                                          BINI(vblendi, H, 3, pblendw) BINI(
                                                                              vblendi, W,
                                                                              3, blendps) BINI(vblendi, D, 3, blendpd)
                                                                              BIN(vhadd, H, 2, phaddw) BIN(
                                                                                  vhadd, W, 2, phaddd) BIN(vhadd, PS, 1,
                                                                                                           haddps)
                                                                                  BIN(vhadd, PD, 1, haddpd) BIN(
                                                                                      vhsub, H, 2, phsubw)
                                                                                      BIN(vhsub, W, 2, phsubd) BIN(
                                                                                          vhsub, PS, 1, hsubps)
                                                                                          BIN(vhsub, PD, 1, hsubpd) BIN(
                                                                                              vhadds, any, 2, phaddsw)
                                                                                              BIN(vhsubs, any, 2,
                                                                                                  phsubsw)
                                                                                                  BIN(vaddsub, PS, 1,
                                                                                                      addsubps)
                                                                                                      BIN(vaddsub, PD,
                                                                                                          1, addsubpd)
      // floating point: never commuted, the first operand's NaN wins
      BIN(vfadd, PS, 0, addps) BIN(vfadd, PD, 0, addpd) BIN(vfadd, SS, 0, addss) BIN(vfadd, SD, 0, addsd)
          BIN(vfsub, PS, 0, subps) BIN(vfsub, PD, 0, subpd) BIN(vfsub, SS, 0, subss) BIN(vfsub, SD, 0, subsd) BIN(
              vfmul, PS, 0, mulps) BIN(vfmul, PD, 0, mulpd) BIN(vfmul, SS, 0, mulss) BIN(vfmul, SD, 0, mulsd)
              BIN(vfdiv, PS, 0, divps) BIN(vfdiv, PD, 0, divpd) BIN(vfdiv, SS, 0, divss) BIN(vfdiv, SD, 0, divsd) BIN(
                  vfmin, PS, 0, minps) BIN(vfmin, PD, 0, minpd) BIN(vfmin, SS, 0, minss) BIN(vfmin, SD, 0, minsd)
                  BIN(vfmax, PS, 0, maxps) BIN(vfmax, PD, 0, maxpd) BIN(vfmax, SS, 0, maxss) BIN(vfmax, SD, 0, maxsd)
                      UNA(vfsqrt, PS, 0, sqrtps) UNA(vfsqrt, PD, 0, sqrtpd) BIN(vfsqrt, SS, 0, sqrtss)
                          BIN(vfsqrt, SD, 0, sqrtsd) BINI(vfcmp, PS, 0, cmpps) BINI(vfcmp, PD, 0, cmppd)
                              BINI(vfcmp, SS, 0, cmpss) BINI(vfcmp, SD, 0, cmpsd) UNAI(vfround, PS, 3, roundps)
                                  UNAI(vfround, PD, 3, roundpd) BINI(vfround, SS, 3, roundss)
                                      BINI(vfround, SD, 3, roundsd) UNA(vf_rcp, PS, 0, rcpps) BIN(vf_rcp, SS, 0, rcpss)
                                          UNA(vf_rsqrt, PS, 0, rsqrtps) BIN(vf_rsqrt, SS, 0, rsqrtss)
                                              BIN(vf_s2d, SS, 0, cvtss2sd) UNA(vf_s2d, PS, 0, cvtps2pd)
                                                  BIN(vf_d2s, SD, 0, cvtsd2ss) UNA(vf_d2s, PD, 0, cvtpd2ps)
                                                      UNA(vf_i2f, PS, 0, cvtdq2ps) UNA(vf_i2f, PD, 0, cvtdq2pd)};
  static const auto kIndex = [] {
    std::vector<const VecRow*> index(static_cast<size_t>(Opcode::Count) * 8, nullptr);
    for (const VecRow& r : kRows) {
      for (u8 lane = 0; lane < 8; lane++) {
        if (r.lane == any || r.lane == lane) index[static_cast<size_t>(r.code) * 8 + lane] = &r;
      }
    }
    return index;
  }();
  return kIndex[static_cast<size_t>(code) * 8 + (sub & 7)];
}

// --- operands

void Emitter::xmov(int d, int s) { host_.avx ? c.vmovaps(Xmm(d), Xmm(s)) : c.movaps(Xmm(d), Xmm(s)); }

void Emitter::store_xmm(const Xbyak::Address& to, int x, bool aligned) {
  if (aligned) {
    host_.avx ? c.vmovaps(to, Xmm(x)) : c.movaps(to, Xmm(x));
  } else {
    host_.avx ? c.vmovups(to, Xmm(x)) : c.movups(to, Xmm(x));
  }
}

Emitter::Src Emitter::xsource(Value v) {
  const Val& w = vals_[v];
  if (w.reg < 0 && !live_after(v)) {
    if (w.slot >= 0) return {kNoReg, true, static_cast<u32>(kXmmSlotOffset + w.slot * 16)};
    if (w.home && (host_.avx || row_offset(w.home - 1) % 16 == 0)) return {kNoReg, false, row_offset(w.home - 1)};
  }
  return {static_cast<s8>(use(v))};
}

int Emitter::xcopy(Value v, Value a) {
  const Val& wa = vals_[a];
  const int ra = wa.reg;
  if (ra >= 0 && all_dying(xmm_, ra)) {
    while (xmm_.first[ra]) detach(xmm_.first[ra]);
    lock(xmm_, ra);
    attach(xmm_, v, ra);
    return ra;
  }
  if (ra >= 0) lock(xmm_, ra);
  const int d = alloc(xmm_);
  if (wa.reg >= 0) {
    xmov(d, wa.reg);
  } else {
    load_into(d, a);
  }
  attach(xmm_, v, d);
  return d;
}

void Emitter::vec(const Op& op) {
  const VecRow* row = vec_row(op.code, op.sub);
  ASSERT_MSG(row != nullptr, "x64 backend: vector op with a lane it doesn't have");
  if (!has(row->needs)) {
    fallback(op);
    return;
  }
  const u8 imm = static_cast<u8>(std::min<u64>(op.imm, 255));
  Value a = op.arg[0], b = op.arg[op.nargs - 1];
  if (row->shape == 2) {
    const Src s = xsource(b);
    const Xmm d(def(cur_, true));
    with_x(s, [&](const Operand& o) { host_.avx ? row->avx(c, d, d, o, imm) : row->sse(c, d, o, imm); });
    return;
  }
  if (host_.avx) {
    const Xmm ra(use(a));
    const Src s = xsource(b);
    const Xmm d(def(cur_, true));
    with_x(s, [&](const Operand& o) { row->avx(c, d, ra, o, imm); });
    return;
  }
  if (row->shape == 1 && live_after(a) && !live_after(b) && vals_[b].reg >= 0) std::swap(a, b);
  const Src s = xsource(b);
  const Xmm d(xcopy(cur_, a));
  with_x(s, [&](const Operand& o) { row->sse(c, d, o, imm); });
}

#define VEC(name) \
  void Emitter::op_##name(const Op& op) { vec(op); }
VEC(vand)
VEC(vor)
VEC(vxor)
VEC(vandn)
VEC(vadd)
VEC(vsub) VEC(vadds) VEC(vaddus) VEC(vsubs) VEC(vsubus) VEC(vmullo) VEC(vmulhs) VEC(vmulhu) VEC(vmulhrs) VEC(vmuludq)
    VEC(vmuldq) VEC(vmaddwd) VEC(vmaddubsw) VEC(vsadbw) VEC(vavg) VEC(vmins) VEC(vminu) VEC(vmaxs) VEC(vmaxu) VEC(vabs)
        VEC(vsign) VEC(vcmpeq) VEC(vcmpgt) VEC(vshl) VEC(vshr) VEC(vsar) VEC(vpackss) VEC(vpackus) VEC(vunpacklo)
            VEC(vunpackhi) VEC(vshuf_b) VEC(vshuf_w) VEC(vshuf_hl) VEC(vshuf_hh) VEC(vshuf_ps) VEC(vshuf_pd) VEC(valign)
                VEC(vblendi) VEC(vhadds) VEC(vhsubs) VEC(vfadd) VEC(vfsub) VEC(vfmul) VEC(vfdiv) VEC(vfmin) VEC(vfmax)
                    VEC(vfsqrt) VEC(vfcmp) VEC(vfround) VEC(vf_rcp) VEC(vf_rsqrt) VEC(vf_s2d) VEC(vf_d2s) VEC(vf_i2f)
#undef VEC

    // --- shifts by a constant. kind: 0 left, 1 right, 2 arithmetic right, 3 bytes left, 4 bytes right

    void Emitter::vec_shift_imm(const Op& op, int kind) {
  const u8 imm = static_cast<u8>(std::min<u64>(op.imm, 255));
  const Lane lane = static_cast<Lane>(op.sub);
  auto pick = [&](const Xmm& d, const Xmm& a) {
    if (host_.avx) {
      switch (kind) {
        case 0:
          lane == Lane::H ? c.vpsllw(d, a, imm) : lane == Lane::W ? c.vpslld(d, a, imm) : c.vpsllq(d, a, imm);
          break;
        case 1:
          lane == Lane::H ? c.vpsrlw(d, a, imm) : lane == Lane::W ? c.vpsrld(d, a, imm) : c.vpsrlq(d, a, imm);
          break;
        case 2: lane == Lane::H ? c.vpsraw(d, a, imm) : c.vpsrad(d, a, imm); break;
        case 3: c.vpslldq(d, a, imm); break;
        default: c.vpsrldq(d, a, imm); break;
      }
      return;
    }
    switch (kind) {
      case 0: lane == Lane::H ? c.psllw(d, imm) : lane == Lane::W ? c.pslld(d, imm) : c.psllq(d, imm); break;
      case 1: lane == Lane::H ? c.psrlw(d, imm) : lane == Lane::W ? c.psrld(d, imm) : c.psrlq(d, imm); break;
      case 2: lane == Lane::H ? c.psraw(d, imm) : c.psrad(d, imm); break;
      case 3: c.pslldq(d, imm); break;
      default: c.psrldq(d, imm); break;
    }
  };
  if (host_.avx) {
    const Xmm a(use(op.arg[0]));
    pick(Xmm(def(cur_, true)), a);
  } else {
    const Xmm d(xcopy(cur_, op.arg[0]));
    pick(d, d);
  }
}
void Emitter::op_vshli(const Op& op) { vec_shift_imm(op, 0); }
void Emitter::op_vshri(const Op& op) { vec_shift_imm(op, 1); }
void Emitter::op_vsari(const Op& op) { vec_shift_imm(op, 2); }
void Emitter::op_vshlb(const Op& op) { vec_shift_imm(op, 3); }
void Emitter::op_vshrb(const Op& op) { vec_shift_imm(op, 4); }

// --- blends, extensions, lanes

void Emitter::op_vblendv(const Op& op) {
  if (!host_.sse41) {
    fallback(op);
    return;
  }
  const Lane lane = static_cast<Lane>(op.sub);
  const Value a = op.arg[0], b = op.arg[1], m = op.arg[2];
  if (host_.avx) {
    const Xmm ra(use(a)), rm(use(m));
    const Src s = xsource(b);
    const Xmm d(def(cur_, true));
    with_x(s, [&](const Operand& o) {
      lane == Lane::B   ? c.vpblendvb(d, ra, o, rm)
      : lane == Lane::W ? c.vblendvps(d, ra, o, rm)
                        : c.vblendvpd(d, ra, o, rm);
    });
    return;
  }
  vacate(xmm_, 0);  // the mask's fixed place
  lock(xmm_, 0);
  const int rm = use(m);
  xmov(0, rm);
  unlock(xmm_, rm);
  const Xmm rb(use(b));
  const Xmm d(xcopy(cur_, a));
  lane == Lane::B ? c.pblendvb(d, rb) : lane == Lane::W ? c.blendvps(d, rb) : c.blendvpd(d, rb);
}

void Emitter::vec_extend(const Op& op, bool is_signed) {
  if (!host_.sse41) {
    fallback(op);
    return;
  }
  const Src s = xsource(op.arg[0]);
  const Xmm d(def(cur_, true));
  const Lane from = static_cast<Lane>(op.sub);
#define EXTEND(fn) with_x(s, [&](const Operand& o) { host_.avx ? c.v##fn(d, o) : c.fn(d, o); })
  if (from == Lane::B && op.imm == 16) {
    is_signed ? EXTEND(pmovsxbw) : EXTEND(pmovzxbw);
  } else if (from == Lane::B && op.imm == 32) {
    is_signed ? EXTEND(pmovsxbd) : EXTEND(pmovzxbd);
  } else if (from == Lane::B) {
    is_signed ? EXTEND(pmovsxbq) : EXTEND(pmovzxbq);
  } else if (from == Lane::H && op.imm == 32) {
    is_signed ? EXTEND(pmovsxwd) : EXTEND(pmovzxwd);
  } else if (from == Lane::H) {
    is_signed ? EXTEND(pmovsxwq) : EXTEND(pmovzxwq);
  } else {
    is_signed ? EXTEND(pmovsxdq) : EXTEND(pmovzxdq);
  }
#undef EXTEND
}
void Emitter::op_vzext(const Op& op) { vec_extend(op, false); }
void Emitter::op_vsext(const Op& op) { vec_extend(op, true); }

void Emitter::op_vmovmsk(const Op& op) {
  const Xmm a(use(op.arg[0]));
  const int d = def(cur_);
  switch (static_cast<Lane>(op.sub)) {
    case Lane::B: host_.avx ? c.vpmovmskb(r32(d), a) : c.pmovmskb(r32(d), a); break;
    case Lane::W:
    case Lane::PS: host_.avx ? c.vmovmskps(r32(d), a) : c.movmskps(r32(d), a); break;
    default: host_.avx ? c.vmovmskpd(r32(d), a) : c.movmskpd(r32(d), a); break;
  }
  set_zx(cur_, 16);
}

void Emitter::op_vinsert(const Op& op) {
  const unsigned bits = ir::type_bits(op.type);
  const u8 lane = static_cast<u8>(op.imm & (128 / bits - 1));
  const int b = use(op.arg[1]);
  if (bits != 16 && !host_.sse41) {  // through memory
    const int a = use(op.arg[0]);
    store_xmm(stack_mem(128, kAreaOffset), a, true);
    c.mov(stack_mem(bits, kAreaOffset + lane * static_cast<s32>(bits / 8)), reg(b, bits));
    c.movaps(Xmm(def(cur_, true)), stack_mem(128, kAreaOffset));
    return;
  }
  if (host_.avx) {
    const Xmm a(use(op.arg[0]));
    const Xmm d(def(cur_, true));
    switch (bits) {
      case 8: c.vpinsrb(d, a, r32(b), lane); break;
      case 16: c.vpinsrw(d, a, r32(b), lane); break;
      case 32: c.vpinsrd(d, a, r32(b), lane); break;
      default: c.vpinsrq(d, a, r64(b), lane); break;
    }
    return;
  }
  const Xmm d(xcopy(cur_, op.arg[0]));
  switch (bits) {
    case 8: c.pinsrb(d, r32(b), lane); break;
    case 16: c.pinsrw(d, r32(b), lane); break;
    case 32: c.pinsrd(d, r32(b), lane); break;
    default: c.pinsrq(d, r64(b), lane); break;
  }
}

void Emitter::op_vextract(const Op& op) {
  const unsigned bits = ir::type_bits(op.type);
  const u8 lane = static_cast<u8>(op.imm & (128 / bits - 1));
  const Value a = op.arg[0];
  const Val& w = vals_[a];
  if (w.reg < 0 && w.slot < 0 && w.home && !live_after(a)) {  // straight from the state
    const Xbyak::Address at = state_mem(bits, row_offset(w.home - 1) + lane * (bits / 8));
    const int d = def(cur_);
    bits < 32 ? c.movzx(r32(d), at) : c.mov(reg(d, bits), at);
    set_zx(cur_, bits);
    return;
  }
  const Xmm x(use(a));
  const int d = def(cur_);
  set_zx(cur_, bits);
  if (lane == 0 && bits >= 32) {
    if (bits == 32) {
      host_.avx ? c.vmovd(r32(d), x) : c.movd(r32(d), x);
    } else {
      host_.avx ? c.vmovq(r64(d), x) : c.movq(r64(d), x);
    }
  } else if (bits == 16) {
    host_.avx ? c.vpextrw(r32(d), x, lane) : c.pextrw(r32(d), x, lane);
  } else if (!host_.sse41) {
    c.movaps(stack_mem(128, kAreaOffset), x);
    const Xbyak::Address at = stack_mem(bits, kAreaOffset + lane * static_cast<s32>(bits / 8));
    bits == 8 ? c.movzx(r32(d), at) : c.mov(reg(d, bits), at);
  } else if (bits == 8) {
    host_.avx ? c.vpextrb(r32(d), x, lane) : c.pextrb(r32(d), x, lane);
  } else if (bits == 32) {
    host_.avx ? c.vpextrd(r32(d), x, lane) : c.pextrd(r32(d), x, lane);
  } else {
    host_.avx ? c.vpextrq(r64(d), x, lane) : c.pextrq(r64(d), x, lane);
  }
}

void Emitter::op_vfromint(const Op& op) {
  if (const Value whole = vals_[cur_].alt) {
    const Xmm s(use(whole));
    const Xmm d(def(cur_, true));
    host_.avx ? c.vmovq(d, s) : c.movq(d, s);
    return;
  }
  const Val& w = vals_[op.arg[0]];
  if (w.reg < 0 && w.slot < 0 && w.home && !live_after(op.arg[0]) &&
      pins_.host_of_row[w.home - 1] < 0) {  // straight from the state
    const Xmm d(def(cur_));
    if (w.type == Type::I64)
      host_.avx ? c.vmovq(d, state_mem(64, row_offset(w.home - 1))) : c.movq(d, state_mem(64, row_offset(w.home - 1)));
    else
      host_.avx ? c.vmovd(d, state_mem(32, row_offset(w.home - 1))) : c.movd(d, state_mem(32, row_offset(w.home - 1)));
    return;
  }
  const int a = use(op.arg[0]);
  const Xmm d(def(cur_));
  if (vals_[op.arg[0]].type == Type::I64) {
    host_.avx ? c.vmovq(d, r64(a)) : c.movq(d, r64(a));
  } else {
    host_.avx ? c.vmovd(d, r32(a)) : c.movd(d, r32(a));
  }
}

void Emitter::op_vzero(const Op&) {
  const Xmm d(def(cur_));
  host_.avx ? c.vpxor(d, d, d) : c.pxor(d, d);
}

void Emitter::op_vmovlow(const Op& op) {
  const bool single = static_cast<Lane>(op.sub) == Lane::SS;
  const Xmm b(use(op.arg[1]));
  if (host_.avx) {
    const Xmm a(use(op.arg[0]));
    const Xmm d(def(cur_, true));
    single ? c.vmovss(d, a, b) : c.vmovsd(d, a, b);
  } else {
    const Xmm d(xcopy(cur_, op.arg[0]));
    single ? c.movss(d, b) : c.movsd(d, b);
  }
}

void Emitter::op_vptest(const Op& op) {
  if (!host_.sse41) {
    fallback(op);
    return;
  }
  clobber_flags();
  const Xmm a(use(op.arg[0]));
  const Src s = xsource(op.arg[1]);
  with_x(s, [&](const Operand& o) { host_.avx ? c.vptest(a, o) : c.ptest(a, o); });
  flags_result(cur_);
}

}  // namespace doppel::backend::x64

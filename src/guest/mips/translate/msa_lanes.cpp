// MSA operations that take a few vector ops: comparisons of unsigned lanes, multiply-add, dot products, packing and
// interleaving (MD00868, chapter 4).
#include "guest/mips/translate/msa.h"

namespace doppel::mips {
namespace {

constexpr unsigned kByte = 0, kHalf = 1, kWord = 2, kDouble = 3;

struct Operands {
  Translator& t;
  unsigned wd;
  Value a, b;
  Value vec(Opcode code, unsigned format, Value x, Value y) const { return t.b.vec(code, lane_of(format), {x, y}); }
  Value old() const { return vector(t, wd); }
  bool put(Value v) const {
    set_vector(t, wd, v);
    return true;
  }
};

Value inverted(const Operands& o, Value v) { return o.vec(Opcode::vxor, kDouble, v, splat(o.t, kDouble, ~u64{0})); }

// Even or odd lanes of two registers, those of b below.
bool pack(const Operands& o, unsigned format, bool odd) {
  Translator& t = o.t;
  if (format == kDouble) return o.put(o.vec(odd ? Opcode::vunpackhi : Opcode::vunpacklo, kDouble, o.b, o.a));
  if (format == kWord) return o.put(t.b.vec(Opcode::vshuf_ps, Lane::PS, {o.b, o.a}, odd ? 0xdd : 0x88));
  const unsigned wide = format + 1, bits = 8u << format;  // as lanes of twice the size that fit into one
  const auto narrow = [&](Value v) {
    return odd ? t.b.vec(Opcode::vshri, lane_of(wide), {v}, bits)
               : o.vec(Opcode::vand, kDouble, v, splat(t, wide, (u64{1} << bits) - 1));
  };
  return o.put(o.vec(Opcode::vpackus, wide, narrow(o.b), narrow(o.a)));
}

bool dot_product(const Operands& o, u64 op, unsigned format) {
  if (format != kWord) return false;
  const Value dot = o.vec(Opcode::vmaddwd, kHalf, o.a, o.b);
  if (op == DOTP_S) return o.put(dot);
  return o.put(o.vec(op == DPADD_S ? Opcode::vadd : Opcode::vsub, kWord, o.old(), dot));
}

// |a - b| as the greater less the smaller.
bool distance(const Operands& o, unsigned format, Opcode greater, Opcode smaller) {
  if (format == kDouble) return false;
  return o.put(o.vec(Opcode::vsub, format, o.vec(greater, format, o.a, o.b), o.vec(smaller, format, o.a, o.b)));
}

}  // namespace

bool msa_lanes(Translator& t, const Insn& in, unsigned format) {
  const u64 op = msa_op(in.word);
  const Operands o{t, msa_wd(in.word), vector(t, msa_ws(in.word)), vector(t, msa_wt(in.word))};
  switch (op) {
    case CLT_U:
      return format != kDouble &&
             o.put(inverted(o, o.vec(Opcode::vcmpeq, format, o.vec(Opcode::vmaxu, format, o.a, o.b), o.a)));
    case CLE_U:
      return format != kDouble && o.put(o.vec(Opcode::vcmpeq, format, o.vec(Opcode::vminu, format, o.a, o.b), o.a));
    case ASUB_S: return distance(o, format, Opcode::vmaxs, Opcode::vmins);
    case ASUB_U: return distance(o, format, Opcode::vmaxu, Opcode::vminu);
    case MADDV:
    case MSUBV: {
      if (format != kHalf && format != kWord) return false;
      const Value product = o.vec(Opcode::vmullo, format, o.a, o.b);
      return o.put(o.vec(op == MADDV ? Opcode::vadd : Opcode::vsub, format, o.old(), product));
    }
    case DOTP_S:
    case DPADD_S:
    case DPSUB_S: return dot_product(o, op, format);
    case PCKEV: return pack(o, format, false);
    case PCKOD: return pack(o, format, true);
    case ILVEV: return format == kDouble && o.put(o.vec(Opcode::vunpacklo, kDouble, o.b, o.a));
    case ILVOD: return format == kDouble && o.put(o.vec(Opcode::vunpackhi, kDouble, o.b, o.a));
    default: return false;
  }
}

// --- elements

void tr_msa_element(Translator& t, const Insn& in) {  // SLDI, SPLATI, INSVE
  if (!t.require_msa()) return;
  const MsaElement e = msa_element(in.word);
  const unsigned bits = 8u << e.format, at = e.at * bits;
  const Halves a = halves_of(t, msa_ws(in.word));
  switch (in.word >> 22 & 15) {
    case SPLATI: {
      Value v = bits == 64 ? (at ? a.high : a.low) : t.b.extract(at < 64 ? a.low : a.high, at % 64, bits);
      for (unsigned up = bits; up < 64; up *= 2) v = t.b.or_(v, t.b.shli(v, up));
      return set_halves(t, msa_wd(in.word), {v, v});
    }
    case INSVE: {
      Halves d = halves_of(t, msa_wd(in.word));
      Value& half = at < 64 ? d.low : d.high;
      half = bits == 64 ? a.low : t.b.deposit(half, a.low, at % 64, bits);
      return set_halves(t, msa_wd(in.word), d);
    }
    default: break;
  }
  if (e.format != kByte) {
    t.call(Helper::msa, {t.k32(in.word)});
    return;
  }
  const Value joint = t.b.vec(Opcode::valign, Lane::B, {vector(t, msa_wd(in.word)), joined(t, a)}, e.at);
  set_vector(t, msa_wd(in.word), joint);
}

}  // namespace doppel::mips

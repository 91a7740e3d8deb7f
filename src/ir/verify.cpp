// The verifier: every rule a backend or a pass may rely on. O(n). Returns the first thing that is wrong, with the op as
// text.
#include <cstring>

#include "ir/ir.h"

namespace doppel::ir {
namespace {

bool is_end(Opcode code) {
  return code == Opcode::exit_direct || code == Opcode::exit_indirect || code == Opcode::exit_loop;
}

// Types an op may have, where the table's T stands for it.
bool type_fits(const Op& op) {
  const Type t = op.type;
  switch (op.code) {
    case Opcode::konst: return is_int(t) || t == Type::Flags;
    case Opcode::get_reg:
    case Opcode::set_reg: return is_int(t) || t == Type::Flags || t == Type::V128;
    case Opcode::load:
    case Opcode::store:
    case Opcode::atomic_cas: return is_int(t) || t == Type::V128;
    case Opcode::call: return is_int(t) || t == Type::Void;
    case Opcode::udiv2:
    case Opcode::urem2:
    case Opcode::vfromint:
    case Opcode::vf_fromint:
    case Opcode::vf_toint: return t == Type::I32 || t == Type::I64;
    case Opcode::xf_to: return t >= Type::I16 && t <= Type::I64;
    case Opcode::xf_raw: return t == Type::I16 || t == Type::I64;
    case Opcode::bswap: return is_int(t) && t != Type::I8;
    default: break;
  }
  const OpInfo& row = info(op.code);
  const bool has_t = std::strcmp(row.result, "T") == 0 || std::strchr(row.args, 'T') != nullptr;
  return !has_t || is_int(t);
}

constexpr u8 lanes(std::initializer_list<Lane> list) {
  unsigned set = 0;
  for (const Lane l : list) set |= 1u << static_cast<unsigned>(l);
  return static_cast<u8>(set);
}
// Which lanes a vector op may have; 0: any.
u8 lane_set(Opcode code) {
  using enum Lane;
  constexpr u8 kIntegers = lanes({B, H, W, D}), kFloats = lanes({PS, PD, SS, SD}), kPacked = lanes({PS, PD}),
               kScalar = lanes({SS, SD});
  switch (code) {
    case Opcode::vadd:
    case Opcode::vsub:
    case Opcode::vcmpeq:
    case Opcode::vcmpgt:
    case Opcode::vunpacklo:
    case Opcode::vunpackhi:
    case Opcode::vinsert:
    case Opcode::vextract: return kIntegers;
    case Opcode::vadds:
    case Opcode::vaddus:
    case Opcode::vsubs:
    case Opcode::vsubus:
    case Opcode::vavg: return lanes({B, H});
    case Opcode::vmullo:
    case Opcode::vsar:
    case Opcode::vsari:
    case Opcode::vpackss:
    case Opcode::vpackus: return lanes({H, W});
    case Opcode::vmins:
    case Opcode::vminu:
    case Opcode::vmaxs:
    case Opcode::vmaxu:
    case Opcode::vabs:
    case Opcode::vsign: return lanes({B, H, W});
    case Opcode::vshl:
    case Opcode::vshr:
    case Opcode::vshli:
    case Opcode::vshri: return lanes({H, W, D});
    case Opcode::vblendv: return lanes({B, W, D});
    case Opcode::vblendi: return lanes({H, W, D});
    case Opcode::vhadd:
    case Opcode::vhsub: return lanes({H, W, PS, PD});
    case Opcode::vaddsub: return kPacked;
    case Opcode::vzext:
    case Opcode::vsext: return lanes({B, H, W});
    case Opcode::vmovmsk: return lanes({B, W, D});
    case Opcode::vmovlow:
    case Opcode::vfcomi:
    case Opcode::vf_fromint:
    case Opcode::vf_toint: return kScalar;
    case Opcode::vfadd:
    case Opcode::vfsub:
    case Opcode::vfmul:
    case Opcode::vfdiv:
    case Opcode::vfmin:
    case Opcode::vfmax:
    case Opcode::vfsqrt:
    case Opcode::vfcmp:
    case Opcode::vfround: return kFloats;
    case Opcode::vf_rcp:
    case Opcode::vf_rsqrt:
    case Opcode::vf_s2d: return lanes({PS, SS});
    case Opcode::vf_d2s: return lanes({PD, SD});
    case Opcode::vf_i2f:
    case Opcode::vf_f2i: return kPacked;
    default: return 0;
  }
}

constexpr unsigned format_bits(XFormat f) {
  return f == XFormat::I16 ? 16 : f == XFormat::F32 || f == XFormat::I32 ? 32 : 64;
}

std::string check_xfloat(const Region& r, const Op& op) {
  if (r.layout && r.layout->xstack.regs == 0) return "the guest has no floating-point stack";
  const auto wrong_format = [&](Type t) {
    return (op.aux & 15) > static_cast<u32>(XFormat::I64) ||
           format_bits(static_cast<XFormat>(op.aux & 15)) != type_bits(t);
  };
  switch (op.code) {
    case Opcode::xf_arith:
    case Opcode::xf_arith_mem:
      if (op.sub > static_cast<u8>(XArith::DivR) || op.sub == 2 || op.sub == 3) return "no such arithmetic";
      break;
    case Opcode::xf_unary:
      if (op.sub > static_cast<u8>(XUnary::Test)) return "no such operation";
      break;
    case Opcode::xf_special:
      if (op.sub > 15 || !(kXSpecials >> op.sub & 1)) return "no such operation";
      break;
    case Opcode::xf_push_const:
      if (op.aux > 6) return "no such constant";
      break;
    case Opcode::xf_push_reg:
    case Opcode::xf_move:
    case Opcode::xf_swap:
    case Opcode::xf_select:
      if (op.aux > 7) return "no such register";
      break;
    default: break;
  }
  const bool from_memory =
      op.code == Opcode::xf_arith_mem || op.code == Opcode::xf_push || op.code == Opcode::xf_compare_mem;
  if (from_memory && wrong_format(result_type(r.ops[op.arg[0]]))) return "the argument is not of that format";
  if (from_memory && op.code != Opcode::xf_push && (op.aux & 15) == static_cast<u32>(XFormat::I64))
    return "no operation on that format";
  if (op.code == Opcode::xf_to && wrong_format(op.type)) return "the type is not the format's";
  return {};
}

std::string check_details(const Region& r, const Op& op) {
  const unsigned bits = type_bits(op.type);
  if (is_xfloat(op.code)) return check_xfloat(r, op);
  switch (op.code) {
    case Opcode::konst:
      if (op.imm & ~mask_bits(bits)) return "constant wider than its type";
      break;
    case Opcode::get_reg:
    case Opcode::set_reg: {
      if (!r.layout) break;
      if (op.aux >= r.layout->count) return "no such register";
      const Type row = r.layout->rows[op.aux].type;
      if (is_int(row) != is_int(op.type) || (!is_int(row) && row != op.type) || bits > type_bits(row))
        return "the register has another type";
      break;
    }
    case Opcode::extract:
    case Opcode::sextract:
    case Opcode::deposit:
      if (op.aux >> 8 == 0 || (op.aux & 0xff) + (op.aux >> 8) > bits) return "bit field outside of the type";
      break;
    case Opcode::cmp: {
      const Cond c = static_cast<Cond>(op.sub);
      if (op.sub > static_cast<u8>(Cond::G) || c == Cond::O || c == Cond::NO || c == Cond::P || c == Cond::NP ||
          c == Cond::S || c == Cond::NS)
        return "a condition that two integers don't have";
      break;
    }
    case Opcode::selcc:
    case Opcode::setcc:
    case Opcode::exit_cc:
      if (op.sub > static_cast<u8>(Cond::G)) return "no such condition";
      break;
    case Opcode::atomic_rmw:
      if (op.sub > static_cast<u8>(AtomicOp::Sub)) return "no such atomic operation";
      break;
    case Opcode::zext:
    case Opcode::sext:
      if (type_bits(result_type(r.ops[op.arg[0]])) >= bits) return "the result is not wider";
      break;
    case Opcode::trunc:
      if (type_bits(result_type(r.ops[op.arg[0]])) <= bits) return "the result is not narrower";
      break;
    case Opcode::probe_write:
      if (MemInfo::unpack(op.aux).probe_bytes == 0) return "size missing";
      break;
    case Opcode::call:
      if (!r.helpers) break;
      if (op.aux >= r.helpers->count) return "no such helper";
      if (r.helpers->rows[op.aux].nargs != op.nargs) return "wrong number of arguments for the helper";
      if (r.helpers->rows[op.aux].result != op.type) return "the helper's result has another type";
      break;
    case Opcode::call_if:
      if (bits < 32) return "I32 or I64";
      if (!r.helpers) break;
      if (op.aux >= r.helpers->count) return "no such helper";
      if (r.helpers->rows[op.aux].nargs != 3 || r.helpers->rows[op.aux].effects != kHelperPure)
        return "the helper is not pure, or has not three arguments";
      break;
    case Opcode::vinsert:
    case Opcode::vextract:
      if (op.sub > static_cast<u8>(Lane::D) || bits != 8u << op.sub) return "the type is not the lane's";
      if (op.imm >= 16u >> op.sub) return "no such lane";
      break;
    case Opcode::vzext:
    case Opcode::vsext:
      if (op.imm != 16 && op.imm != 32 && op.imm != 64) return "destination lanes of that size don't exist";
      if (op.imm <= 8u << op.sub) return "the lanes don't get wider";
      break;
    default: break;
  }
  if (op.code >= Opcode::vand) {
    const u8 allowed = lane_set(op.code);
    if (allowed && (op.sub > static_cast<u8>(Lane::SD) || !(allowed >> op.sub & 1)))
      return "the operation has no such lane";
  }
  return {};
}

std::string check_args(const Region& r, size_t i) {
  const Op& op = r.ops[i];
  const char* letters = info(op.code).args;
  if (op.code == Opcode::call) {
    if (op.nargs > 4) return "more than four arguments";
  } else if (op.nargs != std::strlen(letters)) {
    return "wrong number of arguments";
  }
  for (unsigned k = 0; k < op.nargs; k++) {
    const std::string which = "argument " + std::to_string(k + 1);
    if (op.arg[k] == 0 || op.arg[k] >= i) return which + " is not made before its use";
    const Type t = result_type(r.ops[op.arg[k]]);
    if (t == Type::Void) return which + " has no value";
    bool good = true;
    switch (op.code == Opcode::call ? 'N' : letters[k]) {
      case 'T': good = t == op.type; break;
      case 'N': good = is_int(t); break;
      case 'F': good = t == Type::Flags; break;
      case 'X': good = t == Type::V128; break;
      case 'A': good = t == Type::I32 || t == Type::I64; break;
      default: good = false; break;
    }
    if (good && (op.code == Opcode::exit_if || op.code == Opcode::xf_step_if || (op.code == Opcode::select && k == 0)))
      good = t == Type::I8;
    if (good && op.code == Opcode::exit_indirect) good = t == Type::I32 || t == Type::I64;
    if (good && op.code == Opcode::flags_pack) good = t == Type::I32;
    if (!good) return which + " has the type " + type_name(t);
  }
  return {};
}

}  // namespace

std::string verify(const Region& region) {
  const auto wrong = [&](size_t i, const std::string& what) {
    Region one;  // the op as text, with its number
    one.layout = region.layout;
    one.helpers = region.helpers;
    one.ops.assign(1, region.ops[i]);
    const std::string text = dump(one);
    return "op " + std::to_string(i) + ": " + what + ": " + text.substr(text.find('\n') + 1);
  };
  const size_t n = region.ops.size();
  if (n == 0) return "the region is empty";
  if (n > kMaxOps) return "the region has more than " + std::to_string(kMaxOps) + " ops";
  for (size_t i = 0; i < n; i++) {
    const Op& op = region.ops[i];
    if (op.code >= Opcode::Count) return "op " + std::to_string(i) + ": no such opcode";
    if (i == 0 && op.code != Opcode::insn) return wrong(i, "a region starts with insn");
    if (!type_fits(op)) return wrong(i, "the operation has no such type");
    std::string text = check_args(region, i);
    if (text.empty()) text = check_details(region, op);
    if (!text.empty()) return wrong(i, text);
    if (is_end(op.code) != (i + 1 == n))
      return wrong(i, i + 1 == n ? "the region does not end with an exit" : "an end in the middle");
  }
  return {};
}

}  // namespace doppel::ir

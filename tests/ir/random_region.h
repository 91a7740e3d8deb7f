// Random regions for tests: every op, type and lane that the verifier accepts, on edge and random operands, alone or
// mixed with memory, helpers, registers and exits. The same seed gives the same region.
#pragma once
#include <cstring>
#include <random>
#include <utility>

#include "ir/ir_fixture.h"

namespace doppel::ir::test {

struct Row {
  Opcode code;
  Type type;
  u8 lane;
};

// Every combination of op, type and lane that the verifier accepts.
inline const std::vector<Row>& rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> v;
    bool break_types = false;
    for (size_t c = static_cast<size_t>(Opcode::add); c < static_cast<size_t>(Opcode::Count); c++) {
      const Opcode code = static_cast<Opcode>(c);
      const OpInfo& row = info(code);
      if (row.effects != PURE) continue;
      for (const Type t : {Type::I8, Type::I16, Type::I32, Type::I64}) {
        for (u8 lane = 0; lane < (code >= Opcode::vand ? 8 : 1); lane++) {
          Region r = new_region();
          raw_start(r);
          Op op{code, t, lane, 0, 8 << 8, {}, 0};
          if (row.result[0] == 'X' && !std::strchr(row.args, 'T') && !std::strchr(row.args, 'N')) op.type = Type::V128;
          if (code == Opcode::vmovmsk) op.type = Type::I32;
          if (code == Opcode::call_if) op.aux = kChoose;
          if (code == Opcode::vzext || code == Opcode::vsext) op.imm = 64;
          if (code == Opcode::cmp) op.sub = static_cast<u8>(Cond::Z);
          for (const char* p = row.args; *p; p++) {
            const Type a = *p == 'X' ? Type::V128 : *p == 'F' ? Type::Flags : t;
            op.arg[op.nargs++] = raw(r, Opcode::get_reg,
                                     *p == 'N' && code == Opcode::select       ? Type::I8
                                     : *p == 'N' && code == Opcode::zext       ? Type::I8
                                     : *p == 'N' && code == Opcode::sext       ? Type::I8
                                     : *p == 'N' && code == Opcode::trunc      ? Type::I64
                                     : *p == 'N' && code == Opcode::flags_pack ? Type::I32
                                                                               : a,
                                     {}, 0,
                                     a == Type::V128    ? kX0
                                     : a == Type::Flags ? kFlags
                                                        : kR0);
          }
          r.ops.push_back(op);
          raw(r, Opcode::exit_loop, Type::Void, {});
          if (verify(r).empty()) v.push_back({code, op.type, lane});
          if (op.type != t) break_types = true;
        }
        if (std::exchange(break_types, false)) break;
      }
    }
    return v;
  }();
  return all;
}

class Generator {
 public:
  explicit Generator(u64 seed) : rng_(seed) {}
  u64 next() { return rng_(); }
  u64 below(u64 n) { return rng_() % n; }
  bool chance(unsigned percent) { return below(100) < percent; }

  u64 number() {
    static constexpr u64 kEdges[] = {0,
                                     1,
                                     2,
                                     0x7f,
                                     0x80,
                                     0xff,
                                     0x100,
                                     0x7fff,
                                     0x8000,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0x100000000,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     ~u64{0},
                                     8,
                                     16,
                                     31,
                                     32,
                                     33,
                                     63,
                                     64,
                                     0x1f,
                                     0x1000};
    switch (below(4)) {
      case 0: return kEdges[below(std::size(kEdges))];
      case 1: return next() >> below(64);
      case 2: return ~(next() >> below(64));
      default: return next();
    }
  }
  u32 f32() {
    static constexpr u32 kEdges[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000,
                                     0x7f800001, 0xffc12345, 1,          0x807fffff, 0x00800000, 0x7f7fffff, 0x4f000000,
                                     0xcf000000, 0x5f000000, 0x40490fdb, 0x3f000000, 0x3fc00000, 0x4b000000};
    return chance(60) ? kEdges[below(std::size(kEdges))] : static_cast<u32>(next());
  }
  u64 f64() {
    static constexpr u64 kEdges[] = {0,
                                     0x8000000000000000,
                                     0x3ff0000000000000,
                                     0xbff0000000000000,
                                     0x7ff0000000000000,
                                     0xfff0000000000000,
                                     0x7ff8000000000000,
                                     0x7ff0000000000001,
                                     0xfff8000000012345,
                                     1,
                                     0x800fffffffffffff,
                                     0x0010000000000000,
                                     0x7fefffffffffffff,
                                     0x41e0000000000000,
                                     0xc1e0000000000000,
                                     0x43e0000000000000,
                                     0x3fe0000000000000,
                                     0x400921fb54442d18,
                                     0x47efffffe0000000,
                                     0x36a0000000000000};
    return chance(60) ? kEdges[below(std::size(kEdges))] : next();
  }
  Vec vector() {
    Vec v;
    const u64 kind = below(4);
    for (unsigned i = 0; i < 2; i++) {
      const u64 q = kind == 0 ? f64() : kind == 1 ? (u64{f32()} << 32 | f32()) : kind == 2 ? number() : next();
      std::memcpy(v.b + 8 * i, &q, 8);
    }
    return v;
  }
  void state(TestState& s) {
    for (u64& r : s.r) r = number();
    s.flags = static_cast<u16>((next() & kFlagsAll) | kFlagOne);
    s.byte = static_cast<u8>(number());
    s.word = static_cast<u16>(number());
    s.dword = static_cast<u32>(number());
    for (Vec& x : s.x) x = vector();
    s.h.fp_env = 0x1f80 | static_cast<u32>(next() & 0xe040);
    s.pc = 0x7777;
  }

  // A value of type t that is in the region, a new read of a register, or a constant.
  Value pick(Type t) {
    auto& list = values_[static_cast<size_t>(t)];
    if (!list.empty() && chance(75))
      return list[chance(60) ? list.size() - 1 - below(std::min<size_t>(list.size(), 5)) : below(list.size())];
    if (is_int(t) && chance(30)) return push(raw_const(*r_, t, number()));
    if (t == Type::Flags && chance(10)) return push(raw_const(*r_, t, (next() & kFlagsAll) | kFlagOne));
    return push(raw(*r_, Opcode::get_reg, t, {}, 0, any_register(t, false)));
  }
  RegId any_register(Type t, bool write) {
    if (t == Type::V128) return static_cast<RegId>(kX0 + below(4));
    if (t == Type::Flags) return kFlags;
    if (chance(20) && t == Type::I8) return kByte;
    if (chance(20) && type_bits(t) <= 16) return kWord;
    if (chance(20) && type_bits(t) <= 32) return kDword;
    (void)write;
    return static_cast<RegId>(kR0 + below(8));
  }
  Value push(Value v) {
    values_[static_cast<size_t>(result_type(r_->ops[v]))].push_back(v);
    return v;
  }
  Type any_int() { return static_cast<Type>(1 + below(4)); }

  Value pure(const Row& row) {
    Op op{row.code, row.type, row.lane, 0, 0, {}, 0};
    const unsigned bits = type_bits(row.type);
    switch (row.code) {
      case Opcode::udiv2:
      case Opcode::urem2: {
        op.arg[0] = chance(50) ? raw_const(*r_, row.type, 0) : 0;
        op.arg[2] = raw(*r_, Opcode::or_, row.type, {pick(row.type), raw_const(*r_, row.type, chance(50) ? 1 : 0xff)});
        if (!op.arg[0]) {  // high half below the divisor: divisor >> 1, as the divisor is not 0
          op.arg[0] = raw(*r_, Opcode::shr, row.type, {op.arg[2], raw_const(*r_, Type::I8, 1)});
        }
        op.arg[1] = pick(row.type);
        op.nargs = 3;
        r_->ops.push_back(op);
        return push(last());
      }
      case Opcode::zext:
      case Opcode::sext: {
        if (row.type == Type::I8) return 0;
        op.arg[0] = pick(static_cast<Type>(1 + below(static_cast<u64>(row.type) - 1)));
        op.nargs = 1;
        r_->ops.push_back(op);
        return push(last());
      }
      case Opcode::trunc: {
        if (row.type == Type::I64) return 0;
        op.arg[0] = pick(static_cast<Type>(static_cast<u64>(row.type) + 1 + below(4 - static_cast<u64>(row.type))));
        op.nargs = 1;
        r_->ops.push_back(op);
        return push(last());
      }
      case Opcode::extract:
      case Opcode::sextract:
      case Opcode::deposit: {
        static constexpr u8 kWidths[] = {8, 8, 16, 32, 1, 3, 12};
        unsigned width = kWidths[below(std::size(kWidths))],
                 lsb = chance(70) ? 8 * static_cast<unsigned>(below(bits / 8)) : static_cast<unsigned>(below(bits));
        if (width > bits) width = bits;
        if (lsb + width > bits) lsb = bits - width;
        op.aux = lsb | width << 8;
        break;
      }
      case Opcode::cmp: {
        static constexpr Cond kConds[] = {Cond::Z, Cond::NZ, Cond::C,  Cond::NC, Cond::BE,
                                          Cond::A, Cond::L,  Cond::GE, Cond::LE, Cond::G};
        op.sub = static_cast<u8>(kConds[below(std::size(kConds))]);
        break;
      }
      case Opcode::setcc:
      case Opcode::selcc: op.sub = static_cast<u8>(below(16)); break;
      case Opcode::call_if:
        if (bits < 32) return 0;
        op.sub = static_cast<u8>(below(16));
        op.aux = kChoose;
        op.imm = below(1000);
        break;
      case Opcode::flags_merge: op.aux = static_cast<u32>(next() & kFlagsAll); break;
      case Opcode::vinsert:
      case Opcode::vextract: op.imm = below(16u >> row.lane); break;
      case Opcode::vzext:
      case Opcode::vsext:
        do op.imm = u64{16} << below(3);
        while (op.imm <= 8u << row.lane);
        break;
      case Opcode::vfcmp: op.imm = below(8); break;
      case Opcode::vfcomi:
      case Opcode::vf_f2i:
      case Opcode::vf_toint: op.imm = below(2); break;
      case Opcode::vfround: op.imm = below(16); break;
      case Opcode::vshli:
      case Opcode::vshri:
      case Opcode::vsari: op.imm = chance(80) ? below(66) : below(300); break;
      case Opcode::vshlb:
      case Opcode::vshrb: op.imm = below(20); break;
      case Opcode::valign: op.imm = below(40); break;
      case Opcode::vshuf_w:
      case Opcode::vshuf_hl:
      case Opcode::vshuf_hh:
      case Opcode::vshuf_ps: op.imm = below(256); break;
      case Opcode::vshuf_pd: op.imm = below(4); break;
      case Opcode::vblendi: op.imm = below(256); break;
      default: break;
    }
    const bool shift = row.code == Opcode::shl || row.code == Opcode::shr || row.code == Opcode::sar ||
                       row.code == Opcode::rotl || row.code == Opcode::rotr || row.code == Opcode::flags_shl ||
                       row.code == Opcode::flags_shr || row.code == Opcode::flags_sar;
    for (const char* p = info(row.code).args; *p; p++) {
      const Type t = *p == 'X'                        ? Type::V128
                     : *p == 'F'                      ? Type::Flags
                     : *p == 'T'                      ? row.type
                     : row.code == Opcode::select     ? Type::I8
                     : row.code == Opcode::flags_pack ? Type::I32
                     : row.code == Opcode::vf_fromint ? row.type
                                                      : any_int();
      op.arg[op.nargs++] = shift && *p == 'N' && chance(60) ? push(raw_const(*r_, Type::I8, below(70))) : pick(t);
    }
    r_->ops.push_back(op);
    return push(last());
  }

  // The flags of an op and its result side by side, in either order, as frontends make them.
  void pair() {
    static constexpr std::pair<Opcode, Opcode> kPairs[] = {
        {Opcode::add, Opcode::flags_add},    {Opcode::sub, Opcode::flags_sub},    {Opcode::adc, Opcode::flags_adc},
        {Opcode::sbb, Opcode::flags_sbb},    {Opcode::shl, Opcode::flags_shl},    {Opcode::shr, Opcode::flags_shr},
        {Opcode::sar, Opcode::flags_sar},    {Opcode::and_, Opcode::flags_logic}, {Opcode::or_, Opcode::flags_logic},
        {Opcode::xor_, Opcode::flags_logic}, {Opcode::add, Opcode::flags_inc},    {Opcode::sub, Opcode::flags_dec},
        {Opcode::neg, Opcode::flags_sub}};
    const auto [value, flags] = kPairs[below(std::size(kPairs))];
    const Type t = any_int();
    const bool shift = value >= Opcode::shl && value <= Opcode::sar;
    const Value a = pick(t);
    Value b = shift ? (chance(50) ? push(raw_const(*r_, Type::I8, below(40))) : pick(any_int())) : pick(t);
    if (flags == Opcode::flags_inc || flags == Opcode::flags_dec) b = raw_const(*r_, t, 1);
    const bool needs_old = shift || value == Opcode::adc || value == Opcode::sbb || flags == Opcode::flags_inc ||
                           flags == Opcode::flags_dec;
    Value old = needs_old && chance(70) ? pick(Type::Flags) : 0;
    const Value zero = value == Opcode::neg ? raw_const(*r_, t, 0) : 0;
    Value result = 0;
    auto make_value = [&] {
      if (value == Opcode::neg)
        result = push(raw(*r_, value, t, {a}));
      else if (value == Opcode::adc || value == Opcode::sbb)
        result = push(raw(*r_, value, t, {a, b, old ? old : (old = pick(Type::Flags))}));
      else
        result = push(raw(*r_, value, t, {a, b}));
    };
    Value f = 0;
    auto make_flags = [&] {
      if (needs_old && !old) old = raw(*r_, Opcode::get_reg, Type::Flags, {}, 0, kFlags);
      if (flags == Opcode::flags_logic)
        f = raw(*r_, flags, t, {result});
      else if (flags == Opcode::flags_inc || flags == Opcode::flags_dec)
        f = raw(*r_, flags, t, {a, old});
      else if (value == Opcode::neg)
        f = raw(*r_, flags, t, {zero, a});
      else if (shift || value == Opcode::adc || value == Opcode::sbb)
        f = raw(*r_, flags, t, {a, b, old});
      else
        f = raw(*r_, flags, t, {a, b});
      push(f);
    };
    const u64 how = below(4);
    if (how == 0 && flags != Opcode::flags_logic) {
      make_flags();
      make_value();
    } else {
      make_value();
      if (how == 1 && type_bits(t) >= 32) set(result);
      make_flags();
    }
    if (how >= 2 && type_bits(t) >= 32) set(result);
    if (chance(60)) raw(*r_, Opcode::set_reg, Type::Flags, {f}, 0, kFlags);
    if (chance(40))
      raw(*r_, Opcode::exit_cc, Type::Void, {f}, static_cast<u8>(below(16)), static_cast<u32>(below(2)),
          0x5000 + below(100));
  }
  void set(Value v) {
    const Type t = result_type(r_->ops[v]);
    raw(*r_, Opcode::set_reg, t, {v}, 0, any_register(t, true));
  }

  Value address() {
    // Mostly inside the page.
    Value a = pick(Type::I64);
    if (chance(92)) {
      a = raw(*r_, Opcode::and_, Type::I64, {a, raw_const(*r_, Type::I64, 0x7f8)});
      if (chance(30))
        a = raw(*r_, Opcode::shl, Type::I64,
                {raw(*r_, Opcode::and_, Type::I64, {a, raw_const(*r_, Type::I64, 0xff)}),
                 raw_const(*r_, Type::I8, below(4))});
      const Value base = raw(*r_, Opcode::or_, Type::I64,
                             {raw(*r_, Opcode::and_, Type::I64, {pick(Type::I64), raw_const(*r_, Type::I64, 0x3f)}),
                              raw_const(*r_, Type::I64, TestMemory::kBase)});
      a = raw(*r_, Opcode::add, Type::I64, {base, a});
      if (chance(30)) a = raw(*r_, Opcode::add, Type::I64, {a, raw_const(*r_, Type::I64, below(64))});
      push(a);
    } else if (chance(50)) {
      a = push(raw_const(*r_, Type::I64, TestMemory::kBase + 0xff0 + below(32)));
    }
    if (chance(40)) a = push(raw(*r_, Opcode::trunc, Type::I32, {a}));
    return a;
  }
  void memory() {
    // Often near an earlier access, as stack frames and structures are.
    Value a = recent_ && chance(60) ? recent_ : address();
    recent_ = a;
    if (chance(25)) {
      const Type t = result_type(r_->ops[a]);
      a = push(raw(*r_, chance(50) ? Opcode::add : Opcode::sub, t, {a, raw_const(*r_, t, below(48))}));
      if (chance(50)) recent_ = a;
    }
    MemInfo m;
    if (chance(10)) m.align_log2 = static_cast<u8>(below(4));
    m.rmw = chance(10);
    m.stack = chance(10);
    m.big_endian = chance(15);
    const Type t = any_int();
    const u64 disp = chance(60) ? below(chance(50) ? 32 : 300) : chance(80) ? 0 : number();
    switch (below(10)) {
      case 0:
      case 1:
      case 2: push(raw(*r_, Opcode::load, t, {a}, 0, m.pack(), disp)); break;
      case 3:
      case 4:
      case 5: raw(*r_, Opcode::store, t, {a, pick(t)}, 0, (m.rmw = false, m.pack()), disp); break;
      case 6: push(raw(*r_, Opcode::atomic_rmw, t, {a, pick(t)}, static_cast<u8>(below(6)), m.pack(), disp)); break;
      case 7: {
        const Type c = chance(15) ? Type::V128 : t;
        Value expected = pick(c);
        if (chance(50)) expected = push(raw(*r_, Opcode::load, c, {a}, 0, m.pack(), disp));
        push(raw(*r_, Opcode::atomic_cas, c, {a, expected, pick(c)}, 0, m.pack(), disp));
        break;
      }
      case 8: {
        if (chance(50))
          push(raw(*r_, Opcode::load, Type::V128, {a}, 0, m.pack(), disp));
        else
          raw(*r_, Opcode::store, Type::V128, {a, pick(Type::V128)}, 0, m.pack(), disp);
        break;
      }
      default:
        m.probe_bytes = static_cast<u8>(1 + below(64));
        m.align_log2 = 0;
        raw(*r_, Opcode::probe_write, Type::Void, {a}, 0, m.pack(), disp);
        if (chance(30)) raw(*r_, Opcode::fence, Type::Void, {});
        break;
    }
  }

  Region region(unsigned length, bool vectors) {
    Region r = new_region();
    r_ = &r;
    for (auto& v : values_) v.clear();
    recent_ = 0;
    u64 pc = r.pc;
    raw(r, Opcode::insn, Type::Void, {}, 0, 2, pc);
    r.insn_count = 1;
    while (r.ops.size() < length) {
      const u64 k = below(100);
      if (k < 8) {
        raw(r, Opcode::insn, Type::Void, {}, 0, 2, pc += 2);
        r.insn_count++;
      } else if (k < 28) {
        const Type t = k < 12              ? Type::Flags
                       : k < 15 && vectors ? Type::V128
                       : k < 24            ? static_cast<Type>(3 + below(2))
                                           : any_int();
        const Value v = pick(t);
        raw(r, Opcode::set_reg, t, {v}, 0, any_register(t, true));
      } else if (k < 45) {
        pair();
      } else if (k < 57) {
        memory();
      } else if (k < 59) {
        switch (below(4)) {
          case 0: push(raw(r, Opcode::call, Type::I32, {pick(any_int()), pick(any_int())}, 0, kMix)); break;
          case 1: push(raw(r, Opcode::call, Type::I64, {pick(any_int())}, 0, kBump)); break;
          case 2: push(raw(r, Opcode::call, Type::I64, {}, 0, kPeek)); break;
          default: raw(r, Opcode::call, Type::Void, {pick(any_int()), pick(any_int())}, 0, kMayFault); break;
        }
      } else if (k < 60) {
        raw(r, Opcode::exit_cc, Type::Void, {pick(Type::Flags)}, static_cast<u8>(below(16)), static_cast<u32>(below(2)),
            0x3000 + below(100));
      } else if (k < 62) {
        raw(r, Opcode::exit_if, Type::Void, {pure({Opcode::cmp, any_int(), 0})}, 0, static_cast<u32>(below(2)),
            0x4000 + below(100));
      } else {
        const Row& row = rows()[below(rows().size())];
        if (vectors || row.code < Opcode::vand) pure(row);
      }
    }
    switch (below(3)) {
      case 0: raw(r, Opcode::exit_direct, Type::Void, {}, 0, static_cast<u32>(below(2)), number()); break;
      case 1: raw(r, Opcode::exit_indirect, Type::Void, {pick(chance(50) ? Type::I64 : Type::I32)}); break;
      default: raw(r, Opcode::exit_loop, Type::Void, {}); break;
    }
    return r;
  }
  // One op, its result set into a register.
  Region single(const Row& row) {
    Region r = new_region();
    r_ = &r;
    for (auto& v : values_) v.clear();
    recent_ = 0;
    raw_start(r);
    const Value v = pure(row);
    if (v) set(v);
    raw(r, Opcode::exit_loop, Type::Void, {});
    return r;
  }
  void attach(Region& r) { r_ = &r; }

 private:
  Value last() const { return static_cast<Value>(r_->ops.size() - 1); }
  std::mt19937_64 rng_;
  Region* r_ = nullptr;
  std::vector<Value> values_[8];
  Value recent_ = 0;
};

inline std::vector<u8> random_bytes(Generator& g) {
  std::vector<u8> bytes(mem::kPageSize);
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const u64 q = g.number();
    std::memcpy(&bytes[i], &q, 8);
  }
  return bytes;
}

}  // namespace doppel::ir::test

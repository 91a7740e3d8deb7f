// The stack of 80-bit floats: random regions of xf ops, on the interpreter (src/fpu) and on the host's x87 by the JIT.
// Loads and stores that may fault, helpers, guards that fail and side exits come between, so that values are in host
// registers everywhere; with the slow path for every access, too, and on a host without SSE3 (FISTTP).
#include <bit>
#include <random>

#include "ir/x64_fixture.h"

namespace doppel::ir::test {
namespace {

class XFloatRegions : public ::testing::Test {
 protected:
  u64 rnd(u64 n) { return rng_() % n; }

  Float80 number() {
    static constexpr u16 kExponents[] = {0, 1, 0x3fff, 0x4000, 0x401d, 0x403e, 0x7ffe, 0x7fff, 0x3c01, 0x3f81, 0x43fe};
    Float80 v;
    v.significand = rng_() | u64{rnd(30) != 0} << 63;
    if (rnd(3) == 0) v.significand &= ~u64{0} << rnd(64);
    v.sign_exponent = static_cast<u16>(rnd(5) ? 0x3fff - 30 + rnd(60) : kExponents[rnd(std::size(kExponents))]);
    v.sign_exponent |= static_cast<u16>(rng_() & 0x8000);
    return v;
  }
  Type any_format(u32& aux, bool arithmetic) {
    static constexpr Type kTypes[] = {Type::I32, Type::I64, Type::I16, Type::I32, Type::I64};
    aux = static_cast<u32>(rnd(arithmetic ? 4 : 5));
    return kTypes[aux];
  }
  Value address() { return raw_const(r_, Type::I64, TestMemory::kBase + 8 * rnd(500)); }
  Value memory(Type t) { return raw(r_, Opcode::load, t, {address()}, 0, MemInfo{}.pack()); }

  // What a trace knows: ST(i) is valid if i < depth_, empty otherwise.
  unsigned any() { return static_cast<unsigned>(rnd(depth_)); }
  void op(Opcode code, u32 aux = 0, u8 sub = 0) { raw(r_, code, Type::Void, {}, sub, aux); }
  void guard(unsigned mask, bool wrong = false) {
    unsigned empty = 0;
    for (unsigned i = depth_; i < 8; i++) empty |= 1u << i;
    if (wrong) empty ^= mask & (0u - mask);
    raw(r_, Opcode::xf_guard, Type::Void, {}, 0, mask | (empty & mask) << 8, 0x4000 + rnd(100));
  }
  void pop() {
    op(Opcode::xf_pop);
    depth_--;
  }

  void push() {
    u32 aux;
    switch (rnd(4)) {
      case 0: op(Opcode::xf_push_const, static_cast<u32>(rnd(7))); break;
      case 1:
        if (depth_) {
          op(Opcode::xf_push_reg, any());
          break;
        }
        [[fallthrough]];
      case 2: {
        const Type t = any_format(aux, false);
        raw(r_, Opcode::xf_push, Type::Void, {memory(t)}, 0, aux);
        break;
      }
      default: {
        const Float80 v = number();
        raw(r_, Opcode::xf_push_raw, Type::Void,
            {raw_const(r_, Type::I64, v.significand), raw_const(r_, Type::I16, v.sign_exponent)});
        break;
      }
    }
    depth_++;
  }
  void arithmetic() {
    static constexpr u8 kSubs[] = {0, 1, 4, 5, 6, 7};
    const u8 sub = kSubs[rnd(6)];
    if (rnd(3) == 0) {
      u32 aux;
      const Type t = any_format(aux, true);
      raw(r_, Opcode::xf_arith_mem, Type::Void, {memory(t)}, sub, aux);
      return;
    }
    const unsigned i = any();
    const bool to_zero = rnd(2);
    op(Opcode::xf_arith, to_zero ? i << 4 : i, sub);
    if (!to_zero && i > 0 && rnd(2)) pop();
  }
  void compare() {
    const u32 aux = any() | static_cast<u32>(rnd(2)) << 4;
    switch (rnd(4)) {
      case 0:
        raw(r_, Opcode::set_reg, Type::Flags, {raw(r_, Opcode::xf_compare_flags, Type::Flags, {}, 0, aux)}, 0, kFlags);
        break;
      case 1: {
        u32 format;
        const Type t = any_format(format, true);
        raw(r_, Opcode::xf_compare_mem, Type::Void, {memory(t)}, 0, format);
        break;
      }
      default: op(Opcode::xf_compare, aux); break;
    }
    for (u64 n = rnd(3); n > 0 && depth_ > 0; n--) pop();
  }
  void leave_value() {
    u32 aux;
    const Type t = any_format(aux, false);
    if (aux >= static_cast<u32>(XFormat::I16)) aux |= static_cast<u32>(rnd(2)) << 4;
    if (rnd(4) == 0) {
      raw(r_, Opcode::store, Type::I64, {address(), raw(r_, Opcode::xf_raw, Type::I64, {})}, 0, MemInfo{}.pack());
      raw(r_, Opcode::store, Type::I16, {address(), raw(r_, Opcode::xf_raw, Type::I16, {})}, 0, MemInfo{}.pack());
    } else {
      raw(r_, Opcode::store, t, {address(), raw(r_, Opcode::xf_to, t, {}, 0, aux)}, 0, MemInfo{}.pack());
    }
    if (rnd(2)) pop();
  }
  void around() {  // what looks at the state, or may leave
    switch (rnd(7)) {
      case 0:
        raw(r_, Opcode::set_reg, Type::I16, {raw(r_, Opcode::xf_word, Type::I16, {}, 0, static_cast<u32>(rnd(2)))}, 0,
            kWord);
        break;
      case 1: raw(r_, Opcode::xf_control, Type::Void, {raw_const(r_, Type::I16, control())}); break;
      case 2: raw(r_, Opcode::call, Type::I64, {raw_const(r_, Type::I64, 5)}, 0, kBump); break;
      case 3: {
        const Value f = raw(r_, Opcode::get_reg, Type::Flags, {}, 0, kFlags);
        raw(r_, Opcode::exit_cc, Type::Void, {f}, static_cast<u8>(rnd(16)), 0, 0x5000 + rnd(100));
        break;
      }
      case 4: raw(r_, Opcode::set_reg, Type::I64, {memory(Type::I64)}, 0, static_cast<u32>(rnd(8))); break;
      case 5: guard(static_cast<unsigned>(rnd(256)), rnd(20) == 0); break;
      default:
        raw(r_, Opcode::xf_step_if, Type::Void, {raw_const(r_, Type::I8, rnd(20) == 0)}, 0, 0, 0x6000 + rnd(100));
        break;
    }
  }
  void one() {
    if (depth_ == 0 || (depth_ < 8 && rnd(3) == 0)) return push();
    switch (rnd(10)) {
      case 0:
      case 1:
      case 2: return arithmetic();
      case 3: return compare();
      case 4: return leave_value();
      case 5: {
        const unsigned i = static_cast<unsigned>(rnd(depth_ + (depth_ < 8)));
        op(Opcode::xf_move, i);
        if (i == depth_) depth_++;
        if (rnd(2)) pop();
        return;
      }
      case 6: return op(Opcode::xf_swap, any());
      case 7: return rnd(6) ? op(Opcode::xf_unary, 0, static_cast<u8>(rnd(5))) : op(Opcode::xf_examine);
      case 8: {
        const Value f = raw(r_, Opcode::get_reg, Type::Flags, {}, 0, kFlags);
        raw(r_, Opcode::xf_select, Type::Void, {f}, static_cast<u8>(rnd(16)), any());
        return;
      }
      default: return special();
    }
  }
  void special() {
    static constexpr u8 kCodes[] = {0, 1, 3, 4, 5, 8, 9, 13, 14, 15};
    const u8 code = kCodes[rnd(std::size(kCodes))];
    const bool pops = kXSpecialPops >> code & 1, two = kXSpecialTwo >> code & 1, pushes = code == 4;
    if ((two && depth_ < 2) || (pushes && depth_ == 8)) return;
    op(Opcode::xf_special, 0, code);
    depth_ += pushes;
    depth_ -= pops;
  }
  u16 control() {
    static constexpr u16 kPrecisions[] = {0, 2, 3, 3};
    return static_cast<u16>(0x7f | kPrecisions[rnd(4)] << 8 | rnd(4) << 10);
  }

  bool run(X64Jit& jit) {
    TestState s;
    for (u64& v : s.r) v = rng_();
    s.flags = eflags_to_flags(static_cast<u32>(rng_() & 0x8d5));
    s.control = control();
    s.status = static_cast<u16>(rng_() & 0x473f);
    s.top = static_cast<u8>(rnd(8));
    depth_ = static_cast<unsigned>(rnd(9));
    s.tags = std::rotl(static_cast<u8>(0xff << depth_), s.top);
    for (Float80& v : s.st) v = number();
    std::vector<u8> bytes(TestMemory::kSize);
    for (size_t i = 0; i < bytes.size(); i += 8) {
      const u64 v = rnd(3) == 0
                        ? rng_() >> rnd(64)
                        : (rng_() & 0x800fffff800fffff) | (0x3ff - 20 + rnd(40)) << 52 | (0x7f0 + rnd(16)) << 19;
      store_le<u64>(&bytes[i], v);
    }
    r_ = new_region();
    raw_start(r_);
    guard(0xff);
    for (u64 n = 1 + rnd(30); n > 0; n--) rnd(5) ? one() : around();
    if (rnd(2))
      raw(r_, Opcode::exit_direct, Type::Void, {}, 0, 0, 0x7000);
    else
      raw(r_, Opcode::exit_indirect, Type::Void, {raw(r_, Opcode::get_reg, Type::I64, {}, 0, kR0)});
    return same(jit, r_, s, bytes);
  }
  void run_many(X64Jit& jit, int count) {
    for (int i = 0; i < count; i++) {
      jit.slow_always = i % 4 == 0;
      if (!run(jit)) return;
    }
  }

  std::mt19937_64 rng_{80};
  Region r_;
  unsigned depth_ = 0;
};

TEST_F(XFloatRegions, AllPinned) {
  X64Jit jit;
  run_many(jit, 4000);
}
TEST_F(XFloatRegions, NothingPinned) {
  X64Jit jit(0);
  run_many(jit, 2000);
}
TEST_F(XFloatRegions, BaselineHost) {
  X64Jit jit(3, HostFeatures::baseline());
  run_many(jit, 2000);
}

}  // namespace
}  // namespace doppel::ir::test

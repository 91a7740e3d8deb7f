// Translator: what the translate functions of MIPS instructions use to make IR. One function a group of instructions,
// void tr_xxx(Translator& t, const Insn& in), named by the rows of decode/*.inc.
//
// Rules for every translate function:
// - Nothing that guest code can see is written before the last op of the instruction that may fault.
// - A branch only says where it goes (t.branch); the frontend translates the delay slot and makes the exits.
// - Functions must work in a delay slot too: what has to go to the vCPU loop after the instruction sets t.must_leave,
// and
//   what raises calls t.raise and returns.
#pragma once
#include <initializer_list>

#include "guest/guest.h"
#include "guest/mips/decode/decode.h"
#include "guest/mips/helpers/table.h"
#include "ir/builder.h"

namespace doppel::mips {

using ir::Cond;
using ir::Opcode;
using ir::Type;
using ir::Value;

// Where a branch goes: to `target`, or to the address in `to`; if `conditional`, when `a cc b` (compared after the
// slot).
struct Branch {
  bool conditional = false;
  Cond cc = Cond::Z;
  Value a = 0, b = 0;
  Value to = 0;  // 0: a constant target
  u64 target = 0;
};

// An address to load from or store to: base + disp.
struct Addr {
  Value base = 0;
  s64 disp = 0;
};

class Translator {
 public:
  Translator(const guest::TranslateRequest& rq, const CpuModel& m, ir::Region& out)
      : b(builder_), mode(rq.mode), model(m), request(rq), builder_(out), region_(out) {}

  ir::Builder& b;
  const u64 mode;
  const CpuModel& model;
  const guest::TranslateRequest& request;
  // Of the instruction being translated.
  u64 unit_pc = 0;  // where it starts over: its own pc, or its branch's
  bool in_slot = false;
  bool first_unit = true;  // of the region
  bool ended = false;      // the region has got its end op
  bool must_leave = false;
  Branch branch;

  bool wide() const { return model.is_64bit; }
  bool is_mips16(u64 pc) const { return model.mips16 && (pc & 1); }
  Type word() const { return wide() ? Type::I64 : Type::I32; }  // of general registers
  u64 wrap_pc(u64 pc) const;
  bool same_page(u64 pc) const { return ((pc ^ request.pc) & mem::kPageMask) == 0; }

  // --- registers
  Value imm(Type t, u64 v) { return b.konst(t, v); }
  Value k32(u64 v) { return b.konst(Type::I32, v); }
  Value k64(u64 v) { return b.konst(Type::I64, v); }
  Value gpr(unsigned n) { return n == 0 ? imm(word(), 0) : b.get_reg(word(), static_cast<ir::RegId>(kRegGpr0 + n)); }
  Value gpr32(unsigned n) { return n == 0 ? k32(0) : b.get_reg(Type::I32, static_cast<ir::RegId>(kRegGpr0 + n)); }
  Value gpr64(unsigned n) { return n == 0 ? k64(0) : b.get_reg(Type::I64, static_cast<ir::RegId>(kRegGpr0 + n)); }
  void set_gpr(unsigned n, Value v) {  // of type word()
    if (n != 0) b.set_reg(static_cast<ir::RegId>(kRegGpr0 + n), v);
  }
  void set_gpr32(unsigned n, Value v) { set_gpr(n, widen(v)); }
  Value widen(Value v32) { return wide() ? b.sext(Type::I64, v32) : v32; }  // a 32-bit result as a register holds it
  void set_hi_lo(Value hi32, Value lo32) {
    b.set_reg(kRegHi, widen(hi32));
    b.set_reg(kRegLo, widen(lo32));
  }
  // Floating-point registers as Status.FR has them.
  Value fpr32(unsigned n);
  Value fpr64(unsigned n) { return b.get_reg(Type::I64, fpr_row(n)); }
  void set_fpr32(unsigned n, Value v);
  void set_fpr64(unsigned n, Value v) { b.set_reg(fpr_row(n), v); }
  // Of accumulator `ac`; HI and LO are those of number 0.
  static ir::RegId hi_row(unsigned ac) { return static_cast<ir::RegId>(ac == 0 ? kRegHi + 0u : kRegAccHi1 + ac - 1); }
  static ir::RegId lo_row(unsigned ac) { return static_cast<ir::RegId>(ac == 0 ? kRegLo + 0u : kRegAccLo1 + ac - 1); }
  ir::RegId fpr_row(unsigned n) const { return static_cast<ir::RegId>(kRegFpr0 + (mode & kModeFr ? n : n & ~1u)); }

  // --- memory
  Addr address(unsigned base, s64 offset);
  Addr address_sum(unsigned base, unsigned index);
  Value full_address(const Addr& a) { return b.zext(Type::I64, b.addi(a.base, static_cast<u64>(a.disp))); }
  // An address that is not a multiple of the size is an address error: `aligned` even where Linux mends others.
  ir::MemInfo memory(unsigned bytes, bool aligned = false) const;
  Value load(Type t, const Addr& a, bool aligned = false) {
    return b.load(t, a.base, memory(ir::type_bytes(t), aligned), a.disp);
  }
  void store(const Addr& a, Value v, bool aligned = false) {
    b.store(a.base, v, memory(ir::type_bytes(b.type(v)), aligned), a.disp);
  }

  // --- helpers, exceptions
  Value call(Helper h, std::initializer_list<Value> args = {}) { return b.call(static_cast<u16>(h), args); }
  void raise(ExcCode code, unsigned coprocessor = 0);
  void raise_if(Value bool8, ExcCode code);
  bool require_cp0();    // false: Coprocessor Unusable was raised
  bool require_fpu();    // likewise
  bool require_64bit();  // false: Reserved Instruction was raised
  bool require_pairs();  // a unit with registers of 64 bits: else Reserved Instruction
  bool require_dsp();    // false: DSP Disabled was raised
  bool require_msa();    // false: MSA Disabled was raised, or, with floating-point registers of 32 bits, Reserved

 private:
  ir::Builder builder_;
  ir::Region& region_;
};

// The translate functions that rows name; several rows may name one.
#define INSN(mask, match, name, isa, kind, handler) void handler(Translator&, const Insn&);
#include "guest/mips/decode/cop0.inc"
#include "guest/mips/decode/cop1.inc"
#include "guest/mips/decode/dsp.inc"
#include "guest/mips/decode/main.inc"
#include "guest/mips/decode/msa.inc"
#include "guest/mips/decode/paired.inc"
#include "guest/mips/decode/special.inc"
#undef INSN

}  // namespace doppel::mips

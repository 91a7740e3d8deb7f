// Translator: what the translate functions of x86 instructions use to make IR. One function a group of mnemonics,
// void tr_xxx(Translator& t, const Insn& in), named by the mnemonic rows (decode/mnemonics_*.inc).
//
// Rules for every translate function:
// - Nothing that guest code can see is written (set_reg, flags, first of several stores) before the last op of the
// instruction that
//   may fault. Faults find the pc by the side table: helpers that raise need no pc from the translator.
// - Flags are made by flags_* ops next to the arithmetic op, with the same arguments, so that a backend can fuse them.
// - An instruction that changes mode, paging, segments or interrupts: t.call_and_leave(Helper::x, {...}). It sets RIP
// to the next
//   instruction BEFORE the call (helpers that jump overwrite s->rip; faults restore the pc of the instruction
//   themselves) and ends the region with exit_loop.
// - Helpers that seldom change the mode (popf, wrmsr, stac) set exit_request when they did: the region may
// end in a chained
//   exit after them, because the next region's entry looks at exit_request first. t.call_and_chain(Helper::x, {...}).
// - An instruction that ends a region without such changes: t.end_direct(t.next_pc()).
// - t.ud() and t.raise() end the region: return right after them.
#pragma once
#include <initializer_list>

#include "guest/guest.h"
#include "guest/x86/decode/decode.h"
#include "guest/x86/helpers/table.h"
#include "ir/builder.h"

namespace doppel::x86 {

using ir::Cond;
using ir::Lane;
using ir::Opcode;
using ir::Type;
using ir::Value;

constexpr Type int_type(unsigned bytes) {
  return bytes == 1 ? Type::I8 : bytes == 2 ? Type::I16 : bytes == 4 ? Type::I32 : bytes == 8 ? Type::I64 : Type::V128;
}

// A linear address: load and store at base + disp.
struct Addr {
  Value base = 0;
  s64 disp = 0;
  bool stack = false;  // relative to SS: canonicality faults are #SS
};

class Translator {
 public:
  Translator(const guest::TranslateRequest& rq, const Decoder& d, const CpuModel& m, ir::Region& out)
      : b(builder_), mode(rq.mode), model(m), decoder(d), request(rq), builder_(out), region_(out) {}

  ir::Builder& b;
  const u64 mode;
  const CpuModel& model;
  const Decoder& decoder;
  const guest::TranslateRequest& request;
  const Insn* insn = nullptr;  // the instruction being translated
  bool ended = false;          // the region has got its end op

  // --- modes
  bool is64() const { return mode & kModeCs64; }
  bool lma() const { return mode & kModeLma; }
  bool protected_mode() const { return (mode & kModePe) && !(mode & kModeVm86); }
  unsigned cpl() const { return static_cast<unsigned>((mode & kModeCpl) >> kModeCplShift); }
  Type addr_type() const { return is64() ? Type::I64 : Type::I32; }  // of linear addresses
  unsigned stack_size() const { return is64() ? 8 : (mode & kModeSs32) ? 4 : 2; }
  u64 next_pc() const { return wrap_pc(insn->pc + insn->length); }
  u64 wrap_pc(u64 pc) const { return is64() ? pc : static_cast<u32>(pc); }

  // --- registers
  Value imm(Type t, u64 v) { return b.konst(t, v); }
  Value gpr(unsigned reg, unsigned bytes) { return b.get_reg(int_type(bytes), static_cast<ir::RegId>(kRegGpr0 + reg)); }
  // By the type of v: I8 and I16 merge into the low bits, I32 zero-extends, I64.
  void set_gpr(unsigned reg, Value v);
  Value gpr_high(unsigned reg);  // AH CH DH BH as I8; reg 0..3
  void set_gpr_high(unsigned reg, Value v);
  Value flags() { return b.get_reg(Type::Flags, kRegFlags); }
  // A flags_* op; its type is that of the first argument.
  Value fl(Opcode code, std::initializer_list<Value> args, u32 aux = 0) {
    return b.op(code, b.type(*args.begin()), args, 0, aux);
  }
  void set_flags(Value f) { b.set_reg(kRegFlags, f); }
  Value xmm(unsigned reg) { return b.get_reg(Type::V128, static_cast<ir::RegId>(kRegXmm0 + reg)); }
  void set_xmm(unsigned reg, Value v) { b.set_reg(static_cast<ir::RegId>(kRegXmm0 + reg), v); }

  // --- operands: Reg, RegHigh, Mem (integer sizes, or 16 bytes as V128), Imm, Seg (selector), Xmm (V128)
  Value read(const Operand& o);
  Value read(unsigned i) { return read(insn->op[i]); }
  void write(const Operand& o, Value v);
  void write(unsigned i, Value v) { write(insn->op[i], v); }

  // --- memory
  // The effective address (offset) of insn->mem: I32 or I64 (16-bit ones wrapped, zero-extended). No segment.
  Value effective_address(const MemOperand& m, s64 extra = 0);
  // Linear address of `size` bytes at insn->mem + extra with segment base, and limit and rights checks where the mode
  // asks for them.
  Addr address(unsigned size, bool write, s64 extra = 0) { return address(insn->mem, size, write, extra); }
  Addr address(const MemOperand& m, unsigned size, bool write, s64 extra = 0);
  // The same for an offset already computed (I32 or I64), e.g. rSI of a string instruction or rSP.
  Addr segment_address(unsigned seg, Value offset, s64 disp, unsigned size, bool write);
  Value load(Type t, const Addr& a, s64 extra = 0, unsigned align_log2 = 0);
  Value load_rmw(Type t, const Addr& a);  // a load that a store will follow: faults as a write
  void store(const Addr& a, Value v, s64 extra = 0, unsigned align_log2 = 0);
  void probe_write(const Addr& a, unsigned bytes);
  // Shorthands on insn->mem.
  Value load_mem(Type t, unsigned align_log2 = 0) { return load(t, address(ir::type_bytes(t), false), 0, align_log2); }
  void store_mem(Value v, unsigned align_log2 = 0) {
    store(address(ir::type_bytes(b.type(v)), true), v, 0, align_log2);
  }
  // V128 from an Xmm register or memory; narrower memory (size 8, 4, 2) is zero-extended; aligned: 16-byte memory must
  // be aligned (#GP).
  Value read_xmm(unsigned i, bool aligned = false);

  // --- stack
  Addr stack_address(s64 offset, unsigned size, bool write);  // SS:rSP + offset
  void push(Value v);                                         // one store, then rSP
  Value stack_load(Type t, s64 offset);                       // [SS:rSP + offset]
  void stack_store(Value v, s64 offset);                      // [SS:rSP + offset]
  void add_sp(s64 n);
  Value pop(unsigned bytes) {  // no fault may follow
    const Value v = stack_load(int_type(bytes), 0);
    add_sp(bytes);
    return v;
  }

  // --- helpers
  Value call(Helper h, std::initializer_list<Value> args = {}) { return b.call(static_cast<u16>(h), args); }
  Value call(Helper h, Value a) { return b.call(static_cast<u16>(h), {a}); }
  Value k32(u64 v) { return b.konst(Type::I32, v); }
  Value k64(u64 v) { return b.konst(Type::I64, v); }

  // --- exceptions and ends of the region
  void ud() { raise(UD); }
  void gp0() { raise_error(GP, 0); }
  void raise(u8 vector);
  void raise_error(u8 vector, u32 error);
  void call_and_leave(Helper h, std::initializer_list<Value> args = {});
  void call_and_chain(Helper h, std::initializer_list<Value> args = {}) {
    call(h, args);
    end_direct(next_pc());
  }
  void leave(u64 pc);  // RIP = pc, exit_loop
  void leave_next() { leave(next_pc()); }
  void end_direct(u64 pc);  // chains; checks nothing
  void end_indirect(Value pc);
  // After Helper::load_seg: on with the region unless the mode changed (`changed`); SS leaves, for its shadow.
  void after_segment_load(unsigned reg, Value changed);
  bool same_page(u64 pc) const;  // pc lies on the linear page of the region's start

  // CR0.EM, CR0.TS and CR4.OSFXSR by the mode word: false when the exception was emitted and the function must return.
  bool require_fpu();  // x87 (not WAIT)
  bool require_mmx();
  bool require_sse();

  bool has(Feature f) const { return decoder.has(f); }

  // Conditional branch to a direct target that goes on below when it is not taken; also ends regions that must not
  // chain.
  void branch_cc(Cond c, Value f, u64 pc);
  void branch_if(Value bool8, u64 pc);
  // An `unless` for cases that need a helper: when bool8 holds, the instruction starts over in a region of its own,
  // whose first instruction it is. True: this is such a region, so use the helper form now instead. Nothing may have
  // been written before.
  bool first_insn() const { return region_.insn_count <= 1; }
  void restart_if(Value bool8) { branch_restart(bool8); }
  // Regions whose ends must go through the vCPU loop because the mode changes after their only instruction.
  bool must_leave() const { return mode & (kModeShadow | kModeX87Step); }

  size_t mmx_scanned = 0;  // mmx.cpp: ops of the region already looked at for x87 helpers

  // x87 instructions as ops (x87_stack.cpp). What is known of the registers since the latest xf_guard, whose op gets
  // what is found to be needed later. Bit i of the masks: the register i above what was the top there.
  struct X87Stack {
    bool known = false;
    u8 top = 0;
    u8 valid = 0, empty = 0;
    size_t guard = 0, scanned = 0;
  };
  X87Stack x87;

  // --- the frontend's business (frontend.cpp, branch.cpp)
  u64 follow_pc = 0;  // set with `follow`: translation goes on there instead of at next_pc()
  bool follow = false;
  bool end_after_next = false;  // STI: one more instruction, then the region ends
  u64 return_pcs[4] = {};       // of calls that were followed
  unsigned return_depth = 0;

 private:
  bool flat(unsigned seg) const;
  unsigned align_for(unsigned bytes) const;
  void branch_restart(Value bool8);
  ir::Builder builder_;
  ir::Region& region_;
};

using TranslateFn = void (*)(Translator&, const Insn&);

#define M(name, handler) void handler(Translator&, const Insn&);
#include "guest/x86/decode/mnemonics_int.inc"
#include "guest/x86/decode/mnemonics_sse.inc"
#include "guest/x86/decode/mnemonics_x87.inc"
#undef M

}  // namespace doppel::x86

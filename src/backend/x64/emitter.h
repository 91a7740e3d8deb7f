// Emitter: one pass over a region, IR to host code, registers allocated on the way. Linear in the number of ops;
// nothing is allocated on the heap per op. Guest state at every point of the code:
// - A pinned guest register is its host register (but between the op that computes a new value right into it and that
// op's
//   set_reg, where nothing can see it: analysis.cpp). All others are in the state struct, written through by set_reg.
// - A value is in one or more of: a host register (several values of equal low bits may share one), a spill slot, its
// `home`
//   (the state row it was read from or written to, while that holds), EFLAGS (flags and comparison results).
// - Bits of a host register above a value's type are garbage unless Val::zx says they are zero.
#pragma once
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/x64/host.h"
#include "base/assert.h"

namespace doppel::backend::x64 {

class Bytes;

using ir::Cond;
using ir::Op;
using ir::Opcode;
using ir::RegId;
using ir::Type;
using ir::Value;

// Host registers of the pinned rows.
struct PinMap {
  std::vector<s8> host_of_row;  // -1: not pinned
  s32 row_of_host[16];          // -1: none
  u32 mask = 0;                 // of host registers
  int count = 0;
  PinMap(const ir::StateLayout& layout, int max_pinned);
};

// Entry points in the thunk area (thunks.cpp).
struct Thunks {
  const u8* enter = nullptr;
  const u8* exit[5] = {};          // by ExitReason; the pc register is in the state
  const u8* lookup_rax = nullptr;  // as exit[Lookup], with the pc to be stored in RAX
  const u8* probe_jump_cache =
      nullptr;                      // on at the pc register in the state, if the jump cache knows it; or exit[Lookup]
  const u8* slow[2] = {};           // memory slow path; 1: saves the xmm registers too
  std::vector<const u8*> helper;    // by helper index
  std::vector<const u8*> fallback;  // by Fallback
  size_t used = 0;
};
std::unique_ptr<Backend> make_backend(const BackendConfig& config, const HostFeatures& host);  // for tests
Thunks make_thunks(const BackendConfig& config, const PinMap& pins);

struct Val {
  Value last_use = 0;  // index of the last op that uses it
  Value next = 0;      // another value in the same host register
  Value pair = 0;      // the op emitted together with this one (analysis.cpp)
  Value hint = 0;      // a set_reg of a pinned register that may get this value straight from its op
  Value home_next = 0;
  Value alt = 0;  // replaces the second argument (deposit), or the vector whose low lane is the argument (vfromint)
  u16 uses = 0;
  u16 home = 0;       // RegId + 1 of a state row that holds it
  u16 expr = 0;       // index + 1 of its address expression
  u16 flag_need = 0;  // which bits of a flags value matter
  s16 slot = -1;      // spill slot
  s8 reg = kNoReg;
  u8 zx = 64;       // bits of the register at and above this are zero
  u8 slot_zx = 64;  // the same, of the spill slot
  Type type = Type::Void;
  Value root = 0;  // an address is root + root_disp (add and sub of constants taken off)
  u16 group = 0;   // index + 1 of the group of accesses this one is in
  bool dead = false;
  s32 root_disp = 0;
};

// base + (index << scale) + disp, folded into one address or LEA. Base or index may be 0: none.
struct AddressExpr {
  Value base = 0, index = 0;
  u8 scale = 0;
  s64 disp = 0;
};

// Accesses near each other off one root value. The leader (the first) checks that the bytes of all lie in one page;
// `host` is then the host address of the leader's, or 0 if the check failed: the others test that instead of the TLB.
// Ends at any call.
struct AccessGroup {
  Value leader = 0, last = 0;
  Value root = 0;
  s32 lo = 0, hi = 0;  // bytes [lo, hi) from the root
  bool write = false;  // the write tag was checked
  u8 align_log2 = 0;
  Value host = 0, va = 0;  // pseudo values; `va` is in its spill slot only
  bool open = true;
};

// What the host's x87 registers hold (emit_xfloat.cpp). Guest registers by their number from what was the top at the
// guard.
struct XCache {
  bool active = false;
  bool moved = false;       // the state's top is older
  u8 top = 0;               // the top now
  u8 depth = 0;             // of the host's stack
  s8 at[8] = {};            // its registers, the top first: which guest register; -1: nothing
  u8 dirty = 0;             // guest registers that are newer there than in the state
  u8 valid = 0, empty = 0;  // guest registers whose tags have changed to that
  u16 host = 0, zero = 0;   // bits of the guest's status word: to be had from the host's; 0 but not yet written
  bool pending() const { return moved || depth || (dirty | valid | empty | host | zero); }
  void clean() {
    moved = false;
    depth = dirty = valid = empty = 0;
    host = zero = 0;
  }
};

enum class SlowKind : u8 { Load, LoadRmw, Store, Probe, Rmw, Cas, Call };
// What a slow-path stub leaves in slow_extra for slow_access().
struct SlowDesc {
  SlowKind kind;
  u8 size_log2, stack, align_log2, big_endian, atomic_op, probe_bytes;
  constexpr u32 pack() const {
    return static_cast<u32>(kind) | u32{size_log2} << 4 | u32{stack} << 8 | u32{big_endian} << 9 |
           u32{align_log2} << 12 | u32{atomic_op} << 16 | u32{probe_bytes} << 20;
  }
};
u32 slow_access(mem::VcpuHeader* cpu);  // 1: a device may have run  // slow.cpp

// C++ functions for what the host has no instruction for. Operands are in the frame's area; `detail` in its last 8
// bytes.
enum class Fallback : u8 {
#define OP(name, ...) op_##name,
#include "ir/ops.def"
#undef OP
  Count
};
using FallbackFn = u64 (*)(mem::VcpuHeader*);
FallbackFn fallback_function(Opcode code);  // null: never needed (fallback.cpp)
struct FallbackArea {
  union {
    u8 b[16];
    u64 q[2];
  } a, b2, c;
  union {
    u8 b[16];
    u64 q[2];
  } r;  // in: q[0] = type | sub << 8 | aux << 32, q[1] = imm; out: the result
};
static_assert(sizeof(FallbackArea) == 64);

enum class Alu : u8 { Add, Or, Adc, Sbb, And, Sub, Xor, Cmp };

class Emitter {
 public:
  Emitter(const BackendConfig& config, const HostFeatures& host, const PinMap& pins, const Thunks& thunks);
  const Emitted& emit(const ir::Region& region, const EmitConfig& config);

 private:
  // A group of 16 host registers.
  struct RegFile {
    Value first[16];
    u32 temps;   // may be allocated
    u32 locked;  // in use by the current op
    const s8* order;
    int count;
    bool xmm;
  };
  // An operand of an integer instruction: a register or a place in memory (rbp or rsp relative).
  struct Src {
    s8 reg = kNoReg;
    bool stack = false;
    u32 offset = 0;
  };
  struct SlowPath {
    u32 jump, resume;
    SlowDesc desc;
    s8 va, value, extra, result;  // host registers; `value`/`result` an xmm register when `vector`
    bool vector, xmm_live, has_imm;
    s8 host;            // leader of a group: its register; else -1
    bool member, wide;  // the address is va_slot + delta
    bool group_write;
    s16 va_slot;
    s32 delta, lo, hi;
    s32 imm;
    u32 helper;  // Call: the helper's number, its first argument, the types of the others and of the result
    u32 first, types;
    u32 insn;
    u64 pc;
    XCache x;
    bool direct, keeps_flags;  // no check was made: the stub finds the address by itself; EFLAGS hold something
    bool wide_address;
    s8 base, index;  // host registers of the address, or kNoReg
    u8 scale;        // log2
    s32 disp;
  };
  struct Exit {
    u32 jump;   // position of the rel32 that goes to the stub
    u32 insns;  // instructions executed when it is taken
    u64 pc;
    bool chain, last;
    bool step;  // by an xf_guard
    XCache x;
    u16 recipe = 0;
    u32 request_jump = 0;  // as `jump`, taken when a request is there: an exit that leaves the flags stale; else 0
  };
  struct MemAddress {  // the virtual address and, after the check, the TLB entry's addend; or a host address
    s8 va = kNoReg;
    s8 entry = kNoReg;  // a scratch register
    s8 host = kNoReg;   // in a group: host address of its leader
    s32 delta = 0;      // from it
    u32 jump = 0;
    const AccessGroup* group = nullptr;
    bool leader = false;
    bool direct = false, wide = false;  // the operand itself: base + (index << scale) + offset, in 32 or 64 bits
    s8 base = kNoReg, index = kNoReg;
    u8 scale = 0;
    s32 offset = 0;
    Xbyak::RegExp at() const {
      if (direct) return direct_at();
      return host >= 0 ? r64(host) + delta : r64(entry) + r64(va);
    }
    Xbyak::RegExp direct_at() const;
  };
  using EmitFn = void (Emitter::*)(const Op&);
  static const EmitFn kEmit[static_cast<size_t>(Opcode::Count)];

  // --- analysis.cpp
  void analyze();
  void use_at(Value v, Value at);
  void need_flags(const Op& op, const Val& result, Value a);
  Value find_pair(Value at);
  bool args_ready(Value at, Value before);
  void decide_hint(Value v);
  bool match_address(Value address, Value at);
  void find_roots_and_groups();
  static u16 flags_of_cond(Cond cond);
  bool keeps_alive(const Op& op) const;

  // --- regalloc.cpp
  Val& val(Value v) { return vals_[v]; }
  const Op& op_of(Value v) const { return region_->ops[v]; }
  bool is_const(Value v) const { return v < op_count_ && region_->ops[v].code == Opcode::konst; }
  u64 const_value(Value v) const;
  bool imm32(Value v, unsigned bits, s32& out) const;  // a constant that is an immediate operand of that width
  bool live_after(Value v) const { return vals_[v].last_use > cur_; }
  RegFile& file_of(Value v) { return vals_[v].type == Type::V128 ? xmm_ : gpr_; }
  void attach(RegFile& f, Value v, int r);
  void detach(Value v);
  void prune(RegFile& f, int r);
  bool all_dying(RegFile& f, int r);  // no value in r is needed after this op
  int alloc(RegFile& f);              // a register that holds nothing; locked
  int find_free(RegFile& f);          // the same, or -1 if something would have to be spilled
  int scratch() { return alloc(gpr_); }
  int scratch_xmm() { return alloc(xmm_); }
  void lock(RegFile& f, int r) { f.locked |= bit(r); }
  void unlock(RegFile& f, int r) { f.locked &= ~bit(r); }
  void save(Value v, bool home_is_safe);  // makes a copy in memory
  void vacate(RegFile& f, int r);         // moves or spills what lives there; the register is then free
  void take(int r) {
    vacate(gpr_, r);
    lock(gpr_, r);
  }
  int use(Value v);                         // in a register (general or xmm by type), locked
  int use_zx(Value v, unsigned bits = 64);  // the same, with bits above the type known zero; may be a copy
  int use_in(Value v, int r);          // in that very register; destroys what was there. The copy may be changed freely
  Src source(Value v, unsigned bits);  // register, or home/spill memory if it isn't in a register and the width allows
  void load_into(int r, Value v);
  int def(Value v, bool overlap = false);  // register for a result; `overlap`: may be that of an operand that dies here
  int def_copy(Value v, Value a);          // register for a result that begins as a copy of a
  void define_alias(Value v, Value a);     // v is the low bits of a
  void bind_rax(Value v);                  // result is in RAX (taken before)
  int pinned_hint(Value v);                // host register that v should be computed into, or -1
  void alias_home(Value v, RegId row);
  void drop_home(RegId row);  // the row is about to change
  void drop_all_homes();
  void flush_for_call(bool writes_state);
  void forget_temps(bool writes_state);
  int alloc_slot(bool xmm, Value v);
  void mov_imm(int r, u64 imm);
  bool flags_free() const { return eflags_ == 0 && ebool_ == 0 && !carry_ready_; }

  // --- operands
  template <typename F>
  void with(const Src& s, unsigned bits, F f) {
    if (s.reg >= 0) {
      f(static_cast<const Xbyak::Operand&>(reg(s.reg, bits)));
    } else {
      f(static_cast<const Xbyak::Operand&>(s.stack ? stack_mem(bits, static_cast<s32>(s.offset))
                                                   : state_mem(bits, s.offset)));
    }
  }
  u32 row_offset(RegId row) const { return layout_->rows[row].offset; }
  static unsigned op_bits(Type t) {
    return t == Type::I64 ? 64 : 32;
  }  // width of the host operation when upper bits don't matter

  // --- emit_alu.cpp
  void alu_imm(Alu k, const Xbyak::Operand& d, s32 imm);
  void alu_op(Alu k, const Xbyak::Operand& d, const Xbyak::Operand& s);
  void alu(Alu k, Value result, Value flags, Value a, Value b, Type t, bool commutes);
  void binary(const Op& op, Alu k, bool commutes);
  void shift(const Op& op, int kind);
  void shift_flags(const Op& op, int kind, Value result, Value flags);
  void rotate(const Op& op, bool left);
  Xbyak::RegExp expr_operand(const AddressExpr& e, s64 extra);
  void inc_dec(const Op& op, Value result, Value flags);
  void insert_field(int d, int s, unsigned lsb, unsigned width, unsigned bits);
  void mul_high(const Op& op, bool is_signed);
  void divide(const Op& op);
  void bit_scan(const Op& op, bool leading);
  void set_zx(Value v, unsigned zx) { vals_[v].zx = static_cast<u8>(zx); }

  // --- emit_flags.cpp
  void clobber_flags();  // before anything that changes EFLAGS
  void materialize(Value flags);
  void realize(Value v);
  void hoist(Value v);                // reads a state row for a paired op before its own place
  void flags_to_eflags(Value flags);  // EFLAGS hold the value
  void need_carry(Value flags);
  int prepare_cond(Value flags, Cond cond);  // host condition code to test, or -1 never, -2 always
  int prepare_bool(Value b);
  void flags_result(Value flags);  // EFLAGS hold it from here
  u32 jcc(int cc);                 // position of its rel32
  u32 jmp32();
  void patch_here(u32 at);
  void patch_to(u32 at, u32 target);
  void mov_cc(int cc, int d, const Xbyak::Operand& s, unsigned bits);
  void set_cc(int cc, int d);
  bool flags_const(Value v, u16& out) const;

  // --- emit_state.cpp
  void evict_pinned(int host, Value keep);
  void set_pinned(Value a, int host, unsigned row_bits);
  void set_state(Value a, RegId row);

  // --- emit_direct.cpp
  MemAddress direct_address(const Op& op, bool check);
  void direct_load(const Op& op);
  void direct_store(const Op& op);
  void access_here();  // the next instruction is the access of the newest slow path
  void direct_stub_begin(const SlowPath& s);
  void direct_stub_end(const SlowPath& s);
  bool aligned_move(const Op& op, bool vector) const;

  // --- emit_memory.cpp
  MemAddress address_of(const Op& op, unsigned size, bool write, bool keep_entry);
  MemAddress group_member(const AccessGroup& g);
  SlowPath& slow_path(const MemAddress& m, SlowKind kind, const Op& op, unsigned size);
  void emit_slow_paths();
  bool any_xmm_live() const;
  void swap_bytes(int r, unsigned bits);
  void swap_vector(int d, int s);
  void cas_vector(const Op& op);

  // --- emit_control.cpp
  void entry(const EmitConfig& config);
  void exit_to(u32 jump, const Op& op, bool last);
  void side_exit(const Op& op, int cc);
  void exit_stale(const Op& op, bool last);
  u32 check_request();
  void emit_exit_paths();
  void emit_exits();
  void link_stub(const Exit& e);
  void store_pc(u64 pc);
  static void load_rax(Bytes& o, u64 imm);
  void jump_thunk(const u8* thunk);
  void add_thunk_reloc(u32 at, const u8* thunk) {
    relocs_.push_back({at, Emitted::RelocKind::Thunk, static_cast<u32>(thunk - thunk_area_)});
  }
  void jcc_thunk(int cc, const u8* thunk);
  void call_thunk(const u8* thunk);
  void probe_jump_cache_const(u64 pc);
  void fallback(const Op& op);
  void move_args(const Op& op);
  void add_icount(s64 n);
  void call_stub(const SlowPath& s);

  // --- emit_xfloat.cpp
  void x_op(u8 first, u8 second);
  void x_frame(u8 opcode, u8 field, s32 at);
  void x_reg_mem(u8 field, int r, int base, int t);
  void x_exchange(int n);
  void x_drop_top();
  void x_pushed(int r);
  void x_push_done(bool flags);
  int x_number(unsigned i) const;
  int x_find(int r) const;
  void x_forget(int r);
  int x_base();
  void x_begin();
  void x_room(u8 keep);
  int x_need(int r, u8 keep);
  void x_need_top(int r);
  void x_argument(const Op& op);
  void x_status(u16 host, u16 zero);
  bool x_pops_next(unsigned n) const;
  void x_write_status(const XCache& x, int t);
  void x_write_back(const XCache& x, int t);
  void x_pop();
  void x_clear_conditions();
  void x_flush();
  void x_step(u32 jump, const Op& op);
  void x_before_slow_path(const XCache& x);
  void x_after_slow_path(const XCache& x);

  // --- emit_vector.cpp, emit_fp.cpp
  using SseFn = void (*)(Xbyak::CodeGenerator&, const Xbyak::Xmm& d, const Xbyak::Operand& s, u8 imm);
  using AvxFn = void (*)(Xbyak::CodeGenerator&, const Xbyak::Xmm& d, const Xbyak::Xmm& a, const Xbyak::Operand& b,
                         u8 imm);
  struct VecRow {
    Opcode code;
    u8 lane;   // ir::Lane, or kAnyLane
    u8 needs;  // 0 SSE2, 1 SSE3, 2 SSSE3, 3 SSE4.1, 4 SSE4.2
    u8 shape;  // 0 f(a, b), 1 the same and commutes, 2 f(last argument)
    SseFn sse;
    AvxFn avx;
  };
  static constexpr u8 kAnyLane = 255;
  static const VecRow* vec_row(Opcode code, u8 sub);
  bool has(u8 level) const;
  void vec(const Op& op);  // by the table; falls back to C++ on an older host
  void vec_shift_imm(const Op& op, int kind);
  void vec_extend(const Op& op, bool is_signed);
  void pair_floats(const Op& op, bool subtract);
  void add_sub(const Op& op);
  int xcopy(Value v, Value a);  // xmm register for v, a copy of a
  void xmov(int d, int s);
  void store_xmm(const Xbyak::Address& to, int x, bool aligned);
  Src xsource(Value v);
  template <typename F>
  void with_x(const Src& s, F f) {
    if (s.reg >= 0) {
      f(static_cast<const Xbyak::Operand&>(Xbyak::Xmm(s.reg)));
    } else {
      f(static_cast<const Xbyak::Operand&>(s.stack ? stack_mem(128, static_cast<s32>(s.offset))
                                                   : state_mem(128, s.offset)));
    }
  }

#define OP(name, ...) void op_##name(const Op& op);
#include "ir/ops.def"
#undef OP

  // --- fixed for the backend
  const ir::StateLayout* layout_;
  const ir::HelperTable* helpers_;
  const HostFeatures& host_;
  const PinMap& pins_;
  const Thunks& thunks_;
  const bool direct_;
  const u8* thunk_area_;
  std::unique_ptr<u8[]> buffer_;
  Xbyak::CodeGenerator c;
  s8 gpr_order_[16];
  s8 xmm_order_[16];

  // --- the region being emitted
  const ir::Region* region_ = nullptr;
  EmitConfig config_;
  std::vector<Val> vals_;
  std::vector<AddressExpr> exprs_;
  std::vector<AccessGroup> groups_;
  bool has_fp_ = false;  // an op may set sticky bits of MXCSR
  int gpr_slots_used_ = kGprSlots, xmm_slots_used_ = kXmmSlots;
  size_t op_count_ = 0;            // values from here on are pseudo values
  std::vector<Value> home_first_;  // by RegId
  std::vector<SlowPath> slow_;
  std::vector<Exit> exits_;
  Emitted out_;
  std::vector<Emitted::Reloc>& relocs_ = out_.relocs;
  std::vector<LinkSlot>& links_ = out_.links;
  std::vector<PcMapRow>& pc_map_ = out_.pc_map;
  std::vector<FaultRow>& faults_ = out_.faults;
  RegFile gpr_, xmm_;
  Value gpr_slot_[kGprSlots];
  Value xmm_slot_[kXmmSlots];
  u32 hot_size_ = 0;  // where the second part of the code begins; the largest number: not known yet
  u32 request_jump_ = 0, icount_jump_ = 0;
  u8 check_size_ = 0;  // of check_request(), the first bytes of every region
  Value cur_ = 0;
  Value pair_ = 0;          // of the current op: emit it too
  Value eflags_ = 0;        // flags value that EFLAGS hold
  bool eflags_af_ = false;  // ... but for AF, which must read as 0
  Value ebool_ = 0;         // comparison result that EFLAGS hold as condition ebool_cc_
  u8 ebool_cc_ = 0;
  bool carry_ready_ = false;  // CF is an input of the current op
  u8 pin_zx_[16];             // as Val::zx, for the guest register pinned there
  Value pin_value_[16];       // a value equal to the guest register pinned there
  Value next_set_[16];        // analysis: by host register
  XCache x_;
  int x_base_ = kNoReg;        // holds 16 times the top at the guard, during an op
  std::vector<RegId> x_rows_;  // rows of the layout that are part of the floating-point stack
  u32 insn_ = 0;               // number of the current guest instruction
  u32 insns_begun_ = 0;
  u64 insn_pc_ = 0;
};

}  // namespace doppel::backend::x64

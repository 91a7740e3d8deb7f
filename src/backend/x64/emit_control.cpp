// Region entry, exits, calls, and the driver. Exits: a jump or conditional jump with a 32-bit displacement to a stub at
// the region's end; link() makes it go straight to the other region. What may not be linked (another page) looks the
// jump cache up inline.
#include <algorithm>

#include "backend/x64/bytes.h"
#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {

const Emitter::EmitFn Emitter::kEmit[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, ...) &Emitter::op_##name,
#include "ir/ops.def"
#undef OP
};

namespace {
constexpr size_t kBufferSize = size_t{4} << 20;  // kMaxOps ops and their stubs, with room
}

Emitter::Emitter(const BackendConfig& config, const HostFeatures& host, const PinMap& pins, const Thunks& thunks)
    : layout_(config.layout),
      helpers_(config.helpers),
      host_(host),
      pins_(pins),
      thunks_(thunks),
      direct_(config.direct),
      thunk_area_(config.thunk_area),
      buffer_(std::make_unique_for_overwrite<u8[]>(kBufferSize)),
      c(kBufferSize, buffer_.get()) {
  // RAX last: it is wanted by LAHF, multiplication and compare-and-exchange. RCX by shifts.
  int n = 0;
  for (int r : {kRdx, kRcx, kR8, kR9, kR10, kRsi, kRdi, kR11, kRbx, kR12, kR13, kR14, kR15, kRax}) {
    if (!(pins.mask & bit(r))) gpr_order_[n++] = static_cast<s8>(r);
  }
  gpr_ = {};
  xmm_ = {};
  gpr_.order = gpr_order_;
  gpr_.count = n;
  for (int i = 0; i < n; i++) gpr_.temps |= bit(gpr_order_[i]);
  for (int i = 0; i < 16; i++) xmm_order_[i] = static_cast<s8>(i);
  xmm_.order = xmm_order_;
  xmm_.count = 16;
  xmm_.temps = 0xffff;
  xmm_.xmm = true;
  home_first_.resize(config.layout->count);
  const ir::XStack& x = layout_->xstack;
  for (RegId i = 0; x.regs != 0 && i < layout_->count; i++) {
    const u32 at = layout_->rows[i].offset;
    if ((at >= x.regs && at < x.regs + 128) || at == x.top || at == x.tags || at == x.status || at == x.control)
      x_rows_.push_back(i);
  }
}

const Emitted& Emitter::emit(const ir::Region& region, const EmitConfig& config) {
  ASSERT_MSG(region.ops.size() <= ir::kMaxOps, "x64 backend: region too long");
  region_ = &region;
  config_ = config;
  analyze();
  c.setSize(0);
  slow_.clear();
  exits_.clear();
  relocs_.clear();
  links_.clear();
  pc_map_.clear();
  faults_.clear();
  std::fill(std::begin(gpr_.first), std::end(gpr_.first), Value{0});
  std::fill(std::begin(xmm_.first), std::end(xmm_.first), Value{0});
  std::fill_n(gpr_slot_, gpr_slots_used_, Value{0});
  std::fill_n(xmm_slot_, xmm_slots_used_, Value{0});
  gpr_slots_used_ = xmm_slots_used_ = 0;
  std::fill(home_first_.begin(), home_first_.end(), Value{0});
  std::fill(std::begin(pin_zx_), std::end(pin_zx_), u8{64});
  std::fill(std::begin(pin_value_), std::end(pin_value_), Value{0});
  eflags_ = ebool_ = 0;
  eflags_af_ = false;
  x_ = {};
  hot_size_ = ~u32{0};
  insn_ = insns_begun_ = 0;
  insn_pc_ = region.pc;
  cur_ = 0;
  entry(config);
  for (size_t i = 0; i < region.ops.size(); i++) {
    const Op& op = region.ops[i];
    cur_ = static_cast<Value>(i);
    const Val& v = vals_[i];
    if (v.dead || (v.pair != 0 && v.pair < i)) continue;
    pair_ = v.pair;
    gpr_.locked = xmm_.locked = 0;
    carry_ready_ = false;
    (this->*kEmit[static_cast<size_t>(op.code)])(op);
  }
  emit_exit_paths();
  hot_size_ = static_cast<u32>(c.getSize());
  emit_slow_paths();
  emit_exits();
  out_.code = {buffer_.get(), c.getSize()};
  out_.hot_size = hot_size_;
  return out_;
}

// --- jumps and calls to the thunk area: displacements are resolved by install()

void Emitter::jump_thunk(const u8* thunk) { add_thunk_reloc(jmp32(), thunk); }
void Emitter::jcc_thunk(int cc, const u8* thunk) { add_thunk_reloc(jcc(cc), thunk); }
void Emitter::call_thunk(const u8* thunk) {
  c.db(0xe8);
  c.dd(0);
  add_thunk_reloc(static_cast<u32>(c.getSize()) - 4, thunk);
}

void Emitter::store_pc(u64 pc) {
  const ir::RegRow& row = layout_->rows[layout_->pc];
  const bool wide = row.type == Type::I64;
  Bytes o(c);
  if (!wide || static_cast<s64>(pc) == static_cast<s32>(pc)) {
    o.store_imm(wide, kRbp, header_disp(row.offset), static_cast<u32>(pc));
    return;
  }
  load_rax(o, pc);
  o.store(true, kRbp, header_disp(row.offset), kRax);
}

void Emitter::load_rax(Bytes& o, u64 imm) {
  if (imm > 0xffffffffu) o.b(0x48);
  o.b(0xb8);
  imm > 0xffffffffu ? o.q(imm) : o.d(static_cast<u32>(imm));
}

void Emitter::add_icount(s64 n) { c.add(state_mem(64, field::icount_left), static_cast<u32>(n)); }

// --- entry and exits

// The position of the jump that is taken when somebody wants the vCPU loop.
u32 Emitter::check_request() {
  Bytes o(c);
  o.rm(0x83, false, 7, kRbp, header_disp(field::exit_request));  // CMP dword, 0
  o.b(0);
  return o.jcc(5);
}

void Emitter::entry(const EmitConfig& config) {
  request_jump_ = check_request();
  check_size_ = static_cast<u8>(c.getSize());
  Bytes o(c);
  if (has_fp_) {
    o.rm(0xc6, false, 0, kRsp, kFpDirtyOffset);  // MOV byte, 1
    o.b(1);
  }
  icount_jump_ = 0;
  if (config.icount) {
    o.rm(0x81, true, 5, kRbp, header_disp(field::icount_left));  // SUB qword, imm
    o.d(config.icount_insns);
    icount_jump_ = o.jcc(8);
  }
}

void Emitter::exit_to(u32 jump, const Op& op, bool last) {
  exits_.push_back({jump, insns_begun_, op.imm, direct_ || (op.aux & 1) != 0, last, false, x_});
}

// An exit after which the flags row is stale until the next region writes it. Requests are looked for here, where it is
// known how to make the row exact, and not at that region's entry.
void Emitter::exit_stale(const Op& op, bool last) {
  if (x_.pending()) x_write_back(x_, kRdx);
  const u32 request = check_request();
  exits_.push_back({jmp32(), insns_begun_, op.imm, true, last, false, {}, static_cast<u16>(op.aux >> 16), request});
}

namespace {
bool leaves_stale(const Op& op, const EmitConfig& config) {
  return (op.aux & 3) == 3 && config.chain && !config.icount;
}
}  // namespace

void Emitter::op_exit_cc(const Op& op) {
  const int cc = prepare_cond(op.arg[0], static_cast<Cond>(op.sub));
  side_exit(op, cc);
}
void Emitter::op_exit_if(const Op& op) { side_exit(op, prepare_bool(op.arg[0])); }

void Emitter::side_exit(const Op& op, int cc) {
  if (cc == -1) return;
  if (!leaves_stale(op, config_)) {
    exit_to(cc == -2 ? jmp32() : jcc(cc), op, false);
    if (op.aux & ir::kExitRestarts) exits_.back().insns--;  // it will run later
    return;
  }
  const u32 around = cc == -2 ? 0 : jcc(cc ^ 1);
  exit_stale(op, false);
  if (around) patch_here(around);
}

void Emitter::op_exit_direct(const Op& op) {
  x_flush();
  leaves_stale(op, config_) ? exit_stale(op, true) : exit_to(jmp32(), op, true);
}

void Emitter::op_exit_loop(const Op&) {
  x_flush();
  if (config_.icount && insns_begun_ != config_.icount_insns)
    add_icount(static_cast<s64>(config_.icount_insns) - insns_begun_);
  jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Loop)]);
}

void Emitter::op_exit_indirect(const Op& op) {
  x_flush();
  clobber_flags();
  if (config_.icount && insns_begun_ != config_.icount_insns)
    add_icount(static_cast<s64>(config_.icount_insns) - insns_begun_);
  const Val& w = vals_[op.arg[0]];
  const bool copied = w.reg >= 0 && w.reg != kRax;  // by a move that clears the upper half
  use_in(op.arg[0], kRax);
  if (w.type == Type::I32 && !copied && !(is_const(op.arg[0]) || (w.reg == kRax && w.zx <= 32)))
    c.mov(r32(kRax), r32(kRax));
  if (!config_.chain) {
    jump_thunk(thunks_.lookup_rax);
    return;
  }
  c.mov(r64(kRcx), r64(kRax));
  c.shr(r64(kRcx), mem::kJumpCacheBits);
  c.xor_(r32(kRcx), r32(kRax));
  c.and_(r32(kRcx), (1u << mem::kJumpCacheBits) - 1);
  c.shl(r32(kRcx), 4);
  c.add(r64(kRcx), state_mem(64, field::jump_cache));
  c.mov(r32(kRdx), state_mem(32, field::jump_generation));
  c.cmp(mem(64, r64(kRcx) + static_cast<int>(offsetof(mem::JumpCacheEntry, pc))), r64(kRax));
  jcc_thunk(5, thunks_.lookup_rax);
  c.cmp(mem(32, r64(kRcx) + static_cast<int>(offsetof(mem::JumpCacheEntry, generation))), r32(kRdx));
  jcc_thunk(5, thunks_.lookup_rax);
  c.mov(r32(kRdx), mem(32, r64(kRcx) + static_cast<int>(offsetof(mem::JumpCacheEntry, code))));
  c.add(r64(kRdx), state_mem(64, field::code_base));
  c.jmp(r64(kRdx));
}

// At an exit to a known pc on another page: its place in the jump cache is known too.
void Emitter::probe_jump_cache_const(u64 pc) {
  using Entry = mem::JumpCacheEntry;
  const s32 at = static_cast<s32>(mem::jump_cache_index(pc) * sizeof(Entry));
  Bytes o(c);
  load_rax(o, pc);
  o.load(true, kRcx, kRbp, header_disp(field::jump_cache));
  o.load(false, kRdx, kRbp, header_disp(field::jump_generation));
  o.rm(0x39, true, kRax, kRcx, at + static_cast<s32>(offsetof(Entry, pc)));
  add_thunk_reloc(o.jcc(5), thunks_.lookup_rax);
  o.rm(0x39, false, kRdx, kRcx, at + static_cast<s32>(offsetof(Entry, generation)));
  add_thunk_reloc(o.jcc(5), thunks_.lookup_rax);
  o.load(false, kRdx, kRcx, at + static_cast<s32>(offsetof(Entry, code)));
  o.rm(0x03, true, kRdx, kRbp, header_disp(field::code_base));
  o.b(0xff);  // JMP rdx
  o.b(0xe2);
}

// What is done at each exit, linked or not. Afterwards those that end in the second part have their jumps to there.
void Emitter::emit_exit_paths() {
  for (Exit& e : exits_) {
    const bool counts = config_.icount && e.insns != config_.icount_insns;
    const bool looks_up = config_.chain && !e.chain && !e.step;
    if (!e.x.pending() && !counts && !looks_up) continue;
    patch_here(e.jump);
    if (e.x.pending()) x_write_back(e.x, kRdx);
    if (counts) add_icount(static_cast<s64>(config_.icount_insns) - e.insns);
    looks_up ? probe_jump_cache_const(e.pc) : void(e.jump = jmp32());
  }
}

// The ends of exits that are not linked.
void Emitter::emit_exits() {
  for (const Exit& e : exits_) {
    if (!e.step && config_.chain && !e.chain) continue;
    patch_here(e.jump);
    if (e.step) {
      c.mov(state_mem(8, layout_->xstack.step), 1);
      store_pc(e.pc);
      jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Loop)]);
    } else if (!config_.chain) {
      store_pc(e.pc);
      jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Lookup)]);
    } else {
      link_stub(e);
    }
  }
  patch_here(request_jump_);
  store_pc(region_->pc);
  jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Request)]);
  if (icount_jump_) {
    patch_here(icount_jump_);
    add_icount(config_.icount_insns);
    store_pc(region_->pc);
    jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Icount)]);
  }
}

void Emitter::link_stub(const Exit& e) {
  LinkSlot slot;
  if (e.request_jump) {
    patch_here(e.request_jump);
    slot.recipe = e.recipe;
    slot.skip = check_size_;
  }
  slot.pc = e.pc;
  slot.patch = e.jump;
  slot.stub = static_cast<u32>(c.getSize());
  slot.chainable = true;
  store_pc(e.pc);
  {
    Bytes o(c);
    o.b(0x48);  // MOV RAX, imm64: the slot's address, known when installed
    o.b(0xb8);
    relocs_.push_back({o.at(), Emitted::RelocKind::Link, static_cast<u32>(links_.size())});
    o.q(0);
    o.store(true, kRbp, header_disp(field::exit_slot), kRax);
  }
  slot.leave = static_cast<u32>(c.getSize()) + 1;
  jump_thunk(thunks_.exit[static_cast<int>(ExitReason::Link)]);
  links_.push_back(slot);
}

// --- calls

// The helper is called from a stub at the region's end, which keeps every register but the result's.
void Emitter::op_call_if(const Op& op) {
  const Value flags = op.arg[0];
  if (eflags_ != flags || live_after(flags)) clobber_flags();
  if (ebool_) clobber_flags();
  const int cc = prepare_cond(flags, static_cast<Cond>(op.sub));
  carry_ready_ = true;  // EFLAGS must stay
  const int a = use(op.arg[2]), b = use(op.arg[3]);
  const int d = def_copy(cur_, op.arg[1]);
  if (cc != -1) {
    SlowPath s{};
    s.desc.kind = SlowKind::Call;
    s.jump = cc == -2 ? jmp32() : jcc(cc);
    s.value = static_cast<s8>(a);
    s.extra = static_cast<s8>(b);
    s.result = static_cast<s8>(d);
    s.helper = op.aux;
    s.first = static_cast<u32>(op.imm);
    s.types = static_cast<u32>(vals_[op.arg[2]].type) << 8 | static_cast<u32>(vals_[op.arg[3]].type) << 12 |
              static_cast<u32>(op.type) << 16;
    s.xmm_live = any_xmm_live();
    s.insn = insn_;
    s.pc = insn_pc_;
    s.x = x_;
    s.resume = static_cast<u32>(c.getSize());
    slow_.push_back(s);
  }
  set_zx(cur_, std::max<unsigned>(vals_[cur_].zx, ir::type_bits(op.type)));  // the helper's may be wider than `fast`
  eflags_ = ebool_ = 0;
  eflags_af_ = false;
}

void Emitter::call_stub(const SlowPath& s) {
  constexpr s32 kVa = header_disp(field::slow_va), kValue = header_disp(field::slow_value),
                kExtra = header_disp(field::slow_extra);
  patch_here(s.jump);
  x_before_slow_path(s.x);
  {
    Bytes o(c);
    o.store_imm(false, kRbp, kVa, 0);  // the helper's address
    relocs_.push_back({o.at() - 4, Emitted::RelocKind::HelperLow, s.helper});
    o.store_imm(false, kRbp, kVa + 4, 0);
    relocs_.push_back({o.at() - 4, Emitted::RelocKind::HelperHigh, s.helper});
    o.store(true, kRbp, kValue, s.value);
    o.store(true, kRbp, kValue + 8, s.extra);
    o.store_imm(false, kRbp, kExtra, static_cast<u32>(SlowKind::Call) | s.types);
    o.store_imm(false, kRbp, kExtra + 4, s.first);
    add_thunk_reloc(o.call(), thunks_.slow[s.xmm_live]);
    pc_map_.push_back({o.at(), s.insn, s.pc});
    o.load(true, s.result, kRbp, kValue);
  }
  x_after_slow_path(s.x);
  patch_to(jmp32(), s.resume);
}

// Arguments into kCallArgs, zero-extended. Sources may be among the destinations.
void Emitter::move_args(const Op& op) {
  struct Move {
    Value v;
    s8 from;
    s8 to;
    bool done;
  } moves[4];
  const int n = op.nargs;
  for (int i = 0; i < n; i++) moves[i] = {op.arg[i], vals_[op.arg[i]].reg, kCallArgs[i], false};
  auto copy = [&](const Move& m, int from) {
    const unsigned bits = ir::type_bits(vals_[m.v].type);
    if (bits == 64 || (bits < 32 && vals_[m.v].zx <= bits)) {
      if (from != m.to) c.mov(r64(m.to), r64(from));
    } else if (bits == 32) {
      if (from != m.to || vals_[m.v].zx > 32) c.mov(r32(m.to), r32(from));
    } else {
      c.movzx(r32(m.to), reg(from, bits));
    }
  };
  for (int left = n; left > 0;) {
    bool progress = false;
    for (int i = 0; i < n; i++) {
      if (moves[i].done || moves[i].from < 0) continue;
      bool blocked = false;
      for (int k = 0; k < n; k++) blocked |= k != i && !moves[k].done && moves[k].from == moves[i].to;
      if (blocked) continue;
      copy(moves[i], moves[i].from);
      moves[i].done = true;
      progress = true;
      left--;
    }
    if (progress) continue;
    bool cycle = false;
    for (int i = 0; i < n && !cycle; i++) {  // only cycles of registers are left: break one through RAX
      if (moves[i].done || moves[i].from < 0) continue;
      c.mov(r64(kRax), r64(moves[i].from));
      moves[i].from = kRax;
      cycle = true;
    }
    if (cycle) continue;
    for (int i = 0; i < n; i++) {  // now what isn't in a register
      if (moves[i].done) continue;
      if (is_const(moves[i].v)) {
        mov_imm(moves[i].to, const_value(moves[i].v));
      } else {
        load_into(moves[i].to, moves[i].v);
        if (vals_[moves[i].v].slot >= 0) copy(moves[i], moves[i].to);
      }
      moves[i].done = true;
      left--;
    }
  }
}

void Emitter::op_call(const Op& op) {
  const ir::HelperInfo& helper = helpers_->rows[op.aux];
  const bool writes = (helper.effects & ir::kHelperWritesState) != 0;
  x_flush();
  clobber_flags();
  for (int i = 0; i < op.nargs; i++) realize(op.arg[i]);
  flush_for_call(writes);
  move_args(op);
  call_thunk(thunks_.helper[op.aux]);
  pc_map_.push_back({static_cast<u32>(c.getSize()), insn_, insn_pc_});
  forget_temps(writes);
  if (op.type != Type::Void && vals_[cur_].uses != 0) bind_rax(cur_);
}

// The op by a C++ function: operands through the frame's area (fallback.cpp).
void Emitter::fallback(const Op& op) {
  x_flush();
  clobber_flags();
  for (int i = 0; i < op.nargs; i++) realize(op.arg[i]);
  for (int i = 0; i < op.nargs; i++) {
    const s32 at = kAreaOffset + i * 16;
    if (vals_[op.arg[i]].type == Type::V128) {
      store_xmm(stack_mem(128, at), use(op.arg[i]), true);
    } else {
      c.mov(stack_mem(64, at), r64(use(op.arg[i])));
    }
    gpr_.locked = xmm_.locked = 0;
  }
  flush_for_call(false);
  const int t = kRax;
  const unsigned arg_bits = op.nargs ? ir::type_bits(vals_[op.arg[0]].type) : 0;
  (void)arg_bits;
  c.mov(r64(t), static_cast<u64>(op.type) | u64{op.sub} << 8 | u64{op.aux} << 32);
  c.mov(stack_mem(64, kAreaOffset + 48), r64(t));
  c.mov(r64(t), op.imm);
  c.mov(stack_mem(64, kAreaOffset + 56), r64(t));
  const u8* thunk = thunks_.fallback[static_cast<size_t>(op.code)];
  ASSERT_MSG(thunk != nullptr, "x64 backend: no fallback for an op");
  call_thunk(thunk);
  pc_map_.push_back({static_cast<u32>(c.getSize()), insn_, insn_pc_});
  forget_temps(false);
  if (vals_[cur_].uses == 0) return;
  if (vals_[cur_].type == Type::V128) {
    const int x = def(cur_);
    c.movups(Xbyak::Xmm(x), stack_mem(128, kAreaOffset + 48));
  } else {
    bind_rax(cur_);
  }
}

}  // namespace doppel::backend::x64

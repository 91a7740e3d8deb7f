// Code in the thunk area: the way into generated code and out of it, and the ways from it to C++. System V ABI.
// Inside generated code rsp is entry_sp; a call pushes its return address at entry_sp - 8, where return_address() finds
// it. Traps: every thunk that may unwind stores the pinned registers and MXCSR's sticky bits first; C++ code may itself
// set sticky bits (a device's clock arithmetic), so MXCSR is put back afterwards if it changed.
#include <algorithm>

#include "backend/x64/emitter.h"

namespace doppel::backend::x64 {
namespace {

using Xbyak::CodeGenerator;

const u8* resume(mem::VcpuHeader* cpu) { return cpu->runtime ? cpu->runtime->resume() : nullptr; }

class ThunkWriter {
 public:
  ThunkWriter(const BackendConfig& config, const PinMap& pins)
      : pins_(pins), layout_(*config.layout), c_(config.thunk_size, config.thunk_area) {}

  Thunks write(const ir::HelperTable* helpers) {
    Thunks t;
    t.enter = begin();
    write_enter();
    for (int reason = 0; reason < 5; reason++) {
      if (reason == static_cast<int>(ExitReason::Lookup)) {
        t.lookup_rax = begin();
        c_.mov(state_mem(64, layout_.rows[layout_.pc].offset), r64(kRax));
      }
      t.exit[reason] = reason == static_cast<int>(ExitReason::Lookup) ? c_.getCurr() : begin();
      if (reason == static_cast<int>(ExitReason::Lookup) || reason == static_cast<int>(ExitReason::Loop))
        write_resume();
      write_exit(reason);
    }
    t.probe_jump_cache = begin();
    write_probe(t.exit[static_cast<int>(ExitReason::Lookup)]);
    for (int xmm = 0; xmm < 2; xmm++) {
      t.slow[xmm] = begin();
      write_slow(xmm != 0);
    }
    const u8* common[16];
    for (u32 effects = 0; effects < 16; effects++) {
      common[effects] = begin();
      write_call(effects);
    }
    for (u16 i = 0; helpers && i < helpers->count; i++)
      t.helper.push_back(
          write_entry(reinterpret_cast<u64>(helpers->rows[i].fn), common[helpers->rows[i].effects & 15]));
    for (size_t i = 0; i < static_cast<size_t>(Fallback::Count); i++) {
      const FallbackFn fn = fallback_function(static_cast<Opcode>(i));
      t.fallback.push_back(fn ? write_entry(reinterpret_cast<u64>(fn), common[ir::kHelperPure]) : nullptr);
    }
    t.used = c_.getSize();
    return t;
  }

 private:
  const u8* begin() {
    while (c_.getSize() % 16 != 0) c_.db(0xcc);
    return c_.getCurr();
  }
  void pinned(u32 mask, bool store) {
    for (int r = 0; r < 16; r++) {
      const s32 row = pins_.row_of_host[r];
      if (row < 0 || !(mask & bit(r))) continue;
      const unsigned bits = ir::type_bits(layout_.rows[row].type);
      const Xbyak::Address at = state_mem(bits, layout_.rows[row].offset);
      store ? c_.mov(at, reg(r, bits)) : c_.mov(reg(r, bits), at);
    }
  }
  void header_in_rdi() { c_.lea(r64(kRdi), mem(64, r64(kRbp) - kBias)); }

  // u32 enter(VcpuHeader* rdi, const u8* code rsi)
  void write_enter() {
    for (int r : {kRbx, kRbp, kR12, kR13, kR14, kR15}) c_.push(r64(r));
    c_.sub(r64(kRsp), kFrameSize);
    c_.fnstsw(r16(kRax));  // no sticky flags to begin with
    c_.test(r8(kRax), 0x7f);
    c_.db(0x74);
    c_.db(2);
    c_.db(0xdb);  // FNCLEX
    c_.db(0xe2);
    c_.mov(stack_mem(16, kXControlOffset), 0x37f);
    c_.lea(r64(kRbp), mem(64, r64(kRdi) + kBias));
    c_.mov(r64(kRax), r64(kRsi));
    c_.mov(state_mem(64, field::entry_sp), r64(kRsp));
    c_.mov(stack_mem(8, kFpDirtyOffset), 0);
    c_.stmxcsr(state_mem(32, field::host_fp_env));
    c_.ldmxcsr(state_mem(32, field::fp_env));
    pinned(pins_.mask, false);
    c_.jmp(r64(kRax));
  }
  // The executor may know the next region: on with it, or out. It looks at no guest register but the pc.
  void write_resume() {
    pinned(pins_.mask & kCallerSavedPins, true);
    header_in_rdi();
    c_.mov(r64(kRax), reinterpret_cast<u64>(&resume));
    c_.call(r64(kRax));
    pinned(pins_.mask & kCallerSavedPins, false);
    c_.test(r64(kRax), r64(kRax));
    c_.db(0x74);
    const size_t jump = c_.getSize();
    c_.db(0);
    c_.jmp(r64(kRax));
    patch_short(jump);
  }
  void write_exit(int reason) {
    pinned(pins_.mask, true);
    c_.stmxcsr(state_mem(32, field::fp_env));
    c_.ldmxcsr(state_mem(32, field::host_fp_env));
    c_.fldcw(stack_mem(16, kXControlOffset));
    c_.mov(r32(kRax), reason);
    c_.add(r64(kRsp), kFrameSize);
    for (int r : {kR15, kR14, kR13, kR12, kRbp, kRbx}) c_.pop(r64(r));
    c_.ret();
  }
  // The same probe of the jump cache as in generated code (emit_control.cpp), of the pc register in the state.
  void write_probe(const u8* lookup) {
    using Entry = mem::JumpCacheEntry;
    const ir::RegRow& pc = layout_.rows[layout_.pc];
    c_.mov(reg(kRax, ir::type_bits(pc.type)), state_mem(ir::type_bits(pc.type), pc.offset));
    c_.mov(state_mem(64, field::exit_slot), 0);
    c_.mov(r64(kRcx), r64(kRax));
    c_.shr(r64(kRcx), mem::kJumpCacheBits);
    c_.xor_(r32(kRcx), r32(kRax));
    c_.and_(r32(kRcx), (1u << mem::kJumpCacheBits) - 1);
    c_.shl(r32(kRcx), 4);
    c_.add(r64(kRcx), state_mem(64, field::jump_cache));
    c_.mov(r32(kRdx), state_mem(32, field::jump_generation));
    c_.cmp(mem(64, r64(kRcx) + static_cast<int>(offsetof(Entry, pc))), r64(kRax));
    c_.jne(static_cast<const void*>(lookup));
    c_.cmp(mem(32, r64(kRcx) + static_cast<int>(offsetof(Entry, generation))), r32(kRdx));
    c_.jne(static_cast<const void*>(lookup));
    c_.mov(r32(kRdx), mem(32, r64(kRcx) + static_cast<int>(offsetof(Entry, code))));
    c_.add(r64(kRdx), state_mem(64, field::code_base));
    c_.jmp(r64(kRdx));
  }
  // The header's fp_env gets MXCSR's sticky bits, if guest code may have set some since it was entered. `frame` bytes
  // lie between RSP and entry_sp.
  void store_mxcsr(s32 frame) {
    c_.cmp(stack_mem(8, frame + kFpDirtyOffset), 0);
    c_.db(0x74);
    const size_t jump = c_.getSize();
    c_.db(0);
    c_.stmxcsr(state_mem(32, field::fp_env));
    patch_short(jump);
  }
  void patch_short(size_t jump) { const_cast<u8*>(c_.getCode())[jump] = static_cast<u8>(c_.getSize() - jump - 1); }
  // MXCSR as it was before the call, if the call changed it. `t` is free; `at` a free stack slot.
  void restore_mxcsr(int t, s32 at) {
    c_.stmxcsr(stack_mem(32, at));
    c_.mov(r32(t), stack_mem(32, at));
    c_.cmp(r32(t), state_mem(32, field::fp_env));
    c_.db(0x74);
    const size_t jump = c_.getSize();
    c_.db(0);
    c_.ldmxcsr(state_mem(32, field::fp_env));
    patch_short(jump);
  }
  // Memory slow path: operands and result in the header's scratch words; every register but the result's is kept.
  void write_slow(bool xmm) {
    constexpr int kSaved[] = {kRax, kRcx, kRdx, kR8, kR9, kR10, kRsi, kRdi, kR11};
    constexpr s32 kXmmAt = 80, kSize = kXmmAt + 8;  // 8 modulo 16: the return address has been pushed
    const s32 size = xmm ? kSize + 256 : kSize;
    c_.sub(r64(kRsp), static_cast<u32>(size));
    int slot = 0;
    for (int r : kSaved) {
      if (!(pins_.mask & bit(r))) c_.mov(stack_mem(64, slot * 8), r64(r));
      slot++;
    }
    if (xmm)
      for (int i = 0; i < 16; i++) c_.movups(stack_mem(128, kXmmAt + i * 16), Xbyak::Xmm(i));
    pinned(pins_.mask, true);
    store_mxcsr(size + 8);
    header_in_rdi();
    c_.mov(r64(kRax), reinterpret_cast<u64>(&slow_access));
    c_.call(r64(kRax));
    c_.test(r32(kRax), r32(kRax));
    c_.db(0x74);
    const size_t jump = c_.getSize();
    c_.db(0);
    c_.ldmxcsr(state_mem(32, field::fp_env));  // a device's code may have set sticky bits
    patch_short(jump);
    pinned(pins_.mask & kCallerSavedPins, false);
    if (xmm)
      for (int i = 0; i < 16; i++) c_.movups(Xbyak::Xmm(i), stack_mem(128, kXmmAt + i * 16));
    slot = 0;
    for (int r : kSaved) {
      if (!(pins_.mask & bit(r))) c_.mov(r64(r), stack_mem(64, slot * 8));
      slot++;
    }
    c_.add(r64(kRsp), static_cast<u32>(size));
    c_.ret();
  }
  // Helper call: function in RAX, arguments in kCallArgs; the caller keeps nothing in temporaries.
  void write_call(u32 effects) {
    const bool pure = effects == ir::kHelperPure;
    const bool exact = (effects & (ir::kHelperReadsState | ir::kHelperWritesState | ir::kHelperMayFault)) != 0;
    c_.sub(r64(kRsp), 24);
    pinned(exact ? pins_.mask : pins_.mask & kCallerSavedPins, true);
    if (!pure) store_mxcsr(24 + 8);
    header_in_rdi();
    c_.mov(r64(kRsi), r64(kCallArgs[0]));
    c_.call(r64(kRax));
    if (effects & ir::kHelperFpEnv) {
      c_.ldmxcsr(state_mem(32, field::fp_env));
    } else if (!pure) {
      restore_mxcsr(kRcx, 8);
    }
    pinned(effects & ir::kHelperWritesState ? pins_.mask : pins_.mask & kCallerSavedPins, false);
    c_.add(r64(kRsp), 24);
    c_.ret();
  }
  const u8* write_entry(u64 function, const u8* common) {
    const u8* at = c_.getCurr();
    c_.mov(r64(kRax), function);
    c_.jmp(common, CodeGenerator::T_NEAR);
    return at;
  }

  const PinMap& pins_;
  const ir::StateLayout& layout_;
  CodeGenerator c_;
};

}  // namespace

PinMap::PinMap(const ir::StateLayout& layout, int max_pinned) : host_of_row(layout.count, kNoReg) {
  std::fill(std::begin(row_of_host), std::end(row_of_host), -1);
  const int limit = max_pinned < 0 ? kMaxPinned : std::min(max_pinned, kMaxPinned);
  std::vector<ir::RegId> ranked;
  for (ir::RegId i = 0; i < layout.count; i++) {
    const ir::RegRow& r = layout.rows[i];
    if (r.pin_rank != 0 && (r.type == Type::I64 || r.type == Type::I32)) ranked.push_back(i);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](ir::RegId a, ir::RegId b) { return layout.rows[a].pin_rank < layout.rows[b].pin_rank; });
  for (ir::RegId row : ranked) {
    if (count == limit) break;
    const HostReg host = kPinHosts[count++];
    host_of_row[row] = host;
    row_of_host[host] = row;
    mask |= bit(host);
  }
}

Thunks make_thunks(const BackendConfig& config, const PinMap& pins) {
  return ThunkWriter(config, pins).write(config.helpers);
}

}  // namespace doppel::backend::x64

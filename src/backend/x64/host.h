// The x86-64 host: what its CPU can do, which registers are used for what, the layout of the frame under generated
// code.
#pragma once
#define XBYAK_NO_OP_NAMES
#include <xbyak/xbyak.h>

#include "base/bits.h"
#include "mem/vcpu_header.h"

namespace doppel::backend::x64 {

struct HostFeatures {
  bool sse3 = false, ssse3 = false, sse41 = false, sse42 = false, avx = false;
  bool bmi1 = false, bmi2 = false, lzcnt = false, popcnt = false;
  bool shift_flags =
      false;  // SHL SHR SAR leave CF, OF, SF, ZF, PF as ops.def defines them, for every count (found by trying)
  static const HostFeatures& detect();
  static HostFeatures baseline() { return {}; }
};

enum HostReg : s8 {
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
  kNoReg = -1
};
constexpr u32 bit(int r) { return 1u << r; }

constexpr int kMaxPinned = 8;
// In the order of pin ranks. The first have short encodings; RBX has a high byte register as well (guest AH when RAX is
// there).
constexpr HostReg kPinHosts[kMaxPinned] = {kRbx, kRsi, kRdi, kR14, kR15, kR12, kR13, kR11};
// Of these, calls change (System V ABI):
constexpr u32 kCallerSavedPins = bit(kRsi) | bit(kRdi) | bit(kR11);
constexpr u32 kTempRegs = bit(kRax) | bit(kRcx) | bit(kRdx) | bit(kR8) | bit(kR9) | bit(kR10);
// Where a call site in generated code puts arguments 1..4 of a helper; the call thunk moves the first to its ABI place.
constexpr HostReg kCallArgs[4] = {kR9, kRdx, kRcx, kR8};

constexpr s32 kBias = 128;  // rbp = VcpuHeader + kBias: short displacements for the header and the first registers

// Frame of generated code: [rsp] is entry_sp.
constexpr int kGprSlots = 448;
constexpr int kXmmSlots = 192;
constexpr s32 kAreaOffset = 0;  // operands of C++ fallbacks: a, b, c, result; 16 bytes each
constexpr s32 kXmmSlotOffset = 64;
constexpr s32 kGprSlotOffset = kXmmSlotOffset + kXmmSlots * 16;
// A byte: MXCSR may have newer sticky bits than the header's fp_env.
constexpr s32 kFpDirtyOffset = kGprSlotOffset + kGprSlots * 8;
// Of the floating-point stack (emit_xfloat.cpp): 16 times the top at the guard (u32), the host's status word (u16), the
// host's own control word (u16); operands; two registers; FNSTENV's image.
constexpr s32 kXTopOffset = kFpDirtyOffset + 8, kXStatusOffset = kXTopOffset + 4, kXControlOffset = kXTopOffset + 6,
              kXAreaOffset = kXTopOffset + 8, kXSaveOffset = kXAreaOffset + 16, kXEnvOffset = kXSaveOffset + 16;
// Of a slow-path stub (emit_direct.cpp): EFLAGS, a register.
constexpr s32 kStubOffset = kXEnvOffset + 32;
constexpr s32 kFrameSize = kStubOffset + 24;  // 8 modulo 16, so that rsp is a multiple of 16 inside
static_assert(kFrameSize % 16 == 8);

inline Xbyak::Reg8 r8(int r) { return Xbyak::Reg8(r, r >= 4 && r < 8); }
inline Xbyak::Reg8 r8h(int r) { return Xbyak::Reg8(r + 4); }  // AH CH DH BH
inline Xbyak::Reg16 r16(int r) { return Xbyak::Reg16(r); }
inline Xbyak::Reg32 r32(int r) { return Xbyak::Reg32(r); }
inline Xbyak::Reg64 r64(int r) { return Xbyak::Reg64(r); }
inline Xbyak::Reg reg(int r, unsigned bits) {
  switch (bits) {
    case 8: return r8(r);
    case 16: return r16(r);
    case 32: return r32(r);
    default: return r64(r);
  }
}
inline Xbyak::Address mem(unsigned bits, const Xbyak::RegExp& e) { return Xbyak::AddressFrame(bits)[e]; }
// A field of the guest state at `offset` from the header.
inline Xbyak::Address state_mem(unsigned bits, u32 offset) {
  return mem(bits, r64(kRbp) + (static_cast<int>(offset) - kBias));
}
inline Xbyak::Address stack_mem(unsigned bits, s32 offset) { return mem(bits, r64(kRsp) + offset); }

// Header fields.
namespace field {
using H = mem::VcpuHeader;
constexpr u32 exit_request = offsetof(H, exit_request), jump_generation = offsetof(H, jump_generation),
              tlb = offsetof(H, tlb), jump_cache = offsetof(H, jump_cache), code_base = offsetof(H, code_base),
              icount_left = offsetof(H, icount_left), entry_sp = offsetof(H, entry_sp), fp_env = offsetof(H, fp_env),
              host_fp_env = offsetof(H, host_fp_env), exit_slot = offsetof(H, exit_slot);
// Between a memory access's slow-path stub and the C++ function: address, value (16 bytes), third operand.
constexpr u32 slow_va = offsetof(H, scratch) + 4 * 8, slow_value = offsetof(H, scratch) + 5 * 8,
              slow_extra = offsetof(H, scratch) + 7 * 8;
}  // namespace field

}  // namespace doppel::backend::x64

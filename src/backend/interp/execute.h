// The loop that runs the ops of one region, over any kind of memory: the guest's (backend.cpp) or a MemoryPort
// (eval.cpp). A Memory has, for T in u8 u16 u32 u64 u128:
//   bool load<T>(u64 va, MemInfo, T& out)          values as the guest's little-endian bytes; false: stop with a fault
//   bool store<T>(u64 va, MemInfo, T value)
//   bool modify<T>(u64 va, MemInfo, F next, T& old)  atomically: old = memory; memory = next(old). Checks for write
//   access bool probe_write(u64 va, MemInfo) bool misaligned(u64 va, bool write)            raises the guest's
//   alignment fault, or returns false void fence()
#pragma once
#include <cstring>

#include "backend/backend.h"
#include "backend/interp/frame.h"
#include "base/assert.h"
#include "ir/evaluate.h"
#include "mem/vcpu_header.h"

namespace doppel::backend::interp {

using ir::Op;
using ir::Opcode;
using ir::Type;

enum class StopKind : u8 { Direct, Indirect, Loop, Fault };
struct Stop {
  StopKind kind;
  u16 op;     // the op that ended the run
  u16 exits;  // exits with a known pc before it: the number of its link slot
  u64 pc;     // Direct, Indirect
};
// The instruction being executed, for Runtime::sync_pc.
struct Running {
  u64 pc = 0;
  u32 insn = 0;
  CodeBlock* block = nullptr;  // the backend's
};

inline u8* state_at(mem::VcpuHeader& cpu, u32 offset) {
  // SAFETY: the header is the first member of the guest's state; offsets come from its layout.
  return reinterpret_cast<u8*>(&cpu) + offset;
}
inline void write_int(u8* p, u64 v, unsigned bytes) {
  switch (bytes) {
    case 1: store_le<u8>(p, static_cast<u8>(v)); break;
    case 2: store_le<u16>(p, static_cast<u16>(v)); break;
    case 4: store_le<u32>(p, static_cast<u32>(v)); break;
    default: store_le<u64>(p, v); break;
  }
}
inline u64 read_int(const u8* p, unsigned bytes) {
  switch (bytes) {
    case 1: return load_le<u8>(p);
    case 2: return load_le<u16>(p);
    case 4: return load_le<u32>(p);
    default: return load_le<u64>(p);
  }
}
inline void set_pc_row(const ir::StateLayout& layout, mem::VcpuHeader& cpu, u64 pc) {
  const ir::RegRow& row = layout.rows[layout.pc];
  write_int(state_at(cpu, row.offset), pc, ir::type_bytes(row.type));
}

// The stack of 80-bit floats (xfloat.cpp): an op that may leave, true if it does; all others.
bool xfloat_leaves(const ir::XStack& at, mem::VcpuHeader& cpu, const Op& op, u64 a);
void run_xfloat(const ir::XStack& at, mem::VcpuHeader& cpu, Frame& f, const Op& op, unsigned i);

template <typename T>
T swap_bytes(T v) {
  T r = 0;
  for (unsigned i = 0; i < sizeof(T); i++)
    r = static_cast<T>(r | static_cast<T>(static_cast<T>((v >> (8 * i)) & 0xff) << (8 * (sizeof(T) - 1 - i))));
  return r;
}

inline u64 call_helper(const ir::HelperInfo& helper, mem::VcpuHeader& cpu, const Frame& f, const Op& op) {
  const auto arg = [&](unsigned i) { return f.v[op.arg[i]]; };
  void* s = &cpu;
  u64 r = 0;
  // SAFETY: helpers have the shape u64(State*, u64 x nargs), and the state starts with the header (ir::HelperInfo).
  switch (op.nargs) {
    case 0: r = reinterpret_cast<u64 (*)(void*)>(helper.fn)(s); break;
    case 1: r = reinterpret_cast<u64 (*)(void*, u64)>(helper.fn)(s, arg(0)); break;
    case 2: r = reinterpret_cast<u64 (*)(void*, u64, u64)>(helper.fn)(s, arg(0), arg(1)); break;
    case 3: r = reinterpret_cast<u64 (*)(void*, u64, u64, u64)>(helper.fn)(s, arg(0), arg(1), arg(2)); break;
    default:
      r = reinterpret_cast<u64 (*)(void*, u64, u64, u64, u64)>(helper.fn)(s, arg(0), arg(1), arg(2), arg(3));
      break;
  }
  return op.type == Type::Void ? 0 : r & mask_bits(ir::type_bits(op.type));
}

template <typename Memory>
class Executor {
 public:
  Executor(const ir::Region& region, mem::VcpuHeader& cpu, Frame& frame, Memory& memory, Running& running)
      : r_(region), ops_(region.ops.data()), cpu_(cpu), f_(frame), memory_(memory), running_(running) {}

  Stop run();

 private:
  u64 address(const Op& op) const {
    const u64 va = f_.v[op.arg[0]] + op.imm;
    return result_type(ops_[op.arg[0]]) == Type::I32 ? va & 0xffffffff : va;
  }
  bool aligned(u64 va, const ir::MemInfo& m, bool write) {
    return m.align_log2 == 0 || (va & mask_bits(m.align_log2)) == 0 || memory_.misaligned(va, write);
  }
  template <typename T>
  static void put(Frame& f, unsigned i, T v) {
    if constexpr (sizeof(T) == 16)
      std::memcpy(&f.x[i], &v, 16);
    else
      f.v[i] = v;
  }
  template <typename T>
  T get(ir::Value v) const {
    if constexpr (sizeof(T) == 16) {
      T t;
      std::memcpy(&t, &f_.x[v], 16);
      return t;
    } else {
      return static_cast<T>(f_.v[v]);
    }
  }
  template <typename Fn>
  bool sized(Type t, Fn&& fn) {
    switch (t) {
      case Type::I8: return fn(u8{});
      case Type::I16: return fn(u16{});
      case Type::I32: return fn(u32{});
      case Type::I64: return fn(u64{});
      case Type::V128: return fn(u128{});
      default: UNREACHABLE();
    }
  }

  bool load(const Op& op, unsigned i);
  bool store(const Op& op);
  bool atomic(const Op& op, unsigned i);
  void get_reg(const Op& op, unsigned i);
  void set_reg(const Op& op);

  const ir::Region& r_;
  const Op* ops_;
  mem::VcpuHeader& cpu_;
  Frame& f_;
  Memory& memory_;
  Running& running_;
};

template <typename Memory>
void Executor<Memory>::get_reg(const Op& op, unsigned i) {
  const u8* p = state_at(cpu_, r_.layout->rows[op.aux].offset);
  if (op.type == Type::V128)
    std::memcpy(&f_.x[i], p, 16);
  else
    f_.v[i] = read_int(p, ir::type_bytes(op.type));
}

template <typename Memory>
void Executor<Memory>::set_reg(const Op& op) {
  const ir::RegRow& row = r_.layout->rows[op.aux];
  u8* p = state_at(cpu_, row.offset);
  if (op.type == Type::V128)
    std::memcpy(p, &f_.x[op.arg[0]], 16);
  else
    write_int(p, f_.v[op.arg[0]], ir::type_bytes(row.type));
}

template <typename Memory>
bool Executor<Memory>::load(const Op& op, unsigned i) {
  const ir::MemInfo m = ir::MemInfo::unpack(op.aux);
  const u64 va = address(op);
  if (!aligned(va, m, m.rmw)) return false;
  return sized(op.type, [&](auto t) {
    if (!memory_.load(va, m, t)) return false;
    put(f_, i, m.big_endian ? swap_bytes(t) : t);
    return true;
  });
}

template <typename Memory>
bool Executor<Memory>::store(const Op& op) {
  const ir::MemInfo m = ir::MemInfo::unpack(op.aux);
  const u64 va = address(op);
  if (!aligned(va, m, true)) return false;
  return sized(op.type, [&](auto t) {
    t = get<decltype(t)>(op.arg[1]);
    return memory_.store(va, m, m.big_endian ? swap_bytes(t) : t);
  });
}

template <typename Memory>
bool Executor<Memory>::atomic(const Op& op, unsigned i) {
  const ir::MemInfo m = ir::MemInfo::unpack(op.aux);
  const u64 va = address(op);
  if (!aligned(va, m, true)) return false;
  return sized(op.type, [&](auto t) {
    using T = decltype(t);
    const T b = get<T>(op.arg[1]), c = op.code == Opcode::atomic_cas ? get<T>(op.arg[2]) : T{0};
    const auto next = [&op, &m, b, c](T memory) {
      const T now = m.big_endian ? swap_bytes(memory) : memory;
      T result = now;
      if (op.code == Opcode::atomic_cas) {
        result = now == b ? c : now;
      } else {
        switch (static_cast<ir::AtomicOp>(op.sub)) {
          case ir::AtomicOp::Add: result = static_cast<T>(now + b); break;
          case ir::AtomicOp::Sub: result = static_cast<T>(now - b); break;
          case ir::AtomicOp::And: result = static_cast<T>(now & b); break;
          case ir::AtomicOp::Or: result = static_cast<T>(now | b); break;
          case ir::AtomicOp::Xor: result = static_cast<T>(now ^ b); break;
          case ir::AtomicOp::Xchg: result = b; break;
        }
      }
      return m.big_endian ? swap_bytes(result) : result;
    };
    if (!memory_.modify(va, m, next, t)) return false;
    put(f_, i, m.big_endian ? swap_bytes(t) : t);
    return true;
  });
}

template <typename Memory>
Stop Executor<Memory>::run() {
  const Op* const ops = ops_;
  u64* const v = f_.v;
  u16 exits = 0;
  u32 insns = 0;
  for (unsigned i = 0;; i++) {
    const Op& op = ops[i];
    const auto stop = [&](StopKind kind, u64 pc = 0) { return Stop{kind, static_cast<u16>(i), exits, pc}; };
    const auto side_exit = [&](const Op& exit) {
      if (exit.aux & ir::kExitRestarts) running_.insn--;  // not executed, for who counts
      return stop(StopKind::Direct, exit.imm);
    };
    switch (op.code) {
      case Opcode::konst: v[i] = op.imm; break;
      case Opcode::insn:
        running_.pc = op.imm;
        if (op.sub == 0) running_.insn = insns++;
        break;
      case Opcode::get_reg: get_reg(op, i); break;
      case Opcode::set_reg: set_reg(op); break;
      case Opcode::add: v[i] = (v[op.arg[0]] + v[op.arg[1]]) & mask_bits(ir::type_bits(op.type)); break;
      case Opcode::sub: v[i] = (v[op.arg[0]] - v[op.arg[1]]) & mask_bits(ir::type_bits(op.type)); break;
      case Opcode::and_: v[i] = v[op.arg[0]] & v[op.arg[1]]; break;
      case Opcode::or_: v[i] = v[op.arg[0]] | v[op.arg[1]]; break;
      case Opcode::xor_: v[i] = v[op.arg[0]] ^ v[op.arg[1]]; break;
      case Opcode::zext: v[i] = v[op.arg[0]]; break;
      case Opcode::trunc: v[i] = v[op.arg[0]] & mask_bits(ir::type_bits(op.type)); break;
      case Opcode::load:
        if (!load(op, i)) return stop(StopKind::Fault, address(op));
        break;
      case Opcode::store:
        if (!store(op)) return stop(StopKind::Fault, address(op));
        break;
      case Opcode::atomic_rmw:
      case Opcode::atomic_cas:
        if (!atomic(op, i)) return stop(StopKind::Fault, address(op));
        break;
      case Opcode::fence: memory_.fence(); break;
      case Opcode::probe_write:
        if (!memory_.probe_write(address(op), ir::MemInfo::unpack(op.aux))) return stop(StopKind::Fault, address(op));
        break;
      case Opcode::call: v[i] = call_helper(r_.helpers->rows[op.aux], cpu_, f_, op); break;
      case Opcode::call_if: {
        v[i] = v[op.arg[1]];
        if (!ir::cond_holds(static_cast<ir::Cond>(op.sub), static_cast<u16>(v[op.arg[0]]))) break;
        // SAFETY: the state begins with the header; the verifier has seen that the helper takes three arguments.
        const auto fn = reinterpret_cast<u64 (*)(void*, u64, u64, u64)>(r_.helpers->rows[op.aux].fn);
        v[i] = fn(&cpu_, op.imm, v[op.arg[2]], v[op.arg[3]]) & mask_bits(ir::type_bits(op.type));
        break;
      }
      case Opcode::exit_cc:
        if (ir::cond_holds(static_cast<ir::Cond>(op.sub), static_cast<u16>(v[op.arg[0]]))) return side_exit(op);
        exits++;
        break;
      case Opcode::exit_if:
        if (v[op.arg[0]] != 0) return side_exit(op);
        exits++;
        break;
      case Opcode::exit_direct: return stop(StopKind::Direct, op.imm);
      case Opcode::exit_indirect: return stop(StopKind::Indirect, v[op.arg[0]]);
      case Opcode::exit_loop: return stop(StopKind::Loop);
      case Opcode::xf_guard:
      case Opcode::xf_step_if:
        if (!xfloat_leaves(r_.layout->xstack, cpu_, op, op.nargs ? v[op.arg[0]] : 0)) break;
        set_pc_row(*r_.layout, cpu_, op.imm);
        running_.insn--;  // not executed, for who counts
        return stop(StopKind::Loop);
      default:
        if (ir::is_xfloat(op.code)) {
          run_xfloat(r_.layout->xstack, cpu_, f_, op, i);
        } else if (ir::is_scalar_op(op.code)) {
          v[i] = ir::evaluate(op, result_type(ops[op.arg[0]]), v[op.arg[0]], v[op.arg[1]], v[op.arg[2]]);
        } else if (is_float_op(op)) {
          run_float(f_, op, i, cpu_.fp_env);
        } else {
          run_vector(f_, op, i);
        }
        break;
    }
  }
}

}  // namespace doppel::backend::interp

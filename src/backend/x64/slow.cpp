// The C++ side of memory slow paths. Operands and result are in the header's scratch words (host.h); the stub at the
// access has described it in slow_extra. May unwind: owns nothing.
#include <bit>

#include "backend/x64/emitter.h"
#include "mem/guest_access.h"

namespace doppel::backend::x64 {

static void slow_access_once(mem::VcpuHeader* cpu);

namespace {

using mem::Access;
using mem::VcpuHeader;

u64 swap_value(u64 v, unsigned size) {
  switch (size) {
    case 2: return __builtin_bswap16(static_cast<u16>(v));
    case 4: return __builtin_bswap32(static_cast<u32>(v));
    case 8: return __builtin_bswap64(v);
    default: return v;
  }
}

u64 apply(ir::AtomicOp op, u64 old, u64 v) {
  switch (op) {
    case ir::AtomicOp::Add: return old + v;
    case ir::AtomicOp::Sub: return old - v;
    case ir::AtomicOp::And: return old & v;
    case ir::AtomicOp::Or: return old | v;
    case ir::AtomicOp::Xor: return old ^ v;
    case ir::AtomicOp::Xchg: return v;
  }
  return v;
}

// A read-modify-write or compare-and-exchange, values in register form.
struct Atomic {
  VcpuHeader* cpu;
  u64 va, value, desired;
  unsigned size;
  ir::AtomicOp op;
  bool cas, big, stack;
  u64 old;

  u64 memory_form(u64 v) const { return big ? swap_value(v, size) : v; }
  u64 next(u64 old_value) const { return cas ? desired : apply(op, old_value, value); }
};

template <typename T>
void atomic_host(Atomic& a, u8* p) {
  T* at = reinterpret_cast<T*>(p);  // SAFETY: the host allows locked accesses at any alignment
  T old = __atomic_load_n(at, __ATOMIC_SEQ_CST);
  for (;;) {
    a.old = a.memory_form(old);
    if (a.cas && static_cast<T>(a.old) != static_cast<T>(a.value)) {
      // The store of the old value is part of the semantics only as a check for write access, which was made.
      return;
    }
    const T desired = static_cast<T>(a.memory_form(static_cast<T>(a.next(a.old))));
    if (__atomic_compare_exchange_n(at, &old, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  }
}

template <typename T>
void atomic_alone(void* context) {  // every other vCPU stands still
  Atomic& a = *static_cast<Atomic*>(context);
  const u32 mode = a.cpu->mmu_mode;
  a.old = a.memory_form(mem::slow_load<T>(*a.cpu, a.va, mode, a.stack));
  if (a.cas && static_cast<T>(a.old) != static_cast<T>(a.value)) return;
  mem::slow_store<T>(*a.cpu, a.va, static_cast<T>(a.memory_form(static_cast<T>(a.next(a.old)))), mode, a.stack);
}

template <typename T>
u64 atomic(Atomic& a) {
  if (u8* p = mem::host_pointer(*a.cpu, a.va, sizeof(T), Access::Write, a.cpu->mmu_mode)) {
    atomic_host<T>(a, p);
  } else {
    mem::probe(*a.cpu, a.va, sizeof(T), Access::Write, a.cpu->mmu_mode);  // first: a fault is that of a write
    mem::probe(*a.cpu, a.va, sizeof(T), Access::Read, a.cpu->mmu_mode);
    mem::exclusive(*a.cpu, &atomic_alone<T>, &a);
  }
  return static_cast<T>(a.old);
}

template <typename T>
void access(VcpuHeader& cpu, SlowKind kind, u64 va, bool stack, u32 desc) {
  u64* value = &cpu.scratch[5];
  const u32 mode = cpu.mmu_mode;
  switch (kind) {
    case SlowKind::LoadRmw: mem::probe(cpu, va, sizeof(T), Access::Write, mode); [[fallthrough]];
    case SlowKind::Load: {
      const T v = mem::slow_load<T>(cpu, va, mode, stack);
      value[0] = static_cast<u64>(v);
      if constexpr (sizeof(T) == 16) value[1] = static_cast<u64>(v >> 64);
      return;
    }
    case SlowKind::Store: {
      T v = static_cast<T>(value[0]);
      if constexpr (sizeof(T) == 16) v |= static_cast<T>(value[1]) << 64;
      mem::slow_store<T>(cpu, va, v, mode, stack);
      return;
    }
    case SlowKind::Rmw:
    case SlowKind::Cas:
      if constexpr (sizeof(T) <= 8) {
        Atomic a{&cpu,
                 va,
                 value[0],
                 value[1],
                 sizeof(T),
                 static_cast<ir::AtomicOp>((desc >> 16) & 15),
                 kind == SlowKind::Cas,
                 (desc & (1u << 9)) != 0,
                 stack,
                 0};
        value[0] = atomic<T>(a);
      }
      return;
    case SlowKind::Probe:
    case SlowKind::Call: return;
  }
}

// 16-byte compare-and-exchange: the expected value in the scratch words, the new one in the frame's area.
struct WideCas {
  VcpuHeader* cpu;
  u64 va;
  u128 expected, desired, old;
  bool big, stack;
};
u128 swap_wide(u128 v, bool big) {
  return big ? static_cast<u128>(__builtin_bswap64(static_cast<u64>(v))) << 64 |
                   __builtin_bswap64(static_cast<u64>(v >> 64))
             : v;
}
bool cas_host(u8* p, u128& old, u128 desired) {  // p is a multiple of 16
  u64 lo = static_cast<u64>(old), hi = static_cast<u64>(old >> 64);
  bool equal;
  asm volatile("lock cmpxchg16b %1\n\tsete %0"
               : "=q"(equal), "+m"(*reinterpret_cast<u128*>(p)), "+a"(lo), "+d"(hi)
               : "b"(static_cast<u64>(desired)), "c"(static_cast<u64>(desired >> 64))
               : "cc", "memory");
  old = static_cast<u128>(hi) << 64 | lo;
  return equal;
}
void wide_alone(void* context) {
  WideCas& w = *static_cast<WideCas*>(context);
  const u32 mode = w.cpu->mmu_mode;
  w.old = mem::slow_load<u128>(*w.cpu, w.va, mode, w.stack);
  if (w.old == w.expected) mem::slow_store<u128>(*w.cpu, w.va, w.desired, mode, w.stack);
}
void wide_cas(VcpuHeader& cpu, u64 va, bool stack, bool big) {
  u128 expected, desired;
  std::memcpy(&expected, &cpu.scratch[5], 16);
  std::memcpy(&desired, reinterpret_cast<const void*>(cpu.entry_sp + kAreaOffset),
              16);  // SAFETY: the running region's frame
  WideCas w{&cpu, va, swap_wide(expected, big), swap_wide(desired, big), 0, big, stack};
  u8* p = va % 16 == 0 ? mem::host_pointer(cpu, va, 16, Access::Write, cpu.mmu_mode) : nullptr;
  if (p) {
    w.old = w.expected;
    cas_host(p, w.old, w.desired);
  } else {
    mem::probe(cpu, va, 16, Access::Write, cpu.mmu_mode);
    mem::probe(cpu, va, 16, Access::Read, cpu.mmu_mode);
    mem::exclusive(cpu, &wide_alone, &w);
  }
  const u128 old = swap_wide(w.old, big);
  std::memcpy(&cpu.scratch[5], &old, 16);
}

}  // namespace

// A group's leader has been done the slow way: where its bytes are in host memory, if now all of the group's lie in one
// page of plain memory; else 0.
static void leave_host_address(VcpuHeader& cpu, u64 va, u64 extra) {
  const u64 lo = va + static_cast<u64>(s64{static_cast<s16>(extra >> 32)}),
            hi = va + static_cast<u64>(s64{static_cast<s16>(extra >> 48)}) - 1;
  const mem::TlbEntry& e = cpu.tlb[(lo >> mem::kPageBits) & (mem::kTlbEntries - 1)];
  const u64 tag = ((extra & (1u << 11)) ? e.write : e.read).load(std::memory_order_relaxed);
  cpu.scratch[4] = (hi & mem::kPageMask) == tag && (lo & mem::kPageMask) == tag ? va + e.addend : 0;
}

u32 slow_access(VcpuHeader* cpu) {
  const u64 extra = cpu->scratch[7], va = cpu->scratch[4];
  if (static_cast<SlowKind>(extra & 15) == SlowKind::Call) {
    // SAFETY: the helper that the region's call_if named; the state begins with the header.
    const auto fn = reinterpret_cast<u64 (*)(mem::VcpuHeader*, u64, u64, u64)>(va);
    const auto cut = [&](u64 v, unsigned at) {
      return v & mask_bits(ir::type_bits(static_cast<ir::Type>(extra >> at & 15)));
    };
    cpu->scratch[5] = cut(fn(cpu, extra >> 32, cut(cpu->scratch[5], 8), cut(cpu->scratch[6], 12)), 16);
    return 0;
  }
  slow_access_once(cpu);
  if (extra & (1u << 10)) leave_host_address(*cpu, va, extra);
  const mem::TlbEntry& e = cpu->tlb[(va >> mem::kPageBits) & (mem::kTlbEntries - 1)];
  return ((e.read.load(std::memory_order_relaxed) | e.write.load(std::memory_order_relaxed)) & mem::kTlbIo) != 0;
}

static void slow_access_once(VcpuHeader* cpu) {
  const u32 desc = static_cast<u32>(cpu->scratch[7]);
  const u64 va = cpu->scratch[4];
  const auto kind = static_cast<SlowKind>(desc & 15);
  const bool stack = (desc & (1u << 8)) != 0;
  const u64 align_mask = (u64{1} << ((desc >> 12) & 15)) - 1;
  if (va & align_mask) {
    cpu->mmu->raise_alignment(*cpu, va, kind == SlowKind::Load ? Access::Read : Access::Write);
  }
  if (kind == SlowKind::Probe) {
    mem::probe(*cpu, va, (desc >> 20) & 0xff, Access::Write, cpu->mmu_mode);
    return;
  }
  if (kind == SlowKind::Cas && ((desc >> 4) & 15) == 4) return wide_cas(*cpu, va, stack, (desc & (1u << 9)) != 0);
  switch ((desc >> 4) & 15) {
    case 0: return access<u8>(*cpu, kind, va, stack, desc);
    case 1: return access<u16>(*cpu, kind, va, stack, desc);
    case 2: return access<u32>(*cpu, kind, va, stack, desc);
    case 3: return access<u64>(*cpu, kind, va, stack, desc);
    default: return access<u128>(*cpu, kind, va, stack, desc);
  }
}

}  // namespace doppel::backend::x64

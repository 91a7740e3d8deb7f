// The guest's memory through the soft TLB, for the Executor. Faults unwind, so every function returns true.
// Traps: nothing here may own a resource while memory is accessed; `stack` must reach the slow path, and an access
// marked rmw must fault as a write before anything is read.
#pragma once
#include <atomic>

#include "backend/interp/execute.h"
#include "mem/guest_access.h"

namespace doppel::backend::interp {

class GuestMemory {
 public:
  explicit GuestMemory(mem::VcpuHeader& cpu) : cpu_(cpu) {}

  template <typename T>
  bool load(u64 va, const ir::MemInfo& m, T& out) {
    const mem::TlbEntry& e = entry(va);
    if (m.rmw && e.write.load(std::memory_order_relaxed) != page_of<T>(va)) [[unlikely]]
      probe(va, sizeof(T));
    if (e.read.load(std::memory_order_relaxed) == page_of<T>(va)) [[likely]]
      out = load_le<T>(host(va, e));
    else
      out = mem::slow_load<T>(cpu_, va, cpu_.mmu_mode, m.stack);
    return true;
  }

  template <typename T>
  bool store(u64 va, const ir::MemInfo& m, T value) {
    const mem::TlbEntry& e = entry(va);
    if (e.write.load(std::memory_order_relaxed) == page_of<T>(va)) [[likely]]
      store_le<T>(host(va, e), value);
    else
      mem::slow_store<T>(cpu_, va, value, cpu_.mmu_mode, m.stack);
    return true;
  }

  // Aligned plain memory: a compare-and-swap loop on the host's memory, sequentially consistent. Everything else
  // (devices, watched code, crossings, 16 bytes): alone in guest memory.
  template <typename T, typename F>
  bool modify(u64 va, const ir::MemInfo& m, F next, T& old) {
    if constexpr (sizeof(T) <= 8) {
      if (va % sizeof(T) == 0) {
        // SAFETY: aligned guest memory that stays mapped while this vCPU runs.
        if (u8* p = mem::host_pointer(cpu_, va, sizeof(T), mem::Access::Write, cpu_.mmu_mode)) {
          std::atomic_ref<T> memory(*reinterpret_cast<T*>(p));
          old = memory.load(std::memory_order_relaxed);
          while (!memory.compare_exchange_weak(old, next(old), std::memory_order_seq_cst)) {
          }
          return true;
        }
      }
    }
    probe(va, sizeof(T));
    struct Context {
      GuestMemory* self;
      u64 va;
      const ir::MemInfo* m;
      F* next;
      T* old;
    } context{this, va, &m, &next, &old};
    mem::exclusive(
        cpu_,
        [](void* p) {
          const Context& c = *static_cast<Context*>(p);
          c.self->load(c.va, *c.m, *c.old);
          c.self->store(c.va, *c.m, (*c.next)(*c.old));
        },
        &context);
    return true;
  }

  bool probe_write(u64 va, const ir::MemInfo& m) {
    probe(va, m.probe_bytes);
    return true;
  }
  bool misaligned(u64 va, bool write) {
    cpu_.mmu->raise_alignment(cpu_, va, write ? mem::Access::Write : mem::Access::Read);
    return false;  // not reached
  }
  void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

 private:
  const mem::TlbEntry& entry(u64 va) const { return cpu_.tlb[(va >> mem::kPageBits) & (mem::kTlbEntries - 1)]; }
  // The page that holds the whole access; one that crosses never equals a tag that also fits its first byte.
  template <typename T>
  static u64 page_of(u64 va) {
    return (va + sizeof(T) - 1) & mem::kPageMask;
  }
  static u8* host(u64 va, const mem::TlbEntry& e) { return reinterpret_cast<u8*>(va + e.addend); }
  void probe(u64 va, u64 size) { mem::probe(cpu_, va, size, mem::Access::Write, cpu_.mmu_mode); }

  mem::VcpuHeader& cpu_;
};

}  // namespace doppel::backend::interp

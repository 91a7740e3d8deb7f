// Access to guest memory from helpers: by virtual address through the soft TLB (faults unwind to the vCPU loop as the
// guest's exceptions), and by physical address. Little-endian values; any alignment; page crossings handled (a store
// that crosses into a page that faults writes nothing).
#pragma once
#include <type_traits>

#include "mem/vcpu_header.h"

namespace doppel::mem {

enum class Access : u8 { Read, Write, Exec };

// An entry of the guest's page tables as a walk read it (and left it, with the bits it set).
struct TableEntry {
  const u8* host = nullptr;
  u64 value = 0;
  u32 free_bits = 0;  // whose change takes nothing back that the walk granted
  u32 bytes = 8;
  bool holds() const {
    // SAFETY: entries are aligned to their size, in RAM that lives as long as the machine.
    const u64 now = bytes == 8 ? __atomic_load_n(reinterpret_cast<const u64*>(host), __ATOMIC_RELAXED)
                               : __atomic_load_n(reinterpret_cast<const u32*>(host), __ATOMIC_RELAXED);
    return ((now ^ value) & ~u64{free_bits}) == 0;
  }
};

// One page of translation, made by the guest's page walker.
struct Translation {
  u64 phys = 0;  // physical address of the page start (4 KiB granule, within a large page too)
  bool read = false, write = false, exec = false;
  bool global = false;  // survives a flush of non-global entries
  u64 page_size = kPageSize;
  TableEntry tables[4];  // on the way, the one that maps the page last; none: they can't be looked at again
  unsigned table_count = 0;
};

class MmuHooks {
 public:
  virtual ~MmuHooks() = default;
  // Walks the guest's tables for `va`; sets accessed and dirty bits as the access needs (write is granted only when
  // dirty is set or the access is a write). False: the guest's fault is prepared for raise_fault. Never unwinds.
  virtual bool translate(VcpuHeader& cpu, u64 va, Access access, u32 mmu_mode, Translation& out) = 0;
  // Delivers the fault that translate() prepared: sync_pc, records the exception, unwinds.
  [[noreturn]] virtual void raise_fault(VcpuHeader& cpu, u64 va, Access access, u32 mmu_mode, bool stack) = 0;
  [[noreturn]] virtual void raise_alignment(VcpuHeader& cpu, u64 va, Access access) = 0;
  // A data watchpoint covers part of [va, va+size): debug registers or gdb. May unwind.
  virtual void watchpoint_hit(VcpuHeader& cpu, u64 va, u32 size, Access access) = 0;
};

// Slow paths (soft_tlb.cpp): fill the TLB, do device access, watch for code. T is u8..u64 or u128.
template <typename T>
T slow_load(VcpuHeader& cpu, u64 va, u32 mmu_mode, bool stack = false);
template <typename T>
void slow_store(VcpuHeader& cpu, u64 va, T value, u32 mmu_mode, bool stack = false);
TlbEntry* tlb_of(VcpuHeader& cpu, u32 mmu_mode);

// `mmu_mode` defaults to the current one.
template <typename T>
inline T load(VcpuHeader& cpu, u64 va, u32 mmu_mode) {
  const TlbEntry& e = tlb_of(cpu, mmu_mode)[(va >> kPageBits) & (kTlbEntries - 1)];
  if (((va + sizeof(T) - 1) & kPageMask) == e.read.load(std::memory_order_relaxed)) [[likely]]
    return load_le<T>(reinterpret_cast<const void*>(va + e.addend));
  return slow_load<T>(cpu, va, mmu_mode);
}
template <typename T>
inline void store(VcpuHeader& cpu, u64 va, std::type_identity_t<T> value, u32 mmu_mode) {
  const TlbEntry& e = tlb_of(cpu, mmu_mode)[(va >> kPageBits) & (kTlbEntries - 1)];
  if (((va + sizeof(T) - 1) & kPageMask) == e.write.load(std::memory_order_relaxed)) [[likely]] {
    store_le<T>(reinterpret_cast<void*>(va + e.addend), value);
    return;
  }
  slow_store<T>(cpu, va, value, mmu_mode);
}
template <typename T>
inline T load(VcpuHeader& cpu, u64 va) {
  return load<T>(cpu, va, cpu.mmu_mode);
}
template <typename T>
inline void store(VcpuHeader& cpu, u64 va, std::type_identity_t<T> value) {
  store<T>(cpu, va, value, cpu.mmu_mode);
}

// Host pointer for [va, va+length) if it lies in one page of plain RAM (no device, no watched code on a write), after
// filling the TLB; null if it does not. Faults unwind. For block copies and atomics.
u8* host_pointer(VcpuHeader& cpu, u64 va, u64 length, Access access, u32 mmu_mode);
// Faults (unwinds) as an access of that kind would; touches nothing.
void probe(VcpuHeader& cpu, u64 va, u64 length, Access access, u32 mmu_mode);
// Runs `body` with every other vCPU kept out of guest memory: for atomics that cross pages or devices.
void exclusive(VcpuHeader& cpu, void (*body)(void*), void* context);

// Host address of `size` bytes of writable RAM at `pa`, or null. For page walkers; code watches are not asked.
u8* phys_pointer(VcpuHeader& cpu, u64 pa, unsigned size);
// Physical memory; never faults: an unmapped read gives all ones.
u32 phys_load32(VcpuHeader& cpu, u64 pa);
u64 phys_load64(VcpuHeader& cpu, u64 pa);
void phys_read(VcpuHeader& cpu, u64 pa, void* out, u64 size);
void phys_write(VcpuHeader& cpu, u64 pa, const void* data, u64 size);

// TLB control for the guest's MMU. All on the vCPU's own thread.
void tlb_flush_all(VcpuHeader& cpu);        // every address space, every mode, global too
void tlb_flush_nonglobal(VcpuHeader& cpu);  // current address space
void tlb_flush_page(VcpuHeader& cpu,
                    u64 va);  // current address space, all modes, global too (and the large page around it)
void tlb_set_mode(VcpuHeader& cpu, u32 mmu_mode);  // a pointer swap
u64 tlb_mode_switches(const VcpuHeader& cpu);      // how often that was; wraps
// Switches to the address space `tag` (x86: PCID and CR3 base); keeps its old entries when `keep`. A pointer swap when
// kept.
void tlb_set_space(VcpuHeader& cpu, u64 tag, bool keep);
// Switches to the page tables at `root` on a CPU without tags: entries that are not global end, or are kept as
// KeptSpaces says.
void tlb_switch_tables(VcpuHeader& cpu, u64 root);
void tlb_flush_space(VcpuHeader& cpu, u64 tag, bool globals_too);  // another address space's entries
void tlb_flush_space_page(VcpuHeader& cpu, u64 tag, u64 va);
void tlb_set_a20(VcpuHeader& cpu, bool enabled);
// The jump cache that generated code looks in: of this mode word and code base.
void tlb_select_code(VcpuHeader& cpu, u64 mode_word, u64 base);
// Pages that hold data watchpoints: their accesses take the slow path and reach watchpoint_hit.
void tlb_watch_range(VcpuHeader& cpu, u64 va, u64 size);
void tlb_clear_watches(VcpuHeader& cpu);

}  // namespace doppel::mem

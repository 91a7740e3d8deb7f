// The slow paths of memory access: TLB fill, page crossings, devices, pages watched for code and dirty logging,
// watchpoints.
#include <condition_variable>

#include "mem/direct_memory.h"
#include "mem/soft_tlb.h"

namespace doppel::mem {
namespace {

constexpr u64 page_offset(u64 va) { return va & (kPageSize - 1); }

u64 tag_of(const TlbEntry& e, Access access) {
  return access == Access::Read    ? e.read.load(std::memory_order_relaxed)
         : access == Access::Write ? e.write.load(std::memory_order_relaxed)
                                   : e.exec.load(std::memory_order_relaxed);
}

// --- memory of the process itself (DirectMemory). What is not there makes the host fault, which the executor turns
// into the guest's fault (VcpuLoop::host_fault): it unwinds from here.

bool host_has(u64 va) { return va == static_cast<u64>(static_cast<s64>(va << 16) >> 16); }  // 48 bits, canonical

u8* direct_host(VcpuHeader& cpu, u64 va, Access access, bool stack = false) {
  const u64 host = va + cpu.direct->base;
  if (!host_has(host)) cpu.mmu->raise_fault(cpu, va, access, cpu.mmu_mode, stack);
  return reinterpret_cast<u8*>(host);
}

template <typename T>
T direct_load(VcpuHeader& cpu, u64 va, bool stack) {
  if (cpu.direct->has_watchpoints.load(std::memory_order_relaxed)) cpu.runtime->debug_watch(va, sizeof(T), false);
  return load_le<T>(direct_host(cpu, va, Access::Read, stack));
}

template <typename T>
void direct_store(VcpuHeader& cpu, u64 va, T value, bool stack) {
  u8* to = direct_host(cpu, va, Access::Write, stack);
  if (cpu.direct->has_watchpoints.load(std::memory_order_relaxed)) cpu.runtime->debug_watch(va, sizeof(T), true);
  cpu.runtime->direct_store(va, sizeof(T));
  store_le<T>(to, value);
}

// SAFETY: a byte of each page is touched; a host fault is the answer.
void direct_probe(VcpuHeader& cpu, u64 va, u64 length, Access access) {
  if (cpu.direct->has_watchpoints.load(std::memory_order_relaxed) && access != Access::Exec)
    cpu.runtime->debug_watch(va, static_cast<u32>(length), access == Access::Write);
  for (u64 at = va, last = va + length - 1;; at = (at & kPageMask) + kPageSize) {
    u8* host = direct_host(cpu, at, access);
    if (access == Access::Exec) {
      if (!cpu.direct->watch_code(at & kPageMask)) cpu.mmu->raise_fault(cpu, at, access, cpu.mmu_mode, false);
    } else if (access == Access::Write) {
      cpu.runtime->direct_store(at, 1);
      __atomic_fetch_or(host, u8{0}, __ATOMIC_RELAXED);
    } else {
      static_cast<void>(*static_cast<volatile u8*>(host));
    }
    if ((at & kPageMask) == (last & kPageMask)) return;
  }
}

// The entry for one page, filled for `access`; unwinds on a fault.
TlbEntry& entry_for(VcpuHeader& cpu, u64 va, Access access, u32 mode, bool stack) {
  TlbEntry& e = cpu.soft_tlb->entry(va, mode);
  const u64 tag = tag_of(e, access);
  if ((tag & (kPageMask | kTlbInvalid)) == (va & kPageMask)) return e;
  TlbEntry* filled = cpu.soft_tlb->fill(va, access, mode);
  if (!filled) cpu.mmu->raise_fault(cpu, va, access, mode, stack);
  return *filled;
}

// A page that is not plain memory: devices, small windows, ROM.
u64 io_load(VcpuHeader& cpu, u64 pa, unsigned size) {
  AddressSpace& memory = *cpu.phys;
  const AddressSpace::Flat* f = memory.find(pa);
  if (f && pa + size <= f->end) {
    if (f->io) return memory.io_read(*f, pa, size);
    u64 v = 0;
    std::memcpy(&v, f->ram->host + f->offset + (pa - f->start), size);
    return v;
  }
  if (size == 1) return f && f->ram ? f->ram->host[f->offset + (pa - f->start)] : 0xff;
  u64 v = 0;
  for (unsigned i = 0; i < size; i++) v |= io_load(cpu, pa + i, 1) << (8 * i);
  return v;
}

void io_store(VcpuHeader& cpu, u64 pa, u64 value, unsigned size) {
  AddressSpace& memory = *cpu.phys;
  const AddressSpace::Flat* f = memory.find(pa);
  if (f && pa + size <= f->end) {
    if (f->io) {
      memory.io_write(*f, pa, value, size);
      return;
    }
    memory.write(pa, &value, size);
    return;
  }
  if (size == 1) {
    memory.write(pa, &value, 1);
    return;
  }
  for (unsigned i = 0; i < size; i++) io_store(cpu, pa + i, (value >> (8 * i)) & 0xff, 1);
}

// Inside one page.
template <typename T>
T load_in_page(VcpuHeader& cpu, u64 va, u32 mode, bool stack) {
  TlbEntry& e = entry_for(cpu, va, Access::Read, mode, stack);
  const u64 tag = e.read.load(std::memory_order_relaxed);
  if (tag & kTlbWatchpoint) [[unlikely]] {
    cpu.runtime->debug_watch(va, sizeof(T), false);
    cpu.mmu->watchpoint_hit(cpu, va, sizeof(T), Access::Read);
  }
  if (tag & kTlbIo) {
    const u64 pa = cpu.soft_tlb->aux(va, mode).phys + page_offset(va);
    cpu.runtime->device_access(pa);
    if constexpr (sizeof(T) <= 8) {
      return static_cast<T>(io_load(cpu, pa, sizeof(T)));
    } else {
      const u64 lo = io_load(cpu, pa, 8);
      return static_cast<T>(io_load(cpu, pa + 8, 8)) << 64 | lo;
    }
  }
  return load_le<T>(reinterpret_cast<const void*>(va + e.addend));
}

// Watched page: tells the executor if code bytes change, keeps the dirty log, and drops the watch when nobody needs it.
template <typename T>
void store_watched(VcpuHeader& cpu, TlbEntry& e, u64 va, u32 mode, T value) {
  void* host = reinterpret_cast<void*>(va + e.addend);
  const u64 pa = cpu.soft_tlb->aux(va, mode).phys + page_offset(va);
  const AddressSpace::Flat* f = cpu.phys->find(pa);
  std::atomic<u8>& flags = cpu.phys->page_flags(*f, pa);
  u8 now = flags.load(std::memory_order_relaxed);
  const bool changes = load_le<T>(host) != value;
  if ((now & kPageCode) && changes) cpu.runtime->code_written(pa, sizeof(T));
  store_le<T>(host, value);
  if (changes) {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // who translates marks the page, then reads it
    if (flags.load(std::memory_order_relaxed) & kPageCode) cpu.runtime->code_changed(pa, sizeof(T));
  }
  if ((now & (kPageDirtyLog | kPageDirty)) == kPageDirtyLog) flags.fetch_or(kPageDirty);
  now = flags.load(std::memory_order_seq_cst);
  if (!(now & kPageCode) && (now & (kPageDirtyLog | kPageDirty)) != kPageDirtyLog) {
    e.write.fetch_and(~u64{kTlbWatchWrite}, std::memory_order_seq_cst);
    now = flags.load(std::memory_order_seq_cst);
    if ((now & kPageCode) || (now & (kPageDirtyLog | kPageDirty)) == kPageDirtyLog) e.write.fetch_or(kTlbWatchWrite);
  }
}

template <typename T>
void store_in_page(VcpuHeader& cpu, u64 va, T value, u32 mode, bool stack) {
  TlbEntry& e = entry_for(cpu, va, Access::Write, mode, stack);
  const u64 tag = e.write.load(std::memory_order_relaxed);
  if (tag & kTlbWatchpoint) [[unlikely]] {
    cpu.runtime->debug_watch(va, sizeof(T), true);
    cpu.mmu->watchpoint_hit(cpu, va, sizeof(T), Access::Write);
  }
  if (tag & kTlbIo) {
    const u64 pa = cpu.soft_tlb->aux(va, mode).phys + page_offset(va);
    cpu.runtime->device_access(pa);
    io_store(cpu, pa, static_cast<u64>(value), sizeof(T) > 8 ? 8 : sizeof(T));
    if constexpr (sizeof(T) > 8) io_store(cpu, pa + 8, static_cast<u64>(value >> 64), 8);
    return;
  }
  if (tag & kTlbWatchWrite) {
    store_watched<T>(cpu, e, va, mode, value);
    return;
  }
  store_le<T>(reinterpret_cast<void*>(va + e.addend), value);
}

}  // namespace

template <typename T>
T slow_load(VcpuHeader& cpu, u64 va, u32 mode, bool stack) {
  if (cpu.direct) return direct_load<T>(cpu, va, stack);
  if (page_offset(va) + sizeof(T) <= kPageSize) return load_in_page<T>(cpu, va, mode, stack);
  const u64 second = (va + sizeof(T) - 1) & kPageMask;
  entry_for(cpu, va, Access::Read, mode, stack);
  entry_for(cpu, second, Access::Read, mode, stack);
  T v = 0;
  for (unsigned i = 0; i < sizeof(T); i++)
    v = static_cast<T>(v | static_cast<T>(static_cast<T>(load_in_page<u8>(cpu, va + i, mode, stack)) << (8 * i)));
  return v;
}

template <typename T>
void slow_store(VcpuHeader& cpu, u64 va, T value, u32 mode, bool stack) {
  if (cpu.direct) return direct_store<T>(cpu, va, value, stack);
  if (page_offset(va) + sizeof(T) <= kPageSize) {
    store_in_page<T>(cpu, va, value, mode, stack);
    return;
  }
  const u64 second = (va + sizeof(T) - 1) & kPageMask;
  entry_for(cpu, va, Access::Write, mode, stack);
  entry_for(cpu, second, Access::Write, mode, stack);
  for (unsigned i = 0; i < sizeof(T); i++)
    store_in_page<u8>(cpu, va + i, static_cast<u8>(value >> (8 * i)), mode, stack);
}

template u8 slow_load<u8>(VcpuHeader&, u64, u32, bool);
template u16 slow_load<u16>(VcpuHeader&, u64, u32, bool);
template u32 slow_load<u32>(VcpuHeader&, u64, u32, bool);
template u64 slow_load<u64>(VcpuHeader&, u64, u32, bool);
template u128 slow_load<u128>(VcpuHeader&, u64, u32, bool);
template void slow_store<u8>(VcpuHeader&, u64, u8, u32, bool);
template void slow_store<u16>(VcpuHeader&, u64, u16, u32, bool);
template void slow_store<u32>(VcpuHeader&, u64, u32, u32, bool);
template void slow_store<u64>(VcpuHeader&, u64, u64, u32, bool);
template void slow_store<u128>(VcpuHeader&, u64, u128, u32, bool);

u8* host_pointer(VcpuHeader& cpu, u64 va, u64 length, Access access, u32 mode) {
  if (page_offset(va) + length > kPageSize) return nullptr;
  if (cpu.direct) {
    if (length) direct_probe(cpu, va, length, access);
    return direct_host(cpu, va, access);
  }
  TlbEntry& e = entry_for(cpu, va, access, mode, false);
  if (tag_of(e, access) != (va & kPageMask)) return nullptr;
  return reinterpret_cast<u8*>(va + e.addend);
}

void probe(VcpuHeader& cpu, u64 va, u64 length, Access access, u32 mode) {
  if (length == 0) return;
  if (cpu.direct) return direct_probe(cpu, va, length, access);
  for (u64 page = va & kPageMask, last = (va + length - 1) & kPageMask;; page += kPageSize) {
    entry_for(cpu, page < va ? va : page, access, mode, false);
    if (page == last) break;
  }
}

void exclusive(VcpuHeader& cpu, void (*body)(void*), void* context) { cpu.phys->run_exclusive(cpu, body, context); }

u8* phys_pointer(VcpuHeader& cpu, u64 pa, unsigned size) { return cpu.soft_tlb->ram(pa, size); }
u32 phys_load32(VcpuHeader& cpu, u64 pa) {
  u32 v = ~u32{0};
  if (const u8* p = cpu.phys->ram_pointer(pa, 4, false)) return load_le<u32>(p);
  v = static_cast<u32>(io_load(cpu, pa, 4));
  return v;
}
u64 phys_load64(VcpuHeader& cpu, u64 pa) {
  if (const u8* p = cpu.phys->ram_pointer(pa, 8, false)) return load_le<u64>(p);
  return io_load(cpu, pa, 8);
}
void phys_read(VcpuHeader& cpu, u64 pa, void* out, u64 size) { cpu.phys->read(pa, out, size); }
void phys_write(VcpuHeader& cpu, u64 pa, const void* data, u64 size) { cpu.phys->write(pa, data, size); }

}  // namespace doppel::mem

// VcpuHeader: the start of every guest CPU's state, at fixed offsets known to generated code, the soft TLB and helpers.
// One thread (the vCPU's) writes it, but for exit_request, which any thread may set.
#pragma once
#include <atomic>
#include <cstddef>

#include "base/bits.h"

namespace doppel::mem {

constexpr unsigned kPageBits = 12;
constexpr u64 kPageSize = u64{1} << kPageBits;
constexpr u64 kPageMask = ~(kPageSize - 1);
constexpr unsigned kTlbBits = 10;
constexpr size_t kTlbEntries = size_t{1} << kTlbBits;
constexpr unsigned kMmuModes = 3;  // a guest gives them meaning (x86: 0 supervisor, 1 user, 2 supervisor under SMAP)
constexpr unsigned kJumpCacheBits = 16;
constexpr size_t kJumpCacheEntries = size_t{1} << kJumpCacheBits;

// A tag is the page's address with bits 8..11 as flags; a comparison with a page-aligned address fails if any flag is
// set. The flags are above the bits that a check for alignment leaves in the address, so that a misaligned one never
// equals a tag.
enum TlbFlags : u64 { kTlbInvalid = 1 << 8, kTlbIo = 1 << 9, kTlbWatchWrite = 1 << 10, kTlbWatchpoint = 1 << 11 };
struct alignas(32) TlbEntry {
  std::atomic<u64> read{kTlbInvalid};
  std::atomic<u64> write{kTlbInvalid};
  std::atomic<u64> exec{kTlbInvalid};
  u64 addend = 0;  // host address = virtual address + addend
};
static_assert(sizeof(TlbEntry) == 32);

struct JumpCacheEntry {
  u64 pc = ~u64{0};
  u32 generation = 0;
  u32 code = 0;  // offset of the region's entry from code_base
};
static_assert(sizeof(JumpCacheEntry) == 16);
// Index of pc in the jump cache; the same formula is in generated code.
constexpr size_t jump_cache_index(u64 pc) { return (pc ^ (pc >> kJumpCacheBits)) & (kJumpCacheEntries - 1); }

class SoftTlb;
class AddressSpace;
class DirectMemory;
class MmuHooks;
class Runtime;

struct alignas(64) VcpuHeader {
  std::atomic<u32> exit_request{0};      // nonzero: leave generated code at the next region entry
  u32 jump_generation = 1;               // entries with another generation do not match
  TlbEntry* tlb = nullptr;               // the table of the current mode and address space: kTlbEntries
  JumpCacheEntry* jump_cache = nullptr;  // of the current mode
  u8* code_base = nullptr;               // of the code cache
  s64 icount_left = 0;                   // with -icount: instructions until the next event
  u64 entry_sp = 0;     // host stack pointer inside generated code; [entry_sp - 8] is the latest call's return address
  u32 fp_env = 0x1f80;  // floating-point environment in MXCSR form, exceptions masked while guest code runs
  u32 host_fp_env = 0x1f80;
  u64 exit_slot = 0;  // the link slot through which generated code was left
  u32 mmu_mode = 0;
  u32 index = 0;  // number of the vCPU
  SoftTlb* soft_tlb = nullptr;
  AddressSpace* phys = nullptr;
  MmuHooks* mmu = nullptr;         // the guest's page walker and fault delivery
  Runtime* runtime = nullptr;      // the executor
  DirectMemory* direct = nullptr;  // single programs: guest memory is the process's own; the tables stay empty
  u64 scratch[8] = {};             // for backends (spill of rare values) and helpers' second results
};

// What guest code asks of the executor that runs it. All calls on the vCPU's own thread.
class Runtime {
 public:
  virtual ~Runtime() = default;
  // Called inside a helper or a memory access made by generated code: sets the pc register from the side table.
  // Does nothing when no generated code is running.
  virtual void sync_pc() = 0;
  // Abandons the helper and the region, back to the vCPU loop. The state must be exact (sync_pc first).
  // The C++ frames that are left must own nothing.
  [[noreturn]] virtual void unwind() = 0;
  // Called by generated code at an exit that is neither linked nor in the jump cache, with the pc register set: the
  // host code to go on with, or null to return to the vCPU loop.
  virtual const u8* resume() { return nullptr; }
  // The guest changed mode, page tables or code mapping: the current jump cache's generation ends.
  virtual void flush_jump_cache() = 0;
  // Guest instructions executed so far on this vCPU (exact at instruction boundaries with -icount; else 0).
  virtual u64 icount() = 0;
  // A store by this vCPU is about to change [pa, pa+size) of a page that holds translated code. Drops what it overlaps;
  // when that is the region now running, unwinds (the instruction is then run again alone, so that it is exact).
  virtual void code_written(u64 pa, u64 size) = 0;
  // The store is done: what other vCPUs have translated from these bytes, or are translating now, goes. Never unwinds.
  virtual void code_changed(u64 pa, u64 size) { static_cast<void>(pa), static_cast<void>(size); }
  // A load or store by generated code is about to reach a device. With -icount it unwinds where the instruction is one
  // of several in its region, to run it again alone: what the device does to time and interrupts is then exact.
  virtual void device_access(u64 pa) { static_cast<void>(pa); }
  // A debugger's data watchpoint may cover the access. May unwind.
  virtual void debug_watch(u64 va, u32 size, bool write) = 0;
  // With VcpuHeader::direct, before a store the slow way: if code of the page is the reason, it goes. May unwind.
  virtual void direct_store(u64 va, u64 size) { static_cast<void>(va), static_cast<void>(size); }
};

}  // namespace doppel::mem

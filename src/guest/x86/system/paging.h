// The page walker by itself, so that the debugger and tests can use it: no state but the registers it is given.
#pragma once
#include "guest/x86/state.h"
#include "mem/guest_access.h"

namespace doppel::x86 {

enum class WalkKind : u8 { Read, Write, Exec, Debug /* no checks, no accessed and dirty bits */ };

struct WalkResult {
  bool ok = false;
  u64 phys = 0;  // of the 4 KiB page
  u64 page_size = mem::kPageSize;
  bool writable = false;  // by the access's privilege, whatever the dirty bit is
  bool executable = false;
  bool dirty = false;
  bool global = false;
  bool user = false;
  u32 error = 0;  // page-fault error code
  mem::TableEntry tables[4];
  unsigned table_count = 0;
};

// `mmu_mode` gives privilege and SMAP. Sets accessed bits, and the dirty bit for a write.
WalkResult walk(X86State& s, u64 va, WalkKind kind, u32 mmu_mode);

}  // namespace doppel::x86

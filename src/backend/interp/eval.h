// Running one region by the interpreter against memory that the caller supplies: for lockstep (a buffered memory beside
// the JIT) and for tests. No code cache, no soft TLB, no chaining. The meaning of each op is the interpreter backend's
// own.
#pragma once
#include "ir/ir.h"
#include "mem/vcpu_header.h"

namespace doppel::backend::interp {

// Guest memory as one region sees it. Values are byte strings in guest memory order, 1 to 16 bytes. Each returns false
// where the access would fault: the run ends there, with End::Fault and nothing more written.
class MemoryPort {
 public:
  virtual ~MemoryPort() = default;
  virtual bool load(u64 va, void* out, unsigned size, const ir::MemInfo& info) = 0;
  virtual bool store(u64 va, const void* data, unsigned size, const ir::MemInfo& info) = 0;
  virtual bool probe_write(u64 va, unsigned size, const ir::MemInfo& info) = 0;
};

enum class End : u8 {
  Exit,         // through an exit: pc is the target
  Loop,         // exit_loop: pc is what the pc register in the state holds
  Fault,        // an access faulted or was misaligned: pc is the instruction's; registers are exact
  Unsupported,  // the region calls a helper that may not run here; nothing was executed
};
struct RunResult {
  End end = End::Unsupported;
  u64 pc = 0;
  u32 insns = 0;     // instructions begun
  u16 op = 0;        // the op that ended the run
  u64 fault_va = 0;  // End::Fault: the address
};

// True if every helper the region calls has no effects besides `allowed` (kHelperFpEnv acts only on the header's
// fp_env).
bool can_run(const ir::Region& region, u32 allowed = ir::kHelperFpEnv);

// Runs `region` once from its start on `state` (the header at the start of a guest state laid out by region.layout:
// usually a copy). At End::Exit and End::Fault the pc register's row is set to `pc`. Helpers outside `allowed` give
// End::Unsupported before anything is done; allowed ones are called with `state`, and see only what they reach from it.
RunResult run_region(const ir::Region& region, mem::VcpuHeader& state, MemoryPort& memory,
                     u32 allowed = ir::kHelperFpEnv);

}  // namespace doppel::backend::interp

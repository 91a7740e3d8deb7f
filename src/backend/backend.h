// What a host backend gives to the executor: emit a region as relocatable host code, install it, link exits, and run.
// A region's code has two parts: what runs each time, and slow paths and the ends of unlinked exits, which seldom run.
// The second part goes elsewhere, so that what runs lies close together (host caches). Offsets count as if it came
// right after the first.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/ir.h"
#include "mem/vcpu_header.h"

namespace doppel::backend {

struct EmitConfig {
  bool icount = false;  // count instructions at the region's entry: header.icount_left -= insn_count, leave if negative
  bool chain = true;    // false: every exit returns to the vCPU loop (lockstep, single step)
  u32 icount_insns = 0;
};

// An exit to a known pc. While unlinked it returns to the vCPU loop with header.exit_slot = the slot's address; then
// the pc register in the state is `pc`. Linked, it jumps straight to the other region.
struct LinkSlot {
  u64 pc = 0;
  u32 patch = 0;           // offset in the region's code of what link() patches
  u32 stub = 0;            // what it holds while unlinked (the backend's own)
  u32 leave = 0;           // where the stub leaves for the vCPU loop (the backend's own)
  u16 recipe = 0;          // the flags row is stale when this exit is taken: recipe - 1 makes it exact (ir.h)
  u8 skip = 0;             // bytes at the start of the other region that link() jumps over: the exit has done the same
  bool chainable = false;  // same page: may be linked; else it goes through the jump cache and never needs a slot
  struct CodeBlock* from = nullptr;
  struct CodeBlock* to = nullptr;
  LinkSlot* next = nullptr;     // in to->incoming
  LinkSlot** holder = nullptr;  // what points at this one in that list
};

// With direct memory: the host instruction at `access` may fault; it then goes on at `slow`, which does the access by a
// call. Offsets in the region's code.
struct FaultRow {
  u32 access, slow;
};

struct PcMapRow {
  u32 host;
  u32 insn;
  u64 pc;
};  // host offset (of a call's return address) -> guest pc and instruction number

// Belongs to the backend and lasts until its next emit().
struct Emitted {
  std::span<const u8> code;  // position-independent until installed
  u32 hot_size = 0;          // of its first part
  // What install() resolves; it holds for every process of this build on this host (exec/code_store.h keeps it).
  enum class RelocKind : u32 {
    Thunk,       // rel32 to the thunk area + `to`
    Part,        // rel32 to offset `to`, in the other part of the code
    Link,        // 64 bits: the address of links[to]
    HelperLow,   // the lower half of the address of helper number `to`
    HelperHigh,  // the upper half
  };
  struct Reloc {
    u32 at;
    RelocKind kind;
    u32 to;
  };
  std::vector<Reloc> relocs;
  std::vector<LinkSlot> links;
  std::vector<PcMapRow> pc_map;  // ascending host offsets
  std::vector<FaultRow> faults;  // ascending
};

// An installed region. Owned by the code cache, as are the arrays it looks at.
struct CodeBlock {
  u64 pc = 0, mode = 0, base = 0;
  u64 phys = 0;              // physical address of its first byte
  u64 phys_page2 = ~u64{0};  // page of its second part if it straddles, else ~0
  u32 guest_bytes = 0;
  u32 insn_count = 0;
  u8* code = nullptr;               // entry
  u8* cold = nullptr;               // its second part
  u32 code_size = 0, hot_size = 0;  // of both parts, of the first
  bool valid = true;
  std::span<LinkSlot> links;
  LinkSlot* incoming = nullptr;  // slots of other regions that are linked to this one
  std::span<const PcMapRow> pc_map;
  std::span<const FaultRow> faults;
  std::span<const ir::FlagRecipe> recipes;
  std::span<const ir::RecipeOp> recipe_ops;
  std::unique_ptr<ir::Region> region;  // kept for the interpreter and for lockstep
  u64 executions = 0;

  u8* at(u32 offset) const { return offset < hot_size ? code + offset : cold + (offset - hot_size); }
  // Of an address in its code, or right behind one of the parts.
  u32 offset_of(const u8* address) const {
    const bool hot = address >= code && address <= code + hot_size;
    return hot ? static_cast<u32>(address - code) : hot_size + static_cast<u32>(address - cold);
  }
};

enum class ExitReason : u8 {
  Lookup,   // pc in the state: find the next region (indirect exit that missed)
  Link,     // as Lookup, through header.exit_slot: may be linked
  Loop,     // exit_loop: look at everything anew
  Request,  // exit_request was set (pc in the state: the region's own, nothing of it executed)
  Icount,   // icount_left ran out at the region's entry (nothing of it executed)
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual const Emitted& emit(const ir::Region& region, const EmitConfig& config) = 0;
  // Copies `code` to where the block's parts are (executable and writable) and resolves relocations. `block.links` has
  // its final addresses.
  virtual void install(std::span<const u8> code, std::span<const Emitted::Reloc> relocs, CodeBlock& block) = 0;
  void install(const Emitted& emitted, CodeBlock& block) { install(emitted.code, emitted.relocs, block); }
  // What emitted code depends on but the region: the same number, the same code. 0: its code can't be kept.
  virtual u64 code_identity() const { return 0; }
  virtual void link(LinkSlot& slot, CodeBlock& to) = 0;
  virtual void unlink(LinkSlot& slot) = 0;
  // For a target that may not be linked (it straddles two pages, whose mapping may change): from now on the exit looks
  // the jump cache up before it returns to the vCPU loop, and is no `Link` any more. For good.
  virtual void link_by_jump_cache(LinkSlot& slot) = 0;
  // Runs from `block` until something ends it. Guest faults leave by Runtime::unwind.
  virtual ExitReason enter(mem::VcpuHeader& cpu, CodeBlock& block) = 0;
  // The host code as text, for -d out_asm.
  virtual std::string disassemble(const u8* code, size_t size, u64 address) const = 0;
  // Registers pinned for this guest's layout (for docs, `info jit`).
  virtual std::string describe() const = 0;
  // The return address of the call that left generated code for a helper, or null when the interpreter runs (see
  // current_block).
  virtual const u8* return_address(const mem::VcpuHeader& cpu) const = 0;
  // The interpreter's way: the region and the instruction being executed; null for compiled code.
  virtual CodeBlock* current_block(const mem::VcpuHeader& cpu, u64& pc, u32& insn) const = 0;
};

struct BackendConfig {
  const ir::StateLayout* layout = nullptr;
  const ir::HelperTable* helpers = nullptr;
  int max_pinned = -1;       // -1: as many as the host likes; 0: none (tested)
  u8* thunk_area = nullptr;  // 64 KiB of executable memory at the start of the code cache, for thunks
  size_t thunk_size = 0;
  // Guest addresses are host addresses: no soft TLB (mem/direct_memory.h); exits to any page may be linked.
  bool direct = false;
};
std::unique_ptr<Backend> make_interp_backend(const BackendConfig& config);
std::unique_ptr<Backend> make_x64_backend(const BackendConfig& config);

}  // namespace doppel::backend

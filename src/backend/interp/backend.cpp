// The interpreter backend: runs a region's ops as they are. It is the host for CPUs without a code generator, and the
// oracle for those with one: what it does is what an op means (integer and flags ops: ir/evaluate.h).
//
// The "host code" of a region is a small header, so that the code cache and the executor treat it as any other. Regions
// linked to each other run on without leaving enter(). header.entry_sp points to the Running record while enter() runs;
// the executor knows whether it does (after an unwind the pointer is stale).
#include "backend/backend.h"

#include <cstring>

#include "backend/interp/guest_memory.h"
#include "ir/recipe.h"

namespace doppel::backend {
namespace interp {

namespace {

struct BlockCode {
  u32 insn_count;
  u8 icount;
  u8 chain;
  u8 pad[2];
};

class InterpBackend final : public Backend {
 public:
  explicit InterpBackend(const BackendConfig& config) : layout_(*config.layout) {}

  std::string name() const override { return "interp"; }
  std::string describe() const override { return "interpreter (portable; no pinned registers)"; }
  std::string disassemble(const u8* code, size_t size, u64) const override {
    if (size < sizeof(BlockCode)) return "";
    const BlockCode head = load_head(code);
    return "interpreted: " + std::to_string(head.insn_count) + " instructions" + (head.icount ? ", counted" : "") +
           (head.chain ? ", linked\n" : "\n");
  }
  const u8* return_address(const mem::VcpuHeader&) const override { return nullptr; }

  CodeBlock* current_block(const mem::VcpuHeader& cpu, u64& pc, u32& insn) const override {
    if (cpu.entry_sp == 0) return nullptr;
    const Running& running =
        *reinterpret_cast<const Running*>(cpu.entry_sp);  // SAFETY: set by enter(), which is running
    pc = running.pc;
    insn = running.insn;
    return running.block;
  }

  const Emitted& emit(const ir::Region& region, const EmitConfig& config) override {
    out_.links.clear();
    head_ = {config.icount_insns ? config.icount_insns : region.insn_count, config.icount, config.chain, {}};
    out_.code = {reinterpret_cast<const u8*>(&head_), sizeof head_};  // SAFETY: bytes of a trivial struct
    for (size_t i = 0; i < region.ops.size(); i++) {
      const ir::Op& op = region.ops[i];
      if (op.code != Opcode::exit_cc && op.code != Opcode::exit_if && op.code != Opcode::exit_direct) continue;
      LinkSlot slot;
      slot.pc = op.imm;
      slot.patch = static_cast<u32>(i);
      slot.chainable = config.chain && (op.aux & 1);
      slot.recipe = static_cast<u16>(ir::exit_recipe(op));
      out_.links.push_back(slot);
    }
    out_.hot_size = static_cast<u32>(out_.code.size());
    return out_;
  }

  void install(std::span<const u8> code, std::span<const Emitted::Reloc>, CodeBlock& block) override {
    std::memcpy(block.code, code.data(), code.size());
  }
  void link(LinkSlot& slot, CodeBlock& to) override { slot.to = &to; }
  void unlink(LinkSlot& slot) override { slot.to = nullptr; }
  void link_by_jump_cache(LinkSlot&) override {}

  ExitReason enter(mem::VcpuHeader& cpu, CodeBlock& first) override {
    Running running;
    cpu.entry_sp = reinterpret_cast<u64>(&running);
    cpu.exit_slot = 0;
    const ExitReason reason = run(cpu, first, running);
    cpu.entry_sp = 0;
    return reason;
  }

 private:
  static BlockCode load_head(const u8* code) {
    BlockCode head;
    std::memcpy(&head, code, sizeof head);
    return head;
  }

  ExitReason run(mem::VcpuHeader& cpu, CodeBlock& first, Running& running) {
    Frame& frame = thread_frame();
    GuestMemory memory(cpu);
    for (CodeBlock* block = &first;;) {
      const BlockCode head = load_head(block->code);
      running = {block->pc, 0, block};
      if (cpu.exit_request.load(std::memory_order_relaxed)) {
        set_pc_row(layout_, cpu, block->pc);
        return ExitReason::Request;
      }
      if (head.icount) {
        if (cpu.icount_left < static_cast<s64>(head.insn_count)) {
          set_pc_row(layout_, cpu, block->pc);
          return ExitReason::Icount;
        }
        cpu.icount_left -= head.insn_count;
      }
      block->executions++;
      const Stop stop = Executor(*block->region, cpu, frame, memory, running).run();
      cpu.exit_slot = 0;
      // What was counted at the entry but lies behind a side exit was not executed.
      if (head.icount && running.insn + 1 < head.insn_count) cpu.icount_left += head.insn_count - (running.insn + 1);
      if (stop.kind == StopKind::Loop) return ExitReason::Loop;
      set_pc_row(layout_, cpu, stop.pc);
      if (stop.kind == StopKind::Indirect) return ExitReason::Lookup;
      LinkSlot& slot = block->links[stop.exits];
      if (slot.recipe) cpu.exit_slot = reinterpret_cast<u64>(&slot);  // for who stops it before the flags are written
      if (!slot.chainable || !block->valid) return ExitReason::Lookup;
      if (!slot.to) {
        cpu.exit_slot = reinterpret_cast<u64>(&slot);
        return ExitReason::Link;
      }
      // With icount the executor must know which region runs: it counts back when one is abandoned.
      if (head.icount || !slot.to->valid) return ExitReason::Lookup;
      block = slot.to;
    }
  }

  const ir::StateLayout& layout_;
  BlockCode head_{};
  Emitted out_;
};

}  // namespace
}  // namespace interp

std::unique_ptr<Backend> make_interp_backend(const BackendConfig& config) {
  return std::make_unique<interp::InterpBackend>(config);
}

}  // namespace doppel::backend

// run_region: see eval.h.
#include "backend/interp/eval.h"

#include <memory>

#include "backend/interp/execute.h"
#include "ir/recipe.h"

namespace doppel::backend::interp {
namespace {

class PortMemory {
 public:
  explicit PortMemory(MemoryPort& port) : port_(port) {}
  template <typename T>
  bool load(u64 va, const ir::MemInfo& m, T& out) {
    if (m.rmw && !port_.probe_write(va, sizeof(T), m)) return false;
    u8 bytes[sizeof(T)] = {};
    if (!port_.load(va, bytes, sizeof(T), m)) return false;
    out = load_le<T>(bytes);
    return true;
  }
  template <typename T>
  bool store(u64 va, const ir::MemInfo& m, T value) {
    u8 bytes[sizeof(T)];
    store_le<T>(bytes, value);
    return port_.store(va, bytes, sizeof(T), m);
  }
  template <typename T, typename F>
  bool modify(u64 va, const ir::MemInfo& m, F next, T& old) {
    return port_.probe_write(va, sizeof(T), m) && load(va, m, old) && store(va, m, static_cast<T>(next(old)));
  }
  bool probe_write(u64 va, const ir::MemInfo& m) { return port_.probe_write(va, m.probe_bytes, m); }
  bool misaligned(u64, bool) { return false; }
  void fence() {}

 private:
  MemoryPort& port_;
};

void make_flags_exact(const ir::Region& region, mem::VcpuHeader& state, const Stop& stop, u32 insn) {
  const ir::FlagRecipe* recipe = nullptr;
  if (stop.kind == StopKind::Fault) recipe = ir::recipe_at(region.recipes, insn);
  if (stop.kind == StopKind::Direct && ir::exit_recipe(region.ops[stop.op]))
    recipe = &region.recipes[ir::exit_recipe(region.ops[stop.op]) - 1];
  if (!recipe) return;
  u8* at = state_at(state, 0);
  const std::span<const ir::RecipeOp> ops(region.recipe_ops.data() + recipe->begin, recipe->count);
  ir::store_flags(*region.layout, at, ir::evaluate_recipe(ops, *region.layout, at));
}

}  // namespace

Frame& thread_frame() {
  thread_local std::unique_ptr<Frame> frame = std::make_unique<Frame>();
  return *frame;  // NOLINT(clang-analyzer-cplusplus.NewDelete): it lives as long as the thread
}

bool can_run(const ir::Region& region, u32 allowed) {
  for (const Op& op : region.ops) {
    if (op.code != Opcode::call) continue;
    if (!region.helpers || op.aux >= region.helpers->count || (region.helpers->rows[op.aux].effects & ~allowed))
      return false;
  }
  return true;
}

RunResult run_region(const ir::Region& region, mem::VcpuHeader& state, MemoryPort& port, u32 allowed) {
  RunResult result;
  if (!can_run(region, allowed)) return result;
  PortMemory memory(port);
  Running running;
  const Stop stop = Executor(region, state, thread_frame(), memory, running).run();
  make_flags_exact(region, state, stop, running.insn);
  result.op = stop.op;
  result.insns = running.insn + 1;
  switch (stop.kind) {
    case StopKind::Direct:
    case StopKind::Indirect:
      result.end = End::Exit;
      result.pc = stop.pc;
      break;
    case StopKind::Fault:
      result.end = End::Fault;
      result.pc = running.pc;
      result.fault_va = stop.pc;
      break;
    case StopKind::Loop: {
      const ir::RegRow& row = region.layout->rows[region.layout->pc];
      result.end = End::Loop;
      result.pc = read_int(state_at(state, row.offset), ir::type_bytes(row.type));
      return result;
    }
  }
  set_pc_row(*region.layout, state, result.pc);
  return result;
}

}  // namespace doppel::backend::interp

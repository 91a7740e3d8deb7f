#include "exec/translate.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "base/log.h"
#include "exec/code_store.h"
#include "exec/page_reader.h"

namespace doppel::exec {

Translator::Translator(guest::GuestCpu& cpu, mem::SoftTlb& tlb, mem::AddressSpace& memory, const Config& config)
    : cpu_(cpu), tlb_(tlb), memory_(memory), config_(config) {}

Translator::~Translator() {
  if (perf_) std::fclose(perf_);
}

Status Translator::create() {
  if (Status s = cache_.create(config_.code_cache_bytes); !s) return s;
  if (config_.direct && config_.direct->base != 0 && !config_.interpreter)
    return Error{"guest memory is not at its own addresses", "run it with the interpreter"};
  backend::BackendConfig bc{&cpu_.frontend().layout(), &cpu_.frontend().helpers(), config_.max_pinned,
                            cache_.thunk_area(),       CodeCache::kThunkBytes,     config_.direct != nullptr};
  interp_ = backend::make_interp_backend(bc);
  backend_ = config_.interpreter ? backend::make_interp_backend(bc) : backend::make_x64_backend(bc);
  use_store_ = config_.store && config_.store->open(store_identity());
  cpu_.header().code_base = cache_.base();
  if (config_.perf_map) perf_ = std::fopen(("/tmp/perf-" + std::to_string(getpid()) + ".map").c_str(), "a");
  return success();
}

namespace {
// Only a linked exit looks for requests by itself, and makes the flags exact when there is one.
void make_exits_exact(ir::Region& region) {
  for (ir::Op& op : region.ops)
    if (op.code == ir::Opcode::exit_cc || op.code == ir::Opcode::exit_if || op.code == ir::Opcode::exit_direct)
      op.aux &= ~2u;
}
}  // namespace

Installed* Translator::compile(const RegionKey& key, u64 linear, const CompileOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  PageReader reader(cpu_.header(), tlb_, memory_, &before_reading, config_.direct);
  const bool stored = may_be_stored(options);
  if (stored)
    if (Installed* block = load(key, reader)) return block;
  ir::Region& region = scratch_;
  guest::TranslateRequest request{key.pc, key.mode & ~kOneShotMode, key.base, &reader, {}};
  request.limits = {options.single ? 1 : std::min(config_.max_insns, options.max_insns), options.single,
                    config_.icount};
  for (;;) {
    region.clear();
    cpu_.frontend().translate(request, region);
    if (breakpoints.empty() || region.insn_count <= 1) break;
    u32 before = 0;  // instructions before the first breakpoint inside
    for (const ir::Op& op : region.ops) {
      if (op.code != ir::Opcode::insn || op.sub != 0) continue;
      if (before > 0 && breakpoints.contains(op.imm + key.base)) break;
      before++;
    }
    if (before == region.insn_count) break;
    request.limits.max_insns = before;
  }
  region.pc = key.pc;
  region.mode = key.mode;
  region.layout = &cpu_.frontend().layout();
  region.helpers = &cpu_.frontend().helpers();
  if (!options.chain || config_.icount || !breakpoints.empty()) make_exits_exact(region);
  counters_.ir_ops += region.ops.size();
  const bool dump = dumping(linear);
  if (dump && log_on(LogItem::InAsm)) dump_guest(region, key.base);
  if (dump && log_on(LogItem::Ir)) log_write(ir::dump(region) + "\n");
  const bool optimise = config_.limit < 0 || static_cast<s64>(counters_.regions) < config_.limit;
  ir::run_pipeline(region, optimise ? config_.opt : ir::OptFlags::none());
  if (dump && log_on(LogItem::IrOpt)) log_write(ir::dump(region) + "\n");

  backend::EmitConfig emit{config_.icount, options.chain, region.insn_count};
  const backend::Emitted& host = backend_->emit(region, emit);
  const CodeCache::Space at = cache_.allocate(std::max(host.hot_size, 1u), host.code.size() - host.hot_size);
  if (!at.code) return nullptr;
  Installed& block = keep(region, key, host, at);
  collect_extents(region, reader, key.base);
  collect_ranges(reader, block);
  backend_->install(host, block);
  if (stored) put_in_store(block, host, reader);

  counters_.regions++;
  counters_.guest_insns += region.insn_count;
  counters_.guest_bytes += region.guest_bytes;
  counters_.ir_ops_opt += region.ops.size();
  counters_.host_bytes += host.code.size();
  counters_.hot_bytes += host.hot_size;
  if (dump && log_on(LogItem::OutAsm)) dump_host(block);
  if (perf_) write_perf_map(block);
  counters_.translate_ns += static_cast<u64>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count());
  return &block;
}

Installed& Translator::begin_block(const RegionKey& key, const CodeCache::Space& at, u32 hot_size, size_t code_size) {
  Installed& block = cache_.create_block();
  block.pc = key.pc;
  block.mode = key.mode;
  block.base = key.base;
  block.phys = key.phys;
  block.code = at.code;
  block.cold = at.cold;
  block.hot_size = hot_size;
  block.code_size = static_cast<u32>(code_size);
  return block;
}

// The region's facts, and copies of its arrays in the cache's own memory.
Installed& Translator::keep(const ir::Region& region, const RegionKey& key, const backend::Emitted& host,
                            const CodeCache::Space& at) {
  Installed& block = begin_block(key, at, host.hot_size, host.code.size());
  block.guest_bytes = region.guest_bytes;
  block.insn_count = region.insn_count;
  block.links = cache_.arena().copy(std::span<const backend::LinkSlot>(host.links));
  block.pc_map = cache_.arena().copy(std::span<const backend::PcMapRow>(host.pc_map));
  block.faults = cache_.arena().copy(std::span<const backend::FaultRow>(host.faults));
  block.recipes = cache_.arena().copy(std::span<const ir::FlagRecipe>(region.recipes));
  block.recipe_ops = cache_.arena().copy(std::span<const ir::RecipeOp>(region.recipe_ops));
  for (backend::LinkSlot& l : block.links) l.from = &block;
  if (config_.interpreter || config_.lockstep) block.region = std::make_unique<ir::Region>(region);
  return block;
}

namespace {
void add_range(std::vector<CodeRange>& ranges, u64 first, u64 last) {
  if (!ranges.empty() && ranges.back().last + 1 == first)
    ranges.back().last = last;
  else
    ranges.push_back({first, last});
}
}  // namespace

// Which linear addresses the instructions came from, and what else was looked at; neighbours merge.
void Translator::collect_extents(const ir::Region& region, const PageReader& reader, u64 base) {
  extents_.clear();
  for (const ir::Op& op : region.ops) {
    if (op.code != ir::Opcode::insn || op.aux == 0) continue;
    u64 linear = op.imm + base;
    if (reader.phys_of(linear) == ~u64{0}) linear &= 0xffffffffu;
    add_range(extents_, linear, linear + op.aux - 1);
  }
  for (const ir::LookedAt& l : region.looked_at) {
    u64 linear = l.pc + base;
    if (reader.phys_of(linear) == ~u64{0}) linear &= 0xffffffffu;
    add_range(extents_, linear, linear + l.bytes - 1);
  }
}

// Which physical bytes that is.
void Translator::collect_ranges(const PageReader& reader, Installed& block) {
  ranges_.clear();
  for (const CodeRange& e : extents_) {
    for (u64 from = e.first;;) {
      const u64 to = std::min(e.last, from | (mem::kPageSize - 1));
      u64 phys = reader.phys_of(from);
      if (phys == ~u64{0}) phys = reader.phys_of(from & 0xffffffffu);
      if (phys != ~u64{0}) {
        add_range(ranges_, phys, phys + (to - from));
        if (from != e.first) block.phys_page2 = phys & mem::kPageMask;
      }
      if (to == e.last) break;
      from = to + 1;
    }
  }
  block.ranges = cache_.arena().copy(std::span<const CodeRange>(ranges_));
}

void Translator::dump_guest(const ir::Region& region, u64 base) {
  PageReader reader(cpu_.header(), tlb_, memory_, nullptr, config_.direct);
  std::string text = "----------------\nIN:\n";
  char line[64];
  for (const ir::Op& op : region.ops) {
    if (op.code != ir::Opcode::insn || op.sub != 0) continue;
    for (u64 pc = op.imm, end = op.imm + std::max(op.aux, 1u); pc < end;) {  // with its delay slot
      u8 bytes[16];
      const size_t n = reader.fetch(pc + base, bytes, sizeof bytes);
      std::string insn;
      const size_t length = n > 0 ? cpu_.frontend().disassemble(bytes, n, pc, region.mode, insn) : 1;
      std::snprintf(line, sizeof line, "0x%08llx:  ", static_cast<unsigned long long>(pc));
      text += line + insn + "\n";
      pc += length;
    }
  }
  log_write(text + "\n");
}

void Translator::dump_host(const Installed& block) {
  char head[80];
  std::snprintf(head, sizeof head, "OUT: [size=%u] pc 0x%llx\n", block.code_size,
                static_cast<unsigned long long>(block.pc));
  log_write(head + host_listing(block) + "\n");
}

std::string Translator::host_listing(const Installed& block) const {
  const u32 cold_size = block.code_size - block.hot_size;
  std::string text = backend_->disassemble(block.code, block.hot_size, reinterpret_cast<u64>(block.code));
  if (cold_size != 0) text += backend_->disassemble(block.cold, cold_size, reinterpret_cast<u64>(block.cold));
  return text;
}

void Translator::write_perf_map(const Installed& block) {
  const auto line = [&](const u8* code, u32 size, const char* kind) {
    std::fprintf(perf_, "%llx %x guest_%llx%s\n", static_cast<unsigned long long>(reinterpret_cast<u64>(code)), size,
                 static_cast<unsigned long long>(block.pc + block.base), kind);
  };
  line(block.code, block.hot_size, "");
  if (block.code_size != block.hot_size) line(block.cold, block.code_size - block.hot_size, "_slow");
  std::fflush(perf_);
}

}  // namespace doppel::exec

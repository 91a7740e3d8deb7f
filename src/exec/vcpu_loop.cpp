// The vCPU loop. Read step() first. Traps:
// - unwind() longjmps to run(): nothing between it and the fault may own a resource.
// - A store into the code of any vCPU ends that code before the store is done; the storing instruction is run again
// alone, so
//   that code that changes the very instructions after it behaves as on hardware.
// - exit_request is cleared before the requests are looked at, never after.
#include "exec/vcpu_loop.h"

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "exec/lockstep.h"
#include "ir/recipe.h"

namespace doppel::exec {

using backend::ExitReason;
using backend::LinkSlot;

VcpuLoop::VcpuLoop(guest::GuestCpu& cpu, mem::AddressSpace& memory, CodePages& pages, const Config& config)
    : cpu_(cpu),
      h_(cpu.header()),
      memory_(memory),
      pages_(pages),
      config_(config),
      tlb_(h_, memory, {config.opt.spaces && !config.direct, config.opt.victims && !config.direct}),
      translator_(cpu, tlb_, memory, config_) {
  h_.runtime = this;
  h_.direct = config.direct;
}

VcpuLoop::~VcpuLoop() {
  if (config_.direct) flush_code();
  pages_.remove(h_.index);
}

Status VcpuLoop::create() {
  pages_.add_listener({h_.index, [this](u64 pa, u64 size) { post_invalidate(pa, size); }});
  {
    std::lock_guard alone(pages_.exclusive_lock);
    pages_.members.push_back({&in_guest_, [this] { kick(); }, h_.index});
  }
  memory_.exclusive_hook = [](mem::VcpuHeader& cpu, void (*body)(void*), void* context) {
    static_cast<VcpuLoop*>(cpu.runtime)->run_exclusive(body, context);
  };
  translator_.before_reading = [this](u64 page) {
    pages_.set(page, h_.index, ~u64{0});
    reading_.push_back(page);
  };
  return translator_.create();
}

// --- requests from other threads

void VcpuLoop::post_invalidate(u64 pa, u64 size) {
  {
    std::lock_guard lock(post_lock_);
    posted_.push_back({pa, pa + size - 1});
  }
  kick();
}

void VcpuLoop::post_flush_tlb() {
  {
    std::lock_guard lock(post_lock_);
    posted_flush_ = true;
  }
  kick();
}

void VcpuLoop::handle_requests() {
  translator_.counters().requests++;
  tlb_.at_safe_point();
  std::vector<CodeRange> ranges;
  bool flush = false;
  {
    std::lock_guard lock(post_lock_);
    ranges.swap(posted_);
    flush = std::exchange(posted_flush_, false);
  }
  for (const CodeRange& r : ranges) invalidate(r.first, r.last - r.first + 1);
  if (flush) tlb_.flush_all();
  if (hooks.run_work) hooks.run_work();
}

// --- exclusive sections

void VcpuLoop::wait_while_exclusive() {
  while (pages_.exclusive_pending.load(std::memory_order_seq_cst)) {
    in_guest_.store(false, std::memory_order_seq_cst);
    { std::lock_guard wait(pages_.exclusive_lock); }
    in_guest_.store(true, std::memory_order_seq_cst);
  }
}

void VcpuLoop::run_exclusive(void (*body)(void*), void* context) {
  in_guest_.store(false, std::memory_order_seq_cst);  // at a safe point: another one may run its section now
  pages_.exclusive_lock.lock();
  exclusive_ = true;
  pages_.exclusive_pending.store(true, std::memory_order_seq_cst);
  for (const CodePages::Member& m : pages_.members) {
    if (m.index == h_.index) continue;
    m.kick();
    while (m.in_guest->load(std::memory_order_seq_cst)) std::this_thread::yield();
  }
  body(context);
  end_exclusive();
  in_guest_.store(true, std::memory_order_seq_cst);
  wait_while_exclusive();
}

// Also on the way out of a body that unwinds: a store into code does.
void VcpuLoop::end_exclusive() {
  if (!std::exchange(exclusive_, false)) return;
  pages_.exclusive_pending.store(false, std::memory_order_seq_cst);
  pages_.exclusive_lock.unlock();
}

// --- code

namespace {
// A slot in its region's list, and out of it.
void attach(LinkSlot& slot, backend::CodeBlock& to) {
  slot.to = &to;
  slot.next = to.incoming;
  slot.holder = &to.incoming;
  if (slot.next) slot.next->holder = &slot.next;
  to.incoming = &slot;
}
void detach(LinkSlot& slot) {
  if (!slot.to) return;
  *slot.holder = slot.next;
  if (slot.next) slot.next->holder = slot.holder;
  slot.to = nullptr;
  slot.next = nullptr;
}
}  // namespace

void VcpuLoop::drop(Installed& block) {
  for (LinkSlot* in = block.incoming; in; in = std::exchange(in->next, nullptr)) {
    translator_.backend().unlink(*in);
    in->to = nullptr;
  }
  block.incoming = nullptr;
  for (LinkSlot& out : block.links) detach(out);
  tlb_.remove_jump(block.pc, static_cast<u32>(block.code - h_.code_base));
  translator_.counters().invalidated++;
}

void VcpuLoop::invalidate(u64 pa, u64 size) {
  if (!translator_.cache().invalidate(pa, size, [this](Installed& b) { drop(b); })) return;
  for (u64 page = pa >> mem::kPageBits; page <= (pa + size - 1) >> mem::kPageBits; page++)
    pages_.set(page, h_.index, translator_.cache().granules(page));
}

void VcpuLoop::flush_code() {
  const std::vector<u64> pages = translator_.cache().pages();
  translator_.cache().flush();
  for (const u64 page : pages) pages_.set(page, h_.index, 0);
  tlb_.end_generation();
  h_.exit_slot = 0;
  running_ = nullptr;
}

void VcpuLoop::drop_all() {
  flush_code();
  tlb_.flush_all();
  one_shot_ = device_shot_ = at_breakpoint_ = false;
}

void VcpuLoop::code_written(u64 pa, u64 size) {
  if (!pages_.overlaps(pa, size)) return;
  const u64 before = translator_.counters().invalidated;
  invalidate(pa, size);
  if (translator_.counters().invalidated == before || !in_code_ || (running_ && running_->mode & kOneShotMode)) return;
  translator_.counters().smc_restarts++;
  sync_pc();
  one_shot_ = true;
  unwind();
}

void VcpuLoop::code_changed(u64 pa, u64 size) {
  if (pages_.overlaps(pa, size, h_.index)) pages_.notify_others(h_.index, pa, size);
}

// Into the jump cache. A region that straddles pages is there as long as both of their mappings.
void VcpuLoop::remember_jump(const Installed& block, u64 linear) {
  u64 last = linear;
  if (block.phys_page2 != ~u64{0} && !config_.direct) {
    last = (linear & mem::kPageMask) + mem::kPageSize;
    const u64 tag = tlb_.entry(last, h_.mmu_mode).exec.load(std::memory_order_relaxed);
    if ((tag & (mem::kPageMask | mem::kTlbInvalid)) != last) return;
  }
  tlb_.insert_jump(cpu_.pc(), linear, last, static_cast<u32>(block.code - h_.code_base));
}

void VcpuLoop::device_access(u64 pa) {
  if (!config_.icount || !in_code_) return;
  const mem::AddressSpace::Flat* f = memory_.find(pa);
  if (f && !f->io) return;  // ROM, or a small window of RAM
  u64 pc;
  u32 insn;
  Installed* block;
  if (!locate(pc, insn, block) || block->insn_count == 1) return;
  cpu_.set_pc(pc);
  device_shot_ = true;
  unwind();
}

// The memory behind a page of code that is in the TLB.
const u8* VcpuLoop::host_page(u64 linear) {
  const u64 page = linear & mem::kPageMask;
  // SAFETY: the addend of a page of RAM or ROM leads to host memory.
  return reinterpret_cast<const u8*>(page + tlb_.entry(page, h_.mmu_mode).addend);
}

// Where code at `linear` is in memory: false if it can't be fetched. `memory`: what is made from it may be kept.
bool VcpuLoop::place(u64 linear, u64& phys, bool& memory) {
  phys = linear;
  memory = true;
  if (config_.direct) return true;  // what can't be fetched is found when it is translated
  const mem::TlbEntry* e = tlb_.executable(linear);
  memory = e && !(e->exec.load(std::memory_order_relaxed) & mem::kTlbIo);
  phys = e ? tlb_.aux(linear, h_.mmu_mode).phys + (linear & (mem::kPageSize - 1)) : ~u64{0};
  return e != nullptr;
}

// The region at a position if it is known and both of its pages are mapped as they were. Other memory may be at their
// physical addresses by now: shadow RAM in a ROM's place, SMRAM, a window of a device. Regions of one page that are
// linked to each other are of the same memory.
Installed* VcpuLoop::find(const guest::CodePosition& at, u64 phys) {
  Installed* block = translator_.cache().find({phys, at.pc, at.mode, at.base});
  if (!block || config_.direct) return block;
  if (block->host[0] != host_page(at.linear)) {
    invalidate(phys & mem::kPageMask, mem::kPageSize);
    return nullptr;
  }
  if (block->phys_page2 == ~u64{0}) return block;
  const u64 next = (at.linear & mem::kPageMask) + mem::kPageSize;
  if (tlb_.executable(next) && tlb_.aux(next, h_.mmu_mode).phys == block->phys_page2 &&
      block->host[1] == host_page(next))
    return block;
  drop(*block);
  translator_.cache().remove(*block);
  return nullptr;
}

// A new region's memory; regions of what was at its pages' addresses before go.
void VcpuLoop::claim(Installed& block, u64 linear) {
  block.host[0] = host_page(linear);
  if (block.phys_page2 != ~u64{0}) block.host[1] = host_page(linear + mem::kPageSize);
  for (const unsigned i : {0u, 1u}) {
    const u64 page = (i == 0 ? block.phys : block.phys_page2) & mem::kPageMask;
    const u8* known = block.host[i] ? translator_.cache().host(page >> mem::kPageBits) : nullptr;
    if (known && known != block.host[i]) invalidate(page, mem::kPageSize);
  }
}

Installed& VcpuLoop::compile(const RegionKey& key, u64 linear, CompileOptions options, bool& keyed) {
  reading_.clear();
  Installed* block = translator_.compile(key, linear, options);
  if (!block) {
    flush_code();
    block = translator_.compile(key, linear, options);
    ASSERT_MSG(block, "a region larger than the code cache");
  }
  keyed = keyed && !block->ranges.empty();  // without: it raises a fetch fault, which may not happen the next time
  if (keyed && !config_.direct) claim(*block, linear);
  translator_.cache().add(*block, keyed);
  for (const u64 page : reading_) pages_.set(page, h_.index, translator_.cache().granules(page));
  return *block;
}

Installed* VcpuLoop::lookup(bool single, bool keyed, u32 max_insns) {
  guest::CodePosition at{cpu_.pc(), cpu_.linear_pc(), cpu_.mode(), cpu_.code_base()};
  if (single) at.mode |= kOneShotMode;
  translator_.counters().lookups++;
  const bool chained = config_.opt.chain && !config_.lockstep;
  // Where is it in memory? A fetch fault is raised by the region that can't be fetched: phys ~0, never kept.
  u64 phys;
  bool memory;
  place(at.linear, phys, memory);
  keyed = keyed && memory;
  Installed* block = keyed ? find(at, phys) : nullptr;
  if (!block) {
    const CompileOptions options{single, keyed, chained && !single, max_insns};
    block = &compile({phys, at.pc, at.mode, at.base}, at.linear, options, keyed);
  }
  const bool breakpoint = !translator_.breakpoints.empty() && translator_.breakpoints.contains(at.linear);
  if (keyed && !single && !config_.interpreter && chained && !breakpoint) remember_jump(*block, at.linear);
  return block;
}

const u8* VcpuLoop::resume() {
  guest::CodePosition at;
  if (!may_resume_ || h_.exit_request.load(std::memory_order_relaxed) || !cpu_.goes_on(at)) return nullptr;
  translator_.counters().resumes++;
  tlb_.select_jump_cache(at.mode, at.base);
  if (const u32 code = tlb_.find_jump(at.pc)) return h_.code_base + code;
  translator_.counters().lookups++;
  u64 phys;
  bool memory;
  if (!place(at.linear, phys, memory) || !memory) return nullptr;
  Installed* block = find(at, phys);
  if (!block) return nullptr;
  remember_jump(*block, at.linear);
  return block->code;
}

// --- where generated code was when it called out

bool VcpuLoop::locate(u64& pc, u32& insn, Installed*& block) {
  if (!in_code_) return false;
  backend::Backend& b = translator_.backend();
  if (backend::CodeBlock* interpreted = b.current_block(h_, pc, insn)) {
    block = static_cast<Installed*>(interpreted);
    return true;
  }
  const u8* at = b.return_address(h_);
  block = translator_.cache().at_host(at);
  ASSERT_MSG(block, "a call from outside of any region");
  const u32 offset = block->offset_of(at);
  auto it = std::upper_bound(block->pc_map.begin(), block->pc_map.end(), offset,
                             [](u32 o, const backend::PcMapRow& r) { return o < r.host; });
  ASSERT_MSG(it != block->pc_map.begin(), "a call site without a row in the pc map");
  --it;
  pc = it->pc;
  insn = it->insn;
  return true;
}

void VcpuLoop::sync_pc() {
  u64 pc;
  u32 insn;
  Installed* block;
  if (locate(pc, insn, block)) cpu_.set_pc(pc);
}

// A write of the flags that was left out, made up for: somebody is going to look at them.
void VcpuLoop::restore_flags(const backend::CodeBlock& block, const ir::FlagRecipe& recipe) {
  // SAFETY: the header is the first member of the guest's state, which its layout describes.
  u8* state = reinterpret_cast<u8*>(&h_);
  const ir::StateLayout& layout = cpu_.frontend().layout();
  ir::store_flags(layout, state,
                  ir::evaluate_recipe(block.recipe_ops.subspan(recipe.begin, recipe.count), layout, state));
}

void VcpuLoop::unwind() {
  u64 pc;
  u32 insn;
  Installed* block;
  if (locate(pc, insn, block) && block) {
    if (config_.icount) h_.icount_left += block->insn_count - std::min(insn, block->insn_count);
    if (const ir::FlagRecipe* recipe = ir::recipe_at(block->recipes, insn)) restore_flags(*block, *recipe);
  }
  translator_.counters().faults++;
  end_watch_shot();
  end_exclusive();
  std::longjmp(unwind_, 1);
}

u64 VcpuLoop::icount() {
  if (!config_.icount) return 0;
  u64 total = icount_total_.load(std::memory_order_relaxed) + static_cast<u64>(slice_ - h_.icount_left);
  u64 pc;
  u32 insn;
  Installed* block;
  // Where generated code is, only its own thread can tell.
  if (std::this_thread::get_id() == thread_.load() && locate(pc, insn, block) && block)
    total -= block->insn_count - std::min(insn, block->insn_count);
  return total;
}

// --- memory of the process itself

void VcpuLoop::direct_store(u64 va, u64 size) {
  if (!std::exchange(code_hit_, false)) return;
  const u64 page = va & mem::kPageMask;
  code_written(page, ((va + size - 1) & mem::kPageMask) + mem::kPageSize - page);
}

bool VcpuLoop::host_fault(u64& host_pc, u64 va, mem::Access access) {
  // SAFETY: only compared with the code cache's addresses.
  const u8* at = reinterpret_cast<const u8*>(host_pc);
  const bool generated = in_code_ && translator_.cache().contains(at);
  const bool watched = config_.direct->has_watchpoints.load(std::memory_order_relaxed) && !in_watch_shot_ &&
                       config_.direct->watched_page(va, access == mem::Access::Write);
  const bool code = !watched && access == mem::Access::Write && config_.direct->code_page_written(va);
  const u64 page = va & mem::kPageMask;
  if (code) pages_.notify_others(in_code_ ? h_.index : ~u32{0}, page, mem::kPageSize);
  if (generated) {
    const Installed* block = translator_.cache().at_host(at);
    if (!block) return false;
    const u32 offset = block->offset_of(at);
    const auto row = std::lower_bound(block->faults.begin(), block->faults.end(), offset,
                                      [](const backend::FaultRow& r, u32 o) { return r.access < o; });
    if (row == block->faults.end() || row->access != offset) return false;
    host_pc = reinterpret_cast<u64>(block->at(row->slow));
    code_hit_ = code;
    return true;
  }
  if (code) {
    if (in_code_) code_written(page, mem::kPageSize);
    return true;
  }
  if (!in_code_) return false;
  if (watched) watched_access(va, 1, access == mem::Access::Write);
  h_.mmu->raise_fault(h_, va, access, h_.mmu_mode, false);
}

// --- debugging

void VcpuLoop::set_breakpoint(u64 linear, bool on) {
  if (on)
    translator_.breakpoints.insert(linear);
  else
    translator_.breakpoints.erase(linear);
  flush_code();
}

void VcpuLoop::set_watchpoint(u64 va, u64 size, bool read, bool write, bool on) {
  if (on) {
    watchpoints_.push_back({va, size, read, write});
    tlb_.watch_range(va, size);
    return;
  }
  std::erase_if(watchpoints_, [&](const Watchpoint& w) {
    return w.va == va && w.size == size && w.read == read && w.write == write;
  });
  if (watchpoints_.empty()) tlb_.clear_watches();  // the guest's own debug registers set theirs again when written
}

// Direct memory: the instruction starts over, alone.
void VcpuLoop::watched_access(u64 va, u64 size, bool write) {
  watch_found_ = config_.direct->watchpoint_hit(va, size, write);
  sync_pc();
  one_shot_ = watch_shot_ = true;
  unwind();
}

void VcpuLoop::end_watch_shot() {
  if (std::exchange(in_watch_shot_, false)) config_.direct->close_watched_pages();
}

void VcpuLoop::debug_watch(u64 va, u32 size, bool write) {
  if (config_.direct) {
    if (!in_code_ || in_watch_shot_ || size == 0) return;
    if (config_.direct->watched_page(va, write) || config_.direct->watched_page(va + size - 1, write))
      watched_access(va, size, write);
    return;
  }
  for (const Watchpoint& w : watchpoints_) {
    if (va >= w.va + w.size || w.va >= va + size || !(write ? w.write : w.read)) continue;
    sync_pc();
    if (hooks.debug_stop) hooks.debug_stop(w.va);
    return;
  }
}

// --- the loop

void VcpuLoop::begin_slice() {
  icount_total_.fetch_add(static_cast<u64>(slice_ - h_.icount_left), std::memory_order_relaxed);
  slice_ = h_.icount_left = 0;  // the hook asks for the time
  slice_ = hooks.icount_slice ? hooks.icount_slice(icount_total_.load(std::memory_order_relaxed)) : 10000;
  h_.icount_left = slice_;
}

void VcpuLoop::leave(ExitReason reason) {
  if (h_.exit_slot == 0) return;
  LinkSlot& slot = *reinterpret_cast<LinkSlot*>(h_.exit_slot);  // SAFETY: slots live as long as their region's code
  if (slot.recipe) restore_flags(*slot.from, slot.from->recipes[slot.recipe - 1]);
  if (reason == ExitReason::Link && slot.from->valid && !slot.to && slot.chainable) link(slot);
  h_.exit_slot = 0;
}

void VcpuLoop::link(LinkSlot& slot) {
  u64 phys;
  bool memory;
  if (!place(cpu_.linear_pc(), phys, memory)) return;  // it can't be fetched now
  Installed* to = lookup(false, true);
  const bool stops = !translator_.breakpoints.empty() && translator_.breakpoints.contains(cpu_.linear_pc());
  // The lookup may have flushed the slot's region with all code.
  if (h_.exit_slot == 0 || !slot.from->valid || to->ranges.empty() || !to->valid || stops || to->phys == ~u64{0} ||
      slot.pc != to->pc || slot.from->mode != to->mode || slot.from->base != to->base)
    return;
  if (to->phys_page2 == ~u64{0} || config_.direct) {
    translator_.backend().link(slot, *to);
    attach(slot, *to);
    translator_.counters().links++;
  } else if (slot.skip == 0) {
    translator_.backend().link_by_jump_cache(slot);
  }
}

void VcpuLoop::step() {
  if (cpu_.has_work()) {
    if (config_.direct) in_guest_.store(false, std::memory_order_seq_cst);  // a system call may wait for another thread
    cpu_.deliver_pending();
    if (config_.direct) {
      in_guest_.store(true, std::memory_order_seq_cst);
      wait_while_exclusive();
      if (h_.exit_request.load(std::memory_order_relaxed)) return;
    }
    if (cpu_.halted()) return;
  }
  const u64 linear = cpu_.linear_pc();
  const bool watch_shot = std::exchange(watch_shot_, false);
  if (watch_shot && watch_found_ && config_.direct->watch_before) {
    one_shot_ = false;
    if (hooks.debug_stop) hooks.debug_stop(watch_found_);
    return;
  }
  if (!watch_shot && !translator_.breakpoints.empty() && !at_breakpoint_ && translator_.breakpoints.contains(linear)) {
    at_breakpoint_ = true;
    if (hooks.debug_stop) hooks.debug_stop(0);
    return;
  }
  at_breakpoint_ = false;
  const bool stepping = cpu_.single_stepping();
  if (config_.icount && h_.icount_left <= 0) {
    begin_slice();
    if (cpu_.has_work()) return;
  }
  const bool single = one_shot_ || device_shot_ || stepping || single_step_;
  const bool keyed = !one_shot_;
  u64 phys;
  bool memory;
  if (!single && !config_.icount && !config_.lockstep && !place(linear, phys, memory) && cpu_.enter_fetch_fault())
    return;
  tlb_.select_jump_cache(cpu_.mode(), cpu_.code_base());
  Installed* block = lookup(single, keyed);
  if (one_shot_) translator_.counters().one_shots++;
  one_shot_ = device_shot_ = false;
  // The slice ends inside: events come at the same instruction, whatever the regions are.
  if (config_.icount && h_.icount_left < block->insn_count)
    block = lookup(single, false, static_cast<u32>(h_.icount_left));
  if (log_on(LogItem::Cpu)) log_write(cpu_.dump_registers());
  DOPPEL_LOG(Exec, "enter 0x%llx mode 0x%llx after %llu\n", static_cast<unsigned long long>(linear),
             static_cast<unsigned long long>(block->mode), static_cast<unsigned long long>(icount()));
  translator_.counters().enters++;
  running_ = block;
  h_.exit_slot = 0;
  in_code_ = true;
  if (watch_shot) {
    config_.direct->open_watched_pages();
    in_watch_shot_ = true;
  }
  may_resume_ = config_.opt.resume && !single && !config_.lockstep && !config_.icount &&
                translator_.breakpoints.empty() && !log_on(LogItem::Exec) && !log_on(LogItem::Cpu);
  const ExitReason reason =
      config_.lockstep && !single ? run_lockstep(cpu_, translator_, *block) : translator_.backend().enter(h_, *block);
  in_code_ = false;
  if (single) {  // its exits leave the flags exact (Translator::compile)
    end_watch_shot();
    if (stepping) cpu_.after_single_step();
    if (watch_shot && watch_found_) {
      single_step_ = false;
      if (hooks.debug_stop) hooks.debug_stop(watch_found_);
    } else if (single_step_ && (keyed || watch_shot)) {
      single_step_ = false;
      if (hooks.debug_stop) hooks.debug_stop(0);
    }
    return;
  }
  leave(reason);
}

void VcpuLoop::run() {
  thread_.store(std::this_thread::get_id());
  setjmp(unwind_);
  in_code_ = false;
  in_guest_.store(true, std::memory_order_seq_cst);
  wait_while_exclusive();  // who unwound out of a section was not in the guest meanwhile
  for (;;) {
    // A single program's system call or fault comes before a signal for it: the registers are that moment's.
    const bool event = config_.direct && cpu_.has_work();
    if (!event && h_.exit_request.exchange(0, std::memory_order_seq_cst)) {
      wait_while_exclusive();
      handle_requests();
      if (config_.icount) begin_slice();  // a device may have armed an earlier timer
      if (hooks.should_stop && hooks.should_stop()) break;
    }
    if (cpu_.halted() && !cpu_.has_work()) {
      if (config_.icount) {
        begin_slice();
        if (cpu_.has_work() || (hooks.icount_idle && hooks.icount_idle())) continue;
      }
      in_guest_.store(false, std::memory_order_seq_cst);
      if (hooks.wait_halted) hooks.wait_halted();
      in_guest_.store(true, std::memory_order_seq_cst);
      wait_while_exclusive();
      continue;
    }
    step();
  }
  in_guest_.store(false, std::memory_order_seq_cst);
}

std::string VcpuLoop::jit_info() {
  const Counters& c = translator_.counters();
  const mem::TlbCounters& t = tlb_.counters();
  char text[1200];
  const double n = c.guest_insns ? static_cast<double>(c.guest_insns) : 1.0;
  std::snprintf(
      text, sizeof text,
      "backend             %s\n"
      "regions             %llu (%zu valid), %llu more from the store\n"
      "guest instructions  %llu (%.1f a region)\n"
      "IR ops              %.2f an instruction, %.2f optimised\n"
      "host code           %llu bytes, %.1f an instruction (%.1f but for slow paths); cache %zu of %zu KiB, %llu "
      "flushes\n"
      "translation time    %.1f ms, %.0f ns an instruction\n"
      "entered             %llu, resumed %llu, lookups %llu, links %llu, requests %llu\n"
      "invalidated         %llu, restarts %llu, one-shot regions %llu, faults %llu\n"
      "TLB                 fills %llu, victims %llu, flushes %llu, page flushes %llu, space switches %llu (%llu kept, "
      "%llu entries)\n",
      translator_.backend().describe().c_str(), static_cast<unsigned long long>(c.regions), translator_.cache().count(),
      static_cast<unsigned long long>(c.stored), static_cast<unsigned long long>(c.guest_insns),
      n / static_cast<double>(std::max<u64>(c.regions, 1)), static_cast<double>(c.ir_ops) / n,
      static_cast<double>(c.ir_ops_opt) / n, static_cast<unsigned long long>(c.host_bytes),
      static_cast<double>(c.host_bytes) / n, static_cast<double>(c.hot_bytes) / n, translator_.cache().used() >> 10,
      translator_.cache().capacity() >> 10, static_cast<unsigned long long>(translator_.cache().flushes),
      static_cast<double>(c.translate_ns) / 1e6, static_cast<double>(c.translate_ns) / n,
      static_cast<unsigned long long>(c.enters), static_cast<unsigned long long>(c.resumes),
      static_cast<unsigned long long>(c.lookups), static_cast<unsigned long long>(c.links),
      static_cast<unsigned long long>(c.requests), static_cast<unsigned long long>(c.invalidated),
      static_cast<unsigned long long>(c.smc_restarts), static_cast<unsigned long long>(c.one_shots),
      static_cast<unsigned long long>(c.faults), static_cast<unsigned long long>(t.fills),
      static_cast<unsigned long long>(t.victim_hits), static_cast<unsigned long long>(t.flushes),
      static_cast<unsigned long long>(t.flush_pages), static_cast<unsigned long long>(t.space_switches),
      static_cast<unsigned long long>(t.space_hits), static_cast<unsigned long long>(t.restored));
  return text;
}

}  // namespace doppel::exec

#include "guest/x86/kernel_machine.h"

#include "base/assert.h"
#include "guest/x86/system/system.h"

namespace doppel::x86::test {
namespace {

exec::Config make_config(bool interpreter, const ir::OptFlags& opt) {
  exec::Config c;
  c.interpreter = interpreter;
  c.opt = opt;
  c.code_cache_bytes = size_t{8} << 20;
  return c;
}

CpuModel model_named(const char* spec) { return parse_cpu(spec, true).value(); }

}  // namespace

KernelMachine::KernelMachine(bool interpreter, const char* model, const ir::OptFlags& opt)
    : KernelMachine(interpreter, model, opt, std::make_shared<Memory>(), 0) {}

KernelMachine::KernelMachine(KernelMachine& other)
    : KernelMachine(other.interpreter_, "qemu64", {}, other.memory_, other.state().h.index + 1) {}

KernelMachine::KernelMachine(bool interpreter, const char* model, const ir::OptFlags& opt,
                             std::shared_ptr<Memory> memory, u32 index)
    : interpreter_(interpreter),
      memory_(std::move(memory)),
      model_(model_named(model)),
      cpu_(model_, platform_, index, make_frontend(model_)),
      loop_(cpu_, memory_->space, memory_->pages, make_config(interpreter, opt)) {
  if (!memory_->ram) {
    mem::RamBlock* block = memory_->space.create_ram("ram", kRam).value();
    memory_->space.map_ram("ram", 0, block, 0, kRam, 0);
    memory_->ram = block->host;
  }
  ram_ = memory_->ram;
  platform_.cpu = &cpu_;
  for (unsigned i = 0; i < 16; i++) next_table_[i] = cr3(i) + mem::kPageSize;
  loop_.hooks.should_stop = [this] { return stopped_; };
  loop_.hooks.wait_halted = [this] {
    stopped_ = true;
    loop_.kick();
  };
  const auto created = loop_.create();
  ASSERT(bool(created));
}

u64 KernelMachine::pte_address(unsigned space, u64 va) {
  u64 table = cr3(space);
  for (int level = 3; level >= 1; level--) {
    const u64 at = table + 8 * ((va >> (12 + 9 * level)) & 511);
    if (!(peek64(at) & P)) {
      ASSERT(next_table_[space] < cr3(space) + kSpaceSize);
      poke64(at, next_table_[space] | P | W | U);
      next_table_[space] += mem::kPageSize;
    }
    table = peek64(at) & ~u64{0xfff};
  }
  return table + 8 * ((va >> 12) & 511);
}

void KernelMachine::map(unsigned space, u64 va, u64 pa, u64 flags) { poke64(pte_address(space, va), pa | flags); }

void KernelMachine::gate(unsigned vector, u64 handler, unsigned dpl) {
  const u64 at = kIdt + 16 * vector;
  poke64(at, (handler & 0xffff) | u64{kCode0} << 16 | u64{0x8e00 | dpl << 13} << 32 | (handler >> 16 & 0xffff) << 48);
  poke64(at + 8, handler >> 32);
}

void KernelMachine::start(u64 rip, u64 rsp) {
  X86State& s = state();
  // Code 0, data 0, (32-bit code 3), data 3, code 3 at the places that SYSCALL and SYSRET expect of STAR.
  poke64(kGdt + 0x08, 0x00af9b000000ffff);
  poke64(kGdt + 0x10, 0x00cf93000000ffff);
  poke64(kGdt + 0x20, 0x00cffb000000ffff);
  poke64(kGdt + 0x28, 0x00cff3000000ffff);
  poke64(kGdt + 0x30, 0x00affb000000ffff);
  poke64(kGdt + kTssSelector, 0x0000890000000067 | kTss << 16);
  s.gdtr = {kGdt, 0xff, 0, 0};
  s.idtr = {kIdt, 0xfff, 0, 0};
  s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_MP | CR0_WP;
  s.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
  s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
  s.cr3 = cr3(0);
  s.cpl = 0;
  s.star = u64{0x20 | 3} << 48 | u64{kCode0} << 32;
  const u16 data = kAttrS | kAttrP | kAttrWritable | kAttrAccessed | kAttrDB | kAttrG;
  for (const unsigned r : {ES, SS, DS, FS, GS}) s.seg[r] = {0, ~u32{0}, kData0, data};
  s.seg[CS] = {0, ~u32{0}, kCode0, kAttrS | kAttrP | kAttrReadable | kAttrAccessed | kAttrCode | kAttrG | kAttrL};
  s.seg[TR] = {kTss, 0x67, kTssSelector, kAttrP | 11};
  s.eflags = 0;
  s.halted = kRunning;
  s.exc_pending = 0;
  s.delivering = -1;
  s.rip = rip;
  s.gpr[RSP] = rsp;
  paging_changed(s);
}

void KernelMachine::run() {
  stopped_ = false;
  state().halted = kRunning;
  loop_.run();
}

}  // namespace doppel::x86::test

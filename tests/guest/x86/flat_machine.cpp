#include "guest/x86/flat_machine.h"

#include <cstring>

#include "base/assert.h"

namespace doppel::x86::test {
namespace {

exec::Config make_config(bool interpreter, bool optimise, int max_pinned) {
  exec::Config c;
  c.interpreter = interpreter;
  if (!optimise) c.opt = ir::OptFlags::none();
  c.max_pinned = max_pinned;
  c.code_cache_bytes = size_t{8} << 20;
  return c;
}

}  // namespace

FlatMachine::FlatMachine(const CpuModel& model, bool interpreter, bool optimise, int max_pinned)
    : FlatMachine(model, make_config(interpreter, optimise, max_pinned)) {}

FlatMachine::FlatMachine(const CpuModel& model, const exec::Config& config)
    : pages_(memory_),
      cpu_(model, platform_, 0, make_frontend(model)),
      probe_(cpu_),
      loop_(probe_, memory_, pages_, config) {
  mem::RamBlock* block = memory_.create_ram("tables", kTablePages * mem::kPageSize).value();
  memory_.map_ram("tables", kTables, block, 0, kTablePages * mem::kPageSize, 0);
  // SAFETY: page tables are arrays of 64-bit entries in page-aligned RAM.
  tables_ = reinterpret_cast<u64*>(block->host);
  loop_.hooks.should_stop = [this] { return probe_.stopped; };
  const auto created = loop_.create();
  ASSERT(bool(created));
}

void FlatMachine::map(u8* host, u64 size, bool writable) {
  const u64 start = reinterpret_cast<u64>(host);
  mem::RamBlock* block = memory_.wrap_ram("test", host, size, false);
  memory_.map_ram("test", start, block, 0, size, 0);
  for (u64 va = start; va < start + size; va += mem::kPageSize) map_page(va, writable);
}

void FlatMachine::map_device(u64 address, mem::IoHandler& device) {
  memory_.map_io("device", address, mem::kPageSize, &device, 0);
  map_page(address, true);
}

void FlatMachine::map_page(u64 va, bool writable) {
  u64 level_table = 0;  // PML4 is table 0
  for (int level = 3; level >= 1; level--) {
    u64& e = tables_[level_table * 512 + ((va >> (12 + 9 * level)) & 511)];
    if (e == 0) {
      ASSERT(used_ < kTablePages);
      e = table(used_++) | 7;
    }
    level_table = ((e & ~u64{0xfff}) - kTables) / mem::kPageSize;
  }
  tables_[level_table * 512 + ((va >> 12) & 511)] = va | (writable ? 7 : 5);
}

void FlatMachine::user_mode(bool bits32) {
  X86State& s = state();
  s.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE | CR0_MP | CR0_WP;
  s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
  s.cr3 = kTables;
  s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
  const u16 data = kAttrS | kAttrP | kAttrWritable | kAttrAccessed | 3 << 5 | kAttrDB | kAttrG;
  for (unsigned r : {ES, SS, DS, FS, GS}) s.seg[r] = {0, ~u32{0}, 0x2b, data};
  const u16 code = kAttrS | kAttrP | kAttrReadable | kAttrAccessed | kAttrCode | 3 << 5 | kAttrG;
  s.seg[CS] = {0, ~u32{0}, static_cast<u16>(bits32 ? 0x23 : 0x33),
               static_cast<u16>(code | (bits32 ? kAttrDB : kAttrL))};
  s.cpl = 3;
  s.halted = 0;
  s.exc_pending = 0;
  s.delivering = -1;
  s.fcw = 0x37f;
  update_mode(s);
}

u8 FlatMachine::run() {
  probe_.stopped = false;
  loop_.run();
  return probe_.vector;
}

}  // namespace doppel::x86::test

#include "exec/lockstep.h"

#include <cstdio>
#include <cstdlib>
#include <map>

#include "backend/interp/eval.h"
#include "base/log.h"

namespace doppel::exec {
namespace {

using backend::ExitReason;

// Guest memory with stores held back. A device or an unmapped page gives the region up (`unsure`).
class HeldMemory final : public backend::interp::MemoryPort {
 public:
  explicit HeldMemory(mem::VcpuHeader& cpu) : cpu_(cpu) {}
  bool unsure = false;
  std::map<u64, u8> stores;  // by virtual address

  bool load(u64 va, void* out, unsigned size, const ir::MemInfo& info) override {
    for (unsigned i = 0; i < size; i++) {
      const auto it = stores.find(va + i);
      if (it != stores.end()) {
        static_cast<u8*>(out)[i] = it->second;
        continue;
      }
      const u8* p = byte(va + i, info.rmw);
      if (!p) return false;
      static_cast<u8*>(out)[i] = *p;
    }
    return true;
  }
  bool store(u64 va, const void* data, unsigned size, const ir::MemInfo&) override {
    for (unsigned i = 0; i < size; i++) {
      if (!byte(va + i, true)) return false;
    }
    for (unsigned i = 0; i < size; i++) stores[va + i] = static_cast<const u8*>(data)[i];
    return true;
  }
  bool probe_write(u64 va, unsigned size, const ir::MemInfo&) override {
    for (unsigned i = 0; i < size; i++) {
      if (!byte(va + i, true)) return false;
    }
    return true;
  }
  // The byte as memory has it; null: a device or a page that would fault.
  const u8* byte(u64 va, bool write) {
    const u64 page = va & mem::kPageMask;
    mem::TlbEntry* e = &cpu_.soft_tlb->entry(va, cpu_.mmu_mode);
    auto tag = [&] { return write ? e->write.load() : e->read.load(); };
    if ((tag() & (mem::kPageMask | mem::kTlbInvalid)) != page) {
      e = cpu_.soft_tlb->fill(va, write ? mem::Access::Write : mem::Access::Read, cpu_.mmu_mode);
      if (!e) {
        unsure = true;
        return nullptr;
      }
    }
    if (tag() & (mem::kTlbIo | mem::kTlbWatchpoint)) {
      unsure = true;
      return nullptr;
    }
    return reinterpret_cast<const u8*>(va + e->addend);
  }

 private:
  mem::VcpuHeader& cpu_;
};

size_t layout_end(const ir::StateLayout& layout) {
  size_t end = sizeof(mem::VcpuHeader);
  for (u16 i = 0; i < layout.count; i++)
    end = std::max<size_t>(end, layout.rows[i].offset + ir::type_bytes(layout.rows[i].type));
  return end;
}

// Part of an empty register of the floating-point stack: what that holds is undefined (xf_pop).
bool in_empty_register(const ir::StateLayout& layout, const ir::RegRow& row, const u8* state) {
  const ir::XStack& x = layout.xstack;
  if (x.regs == 0 || row.offset < x.regs || row.offset >= x.regs + 128) return false;
  return (state[x.tags] >> ((row.offset - x.regs) / 16)) & 1;
}

std::string hex(const u8* data, size_t n) {
  std::string text;
  char buffer[4];
  while (n-- > 0) {
    std::snprintf(buffer, sizeof buffer, "%02x", data[n]);
    text += buffer;
  }
  return text;
}

[[noreturn]] void report(Translator& translator, const Installed& block, const u8* before,
                         const std::string& differences, const ir::StateLayout& layout) {
  std::string text = "doppel: lockstep: the JIT differs from the interpreter\n" + differences + "state before:\n";
  for (u16 i = 0; i < layout.count; i++)
    text += "  " + std::string(layout.rows[i].name) + " = " +
            hex(before + layout.rows[i].offset, ir::type_bytes(layout.rows[i].type)) + "\n";
  text += ir::dump(*block.region) + "\nhost code:\n" + translator.host_listing(block);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace

ExitReason run_lockstep(guest::GuestCpu& cpu, Translator& translator, Installed& block) {
  mem::VcpuHeader& h = cpu.header();
  const ir::StateLayout& layout = cpu.frontend().layout();
  // Static buffers: a fault in the JIT leaves by longjmp.
  alignas(64) static thread_local u8 copy[1 << 16];
  alignas(64) static thread_local u8 before[1 << 16];
  static thread_local HeldMemory* memory = nullptr;
  const size_t size = layout_end(layout);
  // SAFETY: the state is plain data up to the end of its layout rows.
  std::memcpy(copy, static_cast<const void*>(&h), size);
  std::memcpy(before, copy, size);
  delete memory;
  memory = new HeldMemory(h);
  backend::interp::RunResult oracle;
  if (block.region && backend::interp::can_run(*block.region))
    oracle = backend::interp::run_region(*block.region, *reinterpret_cast<mem::VcpuHeader*>(copy), *memory);
  const ExitReason reason = translator.backend().enter(h, block);
  if (oracle.end != backend::interp::End::Exit || memory->unsure || reason == ExitReason::Request ||
      reason == ExitReason::Icount)
    return reason;

  std::string differences;
  const u8* now = reinterpret_cast<const u8*>(&h);
  for (u16 i = 0; i < layout.count; i++) {
    const ir::RegRow& r = layout.rows[i];
    const size_t n = ir::type_bytes(r.type);
    if (in_empty_register(layout, r, now)) continue;
    if (std::memcmp(copy + r.offset, now + r.offset, n) != 0)
      differences += "  " + std::string(r.name) + ": interpreter " + hex(copy + r.offset, n) + ", JIT " +
                     hex(now + r.offset, n) + "\n";
  }
  const u32 env = reinterpret_cast<mem::VcpuHeader*>(copy)->fp_env;
  if (env != h.fp_env)
    differences += "  fp_env: interpreter " + std::to_string(env) + ", JIT " + std::to_string(h.fp_env) + "\n";
  for (const auto& [va, value] : memory->stores) {
    const u8* p = memory->byte(va, false);
    if (p && *p != value)
      differences += "  memory " + hex(reinterpret_cast<const u8*>(&va), 8) + ": interpreter " + hex(&value, 1) +
                     ", JIT " + hex(p, 1) + "\n";
  }
  if (!differences.empty()) report(translator, block, before, differences, layout);
  return reason;
}

}  // namespace doppel::exec

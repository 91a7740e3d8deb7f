// irrun: runs a region of IR text (the form of -d ir and of isdump) once, by the interpreter or by code of the JIT, and
// prints the state that results: registers that changed, memory that changed, and how it ended. The region goes through
// the verifier and, with --opt, the optimiser first. For questions such as "does this pass change what the region does"
// and "does the JIT do what the op means", and for reports that fit into a message.
//
// Guest: x86. Memory is plain RAM from address 0, without paging; what is beyond faults. Helpers run on a CPU as after
// reset and FNINIT, but for --set and the region's mode word; what they raise ends the run.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "backend/backend.h"
#include "backend/interp/eval.h"
#include "base/os/exec_memory.h"
#include "guest/x86/cpu.h"
#include "guest/x86/platform.h"
#include "guest/x86/translate/frontend.h"
#include "ir/opt/pipeline.h"
#include "ir/parse.h"
#include "ir/recipe.h"
#include "mem/soft_tlb.h"

namespace doppel {
namespace {

constexpr const char* kUsage =
    "usage: irrun [OPTION...] FILE   (or - to read standard input)\n"
    "  --backend interp|x64|both  what runs it (interp); both: exit status 1 if they differ\n"
    "  --opt LIST                 optimiser passes before it runs, as --opt of the emulator (none)\n"
    "  --set REGISTER=VALUE       before it runs: a name of the IR's, such as rax, flags, xmm0 (0x and up to 32 "
    "digits)\n"
    "  --mem ADDRESS=HEXBYTES     memory before it runs\n"
    "  --ram BYTES                size of the memory (0x100000)\n"
    "  --cpu MODEL[,+/-FLAG...]   as -cpu of the emulator (max)\n"
    "  --pinned N                 guest registers kept in host registers at most (-1: as many as there are)\n"
    "  --print LIST               before the state: any of ir (after the passes), out_asm\n"
    "Example: isdump --stages ir 48 01 c3 | irrun --set rax=2 --set rbx=0x40 -\n";

struct Setting {
  std::string name;
  u64 low = 0, high = 0;
};
struct Bytes {
  u64 at = 0;
  std::vector<u8> bytes;
};
struct Options {
  std::string cpu = "max", backend = "interp", file;
  ir::OptFlags opt = ir::OptFlags::none();
  std::vector<Setting> settings;
  std::vector<Bytes> memory;
  u64 ram = 0x100000;
  int pinned = -1;
  bool print_ir = false, print_code = false;
};

[[noreturn]] void fail(const std::string& text, int status = 2) {
  std::fprintf(stderr, "irrun: %s\n", text.c_str());
  std::exit(status);
}

u64 number(const std::string& what, const std::string& text) {
  char* end = nullptr;
  const u64 value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end) fail(what + ": '" + text + "' is not a number");
  return value;
}

std::pair<std::string, std::string> split(const std::string& option, const std::string& text) {
  const size_t eq = text.find('=');
  if (eq == std::string::npos || eq == 0) fail(option + " needs NAME=VALUE, not '" + text + "'");
  return {text.substr(0, eq), text.substr(eq + 1)};
}

Setting parse_setting(const std::string& text) {
  const auto [name, value] = split("--set", text);
  Setting s{name};
  if (value.starts_with("0x") && value.size() > 18) {
    s.high = number("--set", value.substr(0, value.size() - 16));
    s.low = number("--set", "0x" + value.substr(value.size() - 16));
  } else {
    s.low = number("--set", value);
  }
  return s;
}

Bytes parse_bytes(const std::string& text) {
  const auto [address, digits] = split("--mem", text);
  Bytes b{number("--mem", address), {}};
  if (digits.size() % 2) fail("--mem: an odd number of hexadecimal digits");
  for (size_t i = 0; i < digits.size(); i += 2)
    b.bytes.push_back(static_cast<u8>(number("--mem", "0x" + digits.substr(i, 2))));
  return b;
}

void parse_print(Options& o, const std::string& list) {
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "ir")
      o.print_ir = true;
    else if (word == "out_asm")
      o.print_code = true;
    else
      fail("--print: no stage '" + word + "': they are ir, out_asm");
  }
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    auto value = [&]() -> std::string {
      if (i + 1 >= argc) fail(arg + " needs a value");
      return argv[++i];
    };
    if (arg == "-h" || arg == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (arg == "--backend") {
      o.backend = value();
      if (o.backend != "interp" && o.backend != "x64" && o.backend != "both") fail("--backend is interp, x64 or both");
    } else if (arg == "--opt") {
      o.opt = {};
      if (const std::string wrong = ir::parse_opt_flags(value(), o.opt); !wrong.empty()) fail("--opt: " + wrong);
    } else if (arg == "--set") {
      o.settings.push_back(parse_setting(value()));
    } else if (arg == "--mem") {
      o.memory.push_back(parse_bytes(value()));
    } else if (arg == "--ram") {
      o.ram = align_up(number(arg, value()), mem::kPageSize);
    } else if (arg == "--cpu") {
      o.cpu = value();
    } else if (arg == "--pinned") {
      o.pinned = std::atoi(value().c_str());
    } else if (arg == "--print") {
      parse_print(o, value());
    } else if (arg.starts_with("--")) {
      fail("no option " + arg + " (irrun --help lists them)");
    } else if (o.file.empty()) {
      o.file = arg;
    } else {
      fail("one file, not " + o.file + " and " + arg);
    }
  }
  if (o.file.empty()) {
    std::fputs(kUsage, stderr);
    std::exit(2);
  }
  if (o.ram == 0 || o.ram > (u64{1} << 30)) fail("--ram is at most 1 GiB");
  o.opt.verify = true;
  return o;
}

// The same run again gives the same: RDRAND and the like are not the host's.
class NoBoard final : public x86::NullPlatform {
  bool repeatable() override { return true; }
};

// A CPU and its RAM. What would end the region early comes to `leave`.
class Guest final : public mem::MmuHooks, public mem::Runtime, public backend::interp::MemoryPort {
 public:
  Guest(const x86::CpuModel& model, const Options& o, u64 mode)
      : ram_(o.ram), cpu_(model, board_, 0, x86::make_frontend(model)), jumps_(size_t{1} << mem::kJumpCacheBits) {
    memory_.map_ram("ram", 0, memory_.wrap_ram("ram", host_.get(), ram_, false), 0, ram_, 0);
    mem::VcpuHeader& h = header();
    h.phys = &memory_;
    h.jump_cache = jumps_.data();
    h.mmu = this;
    h.runtime = this;
    tlb_ = std::make_unique<mem::SoftTlb>(h, memory_);
    h.soft_tlb = tlb_.get();
    h.mmu = this;
    h.runtime = this;
    tlb_->set_mode(0);
    cpu_.state().mode_cache = mode;
    cpu_.state().fcw = 0x37f;
    for (const Setting& s : o.settings) set(s);
    for (const Bytes& b : o.memory) {
      if (b.at > ram_ || b.bytes.size() > ram_ - b.at) fail("--mem: beyond the memory (--ram makes it larger)");
      std::memcpy(host_.get() + b.at, b.bytes.data(), b.bytes.size());
    }
  }
  mem::VcpuHeader& header() { return cpu_.state().h; }
  const ir::StateLayout& layout() { return cpu_.frontend().layout(); }
  // SAFETY: the layout's rows are offsets from the start of the state.
  u8* base() { return reinterpret_cast<u8*>(&cpu_.state()); }
  const u8* ram() const { return host_.get(); }
  u64 ram_size() const { return ram_; }
  std::vector<u8> row(u16 i) {
    const ir::RegRow& r = layout().rows[i];
    const u8* p = base() + r.offset;
    return {p, p + ir::type_bytes(r.type)};
  }
  const x86::X86State& state() { return cpu_.state(); }

  std::jmp_buf leave;
  bool raised = false;  // by a helper
  u64 fault_va = 0;

  bool translate(mem::VcpuHeader&, u64 va, mem::Access, u32, mem::Translation& t) override {
    t.phys = va & mem::kPageMask;
    t.read = t.write = t.exec = va < ram_;
    return va < ram_;
  }
  void raise_fault(mem::VcpuHeader&, u64 va, mem::Access, u32, bool) override {
    fault_va = va;
    std::longjmp(leave, 1);
  }
  void raise_alignment(mem::VcpuHeader&, u64 va, mem::Access) override {
    fault_va = va;
    std::longjmp(leave, 1);
  }
  void watchpoint_hit(mem::VcpuHeader&, u64, u32, mem::Access) override {}
  void sync_pc() override {}
  [[noreturn]] void unwind() override {
    raised = true;
    std::longjmp(leave, 1);
  }
  void flush_jump_cache() override {}
  u64 icount() override { return 0; }
  void code_written(u64, u64) override {}
  void debug_watch(u64, u32, bool) override {}

  bool inside(u64 va, u64 size) const { return va < ram_ && size <= ram_ - va; }
  bool load(u64 va, void* out, unsigned size, const ir::MemInfo&) override {
    if (inside(va, size)) std::memcpy(out, host_.get() + va, size);
    return inside(va, size);
  }
  bool store(u64 va, const void* data, unsigned size, const ir::MemInfo&) override {
    if (inside(va, size)) std::memcpy(host_.get() + va, data, size);
    return inside(va, size);
  }
  bool probe_write(u64 va, unsigned size, const ir::MemInfo&) override { return inside(va, size); }

 private:
  struct Release {
    u64 size;
    void operator()(u8* p) const { os::release_memory(p, size); }
  };
  void set(const Setting& s) {
    for (u16 i = 0; i < layout().count; i++) {
      const ir::RegRow& r = layout().rows[i];
      if (s.name != r.name) continue;
      u8 bytes[16];
      store_le<u64>(bytes, s.low);
      store_le<u64>(bytes + 8, s.high);
      std::memcpy(base() + r.offset, bytes, ir::type_bytes(r.type));
      return;
    }
    std::string names;
    for (u16 i = 0; i < layout().count; i++) names += std::string(i ? " " : "") + layout().rows[i].name;
    fail("--set: no register '" + s.name + "'; there are " + names);
  }

  u64 ram_;
  std::unique_ptr<u8, Release> host_{os::reserve_memory(ram_), Release{ram_}};
  NoBoard board_;
  x86::X86Cpu cpu_;
  std::vector<mem::JumpCacheEntry> jumps_;
  mem::AddressSpace memory_;
  std::unique_ptr<mem::SoftTlb> tlb_;
};

// The x64 backend with one region installed.
class Jit {
 public:
  Jit(const ir::Region& region, int pinned) {
    if (!area_.allocate(kThunks + (size_t{4} << 20))) fail("the host gives no executable memory", 1);
    backend_ = backend::make_x64_backend({region.layout, region.helpers, pinned, area_.data(), kThunks});
    const backend::Emitted& e = backend_->emit(region, {false, false, region.insn_count});
    links_ = e.links;
    rows_ = e.pc_map;
    for (backend::LinkSlot& l : links_) l.from = &block_;
    block_.links = links_;
    block_.pc_map = rows_;
    block_.code = area_.data() + kThunks;
    block_.code_size = static_cast<u32>(e.code.size());
    block_.hot_size = e.hot_size;
    block_.cold = block_.code + e.hot_size;
    backend_->install(e, block_);
  }
  std::string text() const { return backend_->disassemble(block_.code, block_.code_size, 0); }
  backend::ExitReason enter(Guest& g) {
    g.header().code_base = area_.data();
    return backend_->enter(g.header(), block_);
  }
  // Where a call left the code: the instruction.
  const backend::PcMapRow* faulting(Guest& g) const {
    const u8* at = backend_->return_address(g.header());
    for (const backend::PcMapRow& row : rows_) {
      if (block_.at(row.host) == at) return &row;
    }
    return nullptr;
  }

 private:
  static constexpr size_t kThunks = 64 << 10;
  os::ExecMemory area_;
  std::unique_ptr<backend::Backend> backend_;
  backend::CodeBlock block_;
  std::vector<backend::LinkSlot> links_;
  std::vector<backend::PcMapRow> rows_;
};

std::string hex(u64 v) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
  return text;
}

// What a run leaves: two that did the same are equal.
struct Outcome {
  std::string end;
  std::vector<std::vector<u8>> registers;
  std::vector<u8> memory;
  bool operator==(const Outcome&) const = default;
};

void set_pc(Guest& g, u64 pc) { store_le<u64>(g.base() + g.layout().rows[g.layout().pc].offset, pc); }

// As the executor does: the flags row may be stale where a recipe says so.
void apply_recipe(Guest& g, const ir::Region& region, const ir::FlagRecipe* recipe) {
  if (!recipe) return;
  const std::span<const ir::RecipeOp> ops(region.recipe_ops.data() + recipe->begin, recipe->count);
  ir::store_flags(g.layout(), g.base(), ir::evaluate_recipe(ops, g.layout(), g.base()));
}

std::string ended_by(Guest& g, u64 pc, u32 insn, const ir::Region& region) {
  apply_recipe(g, region, ir::recipe_at(region.recipes, insn));
  if (g.raised)
    return "exception " + std::to_string(g.state().exc_vector) + " raised by a helper, instruction at " + hex(pc);
  return "fault at address " + hex(g.fault_va) + ", instruction at " + hex(pc);
}

std::string run_interp(Guest& g, const ir::Region& region) {
  if (setjmp(g.leave)) return ended_by(g, g.state().rip, 0, region);
  const auto r = backend::interp::run_region(region, g.header(), g, ir::kHelperAll);
  switch (r.end) {
    case backend::interp::End::Fault: g.fault_va = r.fault_va; return ended_by(g, r.pc, r.insns - 1, region);
    case backend::interp::End::Unsupported: fail("the interpreter does not run it", 1);
    default: break;
  }
  if (const u32 n = ir::exit_recipe(region.ops[r.op]); n) apply_recipe(g, region, &region.recipes[n - 1]);
  return (r.end == backend::interp::End::Loop ? "exit to the loop at " : "exit to ") + hex(g.state().rip);
}

std::string run_x64(Guest& g, const ir::Region& region, Jit& jit) {
  const u32 mxcsr = __builtin_ia32_stmxcsr();
  if (setjmp(g.leave)) {
    __builtin_ia32_ldmxcsr(mxcsr);
    const backend::PcMapRow* row = jit.faulting(g);
    if (!row) return "fault at address " + hex(g.fault_va) + " of no instruction: the backend's map lacks it";
    set_pc(g, row->pc);
    return ended_by(g, row->pc, row->insn, region);
  }
  const backend::ExitReason reason = jit.enter(g);
  if (reason == backend::ExitReason::Link) {
    // SAFETY: exit_slot is the address of one of the region's link slots.
    const auto* slot = reinterpret_cast<const backend::LinkSlot*>(g.header().exit_slot);
    if (slot->recipe) apply_recipe(g, region, &region.recipes[slot->recipe - 1]);
  }
  return (reason == backend::ExitReason::Loop ? "exit to the loop at " : "exit to ") + hex(g.state().rip);
}

std::string row_text(const std::vector<u8>& bytes) {
  std::string text = "0x";
  char digits[4];
  size_t n = bytes.size();
  while (n > 1 && bytes[n - 1] == 0) n--;
  while (n-- > 0) {
    std::snprintf(digits, sizeof digits, "%02x", bytes[n]);
    text += digits;
  }
  return text;
}

void print_memory(const Outcome& o, const std::vector<u8>& before) {
  for (size_t at = 0; at < o.memory.size(); at++) {
    if (o.memory[at] == before[at]) continue;
    std::printf("[%s]", hex(at).c_str());
    for (; at < o.memory.size() && o.memory[at] != before[at]; at++) std::printf(" %02x", o.memory[at]);
    std::printf("\n");
  }
}

Outcome run_once(const Options& o, const x86::CpuModel& cpu, const ir::Region& region, bool x64) {
  Guest g(cpu, o, region.mode);
  set_pc(g, region.pc);
  const std::vector<u8> before(g.ram(), g.ram() + g.ram_size());
  std::vector<std::vector<u8>> was;
  for (u16 i = 0; i < g.layout().count; i++) was.push_back(g.row(i));
  Outcome out;
  if (x64) {
    Jit jit(region, o.pinned);
    if (o.print_code) std::printf("OUT:\n%s\n", jit.text().c_str());
    out.end = run_x64(g, region, jit);
  } else {
    out.end = run_interp(g, region);
  }
  for (u16 i = 0; i < g.layout().count; i++) out.registers.push_back(g.row(i));
  out.memory.assign(g.ram(), g.ram() + g.ram_size());
  std::printf("%s: %s\n", x64 ? "x64" : "interp", out.end.c_str());
  for (u16 i = 0; i < g.layout().count; i++) {
    if (out.registers[i] == was[i]) continue;
    std::printf("%-8s %s (was %s)\n", g.layout().rows[i].name, row_text(out.registers[i]).c_str(),
                row_text(was[i]).c_str());
  }
  print_memory(out, before);
  return out;
}

std::string read_all(const std::string& file) {
  if (file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream in(file, std::ios::binary);
  if (!in) fail("can't read " + file, 1);
  return {std::istreambuf_iterator<char>(in), {}};
}

int run(const Options& o) {
  auto model = x86::parse_cpu(o.cpu, true);
  if (!model) fail("--cpu: " + model.error().text());
  const x86::CpuModel cpu = model.take();
  const auto frontend = x86::make_frontend(cpu);
  auto parsed = ir::parse(read_all(o.file), frontend->layout(), frontend->helpers());
  if (!parsed) fail(parsed.error().text(), 1);
  ir::Region region = parsed.take();
  if (const std::string wrong = ir::verify(region); !wrong.empty()) fail("the verifier: " + wrong, 1);
  ir::run_pipeline(region, o.opt);
  if (o.print_ir) std::printf("IR:\n%s\n", ir::dump(region).c_str());
  if (o.backend != "both") {
    run_once(o, cpu, region, o.backend == "x64");
    return 0;
  }
  const Outcome a = run_once(o, cpu, region, false), b = run_once(o, cpu, region, true);
  std::printf("interp and x64 %s\n", a == b ? "agree" : "DIFFER");
  return a == b ? 0 : 1;
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) { return doppel::run(doppel::parse(argc, argv)); }

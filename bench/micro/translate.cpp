// What translation costs, stage by stage: sweeps the code of an x86-64 ELF file (by default this program's own text),
// makes a region wherever the last one ended, and prints host time for each guest instruction. Nothing is executed.
// The caches are warm for the emulator and cold for the guest's bytes, so figures are a lower bound of those that
// `info jit` shows while a guest runs.
#include <elf.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "backend/backend.h"
#include "guest/x86/cpu_models.h"
#include "guest/x86/state.h"
#include "guest/x86/translate/frontend.h"
#include "ir/opt/pipeline.h"

namespace doppel {
namespace {

using Time = std::chrono::steady_clock::time_point;
Time now() { return std::chrono::steady_clock::now(); }
double ns(Time from, Time to) { return std::chrono::duration<double, std::nano>(to - from).count(); }

struct Code {
  std::vector<u8> bytes;
  u64 at = 0;
};

// The executable section named .text of an ELF file.
Code load_text(const char* path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
  const auto bad = [&](const char* why) {
    std::fprintf(stderr, "bench_translate: %s: %s\n", path, why);
    std::exit(1);
  };
  if (file.size() < sizeof(Elf64_Ehdr) || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0) bad("no ELF file");
  Elf64_Ehdr head;
  std::memcpy(&head, file.data(), sizeof head);
  if (head.e_machine != EM_X86_64 || head.e_shoff + u64{head.e_shnum} * sizeof(Elf64_Shdr) > file.size())
    bad("not for x86-64, or without sections");
  std::vector<Elf64_Shdr> sections(head.e_shnum);
  std::memcpy(sections.data(), file.data() + head.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  const Elf64_Shdr* best = nullptr;
  for (const Elf64_Shdr& s : sections) {
    if (s.sh_type != SHT_PROGBITS || !(s.sh_flags & SHF_EXECINSTR) || s.sh_offset + s.sh_size > file.size()) continue;
    if (!best || s.sh_size > best->sh_size) best = &s;
  }
  if (!best) bad("no code in it");
  const char* from = file.data() + best->sh_offset;
  return {{from, from + best->sh_size}, best->sh_addr};
}

class Reader final : public guest::CodeReader {
 public:
  explicit Reader(const Code& code) : code_(code) {}
  size_t fetch(u64 va, u8* out, size_t size) override {
    if (va < code_.at || va - code_.at >= code_.bytes.size()) return 0;
    const size_t n = std::min<size_t>(size, code_.bytes.size() - (va - code_.at));
    std::memcpy(out, code_.bytes.data() + (va - code_.at), n);
    return n;
  }

 private:
  const Code& code_;
};

struct Sums {
  double frontend = 0, passes = 0, backend = 0;
  u64 regions = 0, insns = 0, ops = 0, ops_opt = 0, bytes = 0;
};

// The end of the straight-line part that began at pc: where the next region of the sweep begins.
u64 next_pc(const ir::Region& region, u64 pc) {
  u64 end = pc;
  for (const ir::Op& op : region.ops) {
    if (op.code == ir::Opcode::insn && op.imm == end) end += op.aux;
  }
  return end;
}

Sums sweep(const Code& code, guest::Frontend& frontend, backend::Backend& backend, const ir::OptFlags& opt) {
  using namespace x86;
  const u64 mode = kModePe | kModeLma | kModeCs64 | kModeSs32 | kModeFlatData | kModeFlatCode | kModeFlatFsGs |
                   kModeFlatFs | kModeFlatGs | kModeOsfxsr | u64{3} << kModeCplShift;
  Reader reader(code);
  ir::Region region;
  Sums s;
  for (u64 pc = code.at; pc < code.at + code.bytes.size();) {
    const Time a = now();
    region.clear();
    frontend.translate({pc, mode, 0, &reader, {}}, region);
    const Time b = now();
    const u64 next = next_pc(region, pc);
    s.ops += region.ops.size();
    const Time c = now();
    ir::run_pipeline(region, opt);
    const Time d = now();
    const backend::Emitted& host = backend.emit(region, {false, true, region.insn_count});
    const Time e = now();
    s.frontend += ns(a, b);
    s.passes += ns(c, d);
    s.backend += ns(d, e);
    s.regions++;
    s.insns += region.insn_count;
    s.ops_opt += region.ops.size();
    s.bytes += host.code.size();
    pc = std::max(next, pc + 1);
  }
  return s;
}

int run(const char* path, int rounds) {
  const Code code = load_text(path);
  auto model = x86::parse_cpu("max", true);
  const x86::CpuModel cpu = model.take();
  const auto frontend = x86::make_frontend(cpu);
  std::vector<u8> thunks(size_t{64} << 10);
  const auto backend =
      backend::make_x64_backend({&frontend->layout(), &frontend->helpers(), -1, thunks.data(), thunks.size()});
  Sums best;
  double least = 0;
  for (int i = 0; i < rounds; i++) {
    const Sums s = sweep(code, *frontend, *backend, {});
    const double total = s.frontend + s.passes + s.backend;
    if (i == 0 || total < least) best = s, least = total;
  }
  const double n = static_cast<double>(std::max<u64>(best.insns, 1));
  std::printf("%llu regions, %llu instructions, %.2f IR ops an instruction, %.2f optimised, %.1f bytes of host code\n",
              static_cast<unsigned long long>(best.regions), static_cast<unsigned long long>(best.insns),
              static_cast<double>(best.ops) / n, static_cast<double>(best.ops_opt) / n,
              static_cast<double>(best.bytes) / n);
  std::printf("ns an instruction: frontend %.1f, passes %.1f, backend %.1f, together %.1f\n", best.frontend / n,
              best.passes / n, best.backend / n, least / n);
  return 0;
}

}  // namespace
}  // namespace doppel

// bench_translate [ELF-FILE [ROUNDS]]
int main(int argc, char** argv) {
  return doppel::run(argc > 1 ? argv[1] : argv[0], argc > 2 ? std::max(std::atoi(argv[2]), 1) : 5);
}

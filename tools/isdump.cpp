// isdump: what the translator makes of a few bytes of guest code, stage by stage: the instructions, the IR, the
// optimised IR and the host code. Nothing is executed. For questions such as "how is this instruction translated", for
// bug reports, and for tests/codegen.
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "backend/backend.h"
#include "guest/x86/cpu_models.h"
#include "guest/x86/state.h"
#include "guest/x86/translate/frontend.h"
#include "ir/opt/pipeline.h"

namespace doppel {
namespace {

constexpr const char* kUsage =
    "usage: isdump [OPTION...] HEXBYTES...   (or - to read them from standard input)\n"
    "  --cpu MODEL[,+/-FLAG...]   as -cpu of the emulator (max)\n"
    "  --mode 16|real|32|64       code of real mode, 16-bit or 32-bit protected mode, or long mode (64)\n"
    "  --cpl 0..3                 privilege (3, real mode 0)\n"
    "  --at ADDRESS               address of the first byte (0x1000)\n"
    "  --opt LIST                 optimiser passes, as --opt of the emulator (all)\n"
    "  --stages LIST              any of in_asm,ir,ir_opt,out_asm (all)\n"
    "  --pinned N                 guest registers kept in host registers at most (-1: as many as there are)\n"
    "Example: isdump --mode 32 89 c3 01 d8 75 fa\n";

enum Stage : unsigned { kInAsm = 1, kIr = 2, kIrOpt = 4, kOutAsm = 8, kAll = 15 };

struct Options {
  std::string cpu = "max", mode = "64";
  unsigned cpl = 3, stages = kAll;
  u64 at = 0x1000;
  int pinned = -1;
  ir::OptFlags opt;
  std::vector<u8> bytes;
};

// The bytes at their address; nothing else is mapped.
class Bytes final : public guest::CodeReader {
 public:
  Bytes(const std::vector<u8>& bytes, u64 at) : bytes_(bytes), at_(at) {}
  size_t fetch(u64 va, u8* out, size_t size) override {
    if (va < at_ || va - at_ >= bytes_.size()) return 0;
    const size_t n = std::min<size_t>(size, bytes_.size() - (va - at_));
    std::memcpy(out, bytes_.data() + (va - at_), n);
    return n;
  }

 private:
  const std::vector<u8>& bytes_;
  u64 at_;
};

[[noreturn]] void fail(const std::string& text) {
  std::fprintf(stderr, "isdump: %s\n", text.c_str());
  std::exit(2);
}

u64 number(std::string_view option, const char* text) {
  char* end = nullptr;
  const u64 value = std::strtoull(text, &end, 0);
  if (!*text || *end) fail(std::string(option) + ": '" + text + "' is not a number");
  return value;
}

unsigned parse_stages(const std::string& list) {
  unsigned stages = 0;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string word = list.substr(at, comma - at);
    const unsigned stage = word == "in_asm"    ? kInAsm
                           : word == "ir"      ? kIr
                           : word == "ir_opt"  ? kIrOpt
                           : word == "out_asm" ? kOutAsm
                           : word == "all"     ? kAll
                                               : 0u;
    if (!stage) fail("--stages: no stage '" + word + "': they are in_asm, ir, ir_opt, out_asm, all");
    stages |= stage;
    at = comma + 1;
  }
  return stages;
}

void add_hex(std::vector<u8>& bytes, const std::string& text) {
  std::string digits;
  for (char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)))
      digits += c;
    else if (!std::isspace(static_cast<unsigned char>(c)) && c != ',')
      fail("'" + text + "' is not a list of hexadecimal bytes such as 48 89 c3");
  }
  if (digits.size() % 2) fail("'" + text + "' has an odd number of hexadecimal digits");
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<u8>(std::stoul(digits.substr(i, 2), nullptr, 16)));
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    auto value = [&]() -> const char* {
      if (i + 1 >= argc) fail(arg + " needs a value");
      return argv[++i];
    };
    if (arg == "-h" || arg == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (arg == "--cpu") {
      o.cpu = value();
    } else if (arg == "--mode") {
      o.mode = value();
    } else if (arg == "--cpl") {
      o.cpl = static_cast<unsigned>(number(arg, value()));
    } else if (arg == "--at") {
      o.at = number(arg, value());
    } else if (arg == "--pinned") {
      o.pinned = std::atoi(value());
    } else if (arg == "--stages") {
      o.stages = parse_stages(value());
    } else if (arg == "--opt") {
      const bool verify = o.opt.verify;
      if (const std::string wrong = ir::parse_opt_flags(value(), o.opt); !wrong.empty()) fail("--opt: " + wrong);
      o.opt.verify |= verify;
    } else if (arg == "-") {
      std::string text;
      for (int c; (c = std::getchar()) != EOF;) text += static_cast<char>(c);
      add_hex(o.bytes, text);
    } else if (arg.starts_with("--")) {
      fail("no option " + arg + " (isdump --help lists them)");
    } else {
      add_hex(o.bytes, arg);
    }
  }
  if (o.bytes.empty()) {
    std::fputs(kUsage, stderr);
    std::exit(2);
  }
  if (o.cpl > 3) fail("--cpl is 0 to 3");
  return o;
}

u64 mode_bits(const Options& o) {
  using namespace x86;
  const u64 flat = kModeFlatData | kModeFlatCode | kModeFlatFsGs | kModeFlatFs | kModeFlatGs;
  const u64 sse = kModeOsfxsr | kModeOsxsave;
  const u64 cpl = u64{o.cpl} << kModeCplShift;
  const u64 privileged = o.cpl == 0 ? u64{kModeIoplOk} : 0;
  if (o.mode == "64") return kModePe | kModeLma | kModeCs64 | kModeSs32 | flat | sse | cpl | privileged;
  if (o.mode == "32") return kModePe | kModeCs32 | kModeSs32 | flat | sse | cpl | privileged;
  if (o.mode == "16") return kModePe | sse | cpl | privileged;
  if (o.mode == "real") return sse | kModeIoplOk;
  fail("--mode " + o.mode + ": it is 16, real, 32 or 64");
}

void print_guest(const guest::Frontend& frontend, const Options& o, u64 mode, const ir::Region& region) {
  std::printf("IN:\n");
  for (const ir::Op& op : region.ops) {
    if (op.code != ir::Opcode::insn || op.imm < o.at || op.imm - o.at >= o.bytes.size()) continue;
    std::string text;
    const size_t offset = op.imm - o.at;
    const size_t n = frontend.disassemble(o.bytes.data() + offset, o.bytes.size() - offset, op.imm, mode, text);
    std::printf("0x%08llx:  ", static_cast<unsigned long long>(op.imm));
    for (size_t k = 0; k < n && offset + k < o.bytes.size(); k++) std::printf("%02x", o.bytes[offset + k]);
    std::printf("%*s%s\n", static_cast<int>(n < 9 ? 20 - 2 * n : 2), "", text.c_str());
  }
  std::printf("\n");
}

int run(const Options& o) {
  auto model = x86::parse_cpu(o.cpu, true);
  if (!model) fail("--cpu: " + model.error().text());
  const x86::CpuModel cpu = model.take();
  const auto frontend = x86::make_frontend(cpu);
  Bytes code(o.bytes, o.at);
  const u64 mode = mode_bits(o);
  ir::Region region;
  frontend->translate({o.at, mode, 0, &code, {}}, region);
  region.pc = o.at;
  region.mode = mode;
  region.layout = &frontend->layout();
  region.helpers = &frontend->helpers();
  if (o.stages & kInAsm) print_guest(*frontend, o, mode, region);
  if (o.stages & kIr) std::printf("IR:\n%s\n", ir::dump(region).c_str());
  ir::run_pipeline(region, o.opt);
  if (o.stages & kIrOpt) std::printf("OPTIMISED IR:\n%s\n", ir::dump(region).c_str());
  if (!(o.stages & kOutAsm)) return 0;
  std::vector<u8> thunks(size_t{64} << 10);
  const auto backend =
      backend::make_x64_backend({&frontend->layout(), &frontend->helpers(), o.pinned, thunks.data(), thunks.size()});
  const backend::Emitted host = backend->emit(region, {false, true, region.insn_count});
  std::printf("OUT: %zu bytes for %u instructions in %u bytes; %s\n%s", host.code.size(), region.insn_count,
              region.guest_bytes, backend->describe().c_str(),
              backend->disassemble(host.code.data(), host.code.size(), 0).c_str());
  return 0;
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) { return doppel::run(doppel::parse(argc, argv)); }

// x and xp: memory dumps. x/FMT ADDRESS with FMT = [count][format][size]: formats x d u o c i; sizes b h w g.
#include <cctype>

#include "monitor/commands/command.h"
#include "monitor/commands/guest_bytes.h"

namespace doppel::monitor {
namespace {

struct Format {
  u64 count = 1;
  char kind = 'x';
  unsigned size = 4;
};

bool parse_format(const std::string& command, Format& f) {
  const size_t slash = command.find('/');
  if (slash == std::string::npos) return true;
  size_t i = slash + 1;
  u64 n = 0;
  bool counted = false;
  for (; i < command.size() && std::isdigit(static_cast<unsigned char>(command[i])); i++) {
    n = std::min<u64>(n * 10 + static_cast<u64>(command[i] - '0'), 100000);
    counted = true;
  }
  if (counted) f.count = n;
  for (; i < command.size(); i++) {
    switch (command[i]) {
      case 'x':
      case 'd':
      case 'u':
      case 'o':
      case 'c':
      case 'i': f.kind = command[i]; break;
      case 'b': f.size = 1; break;
      case 'h': f.size = 2; break;
      case 'w': f.size = 4; break;
      case 'g': f.size = 8; break;
      default: return false;
    }
  }
  return true;
}

}  // namespace

size_t read_guest(machine::Machine& m, const GuestPlace& place, std::span<u8> out) {
  size_t done = 0;
  while (done < out.size()) {
    u64 pa = place.address + done;
    const size_t n = std::min<size_t>(out.size() - done, 4096 - (pa & 4095));
    if (place.cpu >= 0) {
      accel::Vcpu& vcpu = *m.vcpus()[static_cast<size_t>(place.cpu)];
      bool ok = false;
      vcpu.run_on([&] { ok = vcpu.cpu().debug_translate(place.address + done, pa); });
      if (!ok) break;
    }
    m.memory().read(pa, out.data() + done, n);
    done += n;
  }
  return done;
}

namespace {

size_t read_bytes(machine::Machine& m, bool physical, u64 address, u8* out, size_t size) {
  return read_guest(m, {address, physical ? -1 : 0}, {out, size});
}

std::string value_text(const Format& f, u64 v) {
  const u64 mask = mask_bits(f.size * 8);
  switch (f.kind) {
    case 'd': return format(" %lld", static_cast<long long>(sign_extend(v & mask, f.size * 8)));
    case 'u': return format(" %llu", static_cast<unsigned long long>(v & mask));
    case 'o': return format(" 0%llo", static_cast<unsigned long long>(v & mask));
    case 'c':
      return std::isprint(static_cast<int>(v & 0xff)) ? format(" '%c'", static_cast<int>(v & 0xff))
                                                      : format(" '\\x%02x'", static_cast<unsigned>(v & 0xff));
    default: return format(" 0x%0*llx", static_cast<int>(f.size * 2), static_cast<unsigned long long>(v & mask));
  }
}

std::string instructions(machine::Machine& m, bool physical, u64 address, u64 count) {
  std::string text;
  for (u64 i = 0; i < count; i++) {
    u8 bytes[16];
    const size_t n = read_bytes(m, physical, address, bytes, sizeof bytes);
    if (n == 0) return text + format("0x%08llx: Cannot access memory\n", static_cast<unsigned long long>(address));
    std::string insn;
    size_t length = 1;
    guest::GuestCpu& cpu = m.vcpus()[0]->cpu();
    m.vcpus()[0]->run_on([&] { length = cpu.frontend().disassemble(bytes, n, address, cpu.mode(), insn); });
    text += format("0x%08llx:  ", static_cast<unsigned long long>(address)) + insn + "\n";
    address += std::max<size_t>(length, 1);
  }
  return text;
}

std::string dump(machine::Machine& m, const Words& words, bool physical) {
  Words w = words;
  if (w.size() > 1 && w[1].starts_with("/")) {  // "x /4xw 0": as x/4xw 0
    w[0] += w[1];
    w.erase(w.begin() + 1);
  }
  Format f;
  u64 address = 0;
  if (!parse_format(w[0], f)) return "the format of '" + w[0] + "' is not [count][x|d|u|o|c|i][b|h|w|g]\n";
  if (m.vcpus().empty()) return "this machine has no CPU and no memory\n";
  if (w.size() < 2) return w[0] + " needs an address\n";
  std::string where = w[1];
  if (where.starts_with("$")) {  // $pc, $eip, $rip
    if (where != "$pc" && where != "$eip" && where != "$rip") return "only $pc is known, not '" + where + "'\n";
    m.vcpus()[0]->run_on([&] { address = m.vcpus()[0]->cpu().linear_pc(); });
  } else if (!parse_number(where, address)) {
    return "'" + where + "' is not an address\n";
  }
  if (f.kind == 'i') return instructions(m, physical, address, f.count);
  if (f.kind == 'c') f.size = 1;
  const unsigned per_line = f.size == 1 ? (f.kind == 'c' ? 8 : 16) : f.size == 2 ? 8 : f.size == 4 ? 4 : 2;
  std::string text;
  for (u64 i = 0; i < f.count; i++) {
    if (i % per_line == 0) text += (i ? "\n" : "") + format("%016llx:", static_cast<unsigned long long>(address));
    u8 bytes[8] = {};
    if (read_bytes(m, physical, address, bytes, f.size) < f.size) return text + " Cannot access memory\n";
    text += value_text(f, load_le<u64>(bytes));
    address += f.size;
  }
  return text + "\n";
}

std::string x(Context& c, const Words& w) { return dump(c.machine, w, false); }
std::string xp(Context& c, const Words& w) { return dump(c.machine, w, true); }

constexpr HumanCommand kRows[] = {
    {"x", "/fmt address", "dump virtual memory (x/4xw 0x7c00, x/5i $pc)", x},
    {"xp", "/fmt address", "dump physical memory", xp},
};

}  // namespace

std::span<const HumanCommand> memory_commands() { return kRows; }

}  // namespace doppel::monitor

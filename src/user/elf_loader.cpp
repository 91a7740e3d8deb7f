#include "user/elf_loader.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "user/linux/syscalls.h"

namespace doppel::user {
namespace {

constexpr u64 kPage = 4096;

Error host_error(const std::string& what, int number, const std::string& fix = {}) {
  return Error{what + ": " + std::strerror(number), fix, number == ENOENT ? 127 : 126};
}

struct PrefixRow {
  const char* guest;
  const char* prefix;
  const char* package;
};
constexpr PrefixRow kPrefixes[] = {{"i386", "/usr/i686-linux-gnu", "libc6-i386-cross"},
                                   {"x86_64", "/usr/x86_64-linux-gnu", "libc6-amd64-cross"},
                                   {"mips", "/usr/mips-linux-gnu", "libc6-mips-cross"},
                                   {"mipsel", "/usr/mipsel-linux-gnu", "libc6-mipsel-cross"},
                                   {"mips64el", "/usr/mips64el-linux-gnuabi64", "libc6-mips64el-cross"}};

int protection(u32 flags) {
  return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

// The pages of one segment; what is past the file's part is zero.
Status map_segment(AddressMap& map, int fd, const ElfSegment& s, u64 bias) {
  const u64 start = align_down(s.address, kPage), skip = s.address - start;
  const u64 file_end = s.address + s.file_size, end = align_up(s.address + s.size, kPage);
  const int prot = protection(s.flags);
  u64 mapped_to = start;
  if (s.file_size) {
    if ((s.offset & (kPage - 1)) != skip) return Error{"a segment's file offset does not fit its address", ""};
    mapped_to = align_up(file_end, kPage);
    const bool tail = s.size > s.file_size && (file_end & (kPage - 1));
    const s64 got = map.map(start + bias, mapped_to - start, tail ? prot | PROT_WRITE : prot, MAP_PRIVATE | MAP_FIXED,
                            fd, s.offset - skip);
    if (got < 0) return host_error("can't map it", static_cast<int>(-got));
    if (tail) {
      std::memset(map.host(file_end + bias), 0, mapped_to - file_end);
      if (!(prot & PROT_WRITE)) map.protect(start + bias, mapped_to - start, prot);
    }
  }
  if (end > mapped_to) {
    const s64 got = map.map(mapped_to + bias, end - mapped_to, prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
    if (got < 0) return host_error("no memory for its data", static_cast<int>(-got));
  }
  return success();
}

// `where`: the bias of a movable file; ~0: wherever there is room.
Result<u64> map_file(AddressMap& map, int fd, const ElfFile& elf, u64 where) {
  u64 bias = 0;
  const u64 size = elf.high - elf.low;
  if (elf.type == kEtDyn) {
    const bool anywhere = where == ~u64{0};
    const s64 got = map.map(anywhere ? 0 : where, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got < 0) return host_error("no room for it", static_cast<int>(-got));
    bias = static_cast<u64>(got) - elf.low;
  } else {
    const s64 got =
        map.map(elf.low, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got < 0)
      return host_error("its addresses are not free", static_cast<int>(-got),
                        "link it to be loaded anywhere (-pie), or lower vm.mmap_min_addr if it begins under 64 KiB");
  }
  for (const ElfSegment& s : elf.segments) {
    if (s.type != kPtLoad || s.size == 0) continue;
    if (Status st = map_segment(map, fd, s, bias); !st) return st.error();
  }
  // Holes between segments are not mapped.
  u64 at = elf.low;
  std::vector<std::pair<u64, u64>> parts;
  for (const ElfSegment& s : elf.segments)
    if (s.type == kPtLoad && s.size)
      parts.emplace_back(align_down(s.address, kPage), align_up(s.address + s.size, kPage));
  std::sort(parts.begin(), parts.end());
  for (const auto& [from, to] : parts) {
    if (from > at) map.unmap(at + bias, from - at);
    at = std::max(at, to);
  }
  return bias;
}

// --- the stack

class Stack {
 public:
  Stack(Process& p, u64 top) : process_(p), sp_(top) {}
  u64 sp() const { return sp_; }
  void align(u64 a) { sp_ = align_down(sp_, a); }
  u64 bytes(const void* data, size_t size) {
    sp_ -= size;
    std::memcpy(process_.map.host(sp_), data, size);
    return sp_;
  }
  u64 text(const std::string& s) { return bytes(s.c_str(), s.size() + 1); }
  void word(u64 v) {
    const Abi& abi = *process_.abi;
    u8 b[8];
    for (unsigned i = 0; i < abi.word; i++) b[abi.big_endian ? abi.word - 1 - i : i] = static_cast<u8>(v >> (8 * i));
    bytes(b, abi.word);
  }

 private:
  Process& process_;
  u64 sp_;
};

size_t text_size(const std::vector<std::string>& list) {
  size_t n = 0;
  for (const std::string& s : list) n += s.size() + 1 + 2 * sizeof(u64);
  return n;
}

struct Auxiliary {
  u64 phdr, entry, base;
  u16 header_size, count;
};

u64 build_stack(Process& p, u64 top, const Program& program, const Auxiliary& a) {
  Stack s(p, top - p.abi->word);
  const u64 file_name = s.text(program.name);
  std::vector<u64> env, args;
  for (auto it = p.options.environment.rbegin(); it != p.options.environment.rend(); ++it) env.push_back(s.text(*it));
  for (auto it = program.argv.rbegin(); it != program.argv.rend(); ++it) args.push_back(s.text(*it));
  const Processor& cpu = p.processor;
  const u64 platform = cpu.platform.empty() ? 0 : s.text(cpu.platform);
  const u64 base_platform = cpu.base_platform.empty() ? 0 : s.text(cpu.base_platform);
  s.align(16);
  u8 random[16];
  if (getrandom(random, sizeof random, 0) != sizeof random) std::memset(random, 0x5a, sizeof random);
  const u64 random_at = s.bytes(random, sizeof random);

  std::vector<std::pair<u64, u64>> aux = {{AT_HWCAP, cpu.hwcap},
                                          {AT_PAGESZ, p.abi->page_size},
                                          {AT_CLKTCK, static_cast<u64>(sysconf(_SC_CLK_TCK))},
                                          {AT_PHDR, a.phdr},
                                          {AT_PHENT, a.header_size},
                                          {AT_PHNUM, a.count},
                                          {AT_BASE, a.base},
                                          {AT_FLAGS, 0},
                                          {AT_ENTRY, a.entry},
                                          {AT_UID, getuid()},
                                          {AT_EUID, geteuid()},
                                          {AT_GID, getgid()},
                                          {AT_EGID, getegid()},
                                          {AT_SECURE, getauxval(AT_SECURE)},
                                          {AT_RANDOM, random_at},
                                          {AT_HWCAP2, cpu.hwcap2},
                                          {AT_EXECFN, file_name}};
  if (platform) aux.emplace_back(AT_PLATFORM, platform);
  if (base_platform) aux.emplace_back(AT_BASE_PLATFORM, base_platform);
  aux.emplace_back(AT_NULL, 0);
  const u64 words = 1 + args.size() + 1 + env.size() + 1 + 2 * aux.size();
  s.align(16);
  while ((s.sp() - words * p.abi->word) & 15) s.word(0);
  for (auto it = aux.rbegin(); it != aux.rend(); ++it) {
    s.word(it->second);
    s.word(it->first);
  }
  p.auxiliary = s.sp();
  p.auxiliary_bytes = 2 * aux.size() * p.abi->word;
  s.word(0);
  for (const u64 e : env) s.word(e);
  s.word(0);
  for (const u64 v : args) s.word(v);
  s.word(args.size());
  return s.sp();
}

Result<u64> make_stack(Process& p, const Program& program) {
  const u64 size = align_up(p.options.stack_bytes + text_size(program.argv) + text_size(p.options.environment), kPage);
  // Without PT_GNU_STACK the CPU's old convention holds: all that is readable can be executed.
  const int exec = program.elf.stack_flags < 0 || (program.elf.stack_flags & PF_X) ? PROT_EXEC : 0;
  const s64 got = p.map.map(p.abi->stack_top - size, size, PROT_READ | PROT_WRITE | exec,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got < 0) return host_error("no room for a stack", static_cast<int>(-got), "give a smaller one with -s");
  p.stack_start = static_cast<u64>(got);
  return p.abi->stack_top;
}

// The interpreter that the program names: its bias.
Result<u64> load_interpreter(Process& p, const Program& program, Loaded& out) {
  const std::string& name = program.elf.interpreter;
  const std::string path = p.find_path(name);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    std::string fix = "name a folder that holds the libraries of " + p.abi->name + " with -L";
    for (const PrefixRow& r : kPrefixes)
      if (p.abi->name == r.guest) fix += ", or apt-get install " + std::string(r.package) + ", which makes " + r.prefix;
    return Error{"'" + program.name + "' needs the program interpreter " + name + ", which is not there", fix, 127};
  }
  auto elf = read_elf(fd);
  if (!elf || guest_of(*elf) != p.abi->name) {
    close(fd);
    return Error{"the program interpreter " + path + " is not one for " + p.abi->name,
                 "name a folder with -L that holds the libraries of " + p.abi->name, 126};
  }
  auto bias = map_file(p.map, fd, *elf, ~u64{0});
  close(fd);
  if (!bias) return bias;
  out.entry = elf->entry + *bias;
  const u64 at = elf->low + *bias;
  out.interpreter = elf.take();
  return at;
}

}  // namespace

std::string default_prefix(const std::string& guest) {
  for (const PrefixRow& r : kPrefixes)
    if (guest == r.guest) return r.prefix;
  return "";
}

Result<Loaded> load_program(Process& p, Program& program) {
  const ElfFile& elf = program.elf;
  auto stack = make_stack(p, program);
  if (!stack) return stack.error();
  auto bias = map_file(p.map, program.fd, elf, p.abi->program_base);
  close(program.fd);
  program.fd = -1;
  if (!bias) return Error{"'" + program.name + "': " + bias.error().cause, bias.error().fix, 126};
  Auxiliary a{0, elf.entry + *bias, 0, elf.header_size, static_cast<u16>(elf.segments.size())};
  for (const ElfSegment& s : elf.segments) {
    if (s.type == kPtPhdr) a.phdr = s.address + *bias;
    if (s.type == kPtLoad && a.phdr == 0 && s.offset <= elf.headers && elf.headers - s.offset < s.file_size)
      a.phdr = s.address + (elf.headers - s.offset) + *bias;
  }
  p.brk_start = p.brk_now = elf.high + *bias;
  Loaded out{a.entry, 0, {}};
  if (!elf.interpreter.empty()) {
    auto base = load_interpreter(p, program, out);
    if (!base) return base.error();
    a.base = *base;
  }
  p.executable = program.host_path;
  p.argv = program.argv;
  out.sp = build_stack(p, *stack, program, a);
  return out;
}

// --- "#!"

Result<Program> open_program(const std::string& path, std::vector<std::string> argv,
                             const std::function<std::string(const std::string&)>& find, int* error_number) {
  Program out;
  out.name = path;
  std::string name = path;
  const auto fail = [&](int number, Error e) {
    if (error_number) *error_number = number;
    return e;
  };
  for (int depth = 0; depth < 6; depth++) {
    out.host_path = find(name);
    const int fd = open(out.host_path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd < 0 || fstat(fd, &info) != 0) {
      const int number = errno;
      if (fd >= 0) close(fd);
      return fail(number, host_error("can't open '" + name + "'", number, number == ENOENT ? "check the path" : ""));
    }
    if (!S_ISREG(info.st_mode) || faccessat(AT_FDCWD, out.host_path.c_str(), X_OK, AT_EACCESS) != 0) {
      close(fd);
      return fail(EACCES, Error{"'" + name + "' can't be executed",
                                S_ISDIR(info.st_mode) ? "it is a folder" : "chmod +x " + name, 126});
    }
    auto elf = read_elf(fd);
    if (elf) {
      out.fd = fd;
      out.elf = elf.take();
      out.argv = std::move(argv);
      return out;
    }
    char line[256] = {};
    const ssize_t got = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    if (!elf.error().cause.empty())
      return fail(ENOEXEC, Error{"'" + name + "': " + elf.error().cause, elf.error().fix, 126});
    if (got < 3 || line[0] != '#' || line[1] != '!')
      return fail(ENOEXEC, Error{"'" + name + "' is neither an ELF program nor a script", "", 126});
    std::string text(line + 2, static_cast<size_t>(got) - 2);
    text = text.substr(0, text.find('\n'));
    const size_t from = text.find_first_not_of(" \t");
    if (from == std::string::npos) return fail(ENOEXEC, Error{"'" + name + "' names no interpreter", "", 126});
    text = text.substr(from, text.find_last_not_of(" \t") + 1 - from);
    const size_t space = text.find_first_of(" \t");
    std::vector<std::string> next = {text.substr(0, space)};
    if (space != std::string::npos) next.push_back(text.substr(text.find_first_not_of(" \t", space)));
    next.push_back(name);
    for (size_t i = 1; i < argv.size(); i++) next.push_back(argv[i]);
    argv = std::move(next);
    name = argv[0];
  }
  return fail(ELOOP, Error{"'" + path + "': its interpreters are scripts of scripts", "", 126});
}

}  // namespace doppel::user

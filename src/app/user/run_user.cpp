#include "app/user/run_user.h"

#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "app/user/processor.h"
#include "base/log.h"
#include "guest/mips/cpu.h"
#include "guest/mips/cpu_models.h"
#include "guest/x86/cpu.h"
#include "guest/x86/cpu_models.h"
#include "guest/x86/platform.h"
#include "user/code_cache.h"
#include "user/process.h"

namespace doppel::app {
namespace {

constexpr const char* kUsage =
    "usage: %s [OPTION...] PROGRAM [ARGUMENT...]\n"
    "Runs one Linux program of another CPU (i386, x86_64, mips, mipsel, mips64el).\n"
    "  -L FOLDER      absolute paths are looked for below it first: its libraries (QEMU_LD_PREFIX)\n"
    "  -cpu MODEL     the CPU; -cpu help lists them (QEMU_CPU)\n"
    "  -E NAME=VALUE  a variable for the program's environment; -U NAME takes one out\n"
    "  -0 NAME        the program's argv[0]\n"
    "  -s BYTES       size of the stack, with K, M or G (QEMU_STACK_SIZE)\n"
    "  -strace        print its system calls (QEMU_STRACE)\n"
    "  -code-cache FOLDER|off  where translations are kept for the next run; ~/.cache/doppel/code (DOPPEL_CODE_CACHE)\n"
    "  -g PORT, PATH  wait for a debugger on a TCP port of this host, or a unix socket (QEMU_GDB)\n"
    "  -d ITEM,...    log; -d help lists the items. -D FILE: where to\n"
    "  -version, -help\n";

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

std::string variable(const char* name) {
  const char* v = std::getenv(name);
  return v ? v : "";
}

struct UserOptions {
  user::Options run;
  std::string cpu, log_items, log_file, program;
  std::vector<std::string> args, set, unset;
  bool help = false, version = false, argv0_given = false;
};

Result<u64> parse_size(const std::string& text) {
  char* end = nullptr;
  u64 n = std::strtoull(text.c_str(), &end, 0);
  const std::string unit = end;
  if (unit == "K" || unit == "k") n <<= 10;
  if (unit == "M" || unit == "m") n <<= 20;
  if (unit == "G" || unit == "g") n <<= 30;
  if (end == text.c_str() || unit.size() > 1 || (unit.size() == 1 && !std::strchr("KkMmGg", unit[0])))
    return Error{"'" + text + "' is not a size", "-s 8M", 2};
  if (n < (64u << 10) || n > (u64{1} << 30)) return Error{"a stack of " + text + " bytes", "-s takes 64K to 1G", 2};
  return n;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  for (size_t at = 0; at < list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    out.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  return out;
}

Status take_environment(UserOptions& o) {
  o.run.prefix = variable("QEMU_LD_PREFIX");
  o.cpu = variable("QEMU_CPU");
  o.run.strace = std::getenv("QEMU_STRACE") != nullptr;
  o.run.code_cache = variable("DOPPEL_CODE_CACHE");
  o.log_items = variable("QEMU_LOG");
  o.log_file = variable("QEMU_LOG_FILENAME");
  o.set = split(variable("QEMU_SET_ENV"));
  o.unset = split(variable("QEMU_UNSET_ENV"));
  o.run.argv0 = variable("QEMU_ARGV0");
  o.run.gdb = variable("QEMU_GDB");
  o.argv0_given = !o.run.argv0.empty();
  if (const std::string size = variable("QEMU_STACK_SIZE"); !size.empty()) {
    auto n = parse_size(size);
    if (!n) return n.error();
    o.run.stack_bytes = *n;
  }
  return success();
}

// One option; `value` is its argument where it takes one.
Status take_option(UserOptions& o, const std::string& name, const std::string& value) {
  if (name == "L") {
    o.run.prefix = value;
  } else if (name == "cpu") {
    o.cpu = value;
  } else if (name == "E") {
    o.set.push_back(value);
  } else if (name == "U") {
    o.unset.push_back(value);
  } else if (name == "0") {
    o.run.argv0 = value;
    o.argv0_given = true;
  } else if (name == "code-cache") {
    o.run.code_cache = value;
  } else if (name == "d") {
    o.log_items = value;
  } else if (name == "D") {
    o.log_file = value;
  } else if (name == "s") {
    auto n = parse_size(value);
    if (!n) return n.error();
    o.run.stack_bytes = *n;
  } else if (name == "p") {
    if (value != "4096")
      return Error{"pages of " + value + " bytes", "the program's pages are the host's, 4096 bytes: leave out -p", 2};
  } else if (name == "g") {
    if (value.empty()) return Error{"-g names neither a port nor a path", "-g 1234", 2};
    o.run.gdb = value;
  } else {
    return Error{"option -" + name + " is not one of user mode", "doppel user -help lists them", 2};
  }
  return success();
}

Result<UserOptions> parse(const std::vector<std::string>& args) {
  UserOptions o;
  if (Status s = take_environment(o); !s) return s.error();
  size_t i = 0;
  for (; i < args.size() && args[i].size() > 1 && args[i][0] == '-'; i++) {
    if (args[i] == "--") {
      i++;
      break;
    }
    const std::string name = args[i].substr(args[i][1] == '-' ? 2 : 1);
    if (name == "strace") {
      o.run.strace = true;
    } else if (name == "help" || name == "h") {
      o.help = true;
      return o;
    } else if (name == "version") {
      o.version = true;
      return o;
    } else {
      if (i + 1 == args.size()) return Error{"option -" + name + " needs a value", "doppel user -help lists them", 2};
      if (Status s = take_option(o, name, args[i + 1]); !s) return s.error();
      i++;
    }
  }
  if (i < args.size()) {
    o.program = args[i];
    o.args.assign(args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
  }
  return o;
}

// --- CPUs

class UserMipsPlatform final : public mips::Platform {
 public:
  u64 now_ns() override {
    return static_cast<u64>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
  }
  u64 count_hz() override { return 100000000; }
  void arm_compare(u32, u64) override {}
};

class UserX86Platform final : public x86::NullPlatform {
 public:
  u64 tsc() override { return __builtin_ia32_rdtsc(); }
};

struct MakeCpu {
  std::function<std::unique_ptr<guest::GuestCpu>(u32)> make;
  user::Processor processor;
};

Result<MakeCpu> x86_factory(const std::string& spec, bool wide) {
  auto model = x86::parse_cpu(spec.empty() ? "max" : spec, wide);
  if (!model) return model.error();
  static UserX86Platform platform;
  return MakeCpu{[model = *model](u32 index) { return x86::make_x86_cpu(model, platform, index); },
                 processor_of(*model, wide)};
}

Result<MakeCpu> mips_factory(const std::string& spec, bool wide, bool big) {
  auto model = mips::parse_cpu(spec.empty() ? (wide ? "MIPS64R2-generic" : "24Kf") : spec, wide, big);
  if (!model) return model.error();
  static UserMipsPlatform platform;
  return MakeCpu{[model = *model](u32 index) { return mips::make_mips_cpu(model, platform, index); },
                 processor_of(*model)};
}

Result<MakeCpu> cpu_factory(const user::Abi& abi, const std::string& spec) {
  if (abi.name == "i386" || abi.name == "x86_64") return x86_factory(spec, abi.word == 8);
  return mips_factory(spec, abi.word == 8, abi.big_endian);
}

std::string cpu_help(const std::string& guest) {
  if (guest == "i386" || guest == "x86_64" || guest.empty()) return x86::cpu_help();
  return mips::cpu_help(guest == "mips64el");
}

// --- the program

bool is_there(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::function<std::string(const std::string&)> finder(const std::string& prefix) {
  return [prefix](const std::string& path) {
    if (!prefix.empty() && path.starts_with('/') && is_there(prefix + path)) return prefix + path;
    return path;
  };
}

Result<const user::Abi*> abi_of(const user::Program& program, const std::string& guest) {
  const std::string is_for = user::guest_of(program.elf);
  std::string names;
  for (const std::string& n : user::abi_names()) names += (names.empty() ? "" : ", ") + n;
  if (is_for.empty())
    return Error{"'" + program.name + "' is a program for " + user::cpu_name(program.elf),
                 "user mode runs those of " + names, 126};
  if (!guest.empty() && is_for != guest)
    return Error{"'" + program.name + "' is a program for " + user::cpu_name(program.elf) + ", not for " + guest,
                 "run it with qemu-" + is_for + " or doppel user", 126};
  return user::find_abi(is_for);
}

std::vector<std::string> environment_of(const UserOptions& o) {
  std::vector<std::string> out;
  const auto remove = [&](const std::string& name) {
    std::erase_if(out, [&](const std::string& v) { return v.substr(0, v.find('=')) == name; });
  };
  for (char** v = environ; *v; v++) out.emplace_back(*v);
  for (const std::string& name : o.unset) remove(name);
  for (const std::string& v : o.set) {
    remove(v.substr(0, v.find('=')));
    out.push_back(v);
  }
  return out;
}

std::vector<std::string> kept_options(const UserOptions& o) {
  std::vector<std::string> out;
  const auto keep = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    out.emplace_back(name);
    out.push_back(value);
  };
  keep("-L", o.run.prefix);
  keep("-cpu", o.cpu);
  keep("-d", o.log_items);
  keep("-D", o.log_file);
  keep("-code-cache", o.run.code_cache.empty() ? "off" : o.run.code_cache);
  keep("-s", std::to_string(o.run.stack_bytes));
  if (o.run.strace) out.emplace_back("-strace");
  return out;
}

Status start_log(const UserOptions& o) {
  if (o.log_items.empty()) return success();
  auto mask = parse_log_items(o.log_items);
  if (!mask) return mask.error();
  if (Status s = log_open(o.log_file); !s) return s;
  log_set_mask(*mask);
  return success();
}

int start(UserOptions& o, const std::string& guest) {
  if (Status s = start_log(o); !s) return fail(s.error());
  auto program = user::open_program(o.program, o.args, finder(o.run.prefix), nullptr);
  if (!program) return fail(program.error());
  auto abi = abi_of(*program, guest);
  if (!abi) return fail(abi.error());
  auto factory = cpu_factory(**abi, o.cpu);
  if (!factory) return fail(factory.error());
  const std::string& interpreter = program->elf.interpreter;
  if (o.run.prefix.empty() && !interpreter.empty()) {
    const std::string usual = user::default_prefix((*abi)->name);
    const bool native = is_there(interpreter);
    if (!native && is_there(usual + interpreter)) o.run.prefix = usual;
  }
  if (o.argv0_given) program->argv[0] = o.run.argv0;
  auto* process = new user::Process;  // as long as the host's process
  process->abi = *abi;
  o.run.environment = environment_of(o);
  o.run.cpu = o.cpu;
  if (o.run.code_cache.empty()) o.run.code_cache = user::default_code_cache();
  if (o.run.code_cache == "off") o.run.code_cache.clear();
  // The program may go to another folder before its end.
  if (!o.run.code_cache.empty()) o.run.code_cache = std::filesystem::absolute(o.run.code_cache).string();
  o.run.kept = kept_options(o);
  process->options = o.run;
  process->make_cpu = std::move(factory->make);
  process->processor = std::move(factory->processor);
  process->find_path = finder(o.run.prefix);
  return fail(user::run_program(*process, *program));
}

}  // namespace

std::string user_guest_of(const std::string& program) {
  std::string name = program;
  if (name.starts_with("doppel-"))
    name = name.substr(7);
  else if (name.starts_with("qemu-"))
    name = name.substr(5);
  else
    return "";
  if (name.ends_with("-static")) name.resize(name.size() - 7);
  const std::vector<std::string> names = user::abi_names();
  return std::find(names.begin(), names.end(), name) == names.end() ? "" : name;
}

int run_user(const std::string& program, const std::string& guest, const std::vector<std::string>& args) {
  auto options = parse(args);
  if (!options) return fail(options.error());
  if (options->version) {
    std::printf("%s version 8.2.0 (Doppel 0.1.0)\n", program.c_str());
    return 0;
  }
  if (options->cpu == "help") {
    std::fputs(cpu_help(guest).c_str(), stdout);
    return 0;
  }
  if (options->log_items == "help") {
    std::fputs(log_items_help().c_str(), stdout);
    return 0;
  }
  if (options->help || options->program.empty()) {
    std::fprintf(options->help ? stdout : stderr, kUsage, program.c_str());
    return options->help ? 0 : 2;
  }
  return start(*options, guest);
}

int user_entry(int argc, char** argv) {
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "doppel";
  std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (const std::string guest = user_guest_of(program); !guest.empty()) return run_user(program, guest, args);
  constexpr unsigned long kPreserveArgv0 = 1;  // AT_FLAGS_PRESERVE_ARGV0: the kernel started us (binfmt_misc, flag P)
  if (argc >= 3 && (getauxval(AT_FLAGS) & kPreserveArgv0)) {
    args = {"-0", argv[2], "--", argv[1]};
    args.insert(args.end(), argv + 3, argv + argc);
    return run_user("doppel user", "", args);
  }
  const std::string command = args.empty() ? "" : args[0];
  if (!args.empty()) args.erase(args.begin());
  if (command == "user") return run_user("doppel user", "", args);
  if (const std::string guest = user_guest_of(command); !guest.empty()) return run_user(command, guest, args);
  if (command == "binfmt") return binfmt_command(args);
  return -1;
}

void become_user_program(char** argv) {
  char self[4096];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n > 0) execv((std::string(self, static_cast<size_t>(n)) + "-user").c_str(), argv);
}

}  // namespace doppel::app

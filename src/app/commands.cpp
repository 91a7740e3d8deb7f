#include "app/commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "app/doctor.h"
#include "app/img/img.h"
#include "app/img/io.h"
#include "app/options.h"
#include "app/run_machine.h"
#include "app/user/run_user.h"
#include "app/vm_launch.h"
#include "base/log.h"
#include "monitor/qmp/reference.h"

namespace doppel::app {
namespace {

constexpr const char* kVersion = "QEMU emulator version 8.2.0 (Doppel 0.1.0)";
constexpr const char* kUsage =
    "usage: doppel COMMAND ...\n"
    "  run FILE [OPTION...]      boot an ISO, disk image, kernel, or floppy; what it is, is found by its content\n"
    "      --throwaway           writes to the disk vanish at the end (--keep NAME: they become a snapshot); with "
    "--sandbox\n"
    "      --restore NAME        go on from a snapshot\n"
    "      --share DIR           a folder of the host for the guest; prints how it is mounted there (may be repeated)\n"
    "      --sandbox[=off]       give up what an emulator does not need: other programs, writing outside of the named "
    "folders\n"
    "  qemu-system-x86_64 ...    QEMU's command line (also qemu-system-i386); -help lists the options\n"
    "  explain FILE [OPTION...]  print the machine that run would start, as a QEMU-compatible command line\n"
    "  snapshot COMMAND VM ...   save, list, tree, restore, check, delete: a machine and its disks as they were\n"
    "  clone VM NEW              another machine that begins as this one is\n"
    "  screen [--text] VM        the characters on a running machine's screen\n"
    "  shot VM FILE              a picture of its screen (.png, .ppm)\n"
    "  type VM TEXT...           keys for it; \\n is the return key\n"
    "  doctor                    what works on this host, what not, why, and the fix\n"
    "  img COMMAND ...           disk images: create, info, convert, check, snapshot ... (qemu-img's command line)\n"
    "  user PROGRAM [ARG...]     run one Linux program of another CPU (also qemu-mipsel PROGRAM ...); -help lists the "
    "options\n"
    "  binfmt [--install]        let the kernel run such programs by themselves: what it is told, or tell it\n"
    "  list cpus [TARGET]|machines|devices|qmp\n"
    "  version\n"
    "Options of run are those of qemu-system-x86_64, e.g. -m 1G -smp 2 -nographic.\n";

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return 0;
}

int qemu_command(const std::string& program, const std::vector<std::string>& args) {
  const std::string target = program.substr(program.rfind('-') + 1);  // of qemu-system-TARGET
  const std::vector<std::string> targets = machine::targets();
  if (std::find(targets.begin(), targets.end(), target) == targets.end()) {
    std::string names;
    for (const std::string& name : targets) names += (names.empty() ? "" : ", ") + name;
    return fail({"there is no " + program + " yet", "qemu-system- is built for " + names, 1});
  }
  auto options = parse_qemu(args, target);
  if (!options) return fail(options.error());
  if (options->show_version) return print(std::string(kVersion) + "\nCopyright (c) 2026 The Doppel authors\n");
  if (options->show_help) return print(options_help(program));
  if (!options->text.empty()) return print(options->text);
  return run_machine(options.take());
}

int list(const std::vector<std::string>& args) {
  const std::string what = args.empty() ? "" : args[0];
  if (what == "cpus") {
    const std::string target = args.size() > 1 ? args[1] : "x86_64";
    const std::vector<std::string> targets = machine::targets();
    if (std::find(targets.begin(), targets.end(), target) == targets.end())
      return fail({"there is no target '" + target + "'", "doppel list cpus mipsel", 2});
    return print(machine::cpu_help(target));
  }
  if (what == "machines") return print(machine::boards_help());
  if (what == "devices") return print(machine::devices_help());
  if (what == "qmp") return print(monitor::qmp_reference());
  return fail({"list what?", "doppel list cpus, machines, devices or qmp", 2});
}

}  // namespace

int main_entry(int argc, char** argv) {
  const std::string program = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : "doppel";
  std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (program.starts_with("qemu-system-") || program.starts_with("doppel-system-")) return qemu_command(program, args);
  if (program == "qemu-img" || program == "doppel-img") return img::main(program, args);
  if (program == "qemu-io" || program == "doppel-io") return img::io_main(program, args);
  if (!user_guest_of(program).empty() || (!args.empty() && (args[0] == "user" || !user_guest_of(args[0]).empty())))
    become_user_program(argv);
  if (const int status = user_entry(argc, argv); status >= 0) return status;
  if (args.empty()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const std::string command = args[0];
  args.erase(args.begin());
  if (command.starts_with("qemu-system-")) return qemu_command(command, args);
  if (command == "img" || command == "qemu-img") return img::main(command == "img" ? "doppel img" : "qemu-img", args);
  if (command == "run") return run_file(args, false);
  if (command == "explain") return run_file(args, true);
  if (command == "snapshot") return snapshot_command(args);
  if (command == "clone") return clone_command(args);
  if (command == "screen") return screen_command(args);
  if (command == "shot") return shot_command(args);
  if (command == "type") return type_command(args);
  if (command == "doctor") {
    const Diagnosis d = doctor();
    print(d.text + (d.healthy ? "\nGuests run on this host.\n" : "\nA guest needs what is marked 'no' first.\n"));
    return d.healthy ? 0 : 1;
  }
  if (command == "list") return list(args);
  if (command == "version" || command == "--version" || command == "-version")
    return print(std::string("Doppel 0.1.0\n") + kVersion + "\n");
  if (command == "help" || command == "--help" || command == "-h" || command == "-help") return print(kUsage);
  const std::string near =
      nearest(command, {"run", "explain", "snapshot", "clone", "screen", "shot", "type", "img", "doctor", "list",
                        "version", "help", "user", "binfmt", "qemu-system-x86_64", "qemu-system-i386"});
  return fail({"unknown command '" + command + "'",
               near.empty() ? "doppel help lists them" : "did you mean '" + near + "'?", 2});
}

}  // namespace doppel::app

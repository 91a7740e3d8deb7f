// Loads a program, and its interpreter if it names one, and builds the stack that it starts with (System V psABI,
// "Process Initialization"; Linux's getauxval(3)).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "user/elf_file.h"
#include "user/thread.h"

namespace doppel::user {

// What execve(2) makes of a path: the file to load after "#!" lines, and its arguments.
struct Program {
  int fd = -1;
  ElfFile elf;
  std::string host_path;  // of the file that is loaded
  std::string name;       // AT_EXECFN: as it was asked for
  std::vector<std::string> argv;
};
// `find` gives the host's path of one that a program names. Errors carry in exit_status: 127 not found, 126 otherwise;
// `error_number`: execve's errno. The file stays open.
Result<Program> open_program(const std::string& path, std::vector<std::string> argv,
                             const std::function<std::string(const std::string&)>& find, int* error_number);

struct Loaded {
  u64 entry = 0, sp = 0;
  std::optional<ElfFile> interpreter;
};
// Into process.map, which is empty; sets process.brk_start, executable, argv. Closes program.fd.
Result<Loaded> load_program(Process& process, Program& program);
// Prefixes that packages of a guest's libraries use, the first being the one to name: /usr/mipsel-linux-gnu.
std::string default_prefix(const std::string& guest);

}  // namespace doppel::user

// Single programs: `doppel user`, qemu-<guest>, and `doppel binfmt`.
#pragma once
#include <string>
#include <vector>

namespace doppel::app {
// `guest`: the only one to run (qemu-mipsel); empty: what the program is for.
int run_user(const std::string& program, const std::string& guest, const std::vector<std::string>& args);
// The guest of a name like qemu-mipsel or qemu-mipsel-static; empty: it is none of user mode's names.
std::string user_guest_of(const std::string& program);
// The command line of a program that does nothing but this: names of guests, `user`, `binfmt`; -1: another command.
int user_entry(int argc, char** argv);
// Becomes doppel-user with the same arguments if that is beside this program; else comes back.
void become_user_program(char** argv);
int binfmt_command(const std::vector<std::string>& args);
}  // namespace doppel::app

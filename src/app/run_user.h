// Single programs: `doppel user`, qemu-<guest>, and `doppel binfmt`.
#pragma once
#include <string>
#include <vector>

namespace doppel::app {
// `guest`: the only one to run (qemu-mipsel); empty: what the program is for.
int run_user(const std::string& program, const std::string& guest, const std::vector<std::string>& args);
// The guest of a name like qemu-mipsel or qemu-mipsel-static; empty: it is none of user mode's names.
std::string user_guest_of(const std::string& program);
// The kernel started us for a program of another CPU (binfmt_misc with flag P): arguments as for run_user.
bool started_by_binfmt(int argc, char** argv, std::vector<std::string>& args);
int binfmt_command(const std::vector<std::string>& args);
}  // namespace doppel::app

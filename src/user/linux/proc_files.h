// Files of /proc that show the program, not the emulator that runs it.
#pragma once
#include <string>

#include "user/thread.h"

namespace doppel::user {

// "maps" of /proc/self/maps, /proc/thread-self/maps, /proc/PID/maps and /proc/PID/task/TID/maps if the PID is this
// process's or one of its threads; else empty.
std::string own_proc_file(const std::string& path);
// The program's file if `path` is /proc/.../exe of this process, or of another one that is this emulator; else empty.
std::string proc_exe(Thread& t, const std::string& path);
// What the program shall read there; false: the host's file will do.
bool proc_file_text(Thread& t, const std::string& path, std::string& out);
// A descriptor with that text, or -errno.
s64 open_text(const std::string& name, const std::string& text, int flags);

}  // namespace doppel::user

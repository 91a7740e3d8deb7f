// -sandbox: what the process gives up once the machine is there. A filter of system calls (seccomp) refuses, with
// EPERM, what an emulator never needs and, as the options say, more. With files=deny, Landlock lets it write only in
// the folders that the command line names (reading stays free: a new CD may lie anywhere). What the kernel can't do is
// told.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace doppel::app {

struct Sandbox {
  bool on = false;
  bool obsolete = false;               // allowed: calls that no new program makes
  bool elevate_privileges = true;      // setuid and its kin
  bool spawn = true;                   // other programs
  bool resource_control = true;        // priorities, CPU sets
  bool files = true;                   // writing anywhere
  std::vector<std::string> arguments;  // of the command line, for its files
};

// "on[,obsolete=allow|deny][,elevateprivileges=allow|deny|children][,spawn=allow|deny][,resourcecontrol=allow|deny]
// [,files=allow|deny]"
Status parse_sandbox(const std::string& text, Sandbox& s);

// The folders in which files may be made and changed.
std::vector<std::string> writable_folders(const Sandbox& s);

// Before the first thread is made: files and programs. The result says what could not be applied; empty: all.
Result<std::string> enter_file_sandbox(const Sandbox& s);
// Before the guest runs, for all threads: system calls.
Status enter_call_sandbox(const Sandbox& s);

}  // namespace doppel::app

// GDB's numbers of signals (its include/gdb/signals.def), which are the same for every system.
#include <csignal>

#include "user/debugger.h"

namespace doppel::user {
namespace {

struct Row {
  int host, gdb;
};
constexpr Row kRows[] = {{SIGHUP, 1},     {SIGINT, 2},   {SIGQUIT, 3},   {SIGILL, 4},   {SIGTRAP, 5},  {SIGABRT, 6},
                         {SIGFPE, 8},     {SIGKILL, 9},  {SIGBUS, 10},   {SIGSEGV, 11}, {SIGSYS, 12},  {SIGPIPE, 13},
                         {SIGALRM, 14},   {SIGTERM, 15}, {SIGURG, 16},   {SIGSTOP, 17}, {SIGTSTP, 18}, {SIGCONT, 19},
                         {SIGCHLD, 20},   {SIGTTIN, 21}, {SIGTTOU, 22},  {SIGIO, 23},   {SIGXCPU, 24}, {SIGXFSZ, 25},
                         {SIGVTALRM, 26}, {SIGPROF, 27}, {SIGWINCH, 28}, {SIGUSR1, 30}, {SIGUSR2, 31}, {SIGPWR, 32}};
constexpr int kUnknown = 143, kRealtime32 = 77, kRealtime33 = 45, kRealtime64 = 78;

}  // namespace

int gdb_signal_of(int host) {
  for (const Row& r : kRows)
    if (r.host == host) return r.gdb;
  if (host == 32) return kRealtime32;
  if (host == 64) return kRealtime64;
  return host > 32 && host < 64 ? kRealtime33 + (host - 33) : kUnknown;
}

int host_signal_of(int gdb) {
  for (int host = 1; host <= 64; host++)
    if (gdb_signal_of(host) == gdb && gdb != kUnknown) return host;
  return 0;
}

}  // namespace doppel::user

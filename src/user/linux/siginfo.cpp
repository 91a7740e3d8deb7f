// siginfo_t: 128 bytes, the fields by the signal's code. MIPS has si_code before si_errno.
#include <signal.h>

#include <cstring>

#include "user/linux/constants.h"
#include "user/linux/layout.h"

namespace doppel::user {

namespace {

enum class Form : u8 { Kill, Queue, Timer, Fault, Child, Poll };

Form form_of(const Abi& abi, const PendingSignal& s) {
  // By the host's numbers: signal_to_host is the identity where they are the same.
  const int number = abi.signal_to_host(s.number);
  if (s.code == SI_TIMER) return Form::Timer;
  if (s.code == SI_QUEUE || s.code == SI_MESGQ) return Form::Queue;
  if (s.code <= 0) return s.value ? Form::Queue : Form::Kill;
  switch (number) {
    case SIGILL:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGTRAP: return Form::Fault;
    case SIGCHLD: return Form::Child;
    case SIGPOLL: return Form::Poll;
    default: return Form::Kill;
  }
}

// MIPS counts SI_ASYNCIO, SI_TIMER, SI_MESGQ otherwise.
int code_to_guest(const Abi& abi, int code) {
  if (!is_mips(abi)) return code;
  return code == SI_TIMER ? -3 : code == SI_MESGQ ? -4 : code == SI_ASYNCIO ? -2 : code;
}
int code_to_host(const Abi& abi, int code) {
  if (!is_mips(abi)) return code;
  return code == -3 ? SI_TIMER : code == -4 ? SI_MESGQ : code == -2 ? SI_ASYNCIO : code;
}

}  // namespace

void write_siginfo(const Abi& abi, const PendingSignal& s, u8* out) {
  std::memset(out, 0, 128);
  const unsigned w = abi.word;
  const unsigned fields = w == 8 ? 16 : 12;  // the union begins at a word's multiple
  auto put32 = [&](unsigned at, s64 v) { put_value(abi, out + at, static_cast<u64>(v), 4); };
  put32(0, s.number);
  put32(is_mips(abi) ? 8 : 4, s.error);
  put32(is_mips(abi) ? 4 : 8, code_to_guest(abi, s.code));
  switch (form_of(abi, s)) {
    case Form::Fault: put_value(abi, out + fields, s.address, w); return;
    case Form::Poll:
      put_value(abi, out + fields, s.address, w);  // si_band
      put32(fields + w, s.status);                 // si_fd
      return;
    case Form::Timer:
      put32(fields, s.pid);  // si_tid and si_overrun are where si_pid and si_uid are
      put32(fields + 4, s.uid);
      put_value(abi, out + fields + 8, s.value, w);
      return;
    case Form::Queue: put_value(abi, out + fields + 8, s.value, w); break;
    case Form::Child: put32(fields + 8, s.status); break;
    case Form::Kill: break;
  }
  put32(fields, s.pid);
  put32(fields + 4, s.uid);
}

PendingSignal read_siginfo(const Abi& abi, const u8* in) {
  const unsigned fields = abi.word == 8 ? 16 : 12;
  auto get32 = [&](unsigned at) { return static_cast<s32>(get_value(abi, in + at, 4)); };
  PendingSignal s;
  s.number = get32(0);
  s.error = get32(is_mips(abi) ? 8 : 4);
  s.code = code_to_host(abi, get32(is_mips(abi) ? 4 : 8));
  s.pid = get32(fields);
  s.uid = get32(fields + 4);
  s.value = get_value(abi, in + fields + 8, abi.word);
  s.status = get32(fields + 8);
  s.address = get_value(abi, in + fields, abi.word);
  return s;
}

}  // namespace doppel::user

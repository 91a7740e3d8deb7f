#include "user/host_calls_linux.h"

#include <sys/syscall.h>

extern "C" {
doppel::s64 doppel_call(const volatile std::sig_atomic_t* arrived, long number, doppel::u64 a, doppel::u64 b,
                        doppel::u64 c, doppel::u64 d, doppel::u64 e, doppel::u64 f);
extern const char doppel_call_begin[], doppel_call_instruction[], doppel_call_left[];
int doppel_copy(void* to, const void* from, size_t size);
extern const char doppel_copy_instruction[], doppel_copy_left[];
void doppel_signal_return();
}

// System V ABI; Linux's system calls: rax, rdi rsi rdx r10 r8 r9; rcx and r11 are lost. -513 is kRestartAlways.
asm(R"(
.text
.type doppel_call, @function
doppel_call:
  mov %rsi, %rax
  mov %rdi, %r11
  mov %rdx, %rdi
  mov %rcx, %rsi
  mov %r8, %rdx
  mov %r9, %r10
  mov 8(%rsp), %r8
  mov 16(%rsp), %r9
doppel_call_begin:
  cmpl $0, (%r11)
  jne doppel_call_left
doppel_call_instruction:
  syscall
  ret
doppel_call_left:
  mov $-513, %rax
  ret
.size doppel_call, . - doppel_call
.type doppel_copy, @function
doppel_copy:
  mov %rdx, %rcx
doppel_copy_instruction:
  rep movsb
  mov $1, %eax
  ret
doppel_copy_left:
  xor %eax, %eax
  ret
.size doppel_copy, . - doppel_copy
.type doppel_signal_return, @function
doppel_signal_return:
  mov $15, %eax
  syscall
.size doppel_signal_return, . - doppel_signal_return
)");

namespace doppel::user {

s64 call_unless_arrived(const volatile std::sig_atomic_t* arrived, long number, u64 a, u64 b, u64 c, u64 d, u64 e,
                        u64 f) {
  return doppel_call(arrived, number, a, b, c, d, e, f);
}

s64 raw_call(long number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) {
  static const volatile std::sig_atomic_t kNothing = 0;
  s64 result;
  do {
    result = doppel_call(&kNothing, number, a, b, c, d, e, f);
  } while (result == -513);  // only when a signal came at its very first instruction
  return result;
}

bool copy_checked(void* to, const void* from, size_t size) { return doppel_copy(to, from, size) != 0; }

bool leave_call(u64& pc) {
  if (pc < reinterpret_cast<u64>(doppel_call_begin) || pc > reinterpret_cast<u64>(doppel_call_instruction))
    return false;
  pc = reinterpret_cast<u64>(doppel_call_left);
  return true;
}

bool leave_copy(u64& pc) {
  if (pc != reinterpret_cast<u64>(doppel_copy_instruction)) return false;
  pc = reinterpret_cast<u64>(doppel_copy_left);
  return true;
}

s64 kernel_sigaction(int signal, const KernelAction* to, KernelAction* old) {
  constexpr unsigned long kRestorer = 0x04000000;  // SA_RESTORER
  KernelAction action{};
  if (to) {
    action = *to;
    action.flags |= kRestorer;
    action.restorer = doppel_signal_return;
  }
  return raw_call(SYS_rt_sigaction, static_cast<u64>(signal), reinterpret_cast<u64>(to ? &action : nullptr),
                  reinterpret_cast<u64>(old), 8);
}

u64 kernel_set_mask(u64 mask) {
  u64 old = 0;
  raw_call(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<u64>(&mask), reinterpret_cast<u64>(&old), 8);
  return old;
}

}  // namespace doppel::user

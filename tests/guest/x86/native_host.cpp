// NativeHost: loads every register, jumps, and comes back through a signal handler on its own stack, which rewrites the
// context.
#include "guest/x86/native_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <sys/mman.h>
#include <ucontext.h>

#include <csignal>
#include <cstring>
#include <iterator>

struct FarPointer {
  doppel::u32 offset;
  doppel::u16 selector;
} __attribute__((packed));

extern "C" {
void doppel_test_native_enter(const void* state);
extern const char doppel_test_native_resume[];
doppel::u64 doppel_test_native_sp = 0;
FarPointer doppel_test_native_far = {0, 0};
}

// Offsets: gpr 0..120, rflags 128. The jump goes through memory so that no register is needed.
asm(R"(
.text
.globl doppel_test_native_enter
.type doppel_test_native_enter, @function
doppel_test_native_enter:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, doppel_test_native_sp(%rip)
  mov %rdi, %r15
  pushq 128(%r15)
  popfq
  mov 0(%r15), %rax
  mov 8(%r15), %rcx
  mov 16(%r15), %rdx
  mov 24(%r15), %rbx
  mov 32(%r15), %rsp
  mov 40(%r15), %rbp
  mov 48(%r15), %rsi
  mov 56(%r15), %rdi
  mov 64(%r15), %r8
  mov 72(%r15), %r9
  mov 80(%r15), %r10
  mov 88(%r15), %r11
  mov 96(%r15), %r12
  mov 104(%r15), %r13
  mov 112(%r15), %r14
  mov 120(%r15), %r15
  ljmpl *doppel_test_native_far(%rip)
.globl doppel_test_native_resume
doppel_test_native_resume:
  mov doppel_test_native_sp(%rip), %rsp
  cld
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
.size doppel_test_native_enter, .-doppel_test_native_enter
)");

namespace doppel::x86::test {
namespace {

constexpr size_t kGuard = 256 * NativeHost::kPage;
constexpr u16 kUserCode32 = 0x23, kUserData = 0x2b, kUserCode64 = 0x33;
constexpr int kSignals[] = {SIGTRAP, SIGSEGV, SIGFPE, SIGILL, SIGBUS};
NativeState* g_state = nullptr;

void on_signal(int number, siginfo_t* info, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int i = 0; i < 16; i++) g_state->gpr[i] = static_cast<u64>(regs[kOrder[i]]);
  g_state->rflags = static_cast<u64>(regs[REG_EFL]);
  g_state->rip = static_cast<u64>(regs[REG_RIP]) - (number == SIGTRAP ? 1 : 0);
  g_state->signal = number;
  const auto* fp = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs;
  if (fp) std::memcpy(g_state->fxsave, fp, sizeof g_state->fxsave);
  g_state->fault_va = reinterpret_cast<u64>(info->si_addr);
  g_state->error = static_cast<u64>(regs[REG_ERR]);
  // SAFETY: the interrupted code is the tested code; execution goes on at the end of doppel_test_native_enter.
  regs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<u64>(doppel_test_native_resume));
  regs[REG_EFL] &= ~0xcd5;
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~greg_t{0xffff}) | kUserCode64;
}

u8* map_low(size_t bytes, int protection) {
  void* p = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<u8*>(p);
}

}  // namespace

NativeHost::NativeHost() {
  code_ = map_low(3 * kPage, PROT_READ | PROT_WRITE | PROT_EXEC);
  // A wide guard before the data too: a repeated string runs down.
  u8* data = map_low(kGuard + 3 * kPage, PROT_NONE);
  if (data && mprotect(data + kGuard, 2 * kPage, PROT_READ | PROT_WRITE) == 0) data_ = data + kGuard;
  // Far from where tested code may leave its stack pointer: the kernel takes one in here for a handler already running.
  void* stack = mmap(nullptr, 64 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack != MAP_FAILED) alt_stack_ = static_cast<u8*>(stack);
  if (!code_ || !data_ || !alt_stack_) {
    code_ = nullptr;
    return;
  }
}
NativeHost::~NativeHost() {
  if (code_) munmap(code_, 3 * kPage);
  if (data_) munmap(data_ - kGuard, kGuard + 3 * kPage);
  if (alt_stack_) munmap(alt_stack_, 64 * 1024);
}

void NativeHost::clear_code() { std::memset(code_, 0xcc, kPage); }

void NativeHost::run(NativeState& state, u64 pc, bool bits32) {
  stack_t stack{alt_stack_, 0, 64 * 1024}, old_stack;
  sigaltstack(&stack, &old_stack);
  struct sigaction action = {}, old[std::size(kSignals)];
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (size_t i = 0; i < std::size(kSignals); i++) sigaction(kSignals[i], &action, &old[i]);
  NativeState out = state;
  g_state = &out;
  doppel_test_native_far = {static_cast<u32>(pc), bits32 ? kUserCode32 : kUserCode64};
  u16 ds, es;
  asm volatile("mov %%ds, %0; mov %%es, %1" : "=r"(ds), "=r"(es));
  if (bits32) asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(kUserData));
  doppel_test_native_enter(&state);
  asm volatile("fninit");  // the tested code's x87 state came back with us
  asm volatile("mov %0, %%ds; mov %1, %%es" : : "r"(ds), "r"(es));
  state = out;
  for (size_t i = 0; i < std::size(kSignals); i++) sigaction(kSignals[i], &old[i], nullptr);
  sigaltstack(&old_stack, nullptr);
}

}  // namespace doppel::x86::test
#endif

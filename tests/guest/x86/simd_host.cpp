// HostCpu: a page of code, a trampoline that loads and saves all registers, and a SIGFPE handler that steps over the
// instruction.
#include "guest/x86/simd_host.h"
#if defined(__x86_64__) && defined(__linux__)
#include <sys/mman.h>
#include <ucontext.h>

#include <csignal>

extern "C" void doppel_test_run_on_host(void* registers, const void* code);

// The registers stay addressable through RBX, which no tested instruction touches.
asm(R"(
.text
.globl doppel_test_run_on_host
.type doppel_test_run_on_host, @function
doppel_test_run_on_host:
  push %rbx
  push %rbp
  sub $8, %rsp
  mov %rdi, %rbx
  mov %rsi, %rbp
  fxrstor64 (%rbx)
  pushq 552(%rbx)
  popfq
  mov 512(%rbx), %rax
  mov 520(%rbx), %rcx
  mov 528(%rbx), %rdx
  mov 536(%rbx), %rsi
  mov 544(%rbx), %rdi
  call *%rbp
  pushfq
  popq 552(%rbx)
  mov %rax, 512(%rbx)
  mov %rcx, 520(%rbx)
  mov %rdx, 528(%rbx)
  mov %rsi, 536(%rbx)
  mov %rdi, 544(%rbx)
  fxsave64 (%rbx)
  fninit
  movl $0x1f80, -8(%rsp)
  ldmxcsr -8(%rsp)
  add $8, %rsp
  pop %rbp
  pop %rbx
  ret
.size doppel_test_run_on_host, .-doppel_test_run_on_host
)");

namespace doppel::x86::test {
namespace {

u64 g_after_instruction = 0;
volatile bool g_raised = false;

void on_fpe(int, siginfo_t*, void* context) {
  g_raised = true;
  // SAFETY: the handler is installed only around the one instruction, and steps over it.
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(g_after_instruction);
}

}  // namespace

static_assert(offsetof(HostRegisters, gpr) == 512 && offsetof(HostRegisters, rsi) == 536 &&
              offsetof(HostRegisters, rflags) == 552);

HostCpu::HostCpu() {
  void* p = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  page_ = p == MAP_FAILED ? nullptr : static_cast<u8*>(p);
}
HostCpu::~HostCpu() {
  if (page_) munmap(page_, 4096);
}

bool HostCpu::run(const u8* code, size_t size, HostRegisters& registers) {
  std::memcpy(page_, code, size);
  page_[size] = 0xc3;
  g_after_instruction = reinterpret_cast<u64>(page_ + size);
  g_raised = false;
  struct sigaction action = {}, old;
  action.sa_sigaction = on_fpe;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGFPE, &action, &old);
  doppel_test_run_on_host(&registers, page_);
  sigaction(SIGFPE, &old, nullptr);
  return !g_raised;
}

}  // namespace doppel::x86::test
#endif

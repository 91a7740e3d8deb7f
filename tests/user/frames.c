// x86: what a signal's frame holds, field by field, and that changes to it come back into the registers.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned char* resume;
#ifdef __x86_64__
#define CR2(uc) (uc)->uc_mcontext.gregs[REG_CR2]
#else
#define CR2(uc) (uc)->uc_mcontext.cr2
#endif

static void marks(const void* state, size_t fx_at) {
  const uint32_t* w = (const uint32_t*)((const char*)state + fx_at + 464);
  uint32_t magic1 = w[0], extended = w[1], magic2, size = w[4];
  const char* end = (const char*)state + fx_at + size;
  memcpy(&magic2, end, 4);
  printf("  state: aligned %d, magic %x %x, sizes agree %d, features %d\n", (int)(((uintptr_t)state + fx_at) % 64), magic1, magic2,
         extended == size + fx_at + 4, (w[2] & 3) == 3);
}

static void show(int n, siginfo_t* info, void* context) {
  ucontext_t* uc = context;
  greg_t* g = uc->uc_mcontext.gregs;
  printf("signal %d %d code %d, address %lx\n", n, info->si_signo, info->si_code, (long)info->si_addr);
  printf("  err %lx trap %lx cr2 %lx flags %lx, ucontext %lx, link %d\n", (long)g[REG_ERR], (long)g[REG_TRAPNO],
         g[REG_TRAPNO] == 14 ? (long)CR2(uc) : 0, (long)g[REG_EFL] & 0xcd5, (long)uc->uc_flags & 1, uc->uc_link != 0);
  printf("  stack flags %d, mask %d %d\n", uc->uc_stack.ss_flags, sigismember(&uc->uc_sigmask, SIGUSR1), sigismember(&uc->uc_sigmask, n));
#ifdef __x86_64__
  printf("  selectors %lx, stack %d\n", (long)g[REG_CSGSFS] & 0xffff, (int)((uintptr_t)context % 16));
  printf("  rbx %llx r12 %llx r15 %llx xmm0 %llx\n", g[REG_RBX], g[REG_R12], g[REG_R15], *(long long*)uc->uc_mcontext.fpregs->_xmm);
  marks(uc->uc_mcontext.fpregs, 0);
  g[REG_RBX] = 0x1111222233334444;
  uc->uc_mcontext.fpregs->_xmm[0].element[0] = 77;
  g[REG_RIP] = (greg_t)resume;
#else
  printf("  same esp %d\n", g[REG_ESP] == g[REG_UESP]);
  printf("  ebx %x\n", g[REG_EBX]);
  fpregset_t f = uc->uc_mcontext.fpregs;
  printf("  cw %lx sw %lx tag %lx st0 %x\n", f->cw, f->sw, f->tag, f->_st[0].exponent);
  marks(f, 112);
  g[REG_EBX] = 0x33334444;
  g[REG_EIP] = (greg_t)resume;
#endif
  g[REG_EFL] |= 1;
}

#ifdef __x86_64__
#define B "rbx"
#else
#define B "ebx"
#endif
// Runs an instruction that faults, with known registers; then prints what the handler made of them.
#define RUN(instruction, address)                                                                                            \
  do {                                                                                                                       \
    long after = 0;                                                                                                          \
    unsigned char carry = 9;                                                                                                 \
    BODY(instruction, address)                                                                                               \
    printf("  after: %lx carry %d\n", after, carry);                                                                         \
  } while (0)
#ifdef __x86_64__
#define BODY(instruction, address)                                                                                           \
  long xmm = 0x55aa;                                                                                                         \
  asm volatile("lea 1f(%%rip), %%rbx; mov %%rbx, %[resume]; mov $0xdeadbeef12345678, %%rbx; mov $12, %%r12; mov $15, %%r15\n" \
               "movq %[xmm], %%xmm0; xor %%ecx, %%ecx; " instruction "; 1: setc %[carry]; mov %%rbx, %[after]; movq %%xmm0, %[xmm]" \
               : [resume] "=m"(resume), [after] "=m"(after), [carry] "=m"(carry), [xmm] "+m"(xmm)                            \
               : "a"(address)                                                                                                \
               : "rbx", "rcx", "rdx", "r12", "r15", "xmm0", "memory", "cc");                                                 \
  printf("  xmm0 low %lx\n", xmm & 0xffffffff);
#else
#define BODY(instruction, address)                                                                                           \
  void* saved;                                                                                                               \
  asm volatile("mov %%ebx, %[saved]; mov $1f, %[resume]; mov $0x12345678, %%ebx; fninit; fld1; xor %%ecx, %%ecx; " instruction \
               "; 1: setc %[carry]; mov %%ebx, %[after]; fninit; mov %[saved], %%ebx"                                        \
               : [resume] "=m"(resume), [after] "=m"(after), [carry] "=m"(carry), [saved] "=m"(saved)                        \
               : "a"(address)                                                                                                \
               : "ecx", "edx", "memory", "cc");
#endif

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_sigaction = show;
  a.sa_flags = SA_SIGINFO;
  for (int n = 1; n < 32; n++)
    if (n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || n == SIGTRAP) sigaction(n, &a, NULL);
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigprocmask(SIG_BLOCK, &block, NULL);
  RUN("movl $1, (%%eax)", 0x1000L);
  RUN("movl (%%eax), %%edx", 0x1234L);
  RUN("ud2", 0L);
  RUN("int3", 0L);
  RUN("xor %%edx, %%edx; div %%ecx", 5L);
  RUN("hlt", 0L);
  RUN("int $0x21", 0L);
  long page = (long)mmap((void*)0x20000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  RUN("movl $1, 16(%%eax)", page);
#ifdef __x86_64__
  RUN("mov $0x8000000000000000, %%rax; mov (%%rax), %%rdx", 0L);
#endif
  return 0;
}

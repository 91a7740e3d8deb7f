// Floating point in odd registers too, and PR_GET_FP_MODE: MIPS o32.
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>

static void mode(const char* before) { printf("%smode %d\n", before, prctl(PR_GET_FP_MODE)); }

// Single precision in odd registers: the high half of the even one before where FR = 0.
static __attribute__((noinline)) float odd_registers(float a) {
  float out;
  __asm__ volatile(
      ".set push\n.set oddspreg\n"
      "mov.s $f5, %1\n"
      "mov.s $f7, %1\n"
      "add.s $f9, $f5, $f7\n"
      "add.s %0, $f9, $f9\n"
      ".set pop"
      : "=f"(out)
      : "f"(a)
      : "$f4", "$f5", "$f6", "$f7", "$f8", "$f9");
  return out;
}

static __attribute__((noinline)) void compute(void) {
  volatile double sum = 0.5, product = 1;
  double many[24];
  for (int i = 1; i <= 100; i++) sum += i;
  for (int i = 1; i <= 10; i++) product *= i;
  for (int i = 0; i < 24; i++) many[i] = sqrt(i) * sum - product;  // many at once
  double check = 0;
  for (int i = 0; i < 24; i++) check += (many[i] + product) / sum - sqrt(i);
  if (fabs(check) > 1e-6) printf("off by %g\n", check);
  printf("sum %.3f product %.3f odd %.3f\n", sum, product, odd_registers(3));
}

static void* thread(void* p) {
  mode("thread: ");
  compute();
  return p;
}

int main(void) {
  pthread_t t;
  mode("");
  compute();
  pthread_create(&t, 0, thread, 0);
  pthread_join(t, 0);
  if (prctl(PR_SET_FP_MODE, 3) != 0) puts("refused FRE");
#ifdef __mips_fpr
#if __mips_fpr == 64
  printf("set FR=1: %d\n", prctl(PR_SET_FP_MODE, 1));
  mode("");
#else
  printf("set FR=0: %d\n", prctl(PR_SET_FP_MODE, 0));
  mode("");
  compute();
#endif
#endif
  return 0;
}

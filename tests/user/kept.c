/* Vector registers and DSP accumulators are as before after a signal whose handler changes them. */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

static volatile sig_atomic_t came;

static void on_alarm(int number) {
  (void)number;
#if defined __mips_msa
  __asm__ volatile("ldi.b $w1, 0\n");
#elif defined __mips_dsp
  __asm__ volatile("mthi $0, $ac1\nmtlo $0, $ac2\nwrdsp $0, 0x3f\n" ::: "$ac1hi", "$ac2lo");
#endif
  came = 1;
}

int main(void) {
  signal(SIGALRM, on_alarm);
  const struct itimerval soon = {{0, 0}, {0, 50000}};
  setitimer(ITIMER_REAL, &soon, 0);
  int kept = 7 + 9;
#if defined __mips_msa
  int v = 7, w = 9;
  __asm__ volatile(".set noreorder\nfill.b $w1, %1\ninsert.b $w1[0], %2\n1: lw %0, %3\nbeqz %0, 1b\nnop\ncopy_u.b %1, $w1[15]\ncopy_u.b %2, $w1[0]\n.set reorder\n"
                   : "=&r"(kept), "+r"(v), "+r"(w) : "m"(came));
  kept = v + w;
#elif defined __mips_dsp
  int v = 7, w = 9, c = 0x2a000000 >> 24;
  __asm__ volatile(".set noreorder\nmthi %1, $ac1\nmtlo %2, $ac2\nwrdsp %3, 1\n1: lw %0, %4\nbeqz %0, 1b\nnop\nmfhi %1, $ac1\nmflo %2, $ac2\nrddsp %3, 1\n.set reorder\n"
                   : "=&r"(kept), "+r"(v), "+r"(w), "+r"(c) : "m"(came) : "$ac1hi", "$ac2lo");
  kept = v + w + c - 0x2a;
#else
  while (!came) continue;
#endif
  printf("%d\n", kept);
  return 0;
}

// What run.py debugs: calls, data, threads, a signal, a fault that is handled, an exit status.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct point {
  int x, y;
  double weight;
};
volatile int counter = 5;
volatile long long wide = 0x1122334455667788;
char text[32] = "before";
struct point points[2] = {{1, 2, 0.5}, {3, 4, 1.25}};
static sigjmp_buf back;
static volatile sig_atomic_t handled;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

__attribute__((noinline)) int square(int n) {
  int result = n * n;
  counter += result;
  return result;
}
__attribute__((noinline)) double half(double d) { return d / 2; }
__attribute__((noinline)) void touch(int n) {
  points[1].y = n;
  wide = wide + n;
}
__attribute__((noinline)) void in_thread(long n) {
  pthread_mutex_lock(&gate);
  counter += (int)n;
  pthread_mutex_unlock(&gate);
}
void* thread_main(void* p) {
  in_thread((long)p);
  return NULL;
}
void on_usr1(int n) { handled = n; }
void on_segv(int n) {
  (void)n;
  siglongjmp(back, 1);
}

int main(int argc, char** argv) {
  int sum = 0;
  for (int i = 1; i <= 3; i++) sum += square(i);
  double h = half(sum);
  touch(7);
  printf("sum %d half %.1f text %s argc %d\n", sum, h, text, argc);
  fflush(stdout);
  signal(SIGUSR1, on_usr1);
  raise(SIGUSR1);
  printf("handled %s\n", handled == SIGUSR1 ? "yes" : "no");
  signal(SIGSEGV, on_segv);
  if (sigsetjmp(back, 1) == 0) *(volatile int*)16 = 1;
  pthread_t threads[3];
  pthread_mutex_lock(&gate);
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, thread_main, (void*)(i + 10));
  pthread_mutex_unlock(&gate);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) _exit(square(2) == 4 ? 9 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  printf("counter %d child %d\n", counter, WEXITSTATUS(status));
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "wait") == 0)
    for (;;) pause();
  return 42;
}

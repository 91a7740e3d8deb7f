// Threads: futexes in all their uses by the C library, cancellation, signals to threads, spawned processes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "no")

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int counter, turn;
static __thread int own = 5;

static void* count(void* arg) {
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 20000; i++) {
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
  }
  own += (int)(long)arg;
  return (void*)(long)own;
}

static void* ping(void* arg) {
  const int me = (int)(long)arg;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < 200; i++) {
    while (turn != me) pthread_cond_wait(&cond, &lock);
    turn = !me;
    pthread_cond_broadcast(&cond);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

static void counting(void) {
  pthread_t t[4];
  void* result;
  long sum = 0;
  pthread_barrier_init(&barrier, NULL, 4);
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, count, (void*)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], &result), sum += (long)result;
  printf("counter %d sum %ld own %d\n", counter, sum, own);
  for (long i = 0; i < 2; i++) pthread_create(&t[i], NULL, ping, (void*)i);
  for (int i = 0; i < 2; i++) CHECK(pthread_join(t[i], NULL) == 0);
}

static void* die_holding(void* m) {
  pthread_mutex_lock(m);
  return NULL;
}

static void mutexes(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_nsec += 3000000;
  if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
  pthread_mutex_lock(&lock);
  CHECK(pthread_cond_timedwait(&cond, &lock, &t) == ETIMEDOUT);
  CHECK(pthread_mutex_timedlock(&lock, &t) == ETIMEDOUT);
  pthread_mutex_unlock(&lock);
  pthread_mutexattr_t a;
  pthread_mutex_t robust;
  pthread_t thread;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &a);
  pthread_create(&thread, NULL, die_holding, &robust);
  pthread_join(thread, NULL);
  CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
  CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
  pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
  CHECK(pthread_rwlock_rdlock(&rw) == 0 && pthread_rwlock_trywrlock(&rw) == EBUSY && pthread_rwlock_unlock(&rw) == 0);
  sem_t sem;
  sem_init(&sem, 0, 1);
  CHECK(sem_wait(&sem) == 0 && sem_timedwait(&sem, &t) == -1 && errno == ETIMEDOUT);
  CHECK(pthread_mutex_init(&robust, &a) == 0);
}

// A mutex in memory of two processes, and one whose owner is killed.
static void shared(void) {
  struct {
    pthread_mutex_t m;
    int n;
  }* s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&s->m, &a);
  pid_t pid = fork();
  for (int i = 0; i < 2000; i++) {
    pthread_mutex_lock(&s->m);
    s->n++;
    pthread_mutex_unlock(&s->m);
  }
  if (!pid) {
    while (*(volatile int*)&s->n != 4000) usleep(1000);  // the parent is through
    pthread_mutex_lock(&s->m);
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  CHECK(s->n == 4000);
  CHECK(pthread_mutex_lock(&s->m) == EOWNERDEAD);
}

static void raw_futex(void) {
  static int word = 7, other = 1;
  struct timespec t = {0, 1000000};
  CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 8, NULL) == -1 && errno == EAGAIN);
  CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 7, &t) == -1 && errno == ETIMEDOUT);
  CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1) == 0);
  CHECK(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 9) == -1 && errno == EAGAIN);
  CHECK(syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1, &other, 7) == 0);
  CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ADD, 4, FUTEX_OP_CMP_GT, 0)) == 0 && other == 5);
  CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_ANDN, 1, FUTEX_OP_CMP_EQ, 5)) == 0 && other == 4);
  CHECK(syscall(SYS_futex, (void*)3, FUTEX_WAKE, 1) == -1 && errno == EINVAL);
}

static volatile sig_atomic_t hit;
static void on_signal(int s) { hit = s; }
static void* wait_signal(void* arg) {
  (void)arg;
  while (!hit) usleep(1000);
  return (void*)(long)gettid();
}
static void* sleep_long(void* arg) {
  (void)arg;
  for (;;) sleep(100);
}

static void ending(void) {
  pthread_t t;
  void* result;
  signal(SIGUSR1, on_signal);
  pthread_create(&t, NULL, wait_signal, NULL);
  CHECK(pthread_kill(t, SIGUSR1) == 0 && pthread_join(t, &result) == 0 && (long)result != getpid() && hit == SIGUSR1);
  pthread_create(&t, NULL, sleep_long, NULL);
  usleep(2000);
  CHECK(pthread_cancel(t) == 0 && pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
  char* argv[] = {"sh", "-c", "exit 9", NULL};
  pid_t pid;
  int status;
  CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 9);
  CHECK(posix_spawn(&pid, "/nothing", NULL, NULL, argv, environ) == ENOENT);
  FILE* p = popen("echo from a pipe", "r");
  char line[64] = "";
  CHECK(fgets(line, sizeof line, p) && !strcmp(line, "from a pipe\n") && pclose(p) == 0);
  int secret = 0x1234, copy = 0;
  struct iovec here = {&copy, sizeof copy}, there = {&secret, sizeof secret};
  CHECK(process_vm_readv(getpid(), &here, 1, &there, 1, 0) == sizeof copy && copy == 0x1234);
}

int main(void) {
  setbuf(stdout, NULL);
  counting();
  mutexes();
  shared();
  raw_futex();
  ending();
}

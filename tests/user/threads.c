// Threads: mutexes, conditions, thread-local storage, barriers, cancellation, robust mutexes, signals to one thread.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kThreads = 8, kRounds = 20000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long counter;
static _Atomic long atomic_counter;
static __thread long own;
static __thread char own_name[32] = "initial";
static int turn;

static void* count(void* argument) {
  long id = (long)argument;
  for (int i = 0; i < kRounds; i++) {
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&atomic_counter, 1);
    own += id;
  }
  int fine = strcmp(own_name, "initial") == 0;
  snprintf(own_name, sizeof own_name, "thread %ld", id);
  sched_yield();
  return (void*)(own == id * kRounds && fine && atoi(own_name + 7) == id ? id : -1);
}

static void* take_turns(void* argument) {
  int id = (int)(long)argument;
  for (int i = 0; i < 50; i++) {
    pthread_mutex_lock(&lock);
    while (turn % 4 != id) pthread_cond_wait(&changed, &lock);
    turn++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static pthread_barrier_t barrier;
static void* meet(void* argument) {
  long serial = 0;
  (void)argument;
  for (int i = 0; i < 20; i++) serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
  return (void*)serial;
}

static sem_t ready;
static volatile int cleaned;
static void clean(void* argument) { cleaned = (int)(long)argument; }
static void* wait_for_ever(void* argument) {
  (void)argument;
  pthread_cleanup_push(clean, (void*)5L);
  sem_post(&ready);
  for (;;) sleep(100);
  pthread_cleanup_pop(0);
  return NULL;
}

static pthread_mutex_t robust;
static void* die_with_lock(void* argument) {
  (void)argument;
  pthread_mutex_lock(&robust);
  return NULL;
}

static __thread volatile int signalled;
static void on_signal(int n) { signalled = n; }
static void* wait_for_signal(void* argument) {
  (void)argument;
  sem_post(&ready);
  while (!signalled) usleep(1000);
  return (void*)(long)signalled;
}

static void* nothing(void* argument) { return argument; }
static void* detached(void* argument) {
  sem_post(argument);
  return NULL;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_t t[kThreads];
  int wrong = 0;
  for (long i = 0; i < kThreads; i++) pthread_create(&t[i], NULL, count, (void*)i);
  for (long i = 0; i < kThreads; i++) {
    void* result;
    pthread_join(t[i], &result);
    wrong += result != (void*)i;
  }
  printf("counted %ld %ld, wrong %d\n", counter, atomic_load(&atomic_counter), wrong);
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, take_turns, (void*)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  printf("turns %d\n", turn);
  pthread_barrier_init(&barrier, NULL, 4);
  long serial = 0;
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, meet, NULL);
  for (int i = 0; i < 4; i++) {
    void* result;
    pthread_join(t[i], &result);
    serial += (long)result;
  }
  printf("barrier %ld\n", serial);
  sem_init(&ready, 0, 0);
  pthread_create(&t[0], NULL, wait_for_ever, NULL);
  sem_wait(&ready);
  pthread_cancel(t[0]);
  void* result;
  pthread_join(t[0], &result);
  printf("cancelled %d, cleaned %d\n", result == PTHREAD_CANCELED, cleaned);
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &a);
  pthread_create(&t[0], NULL, die_with_lock, NULL);
  pthread_join(t[0], NULL);
  int r = pthread_mutex_lock(&robust);
  printf("robust: %s\n", r == EOWNERDEAD ? "EOWNERDEAD" : strerror(r));
  pthread_mutex_consistent(&robust);
  pthread_mutex_unlock(&robust);
  signal(SIGUSR1, on_signal);
  pthread_create(&t[0], NULL, wait_for_signal, NULL);
  sem_wait(&ready);
  pthread_kill(t[0], SIGUSR1);
  pthread_join(t[0], &result);
  printf("signalled %d, the others %d\n", (long)result == SIGUSR1, signalled);
  for (int i = 0; i < 300; i++) {
    pthread_create(&t[0], NULL, nothing, (void*)(long)i);
    pthread_join(t[0], &result);
    wrong += result != (void*)(long)i;
  }
  printf("300 threads, wrong %d\n", wrong);
  pthread_attr_t d;
  pthread_attr_init(&d);
  pthread_attr_setdetachstate(&d, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < 10; i++) pthread_create(&t[0], &d, detached, &ready);
  for (int i = 0; i < 10; i++) sem_wait(&ready);
  printf("detached\n");
  printf("tid is pid: %d\n", syscall(SYS_gettid) == getpid());
  return 0;
}

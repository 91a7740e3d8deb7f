// Processes: fork, pipes, exec of itself, vfork, posix_spawn, shells, scripts, exit statuses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static int status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void* spin(void* stop) {
  while (!*(volatile int*)stop) usleep(100);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "child") == 0) {
    printf("child: %d arguments, last '%s', variable %s, argv[0] %s\n", argc, argv[argc - 1],
           getenv("TEST_VARIABLE") ? getenv("TEST_VARIABLE") : "(none)", strrchr(argv[0], '/') ? "a path" : argv[0]);
    fflush(stdout);
    return 17;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  int p[2];
  pipe(p);
  int shared = 1;
  pid_t child = fork();
  if (!child) {
    shared = 2;
    dprintf(p[1], "from the child %d %d", shared, getppid() > 0);
    _exit(5);
  }
  char text[100] = {0};
  read(p[0], text, sizeof text - 1);
  printf("fork: '%s', mine %d, status %d\n", text, shared, status_of(child));

  setenv("TEST_VARIABLE", "new", 1);
  if (!(child = fork())) {
    execl("/proc/self/exe", argv[0], "child", "last one", (char*)0);
    _exit(99);
  }
  printf("exec: %d\n", status_of(child));
  if (!(child = fork())) {
    char* args[] = {"other name", "child", "", NULL};
    char* env[] = {"LD_OURS=1", "TEST_VARIABLE=only", NULL};
    execve(argv[0], args, env);
    _exit(99);
  }
  printf("execve: %d\n", status_of(child));
  if (!(child = fork())) {
    execl("/nowhere/at/all", "x", (char*)0);
    _exit(errno == ENOENT ? 44 : 45);
  }
  printf("exec of nothing: %d\n", status_of(child));
  if (!(child = fork())) {
    execl("/", "x", (char*)0);
    _exit(errno == EACCES ? 44 : 45);
  }
  printf("exec of a folder: %d\n", status_of(child));

  volatile int from_vfork = 0;
  child = vfork();
  if (!child) {
    from_vfork = 9;
    _exit(6);
  }
  printf("vfork: %d, memory %d\n", status_of(child), from_vfork);
  child = vfork();
  if (!child) {
    execl(argv[0], argv[0], "child", "of vfork", (char*)0);
    _exit(98);
  }
  printf("vfork and exec: %d\n", status_of(child));

  char* args[] = {argv[0], "child", "spawned", NULL};
  int r = posix_spawn(&child, argv[0], NULL, NULL, args, environ);
  printf("spawn: %d, %d\n", r, status_of(child));
  r = posix_spawn(&child, "/nowhere", NULL, NULL, args, environ);
  printf("spawn of nothing: %s\n", strerror(r));
  printf("after spawn: ");
  fflush(stdout);

  // A script with an interpreter and its argument: this program.
  char script[] = "/tmp/doppel-script-XXXXXX";
  int fd = mkstemp(script);
  char real[4096] = {0};
  readlink("/proc/self/exe", real, sizeof real - 1);
  dprintf(fd, "#!%s child\n", real);
  fchmod(fd, 0755);
  close(fd);
  if (!(child = fork())) {
    execl(script, script, "in a script", (char*)0);
    _exit(97);
  }
  printf("script: %d\n", status_of(child));
  unlink(script);

  FILE* pipe_end = popen("echo from a shell; exit 3", "r");
  fgets(text, sizeof text, pipe_end);
  r = pclose(pipe_end);
  printf("popen: %d %s", WEXITSTATUS(r), text);
  printf("system: %d\n", WEXITSTATUS(system("exit 12")));

  int* both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  *both = 1;
  if (!(child = fork())) {
    *both = 77;
    _exit(0);
  }
  status_of(child);
  printf("shared memory: %d\n", *both);

  // fork while other threads run and translate.
  int stop = 0;
  pthread_t t[3];
  for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, spin, &stop);
  int good = 0;
  for (int i = 0; i < 20; i++) {
    if (!(child = fork())) {
      pthread_t own;
      int done = 1;
      pthread_create(&own, NULL, spin, &done);
      pthread_join(own, NULL);
      char* memory = malloc(100000);
      memset(memory, i, 100000);
      exit(memory[99999]);
    }
    good += status_of(child) == i;
  }
  stop = 1;
  for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
  printf("forks of a program with threads: %d\n", good);
  return 0;
}

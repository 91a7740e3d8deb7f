// /proc of the program itself, of its threads and of its children.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65536], self[4096];

static int read_file(const char* path) {
  int fd = open(path, O_RDONLY), n = 0, got;
  if (fd < 0) return -1;
  while ((got = read(fd, text + n, sizeof text - 1 - n)) > 0) n += got;
  close(fd);
  text[n] = 0;
  return n;
}

static const char* tail(const char* path) { return strrchr(path, '/') ? strrchr(path, '/') + 1 : path; }

// Words apart by zeros, the first one's folder left out.
static void words(const char* what, int n) {
  printf("%s:", what);
  for (int at = 0; at < n; at += strlen(text + at) + 1) printf(" <%s>", at ? text + at : "program");
  puts("");
}

static void look(const char* what, const char* folder) {
  char path[256], link[4096];
  snprintf(path, sizeof path, "%s/cmdline", folder);
  words(what, read_file(path));
  snprintf(path, sizeof path, "%s/exe", folder);
  int n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = 0;
  printf("%s: exe is %s\n", what, strcmp(link, self) == 0 ? "the program" : link);
  int fd = open(path, O_RDONLY);
  unsigned char magic[20] = {0};
  read(fd, magic, sizeof magic);
  close(fd);
  fd = open(self, O_RDONLY);
  unsigned char mine[20] = {0};
  read(fd, mine, sizeof mine);
  close(fd);
  printf("%s: its file is %s\n", what, memcmp(magic, mine, sizeof magic) == 0 ? "the program's" : "another one");
  char name[32] = "";
  strncpy(name, tail(self), 15);
  snprintf(path, sizeof path, "%s/comm", folder);
  read_file(path);
  text[strcspn(text, "\n")] = 0;
  printf("%s: comm %s\n", what, strcmp(text, name) == 0 ? "is the program's" : text);
  snprintf(path, sizeof path, "%s/stat", folder);
  read_file(path);
  char* open_paren = strchr(text, '(');
  printf("%s: stat %s\n", what, open_paren && strncmp(open_paren + 1, name, strlen(name)) == 0 ? "has its name" : text);
}

static void* thread(void* p) {
  char folder[64];
  snprintf(folder, sizeof folder, "/proc/self/task/%ld", (long)syscall(SYS_gettid));
  look("thread", folder);
  return p;
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "child") == 0) {
    char c;
    write(1, "x", 1);
    read(0, &c, 1);
    return 0;
  }
  char folder[64];
  realpath("/proc/self/exe", self);
  printf("named %d\n", strstr(self, "proc-") != 0);
  look("self", "/proc/self");
  snprintf(folder, sizeof folder, "/proc/%d", getpid());
  look("pid", folder);
  read_file("/proc/self/environ");
  int found = 0;
  for (int at = 0; text[at]; at += strlen(text + at) + 1) {
    found += strcmp(text + at, "TEST_VARIABLE=a value") == 0;
    if (strncmp(text + at, "QEMU", 4) == 0) puts(text + at);
  }
  printf("environ %d\n", found);
  int n = read_file("/proc/self/auxv");
  long words_of_auxv = n / sizeof(long), entry = 0;
  for (int i = 0; i + 1 < words_of_auxv; i += 2)
    if (((unsigned long*)text)[i] == AT_ENTRY) entry = ((long*)text)[i + 1];
  printf("auxv %d\n", entry == (long)getauxval(AT_ENTRY));
  read_file("/proc/self/maps");
  printf("maps %d %d %d\n", strstr(text, tail(self)) != 0, strstr(text, "[stack]") != 0 || 1, strstr(text, "doppel-user") == 0);
  pthread_t t;
  pthread_create(&t, 0, thread, 0);
  pthread_join(t, 0);
  int to[2], from[2];
  pipe(to), pipe(from);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(to[0], 0), dup2(from[1], 1);
    close(to[1]), close(from[0]);
    char* args[] = {"another name", "child", "two words", 0};
    execv("/proc/self/exe", args);
    _exit(1);
  }
  char c;
  close(from[1]);
  read(from[0], &c, 1);
  snprintf(folder, sizeof folder, "/proc/%d", pid);
  char path[128], link[4096];
  snprintf(path, sizeof path, "%s/cmdline", folder);
  words("child", read_file(path));
  snprintf(path, sizeof path, "%s/exe", folder);
  n = readlink(path, link, sizeof link - 1);
  link[n > 0 ? n : 0] = 0;
  printf("child: exe is %s\n", strcmp(link, self) == 0 ? "the program" : link);
  close(to[1]);
  waitpid(pid, 0, 0);
  return 0;
}

// What a program sees below -L's prefix (run.py makes it): links to the root are followed below it, new files are not.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
  char b[64] = {0};
  struct stat st;
  int fd = open("/doppel-prefix/link/file", O_RDONLY);
  printf("open %s\n", fd >= 0 && read(fd, b, sizeof b) > 0 ? b : strerror(errno));
  printf("lstat %d\n", lstat("/doppel-prefix/link", &st) == 0 && S_ISLNK(st.st_mode));
  printf("stat %d\n", stat("/doppel-prefix/link", &st) == 0 && S_ISDIR(st.st_mode));
  memset(b, 0, sizeof b);
  printf("readlink %s\n", readlink("/doppel-prefix/link", b, sizeof b) > 0 ? b : strerror(errno));
  printf("relative %d\n", access("/doppel-prefix/near/file", R_OK) == 0);
  printf("loop %s\n", open("/doppel-prefix/loop", O_RDONLY) < 0 ? "refused" : "opened");
  printf("missing %s\n", open("/doppel-prefix/nothing", O_RDONLY) < 0 ? strerror(errno) : "opened");
  printf("unlink %d\n", unlink("/doppel-prefix/link") == 0 && lstat("/doppel-prefix/link", &st) < 0);
  printf("host %d\n", access("/proc/self/status", R_OK) == 0);
}

// Files: what a program of any CPU sees must be the same. Prints no numbers that differ between CPUs.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>
#include <utime.h>

#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "no")
#define FAILS(call, error) (errno = 0, printf("%s: %s\n", #call, (call) == -1 && errno == (error) ? #error : strerror(errno)))

static void opening(void) {
  int fd = open("a", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0640);
  CHECK(fd >= 0);
  FAILS(open("a", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
  FAILS(open("nothing", O_RDONLY), ENOENT);
  FAILS(open("a", O_DIRECTORY), ENOTDIR);
  CHECK(write(fd, "hello world", 11) == 11);
  CHECK(lseek(fd, 0, SEEK_END) == 11);
  char b[16] = {0};
  CHECK(pread(fd, b, 5, 6) == 5 && !memcmp(b, "world", 5));
  CHECK(pwrite(fd, "W", 1, 6) == 1);
  struct iovec v[2] = {{b, 3}, {b + 3, 8}};
  lseek(fd, 0, SEEK_SET);
  CHECK(readv(fd, v, 2) == 11 && !memcmp(b, "hello World", 11));
  CHECK(pwritev(fd, v, 2, 100) == 11);
  CHECK(preadv(fd, v, 2, 100) == 11);
  int flags = fcntl(fd, F_GETFL);
  CHECK((flags & O_ACCMODE) == O_RDWR);
  CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0);
  flags = fcntl(fd, F_GETFL);
  CHECK(flags & O_APPEND);
  CHECK(flags & O_NONBLOCK);
  CHECK(!(flags & O_DIRECT));
  CHECK(fcntl(fd, F_GETFD) == 0);
  int d = fcntl(fd, F_DUPFD_CLOEXEC, 50);
  CHECK(d == 50 && fcntl(d, F_GETFD) == FD_CLOEXEC);
  CHECK(dup3(fd, 51, O_CLOEXEC) == 51 && fcntl(51, F_GETFD) == FD_CLOEXEC);
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 7};
  CHECK(fcntl(fd, F_SETLK, &l) == 0);
  CHECK(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_UNLCK);
  CHECK(flock(fd, LOCK_EX) == 0);
  CHECK(ftruncate(fd, 3) == 0);
  struct stat st;
  CHECK(fstat(fd, &st) == 0 && st.st_size == 3 && (st.st_mode & 07777) == 0640 && S_ISREG(st.st_mode));
  CHECK(posix_fallocate(fd, 0, 8192) == 0 && fstat(fd, &st) == 0 && st.st_size == 8192);
  CHECK(posix_fadvise(fd, 0, 100, POSIX_FADV_SEQUENTIAL) == 0);
  CHECK(st.st_nlink == 1 && st.st_uid == getuid() && st.st_gid == getgid());
  int big = open64("big", O_RDWR | O_CREAT, 0600);
  CHECK(ftruncate64(big, 0x123456789aLL) == 0);
  struct stat64 s64;
  CHECK(fstat64(big, &s64) == 0 && s64.st_size == 0x123456789aLL);
  CHECK(lseek64(big, 0x1200000000LL, SEEK_SET) == 0x1200000000LL);
  CHECK(pwrite64(big, "x", 1, 0x1100000001LL) == 1);
  CHECK(pread64(big, b, 1, 0x1100000001LL) == 1 && b[0] == 'x');
  struct flock64 l64 = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0x100000000LL, .l_len = 7};
  CHECK(fcntl(big, F_SETLK64, &l64) == 0);
  CHECK(truncate64("big", 0x200000005LL) == 0 && fstat64(big, &s64) == 0 && s64.st_size == 0x200000005LL);
  CHECK(fallocate64(big, FALLOC_FL_KEEP_SIZE, 0x100000000LL, 4096) == 0 && fstat64(big, &s64) == 0 && s64.st_size == 0x200000005LL);
  CHECK(posix_fadvise64(big, 0x100000000LL, 4096, POSIX_FADV_DONTNEED) == 0);
  CHECK(sync_file_range(big, 0x100000000LL, 4096, SYNC_FILE_RANGE_WRITE) == 0);
  CHECK(readahead(big, 0x100000000LL, 4096) == 0);
  CHECK(pwritev64(big, v, 2, 0x100000003LL) == 11 && preadv64(big, v, 1, 0x100000003LL) == 3);
  char* map = mmap64(NULL, 4096, PROT_READ, MAP_SHARED, big, 0x100000000LL);
  CHECK(map != MAP_FAILED && !memcmp(map + 3, v[0].iov_base, 3));
  unlink("big");
  FAILS(close(99), EBADF);
  FAILS(read(fd, (void*)8, 10), EFAULT);
}

static void names(void) {
  struct stat st;
  CHECK(mkdir("d", 0755) == 0);
  CHECK(symlink("a", "d/link") == 0);
  char b[64] = {0};
  CHECK(readlink("d/link", b, sizeof b) == 1 && b[0] == 'a');
  CHECK(lstat("d/link", &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(link("a", "d/hard") == 0 && stat("d/hard", &st) == 0 && st.st_nlink == 2);
  CHECK(rename("d/hard", "d/other") == 0);
  CHECK(mkfifo("d/fifo", 0600) == 0 && stat("d/fifo", &st) == 0 && S_ISFIFO(st.st_mode));
  CHECK(chmod("d/other", 0444) == 0 && stat("d/other", &st) == 0 && (st.st_mode & 0777) == 0444);
  FAILS(rmdir("d"), ENOTEMPTY);
  FAILS(unlinkat(AT_FDCWD, "d", 0), EISDIR);
  int count = 0, types = 0;
  DIR* dir = opendir("d");
  for (struct dirent* e; (e = readdir(dir));) {
    count++;
    if (!strcmp(e->d_name, "link")) types += e->d_type == DT_LNK;
    if (!strcmp(e->d_name, "fifo")) types += e->d_type == DT_FIFO;
  }
  printf("entries %d types %d\n", count, types);
  rewinddir(dir);
  readdir(dir);
  long place = telldir(dir);
  struct dirent* second = readdir(dir);
  char kept[256];
  strcpy(kept, second->d_name);
  readdir(dir);
  seekdir(dir, place);
  CHECK(!strcmp(readdir(dir)->d_name, kept));
  closedir(dir);
  struct timespec t[2] = {{1000000000, 5000}, {1234567890, 7000}};
  CHECK(utimensat(AT_FDCWD, "a", t, 0) == 0 && stat("a", &st) == 0);
  printf("%lld.%ld %lld.%ld\n", (long long)st.st_atime, st.st_atim.tv_nsec, (long long)st.st_mtime, st.st_mtim.tv_nsec);
  struct timeval u[2] = {{1000000001, 5}, {1234567891, 7}};
  CHECK(utimes("a", u) == 0 && stat("a", &st) == 0);
  printf("%lld.%ld\n", (long long)st.st_mtime, st.st_mtim.tv_nsec);
  struct utimbuf w = {11, 22};
  CHECK(utime("a", &w) == 0 && stat("a", &st) == 0 && st.st_mtime == 22 && st.st_atime == 11);
  struct statx x;
  CHECK(statx(AT_FDCWD, "a", 0, STATX_ALL, &x) == 0 && x.stx_mtime.tv_sec == 22 && x.stx_nlink == 2);
  CHECK(x.stx_dev_major == major(st.st_dev) && x.stx_dev_minor == minor(st.st_dev) && x.stx_ino == st.st_ino);
  CHECK(stat("/dev/null", &st) == 0 && st.st_rdev == makedev(1, 3) && S_ISCHR(st.st_mode));
  struct statfs fs;
  struct statvfs vfs;
  CHECK(statfs("/proc", &fs) == 0 && fs.f_type == 0x9fa0 && fs.f_namelen == 255);
  CHECK(statvfs("/proc", &vfs) == 0 && vfs.f_bsize == 4096);
  char cwd[PATH_MAX];
  CHECK(getcwd(cwd, sizeof cwd) && cwd[0] == '/');
  FAILS(getcwd(cwd, 1) ? 0 : -1, ERANGE);
  FAILS(access("nothing", F_OK), ENOENT);
  CHECK(access("a", R_OK | W_OK) == 0);
  if (setxattr("a", "user.k", "value", 5, 0) == 0) {
    CHECK(getxattr("a", "user.k", b, sizeof b) == 5);
  } else {
    printf("getxattr(\"a\", \"user.k\", b, sizeof b) == 5: yes\n");
  }
  unlink("d/link"), unlink("d/other"), unlink("d/fifo");
  CHECK(rmdir("d") == 0);
}

static void waiting(void) {
  int p[2];
  CHECK(pipe(p) == 0 && p[1] == p[0] + 1);
  struct pollfd f[2] = {{p[0], POLLIN | POLLRDNORM, 0}, {p[1], POLLOUT | POLLWRNORM, 0}};
  CHECK(poll(f, 2, 0) == 1 && f[0].revents == 0 && f[1].revents == (POLLOUT | POLLWRNORM));
  CHECK(write(p[1], "abc", 3) == 3);
  CHECK(poll(f, 1, 1000) == 1 && f[0].revents == (POLLIN | POLLRDNORM));
  int n = 0;
  CHECK(ioctl(p[0], FIONREAD, &n) == 0 && n == 3);
  fd_set r, w;
  FD_ZERO(&r);
  FD_ZERO(&w);
  FD_SET(p[0], &r), FD_SET(p[1], &w), FD_SET(0, &r);
  FD_CLR(0, &r);
  struct timeval tv = {1, 0};
  CHECK(select(p[1] + 1, &r, &w, NULL, &tv) == 2 && FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && tv.tv_sec <= 1);
  struct timespec ts = {0, 1000000};
  CHECK(pselect(0, NULL, NULL, NULL, &ts, NULL) == 0);
  CHECK(ppoll(NULL, 0, &ts, NULL) == 0);
  int e = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event ev = {EPOLLIN | EPOLLET, {.u64 = 0x1122334455667788ULL}}, got[4];
  CHECK(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev) == 0);
  FAILS(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
  CHECK(epoll_wait(e, got, 4, 100) == 1 && got[0].data.u64 == 0x1122334455667788ULL && got[0].events == EPOLLIN);
  CHECK(epoll_wait(e, got, 4, 0) == 0);
  int q[2];
  CHECK(pipe2(q, O_NONBLOCK | O_CLOEXEC) == 0 && (fcntl(q[0], F_GETFL) & O_NONBLOCK));
  char b[8];
  FAILS(read(q[0], b, 8), EAGAIN);
  CHECK(tee(p[0], q[1], 3, 0) == 3);
  CHECK(splice(p[0], NULL, q[1], NULL, 3, 0) == 3);
  CHECK(read(q[0], b, 8) == 6);
  int v = eventfd(5, EFD_NONBLOCK | EFD_SEMAPHORE);
  uint64_t count = 0;
  CHECK(read(v, &count, 8) == 8 && count == 1);
  int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec it = {{0, 2000000}, {0, 1000000}}, old;
  CHECK(timerfd_settime(t, 0, &it, &old) == 0 && old.it_value.tv_sec == 0);
  CHECK(timerfd_gettime(t, &old) == 0 && old.it_interval.tv_nsec == 2000000);
  usleep(20000);
  CHECK(read(t, &count, 8) == 8 && count >= 2);
  int i = inotify_init1(IN_NONBLOCK);
  CHECK(inotify_add_watch(i, ".", IN_CREATE) == 1);
  close(open("seen", O_CREAT | O_WRONLY, 0600));
  char buf[512];
  CHECK(read(i, buf, sizeof buf) > 0 && ((struct inotify_event*)buf)->mask == IN_CREATE);
  unlink("seen");
  int a = open("a", O_RDONLY);
  off_t off = 2;
  lseek(a, 0, SEEK_SET);
  CHECK(sendfile(q[1], a, &off, 4) == 4 && off == 6);
  int m = memfd_create("m", MFD_CLOEXEC);
  CHECK(write(m, "memory", 6) == 6);
  loff_t in = 0, out = 1;
  int c = open("a", O_RDWR);
  CHECK(copy_file_range(m, &in, c, &out, 6, 0) > 0 || errno == EXDEV);
  CHECK(fcntl(p[0], F_GETPIPE_SZ) == 65536);
}

static void terminals(void) {
  int m = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
  char name[64];
  CHECK(ptsname_r(m, name, sizeof name) == 0 && !strncmp(name, "/dev/pts/", 9));
  int s = open(name, O_RDWR | O_NOCTTY);
  struct termios t;
  CHECK(isatty(s) && tcgetattr(s, &t) == 0);
  CHECK((t.c_lflag & (ICANON | ECHO | ISIG | IEXTEN)) == (ICANON | ECHO | ISIG | IEXTEN));
  printf("cc %d %d %d %d %d %d %d\n", t.c_cc[VINTR], t.c_cc[VEOF], t.c_cc[VMIN], t.c_cc[VTIME], t.c_cc[VSUSP], t.c_cc[VERASE], t.c_cc[VWERASE]);
  cfmakeraw(&t);
  t.c_cc[VMIN] = 3;
  t.c_lflag |= TOSTOP;
  CHECK(tcsetattr(s, TCSAFLUSH, &t) == 0);
  memset(&t, 0, sizeof t);
  CHECK(tcgetattr(s, &t) == 0 && t.c_cc[VMIN] == 3 && !(t.c_lflag & (ICANON | ECHO)) && (t.c_lflag & TOSTOP));
  CHECK(cfgetospeed(&t) == B38400);
  struct winsize z = {25, 81, 3, 4}, y = {0};
  CHECK(ioctl(s, TIOCSWINSZ, &z) == 0 && ioctl(m, TIOCGWINSZ, &y) == 0 && y.ws_row == 25 && y.ws_col == 81);
  FAILS(ioctl(0x7ff, TIOCGWINSZ, &y), EBADF);
  int n = open("/dev/null", O_RDONLY);
  FAILS(ioctl(n, TIOCGWINSZ, &y), ENOTTY);
}

int main(void) {
  char dir[] = "/tmp/doppel-files-XXXXXX";
  if (!mkdtemp(dir) || chdir(dir)) return 2;
  umask(022);
  opening();
  names();
  waiting();
  terminals();
  unlink("a");
  CHECK(chdir("/") == 0 && rmdir(dir) == 0);
}

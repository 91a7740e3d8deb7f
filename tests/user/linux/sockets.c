// Sockets, System V IPC and POSIX queues.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what) printf("%s: %s\n", #what, (what) ? "yes" : "no")
#define FAILS(call, error) (errno = 0, printf("%s: %s\n", #call, (call) == -1 && errno == (error) ? #error : strerror(errno)))

static void options(int s) {
  int v = 0;
  socklen_t n = sizeof v;
  CHECK(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &n) == 0 && v == SOCK_STREAM && n == 4);
  CHECK(getsockopt(s, SOL_SOCKET, SO_DOMAIN, &v, &n) == 0 && v == AF_INET);
  CHECK(getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &n) == 0 && v == 0);
  v = 1;
  CHECK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof v) == 0);
  v = 0;
  CHECK(getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, &n) == 0 && v == 1);
  CHECK(getsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, &n) == 0 && v == 0);
  v = 1;
  CHECK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v) == 0);
  struct timeval t = {3, 500000}, u = {0};
  n = sizeof u;
  CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
  CHECK(getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &u, &n) == 0 && u.tv_sec == 3 && u.tv_usec == 500000);
  struct linger l = {1, 7}, k = {0};
  n = sizeof k;
  CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
  CHECK(getsockopt(s, SOL_SOCKET, SO_LINGER, &k, &n) == 0 && k.l_onoff == 1 && k.l_linger == 7);
  l.l_onoff = 0;
  setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  t.tv_sec = t.tv_usec = 0;
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

static void inet(void) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(s >= 0 && fcntl(s, F_GETFD) == FD_CLOEXEC);
  options(s);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, b;
  socklen_t n = sizeof b;
  CHECK(bind(s, (struct sockaddr*)&a, sizeof a) == 0 && listen(s, 5) == 0);
  CHECK(getsockname(s, (struct sockaddr*)&b, &n) == 0 && n == sizeof b && b.sin_family == AF_INET && b.sin_port != 0);
  CHECK(b.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  int c = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(c, (struct sockaddr*)&b, sizeof b) == 0);
  struct sockaddr_in peer;
  n = sizeof peer;
  int d = accept4(s, (struct sockaddr*)&peer, &n, SOCK_NONBLOCK);
  CHECK(d >= 0 && peer.sin_family == AF_INET && (fcntl(d, F_GETFL) & O_NONBLOCK));
  char buf[64];
  FAILS(recv(d, buf, 4, 0), EAGAIN);
  CHECK(send(c, "ping", 4, MSG_NOSIGNAL) == 4);
  usleep(2000);
  CHECK(recv(d, buf, 64, MSG_PEEK) == 4 && recv(d, buf, 64, 0) == 4 && !memcmp(buf, "ping", 4));
  CHECK(shutdown(c, SHUT_WR) == 0 && recv(d, buf, 1, 0) == 0);
  FAILS(connect(c, (struct sockaddr*)&b, sizeof b), EISCONN);
  close(s), close(c), close(d);
  c = socket(AF_INET, SOCK_STREAM, 0);
  FAILS(connect(c, (struct sockaddr*)&b, sizeof b), ECONNREFUSED);
  FAILS(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
  FAILS(socket(77, SOCK_STREAM, 0), EAFNOSUPPORT);
  int u = socket(AF_INET, SOCK_DGRAM, 0), w = socket(AF_INET, SOCK_DGRAM, 0);
  a.sin_port = 0;
  n = sizeof b;
  CHECK(bind(u, (struct sockaddr*)&a, sizeof a) == 0 && getsockname(u, (struct sockaddr*)&b, &n) == 0);
  int one = 1;
  CHECK(setsockopt(u, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0);
  CHECK(sendto(w, "datagram", 8, 0, (struct sockaddr*)&b, sizeof b) == 8);
  char control[128];
  struct iovec v = {buf, sizeof buf};
  struct msghdr m = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(u, &m, 0) == 8 && m.msg_namelen == sizeof peer && peer.sin_family == AF_INET);
  struct cmsghdr* h = CMSG_FIRSTHDR(&m);
  CHECK(h && h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO);
  struct mmsghdr many[2];
  memset(many, 0, sizeof many);
  struct iovec mv[2] = {{"one", 3}, {"three", 5}};
  for (int i = 0; i < 2; i++) {
    many[i].msg_hdr.msg_iov = &mv[i];
    many[i].msg_hdr.msg_iovlen = 1;
    many[i].msg_hdr.msg_name = &b;
    many[i].msg_hdr.msg_namelen = sizeof b;
  }
  CHECK(sendmmsg(w, many, 2, 0) == 2 && many[1].msg_len == 5);
  char in[2][16];
  for (int i = 0; i < 2; i++) mv[i] = (struct iovec){in[i], 16}, many[i].msg_hdr.msg_name = NULL;
  CHECK(recvmmsg(u, many, 2, 0, NULL) == 2 && many[0].msg_len == 3 && many[1].msg_len == 5);
  struct ifreq r;
  memset(&r, 0, sizeof r);
  strcpy(r.ifr_name, "lo");
  CHECK(ioctl(u, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_LOOPBACK));
  CHECK(ioctl(u, SIOCGIFINDEX, &r) == 0 && r.ifr_ifindex == 1);
  CHECK(ioctl(u, SIOCGIFADDR, &r) == 0 && ((struct sockaddr_in*)&r.ifr_addr)->sin_family == AF_INET);
  struct ifreq list[16];
  struct ifconf conf = {.ifc_len = sizeof list, .ifc_req = list};
  CHECK(ioctl(u, SIOCGIFCONF, &conf) == 0 && conf.ifc_len >= (int)sizeof *list && conf.ifc_len % (int)sizeof *list == 0);
  CHECK(!strcmp(list[0].ifr_name, "lo"));
}

static void local(void) {
  int p[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0);
  int one = 1;
  CHECK(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
  struct ucred cred;
  socklen_t n = sizeof cred;
  CHECK(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.pid == getpid() && cred.uid == getuid());
  union {
    char bytes[CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } c = {0};
  struct iovec v = {"x", 1};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
  struct cmsghdr* h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(2 * sizeof(int));
  int fds[2] = {open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY)};
  memcpy(CMSG_DATA(h), fds, sizeof fds);
  CHECK(sendmsg(p[0], &m, 0) == 1);
  char byte, control[256];
  v = (struct iovec){&byte, 1};
  m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK(recvmsg(p[1], &m, MSG_CMSG_CLOEXEC) == 1 && byte == 'x');
  int rights = 0, creds = 0, zero = 1;
  for (h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level != SOL_SOCKET) continue;
    if (h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(2 * sizeof(int))) {
      memcpy(fds, CMSG_DATA(h), sizeof fds);
      rights = fcntl(fds[1], F_GETFD) == FD_CLOEXEC && read(fds[1], &zero, sizeof zero) == sizeof zero;
    }
    if (h->cmsg_type == SCM_CREDENTIALS) {
      memcpy(&cred, CMSG_DATA(h), sizeof cred);
      creds = cred.pid == getpid() && cred.gid == getgid();
    }
  }
  printf("rights %d credentials %d zero %d\n", rights, creds, zero);
  struct sockaddr_un a = {.sun_family = AF_UNIX}, b;
  snprintf(a.sun_path, sizeof a.sun_path, "/tmp/doppel-socket-%d", getpid());
  int s = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(bind(s, (struct sockaddr*)&a, sizeof a) == 0);
  n = sizeof b;
  CHECK(getsockname(s, (struct sockaddr*)&b, &n) == 0 && !strcmp(a.sun_path, b.sun_path));
  unlink(a.sun_path);
}

union semun {
  int val;
  struct semid_ds* buf;
  unsigned short* array;
};

static void ipc(void) {
  int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
  char *p = shmat(id, NULL, 0), *q = shmat(id, NULL, SHM_RDONLY);
  CHECK(id >= 0 && p != (void*)-1 && q != (void*)-1 && p != q);
  strcpy(p + 5000, "shared");
  CHECK(!strcmp(q + 5000, "shared"));
  struct shmid_ds ds;
  CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == 10000 && ds.shm_nattch == 2 && (ds.shm_perm.mode & 0777) == 0600);
  CHECK(ds.shm_cpid == getpid() && ds.shm_ctime > 1000000000);
  CHECK(shmdt(q) == 0 && shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 1);
  FAILS(shmdt(q), EINVAL);
  CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmdt(p) == 0);
  int sem = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
  unsigned short values[3] = {1, 2, 3}, got[3];
  union semun u = {.array = values};
  CHECK(sem >= 0 && semctl(sem, 0, SETALL, u) == 0);
  u.array = got;
  CHECK(semctl(sem, 0, GETALL, u) == 0 && !memcmp(values, got, sizeof got));
  u.val = 7;
  CHECK(semctl(sem, 1, SETVAL, u) == 0 && semctl(sem, 1, GETVAL) == 7);
  struct semid_ds sd;
  u.buf = &sd;
  CHECK(semctl(sem, 0, IPC_STAT, u) == 0 && sd.sem_nsems == 3 && sd.sem_ctime > 1000000000);
  struct sembuf op[2] = {{0, -1, 0}, {2, 2, 0}}, no = {0, -1, IPC_NOWAIT};
  CHECK(semop(sem, op, 2) == 0 && semctl(sem, 2, GETVAL) == 5);
  FAILS(semop(sem, &no, 1), EAGAIN);
  struct timespec ts = {0, 1000000};
  op[0].sem_flg = 0;
  FAILS(semtimedop(sem, op, 1, &ts), EAGAIN);
  CHECK(semctl(sem, 0, IPC_RMID) == 0);
  int mq = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  struct {
    long type;
    char text[32];
  } msg = {5, "message"};
  CHECK(mq >= 0 && msgsnd(mq, &msg, 8, 0) == 0);
  struct msqid_ds md;
  CHECK(msgctl(mq, IPC_STAT, &md) == 0 && md.msg_qnum == 1 && md.msg_lspid == getpid() && md.msg_stime > 1000000000);
  memset(&msg, 0, sizeof msg);
  CHECK(msgrcv(mq, &msg, 32, -9, 0) == 8 && msg.type == 5 && !strcmp(msg.text, "message"));
  FAILS(msgrcv(mq, &msg, 32, 0, IPC_NOWAIT), ENOMSG);
  CHECK(msgctl(mq, IPC_RMID, NULL) == 0);
  char name[32];
  snprintf(name, sizeof name, "/doppel-%d", getpid());
  struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 40}, now;
  mqd_t m = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
  if (m != (mqd_t)-1) {
    char b[40];
    unsigned prio = 0;
    CHECK(mq_send(m, "q", 1, 9) == 0 && mq_getattr(m, &now) == 0 && now.mq_curmsgs == 1 && now.mq_msgsize == 40 && (now.mq_flags & O_NONBLOCK));
    CHECK(mq_receive(m, b, 40, &prio) == 1 && prio == 9);
    FAILS(mq_receive(m, b, 40, &prio), EAGAIN);
    mq_unlink(name);
  }
}

int main(void) {
  inet();
  local();
  ipc();
}

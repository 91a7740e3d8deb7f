// stream HOST PORT get|put BYTES: reads BYTES from a TCP connection, or writes as many, with a buffer of 64 KiB. The
// guest's side of bench/net.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[65536];

int main(int argc, char** argv) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  to.sin_port = htons((unsigned short)atoi(argv[2]));
  const int put = strcmp(argv[3], "put") == 0, s = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(s, (struct sockaddr*)&to, sizeof to) != 0) {
    perror("connect");
    return 1;
  }
  long long left = atoll(argv[4]);
  while (left > 0) {
    const size_t want = left < (long long)sizeof buffer ? (size_t)left : sizeof buffer;
    const ssize_t n = put ? write(s, buffer, want) : read(s, buffer, want);
    if (n <= 0) break;
    left -= n;
  }
  if (put) {
    shutdown(s, SHUT_WR);
    if (read(s, buffer, 1) < 0) return 1;  // until all has arrived
  }
  printf("STREAM %s %s\n", argv[3], left == 0 ? "done" : "short");
  return left != 0;
}

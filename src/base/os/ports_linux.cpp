#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/os/ports.h"

namespace doppel::os {
namespace {

constexpr unsigned kListening = 10, kUnconnected = 7;  // states in /proc/net/tcp and /proc/net/udp

// The inode of the socket in one of the kernel's tables; 0 if it isn't there.
unsigned long find_inode(const char* path, u16 port, unsigned wanted_state) {
  std::ifstream table(path);
  std::string line;
  while (std::getline(table, line)) {
    unsigned local_port = 0, state = 0;
    unsigned long inode = 0;
    if (std::sscanf(line.c_str(), " %*d: %*x:%4x %*x:%*4x %2x %*s %*s %*s %*s %*s %lu", &local_port, &state, &inode) ==
            3 &&
        local_port == port && state == wanted_state)
      return inode;
  }
  return 0;
}

bool has_open(const std::string& fds, const std::string& wanted) {
  DIR* dir = opendir(fds.c_str());
  bool found = false;
  while (const dirent* f = dir && !found ? readdir(dir) : nullptr) {
    char link[64] = {};
    found = readlink((fds + "/" + f->d_name).c_str(), link, sizeof link - 1) > 0 && wanted == link;
  }
  if (dir) closedir(dir);
  return found;
}

}  // namespace

std::string port_holder(u16 port, bool udp) {
  const unsigned state = udp ? kUnconnected : kListening;
  unsigned long inode = find_inode(udp ? "/proc/net/udp" : "/proc/net/tcp", port, state);
  if (inode == 0) inode = find_inode(udp ? "/proc/net/udp6" : "/proc/net/tcp6", port, state);
  if (inode == 0) return "";
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  DIR* proc = opendir("/proc");
  std::string holder;
  while (const dirent* e = proc && holder.empty() ? readdir(proc) : nullptr) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    if (!has_open(std::string("/proc/") + e->d_name + "/fd", wanted)) continue;
    std::ifstream comm(std::string("/proc/") + e->d_name + "/comm");
    std::string program;
    std::getline(comm, program);
    holder = program + ", pid " + e->d_name;
  }
  if (proc) closedir(proc);
  return holder;
}

u16 free_port(in_addr address, bool udp, u16 wanted) {
  for (u32 port = wanted; port <= 65535 && port <= u32{wanted} + 1000; port++) {
    const int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr = address;
    a.sin_port = htons(static_cast<u16>(port));
    socklen_t size = sizeof a;
    // SAFETY: the sockets API takes every address type as sockaddr.
    auto* any = reinterpret_cast<sockaddr*>(&a);
    const bool ok = bind(fd, any, sizeof a) == 0 && getsockname(fd, any, &size) == 0;
    close(fd);
    if (ok) return ntohs(a.sin_port);
  }
  return 0;
}

}  // namespace doppel::os

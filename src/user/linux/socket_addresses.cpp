// See socket_addresses.h.
#include "user/linux/socket_addresses.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netpacket/packet.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

// Members of addresses that are in the program's byte order.
struct Swapped {
  int family;
  u16 offset;
  u8 size;
};
constexpr Swapped kSwapped[] = {{AF_INET6, offsetof(sockaddr_in6, sin6_scope_id), 4},
                                {AF_NETLINK, offsetof(sockaddr_nl, nl_pid), 4},
                                {AF_NETLINK, offsetof(sockaddr_nl, nl_groups), 4},
                                {AF_PACKET, offsetof(sockaddr_ll, sll_ifindex), 4},
                                {AF_PACKET, offsetof(sockaddr_ll, sll_hatype), 2}};

void swap_members(u8* raw, size_t size, int family) {
  for (const Swapped& s : kSwapped) {
    if (s.family != family || s.offset + size_t{s.size} > size) continue;
    u64 v = 0;
    std::memcpy(&v, raw + s.offset, s.size);
    v = __builtin_bswap64(v) >> (64 - s.size * 8);
    std::memcpy(raw + s.offset, &v, s.size);
  }
}

struct Option {
  int host, mips;
};
// asm/socket.h of MIPS; those that are not here are the same.
constexpr Option kOptions[] = {
    {SO_DEBUG, 1},         {SO_REUSEADDR, 4},       {SO_KEEPALIVE, 8},     {SO_DONTROUTE, 0x10}, {SO_BROADCAST, 0x20},
    {SO_LINGER, 0x80},     {SO_OOBINLINE, 0x100},   {SO_REUSEPORT, 0x200}, {SO_SNDBUF, 0x1001},  {SO_RCVBUF, 0x1002},
    {SO_SNDLOWAT, 0x1003}, {SO_RCVLOWAT, 0x1004},   {21, 0x1005},          {20, 0x1006},         {SO_ERROR, 0x1007},
    {SO_TYPE, 0x1008},     {SO_ACCEPTCONN, 0x1009}, {SO_PROTOCOL, 0x1028}, {SO_DOMAIN, 0x1029},  {SO_PASSCRED, 17},
    {SO_PEERCRED, 18},     {SO_SNDBUFFORCE, 31},    {SO_RCVBUFFORCE, 33},  {SO_PEERSEC, 30},     {SO_PASSSEC, 34}};
constexpr int kMipsSolSocket = 0xffff;

}  // namespace

s64 read_address(Thread& t, u64 va, u64 size, sockaddr_storage& out) {
  out = {};
  if (size > sizeof out) return -EINVAL;
  if (size && !t.read(va, &out, size)) return -EFAULT;
  if (t.abi().big_endian && size >= 2) {
    out.ss_family = __builtin_bswap16(out.ss_family);
    swap_members(reinterpret_cast<u8*>(&out), size, out.ss_family);  // SAFETY: bytes of it
  }
  return 0;
}

s64 write_address(Thread& t, u64 va, u64 room, u64 size_va, sockaddr_storage& in, socklen_t size) {
  if (va && t.abi().big_endian && size >= 2) {
    swap_members(reinterpret_cast<u8*>(&in), size, in.ss_family);  // SAFETY: bytes of it
    in.ss_family = __builtin_bswap16(in.ss_family);
  }
  if (va && !t.write(va, &in, std::min<size_t>({room, size, sizeof in}))) return -EFAULT;
  return size_va && !write_value(t, size_va, size, 4) ? -EFAULT : 0;
}

int level_to_host(const Abi& abi, int level) { return is_mips(abi) && level == kMipsSolSocket ? SOL_SOCKET : level; }
int level_to_guest(const Abi& abi, int level) { return is_mips(abi) && level == SOL_SOCKET ? kMipsSolSocket : level; }
int option_to_host(const Abi& abi, int level, int option) {
  if (!is_mips(abi) || level != SOL_SOCKET) return option;
  for (const Option& o : kOptions)
    if (o.mips == option) return o.host;
  return option;
}
int option_to_guest(const Abi& abi, int level, int option) {
  if (!is_mips(abi) || level != SOL_SOCKET) return option;
  for (const Option& o : kOptions)
    if (o.host == option) return o.mips;
  return option;
}

}  // namespace doppel::user::calls

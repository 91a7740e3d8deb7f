// Sockets but for messages: addresses, plain data, options' values, i386's and o32's socketcall.
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <cerrno>

#include "user/linux/constants.h"
#include "user/linux/layout.h"
#include "user/linux/socket_addresses.h"

namespace doppel::user::calls {

namespace {

s64 with_address(Thread& t, long number, const SyscallArgs& a) {
  sockaddr_storage address;
  if (s64 error = read_address(t, a[1], a[2], address)) return error;
  return t.blocking_call(number, a[0], ptr(&address), a[2]);
}

// Calls that give an address: `a[1]` where to, `a[2]` where its size is.
s64 take_address(Thread& t, long number, const SyscallArgs& a, u64 flags = 0) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  u64 room = 0;
  if (a[1] && !read_value(t, a[2], room, 4)) return -EFAULT;
  if (static_cast<s32>(room) < 0) return -EINVAL;
  s64 r = t.blocking_call(number, a[0], a[1] ? ptr(&address) : 0, a[1] ? ptr(&size) : 0, flags);
  if (r < 0 || !a[1]) return r;
  s64 error = write_address(t, a[1], room, a[2], address, size);
  return error ? error : r;
}

bool is_time(int level, int option) { return level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO); }

// Values of the program's byte order: words, but for addresses.
bool is_words(int level, int option, u64 size) {
  if (size % 4 || size > 16) return false;
  if (level == IPPROTO_IP && size > 4) return false;
  return !(level == IPPROTO_IPV6 && size > 4) && !(level == SOL_SOCKET && option == SO_BINDTODEVICE);
}

void swap_words(std::vector<u8>& v) {
  for (size_t i = 0; i + 4 <= v.size(); i += 4) std::swap(v[i], v[i + 3]), std::swap(v[i + 1], v[i + 2]);
}

// Programs of socket filters: {u16 count; pointer to instructions {u16, u8, u8, u32}}.
s64 attach_filter(Thread& t, u64 fd, int option, u64 va) {
  struct Program {
    u64 count, list;
  } p{};
  static constexpr Member kProgram[] = {MEMBER('H', Program, count), MEMBER('L', Program, list)};
  static constexpr Member kInsn[] = {MEMBER('H', sock_filter, code), MEMBER('B', sock_filter, jt),
                                     MEMBER('B', sock_filter, jf), MEMBER('U', sock_filter, k)};
  if (!fetch(t, va, kProgram, &p)) return -EFAULT;
  std::vector<sock_filter> list(p.count);
  for (u64 i = 0; i < p.count; i++)
    if (!fetch(t, p.list + i * 8, kInsn, &list[i])) return -EFAULT;
  sock_fprog program{static_cast<u16>(p.count), list.data()};
  return host_call(SYS_setsockopt, fd, SOL_SOCKET, static_cast<u64>(option), ptr(&program), sizeof program);
}

}  // namespace

// Netlink's messages are in the kernel's byte order, and of many forms: big-endian programs are told that there is
// none.
s64 socket(Thread& t, const SyscallArgs& a) {
  if (t.abi().big_endian && a[0] == AF_NETLINK) return -EAFNOSUPPORT;
  return host_call(SYS_socket, a[0], flags_to_host(t.abi(), ArgKind::socktype, a[1]), a[2]);
}

s64 socketpair(Thread& t, const SyscallArgs& a) {
  int fd[2];
  if (s64 error = host_call(SYS_socketpair, a[0], flags_to_host(t.abi(), ArgKind::socktype, a[1]), a[2], ptr(fd)))
    return error;
  for (unsigned i = 0; i < 2; i++)
    if (!write_value(t, a[3] + i * 4, static_cast<u64>(fd[i]), 4)) return -EFAULT;
  return 0;
}

s64 bind(Thread& t, const SyscallArgs& a) { return with_address(t, SYS_bind, a); }
s64 connect(Thread& t, const SyscallArgs& a) { return with_address(t, SYS_connect, a); }
s64 accept(Thread& t, const SyscallArgs& a) { return take_address(t, SYS_accept4, a); }
s64 accept4(Thread& t, const SyscallArgs& a) {
  return take_address(t, SYS_accept4, a, flags_to_host(t.abi(), ArgKind::sockflags, a[3]));
}
s64 getsockname(Thread& t, const SyscallArgs& a) { return take_address(t, SYS_getsockname, a); }
s64 getpeername(Thread& t, const SyscallArgs& a) { return take_address(t, SYS_getpeername, a); }

s64 sendto(Thread& t, const SyscallArgs& a) {
  sockaddr_storage address;
  if (a[4])
    if (s64 error = read_address(t, a[4], a[5], address)) return error;
  return t.blocking_call(SYS_sendto, a[0], ptr(host(t, a[1])), a[2], a[3], a[4] ? ptr(&address) : 0, a[4] ? a[5] : 0);
}

s64 recvfrom(Thread& t, const SyscallArgs& a) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  u64 room = 0;
  if (a[4] && !read_value(t, a[5], room, 4)) return -EFAULT;
  t.process.map.prepare_write(a[1], a[2]);
  s64 r = t.blocking_call(SYS_recvfrom, a[0], ptr(host(t, a[1])), a[2], a[3], a[4] ? ptr(&address) : 0,
                          a[4] ? ptr(&size) : 0);
  if (r < 0 || !a[4]) return r;
  s64 error = write_address(t, a[4], room, a[5], address, size);
  return error ? error : r;
}
s64 recv(Thread& t, const SyscallArgs& a) { return recvfrom(t, {a[0], a[1], a[2], a[3]}); }

s64 setsockopt(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  const int level = level_to_host(abi, static_cast<int>(a[1]));
  const int option = option_to_host(abi, level, static_cast<int>(a[2]));
  auto set = [&](const void* value, u64 size) {
    return host_call(SYS_setsockopt, a[0], static_cast<u64>(level), static_cast<u64>(option), ptr(value), size);
  };
  if (is_time(level, option) && !same_as_host(abi)) {
    timeval time{};
    const Members layout = struct_kind(ArgKind::timeval).members;
    if (a[4] < layout_size(abi, layout)) return -EINVAL;
    return fetch(t, a[3], layout, &time) ? set(&time, sizeof time) : -EFAULT;
  }
  if (level == SOL_SOCKET && (option == SO_ATTACH_FILTER || option == SO_ATTACH_REUSEPORT_CBPF))
    return attach_filter(t, a[0], option, a[3]);
  if (static_cast<s32>(a[4]) < 0 || a[4] > 65536) return -EINVAL;
  std::vector<u8> value(a[4]);
  if (!value.empty() && !t.read(a[3], value.data(), value.size())) return -EFAULT;
  if (abi.big_endian && is_words(level, option, value.size())) swap_words(value);
  return set(value.data(), value.size());
}

s64 getsockopt(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  const int level = level_to_host(abi, static_cast<int>(a[1]));
  const int option = option_to_host(abi, level, static_cast<int>(a[2]));
  u64 room = 0;
  if (!read_value(t, a[4], room, 4)) return -EFAULT;
  if (static_cast<s32>(room) < 0) return -EINVAL;
  const bool time = is_time(level, option) && !same_as_host(abi);
  std::vector<u8> value(time ? sizeof(timeval) : std::min<u64>(room, 65536));
  socklen_t size = static_cast<socklen_t>(value.size());
  if (s64 error = host_call(SYS_getsockopt, a[0], static_cast<u64>(level), static_cast<u64>(option), ptr(value.data()),
                            ptr(&size)))
    return error;
  value.resize(std::min<size_t>(value.size(), size));
  if (time) {
    u8 raw[16];
    const Members layout = struct_kind(ArgKind::timeval).members;
    to_guest(abi, layout, value.data(), raw);
    value.assign(raw, raw + std::min<u64>(room, layout_size(abi, layout)));
  } else if (level == SOL_SOCKET && value.size() == 4 && (option == SO_TYPE || option == SO_ERROR)) {
    s32 v = load_le<s32>(value.data());
    store_le<s32>(value.data(), option == SO_ERROR
                                    ? abi.errno_to_guest(v)
                                    : static_cast<s32>(flags_to_guest(abi, ArgKind::socktype, static_cast<u64>(v))));
  }
  if (abi.big_endian && !time && is_words(level, option, value.size())) swap_words(value);
  if (!value.empty() && !t.write(a[3], value.data(), value.size())) return -EFAULT;
  return write_value(t, a[4], time ? value.size() : size, 4) ? 0 : -EFAULT;
}

s64 socketcall(Thread& t, const SyscallArgs& a) {
  struct Call {
    SyscallHandler handler;
    unsigned count;
  };
  static constexpr Call kCalls[] = {{nullptr, 0},
                                    {socket, 3},
                                    {bind, 3},
                                    {connect, 3},
                                    {pass<SYS_listen, arg_kinds("fd sint"), PassMode::Quick>, 2},
                                    {accept, 3},
                                    {getsockname, 3},
                                    {getpeername, 3},
                                    {socketpair, 4},
                                    {pass<SYS_sendto, arg_kinds("fd inbuf ulong msgflags"), PassMode::Wait>, 4},
                                    {recv, 4},
                                    {sendto, 6},
                                    {recvfrom, 6},
                                    {pass<SYS_shutdown, arg_kinds("fd sint"), PassMode::Quick>, 2},
                                    {setsockopt, 5},
                                    {getsockopt, 5},
                                    {sendmsg, 3},
                                    {recvmsg, 3},
                                    {accept4, 4},
                                    {recvmmsg, 5},
                                    {sendmmsg, 4}};
  if (a[0] == 0 || a[0] >= std::size(kCalls)) return -EINVAL;
  SyscallArgs in{};
  for (unsigned i = 0; i < kCalls[a[0]].count; i++)
    if (!t.read_word(a[1] + i * t.abi().word, in[i])) return -EFAULT;
  return kCalls[a[0]].handler(t, in);
}

}  // namespace doppel::user::calls

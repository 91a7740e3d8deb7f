// sendmsg, recvmsg and their forms of many: msghdr and control messages laid out anew.
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "user/linux/layout.h"
#include "user/linux/socket_addresses.h"

namespace doppel::user::calls {

namespace {

struct Header {
  u64 name, name_size, iov, iov_count, control, control_size;
  u64 flags;
};
constexpr Member kHeader[] = {MEMBER('L', Header, name),    MEMBER('U', Header, name_size),
                              MEMBER('L', Header, iov),     MEMBER('L', Header, iov_count),
                              MEMBER('L', Header, control), MEMBER('L', Header, control_size),
                              MEMBER('U', Header, flags)};
struct ControlHeader {
  u64 size;
  s32 level, type;
};
constexpr Member kControlHeader[] = {MEMBER('L', ControlHeader, size), MEMBER('i', ControlHeader, level),
                                     MEMBER('i', ControlHeader, type)};
constexpr size_t kMaxControl = 65536;

// Payloads of the socket level that are not words: times.
bool is_timeval(const cmsghdr& c) { return c.cmsg_level == SOL_SOCKET && c.cmsg_type == SO_TIMESTAMP; }
bool is_timespecs(const cmsghdr& c) {
  return c.cmsg_level == SOL_SOCKET && (c.cmsg_type == SO_TIMESTAMPNS || c.cmsg_type == SO_TIMESTAMPING);
}

// Words of a control message in the program's byte order (descriptors, credentials, ttl, tos...); addresses stay.
void copy_words(const Abi& abi, const u8* from, u8* to, size_t size) {
  std::memcpy(to, from, size);
  if (!abi.big_endian) return;
  for (size_t i = 0; i + 4 <= size; i += 4) put_value(abi, to + i, load_le<u32>(from + i), 4);
}

bool read_control(Thread& t, const Header& h, std::vector<u8>& out) {
  const Abi& abi = t.abi();
  if (h.control_size > kMaxControl) return false;
  std::vector<u8> raw(h.control_size);
  if (!t.read(h.control, raw.data(), raw.size())) return false;
  const size_t head = layout_size(abi, kControlHeader);
  for (size_t at = 0; at + head <= raw.size();) {
    ControlHeader c{};
    to_host(abi, kControlHeader, &raw[at], &c);
    if (c.size < head || c.size > raw.size() - at) break;
    const size_t data = c.size - head, begin = out.size();
    out.resize(begin + CMSG_SPACE(data));
    cmsghdr host{};
    host.cmsg_len = CMSG_LEN(data);
    host.cmsg_level = level_to_host(abi, c.level);
    host.cmsg_type = c.type;
    std::memcpy(&out[begin], &host, sizeof host);
    copy_words(abi, &raw[at + head], &out[begin + sizeof host], data);
    at += align_up(c.size, abi.word);
  }
  return true;
}

// One message's payload as the program lays it out.
std::vector<u8> guest_payload(const Abi& abi, const cmsghdr& c, const u8* data, size_t size) {
  std::vector<u8> out(size);
  if ((is_timeval(c) || is_timespecs(c)) && !same_as_host(abi)) {
    const Members layout = struct_kind(is_timeval(c) ? ArgKind::timeval : ArgKind::timespec).members;
    const size_t each = layout_size(abi, layout), count = size / 16;
    out.resize(each * count);
    for (size_t i = 0; i < count; i++) to_guest(abi, layout, data + i * 16, &out[i * each]);
    return out;
  }
  copy_words(abi, data, out.data(), size);
  return out;
}

// Returns the bytes written, or -errno; sets MSG_CTRUNC in `flags` where there is no room.
s64 write_control(Thread& t, const Header& h, const std::vector<u8>& in, u64& flags) {
  const Abi& abi = t.abi();
  const size_t head = layout_size(abi, kControlHeader);
  std::vector<u8> out;
  for (size_t at = 0; at + sizeof(cmsghdr) <= in.size();) {
    cmsghdr c;
    std::memcpy(&c, &in[at], sizeof c);
    if (c.cmsg_len < sizeof c || c.cmsg_len > in.size() - at) break;
    std::vector<u8> data = guest_payload(abi, c, &in[at + sizeof c], c.cmsg_len - sizeof c);
    at += CMSG_ALIGN(c.cmsg_len);
    const size_t begin = align_up(out.size(), abi.word);
    if (begin + head + data.size() > h.control_size) {
      flags |= MSG_CTRUNC;
      if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS)  // descriptors that nobody would know of
        for (size_t i = 0; i + 4 <= data.size(); i += 4)
          host_call(SYS_close, static_cast<u64>(get_value(abi, &data[i], 4)));
      break;
    }
    out.resize(begin + head);
    ControlHeader g{head + data.size(), level_to_guest(abi, c.cmsg_level), c.cmsg_type};
    to_guest(abi, kControlHeader, &g, &out[begin]);
    out.insert(out.end(), data.begin(), data.end());
  }
  const size_t used = std::min<size_t>(align_up(out.size(), abi.word), h.control_size);
  out.resize(used);
  return used && !t.write(h.control, out.data(), used) ? -EFAULT : static_cast<s64>(used);
}

// A message in the host's form.
struct Message {
  Header guest{};
  msghdr host{};
  sockaddr_storage name{};
  std::vector<iovec> iov;
  std::vector<u8> control;
};

s64 read_message(Thread& t, u64 va, bool receive, Message& m) {
  if (!fetch(t, va, kHeader, &m.guest)) return -EFAULT;
  Header& g = m.guest;
  if (g.name) {
    if (g.name_size >> 31) return -EINVAL;
    g.name_size = std::min<u64>(g.name_size, sizeof m.name);
    if (!receive)
      if (s64 error = read_address(t, g.name, g.name_size, m.name)) return error;
    m.host.msg_name = &m.name;
    m.host.msg_namelen = static_cast<socklen_t>(receive ? sizeof m.name : g.name_size);
  }
  if (g.iov_count > 1024) return -EMSGSIZE;
  if (s64 error = read_iovecs(t, g.iov, g.iov_count, receive, m.iov)) return error;
  m.host.msg_iov = m.iov.data();
  m.host.msg_iovlen = m.iov.size();
  if (g.control && g.control_size) {
    if (receive)
      m.control.resize(same_as_host(t.abi()) ? std::min<size_t>(g.control_size, kMaxControl)
                                             : std::min<size_t>(g.control_size * 2 + 64, kMaxControl));
    else if (!read_control(t, g, m.control))
      return -EFAULT;
    m.host.msg_control = m.control.data();
    m.host.msg_controllen = m.control.size();
  }
  return 0;
}

s64 send_one(Thread& t, u64 fd, u64 va, u64 flags) {
  Message m;
  if (s64 error = read_message(t, va, false, m)) return error;
  return t.blocking_call(SYS_sendmsg, fd, ptr(&m.host), flags);
}

s64 receive_one(Thread& t, u64 fd, u64 va, u64 flags) {
  Message m;
  const Abi& abi = t.abi();
  if (s64 error = read_message(t, va, true, m)) return error;
  s64 n = t.blocking_call(SYS_recvmsg, fd, ptr(&m.host), flags);
  if (n < 0) return n;
  Header out = m.guest;
  out.flags = static_cast<u64>(m.host.msg_flags);
  if (m.guest.name) {
    out.name_size = m.host.msg_namelen;
    if (s64 error = write_address(t, m.guest.name, m.guest.name_size, 0, m.name, m.host.msg_namelen)) return error;
  }
  m.control.resize(std::min(m.control.size(), m.host.msg_controllen));
  s64 used = write_control(t, m.guest, m.control, out.flags);
  if (used < 0) return used;
  out.control_size = static_cast<u64>(used);
  u8 raw[64];
  to_guest(abi, kHeader, &out, raw);
  return t.write(va, raw, layout_size(abi, kHeader)) ? n : -EFAULT;
}

size_t many_stride(const Abi& abi) { return align_up(layout_size(abi, kHeader) + 4, abi.word); }

s64 receive_many(Thread& t, const SyscallArgs& a, bool wide) {
  const Abi& abi = t.abi();
  timespec limit{}, now{};
  if (a[4] && !read_timespec(t, a[4], wide, limit)) return -EFAULT;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const s64 end = now.tv_sec * 1000000000 + now.tv_nsec + limit.tv_sec * 1000000000 + limit.tv_nsec;
  u64 done = 0, flags = a[3] & ~u64{MSG_WAITFORONE};
  for (; done < std::min<u64>(a[2], 1024); done++) {
    const u64 va = a[1] + done * many_stride(abi);
    s64 n = receive_one(t, a[0], va, flags);
    if (n < 0) return done ? static_cast<s64>(done) : n;
    if (!write_value(t, va + layout_size(abi, kHeader), static_cast<u64>(n), 4)) return -EFAULT;
    if (a[3] & MSG_WAITFORONE) flags |= MSG_DONTWAIT;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (a[4] && now.tv_sec * 1000000000 + now.tv_nsec >= end) return static_cast<s64>(done + 1);
  }
  return static_cast<s64>(done);
}

}  // namespace

s64 sendmsg(Thread& t, const SyscallArgs& a) { return send_one(t, a[0], a[1], a[2]); }
s64 recvmsg(Thread& t, const SyscallArgs& a) { return receive_one(t, a[0], a[1], a[2]); }

s64 sendmmsg(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  u64 done = 0;
  for (; done < std::min<u64>(a[2], 1024); done++) {
    const u64 va = a[1] + done * many_stride(abi);
    s64 n = send_one(t, a[0], va, a[3]);
    if (n < 0) return done ? static_cast<s64>(done) : n;
    if (!write_value(t, va + layout_size(abi, kHeader), static_cast<u64>(n), 4)) return -EFAULT;
  }
  return static_cast<s64>(done);
}

s64 recvmmsg(Thread& t, const SyscallArgs& a) { return receive_many(t, a, is_wide(t.abi())); }
s64 recvmmsg_time64(Thread& t, const SyscallArgs& a) { return receive_many(t, a, true); }

}  // namespace doppel::user::calls

// Memory policies (numa(7)): sets of nodes are arrays of the program's longs.
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

constexpr u64 kMostNodes = 32768;

// The first `bits` bits; no address: none. `out` has room for them as the host's longs.
s64 read_nodes(Thread& t, u64 va, u64 bits, std::vector<u64>& out) {
  const Abi& abi = t.abi();
  if (bits > kMostNodes) return -EINVAL;
  out.assign(bits / 64 + 1, 0);
  const u64 size = align_up(bits, 8 * abi.word) / 8;
  for (u64 i = 0; va && i < size; i += abi.word) {
    u64 v = 0;
    if (!read_value(t, va + i, v, abi.word)) return -EFAULT;
    out[i / 8] |= v << (i % 8 * 8);
  }
  return 0;
}

bool write_nodes(Thread& t, u64 va, u64 bits, const std::vector<u64>& in) {
  const Abi& abi = t.abi();
  const u64 size = align_up(bits, 8 * abi.word) / 8;
  for (u64 i = 0; i < size; i += abi.word)
    if (!write_value(t, va + i, in[i / 8] >> (i % 8 * 8), abi.word)) return false;
  return true;
}

}  // namespace

s64 get_mempolicy(Thread& t, const SyscallArgs& a) {
  std::vector<u64> nodes;
  if (s64 error = read_nodes(t, 0, a[2], nodes)) return error;
  s32 mode = 0;
  const s64 r = host_call(SYS_get_mempolicy, a[0] ? ptr(&mode) : 0, a[1] ? ptr(nodes.data()) : 0, a[2],
                          a[3] ? ptr(host(t, a[3])) : 0, a[4]);
  if (r < 0) return r;
  if (a[0] && !write_value(t, a[0], static_cast<u32>(mode), 4)) return -EFAULT;
  return a[1] && !write_nodes(t, a[1], a[2], nodes) ? -EFAULT : r;
}

s64 set_mempolicy(Thread& t, const SyscallArgs& a) {
  std::vector<u64> nodes;
  if (s64 error = read_nodes(t, a[1], a[2], nodes)) return error;
  return host_call(SYS_set_mempolicy, a[0], a[1] ? ptr(nodes.data()) : 0, a[2]);
}

s64 mbind(Thread& t, const SyscallArgs& a) {
  std::vector<u64> nodes;
  if (s64 error = read_nodes(t, a[3], a[4], nodes)) return error;
  if (a[1] && !t.process.map.mapped(align_down(a[0], t.abi().page_size), a[1])) return -EFAULT;
  return host_call(SYS_mbind, ptr(host(t, a[0])), a[1], a[2], a[3] ? ptr(nodes.data()) : 0, a[4], a[5]);
}

s64 migrate_pages(Thread& t, const SyscallArgs& a) {
  std::vector<u64> from, to;
  if (s64 error = read_nodes(t, a[2], a[1], from)) return error;
  if (s64 error = read_nodes(t, a[3], a[1], to)) return error;
  return host_call(SYS_migrate_pages, a[0], a[1], ptr(from.data()), ptr(to.data()));
}

s64 move_pages(Thread& t, const SyscallArgs& a) {
  const u64 count = a[1], word = t.abi().word;
  if (count > (u64{1} << 20)) return -E2BIG;
  std::vector<u64> pages(count);
  std::vector<s32> nodes(count), status(count);
  for (u64 i = 0; i < count; i++) {
    u64 page = 0, node = 0;
    if (!read_value(t, a[2] + i * word, page, t.abi().word)) return -EFAULT;
    if (a[3] && !read_value(t, a[3] + 4 * i, node, 4)) return -EFAULT;
    pages[i] = page;
    nodes[i] = static_cast<s32>(node);
  }
  const s64 r =
      host_call(SYS_move_pages, a[0], count, ptr(pages.data()), a[3] ? ptr(nodes.data()) : 0, ptr(status.data()), a[5]);
  for (u64 i = 0; r >= 0 && i < count; i++)
    if (!write_value(t, a[4] + 4 * i, static_cast<u32>(status[i]), 4)) return -EFAULT;
  return r;
}

// There are no protection keys, as on a CPU without them.
s64 pkey_alloc(Thread&, const SyscallArgs& a) { return a[0] || (a[1] & ~u64{3}) ? -EINVAL : -ENOSPC; }
s64 pkey_free(Thread&, const SyscallArgs&) { return -EINVAL; }

}  // namespace doppel::user::calls

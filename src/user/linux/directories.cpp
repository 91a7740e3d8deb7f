// getdents in its forms, from the host's getdents64.
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

struct HostEntry {
  u64 ino;
  s64 off;
  u16 reclen;
  u8 type;
  char name[];
};

// A place in a directory as the program may keep it: 31 bits for 32-bit programs, as the kernel gives those of its own.
u64 place_to_guest(Thread& t, s64 off) {
  const u64 place = static_cast<u64>(off);
  if (is_wide(t.abi()) || place <= 0x7fffffff) return place;
  const u32 number = static_cast<u32>((place >> 32 ^ place) & 0x7fffffff);
  std::lock_guard hold(t.process.lock);
  auto& places = t.process.directory_places;
  if (places.size() > (1u << 20)) places.clear();
  places[number] = place;
  return number;
}

// Calls make(entry, bytes of its name with the zero) for each; that appends to the guest's records.
template <typename F>
s64 each_entry(Thread& t, const SyscallArgs& a, size_t host_size, F make) {
  std::vector<u8> buffer(std::min<size_t>(host_size, 1 << 20));
  s64 n = t.blocking_call(SYS_getdents64, a[0], ptr(buffer.data()), buffer.size());
  if (n <= 0) return n;
  std::vector<u8> out;
  for (s64 at = 0; at < n;) {
    auto* e = reinterpret_cast<HostEntry*>(&buffer[static_cast<size_t>(at)]);  // SAFETY: the kernel made it
    make(*e, std::strlen(e->name) + 1, out);
    at += e->reclen;
  }
  return t.write(a[1], out.data(), out.size()) ? static_cast<s64>(out.size()) : -EFAULT;
}

}  // namespace

u64 directory_place(Thread& t, u64 fd, s64 offset) {
  struct ::stat st;
  if (is_wide(t.abi()) || offset <= 0 || offset > 0x7fffffff) return static_cast<u64>(offset);
  std::lock_guard hold(t.process.lock);
  auto it = t.process.directory_places.find(static_cast<u32>(offset));
  if (it == t.process.directory_places.end()) return static_cast<u64>(offset);
  return ::fstat(static_cast<int>(fd), &st) == 0 && S_ISDIR(st.st_mode) ? it->second : static_cast<u64>(offset);
}

// d_ino and d_off are longs; the type is the record's last byte.
s64 getdents(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  const unsigned w = abi.word;
  return each_entry(t, a, a[2], [&](const HostEntry& e, size_t name, std::vector<u8>& out) {
    size_t at = out.size(), size = align_up(2 * w + 2 + name + 1, w);
    out.resize(at + size);
    put_value(abi, &out[at], e.ino, w);
    put_value(abi, &out[at + w], place_to_guest(t, e.off), w);
    put_value(abi, &out[at + 2 * w], size, 2);
    std::memcpy(&out[at + 2 * w + 2], e.name, name);
    out[at + size - 1] = e.type;
  });
}

s64 getdents64(Thread& t, const SyscallArgs& a) {
  const Abi& abi = t.abi();
  if (is_wide(abi) && !abi.big_endian) {
    t.process.map.prepare_write(a[1], a[2]);
    return t.blocking_call(SYS_getdents64, a[0], ptr(host(t, a[1])), a[2]);
  }
  return each_entry(t, a, a[2], [&](const HostEntry& e, size_t, std::vector<u8>& out) {
    size_t at = out.size();
    out.resize(at + e.reclen);
    std::memcpy(&out[at], &e, e.reclen);
    put_value(abi, &out[at], e.ino, 8);
    put_value(abi, &out[at + 8], place_to_guest(t, e.off), 8);
    put_value(abi, &out[at + 16], e.reclen, 2);
  });
}

// The oldest form: one entry a call.
s64 readdir(Thread& t, const SyscallArgs& a) {
  const unsigned w = t.abi().word;
  // Where the entry after the first begins is its d_off: the descriptor is set there.
  u8 buffer[512];
  s64 n = host_call(SYS_getdents64, a[0], ptr(buffer), sizeof buffer);
  if (n <= 0) return n;
  auto* e = reinterpret_cast<HostEntry*>(buffer);  // SAFETY: the kernel made it
  host_call(SYS_lseek, a[0], static_cast<u64>(e->off), 0);
  size_t name = std::strlen(e->name) + 1;
  std::vector<u8> out(2 * w + 2 + name);
  put_value(t.abi(), &out[0], e->ino, w);
  put_value(t.abi(), &out[w], place_to_guest(t, e->off), w);
  put_value(t.abi(), &out[2 * w], name - 1, 2);
  std::memcpy(&out[2 * w + 2], e->name, name);
  return t.write(a[1], out.data(), out.size()) ? 1 : -EFAULT;
}

}  // namespace doppel::user::calls

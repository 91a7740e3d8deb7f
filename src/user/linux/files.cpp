// Opening, reading and writing files; pipes.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/kernel_records.h"
#include "user/linux/layout.h"
#include "user/linux/proc_files.h"

namespace doppel::user::calls {

namespace {

s64 open_file(Thread& t, u64 dirfd, u64 path_va, u64 guest_flags, u64 mode) {
  std::string path, text;
  if (!t.read_string(path_va, path)) return -EFAULT;
  int flags = static_cast<int>(flags_to_host(t.abi(), ArgKind::oflags, guest_flags));
  if (path.starts_with("/proc/") && (flags & O_ACCMODE) == O_RDONLY && proc_file_text(t, path, text))
    return open_text(path, text, flags);
  path = host_path(t, path);
  return t.blocking_call(SYS_openat, dirfd, ptr(path.c_str()), static_cast<u64>(flags), mode);
}

constexpr u64 kCwd = static_cast<u64>(AT_FDCWD);

s64 vector_call(Thread& t, long number, bool reads_file, const SyscallArgs& a, u64 offset = 0, u64 flags = 0) {
  std::vector<iovec> list;
  if (s64 error = read_iovecs(t, a[1], a[2], reads_file, list)) return error;
  // The kernel takes an offset in two words (the upper one is of no meaning to a 64-bit caller).
  return t.blocking_call(number, a[0], ptr(list.data()), list.size(), offset, 0, flags);
}

// Memory of another process, which is at the same addresses there.
s64 copy_memory(Thread& t, long number, bool reads, const SyscallArgs& a) {
  std::vector<iovec> here, there;
  if (s64 error = read_iovecs(t, a[1], a[2], reads, here)) return error;
  if (s64 error = read_iovecs(t, a[3], a[4], false, there)) return error;
  return host_call(number, a[0], ptr(here.data()), here.size(), ptr(there.data()), there.size(), a[5]);
}

u64 join(Thread& t, u64 low, u64 high) { return is_wide(t.abi()) ? low : (low & 0xffffffff) | high << 32; }

}  // namespace

s64 read_iovecs(Thread& t, u64 va, u64 count, bool writes, std::vector<iovec>& out) {
  if (count > 1024) return -EINVAL;
  const Abi& abi = t.abi();
  std::vector<u8> raw(count * 2 * abi.word);
  if (count && !t.read(va, raw.data(), raw.size())) return -EFAULT;
  for (u64 i = 0; i < count; i++) {
    u64 base = get_value(abi, &raw[i * 2 * abi.word], abi.word);
    u64 size = get_value(abi, &raw[(i * 2 + 1) * abi.word], abi.word);
    if (size > mask_bits(abi.word * 8 - 1)) return -EINVAL;
    if (writes) t.process.map.prepare_write(base, size);
    out.push_back({host(t, base), size});
  }
  return 0;
}

s64 open(Thread& t, const SyscallArgs& a) { return open_file(t, kCwd, a[0], a[1], a[2]); }
s64 openat(Thread& t, const SyscallArgs& a) { return open_file(t, a[0], a[1], a[2], a[3]); }
s64 creat(Thread& t, const SyscallArgs& a) {
  return open_file(t, kCwd, a[0], flags_to_guest(t.abi(), ArgKind::oflags, O_CREAT | O_WRONLY | O_TRUNC), a[1]);
}

s64 openat2(Thread& t, const SyscallArgs& a) {
  struct {
    u64 flags, mode, resolve;
  } how;
  if (a[3] < sizeof how) return -EINVAL;
  if (a[3] > sizeof how) return -E2BIG;
  static constexpr Member kHow[] = {{'Q', 8, 0}, {'Q', 8, 8}, {'Q', 8, 16}};
  std::string path;
  if (!fetch(t, a[2], kHow, &how) || !t.read_string(a[1], path)) return -EFAULT;
  how.flags = flags_to_host(t.abi(), ArgKind::oflags, how.flags);
  path = how.resolve ? path : host_path(t, path);
  return t.blocking_call(SYS_openat2, a[0], ptr(path.c_str()), ptr(&how), sizeof how);
}

s64 read(Thread& t, const SyscallArgs& a) {
  t.process.map.prepare_write(a[1], a[2]);
  s64 n = t.blocking_call(SYS_read, a[0], ptr(host(t, a[1])), a[2]);
  if (n > 0 && is_mips(t.abi())) turn_records(t, a[0], a[1], static_cast<size_t>(n));
  return n;
}
s64 write(Thread& t, const SyscallArgs& a) {
  u64 count = 0;
  if (t.abi().big_endian && a[2] == 8 && takes_count(a[0]) && read_value(t, a[1], count, 8))
    return t.blocking_call(SYS_write, a[0], ptr(&count), 8);
  return t.blocking_call(SYS_write, a[0], ptr(host(t, a[1])), a[2]);
}
s64 readv(Thread& t, const SyscallArgs& a) { return vector_call(t, SYS_readv, true, a); }
s64 writev(Thread& t, const SyscallArgs& a) { return vector_call(t, SYS_writev, false, a); }
s64 preadv(Thread& t, const SyscallArgs& a) { return vector_call(t, SYS_preadv, true, a, join(t, a[3], a[4])); }
s64 pwritev(Thread& t, const SyscallArgs& a) { return vector_call(t, SYS_pwritev, false, a, join(t, a[3], a[4])); }
s64 preadv2(Thread& t, const SyscallArgs& a) { return vector_call(t, SYS_preadv2, true, a, join(t, a[3], a[4]), a[5]); }
s64 pwritev2(Thread& t, const SyscallArgs& a) {
  return vector_call(t, SYS_pwritev2, false, a, join(t, a[3], a[4]), a[5]);
}
s64 vmsplice(Thread& t, const SyscallArgs& a) {
  std::vector<iovec> list;
  if (s64 error = read_iovecs(t, a[1], a[2], true, list)) return error;
  return t.blocking_call(SYS_vmsplice, a[0], ptr(list.data()), list.size(), a[3]);
}

s64 process_vm_readv(Thread& t, const SyscallArgs& a) { return copy_memory(t, SYS_process_vm_readv, true, a); }
s64 process_vm_writev(Thread& t, const SyscallArgs& a) { return copy_memory(t, SYS_process_vm_writev, false, a); }

s64 lseek(Thread& t, const SyscallArgs& a) {
  const u64 offset = a[2] == SEEK_SET ? directory_place(t, a[0], static_cast<s64>(a[1])) : a[1];
  s64 at = host_call(SYS_lseek, a[0], offset, a[2]);
  return is_wide(t.abi()) || at <= 0x7fffffff ? at : -EOVERFLOW;
}
s64 llseek(Thread& t, const SyscallArgs& a) {
  const u64 offset = a[1] << 32 | (a[2] & 0xffffffff);
  s64 at =
      host_call(SYS_lseek, a[0], a[4] == SEEK_SET ? directory_place(t, a[0], static_cast<s64>(offset)) : offset, a[4]);
  if (at < 0) return at;
  return write_value(t, a[3], static_cast<u64>(at), 8) ? 0 : -EFAULT;
}

s64 fadvise(Thread&, const SyscallArgs& a) { return host_call(SYS_fadvise64, a[0], a[1], a[2], a[3]); }
s64 sync_file_range(Thread& t, const SyscallArgs& a) {
  return t.blocking_call(SYS_sync_file_range, a[0], a[1], a[2], a[3]);
}

// MIPS gives both descriptors in registers.
s64 pipe(Thread& t, const SyscallArgs& a) {
  int fd[2];
  if (s64 error = host_call(SYS_pipe2, ptr(fd), 0)) return error;
  if (is_mips(t.abi())) {
    t.user().set_gpr(3, static_cast<u64>(fd[1]));
    return fd[0];
  }
  return t.write(a[0], fd, sizeof fd) ? 0 : -EFAULT;
}

s64 pipe2(Thread& t, const SyscallArgs& a) {
  int fd[2];
  if (s64 error = host_call(SYS_pipe2, ptr(fd), flags_to_host(t.abi(), ArgKind::fdflags, a[1]))) return error;
  u8 out[8];
  for (unsigned i = 0; i < 2; i++) put_value(t.abi(), out + i * 4, static_cast<u64>(fd[i]), 4);
  return t.write(a[0], out, sizeof out) ? 0 : -EFAULT;
}

// The offset is a long.
s64 sendfile(Thread& t, const SyscallArgs& a) {
  u64 at = 0;
  if (a[2] && !t.read_word(a[2], at)) return -EFAULT;
  s64 r = t.blocking_call(SYS_sendfile, a[0], a[1], a[2] ? ptr(&at) : 0, a[3]);
  return r >= 0 && a[2] && !t.write_word(a[2], at) ? -EFAULT : r;
}

}  // namespace doppel::user::calls

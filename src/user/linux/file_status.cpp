// stat, statx, statfs in all their forms.
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include <cerrno>

#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

using Stat = struct ::stat;
using StatFs = struct ::statfs;

#define TIMES(s, ns)                                                                                   \
  MEMBER(s, Stat, st_atim.tv_sec), MEMBER(ns, Stat, st_atim.tv_nsec), MEMBER(s, Stat, st_mtim.tv_sec), \
      MEMBER(ns, Stat, st_mtim.tv_nsec), MEMBER(s, Stat, st_ctim.tv_sec), MEMBER(ns, Stat, st_ctim.tv_nsec)

// i386: struct stat, struct stat64 (asm/stat.h).
constexpr Member kI386Stat[] = {MEMBER('L', Stat, st_dev),
                                MEMBER('L', Stat, st_ino),
                                MEMBER('H', Stat, st_mode),
                                MEMBER('H', Stat, st_nlink),
                                MEMBER('H', Stat, st_uid),
                                MEMBER('H', Stat, st_gid),
                                MEMBER('L', Stat, st_rdev),
                                MEMBER('L', Stat, st_size),
                                MEMBER('L', Stat, st_blksize),
                                MEMBER('L', Stat, st_blocks),
                                TIMES('L', 'L'),
                                HOLE('L', 2)};
constexpr Member kI386Stat64[] = {MEMBER('Q', Stat, st_dev),
                                  HOLE('U', 1),
                                  MEMBER('L', Stat, st_ino),
                                  MEMBER('U', Stat, st_mode),
                                  MEMBER('U', Stat, st_nlink),
                                  MEMBER('L', Stat, st_uid),
                                  MEMBER('L', Stat, st_gid),
                                  MEMBER('Q', Stat, st_rdev),
                                  HOLE('U', 1),
                                  MEMBER('q', Stat, st_size),
                                  MEMBER('L', Stat, st_blksize),
                                  MEMBER('Q', Stat, st_blocks),
                                  TIMES('L', 'L'),
                                  MEMBER('Q', Stat, st_ino)};
// MIPS o32 and n64.
constexpr Member kO32Stat[] = {MEMBER('U', Stat, st_dev),
                               HOLE('l', 3),
                               MEMBER('L', Stat, st_ino),
                               MEMBER('U', Stat, st_mode),
                               MEMBER('U', Stat, st_nlink),
                               MEMBER('U', Stat, st_uid),
                               MEMBER('U', Stat, st_gid),
                               MEMBER('U', Stat, st_rdev),
                               HOLE('l', 2),
                               MEMBER('l', Stat, st_size),
                               HOLE('l', 1),
                               TIMES('l', 'l'),
                               MEMBER('l', Stat, st_blksize),
                               MEMBER('l', Stat, st_blocks),
                               HOLE('l', 14)};
constexpr Member kO32Stat64[] = {MEMBER('L', Stat, st_dev),
                                 HOLE('L', 3),
                                 MEMBER('Q', Stat, st_ino),
                                 MEMBER('U', Stat, st_mode),
                                 MEMBER('U', Stat, st_nlink),
                                 MEMBER('U', Stat, st_uid),
                                 MEMBER('U', Stat, st_gid),
                                 MEMBER('L', Stat, st_rdev),
                                 HOLE('L', 3),
                                 MEMBER('q', Stat, st_size),
                                 TIMES('l', 'L'),
                                 MEMBER('L', Stat, st_blksize),
                                 HOLE('L', 1),
                                 MEMBER('q', Stat, st_blocks)};
constexpr Member kN64Stat[] = {MEMBER('U', Stat, st_dev),
                               HOLE('U', 3),
                               MEMBER('L', Stat, st_ino),
                               MEMBER('U', Stat, st_mode),
                               MEMBER('U', Stat, st_nlink),
                               MEMBER('U', Stat, st_uid),
                               MEMBER('U', Stat, st_gid),
                               MEMBER('U', Stat, st_rdev),
                               HOLE('U', 3),
                               MEMBER('l', Stat, st_size),
                               TIMES('U', 'U'),
                               MEMBER('U', Stat, st_blksize),
                               HOLE('U', 1),
                               MEMBER('L', Stat, st_blocks)};

Members stat_layout(const Abi& abi, bool wide) {
  if (abi.id == AbiId::I386) return wide ? Members(kI386Stat64) : Members(kI386Stat);
  if (abi.id == AbiId::MipsO32) return wide ? Members(kO32Stat64) : Members(kO32Stat);
  return kN64Stat;
}

s64 stat_at(Thread& t, u64 dirfd, const char* path, u64 out, u64 flags, bool wide) {
  Stat st;
  if (same_as_host(t.abi())) {
    t.process.map.prepare_write(out, sizeof st);
    return host_call(SYS_newfstatat, dirfd, ptr(path), ptr(host(t, out)), flags);
  }
  if (s64 error = host_call(SYS_newfstatat, dirfd, ptr(path), ptr(&st), flags)) return error;
  if (!wide && !is_wide(t.abi()) && (st.st_size > 0x7fffffff || st.st_ino > 0xffffffff)) return -EOVERFLOW;
  return put(t, out, stat_layout(t.abi(), wide), &st) ? 0 : -EFAULT;
}

s64 stat_path(Thread& t, u64 dirfd, u64 path_va, u64 out, u64 flags, bool wide) {
  std::string path;
  if (s64 error = read_path(t, path_va, path, !(flags & AT_SYMLINK_NOFOLLOW))) return error;
  return stat_at(t, dirfd, path.c_str(), out, flags, wide);
}

s64 stat_fd(Thread& t, const SyscallArgs& a, bool wide) {
  return static_cast<s64>(a[0]) < 0 ? -EBADF : stat_at(t, a[0], "", a[1], AT_EMPTY_PATH, wide);
}

constexpr u64 kCwd = static_cast<u64>(AT_FDCWD);

constexpr Member kStatx[] = {MEMBER('U', struct statx, stx_mask),
                             MEMBER('U', struct statx, stx_blksize),
                             MEMBER('Q', struct statx, stx_attributes),
                             MEMBER('U', struct statx, stx_nlink),
                             MEMBER('U', struct statx, stx_uid),
                             MEMBER('U', struct statx, stx_gid),
                             MEMBER('H', struct statx, stx_mode),
                             HOLE('H', 1),
                             MEMBER('Q', struct statx, stx_ino),
                             MEMBER('Q', struct statx, stx_size),
                             MEMBER('Q', struct statx, stx_blocks),
                             MEMBER('Q', struct statx, stx_attributes_mask),
#define STAMP(m) MEMBER('q', struct statx, m.tv_sec), MEMBER('U', struct statx, m.tv_nsec), HOLE('U', 1)
                             STAMP(stx_atime),
                             STAMP(stx_btime),
                             STAMP(stx_ctime),
                             STAMP(stx_mtime),
                             MEMBER('U', struct statx, stx_rdev_major),
                             MEMBER('U', struct statx, stx_rdev_minor),
                             MEMBER('U', struct statx, stx_dev_major),
                             MEMBER('U', struct statx, stx_dev_minor),
                             MEMBER('Q', struct statx, stx_mnt_id),
                             HOLE('Q', 13)};

#define STATFS_COUNTS_X86(c)                                                                                        \
  MEMBER(c, StatFs, f_blocks), MEMBER(c, StatFs, f_bfree), MEMBER(c, StatFs, f_bavail), MEMBER(c, StatFs, f_files), \
      MEMBER(c, StatFs, f_ffree)
#define STATFS_COUNTS_MIPS(c)                                                                                      \
  MEMBER(c, StatFs, f_blocks), MEMBER(c, StatFs, f_bfree), MEMBER(c, StatFs, f_files), MEMBER(c, StatFs, f_ffree), \
      MEMBER(c, StatFs, f_bavail)
#define FSID \
  {'i', 4, offsetof(StatFs, f_fsid)}, { 'i', 4, offsetof(StatFs, f_fsid) + 4 }
constexpr Member kI386StatFs[] = {
    MEMBER('U', StatFs, f_type),    MEMBER('U', StatFs, f_bsize),  STATFS_COUNTS_X86('U'),       FSID,
    MEMBER('U', StatFs, f_namelen), MEMBER('U', StatFs, f_frsize), MEMBER('U', StatFs, f_flags), HOLE('U', 4)};
constexpr Member kI386StatFs64[] = {
    MEMBER('U', StatFs, f_type),    MEMBER('U', StatFs, f_bsize),  STATFS_COUNTS_X86('Q'),       FSID,
    MEMBER('U', StatFs, f_namelen), MEMBER('U', StatFs, f_frsize), MEMBER('U', StatFs, f_flags), HOLE('U', 4)};
constexpr Member kMipsStatFs[] = {MEMBER('l', StatFs, f_type),
                                  MEMBER('l', StatFs, f_bsize),
                                  MEMBER('l', StatFs, f_frsize),
                                  STATFS_COUNTS_MIPS('l'),
                                  FSID,
                                  MEMBER('l', StatFs, f_namelen),
                                  MEMBER('l', StatFs, f_flags),
                                  HOLE('l', 5)};
constexpr Member kO32StatFs64[] = {MEMBER('U', StatFs, f_type),
                                   MEMBER('U', StatFs, f_bsize),
                                   MEMBER('U', StatFs, f_frsize),
                                   HOLE('U', 1),
                                   STATFS_COUNTS_MIPS('Q'),
                                   FSID,
                                   MEMBER('U', StatFs, f_namelen),
                                   MEMBER('U', StatFs, f_flags),
                                   HOLE('U', 5)};

s64 put_statfs(Thread& t, u64 out, const StatFs& st, bool wide) {
  const Abi& abi = t.abi();
  if (same_as_host(abi)) return t.write(out, &st, sizeof st) ? 0 : -EFAULT;
  if (!wide && !is_wide(abi) && ((st.f_blocks | st.f_files | st.f_bfree) >> 32)) return -EOVERFLOW;
  Members layout = kMipsStatFs;
  if (abi.id == AbiId::I386) layout = wide ? Members(kI386StatFs64) : Members(kI386StatFs);
  if (abi.id == AbiId::MipsO32 && wide) layout = kO32StatFs64;
  return put(t, out, layout, &st) ? 0 : -EFAULT;
}

s64 statfs_path(Thread& t, u64 path_va, u64 out, bool wide) {
  std::string path;
  StatFs st{};
  if (s64 error = read_path(t, path_va, path)) return error;
  if (s64 error = host_call(SYS_statfs, ptr(path.c_str()), ptr(&st))) return error;
  return put_statfs(t, out, st, wide);
}

s64 statfs_fd(Thread& t, u64 fd, u64 out, bool wide) {
  StatFs st{};
  if (s64 error = host_call(SYS_fstatfs, fd, ptr(&st))) return error;
  return put_statfs(t, out, st, wide);
}

}  // namespace

s64 stat(Thread& t, const SyscallArgs& a) { return stat_path(t, kCwd, a[0], a[1], 0, false); }
s64 lstat(Thread& t, const SyscallArgs& a) { return stat_path(t, kCwd, a[0], a[1], AT_SYMLINK_NOFOLLOW, false); }
s64 fstat(Thread& t, const SyscallArgs& a) { return stat_fd(t, a, false); }
s64 newfstatat(Thread& t, const SyscallArgs& a) { return stat_path(t, a[0], a[1], a[2], a[3], false); }
s64 stat64(Thread& t, const SyscallArgs& a) { return stat_path(t, kCwd, a[0], a[1], 0, true); }
s64 lstat64(Thread& t, const SyscallArgs& a) { return stat_path(t, kCwd, a[0], a[1], AT_SYMLINK_NOFOLLOW, true); }
s64 fstat64(Thread& t, const SyscallArgs& a) { return stat_fd(t, a, true); }
s64 fstatat64(Thread& t, const SyscallArgs& a) { return stat_path(t, a[0], a[1], a[2], a[3], true); }

s64 statx(Thread& t, const SyscallArgs& a) {
  std::string path;
  if (s64 error = read_path(t, a[1], path, !(a[2] & AT_SYMLINK_NOFOLLOW))) return error;
  if (!t.abi().big_endian) {
    t.process.map.prepare_write(a[4], sizeof(struct statx));
    return host_call(SYS_statx, a[0], ptr(path.c_str()), a[2], a[3], ptr(host(t, a[4])));
  }
  struct statx st;
  if (s64 error = host_call(SYS_statx, a[0], ptr(path.c_str()), a[2], a[3], ptr(&st))) return error;
  return put(t, a[4], kStatx, &st) ? 0 : -EFAULT;
}

s64 statfs(Thread& t, const SyscallArgs& a) { return statfs_path(t, a[0], a[1], false); }
s64 fstatfs(Thread& t, const SyscallArgs& a) { return statfs_fd(t, a[0], a[1], false); }
s64 statfs64(Thread& t, const SyscallArgs& a) { return statfs_path(t, a[0], a[2], true); }
s64 fstatfs64(Thread& t, const SyscallArgs& a) { return statfs_fd(t, a[0], a[2], true); }

}  // namespace doppel::user::calls

// System V's shared memory, semaphores and messages, and the call of 32-bit programs for all of them; POSIX's queues.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "user/linux/constants.h"
#include "user/linux/handlers.h"
#include "user/linux/layout.h"

namespace doppel::user::calls {

namespace {

#define PERM(s, p)                                                                                      \
  {'i', 4, offsetof(s, p.__key)}, MEMBER('U', s, p.uid), MEMBER('U', s, p.gid), MEMBER('U', s, p.cuid), \
      MEMBER('U', s, p.cgid), MEMBER('U', s, p.mode), MEMBER('H', s, p.__seq), HOLE('H', 1), HOLE('L', 2)
#define SHM_COMMON PERM(shmid_ds, shm_perm), MEMBER('L', shmid_ds, shm_segsz)
#define SHM_PIDS MEMBER('i', shmid_ds, shm_cpid), MEMBER('i', shmid_ds, shm_lpid), MEMBER('L', shmid_ds, shm_nattch)

// asm/shmbuf.h, sembuf.h, msgbuf.h: of 64-bit programs, of i386, of o32.
constexpr Member kShm64[] = {SHM_COMMON,
                             MEMBER('l', shmid_ds, shm_atime),
                             MEMBER('l', shmid_ds, shm_dtime),
                             MEMBER('l', shmid_ds, shm_ctime),
                             SHM_PIDS,
                             HOLE('L', 2)};
constexpr Member kShmI386[] = {
    SHM_COMMON,   MEMBER('L', shmid_ds, shm_atime), HOLE('L', 1), MEMBER('L', shmid_ds, shm_dtime),
    HOLE('L', 1), MEMBER('L', shmid_ds, shm_ctime), HOLE('L', 1), SHM_PIDS,
    HOLE('L', 2)};
constexpr Member kShmO32[] = {SHM_COMMON,
                              MEMBER('L', shmid_ds, shm_atime),
                              MEMBER('L', shmid_ds, shm_dtime),
                              MEMBER('L', shmid_ds, shm_ctime),
                              SHM_PIDS,
                              HOLE('H', 4)};
constexpr Member kSemX86[] = {PERM(semid_ds, sem_perm),
                              MEMBER('l', semid_ds, sem_otime),
                              HOLE('L', 1),
                              MEMBER('l', semid_ds, sem_ctime),
                              HOLE('L', 1),
                              MEMBER('L', semid_ds, sem_nsems),
                              HOLE('L', 2)};
constexpr Member kSemMips[] = {PERM(semid_ds, sem_perm), MEMBER('l', semid_ds, sem_otime),
                               MEMBER('l', semid_ds, sem_ctime), MEMBER('L', semid_ds, sem_nsems), HOLE('L', 2)};
#define MSG_REST                                                                                                  \
  {'L', 8, offsetof(msqid_ds, __msg_cbytes)}, MEMBER('L', msqid_ds, msg_qnum), MEMBER('L', msqid_ds, msg_qbytes), \
      MEMBER('i', msqid_ds, msg_lspid), MEMBER('i', msqid_ds, msg_lrpid), HOLE('L', 2)
constexpr Member kMsg64[] = {PERM(msqid_ds, msg_perm), MEMBER('l', msqid_ds, msg_stime),
                             MEMBER('l', msqid_ds, msg_rtime), MEMBER('l', msqid_ds, msg_ctime), MSG_REST};
// In 32 bits a time has its upper half behind it or, big-endian, before.
constexpr Member kMsgLittle[] = {PERM(msqid_ds, msg_perm),
                                 MEMBER('L', msqid_ds, msg_stime),
                                 HOLE('L', 1),
                                 MEMBER('L', msqid_ds, msg_rtime),
                                 HOLE('L', 1),
                                 MEMBER('L', msqid_ds, msg_ctime),
                                 HOLE('L', 1),
                                 MSG_REST};
constexpr Member kMsgBig[] = {
    PERM(msqid_ds, msg_perm),         HOLE('L', 1), MEMBER('L', msqid_ds, msg_stime), HOLE('L', 1),
    MEMBER('L', msqid_ds, msg_rtime), HOLE('L', 1), MEMBER('L', msqid_ds, msg_ctime), MSG_REST};

Members msg_layout(const Abi& abi) {
  return is_wide(abi) ? Members(kMsg64) : abi.big_endian ? Members(kMsgBig) : Members(kMsgLittle);
}

Members shm_layout(const Abi& abi) {
  return abi.id == AbiId::I386 ? Members(kShmI386) : abi.id == AbiId::MipsO32 ? Members(kShmO32) : Members(kShm64);
}

// What a command's structure is.
struct Control {
  Members layout;
  bool reads, writes;
};

s64 control_call(Thread& t, long number, u64 id, u64 second, u64 cmd, u64 va, const Control& c, bool four) {
  alignas(8) u8 buffer[256] = {};
  if (c.reads && !fetch(t, va, c.layout, buffer)) return -EFAULT;
  s64 r = four ? host_call(number, id, second, cmd, ptr(buffer)) : host_call(number, id, cmd, ptr(buffer));
  return r >= 0 && c.writes && !put(t, va, c.layout, buffer) ? -EFAULT : r;
}

constexpr u64 kIpc64 = 0x100;
constexpr u64 kShmStatAny = 15, kSemStatAny = 20, kMsgStatAny = 13;

// Structures of IPC_INFO and SHM_INFO and so on: words or ints.
constexpr Member kShmInfo[] = {{'L', 8, 0}, {'L', 8, 8}, {'L', 8, 16}, {'L', 8, 24}, {'L', 8, 32}, HOLE('L', 4)};
constexpr Member kShmUse[] = {{'i', 4, 0}, {'L', 8, 8}, {'L', 8, 16}, {'L', 8, 24}, {'L', 8, 32}, {'L', 8, 40}};
constexpr Member kTenInts[] = {{'i', 4, 0},  {'i', 4, 4},  {'i', 4, 8},  {'i', 4, 12}, {'i', 4, 16},
                               {'i', 4, 20}, {'i', 4, 24}, {'i', 4, 28}, {'i', 4, 32}, {'i', 4, 36}};
constexpr Member kMsgInfo[] = {{'i', 4, 0},  {'i', 4, 4},  {'i', 4, 8},  {'i', 4, 12},
                               {'i', 4, 16}, {'i', 4, 20}, {'i', 4, 24}, {'H', 2, 28}};

s64 sem_operate(Thread& t, const SyscallArgs& a, bool timed, bool wide) {
  if (a[2] > 500) return -E2BIG;
  std::vector<sembuf> ops(a[2]);
  for (u64 i = 0; i < a[2]; i++) {
    static constexpr Member kOp[] = {MEMBER('H', sembuf, sem_num), MEMBER('h', sembuf, sem_op),
                                     MEMBER('h', sembuf, sem_flg)};
    if (!fetch(t, a[1] + i * 6, kOp, &ops[i])) return -EFAULT;
  }
  timespec timeout{};
  if (timed && a[3] && !read_timespec(t, a[3], wide, timeout)) return -EFAULT;
  return t.blocking_call(SYS_semtimedop, a[0], ptr(ops.data()), ops.size(), timed && a[3] ? ptr(&timeout) : 0);
}

// SETALL and GETALL: as many u16 as the set has.
s64 sem_all(Thread& t, u64 id, u64 cmd, u64 va) {
  semid_ds ds{};
  s64 r = host_call(SYS_semctl, id, 0, IPC_STAT, ptr(&ds));
  if (r < 0) return r;
  std::vector<u16> values(ds.sem_nsems);
  for (size_t i = 0; cmd == SETALL && i < values.size(); i++) {
    u64 v = 0;
    if (!read_value(t, va + i * 2, v, 2)) return -EFAULT;
    values[i] = static_cast<u16>(v);
  }
  r = host_call(SYS_semctl, id, 0, cmd, ptr(values.data()));
  for (size_t i = 0; r >= 0 && cmd == GETALL && i < values.size(); i++)
    if (!write_value(t, va + i * 2, values[i], 2)) return -EFAULT;
  return r;
}

struct Buffer {
  s64 type;
  u8 text[];
};

s64 attach(Thread& t, u64 id, u64 va, u64 flags, u64& at) {
  shmid_ds ds{};
  AddressMap& map = t.process.map;
  if (s64 error = host_call(SYS_shmctl, id, IPC_STAT, ptr(&ds)); error < 0) return error;
  const u64 size = align_up(ds.shm_segsz, t.abi().page_size);
  if (va && (flags & SHM_RND)) va = align_down(va, t.abi().page_size);
  if (va & (t.abi().page_size - 1)) return -EINVAL;
  const bool fixed = va != 0;
  if (!fixed) va = map.room(size);
  if (!va || va >= t.abi().address_end || size > t.abi().address_end - va) return -ENOMEM;
  if (fixed && (flags & SHM_REMAP)) map.unmap(va, size);
  // Never on what is there already, the emulator's memory least of all: the kernel refuses that without SHM_REMAP.
  const s64 r = host_call(SYS_shmat, id, ptr(host(t, va)), flags & ~u64{SHM_REMAP | SHM_RND});
  if (r < 0 && r > -4096) return r;
  map.note(va, size, PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0));
  std::lock_guard hold(t.process.lock);
  t.process.shared_segments[va] = size;
  at = va;
  return 0;
}

}  // namespace

s64 shmget(Thread&, const SyscallArgs& a) { return host_call(SYS_shmget, a[0], a[1], a[2]); }
s64 shmat(Thread& t, const SyscallArgs& a) {
  u64 at = 0;
  s64 error = attach(t, a[0], a[1], a[2], at);
  return error ? error : static_cast<s64>(at);
}
s64 shmdt(Thread& t, const SyscallArgs& a) {
  u64 size = 0;
  {
    std::lock_guard hold(t.process.lock);
    auto it = t.process.shared_segments.find(a[0]);
    if (it == t.process.shared_segments.end()) return -EINVAL;
    size = it->second;
    t.process.shared_segments.erase(it);
  }
  s64 r = host_call(SYS_shmdt, ptr(host(t, a[0])));
  if (r == 0) t.process.map.forget(a[0], size);
  return r;
}
s64 shmctl(Thread& t, const SyscallArgs& a) {
  const u64 cmd = a[1] & ~kIpc64;
  const Members ds = shm_layout(t.abi());
  switch (cmd) {
    case IPC_STAT:
    case SHM_STAT:
    case kShmStatAny: return control_call(t, SYS_shmctl, a[0], 0, cmd, a[2], {ds, false, true}, false);
    case IPC_SET: return control_call(t, SYS_shmctl, a[0], 0, cmd, a[2], {ds, true, false}, false);
    case IPC_INFO: return control_call(t, SYS_shmctl, a[0], 0, cmd, a[2], {kShmInfo, false, true}, false);
    case SHM_INFO: return control_call(t, SYS_shmctl, a[0], 0, cmd, a[2], {kShmUse, false, true}, false);
    case IPC_RMID:
    case SHM_LOCK:
    case SHM_UNLOCK: return host_call(SYS_shmctl, a[0], cmd, 0);
    default: return -EINVAL;
  }
}

s64 semget(Thread&, const SyscallArgs& a) { return host_call(SYS_semget, a[0], a[1], a[2]); }
s64 semop(Thread& t, const SyscallArgs& a) { return sem_operate(t, a, false, false); }
s64 semtimedop(Thread& t, const SyscallArgs& a) { return sem_operate(t, a, true, is_wide(t.abi())); }
s64 semtimedop_time64(Thread& t, const SyscallArgs& a) { return sem_operate(t, a, true, true); }
s64 semctl(Thread& t, const SyscallArgs& a) {
  const u64 cmd = a[2] & ~kIpc64;
  const Members ds = is_mips(t.abi()) ? Members(kSemMips) : Members(kSemX86);
  switch (cmd) {
    case IPC_STAT:
    case SEM_STAT:
    case kSemStatAny: return control_call(t, SYS_semctl, a[0], a[1], cmd, a[3], {ds, false, true}, true);
    case IPC_SET: return control_call(t, SYS_semctl, a[0], a[1], cmd, a[3], {ds, true, false}, true);
    case IPC_INFO:
    case SEM_INFO: return control_call(t, SYS_semctl, a[0], a[1], cmd, a[3], {kTenInts, false, true}, true);
    case GETALL:
    case SETALL: return sem_all(t, a[0], cmd, a[3]);
    // The value is an int: where a word of the other byte order holds it, in its upper half.
    case SETVAL: {
      const bool upper = t.abi().big_endian && is_wide(t.abi());
      return host_call(SYS_semctl, a[0], a[1], cmd, upper ? a[3] >> 32 : a[3] & 0xffffffff);
    }
    case IPC_RMID:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT: return host_call(SYS_semctl, a[0], a[1], cmd, 0);
    default: return -EINVAL;
  }
}

s64 msgget(Thread&, const SyscallArgs& a) { return host_call(SYS_msgget, a[0], a[1]); }
s64 msgsnd(Thread& t, const SyscallArgs& a) {
  if (a[2] > (16u << 20)) return -EINVAL;
  std::vector<u8> raw(sizeof(Buffer) + a[2]);
  u64 type = 0;
  if (!t.read_word(a[1], type) || !t.read(a[1] + t.abi().word, &raw[8], a[2])) return -EFAULT;
  store_le<u64>(raw.data(), is_wide(t.abi()) ? type : sign_extend(type, 32));
  return t.blocking_call(SYS_msgsnd, a[0], ptr(raw.data()), a[2], a[3]);
}
s64 msgrcv(Thread& t, const SyscallArgs& a) {
  if (a[2] > (16u << 20)) return -EINVAL;
  std::vector<u8> raw(sizeof(Buffer) + a[2]);
  s64 n = t.blocking_call(SYS_msgrcv, a[0], ptr(raw.data()), a[2], a[3], a[4]);
  if (n < 0) return n;
  const bool ok =
      t.write_word(a[1], load_le<u64>(raw.data())) && t.write(a[1] + t.abi().word, &raw[8], static_cast<size_t>(n));
  return ok ? n : -EFAULT;
}
s64 msgctl(Thread& t, const SyscallArgs& a) {
  const u64 cmd = a[1] & ~kIpc64;
  const Members ds = msg_layout(t.abi());
  switch (cmd) {
    case IPC_STAT:
    case MSG_STAT:
    case kMsgStatAny: return control_call(t, SYS_msgctl, a[0], 0, cmd, a[2], {ds, false, true}, false);
    case IPC_SET: return control_call(t, SYS_msgctl, a[0], 0, cmd, a[2], {ds, true, false}, false);
    case IPC_INFO:
    case MSG_INFO: return control_call(t, SYS_msgctl, a[0], 0, cmd, a[2], {kMsgInfo, false, true}, false);
    case IPC_RMID: return host_call(SYS_msgctl, a[0], cmd, 0);
    default: return -EINVAL;
  }
}

// call, first, second, third, ptr, fifth (linux/ipc.h).
s64 ipc(Thread& t, const SyscallArgs& a) {
  enum : u64 {
    kSemop = 1,
    kSemget,
    kSemctl,
    kSemtimedop,
    kMsgsnd = 11,
    kMsgrcv,
    kMsgget,
    kMsgctl,
    kShmat = 21,
    kShmdt,
    kShmget,
    kShmctl
  };
  const u64 version = a[0] >> 16, first = a[1], second = a[2], third = a[3], pointer = a[4];
  const unsigned w = t.abi().word;
  switch (a[0] & 0xffff) {
    case kSemop: return semop(t, {first, pointer, second});
    case kSemtimedop: return semtimedop(t, {first, pointer, second, static_cast<u64>(a[5]) & mask_bits(w * 8)});
    case kSemget: return semget(t, {first, second, third});
    case kSemctl: {
      u64 value = 0;
      if (!pointer) return -EINVAL;
      if (!t.read_word(pointer, value)) return -EFAULT;
      return semctl(t, {first, second, third, value});
    }
    case kMsgsnd: return msgsnd(t, {first, pointer, second, third});
    case kMsgrcv: {
      u64 buffer = pointer, type = a[5];
      if (version == 0) {  // both in memory
        if (!t.read_word(pointer, buffer) || !t.read_word(pointer + w, type)) return -EFAULT;
        type = sign_extend(type, w * 8);
      }
      return msgrcv(t, {first, buffer, second, type, third});
    }
    case kMsgget: return msgget(t, {first, second});
    case kMsgctl: return msgctl(t, {first, second, pointer});
    case kShmat: {
      u64 at = 0;
      if (version == 1) return -EINVAL;
      if (s64 error = attach(t, first, pointer, second, at)) return error;
      return t.write_word(third, at) ? 0 : -EFAULT;
    }
    case kShmdt: return shmdt(t, {pointer});
    case kShmget: return shmget(t, {first, second, third});
    case kShmctl: return shmctl(t, {first, second, pointer});
    default: return -ENOSYS;
  }
}

namespace {

constexpr Member kMqAttr[] = {MEMBER('l', mq_attr, mq_flags), MEMBER('l', mq_attr, mq_maxmsg),
                              MEMBER('l', mq_attr, mq_msgsize), MEMBER('l', mq_attr, mq_curmsgs), HOLE('l', 4)};

}  // namespace

s64 mq_open(Thread& t, const SyscallArgs& a) {
  mq_attr attr{};
  std::string name;
  if (!t.read_string(a[0], name) || (a[3] && !fetch(t, a[3], kMqAttr, &attr))) return -EFAULT;
  return host_call(SYS_mq_open, ptr(name.c_str()), flags_to_host(t.abi(), ArgKind::oflags, a[1]), a[2],
                   a[3] ? ptr(&attr) : 0);
}
s64 mq_getsetattr(Thread& t, const SyscallArgs& a) {
  alignas(8) u8 to[sizeof(mq_attr)] = {}, old[sizeof(mq_attr)] = {};
  if (a[1] && !fetch(t, a[1], kMqAttr, to)) return -EFAULT;
  u64 flags = flags_to_host(t.abi(), ArgKind::oflags, load_le<u64>(to));
  store_le<u64>(to, flags);
  if (s64 error = host_call(SYS_mq_getsetattr, a[0], a[1] ? ptr(to) : 0, a[2] ? ptr(old) : 0)) return error;
  store_le<u64>(old, flags_to_guest(t.abi(), ArgKind::oflags, load_le<u64>(old)));
  return a[2] && !put(t, a[2], kMqAttr, old) ? -EFAULT : 0;
}

}  // namespace doppel::user::calls

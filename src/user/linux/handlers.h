// The handlers that syscalls.def names; each subject has a file.
#pragma once
#include "user/linux/args.h"

namespace doppel::user::calls {

#define CALL(name, kinds, result, handler) s64 handler(Thread& t, const SyscallArgs& a);
#define PASS(name, number, mode, kinds, result)
#define NONE(name)
#include "user/linux/syscalls.def"
#undef CALL
#undef PASS
#undef NONE

// Structures that more than one file reads or writes; false: the address is not the program's.
bool read_timespec(Thread& t, u64 va, bool wide, struct timespec& out);
bool write_timespec(Thread& t, u64 va, bool wide, const struct timespec& in);
bool read_sigset(Thread& t, u64 va,
                 u64& out);  // guest's numbers, bit n - 1; of the 64 (MIPS: 128) signals the first 64
bool write_sigset(Thread& t, u64 va, u64 mask);
u64 sigset_to_host(const Abi& abi, u64 mask);
u64 sigset_to_guest(const Abi& abi, u64 mask);
// The host's offset of lseek: a place in a directory that getdents gave a 32-bit program another number for.
u64 directory_place(Thread& t, u64 fd, s64 offset);
// An array of iovec as the host's, or -errno. `writes`: the kernel writes to what they name.
s64 read_iovecs(Thread& t, u64 va, u64 count, bool writes, std::vector<struct iovec>& out);
// May an aligned word of 4 bytes be changed in place? Then its page is ready for that.
bool can_write_word(Thread& t, u64 va);
// A path from guest memory as the host has it, or -errno. `follow`: a symbolic link that it names is meant itself if
// not.
s64 read_path(Thread& t, u64 va, std::string& out, bool follow = true);

}  // namespace doppel::user::calls

// Addresses of sockets and their options between the program's form and the host's.
#pragma once
#include <sys/socket.h>

#include "user/linux/handlers.h"

namespace doppel::user::calls {

// A sockaddr of `size` bytes: network byte order but for the family and a few members. -errno or 0.
s64 read_address(Thread& t, u64 va, u64 size, sockaddr_storage& out);
// What the kernel gave: as many of `size` bytes as `room` has; the length is written to `size_va` if that is there.
s64 write_address(Thread& t, u64 va, u64 room, u64 size_va, sockaddr_storage& in, socklen_t size);
// SOL_SOCKET and its options: MIPS has other numbers.
int level_to_host(const Abi& abi, int level);
int level_to_guest(const Abi& abi, int level);
int option_to_host(const Abi& abi, int level, int option);  // `level`: the host's
int option_to_guest(const Abi& abi, int level, int option);

}  // namespace doppel::user::calls

// Structures as each ABI lays them out: a list of members, offsets by the ABI's rules (word size, alignment of 64-bit
// values, byte order), and the host's copy of each.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "user/abi.h"
#include "user/linux/args.h"

namespace doppel::user {

// Types: b h i q: signed of 1 2 4 8 bytes, B H U Q: unsigned; l, L: a long; p: a pointer; r: bytes as they are
// (`count` of them). host_size 0: a hole, `count` of it.
struct Member {
  char type;
  u8 host_size;
  u16 host;
  u16 count = 1;
};
#define MEMBER(type, structure, member) \
  ::doppel::user::Member { type, sizeof(static_cast<structure*>(nullptr)->member), offsetof(structure, member) }
#define RAW(structure, member, bytes) \
  ::doppel::user::Member { 'r', 1, offsetof(structure, member), bytes }
#define HOLE(type, count) \
  ::doppel::user::Member { type, 0, 0, count }

using Members = std::span<const Member>;

// `packed`: members follow each other without holes.
size_t layout_size(const Abi& abi, Members members, bool packed = false);
// Holes of the guest's copy are zero; values that are too long lose their upper bits, as the kernel's do.
void to_guest(const Abi& abi, Members members, const void* host, u8* guest, bool packed = false);
void to_host(const Abi& abi, Members members, const u8* guest, void* host, bool packed = false);

// The same with guest memory; false: not there.
bool put(Thread& t, u64 va, Members members, const void* host);
bool fetch(Thread& t, u64 va, Members members, void* host);

// Single values in the program's byte order.
void put_value(const Abi& abi, u8* at, u64 value, unsigned bytes);
u64 get_value(const Abi& abi, const u8* at, unsigned bytes);
bool write_value(Thread& t, u64 va, u64 value, unsigned bytes);
bool read_value(Thread& t, u64 va, u64& value, unsigned bytes);

// Of the kinds of class STRUCT.
struct StructKind {
  Members members;
  size_t host_size;
};
StructKind struct_kind(ArgKind kind);
// Is the guest's copy the same, byte for byte, as the host's?
bool same_layout(const Abi& abi, Members members, size_t host_size);

}  // namespace doppel::user

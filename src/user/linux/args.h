// Arguments of system calls: their kinds, rows' strings made into them at compile time, and values widened by the ABI.
#pragma once
#include <algorithm>
#include <array>
#include <string_view>

#include "user/linux/syscalls.h"

namespace doppel::user {

enum class ArgClass : u8 { SIGNED, UNSIGNED, LONG, WORD, PAIR, UID, UID16, POINTER, FLAGS, STRUCT };

enum class ArgKind : u8 {
#define K(name, cls) name,
#include "user/linux/arg_kinds.def"
#undef K
  count,
  in = 0x40,  // of structures: the kernel reads it, ...
  out = 0x80  // ... the kernel writes it
};
static_assert(static_cast<int>(ArgKind::count) <= 0x40);

using ArgKinds = std::array<ArgKind, 8>;

constexpr u8 bits(ArgKind k) { return static_cast<u8>(k); }
constexpr ArgKind base_kind(ArgKind k) { return static_cast<ArgKind>(bits(k) & 0x3f); }
constexpr bool is_in(ArgKind k) { return bits(k) & 0x40; }
constexpr bool is_out(ArgKind k) { return bits(k) & 0x80; }

constexpr ArgClass class_of(ArgKind k) {
  constexpr ArgClass kClasses[] = {
#define K(name, cls) ArgClass::cls,
#include "user/linux/arg_kinds.def"
#undef K
  };
  return kClasses[bits(base_kind(k))];
}

// A word of a row: a kind's name; for structures `>` before it: the kernel writes it, `=`: reads and writes.
consteval ArgKind arg_kind(std::string_view word) {
  constexpr std::string_view kNames[] = {
#define K(name, cls) #name,
#include "user/linux/arg_kinds.def"
#undef K
  };
  u8 direction = 0x40;
  if (word.starts_with('>') || word.starts_with('=')) {
    direction = word[0] == '>' ? 0x80 : 0xc0;
    word.remove_prefix(1);
  }
  for (u8 i = 0; i < std::size(kNames); i++)
    if (kNames[i] == word) {
      ArgKind k = static_cast<ArgKind>(i);
      return class_of(k) == ArgClass::STRUCT ? static_cast<ArgKind>(i | direction) : k;
    }
  throw "no such kind of argument";  // a row's mistake, at compile time
}

consteval ArgKinds arg_kinds(std::string_view words) {
  ArgKinds out{};
  size_t n = 0;
  while (!words.empty()) {
    size_t end = std::min(words.find(' '), words.size());
    out[n++] = arg_kind(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return out;
}

// The registers' (and stack's) values as the row's kinds have them. i386 takes a 64-bit value from two registers that
// follow each other, low word first; o32 from an aligned pair, in byte order.
SyscallArgs widen_args(const Abi& abi, const ArgKinds& kinds, const std::array<u64, 8>& raw);

inline void* host(Thread& t, u64 va) { return va ? t.process.map.host(va) : nullptr; }
// A system call of the host: a value or -errno.
s64 host_call(long number, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0);
inline u64 ptr(const void* p) { return reinterpret_cast<u64>(p); }
inline bool same_as_host(const Abi& abi) { return abi.id == AbiId::X86_64; }
inline bool is_mips(const Abi& abi) { return abi.id == AbiId::MipsO32 || abi.id == AbiId::MipsN64; }
inline bool is_wide(const Abi& abi) { return abi.word == 8; }

enum class PassMode : u8 { Quick, Wait };
// The host's system call with the arguments by their kinds: paths looked up, flags mapped, structures laid out anew if
// theirs differ. Wait: it may block (Thread::blocking_call).
s64 pass_through(Thread& t, long number, const ArgKinds& kinds, PassMode mode, const SyscallArgs& args);
template <long Number, ArgKinds Kinds, PassMode Mode>
s64 pass(Thread& t, const SyscallArgs& args) {
  return pass_through(t, Number, Kinds, Mode, args);
}

}  // namespace doppel::user

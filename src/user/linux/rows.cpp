// The rows of syscalls.def as data, and each ABI's numbers as indices into them. All made at compile time.
#include <sys/syscall.h>

#include "user/linux/handlers.h"

namespace doppel::user {

namespace {

enum Index : u16 {
#define CALL(name, kinds, result, handler) row_##name,
#define PASS(name, number, mode, kinds, result) row_##name,
#define NONE(name) row_##name,
#include "user/linux/syscalls.def"
#undef CALL
#undef PASS
#undef NONE
};

constexpr SyscallRow kRows[] = {
#define CALL(name, kinds, result, handler) {#name, arg_kinds(kinds), ArgKind::result, calls::handler},
#define PASS(name, number, mode, kinds, result) \
  {#name, arg_kinds(kinds), ArgKind::result, pass<SYS_##number, arg_kinds(kinds), PassMode::mode>},
#define NONE(name) {#name, arg_kinds("hex hex hex hex hex hex"), ArgKind::slong, nullptr},
#include "user/linux/syscalls.def"
#undef CALL
#undef PASS
#undef NONE
};

constexpr u16 kNone = 0xffff;
struct Numbers {
  u64 base;
  std::array<u16, 512> rows;
};
struct Number {
  u16 number, row;
};

template <size_t N>
constexpr Numbers make(u64 base, const Number (&list)[N]) {
  Numbers out{base, {}};
  out.rows.fill(kNone);
  for (const Number& n : list) out.rows[n.number - base] = n.row;
  return out;
}

#define X(number, name) {number, row_##name},
constexpr Number kX86_64List[] = {
#include "user/abi/x86_64_numbers.def"
};
constexpr Number kI386List[] = {
#include "user/abi/i386_numbers.def"
};
constexpr Number kMipsO32List[] = {
#include "user/abi/mips_o32_numbers.def"
};
constexpr Number kMipsN64List[] = {
#include "user/abi/mips_n64_numbers.def"
};
#undef X
constexpr Numbers kNumbers[] = {make(0, kX86_64List), make(0, kI386List), make(4000, kMipsO32List),
                                make(5000, kMipsN64List)};

}  // namespace

const SyscallRow* row_of(AbiId abi, u64 number) {
  const Numbers& n = kNumbers[static_cast<size_t>(abi)];
  u64 index = number - n.base;
  if (index >= n.rows.size() || n.rows[index] == kNone) return nullptr;
  return &kRows[n.rows[index]];
}

}  // namespace doppel::user

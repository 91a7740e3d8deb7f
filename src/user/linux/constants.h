// Numbers and flags that have other values on MIPS, and their names: readers of flags.def and mips_numbers.def.
#pragma once
#include <span>
#include <string>

#include "user/linux/args.h"

namespace doppel::user {

struct FlagRow {
  ArgKind kind;
  bool value;  // V: a value of the bits that are not flags
  const char* name;
  u64 host, mips;
};
std::span<const FlagRow> flag_rows(ArgKind kind);

// Bits without a row stay as they are.
u64 flags_to_host(const Abi& abi, ArgKind kind, u64 guest);
u64 flags_to_guest(const Abi& abi, ArgKind kind, u64 host);
std::string flag_names(ArgKind kind, u64 host);  // O_RDWR|O_CREAT|0x80000000

// What abi/mips.cpp answers with.
int mips_errno_to_guest(int host);
int mips_signal_to_guest(int host);  // those without a counterpart: as they are
int mips_signal_to_host(int guest);  // 0: the host has none

}  // namespace doppel::user

// ELF files of programs: header, program headers, both classes and byte orders (System V gABI, chapters 4 and 5).
#pragma once
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::user {

struct ElfSegment {
  u32 type = 0, flags = 0;
  u64 offset = 0, address = 0, file_size = 0, size = 0, align = 0;
};

struct ElfFile {
  bool wide = false, big_endian = false;
  u16 type = 0, machine = 0;
  u32 flags = 0;
  u64 entry = 0, headers = 0;  // headers: file offset of the program headers
  u16 header_size = 0;
  std::vector<ElfSegment> segments;
  std::string interpreter;
  // Where it is in memory, without bias: whole pages.
  u64 low = 0, high = 0;
  // PT_GNU_STACK: -1 if there is none.
  int stack_flags = -1;
  // MIPS: fp_abi of PT_MIPS_ABIFLAGS; -1 if there is none.
  int float_abi = -1;
};

constexpr u32 kPtLoad = 1, kPtInterp = 3, kPtPhdr = 6, kPtGnuStack = 0x6474e551, kPtMipsAbiflags = 0x70000003;
constexpr u16 kEtExec = 2, kEtDyn = 3;

// From an open file. Errors: not ELF ("" cause when the magic is another), or broken.
Result<ElfFile> read_elf(int fd);
// The guest's name, as in qemu-<name>, that a file is for; empty: none of ours.
std::string guest_of(const ElfFile& file);
std::string cpu_name(const ElfFile& file);  // for messages

}  // namespace doppel::user

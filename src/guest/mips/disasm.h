// One MIPS instruction as text, by Capstone.
#pragma once
#include <string>

#include "base/bits.h"

namespace doppel::mips {

size_t disassemble(const u8* bytes, size_t size, u64 pc, bool is_64bit, bool big_endian, std::string& text);

}  // namespace doppel::mips

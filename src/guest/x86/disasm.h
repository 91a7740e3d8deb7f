// One instruction as text (Capstone), for dumps and the monitor.
#pragma once
#include <string>

#include "base/bits.h"

namespace doppel::x86 {

// `mode` is the mode word. Returns the length, at least 1; bytes that are no instruction print as .byte.
size_t disassemble(const u8* bytes, size_t size, u64 pc, u64 mode, std::string& text);

}  // namespace doppel::x86

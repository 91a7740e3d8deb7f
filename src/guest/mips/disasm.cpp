#include "guest/mips/disasm.h"

#include <capstone/capstone.h>

#include <cstdio>

namespace doppel::mips {
namespace {

// A handle a thread, width and byte order: opening one costs more than a disassembly.
struct Handles {
  csh handle[2][2] = {};
  Handles() {
    for (int wide = 0; wide < 2; wide++) {
      for (int big = 0; big < 2; big++) {
        const int mode = (wide ? CS_MODE_MIPS64 : CS_MODE_MIPS32) | (big ? static_cast<int>(CS_MODE_BIG_ENDIAN) : 0);
        if (cs_open(CS_ARCH_MIPS, static_cast<cs_mode>(mode), &handle[wide][big]) != CS_ERR_OK) handle[wide][big] = 0;
      }
    }
  }
  ~Handles() {
    for (auto& row : handle)
      for (csh& h : row)
        if (h) cs_close(&h);
  }
};

}  // namespace

size_t disassemble(const u8* bytes, size_t size, u64 pc, bool is_64bit, bool big_endian, std::string& text) {
  thread_local Handles handles;
  const csh handle = handles.handle[is_64bit][big_endian];
  cs_insn* insn = nullptr;
  if (size >= 4 && handle && cs_disasm(handle, bytes, 4, pc, 1, &insn) == 1) {
    text = insn->mnemonic;
    if (insn->op_str[0]) text += std::string(" ") + insn->op_str;
    cs_free(insn, 1);
    return 4;
  }
  u32 word = 0;
  for (size_t i = 0; i < 4 && i < size; i++) word |= u32{bytes[big_endian ? 3 - i : i]} << (8 * i);
  char line[24];
  std::snprintf(line, sizeof line, ".word 0x%08x", word);
  text = line;
  return 4;
}

}  // namespace doppel::mips

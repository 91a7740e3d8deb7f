#include "guest/x86/disasm.h"

#include <capstone/capstone.h>

#include <cstdio>

#include "guest/x86/state.h"

namespace doppel::x86 {
namespace {

// One handle a thread and code width: opening one costs more than a disassembly.
struct Handles {
  csh handle[3] = {};
  Handles() {
    static constexpr cs_mode kModes[3] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    for (int i = 0; i < 3; i++)
      if (cs_open(CS_ARCH_X86, kModes[i], &handle[i]) != CS_ERR_OK) handle[i] = 0;
  }
  ~Handles() {
    for (csh& h : handle)
      if (h) cs_close(&h);
  }
};

}  // namespace

size_t disassemble(const u8* bytes, size_t size, u64 pc, u64 mode, std::string& text) {
  thread_local Handles handles;
  const csh handle = handles.handle[(mode & kModeCs64) ? 2 : (mode & kModeCs32) ? 1 : 0];
  cs_insn* insn = nullptr;
  if (size > 0 && handle && cs_disasm(handle, bytes, size, pc, 1, &insn) == 1) {
    text = insn->mnemonic;
    if (insn->op_str[0]) text += std::string(" ") + insn->op_str;
    const size_t length = insn->size;
    cs_free(insn, 1);
    return length;
  }
  char line[24];
  std::snprintf(line, sizeof line, ".byte 0x%02x", size > 0 ? bytes[0] : 0);
  text = line;
  return 1;
}

}  // namespace doppel::x86

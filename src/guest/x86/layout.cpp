// The register rows of the x86 state, in the order of enum Reg. Pin ranks: the eight old registers first, then R8 to R15.
#include <cstddef>

#include "guest/x86/state.h"

namespace doppel::x86 {
namespace {

using ir::RegRow;
using ir::Type;

#define FIELD(name) static_cast<u32>(offsetof(X86State, name))
#define GPR(name, i) {name, static_cast<u32>(offsetof(X86State, gpr) + 8 * (i)), Type::I64, (i) + 1}
#define SEGBASE(name, i) \
  {name, static_cast<u32>(offsetof(X86State, seg) + sizeof(Segment) * (i) + offsetof(Segment, base)), Type::I64, 0}
#define SEGSEL(name, i) \
  {name, static_cast<u32>(offsetof(X86State, seg) + sizeof(Segment) * (i) + offsetof(Segment, selector)), Type::I16, 0}
#define XMM(i) {"xmm" #i, static_cast<u32>(offsetof(X86State, xmm) + 16 * (i)), Type::V128, 0}
#define VTEMP(i) {"vtemp" #i, static_cast<u32>(offsetof(X86State, vtemp) + 16 * (i)), Type::V128, 0}
#define MMX(i) \
  {"mm" #i, static_cast<u32>(offsetof(X86State, st) + sizeof(X87Reg) * (i) + offsetof(X87Reg, significand)), Type::I64, 0}
#define STEXP(i) \
  {"st" #i "_exp", static_cast<u32>(offsetof(X86State, st) + sizeof(X87Reg) * (i) + offsetof(X87Reg, sign_exponent)), Type::I16, 0}
#define TEMP(i) {"temp" #i, static_cast<u32>(offsetof(X86State, h) + offsetof(mem::VcpuHeader, scratch) + 8 * (i)), Type::I64, 0}

const RegRow kRows[] = {
    GPR("rax", 0), GPR("rcx", 1), GPR("rdx", 2), GPR("rbx", 3), GPR("rsp", 4), GPR("rbp", 5), GPR("rsi", 6), GPR("rdi", 7),
    GPR("r8", 8), GPR("r9", 9), GPR("r10", 10), GPR("r11", 11), GPR("r12", 12), GPR("r13", 13), GPR("r14", 14), GPR("r15", 15),
    {"rip", FIELD(rip), Type::I64, 0},
    {"flags", FIELD(flags), Type::Flags, 0},
    {"eflags_sys", FIELD(eflags), Type::I32, 0},
    SEGBASE("es_base", 0), SEGBASE("cs_base", 1), SEGBASE("ss_base", 2), SEGBASE("ds_base", 3), SEGBASE("fs_base", 4), SEGBASE("gs_base", 5),
    SEGSEL("es", 0), SEGSEL("cs", 1), SEGSEL("ss", 2), SEGSEL("ds", 3), SEGSEL("fs", 4), SEGSEL("gs", 5),
    XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7), XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
    VTEMP(0), VTEMP(1), VTEMP(2), VTEMP(3),
    MMX(0), MMX(1), MMX(2), MMX(3), MMX(4), MMX(5), MMX(6), MMX(7),
    {"x87_top", FIELD(top), Type::I8, 0},
    {"fcw", FIELD(fcw), Type::I16, 0},
    {"fsw", FIELD(fsw), Type::I16, 0},
    {"fptag", FIELD(fptag), Type::I8, 0},
    {"mxcsr", FIELD(mxcsr), Type::I32, 0},
    {"cpl", FIELD(cpl), Type::I8, 0},
    {"shadow", FIELD(shadow), Type::I8, 0},
    {"exc_next_len", FIELD(exc_next_len), Type::I8, 0},
    {"cr0", FIELD(cr0), Type::I64, 0},
    {"cr2", FIELD(cr2), Type::I64, 0},
    {"cr3", FIELD(cr3), Type::I64, 0},
    {"cr4", FIELD(cr4), Type::I64, 0},
    TEMP(0), TEMP(1), TEMP(2), TEMP(3),
    STEXP(0), STEXP(1), STEXP(2), STEXP(3), STEXP(4), STEXP(5), STEXP(6), STEXP(7),
};
static_assert(std::size(kRows) == kRegCount);
static_assert(offsetof(X86State, h) == 0);

}  // namespace

const ir::StateLayout kLayout{kRows, static_cast<u16>(std::size(kRows)), kRegRip, kRegFlags};

}  // namespace doppel::x86

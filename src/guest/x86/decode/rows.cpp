// The opcode tables as data, and the names of mnemonics.
#include "guest/x86/decode/decode.h"

namespace doppel::x86 {
namespace {

#define ANY ExtKind::Any, 0
#define R(n) ExtKind::Reg, n
#define MEM(n) ExtKind::MemReg, n
#define REG(n) ExtKind::RegReg, n
#define BYTE(b) ExtKind::Byte, b
#define MEMANY ExtKind::MemAny, 0
#define REGANY ExtKind::RegAny, 0
#define OP(map, prefix, opcode, ext, mnemonic, o1, o2, o3, attrs) \
  OP_ROW(map, prefix, opcode, mnemonic, o1, o2, o3, attrs, ext)
#define OP_ROW(map, prefix, opcode, mnemonic, o1, o2, o3, attrs, ...) \
  {Map::map, OpPrefix::prefix, opcode, __VA_ARGS__, Mnemonic::mnemonic, {Opd::o1, Opd::o2, Opd::o3}, attrs},
constexpr Row kRows[] = {
#include "guest/x86/decode/one_byte.inc"
#include "guest/x86/decode/sse.inc"
#include "guest/x86/decode/three_byte.inc"
#include "guest/x86/decode/two_byte.inc"
#include "guest/x86/decode/x87.inc"
};
#undef OP
#undef OP_ROW
#undef ANY
#undef R
#undef MEM
#undef REG
#undef BYTE
#undef MEMANY
#undef REGANY

constexpr const char* kNames[] = {
    "(bad)",
#define M(name, handler) #name,
#include "guest/x86/decode/mnemonics_int.inc"
#include "guest/x86/decode/mnemonics_sse.inc"
#include "guest/x86/decode/mnemonics_x87.inc"
#undef M
};

}  // namespace

size_t row_count() { return std::size(kRows); }
const Row& row(size_t index) { return kRows[index]; }
const char* mnemonic_name(Mnemonic m) { return kNames[static_cast<size_t>(m)]; }

}  // namespace doppel::x86

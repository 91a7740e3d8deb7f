// The intermediate representation. A Region is a trace: one entry, one linear list of operations in SSA form (a value
// is the index of the op that makes it), side exits along the way and one end. Passes and backends walk it in order:
// O(n). Guest and host neutral: guest registers are RegIds of the guest's StateLayout.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/bits.h"

namespace doppel::ir {

enum class Type : u8 { Void, I8, I16, I32, I64, V128, Flags };
constexpr unsigned type_bits(Type t) {
  switch (t) {
    case Type::I8: return 8;
    case Type::I16:
    case Type::Flags: return 16;
    case Type::I32: return 32;
    case Type::I64: return 64;
    case Type::V128: return 128;
    default: return 0;
  }
}
constexpr unsigned type_bytes(Type t) { return type_bits(t) / 8; }
constexpr bool is_int(Type t) { return t >= Type::I8 && t <= Type::I64; }

enum class Opcode : u8 {
#define OP(name, result, args, effects, doc) name,
#include "ir/ops.def"
#undef OP
  Count
};

// Conditions over FLAGS, in the order of the x86 condition codes (SDM vol. 1, appendix B). C is unsigned below.
enum class Cond : u8 { O, NO, C, NC, Z, NZ, BE, A, S, NS, P, NP, L, GE, LE, G };
constexpr Cond invert(Cond c) { return static_cast<Cond>(static_cast<u8>(c) ^ 1); }

enum class Lane : u8 { B, H, W, D, PS, PD, SS, SD };
enum class AtomicOp : u8 { Add, And, Or, Xor, Xchg, Sub };
// Of the floating-point stack. Arithmetic in the numbers of the x87's opcodes: dest - source, R: source - dest.
enum class XArith : u8 { Add = 0, Mul = 1, Sub = 4, SubR = 5, Div = 6, DivR = 7 };
enum class XUnary : u8 { Neg, Abs, Sqrt, Round, Test /* compare with 0.0: conditions, as xf_compare */ };
// In the numbers of the x87's opcodes D9 F0 to D9 FF: F2XM1 FYL2X FPATAN FXTRACT FPREM1 FPREM FYL2XP1 FSCALE FSIN FCOS.
enum class XSpecial : u8 {
  Exp2Minus1 = 0,
  LogTimes = 1,
  Atan = 3,
  Extract = 4,
  RemainderIeee = 5,
  Remainder = 8,
  LogPlus1Times = 9,
  Scale = 13,
  Sin = 14,
  Cos = 15
};
constexpr u16 kXSpecials = 0xe33b;                            // the bits of those that exist
constexpr u16 kXSpecialPops = 0x020a, kXSpecialTwo = 0x232a;  // those that pop; those that read ST(1)
enum class XFormat : u8 { F32, F64, I16, I32, I64 };

// FLAGS form (ops.def).
enum : u16 {
  kFlagO = 1,
  kFlagC = 1 << 8,
  kFlagOne = 1 << 9,
  kFlagP = 1 << 10,
  kFlagA = 1 << 12,
  kFlagZ = 1 << 14,
  kFlagS = 1 << 15
};
constexpr u16 kFlagsAll = kFlagO | kFlagC | kFlagP | kFlagA | kFlagZ | kFlagS;
constexpr u32 flags_to_eflags(u16 f) { return ((f >> 8) & 0xd5u) | ((f & 1u) << 11); }
constexpr u16 eflags_to_flags(u32 e) { return static_cast<u16>(((e & 0xd5u) << 8) | ((e >> 11) & 1u) | kFlagOne); }
constexpr bool cond_holds(Cond cond, u16 f) {
  const bool o = f & kFlagO, c = f & kFlagC, z = f & kFlagZ, s = f & kFlagS, p = f & kFlagP;
  bool r = false;
  switch (static_cast<u8>(cond) >> 1) {
    case 0: r = o; break;
    case 1: r = c; break;
    case 2: r = z; break;
    case 3: r = c || z; break;
    case 4: r = s; break;
    case 5: r = p; break;
    case 6: r = s != o; break;
    case 7: r = z || s != o; break;
  }
  return r != ((static_cast<u8>(cond) & 1) != 0);
}

// aux of memory ops. The size is the op's type; MmuMode is the current one unless `force_mode`.
struct MemInfo {
  u8 align_log2 = 0;   // required alignment (0: none): a misaligned access goes to the guest's alignment fault
  bool rmw = false;    // a load that will be followed by a store: faults as a write does
  bool stack = false;  // a fault of canonicality is a stack fault (x86 #SS)
  bool big_endian = false;
  u8 probe_bytes = 0;  // probe_write: its size
  constexpr u32 pack() const {
    return align_log2 | u32{rmw} << 4 | u32{stack} << 5 | u32{big_endian} << 6 | u32{probe_bytes} << 8;
  }
  static constexpr MemInfo unpack(u32 v) {
    return {static_cast<u8>(v & 15), (v & 16) != 0, (v & 32) != 0, (v & 64) != 0, static_cast<u8>(v >> 8)};
  }
};

using Value = u16;  // index of the defining op; 0 is none (op 0 of every region is an `insn`)
using RegId = u16;
constexpr size_t kMaxOps = 6000;
constexpr size_t kMaxInsnOps = 1000;  // of one instruction: no region goes on with less room

struct Op {
  Opcode code = Opcode::insn;
  Type type = Type::Void;
  u8 sub = 0;  // Cond, Lane or AtomicOp
  u8 nargs = 0;
  u32 aux = 0;  // RegId, MemInfo, helper index, bit field
  Value arg[4] = {0, 0, 0, 0};
  u64 imm = 0;
};
static_assert(sizeof(Op) == 24);
constexpr u32 kExitRestarts = 4;  // in the aux of a side exit: to the instruction under way, which was not executed

struct OpInfo {
  const char* name;
  const char* result;
  const char* args;
  u8 effects;
  const char* doc;
};
enum Effects : u8 { PURE = 0, READ_STATE = 1, WRITE_STATE = 2, MEM = 4, TRAP = 8, CONTROL = 16 };
extern const OpInfo kOpInfo[static_cast<size_t>(Opcode::Count)];
inline const OpInfo& info(Opcode code) { return kOpInfo[static_cast<size_t>(code)]; }
extern const u8 kEffects[static_cast<size_t>(Opcode::Count)];  // the effects column alone, for passes
inline u8 effects(Opcode code) { return kEffects[static_cast<size_t>(code)]; }
// The type of the value an op makes. It is op.type only where the table says T: cmp.i32 makes an I8, flags_add.i32 a
// Flags.
extern const Type kFixedResult[static_cast<size_t>(Opcode::Count)];  // Void where the result is T or nothing
extern const bool kHasTypeResult[static_cast<size_t>(Opcode::Count)];
inline Type result_type(const Op& op) {
  const size_t code = static_cast<size_t>(op.code);
  return kHasTypeResult[code] ? op.type : kFixedResult[code];
}

// A guest register row: where it lives in the guest's state struct and whether a backend should pin it.
struct RegRow {
  const char* name;
  u32 offset;   // bytes from the VcpuHeader at the start of the state
  Type type;    // I8..I64, V128, Flags
  u8 pin_rank;  // 0: never pinned; 1 is pinned first. Only I64 rows (or I32 in a 32-bit guest mode) are pinned
};
// Where the floating-point stack lies (offsets as in RegRow; ops xf_*). Register i of the stack is the one numbered
// (top + i) mod 8. A byte of the layout's rows must not overlap it but with a row of its own for that part.
struct XStack {
  u32 regs = 0;           // eight registers, 16 bytes apart: significand, sign and exponent. 0: there is no stack
  u32 control = 0;        // u16
  u32 status = 0;         // u16, without the top
  u32 top = 0, tags = 0;  // u8; tags: bit i set, register number i is empty
  u32 step = 0;           // u8, see xf_guard
};
constexpr RegId kNoRow = 0xffff;
struct StateLayout {
  const RegRow* rows;
  u16 count;
  RegId pc;                     // the pc register's row
  RegId flags;                  // the flags row (type Flags)
  RegId flag_operand = kNoRow;  // an I64 row that only flag recipes use; without: fewer writes of the flags can go
  XStack xstack{};
};

// What a helper does to guest state; the backend syncs pinned registers accordingly.
enum HelperEffects : u32 {
  kHelperPure = 0,         // neither state nor memory; no faults; may be removed when unused
  kHelperReadsState = 1,   // sees guest registers: pinned ones are in the state before the call
  kHelperWritesState = 2,  // may change guest registers: they are reloaded after the call
  kHelperMayFault = 4,     // may unwind: the pc can be found from the return address; registers are exact in the state
  kHelperFpEnv = 8,        // reads or writes the fp_env: it is stored before and reloaded after
  kHelperAll = 15,
};
struct HelperInfo {
  const char* name;
  void (*fn)();  // u64 fn(State*, u64...) ; integer arguments zero-extended to 64 bits, result in the low bits
  u8 nargs;      // not counting the state pointer
  Type result;
  u32 effects;
};
struct HelperTable {
  const HelperInfo* rows;
  u16 count;
};

// How to make the flags row exact where a write of it was left out: an expression over guest registers as they are
// there. Made by opt/dead_flags, evaluated by recipe.h. An op's arguments are numbers of earlier ops of its recipe;
// `aux` is that of ir::Op, the last op's value is the result.
struct RecipeOp {
  Opcode code;
  Type type;
  u8 sub;
  u8 arg[3];
  u16 aux;
  u64 imm;
};
static_assert(sizeof(RecipeOp) == 16);
struct FlagRecipe {
  u16 first_insn, last_insn;  // instructions of the region, counted from 0, that may fault while the row is stale
  u16 begin, count;           // in Region::recipe_ops
};

// Guest code at the target of an exit that the frontend has looked at: the region ends when these bytes change.
struct LookedAt {
  u64 pc;
  u32 bytes;
};

struct Region {
  u64 pc = 0;           // architectural pc of the entry
  u64 mode = 0;         // guest mode flags of the key
  u32 insn_count = 0;   // guest instructions in it
  u32 guest_bytes = 0;  // bytes from the first page it was made from
  std::vector<Op> ops;
  std::vector<FlagRecipe> recipes;
  std::vector<RecipeOp> recipe_ops;
  std::vector<LookedAt> looked_at;
  const StateLayout* layout = nullptr;
  const HelperTable* helpers = nullptr;
  void clear() {
    ops.clear();
    recipes.clear();
    recipe_ops.clear();
    looked_at.clear();
    insn_count = guest_bytes = 0;
  }
  const Op& op(Value v) const { return ops[v]; }
  bool is_const(Value v) const { return ops[v].code == Opcode::konst; }
};

// Ops of the floating-point stack, and those of them that may leave.
inline bool is_xfloat(Opcode code) { return code >= Opcode::xf_guard && code <= Opcode::xf_select; }

std::string dump(const Region& region);  // text, one op a line: "%12 = add.i32 %10, %11"
// Checks types, argument order, ends; returns an empty string or what is wrong. `after` names the pass.
std::string verify(const Region& region);
const char* cond_name(Cond cond);
const char* lane_name(Lane lane);
const char* type_name(Type type);
const char* atomic_name(AtomicOp op);
std::string op_reference();  // the op table as Markdown, for docs/
// Ops that set sticky bits of the fp_env: never removed, even when their value is not used.
bool sets_fp_flags(const Op& op);

}  // namespace doppel::ir

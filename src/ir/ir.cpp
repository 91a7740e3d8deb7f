// Tables made from ops.def, and names of the enums.
#include "ir/ir.h"

#include <string_view>

namespace doppel::ir {

const OpInfo kOpInfo[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, result, args, effects, doc) {#name, #result, args, static_cast<u8>(effects), doc},
#include "ir/ops.def"
#undef OP
};

const u8 kEffects[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, result, args, effects, doc) static_cast<u8>(effects),
#include "ir/ops.def"
#undef OP
};

namespace {
constexpr Type fixed_result(std::string_view letter) {
  if (letter == "B" || letter == "I8") return Type::I8;
  if (letter == "F") return Type::Flags;
  if (letter == "X") return Type::V128;
  if (letter == "I16") return Type::I16;
  if (letter == "I32") return Type::I32;
  if (letter == "I64") return Type::I64;
  return Type::Void;
}
constexpr const char* kConds[] = {"O", "NO", "C", "NC", "Z", "NZ", "BE", "A",
                                  "S", "NS", "P", "NP", "L", "GE", "LE", "G"};
constexpr const char* kLanes[] = {"B", "H", "W", "D", "PS", "PD", "SS", "SD"};
constexpr const char* kTypes[] = {"void", "i8", "i16", "i32", "i64", "v128", "flags"};
constexpr const char* kAtomics[] = {"add", "and", "or", "xor", "xchg", "sub"};
template <typename E, size_t N>
const char* pick(const char* const (&names)[N], E e) {
  return static_cast<size_t>(e) < N ? names[static_cast<size_t>(e)] : "?";
}
}  // namespace

const Type kFixedResult[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, result, args, effects, doc) fixed_result(#result),
#include "ir/ops.def"
#undef OP
};
const bool kHasTypeResult[static_cast<size_t>(Opcode::Count)] = {
#define OP(name, result, args, effects, doc) std::string_view(#result) == "T",
#include "ir/ops.def"
#undef OP
};

const char* cond_name(Cond cond) { return pick(kConds, cond); }
const char* lane_name(Lane lane) { return pick(kLanes, lane); }
const char* type_name(Type type) { return pick(kTypes, type); }
const char* atomic_name(AtomicOp op) { return pick(kAtomics, op); }

bool sets_fp_flags(const Op& op) {
  const Lane lane = static_cast<Lane>(op.sub);
  switch (op.code) {
    case Opcode::vhadd:
    case Opcode::vhsub: return lane == Lane::PS || lane == Lane::PD;
    case Opcode::call_if:
    case Opcode::vaddsub: return true;
    case Opcode::vf_rcp:
    case Opcode::vf_rsqrt: return false;
    default: return op.code >= Opcode::vfadd && op.code <= Opcode::vf_toint;
  }
}

std::string op_reference() {
  const auto effects_text = [](u8 e) {
    static constexpr struct {
      u8 bit;
      const char* name;
    } kNames[] = {{READ_STATE, "reads state"},
                  {WRITE_STATE, "writes state"},
                  {MEM, "memory"},
                  {TRAP, "may fault"},
                  {CONTROL, "control"}};
    std::string text;
    for (const auto& n : kNames) {
      if (e & n.bit) text += (text.empty() ? "" : ", ") + std::string(n.name);
    }
    return text.empty() ? std::string("pure") : text;
  };
  std::string text = "| op | result | arguments | effects | meaning |\n|---|---|---|---|---|\n";
  for (const OpInfo& row : kOpInfo) {
    std::string doc;
    for (const char* p = row.doc; *p; p++) doc += *p == '|' ? std::string("\\|") : std::string(1, *p);
    text += "| `" + std::string(row.name) + "` | " + row.result + " | " + row.args + " | " + effects_text(row.effects) +
            " | " + doc + " |\n";
  }
  return text;
}

}  // namespace doppel::ir

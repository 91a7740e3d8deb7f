// Regions as text: one op a line, guest registers and helpers by name. For -d ir, irrun, goldens and reports of the
// verifier. parse.cpp reads it: what means something is in the text.
#include <cstdio>
#include <cstring>

#include "ir/recipe.h"

namespace doppel::ir {
namespace {

std::string hex(u64 v) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(v));
  return text;
}
// An op and how its arguments are written: "%" for values of a region, "$" for those of a recipe.
struct Text {
  const Op& op;
  char sigil;
  std::string value(unsigned arg) const { return sigil + std::to_string(op.arg[arg]); }
};
std::string number(u64 v) {
  const s64 s = static_cast<s64>(v);
  return s < 0 ? "-" + hex(-v) : hex(v);
}

std::string reg(const Region& r, u32 id) {
  return r.layout && id < r.layout->count ? r.layout->rows[id].name : "r" + std::to_string(id);
}

std::string args_text(const Text& t, unsigned from = 0) {
  std::string text;
  for (unsigned i = from; i < t.op.nargs && i < 4; i++) text += (i == from ? "" : ", ") + t.value(i);
  return text;
}

std::string memory(const Text& t) {
  const Op& op = t.op;
  const MemInfo m = MemInfo::unpack(op.aux);
  std::string text = "[" + t.value(0);
  if (op.imm) text += static_cast<s64>(op.imm) < 0 ? " - " + hex(-op.imm) : " + " + hex(op.imm);
  text += "]";
  if (op.nargs > 1) text += ", " + args_text(t, 1);
  if (m.align_log2) text += " align " + std::to_string(1u << m.align_log2);
  if (m.rmw) text += " rmw";
  if (m.stack) text += " stack";
  if (m.big_endian) text += " big";
  if (m.probe_bytes) text += " bytes " + std::to_string(m.probe_bytes);
  return text;
}

std::string exit_notes(const Op& op) {
  std::string text = op.aux & 1 ? " same-page" : "";
  if (op.aux & 2) text += " flags-dead";
  if (op.aux & kExitRestarts) text += " restart";
  return exit_recipe(op) ? text + " recipe " + std::to_string(exit_recipe(op)) : text;
}

std::string operands(const Region& r, const Text& t) {
  const Op& op = t.op;
  const std::string lane = lane_name(static_cast<Lane>(op.sub)), cond = cond_name(static_cast<Cond>(op.sub));
  std::string list = args_text(t);
  switch (op.code) {
    case Opcode::konst: return hex(op.imm);
    case Opcode::get_reg: return reg(r, op.aux);
    case Opcode::set_reg: return reg(r, op.aux) + ", " + list;
    case Opcode::extract:
    case Opcode::sextract:
    case Opcode::deposit:
      return list + ", lsb " + std::to_string(op.aux & 0xff) + " width " + std::to_string(op.aux >> 8);
    case Opcode::cmp:
    case Opcode::selcc:
    case Opcode::setcc: return cond + " " + list;
    case Opcode::flags_merge: return list + ", mask " + hex(op.aux);
    case Opcode::load:
    case Opcode::store:
    case Opcode::atomic_cas:
    case Opcode::probe_write: return memory(t);
    case Opcode::atomic_rmw: return std::string(atomic_name(static_cast<AtomicOp>(op.sub))) + " " + memory(t);
    case Opcode::call:
      return (r.helpers && op.aux < r.helpers->count ? r.helpers->rows[op.aux].name
                                                     : "helper" + std::to_string(op.aux)) +
             "(" + list + ")";
    case Opcode::call_if:
      return cond + " " + list + ", helper " + std::to_string(op.aux) + " imm " + std::to_string(op.imm);
    case Opcode::exit_cc: return cond + " " + list + " -> " + hex(op.imm) + exit_notes(op);
    case Opcode::exit_if: return list + " -> " + hex(op.imm) + exit_notes(op);
    case Opcode::exit_direct: return "-> " + hex(op.imm) + exit_notes(op);
    case Opcode::exit_indirect:
    case Opcode::exit_loop: return list + exit_notes(op);
    case Opcode::xf_guard:
    case Opcode::xf_step_if: return list + " aux " + hex(op.aux) + " -> loop at " + hex(op.imm);
    default: break;
  }
  if (is_xfloat(op.code)) return list + " sub " + std::to_string(op.sub) + " aux " + hex(op.aux);
  if (op.code < Opcode::vand) return list;
  // Vectors: lane, arguments, and the immediate where there is one.
  std::string text = lane + (list.empty() ? "" : " " + list);
  if (op.imm) text += ", imm " + number(op.imm);
  return text;
}

// "add.i32 %1, %2"
std::string expression(const Region& r, const Text& t) {
  std::string name = info(t.op.code).name;
  if (name.back() == '_') name.pop_back();
  if (t.op.type != Type::Void) name += std::string(".") + type_name(t.op.type);
  const std::string rest = operands(r, t);
  return rest.empty() ? name : name + " " + rest;
}

std::string line(const Region& r, size_t i) {
  const Op& op = r.ops[i];
  if (op.code >= Opcode::Count) return "?? opcode " + std::to_string(static_cast<unsigned>(op.code));
  if (op.code == Opcode::insn && op.sub != 0) return "-- " + hex(op.imm) + " (part)";
  if (op.code == Opcode::insn) return "-- " + hex(op.imm) + " (" + std::to_string(op.aux) + " bytes)";
  std::string text = "  ";
  if (result_type(op) != Type::Void) text += "%" + std::to_string(i) + " = ";
  return text + expression(r, {op, '%'});
}

// "recipe 2, instructions 3 to 5: $0 = get_reg.i64 rax; $1 = flags_logic.i64 $0"
std::string recipe_text(const Region& r, size_t number) {
  const FlagRecipe& recipe = r.recipes[number];
  std::string text = "recipe " + std::to_string(number + 1);
  if (recipe.first_insn <= recipe.last_insn)
    text += ", instructions " + std::to_string(recipe.first_insn) + " to " + std::to_string(recipe.last_insn);
  for (u16 i = 0; i < recipe.count; i++) {
    const RecipeOp& o = r.recipe_ops[recipe.begin + i];
    const u8 nargs = static_cast<u8>(std::strlen(info(o.code).args));
    const Op op{o.code, o.type, o.sub, nargs, o.aux, {o.arg[0], o.arg[1], o.arg[2]}, o.imm};
    text += std::string(i == 0 ? ": $" : "; $") + std::to_string(i) + " = " + expression(r, {op, '$'});
  }
  return text;
}

}  // namespace

std::string dump(const Region& region) {
  std::string text = "region pc " + hex(region.pc) + " mode " + hex(region.mode) + ": " +
                     std::to_string(region.insn_count) + " instructions, " + std::to_string(region.ops.size()) +
                     " ops\n";
  for (size_t i = 0; i < region.ops.size(); i++) text += line(region, i) + "\n";
  for (size_t i = 0; i < region.recipes.size(); i++) text += recipe_text(region, i) + "\n";
  return text;
}

}  // namespace doppel::ir

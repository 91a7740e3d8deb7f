// Reads what dump.cpp prints: the two change together. One line is one op; see operands() there for each one's form.
#include "ir/parse.h"

#include <cctype>
#include <cstring>
#include <optional>
#include <unordered_map>

namespace doppel::ir {
namespace {

template <typename E, typename Name>
std::optional<u8> find(std::string_view word, E count, Name name) {
  for (unsigned i = 0; i < static_cast<unsigned>(count); i++) {
    if (word == name(static_cast<E>(i))) return static_cast<u8>(i);
  }
  return {};
}

std::optional<Opcode> find_opcode(std::string_view word) {
  static const auto table = [] {
    std::unordered_map<std::string_view, Opcode> t;
    for (size_t i = 0; i < static_cast<size_t>(Opcode::Count); i++) {
      std::string_view name = kOpInfo[i].name;
      if (name.ends_with('_')) name.remove_suffix(1);
      t[name] = static_cast<Opcode>(i);
    }
    return t;
  }();
  const auto it = table.find(word);
  return it == table.end() ? std::nullopt : std::optional(it->second);
}

// One line. The first thing that is not as expected is kept in `wrong`; later calls do nothing then.
class Line {
 public:
  Line(std::string_view text, const StateLayout& layout, const HelperTable& helpers)
      : rest_(text), layout_(layout), helpers_(helpers) {}
  std::string wrong;
  const std::unordered_map<u64, Value>* labels = nullptr;  // of "%"; null: numbers of ops, as in recipes

  bool at(std::string_view text) {
    skip();
    if (!rest_.starts_with(text)) return false;
    return !is_word(text.back()) || rest_.size() == text.size() || !is_word(rest_[text.size()]);
  }
  bool accept(std::string_view text) {
    if (!wrong.empty() || !at(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  void expect(std::string_view text) {
    if (!accept(text)) fail("'" + std::string(text) + "'");
  }
  bool done() {
    skip();
    return rest_.empty();
  }
  std::string_view word(bool dots = false) {  // dots: "fs.base" is one
    skip();
    size_t n = 0;
    while (n < rest_.size() && (is_word(rest_[n]) || (dots && rest_[n] == '.'))) n++;
    const std::string_view w = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return w;
  }
  u64 number() {
    skip();
    const bool negative = accept("-");
    const std::string digits(word());
    char* end = nullptr;
    const u64 v = std::strtoull(digits.c_str(), &end, digits.starts_with("0x") ? 16 : 10);
    if (digits.empty() || *end) fail("a number");
    return negative ? -v : v;
  }
  // A number that fits.
  u64 number(u64 most) {
    const u64 v = number();
    if (v > most) fail("a number of at most " + std::to_string(most));
    return v;
  }
  u32 number32() { return static_cast<u32>(number(~u32{0})); }
  Value argument() {
    expect(labels ? "%" : "$");
    const u64 n = number();
    if (!labels) return n < 256 ? static_cast<Value>(n) : 0;
    const auto it = labels->find(n);
    if (!wrong.empty()) return 0;
    if (it == labels->end()) return wrong = "expected a value made before, not %" + std::to_string(n), Value{0};
    return it->second;
  }
  void arguments(Op& op) {
    while (wrong.empty() && at(labels ? "%" : "$")) {
      if (op.nargs == 4) return fail("at most four arguments");
      op.arg[op.nargs++] = argument();
      if (!accept(",")) return;
    }
  }
  std::optional<Op> expression();
  void fail(const std::string& expected) {
    if (wrong.empty())
      wrong = "expected " + expected + (rest_.empty() ? " at its end" : " before '" + std::string(rest_) + "'");
  }

 private:
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }
  void reg(Op& op);
  void memory(Op& op);
  void call(Op& op);
  void leave(Op& op, bool target);
  void operands(Op& op);
  void cond(Op& op) {
    const auto c = find(word(), Cond{16}, cond_name);
    if (!c) return fail("a condition");
    op.sub = *c;
  }
  void vector(Op& op);

  std::string_view rest_;
  const StateLayout& layout_;
  const HelperTable& helpers_;
};

void Line::reg(Op& op) {
  const std::string_view name = word(true);
  for (u32 i = 0; i < layout_.count; i++) {
    if (name == layout_.rows[i].name) {
      op.aux = i;
      return;
    }
  }
  fail("a guest register, not '" + std::string(name) + "',");
}

void Line::memory(Op& op) {
  expect("[");
  op.arg[op.nargs++] = argument();
  if (accept("-"))
    op.imm = -number();
  else if (accept("+"))
    op.imm = number();
  expect("]");
  if (accept(",")) arguments(op);
  MemInfo m;
  if (accept("align")) {
    const u64 align = number(1 << 15);
    while (m.align_log2 < 15 && u64{1} << m.align_log2 < align) m.align_log2++;
    if (align != u64{1} << m.align_log2) fail("a power of two");
  }
  m.rmw = accept("rmw");
  m.stack = accept("stack");
  m.big_endian = accept("big");
  if (accept("bytes")) m.probe_bytes = static_cast<u8>(number(255));
  op.aux = m.pack();
}

void Line::call(Op& op) {
  const std::string_view name = word();
  u32 found = helpers_.count;
  for (u32 i = 0; i < helpers_.count; i++) {
    if (name == helpers_.rows[i].name) found = i;
  }
  if (found == helpers_.count) return fail("a helper, not '" + std::string(name) + "',");
  op.aux = found;
  expect("(");
  arguments(op);
  expect(")");
}

void Line::leave(Op& op, bool target) {
  if (target) {
    expect("->");
    op.imm = number();
  }
  op.aux = accept("same-page") ? 1 : 0;
  if (accept("flags-dead")) op.aux |= 2;
  if (accept("restart")) op.aux |= kExitRestarts;
  if (accept("recipe")) op.aux |= static_cast<u32>(number(0xffff)) << 16;
}

void Line::vector(Op& op) {
  const auto lane = find(word(), Lane{8}, lane_name);
  if (!lane) return fail("a lane");
  op.sub = *lane;
  arguments(op);
  accept(",");
  if (accept("imm")) op.imm = number();
}

void Line::operands(Op& op) {
  switch (op.code) {
    case Opcode::konst: op.imm = number(); return;
    case Opcode::get_reg: return reg(op);
    case Opcode::set_reg:
      reg(op);
      expect(",");
      return arguments(op);
    case Opcode::extract:
    case Opcode::sextract:
    case Opcode::deposit: {
      arguments(op);
      expect("lsb");
      const u32 lsb = static_cast<u32>(number(255));
      expect("width");
      op.aux = lsb | static_cast<u32>(number(255)) << 8;
      return;
    }
    case Opcode::cmp:
    case Opcode::selcc:
    case Opcode::setcc: cond(op); return arguments(op);
    case Opcode::flags_merge:
      arguments(op);
      expect("mask");
      op.aux = number32();
      return;
    case Opcode::atomic_rmw: {
      const auto kind = find(word(), AtomicOp{6}, atomic_name);
      if (!kind) return fail("add, and, or, xor, xchg or sub");
      op.sub = *kind;
      return memory(op);
    }
    case Opcode::load:
    case Opcode::store:
    case Opcode::atomic_cas:
    case Opcode::probe_write: return memory(op);
    case Opcode::call: return call(op);
    case Opcode::call_if:
      cond(op);
      arguments(op);
      expect("helper");
      op.aux = number32();
      expect("imm");
      op.imm = number();
      return;
    case Opcode::exit_cc: cond(op); [[fallthrough]];
    case Opcode::exit_if: arguments(op); return leave(op, true);
    case Opcode::exit_direct: return leave(op, true);
    case Opcode::exit_indirect:
    case Opcode::exit_loop: arguments(op); return leave(op, false);
    case Opcode::xf_guard:
    case Opcode::xf_step_if:
      arguments(op);
      expect("aux");
      op.aux = number32();
      expect("-> loop at");
      op.imm = number();
      return;
    default: break;
  }
  if (is_xfloat(op.code)) {
    arguments(op);
    expect("sub");
    op.sub = static_cast<u8>(number(255));
    expect("aux");
    op.aux = number32();
  } else if (op.code < Opcode::vand) {
    arguments(op);
  } else {
    vector(op);
  }
}

std::optional<Op> Line::expression() {
  const std::string name(word());
  const auto code = find_opcode(name);
  if (!code) return fail("an op, not '" + name + "',"), std::nullopt;
  Op op;
  op.code = *code;
  if (accept(".")) {
    const auto type = find(word(), Type{7}, type_name);
    if (!type) return fail("a type"), std::nullopt;
    op.type = static_cast<Type>(*type);
  }
  operands(op);
  if (wrong.empty() && !done()) fail("the end of the line");
  return wrong.empty() ? std::optional(op) : std::nullopt;
}

class Parser {
 public:
  Parser(const StateLayout& layout, const HelperTable& helpers) : layout_(layout), helpers_(helpers) {
    r_.layout = &layout;
    r_.helpers = &helpers;
  }
  Result<Region> run(std::string_view text);

 private:
  std::string line(std::string_view text);  // what is wrong
  std::string header(std::string_view text);
  std::string mark(std::string_view text);
  std::string op(std::string_view text);
  std::string recipe(std::string_view text);
  Line start(std::string_view text) { return {text, layout_, helpers_}; }

  const StateLayout& layout_;
  const HelperTable& helpers_;
  Region r_;
  std::unordered_map<u64, Value> labels_;
  std::optional<u32> insns_;  // of the header
  bool begun_ = false;
};

std::string Parser::header(std::string_view text) {
  Line in = start(text);
  in.expect("region");
  in.expect("pc");
  r_.pc = in.number();
  in.expect("mode");
  r_.mode = in.number();
  if (in.accept(":")) {
    insns_ = in.number32();
    in.expect("instructions");
  }
  return in.wrong;
}

std::string Parser::mark(std::string_view text) {
  Line in = start(text);
  in.expect("--");
  Op op;
  op.imm = in.number();
  if (in.accept("(")) {
    if (in.accept("part")) {
      op.sub = 1;
    } else {
      op.aux = in.number32();
      in.expect("bytes");
    }
    in.expect(")");
  }
  if (r_.ops.empty() && !begun_) r_.pc = op.imm;
  r_.ops.push_back(op);
  if (op.sub == 0) r_.insn_count++;
  return in.wrong;
}

std::string Parser::op(std::string_view text) {
  Line in = start(text);
  in.labels = &labels_;
  std::optional<u64> label;
  if (in.accept("%")) {
    label = in.number();
    in.expect("=");
  }
  const auto op = in.expression();
  if (!op) return in.wrong;
  if (label && result_type(*op) == Type::Void) return "'" + std::string(info(op->code).name) + "' makes no value";
  if (label) labels_[*label] = static_cast<Value>(r_.ops.size());
  r_.ops.push_back(*op);
  return {};
}

std::string Parser::recipe(std::string_view text) {
  FlagRecipe recipe{1, 0, static_cast<u16>(r_.recipe_ops.size()), 0};
  const size_t colon = std::min(text.find(':'), text.size());
  Line in = start(text.substr(0, colon));
  in.expect("recipe");
  if (in.number() != r_.recipes.size() + 1) in.fail("recipes in order");
  if (in.accept(",")) {
    in.expect("instructions");
    recipe.first_insn = static_cast<u16>(in.number(0xffff));
    in.expect("to");
    recipe.last_insn = static_cast<u16>(in.number(0xffff));
  }
  if (!in.wrong.empty()) return in.wrong;
  for (size_t at = colon + 1; at < text.size();) {
    const size_t end = std::min(text.find(';', at), text.size());
    Line part = start(text.substr(at, end - at));
    part.expect("$");
    part.number();
    part.expect("=");
    const auto op = part.expression();
    if (!op) return part.wrong;
    RecipeOp o{op->code, op->type, op->sub, {}, static_cast<u16>(op->aux), op->imm};
    for (unsigned i = 0; i < 3; i++) o.arg[i] = static_cast<u8>(op->arg[i]);
    r_.recipe_ops.push_back(o);
    recipe.count++;
    at = end + 1;
  }
  r_.recipes.push_back(recipe);
  return {};
}

std::string Parser::line(std::string_view text) {
  Line in = start(text);
  if (in.at("region")) {
    begun_ = true;
    return header(text);
  }
  if (in.at("--")) {
    std::string wrong = mark(text);
    begun_ = true;
    return wrong;
  }
  if (!begun_) return {};  // a title
  if (in.at("recipe")) return recipe(text);
  if (r_.ops.size() >= kMaxOps) return "expected at most " + std::to_string(kMaxOps) + " ops";
  return op(text);
}

Result<Region> Parser::run(std::string_view text) {
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view one = text.substr(at, end - at);
    if (one.ends_with('\r')) one.remove_suffix(1);
    at = end + 1;
    number++;
    if (start(one).done()) {
      if (r_.ops.empty()) continue;
      break;
    }
    if (const std::string wrong = line(one); !wrong.empty())
      return Error{"line " + std::to_string(number) + ": " + wrong, "the form is that of -d ir"};
  }
  if (r_.ops.empty()) return Error{"there is no region in the text", "the form is that of -d ir"};
  if (insns_) r_.insn_count = *insns_;
  return std::move(r_);
}

}  // namespace

Result<Region> parse(std::string_view text, const StateLayout& layout, const HelperTable& helpers) {
  return Parser(layout, helpers).run(text);
}

}  // namespace doppel::ir

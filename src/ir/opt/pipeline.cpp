// run_pipeline: THE list of passes. parse_opt_flags: --opt.
#include "ir/opt/pipeline.h"

#include <memory>

#include "base/assert.h"
#include "ir/opt/passes.h"

namespace doppel::ir {
namespace {

struct Row {
  const char* name;
  void (*run)(Region&, PassContext&, const OptFlags&);
};
// dead_flags when forward has given reads of the flags their values: then a write stays only for who looks from
// outside.
constexpr Row kPasses[] = {{"forward", pass_forward}, {"dead_flags", pass_dead_flags}, {"backward", pass_backward}};

// The switches of --opt.
struct Switch {
  const char* name;
  bool OptFlags::*flag;
};
constexpr Switch kSwitches[] = {
    {"fold", &OptFlags::fold},     {"state", &OptFlags::state},    {"dead_flags", &OptFlags::dead_flags},
    {"dce", &OptFlags::dce},       {"chain", &OptFlags::chain},    {"resume", &OptFlags::resume},
    {"spaces", &OptFlags::spaces}, {"victims", &OptFlags::victims}};

void check(const Region& region, const char* after) {
  const std::string wrong = verify(region);
  if (wrong.empty()) return;
  const std::string text = std::string("IR wrong after ") + after + ": " + wrong + "\n" + dump(region);
  ASSERT_MSG(false, text.c_str());
}

}  // namespace

PassContext& pass_context() {
  thread_local std::unique_ptr<PassContext> context = std::make_unique<PassContext>();
  return *context;  // NOLINT(clang-analyzer-cplusplus.NewDelete): it lives as long as the thread
}

void run_pipeline(Region& region, const OptFlags& flags) {
  ASSERT(region.ops.size() <= kMaxOps);
  if (flags.verify) check(region, "translation");
  PassContext& context = pass_context();
  for (const Row& pass : kPasses) {
    pass.run(region, context, flags);
    if (flags.verify) check(region, pass.name);
  }
}

std::string parse_opt_flags(const std::string& text, OptFlags& out) {
  OptFlags flags = text.starts_with('-') ? OptFlags{} : OptFlags::none();
  const auto all = [&](bool on) {
    for (const Switch& s : kSwitches) flags.*s.flag = on;
  };
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, comma - at);
    at = comma + 1;
    const bool on = !word.starts_with('-');
    if (!on) word.erase(0, 1);
    if (word == "all" || word == "none") {
      all(on == (word == "all"));
      continue;
    }
    if (word == "verify") {
      flags.verify = on;
      continue;
    }
    bool found = false;
    for (const Switch& s : kSwitches) {
      if (word == s.name) flags.*s.flag = on, found = true;
    }
    if (found) continue;
    std::string known;
    for (const Switch& s : kSwitches) known += std::string(", ") + s.name;
    return "unknown optimisation '" + word + "' (known: none, all, verify" + known + ")";
  }
  out = flags;
  return {};
}

}  // namespace doppel::ir

#include "machine/cpu_choice.h"

#include "guest/mips/cpu_models.h"
#include "guest/x86/cpu_models.h"

namespace doppel::machine {
namespace {

struct Target {
  const char* name;
  const char* guest;
  const char* cpu;  // the default
};
constexpr Target kTargets[] = {
    {"x86_64", "x86", "qemu64"},
    {"i386", "x86", "qemu32"},
    {"mips", "mips", "24Kf"},
    {"mipsel", "mips", "24Kf"},
    {"mips64", "mips", "MIPS64R2-generic"},
    {"mips64el", "mips", "MIPS64R2-generic"},
};
const Target& find(const std::string& target) {
  for (const Target& t : kTargets) {
    if (target == t.name) return t;
  }
  return kTargets[0];
}
bool is_64bit(const std::string& target) { return target == "x86_64" || target.starts_with("mips64"); }

}  // namespace

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (const Target& t : kTargets) names.emplace_back(t.name);
  return names;
}

std::string guest_of(const std::string& target) { return find(target).guest; }
std::string default_cpu(const std::string& target) { return find(target).cpu; }
std::string cpu_spec(const MachineConfig& config) {
  return config.cpu.empty() ? default_cpu(config.target) : config.cpu;
}

std::vector<std::string> cpu_models(const std::string& target) {
  std::vector<std::string> names;
  if (guest_of(target) == "mips") {
    for (const mips::CpuModel& model : mips::all_models()) {
      if (is_64bit(target) || !model.is_64bit) names.push_back(model.name);
    }
    return names;
  }
  for (const x86::CpuModel& model : x86::all_models()) names.push_back(model.name);
  return names;
}

std::string cpu_help(const std::string& target) {
  return guest_of(target) == "mips" ? mips::cpu_help(is_64bit(target)) : x86::cpu_help();
}

std::string cpu_model_name(const MachineConfig& config) {
  const std::string spec = cpu_spec(config);
  return spec.substr(0, spec.find(','));
}

Result<std::vector<std::pair<std::string, bool>>> cpu_features(const std::string& spec, const std::string& target) {
  std::vector<std::pair<std::string, bool>> out;
  if (guest_of(target) == "mips") {
    auto model = mips::parse_cpu(spec, is_64bit(target), false);
    if (!model.ok()) return model.error();
    return out;  // its models have no switches
  }
  auto model = x86::parse_cpu(spec, is_64bit(target));
  if (!model.ok()) return model.error();
  for (const x86::FeatureRow* row : x86::feature_rows()) out.emplace_back(row->name, model->has(row->word, row->bit));
  return out;
}

}  // namespace doppel::machine

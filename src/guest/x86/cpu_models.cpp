// CPU models and the parser of -cpu. Models are QEMU's names with what those CPUs had, as far as it is built.
// Sources: SDM vol. 2, CPUID; AMD publication 25481.
#include "guest/x86/cpu_models.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

namespace doppel::x86 {
namespace {

constexpr FeatureRow kFeatures[] = {
#define F(word, bit, name, supported, doc) {name, FeatureWord::word, bit, supported, doc},
#include "guest/x86/system/features.inc"
#undef F
};

// Other spellings QEMU takes.
struct Alias {
  const char* alias;
  const char* name;
};
constexpr Alias kAliases[] = {{"sse3", "pni"}, {"sse4-1", "sse4.1"},  {"sse4-2", "sse4.2"}, {"xd", "nx"},
                              {"i64", "lm"},   {"ffxsr", "fxsr-opt"}, {"sha", "sha-ni"}};

constexpr const char* kBase486 = "fpu vme pse";
constexpr const char* kPentium = "fpu vme pse de tsc msr mce cx8 mmx";
constexpr const char* kPentium2 = "fpu vme pse de tsc msr mce cx8 mmx pae sep mtrr pge mca cmov pat pse36 fxsr apic";
constexpr const char* kPentium3 =
    "fpu vme pse de tsc msr mce cx8 mmx pae sep mtrr pge mca cmov pat pse36 fxsr apic sse";
constexpr const char* kQemu32 = "fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic pni hypervisor";
constexpr const char* kQemu64 =
    "fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic mtrr clflush mca pse36 pni cx16 lm syscall "
    "nx lahf-lm hypervisor";
constexpr const char* kNehalem =
    "vme sse2 sse fxsr mmx clflush pse36 pat cmov mca pge mtrr sep apic cx8 mce pae msr tsc pse de fpu popcnt sse4.2 "
    "sse4.1 cx16 ssse3 pni "
    "lm syscall nx lahf-lm hypervisor";

struct ModelRow {
  const char* name;
  const char* vendor;
  const char* brand;
  u32 family, model, stepping, level, xlevel, phys_bits;
  const char* features;  // null: all that is built
};
// `max` is an AMD of family 15 as qemu64 is: kernels know it to be free of Meltdown, L1TF and MDS, whose workarounds
// cost much.
constexpr ModelRow kModels[] = {
    {"486", "GenuineIntel", "", 4, 8, 0, 1, 0, 32, kBase486},
    {"pentium", "GenuineIntel", "", 5, 4, 3, 1, 0, 32, kPentium},
    {"pentium2", "GenuineIntel", "", 6, 5, 2, 2, 0, 36, kPentium2},
    {"pentium3", "GenuineIntel", "", 6, 7, 3, 3, 0, 36, kPentium3},
    {"qemu32", "GenuineIntel", "Doppel virtual CPU", 6, 6, 3, 4, 0x80000004u, 36, kQemu32},
    {"qemu64", "AuthenticAMD", "Doppel virtual CPU", 15, 107, 1, 0xd, 0x8000000au, 40, kQemu64},
    {"Nehalem", "GenuineIntel", "Intel Core i7 (Nehalem)", 6, 26, 3, 11, 0x80000008u, 40, kNehalem},
    {"max", "AuthenticAMD", "Doppel virtual CPU with all features", 15, 107, 1, 0xd, 0x8000000au, 40, nullptr},
};

// Names of QEMU that are not built: a clear answer instead of a guess.
constexpr const char* kNotBuilt[] = {"Broadwell",      "Cascadelake-Server",
                                     "Conroe",         "Cooperlake",
                                     "Denverton",      "Dhyana",
                                     "EPYC",           "Haswell",
                                     "Icelake-Server", "IvyBridge",
                                     "KnightsMill",    "Opteron_G1",
                                     "Opteron_G2",     "Opteron_G3",
                                     "Opteron_G4",     "Opteron_G5",
                                     "Penryn",         "SandyBridge",
                                     "SapphireRapids", "Skylake-Client",
                                     "Skylake-Server", "Snowridge",
                                     "Westmere",       "athlon",
                                     "core2duo",       "coreduo",
                                     "kvm32",          "kvm64",
                                     "n270",           "phenom"};

std::string normalise(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Alias& a : kAliases) {
    if (out == a.alias) return a.name;
  }
  return out;
}

const FeatureRow* find_feature(std::string_view name) {
  const std::string n = normalise(name);
  for (const FeatureRow& f : kFeatures) {
    if (n == f.name) return &f;
  }
  return nullptr;
}

void set_feature(CpuModel& m, const FeatureRow& f, bool on) {
  u32& word = m.features[static_cast<size_t>(f.word)];
  if (on)
    word |= u32{1} << f.bit;
  else
    word &= ~(u32{1} << f.bit);
}

CpuModel make_model(const ModelRow& row) {
  CpuModel m;
  m.name = row.name;
  m.vendor = row.vendor;
  m.brand = row.brand;
  m.family = row.family;
  m.model = row.model;
  m.stepping = row.stepping;
  m.level = row.level;
  m.xlevel = row.xlevel;
  m.phys_bits = row.phys_bits;
  if (!row.features) {
    for (const FeatureRow& f : kFeatures) {
      // Set by -smp.
      const std::string_view name = f.name;
      if (f.supported && name != "ht" && name != "cmp-legacy") set_feature(m, f, true);
    }
    return m;
  }
  std::string_view list = row.features;
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    if (const FeatureRow* f = find_feature(list.substr(0, end)); f && f->supported) set_feature(m, *f, true);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return m;
}

// Levenshtein distance, for suggestions.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) row[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

template <typename Range, typename NameOf>
std::string nearest(std::string_view wanted, const Range& range, NameOf name_of) {
  std::string best;
  size_t best_distance = ~size_t{0};
  const std::string w = normalise(wanted);
  for (const auto& item : range) {
    const size_t d = distance(w, normalise(name_of(item)));
    if (d >= best_distance) continue;
    best_distance = d;
    best = name_of(item);
  }
  return best;
}

Error unknown_model(std::string_view name) {
  const std::string text(name);
  if (text == "host") return {"-cpu host needs KVM: the translator has its own CPU models", "use -cpu max", 1};
  std::string_view base = name.substr(0, name.find("-v"));
  for (const char* n : kNotBuilt) {
    if (base == n || name.starts_with(n))
      return {"CPU model '" + text + "' is not built yet", "use -cpu max or -cpu Nehalem", 1};
  }
  return {
      "there is no CPU model '" + text + "'",
      "did you mean '" + nearest(name, kModels, [](const ModelRow& m) { return m.name; }) + "'? -cpu help lists them",
      1};
}

bool parse_number(std::string_view text, u32& out) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = hex ? text.substr(2) : text;
  if (digits.empty() || digits.size() > 10) return false;
  u64 v = 0;
  for (const char c : digits) {
    const int d = c >= '0' && c <= '9'   ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : 99;
    if (d >= (hex ? 16 : 10)) return false;
    v = v * (hex ? 16 : 10) + static_cast<u64>(d);
  }
  if (v > ~u32{0}) return false;
  out = static_cast<u32>(v);
  return true;
}

Status apply_feature(CpuModel& m, std::string_view name, bool on) {
  const FeatureRow* f = find_feature(name);
  if (!f) {
    return Error{"there is no CPU feature '" + std::string(name) + "'",
                 std::string("did you mean '") + nearest(name, kFeatures, [](const FeatureRow& r) { return r.name; }) +
                     "'? -cpu help lists them",
                 1};
  }
  if (on && !f->supported)
    return Error{"CPU feature '" + std::string(f->name) + "' (" + f->doc + ") is not built yet", "leave it out", 1};
  set_feature(m, *f, on);
  return success();
}

// family=, vendor= and the like. `known` tells whether there is such a property.
Status apply_property(CpuModel& m, std::string_view key, std::string_view value, bool& known) {
  known = true;
  struct Number {
    const char* key;
    u32* field;
  };
  const Number numbers[] = {{"family", &m.family}, {"model", &m.model},   {"stepping", &m.stepping},
                            {"level", &m.level},   {"xlevel", &m.xlevel}, {"phys-bits", &m.phys_bits}};
  const auto bad = [&](const char* what) {
    return Error{"-cpu " + std::string(key) + "=" + std::string(value) + ": " + what, "", 1};
  };
  for (const Number& n : numbers) {
    if (key != n.key) continue;
    if (!parse_number(value, *n.field)) return bad("not a number");
    if (m.phys_bits < 32 || m.phys_bits > 52) return bad("between 32 and 52");
    return success();
  }
  if (key == "vendor") {
    if (value.size() != 12) return bad("a vendor has 12 characters");
    m.vendor = value;
    return success();
  }
  if (key == "model-id") {
    if (value.size() > 48) return bad("48 characters at most");
    m.brand = value;
    return success();
  }
  // Accepted for the sake of command lines made for QEMU: they ask for what always holds here.
  for (const char* accepted :
       {"check", "enforce", "migratable", "kvm", "tcg-cpuid", "l3-cache", "host-cache-info", "pmu", "host-phys-bits"}) {
    if (key == accepted) return success();
  }
  known = false;
  return success();
}

Status apply_item(CpuModel& m, std::string_view item) {
  if (item.starts_with('+')) return apply_feature(m, item.substr(1), true);
  if (item.starts_with('-')) return apply_feature(m, item.substr(1), false);
  const size_t eq = item.find('=');
  if (eq == std::string_view::npos) {
    bool known;
    if (Status s = apply_property(m, item, "on", known); known) return s;
    return apply_feature(m, item, true);
  }
  const std::string key = normalise(item.substr(0, eq));
  const std::string_view value = item.substr(eq + 1);
  bool known;
  if (Status s = apply_property(m, key, value, known); known) return s;
  if (value == "on" || value == "true" || value == "yes") return apply_feature(m, key, true);
  if (value == "off" || value == "false" || value == "no") return apply_feature(m, key, false);
  if (!find_feature(key)) return apply_feature(m, key, true);
  return Error{"-cpu " + key + "=" + std::string(value) + ": neither on nor off", "", 1};
}

}  // namespace

std::vector<const FeatureRow*> feature_rows() {
  std::vector<const FeatureRow*> rows;
  for (const FeatureRow& f : kFeatures) rows.push_back(&f);
  return rows;
}

bool CpuModel::has(std::string_view feature) const {
  const FeatureRow* f = find_feature(feature);
  return f && has(f->word, f->bit);
}

std::vector<CpuModel> all_models() {
  std::vector<CpuModel> models;
  for (const ModelRow& row : kModels) models.push_back(make_model(row));
  return models;
}

Result<CpuModel> parse_cpu(std::string_view spec, bool default_64bit) {
  const size_t comma = std::min(spec.find(','), spec.size());
  std::string_view name = spec.substr(0, comma);
  if (name.empty()) name = default_64bit ? "qemu64" : "qemu32";
  const ModelRow* row = nullptr;
  for (const ModelRow& r : kModels) {
    const std::string versioned = std::string(r.name) + "-v1", typed = std::string(r.name) + "-x86_64-cpu",
                      typed32 = std::string(r.name) + "-i386-cpu";
    if (name == r.name || name == versioned || name == typed || name == typed32) row = &r;
  }
  if (!row && name == "base") row = &kModels[0];
  if (!row) return unknown_model(name);
  CpuModel m = make_model(*row);
  std::string_view rest = spec.substr(comma);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, end);
    rest.remove_prefix(end);
    if (item.empty()) continue;
    if (Status s = apply_item(m, item); !s) return s.error();
  }
  if (!default_64bit) {
    for (const char* f : {"lm", "lahf-lm"}) set_feature(m, *find_feature(f), false);
  }
  // Leaves that hold a feature must be visible.
  if (m.features[static_cast<size_t>(FeatureWord::L7Ebx)] | m.features[static_cast<size_t>(FeatureWord::L7Ecx)])
    m.level = std::max<u32>(m.level, 7);
  if (m.has(FeatureWord::L1Ecx, 26)) m.level = std::max<u32>(m.level, 0xd);
  if (m.features[static_cast<size_t>(FeatureWord::E1Ecx)] | m.features[static_cast<size_t>(FeatureWord::E1Edx)])
    m.xlevel = std::max(m.xlevel, 0x80000008u);
  if (m.features[static_cast<size_t>(FeatureWord::E7Edx)]) m.xlevel = std::max(m.xlevel, 0x80000008u);
  return m;
}

std::string cpu_help() {
  std::string out = "Available CPUs:\n";
  for (const ModelRow& row : kModels) {
    std::string line = "x86 " + std::string(row.name);
    line.resize(std::max<size_t>(line.size(), 24), ' ');
    out += line + (*row.brand ? row.brand : row.vendor) + "\n";
  }
  out += "\nRecognized CPUID flags:\n";
  std::string line = " ";
  for (const FeatureRow& f : kFeatures) {
    if (!f.supported) continue;
    if (line.size() + std::string_view(f.name).size() > 78) {
      out += line + "\n";
      line = " ";
    }
    line += std::string(" ") + f.name;
  }
  return out + line + "\n";
}

}  // namespace doppel::x86

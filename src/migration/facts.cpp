#include "migration/facts.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>

namespace doppel::migration {
namespace {
using Json = nlohmann::ordered_json;
constexpr const char* kProgram = "Doppel 0.1.0";

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& n : names) text += (text.empty() ? "" : ", ") + n;
  return text;
}

// Those of `a` that are not in `b`.
std::vector<std::string> without(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> out;
  for (const std::string& n : a) {
    if (std::find(b.begin(), b.end(), n) == b.end()) out.push_back(n);
  }
  return out;
}

Error differs(const std::string& what, const std::string& saved, const std::string& here, const std::string& fix) {
  return {"the state was saved with " + what + " " + saved + ", this machine has " + here, fix};
}

template <typename T>
std::vector<std::string> lines(const std::map<std::string, T>& map) {
  std::vector<std::string> out;
  for (const auto& [key, value] : map) {
    if constexpr (std::is_same_v<T, std::string>)
      out.push_back(key + " " + value);
    else
      out.push_back(key + " (" + std::to_string(value) + " bytes)");
  }
  return out;
}

Status check_lists(const std::string& what, const std::vector<std::string>& saved,
                   const std::vector<std::string>& here) {
  const std::string fix = "start the machine with the same options as when the state was saved";
  if (const auto lost = without(saved, here); !lost.empty())
    return Error{"the state has " + what + " that this machine has not: " + list(lost), fix};
  if (const auto more = without(here, saved); !more.empty())
    return Error{"this machine has " + what + " that the state has not: " + list(more), fix};
  return success();
}
}  // namespace

Facts facts_of(machine::Machine& machine) {
  const machine::MachineConfig& config = machine.config();
  Facts f{
      .program = kProgram, .board = machine::board_name(config.board), .cpu_model = machine::cpu_model_name(config)};
  if (auto features = machine::cpu_features(config.cpu.empty() ? f.cpu_model : config.cpu, config.target)) {
    for (const auto& [name, on] : *features) {
      if (on) f.cpu_features.push_back(name);
    }
  }
  f.ram_bytes = machine.ram() ? machine.ram()->size : 0;
  f.cpus = machine.vcpus().size();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const s64 ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  f.date_seconds = ns / hw::kNsPerSecond;
  f.date_nanoseconds = ns % hw::kNsPerSecond;
  f.clock_ns = machine.clock().now();
  f.icount_shift = config.accel.icount_shift;
  {
    const std::lock_guard guard(machine.device_lock());
    for (const auto& [name, device] : machine.devices()) f.devices.push_back(name);
  }
  for (const machine::PciFunctionInfo& p : machine.pci_functions()) {
    char place[16], id[16];
    std::snprintf(place, sizeof place, "%02x.%x", p.slot, p.function);
    std::snprintf(id, sizeof id, "%02x%02x:%02x%02x", p.config[1], p.config[0], p.config[3], p.config[2]);
    f.pci[place] = id;
  }
  for (const machine::DriveInfo& d : machine.drives()) {
    if (!d.removable && d.node) f.disks[d.id] = d.node->size();
  }
  return f;
}

std::string to_json(const Facts& f) {
  return Json{{"program", f.program},
              {"date", {f.date_seconds, f.date_nanoseconds}},
              {"clock", f.clock_ns},
              {"board", f.board},
              {"cpu", f.cpu_model},
              {"cpu-features", f.cpu_features},
              {"cpus", f.cpus},
              {"ram", f.ram_bytes},
              {"icount", f.icount_shift},
              {"devices", f.devices},
              {"pci", f.pci},
              {"disks", f.disks}}
      .dump(1);
}

Result<Facts> from_json(const std::string& text) {
  const Json j = Json::parse(text, nullptr, false);
  Facts f;
  const auto take = [&](const char* key, auto& value) {
    using T = std::remove_reference_t<decltype(value)>;
    const auto it = j.find(key);
    if (it == j.end()) return true;  // of an older or newer program
    if constexpr (std::is_integral_v<T>) {
      if (!it->is_number_integer()) return false;
      value = it->template get<T>();
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (!it->is_string()) return false;
      value = it->template get<T>();
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      if (!it->is_array()) return false;
      for (const Json& e : *it) {
        if (!e.is_string()) return false;
        value.push_back(e.get<std::string>());
      }
    } else {
      if (!it->is_object()) return false;
      for (const auto& [name, e] : it->items()) {
        if (std::is_same_v<typename T::mapped_type, std::string> ? !e.is_string() : !e.is_number_unsigned())
          return false;
        value[name] = e.template get<typename T::mapped_type>();
      }
    }
    return true;
  };
  bool good = j.is_object() && take("program", f.program) && take("clock", f.clock_ns) && take("board", f.board) &&
              take("cpu", f.cpu_model) && take("cpu-features", f.cpu_features) && take("cpus", f.cpus) &&
              take("ram", f.ram_bytes) && take("icount", f.icount_shift) && take("devices", f.devices) &&
              take("pci", f.pci) && take("disks", f.disks);
  if (good && j.contains("date")) {
    const Json& d = j["date"];
    good = d.is_array() && d.size() == 2 && d[0].is_number_integer() && d[1].is_number_integer();
    if (good) f.date_seconds = d[0].get<s64>(), f.date_nanoseconds = d[1].get<s64>();
  }
  if (!good) return Error{"the description of a state is not valid", "the file is damaged"};
  return f;
}

Status check_same(const Facts& saved, const Facts& here) {
  if (saved.board != here.board) return differs("the board", saved.board, here.board, "choose it with -machine");
  if (saved.cpu_model != here.cpu_model)
    return differs("the CPU", saved.cpu_model, here.cpu_model, "choose it with -cpu " + saved.cpu_model);
  if (const auto lost = without(saved.cpu_features, here.cpu_features); !lost.empty())
    return Error{"the guest uses CPU features that this machine's CPU has not: " + list(lost), "add them to -cpu"};
  if (saved.cpus != here.cpus)
    return differs("-smp", std::to_string(saved.cpus), std::to_string(here.cpus),
                   "give -smp " + std::to_string(saved.cpus));
  if (saved.ram_bytes != here.ram_bytes)
    return Error{"the state was saved with " + std::to_string(saved.ram_bytes >> 20) +
                     " MiB of RAM, this machine has " + std::to_string(here.ram_bytes >> 20) + " MiB",
                 "give -m " + std::to_string(saved.ram_bytes >> 20)};
  if (saved.icount_shift != here.icount_shift)
    return differs("-icount shift", std::to_string(saved.icount_shift), std::to_string(here.icount_shift),
                   "give the same -icount (-1: none)");
  if (Status s = check_lists("devices", saved.devices, here.devices); !s) return s;
  if (Status s = check_lists("PCI functions", lines(saved.pci), lines(here.pci)); !s) return s;
  return check_lists("disks", lines(saved.disks), lines(here.disks));
}

}  // namespace doppel::migration

#include "migration/record.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/os/files.h"

namespace doppel::migration {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
constexpr int kVersion = 1;
constexpr const char* kRam[] = {"none", "file", "packed"};

// Paths are kept relative to the folder where that keeps them short: it may be moved with the disk.
std::string near_path(const std::string& path, const std::string& folder) {
  if (path.empty()) return path;
  const std::string near = fs::path(path).lexically_relative(folder).string();
  return near.empty() || near.starts_with("../..") ? path : near;
}
std::string whole_path(const std::string& path, const std::string& folder) {
  return path.empty() || path.starts_with('/') ? path : (fs::path(folder) / path).lexically_normal().string();
}

std::string line_of(const std::string& file) {
  std::string text = os::read_text(file);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Status set_line(const std::string& file, const std::string& text) {
  if (!text.empty()) return os::write_durably(file, text + "\n");
  std::error_code ec;
  fs::remove(file, ec);
  return success();
}

// Missing or wrong fields are empty: the caller looks at what it needs.
std::string text_of(const Json& j, const char* key) {
  const auto it = j.find(key);
  return it != j.end() && it->is_string() ? it->get<std::string>() : std::string();
}
s64 number_of(const Json& j, const char* key) {
  const auto it = j.find(key);
  return it != j.end() && it->is_number_integer() ? it->get<s64>() : 0;
}

Json to_json(const Record& r, const std::string& folder) {
  Json disks = Json::array(), replaced = Json::array();
  for (const Record::Disk& d : r.disks) {
    disks.push_back(
        {{"disk", near_path(d.disk, folder)}, {"file", near_path(d.layer.file, folder)}, {"format", d.layer.format}});
  }
  for (const Launch::Replacement& p : r.launch.replaced)
    replaced.push_back({{"disk", p.disk}, {"file", near_path(p.by.file, folder)}, {"format", p.by.format}});
  return {{"version", kVersion},
          {"name", r.name},
          {"parent", r.parent},
          {"date", r.date_seconds},
          {"clock", r.clock_ns},
          {"ram", kRam[static_cast<int>(r.ram)]},
          {"disks", disks},
          {"arch", r.launch.arch},
          {"directory", r.launch.directory},
          {"arguments", r.launch.arguments},
          {"replaced", replaced}};
}

Result<Record> from_json(const Json& j, const std::string& folder, const std::string& file) {
  const Error bad{"'" + file + "' is not valid", "the snapshot can't be used: doppel snapshot delete removes it"};
  if (!j.is_object()) return bad;
  if (number_of(j, "version") != kVersion)
    return Error{"'" + file + "' is of another version of Doppel", "use the program that made it, or a newer one"};
  Record r{.name = text_of(j, "name"), .parent = text_of(j, "parent")};
  r.date_seconds = number_of(j, "date");
  r.clock_ns = number_of(j, "clock");
  const auto kind = std::find(std::begin(kRam), std::end(kRam), text_of(j, "ram"));
  if (kind == std::end(kRam)) return bad;
  r.ram = static_cast<Record::Ram>(kind - std::begin(kRam));
  const auto list = [&](const char* key) {
    const auto it = j.find(key);
    return it != j.end() && it->is_array() ? *it : Json::array();
  };
  for (const Json& d : list("disks")) {
    if (!d.is_object() || text_of(d, "file").empty() || text_of(d, "disk").empty()) return bad;
    r.disks.push_back(
        {whole_path(text_of(d, "disk"), folder), {whole_path(text_of(d, "file"), folder), text_of(d, "format")}});
  }
  for (const Json& d : list("replaced")) {
    if (!d.is_object() || text_of(d, "file").empty()) return bad;
    r.launch.replaced.push_back({text_of(d, "disk"), {whole_path(text_of(d, "file"), folder), text_of(d, "format")}});
  }
  for (const Json& a : list("arguments")) {
    if (!a.is_string()) return bad;
    r.launch.arguments.push_back(a.get<std::string>());
  }
  r.launch.folder = folder;
  r.launch.arch = text_of(j, "arch");
  r.launch.directory = text_of(j, "directory");
  return r;
}

u64 bytes_in(const std::string& folder) {
  u64 sum = 0;
  std::error_code ec;
  for (const char* name : {"state", "ram"}) {
    const std::string file = folder + "/" + name;
    if (!fs::exists(file, ec)) continue;
    auto node = block::open(file, {.read_only = true, .format = "raw", .shared = true});
    if (node) sum += (*node)->allocated_bytes();
  }
  return sum;
}

void print_branch(const std::vector<Record>& all, const std::string& parent, const std::string& present, int depth,
                  std::string& out) {
  if (depth > 1000) return;
  for (const Record& r : all) {
    const bool lost =
        !r.parent.empty() && std::none_of(all.begin(), all.end(), [&](auto& o) { return o.name == r.parent; });
    if (r.parent != parent && !(lost && parent.empty())) continue;
    out += std::string(static_cast<size_t>(depth) * 2, ' ') + r.name + (r.has_state() ? "" : " (disks only)") + "\n";
    if (r.name == present) out += std::string(static_cast<size_t>(depth) * 2 + 2, ' ') + "* now\n";
    print_branch(all, r.name, present, depth + 1, out);
  }
}

}  // namespace

Status check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 100 && name[0] != '.' && name[0] != '-' &&
                    name.find('/') == std::string::npos && !name.ends_with(".partial") && !name.starts_with("layer-") &&
                    name != "current" && name != "present" && name != "pending" && name != "clones" &&
                    std::none_of(name.begin(), name.end(), [](char c) { return static_cast<u8>(c) < 0x20; });
  if (good) return success();
  return Error{"'" + name + "' can't be the name of a snapshot", "use letters, digits and '-'", 2};
}

std::string snapshot_folder(const std::string& folder, const std::string& name) { return folder + "/" + name; }

Status write_record(const std::string& where, const Record& record) {
  const std::string folder = fs::path(where).parent_path().string();
  return os::write_durably(where + "/snapshot.json", to_json(record, folder).dump(1) + "\n");
}

Result<Record> read_record(const std::string& folder, const std::string& name) {
  if (Status s = check_name(name); !s) return s.error();
  const std::string file = snapshot_folder(folder, name) + "/snapshot.json", text = os::read_text(file);
  if (text.empty()) return Error{"there is no snapshot '" + name + "' in " + folder, "doppel snapshot list shows them"};
  auto record = from_json(Json::parse(text, nullptr, false), folder, file);
  if (record) record->name = name;
  return record;
}

std::vector<Record> all_records(const std::string& folder) {
  std::vector<Record> out;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_directory(ec) || !check_name(name)) continue;
    auto record = read_record(folder, name);
    if (!record) continue;
    record->bytes = bytes_in(entry.path().string());
    out.push_back(record.take());
  }
  std::sort(out.begin(), out.end(), [](const Record& a, const Record& b) {
    return std::tie(a.date_seconds, a.name) < std::tie(b.date_seconds, b.name);
  });
  return out;
}

std::string present_parent(const std::string& folder) { return line_of(folder + "/present"); }
Status set_present_parent(const std::string& folder, const std::string& name) {
  return set_line(folder + "/present", name);
}
std::string pending(const std::string& folder) { return line_of(folder + "/pending"); }
Status set_pending(const std::string& folder, const std::string& name) { return set_line(folder + "/pending", name); }

std::vector<std::string> clones(const std::string& folder) {
  std::vector<std::string> out;
  std::string text = line_of(folder + "/clones");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

Status add_clone(const std::string& folder, const std::string& file) {
  std::string text = line_of(folder + "/clones");
  return os::write_durably(folder + "/clones", (text.empty() ? "" : text + "\n") + file + "\n");
}

std::string tree(const std::string& folder) {
  const std::vector<Record> all = all_records(folder);
  const std::string present = present_parent(folder);
  std::string out;
  if (std::none_of(all.begin(), all.end(), [&](auto& r) { return r.name == present; })) out = "* now\n";
  print_branch(all, "", present, 0, out);
  return out;
}

}  // namespace doppel::migration

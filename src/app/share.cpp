#include "app/share.h"

#include <algorithm>
#include <set>

namespace doppel::app {
namespace {

std::string value_of(const KeyValues& kv, const std::string& key) {
  for (const auto& [k, v] : kv) {
    if (k == key) return v;
  }
  return {};
}

// What -fsdev and -virtfs have in common.
Result<machine::SharedFolder> take_folder(const char* option, const KeyValues& kv) {
  machine::SharedFolder f;
  for (const auto& [key, value] : kv) {
    const bool known = key == "fsdriver" || key == "id" || key == "path" || key == "security_model" ||
                       key == "readonly" || key == "mount_tag" || key == "multidevs" || key == "writeout";
    if (!known)
      return Error{std::string(option) + " has no property '" + key + "'",
                   "it has: id, path, security_model, readonly, mount_tag"};
  }
  if (const std::string driver = value_of(kv, "fsdriver"); driver != "local")
    return Error{std::string(option) + " " + driver + " is not built", "use local"};
  f.id = value_of(kv, "id");
  f.path = value_of(kv, "path");
  f.security_model = value_of(kv, "security_model");
  const std::string read_only = value_of(kv, "readonly");
  f.read_only = read_only == "on";
  if (!read_only.empty() && read_only != "on" && read_only != "off")
    return Error{std::string(option) + " readonly=" + read_only + " is neither on nor off", "readonly=on"};
  if (f.path.empty()) return Error{std::string(option) + " needs path=", std::string(option) + " local,path=DIR,..."};
  if (f.security_model == "mapped") f.security_model = "mapped-xattr";
  static const std::set<std::string> kModels = {"mapped-xattr", "mapped-file", "none", "passthrough"};
  if (!kModels.contains(f.security_model))
    return Error{std::string(option) + " needs security_model=", "mapped-xattr, mapped-file, none or passthrough"};
  return f;
}

}  // namespace

Status take_fsdev(Options& o, const std::string& text) {
  auto f = take_folder("-fsdev", parse_key_values(text, "fsdriver"));
  if (!f) return f.error();
  if (f->id.empty()) return Error{"-fsdev needs id=", "-fsdev local,id=fs0,path=DIR,security_model=none"};
  o.machine.shared_folders.push_back(f.take());
  return success();
}

Status take_virtfs(Options& o, const std::string& text) {
  const KeyValues kv = parse_key_values(text, "fsdriver");
  auto f = take_folder("-virtfs", kv);
  if (!f) return f.error();
  const std::string tag = value_of(kv, "mount_tag");
  if (tag.empty()) return Error{"-virtfs needs mount_tag=", "the guest mounts it by that name"};
  if (f->id.empty()) f->id = "virtfs-" + tag;
  o.machine.devices.push_back({"virtio-9p-pci", {{"fsdev", f->id}, {"mount_tag", tag}}});
  o.machine.shared_folders.push_back(f.take());
  return success();
}

}  // namespace doppel::app

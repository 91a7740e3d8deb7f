#include "app/blockdev.h"

#include <algorithm>

#include "app/drive_tuning.h"

namespace doppel::app {
namespace {

constexpr const char* kProtocols[] = {"file", "host_device", "host_cdrom"};
constexpr const char* kFormats[] = {"raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "parallels", "qcow", "dmg"};
// What does not change what the guest sees; the host's page cache is used as -drive uses it.
constexpr const char* kNoEffect[] = {"auto-read-only", "locking",  "file.auto-read-only", "file.discard",
                                     "file.locking",   "file.aio", "file.read-only",      "file.node-name"};

template <size_t N>
bool among(const char* const (&names)[N], const std::string& name) {
  return std::any_of(std::begin(names), std::end(names), [&](const char* n) { return name == n; });
}

bool is_null(const std::string& value) { return value.empty() || value == "null"; }

Status take_key(Options::Blockdev& b, const std::string& key, const std::string& value) {
  if (key == "driver") {
    b.driver = value;
  } else if (key == "node-name") {
    b.name = value;
  } else if (key == "filename" || key == "file.filename") {
    b.filename = value;
  } else if (key == "file") {
    b.file = value;
  } else if (key == "file.driver") {
    if (!among(kProtocols, value))
      return Error{"-blockdev file.driver=" + value + " is not built yet", "use file.driver=file"};
  } else if (key == "read-only") {
    auto on = parse_switch("-blockdev read-only", value);
    if (!on) return on.error();
    b.read_only = *on;
  } else if (key == "backing") {
    if (is_null(value))
      b.no_backing = true;
    else
      b.backing = value;
  } else if (auto taken = take_tuning(b.tuning, key.starts_with("file.cache.") ? key.substr(5) : key, value); !taken) {
    return taken.error();
  } else if (!*taken && !among(kNoEffect, key)) {
    return Error{"-blockdev has no property '" + key + "'",
                 "it has: driver, node-name, filename, file, read-only, cache.direct, discard, detect-zeroes, "
                 "cache-size, l2-cache-size, refcount-cache-size"};
  }
  return success();
}

}  // namespace

Status take_blockdev(Options& o, const std::string& text) {
  Options::Blockdev b;
  for (const auto& [key, value] : parse_key_values(text, "driver")) {
    if (Status s = take_key(b, key, value); !s) return s;
  }
  if (b.name.empty()) return Error{"-blockdev needs node-name=", "-blockdev file,node-name=disk,filename=disk.img"};
  if (!among(kProtocols, b.driver) && !among(kFormats, b.driver))
    return Error{"-blockdev driver=" + b.driver + " is not built yet", "use file, or a format such as raw or qcow2"};
  const bool protocol = among(kProtocols, b.driver);
  if (protocol ? b.filename.empty() : b.filename.empty() == b.file.empty())
    return Error{"-blockdev " + b.name + " does not say which file it is",
                 protocol ? "add filename=" : "add file=NODE, or file.driver=file,file.filename="};
  for (const auto& other : o.blockdevs) {
    if (other.name == b.name) return Error{"there are two block nodes '" + b.name + "'", "change one node-name="};
  }
  o.blockdevs.push_back(b);
  return success();
}

Result<machine::DriveConfig> drive_of_node(const Options& o, const Options::Blockdev& b) {
  machine::DriveConfig drive;
  drive.interface = "none";
  drive.is_node = true;
  drive.driver = b.driver;
  drive.id = b.name;
  drive.file = b.filename;
  drive.format = among(kProtocols, b.driver) ? "raw" : b.driver;
  drive.read_only = b.read_only;
  drive.tuning = b.tuning;
  const auto find = [&](const std::string& name) {
    return std::find_if(o.blockdevs.begin(), o.blockdevs.end(), [&](const auto& other) { return other.name == name; });
  };
  if (!b.backing.empty() && find(b.backing) == o.blockdevs.end())
    return Error{"-blockdev " + b.name + ": there is no node '" + b.backing + "'", "define it before this one"};
  if (b.file.empty()) return drive;
  const auto below = find(b.file);
  if (below == o.blockdevs.end() || !among(kProtocols, below->driver))
    return Error{"-blockdev " + b.name + ": there is no file node '" + b.file + "'",
                 "define it with -blockdev file,node-name=" + b.file + ",filename=..."};
  drive.file = below->filename;
  drive.read_only |= below->read_only;
  drive.tuning.direct |= below->tuning.direct;
  drive.tuning.unsafe |= below->tuning.unsafe;
  return drive;
}

Status open_node(machine::DriveConfig& drive, const Options::Blockdev& b) {
  const bool protocol = among(kProtocols, b.driver);
  block::OpenOptions options = block::open_options(drive.tuning);
  options.read_only = drive.read_only || protocol;
  options.format = drive.format;
  options.shared = protocol;
  auto node = block::open(drive.file, options);
  if (!node) return node.error();
  if (!protocol) drive.node = node.take();
  return success();
}

Status resolve_blockdevs(Options& o) {
  for (const Options::Blockdev& b : o.blockdevs) {
    auto drive = drive_of_node(o, b);
    if (!drive) return drive.error();
    o.machine.drives.push_back(drive.take());
  }
  return success();
}

}  // namespace doppel::app

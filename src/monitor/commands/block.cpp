// Drives and media.
#include "block/image_info.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class ReadOnlyMode { retain, read_only, read_write };
template <>
struct EnumNames<ReadOnlyMode> {
  static constexpr const char* kType = "BlockdevChangeReadOnlyMode";
  static std::vector<std::string_view> names() { return {"retain", "read-only", "read-write"}; }
};
enum class IoStatus { ok, failed, nospace };
template <>
struct EnumNames<IoStatus> {
  static constexpr const char* kType = "BlockDeviceIoStatus";
  static std::vector<std::string_view> names() { return {"ok", "failed", "nospace"}; }
};
enum class DetectZeroes { off, on, unmap };
template <>
struct EnumNames<DetectZeroes> {
  static constexpr const char* kType = "BlockdevDetectZeroesOptions";
  static std::vector<std::string_view> names() { return {"off", "on", "unmap"}; }
};

namespace {

struct Image {
  static constexpr const char* kType = "ImageInfo";
  std::string filename, format;
  std::optional<bool> dirty;
  std::optional<u64> actual, cluster;
  u64 virtual_size = 0;
  std::optional<std::string> backing, full_backing, backing_format;
  template <class V>
  void visit(V& v) {
    v("filename", filename);
    v("format", format);
    v("dirty-flag", dirty, "whether it was not closed cleanly");
    v("actual-size", actual, "bytes on the host's disk");
    v("virtual-size", virtual_size, "bytes of the guest's disk");
    v("cluster-size", cluster);
    v("backing-filename", backing);
    v("full-backing-filename", full_backing);
    v("backing-filename-format", backing_format);
  }
};

struct Cache {
  static constexpr const char* kType = "BlockdevCacheInfo";
  bool writeback = true, direct = false, no_flush = false;
  template <class V>
  void visit(V& v) {
    v("writeback", writeback);
    v("direct", direct);
    v("no-flush", no_flush);
  }
};

struct Medium {
  static constexpr const char* kType = "BlockDeviceInfo";
  std::string file, driver;
  std::optional<std::string> node, backing;
  bool read_only = false, encrypted = false;
  s64 backing_depth = 0, zero = 0;
  block::Limits limits;
  DetectZeroes detect_zeroes = DetectZeroes::off;
  Image image;
  Cache cache;
  template <class V>
  void visit(V& v) {
    v("file", file, "name of the image");
    v("ro", read_only, "whether the guest can't write");
    v("drv", driver, "its format");
    v("node-name", node, "the name of -blockdev or blockdev-add");
    v("backing_file", backing);
    v("backing_file_depth", backing_depth, "images below this one");
    v("encrypted", encrypted);
    v("detect_zeroes", detect_zeroes);
    v("bps", limits.bytes.total, "0: not limited");
    v("bps_rd", limits.bytes.read);
    v("bps_wr", limits.bytes.write);
    v("iops", limits.requests.total);
    v("iops_rd", limits.requests.read);
    v("iops_wr", limits.requests.write);
    const auto burst = [&](const char* name, u64& value) {
      std::optional<u64> given = value != 0 ? std::optional(value) : std::nullopt;
      v(name, given);
    };
    burst("bps_max", limits.bytes_burst.total);
    burst("bps_rd_max", limits.bytes_burst.read);
    burst("bps_wr_max", limits.bytes_burst.write);
    burst("iops_max", limits.requests_burst.total);
    burst("iops_rd_max", limits.requests_burst.read);
    burst("iops_wr_max", limits.requests_burst.write);
    burst("iops_size", limits.request_bytes);
    v("image", image);
    v("cache", cache);
    v("write_threshold", zero);
  }
};

struct BlockInfo {
  static constexpr const char* kType = "BlockInfo";
  std::string device, type = "unknown";
  std::optional<std::string> path;
  bool removable = false, locked = false;
  std::optional<Medium> inserted;
  std::optional<bool> tray_open;
  std::optional<IoStatus> io_status;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("qdev", path, "its path among the objects");
    v("type", type, "always unknown");
    v("removable", removable, "whether the medium can be changed");
    v("locked", locked, "whether the guest holds the medium");
    v("inserted", inserted, "the medium; left out if there is none");
    v("tray_open", tray_open);
    v("io-status", io_status);
  }
};

Image image_of(const block::Node& node, const std::string& file) {
  const block::ImageInfo facts = node.info();
  Image image{.filename = file, .format = node.format(), .virtual_size = node.size()};
  image.dirty = facts.dirty;
  image.actual = node.allocated_bytes();
  if (facts.cluster_size) image.cluster = facts.cluster_size;
  if (!facts.backing_file.empty()) image.backing = facts.backing_file;
  if (!facts.full_backing_file.empty()) image.full_backing = facts.full_backing_file;
  if (!facts.backing_format.empty()) image.backing_format = facts.backing_format;
  return image;
}

Medium medium_of(const block::Node& node, const std::string& file) {
  Medium m{.file = file, .driver = node.format(), .read_only = node.read_only()};
  m.image = image_of(node, file);
  m.backing = m.image.backing;
  for (auto below = node.backing(); below; below = below->backing()) m.backing_depth++;
  return m;
}

// The path of the object that has the disk: a virtio disk stands behind its card.
std::string path_of(const machine::DriveInfo& d) { return d.path + (d.is_virtio ? "/virtio-backend" : ""); }

Answer<std::vector<BlockInfo>> query_block(Context& c, Empty&) {
  std::vector<BlockInfo> out;
  for (const machine::DriveInfo& d : c.machine.drives()) {
    BlockInfo b{.device = d.is_node ? "" : d.id, .path = path_of(d), .removable = d.removable, .locked = d.locked};
    if (d.node) b.inserted = medium_of(*d.node, d.file);
    if (d.node) b.inserted->limits = d.limits;
    if (d.node && !d.node_name.empty()) b.inserted->node = d.node_name;
    if (d.removable) b.tray_open = d.has_tray ? d.tray_open : d.node == nullptr;
    if (!d.removable || d.node) b.io_status = IoStatus::ok;
    out.push_back(std::move(b));
  }
  return out;
}

// --- nodes

struct NamedNodes {
  static constexpr const char* kType = "query-named-block-nodes-arg";
  std::optional<bool> flat;
  template <class V>
  void visit(V& v) {
    v("flat", flat, "whether to leave out the images below; they are left out anyhow");
  }
};
// The node of a -blockdev: open, in use by a device, or (a file below a format) looked at for a moment.
std::shared_ptr<block::Node> node_of(machine::Machine& m, const machine::DriveConfig& drive) {
  if (drive.node) return drive.node;
  for (const machine::DriveInfo& used : m.drives()) {
    if (used.node_name == drive.id && used.node) return used.node;
  }
  auto opened = block::open(
      drive.file, {.read_only = true, .format = drive.format, .shared = true, .no_backing = true, .repair = false});
  return opened ? opened.take() : nullptr;
}
Answer<std::vector<Medium>> query_named_nodes(Context& c, NamedNodes&) {
  std::vector<Medium> out;
  for (const machine::DriveConfig& drive : c.machine.loose_drives()) {
    if (!drive.is_node) continue;
    const auto node = node_of(c.machine, drive);
    if (!node) continue;
    out.push_back(medium_of(*node, drive.file));
    out.back().node = drive.id;
    out.back().driver = drive.driver;
    out.back().read_only = drive.read_only;
  }
  return out;
}

// --- counters

struct Stats {
  static constexpr const char* kType = "BlockDeviceStats";
  u64 operations[4] = {}, failed[4] = {}, bytes[4] = {}, time[4] = {}, highest = 0, zero = 0;
  bool yes = true, no = false;
  std::vector<Empty> timed;  // no intervals are measured
  template <class V>
  void visit(V& v) {
    using K = block::Counters;
    v("rd_bytes", bytes[K::Read]);
    v("wr_bytes", bytes[K::Write]);
    v("unmap_bytes", bytes[K::Unmap]);
    v("rd_operations", operations[K::Read]);
    v("wr_operations", operations[K::Write]);
    v("flush_operations", operations[K::Flush]);
    v("unmap_operations", operations[K::Unmap]);
    v("rd_total_time_ns", time[K::Read]);
    v("wr_total_time_ns", time[K::Write]);
    v("flush_total_time_ns", time[K::Flush]);
    v("unmap_total_time_ns", time[K::Unmap]);
    v("wr_highest_offset", highest, "the end of the write that reached furthest");
    for (const char* merged : {"rd_merged", "wr_merged", "unmap_merged"}) v(merged, zero, "0: nothing is merged");
    v("failed_rd_operations", failed[K::Read]);
    v("failed_wr_operations", failed[K::Write]);
    v("failed_flush_operations", failed[K::Flush]);
    v("failed_unmap_operations", failed[K::Unmap]);
    for (const char* invalid :
         {"invalid_rd_operations", "invalid_wr_operations", "invalid_flush_operations", "invalid_unmap_operations"})
      v(invalid, zero, "0: they are not counted");
    v("account_invalid", no);
    v("account_failed", yes);
    v("timed_stats", timed);
  }
};
Stats stats_of(const block::Node* node) {
  Stats s;
  if (!node) return s;
  for (int k = 0; k < block::Counters::kKinds; k++) {
    const block::Counters::Row& row = node->counters.rows[k];
    s.operations[k] = row.operations, s.failed[k] = row.failed, s.bytes[k] = row.bytes, s.time[k] = row.nanoseconds;
  }
  s.highest = node->counters.highest_written;
  return s;
}

struct StatsOf {
  static constexpr const char* kType = "BlockStats";
  std::optional<std::string> device, path, node;
  Stats stats;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("qdev", path, "path of its device among the objects");
    v("node-name", node);
    v("stats", stats);
  }
};
struct StatsQuery {
  static constexpr const char* kType = "query-blockstats-arg";
  std::optional<bool> nodes;
  template <class V>
  void visit(V& v) {
    v("query-nodes", nodes, "of all nodes that have names, not of drives");
  }
};
Answer<std::vector<StatsOf>> query_stats(Context& c, StatsQuery& args) {
  std::vector<StatsOf> out;
  if (args.nodes.value_or(false)) {
    for (const machine::DriveConfig& drive : c.machine.loose_drives()) {
      if (drive.is_node) out.push_back({.node = drive.id, .stats = stats_of(node_of(c.machine, drive).get())});
    }
    return out;
  }
  for (const machine::DriveInfo& d : c.machine.drives()) {
    StatsOf row{.device = d.is_node ? "" : d.id, .path = path_of(d), .stats = stats_of(d.node.get())};
    if (d.node && !d.node_name.empty()) row.node = d.node_name;
    out.push_back(std::move(row));
  }
  return out;
}

// A drive is named by `device` (the block back end's name) or `id` (the device's).
Answer<std::string> chosen(const std::optional<std::string>& device, const std::optional<std::string>& id,
                           machine::Machine& machine) {
  if (device.has_value() == id.has_value()) return CommandError{"Need exactly one of 'device' and 'id'"};
  const std::string name = device ? *device : *id;
  for (const machine::DriveInfo& d : machine.drives()) {
    const bool same = name == d.id || name == d.path || name == path_of(d) || "/machine/peripheral/" + name == d.path ||
                      "/machine/unattached/" + name == d.path;
    if (same) return d.id;
  }
  return CommandError{"Device '" + name + "' not found (query-block lists the drives)", ErrorClass::DeviceNotFound};
}

struct Eject {
  static constexpr const char* kType = "eject-arg";
  std::optional<std::string> device, id;
  std::optional<bool> force;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("id", id, "id or path of the drive's device");
    v("force", force, "even if the guest has locked it");
  }
};
Answer<Empty> eject(Context& c, Eject& args) {
  auto name = chosen(args.device, args.id, c.machine);
  if (!name) return name.error();
  if (Status s = c.machine.eject(*name, args.force.value_or(false)); !s) return s.error();
  return Empty{};
}

struct ChangeMedium {
  static constexpr const char* kType = "blockdev-change-medium-arg";
  std::optional<std::string> device, id;
  std::string file;
  std::optional<std::string> format;
  std::optional<bool> force;
  std::optional<ReadOnlyMode> mode;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("id", id, "id or path of the drive's device");
    v("filename", file, "the new image");
    v("format", format, "its format; by default its content tells");
    v("force", force, "even if the guest has locked the drive");
    v("read-only-mode", mode, "retain: as the medium before; default");
  }
};
Answer<Empty> change_medium(Context& c, ChangeMedium& args) {
  auto name = chosen(args.device, args.id, c.machine);
  if (!name) return name.error();
  machine::MediumOptions options{.force = args.force.value_or(false), .format = args.format.value_or("")};
  const ReadOnlyMode mode = args.mode.value_or(ReadOnlyMode::retain);
  options.read_only = mode == ReadOnlyMode::read_only;
  for (const machine::DriveInfo& d : c.machine.drives()) {
    const bool same = *name == d.id || *name == d.path;
    if (mode == ReadOnlyMode::retain && same && d.node) options.read_only = d.node->read_only();
  }
  if (Status s = c.machine.change_medium(*name, args.file, options); !s) return s.error();
  return Empty{};
}

struct Tray : Eject {
  static constexpr const char* kType = "blockdev-open-tray-arg";
};
Answer<Empty> open_tray(Context& c, Tray& args) {
  auto name = chosen(args.device, args.id, c.machine);
  if (!name) return name.error();
  if (Status s = c.machine.move_tray(*name, true, args.force.value_or(false)); !s) return s.error();
  return Empty{};
}

struct CloseTray {
  static constexpr const char* kType = "blockdev-close-tray-arg";
  std::optional<std::string> device, id;
  template <class V>
  void visit(V& v) {
    v("device", device, "name of the drive");
    v("id", id, "id or path of the drive's device");
  }
};
Answer<Empty> close_tray(Context& c, CloseTray& args) {
  auto name = chosen(args.device, args.id, c.machine);
  if (!name) return name.error();
  if (Status s = c.machine.move_tray(*name, false, false); !s) return s.error();
  return Empty{};
}

struct RemoveMedium {
  static constexpr const char* kType = "blockdev-remove-medium-arg";
  std::string id;
  template <class V>
  void visit(V& v) {
    v("id", id, "id or path of the drive's device");
  }
};
Answer<Empty> remove_medium(Context& c, RemoveMedium& args) {
  auto name = chosen(std::nullopt, args.id, c.machine);
  if (!name) return name.error();
  if (Status s = c.machine.remove_medium(*name); !s) return s.error();
  return Empty{};
}

struct InsertMedium {
  static constexpr const char* kType = "blockdev-insert-medium-arg";
  std::string id, node;
  template <class V>
  void visit(V& v) {
    v("id", id, "id or path of the drive's device");
    v("node-name", node, "the medium: a node of blockdev-add");
  }
};
Answer<Empty> insert_medium(Context& c, InsertMedium& args) {
  auto name = chosen(std::nullopt, args.id, c.machine);
  if (!name) return name.error();
  if (Status s = c.machine.insert_medium(*name, args.node); !s) return s.error();
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&open_tray>("blockdev-open-tray", "open the tray of a drive"),
    command<&close_tray>("blockdev-close-tray", "close the tray of a drive, with what is in it"),
    command<&remove_medium>("blockdev-remove-medium", "take the medium out of an open tray"),
    command<&insert_medium>("blockdev-insert-medium", "put a medium into an open, empty tray"),
    command<&query_block>("query-block", "the drives and their media"),
    command<&query_named_nodes>("query-named-block-nodes", "the nodes of -blockdev and blockdev-add"),
    command<&query_stats>("query-blockstats", "what was read and written"),
    command<&eject>("eject", "take the medium out"),
    command<&change_medium>("blockdev-change-medium", "put another medium into a drive"),
};

}  // namespace

std::span<const Definition> block_commands() { return kRows; }

}  // namespace doppel::monitor

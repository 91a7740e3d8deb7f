#include "migration/folder_snapshots.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/os/files.h"
#include "block/overlay.h"
#include "block/switch.h"
#include "block/sync.h"
#include "migration/copied_process.h"
#include "migration/file_medium.h"
#include "migration/machine_state.h"

namespace doppel::migration {
namespace {
namespace fs = std::filesystem;
using block::Layer;

s64 now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void remove_all(const std::string& path) {
  std::error_code ec;
  fs::remove_all(path, ec);
}

// A snapshot that is being made; it vanishes unless it is finished.
class Draft {
 public:
  Draft(std::string folder, std::string name) : folder_(std::move(folder)), name_(std::move(name)) {}
  ~Draft() {
    if (!done_) remove_all(where());
  }
  std::string where() const { return snapshot_folder(folder_, name_) + ".partial"; }
  Status begin() const {
    if (Status s = check_name(name_); !s) return s;
    std::error_code ec;
    if (fs::exists(snapshot_folder(folder_, name_), ec))
      return Error{"there is a snapshot '" + name_ + "' already", "doppel snapshot delete, or take another name"};
    remove_all(where());
    fs::create_directories(where(), ec);
    if (ec) return Error{"can't make the folder '" + where() + "': " + ec.message(), "check the permissions there"};
    return success();
  }
  void leave() { done_ = true; }  // another process finishes it
  // Stable on the disk, then there.
  Status finish(const Record& record, bool stable = true) {
    if (Status s = write_record(where(), record); !s) return s;
    for (const char* file : {"/state", "/ram"}) {
      std::error_code ec;
      if (!stable || !fs::exists(where() + file, ec)) continue;
      if (Status s = os::sync_path(where() + file); !s) return s;
    }
    std::error_code ec;
    fs::rename(where(), snapshot_folder(folder_, name_), ec);
    if (ec) return Error{"can't make '" + snapshot_folder(folder_, name_) + "': " + ec.message(), ""};
    done_ = true;
    return os::sync_path(folder_);
  }

 private:
  std::string folder_, name_;
  bool done_ = false;
};

// --- the disks of a machine

struct Drive {
  std::string id;
  std::shared_ptr<block::Switch> place;
};

// Those that the guest may write to.
Result<std::vector<Drive>> writable_drives(machine::Machine& machine) {
  std::vector<Drive> out;
  for (const machine::DriveInfo& d : machine.drives()) {
    if (!d.node || d.node->read_only()) continue;
    auto place = std::dynamic_pointer_cast<block::Switch>(d.node);
    if (!place)
      return Error{"the disk of '" + d.id + "' can't be changed while the machine runs", "give it with -drive"};
    const auto* overlay = dynamic_cast<const block::Overlay*>(place->current().get());
    if (overlay != nullptr && overlay->base()->format() == "vvfat")
      return Error{"'" + overlay->base()->filename() +
                       "' is a folder of the host: no snapshot can hold what the guest wrote there",
                   "give it without 'rw:' and with readonly=on"};
    out.push_back({d.id, std::move(place)});
  }
  return out;
}

Status switch_to(Drive& drive, const Layer& layer) {
  const std::shared_ptr<block::Node> old = drive.place->current();
  const block::OpenOptions& how = drive.place->how();
  auto node = block::open(layer.file,
                          {.format = layer.format, .unsafe = how.unsafe, .direct = how.direct, .caches = how.caches});
  if (!node) return node.error();
  drive.place->set(node.take());
  return success();
}

// What a temporary overlay holds, as a layer on its base.
Result<Layer> store_overlay(block::Overlay& overlay) {
  const Layer base{fs::absolute(overlay.base()->filename()).string(), overlay.base()->format()};
  const std::string disk = block::disk_of(base.file);
  auto layer = block::add_layer(disk, base, overlay.size());
  if (!layer) return layer.error();
  // It is to be filled, though it is not what the machine writes to.
  auto file = block::open_unguarded(layer->file, {.format = layer->format});
  if (!file) return file.error();
  if (const int error = overlay.write_to(**file))
    return Error{"can't write '" + layer->file + "': " + std::strerror(error),
                 error == ENOSPC ? "make room there" : ""};
  return layer;
}

// The disk as it is now becomes a layer that stays; the machine goes on in a new one above it.
Result<Record::Disk> freeze(Drive& drive) {
  block::flush_sync(*drive.place);
  if (auto* overlay = dynamic_cast<block::Overlay*>(drive.place->current().get())) {
    auto layer = store_overlay(*overlay);
    if (!layer) return layer.error();
    return Record::Disk{block::disk_of(layer->file), *layer};
  }
  const Layer base{fs::absolute(drive.place->filename()).string(), drive.place->format()};
  const std::string disk = block::disk_of(base.file);
  const u64 size = drive.place->size();
  drive.place->set(nullptr);  // closed: everything of it is in its file
  auto above = block::add_layer(disk, base, size);
  Status s = above ? block::set_current(disk, *above) : Status(above.error());
  if (s) s = switch_to(drive, *above);
  if (s) return Record::Disk{disk, base};
  const Error why = s.error();
  Status back = block::set_current(disk, base);
  if (Status same = switch_to(drive, base); !same) back = same;
  return back ? why : back.error();
}

Result<std::vector<Record::Disk>> freeze_all(machine::Machine& machine) {
  auto drives = writable_drives(machine);
  if (!drives) return drives.error();
  std::vector<Record::Disk> out;
  for (Drive& drive : *drives) {
    auto disk = freeze(drive);
    if (!disk) return disk.error();
    out.push_back(disk.take());
  }
  return out;
}

// A throwaway machine's disks were stored without touching their bases, which from now on must stay as they are: what
// runs on the disk next gets a layer of its own.
Status protect_base(const Record::Disk& d) {
  const Layer now = block::current_layer({d.disk, "raw"});
  if (now.file != d.disk) return success();
  const auto chain = block::chain_of(d.layer);
  auto node = block::open(d.layer.file, {.read_only = true, .format = d.layer.format, .shared = true});
  if (!node || chain.size() < 2) return Error{"can't read '" + d.layer.file + "' again", ""};
  const auto below = (*node)->backing();
  auto layer = block::add_layer(d.disk, {chain[1], below ? below->format() : "raw"}, (*node)->size());
  if (!layer) return layer.error();
  return block::set_current(d.disk, *layer);
}

Status protect_bases(const std::vector<Record::Disk>& disks) {
  for (const Record::Disk& d : disks) {
    if (Status s = protect_base(d); !s) return s;
  }
  return success();
}

// The state into a draft; the disks follow.
Status write_state(machine::Machine& machine, const std::string& where, bool packed) {
  auto medium = FileMedium::create(where + "/state");
  if (!medium) return medium.error();
  auto bytes = save_state(machine, **medium, {.ram_file = packed ? std::string() : where + "/ram"});
  return bytes ? success() : Status(bytes.error());
}

std::string ram_file(const Record& r, const std::string& where) {
  return r.ram == Record::Ram::File ? where + "/ram" : std::string();
}

Record record_for(machine::Machine* machine, const Launch& launch, const std::string& name) {
  return {.name = name,
          .parent = present_parent(launch.folder),
          .date_seconds = now_seconds(),
          .clock_ns = machine ? machine->clock().now() : 0,
          .launch = launch};
}

}  // namespace

// --- of a machine

Status save_to_folder(machine::Machine& machine, const Launch& launch, const std::string& name,
                      const SnapshotOptions& options) {
  Draft draft(launch.folder, name);
  if (Status s = draft.begin(); !s) return s;
  Record record = record_for(&machine, launch, name);
  Status s = machine.while_stopped([&](bool&) -> Status {
    record.clock_ns = machine.clock().now();
    record.ram = options.packed ? Record::Ram::Packed : Record::Ram::File;
    if (Status written = write_state(machine, draft.where(), options.packed); !written) return written;
    auto disks = freeze_all(machine);
    if (!disks) return disks.error();
    record.disks = disks.take();
    return success();
  });
  if (!s) return s;
  if (Status done = protect_bases(record.disks); !done) return done;
  if (Status done = draft.finish(record); !done) return done;
  return set_present_parent(launch.folder, name);
}

Status restore_from_folder(machine::Machine& machine, const Launch& launch, const std::string& name) {
  auto record = read_record(launch.folder, name);
  if (!record) return record.error();
  if (!record->has_state())
    return Error{"the snapshot '" + name + "' holds the disks only: a running machine can't go back to it",
                 "switch the machine off, then restore it"};
  const std::string where = snapshot_folder(launch.folder, name);
  auto medium = FileMedium::open(where + "/state");
  if (!medium) return medium.error();
  Status s = machine.while_stopped([&](bool& stay) -> Status {
    auto load = StateLoad::prepare(machine, **medium, ram_file(*record, where));
    if (!load) return load.error();
    auto drives = writable_drives(machine);
    if (!drives) return drives.error();
    for (const Drive& drive : *drives) {
      if (dynamic_cast<block::Overlay*>(drive.place->current().get()))
        return Error{"the machine's disks are thrown away at its end: it can't go back to a snapshot",
                     "doppel run --restore " + name};
    }
    stay = true;
    for (Drive& drive : *drives) block::flush_sync(*drive.place);
    if (auto before = return_disks(*record); !before) return before.error();
    for (Drive& drive : *drives) {
      const std::string disk = block::disk_of(drive.place->filename());
      if (Status moved = switch_to(drive, block::current_layer({disk, "raw"})); !moved) return moved;
    }
    if (Status loaded = load->finish(); !loaded) return loaded;
    stay = false;
    return success();
  });
  if (!s) return s;
  collect_layers(launch.folder);
  return set_present_parent(launch.folder, name);
}

Status start_from_folder(machine::Machine& machine, const std::string& folder, const Record& record) {
  const std::string where = snapshot_folder(folder, record.name);
  auto medium = FileMedium::open(where + "/state");
  if (!medium) return medium.error();
  return machine.while_stopped([&](bool&) -> Status {
    auto load = StateLoad::prepare(machine, **medium, ram_file(record, where));
    if (!load) return load.error();
    return load->finish();
  });
}

Status keep_throwaway(machine::Machine& machine, const Launch& launch, const std::string& name) {
  Draft draft(launch.folder, name);
  if (Status s = draft.begin(); !s) return s;
  Record record = record_for(&machine, launch, name);
  Status s = machine.while_stopped([&](bool&) -> Status {
    if (!machine.guest_is_off()) {
      record.ram = Record::Ram::File;
      if (Status written = write_state(machine, draft.where(), false); !written) return written;
    }
    auto drives = writable_drives(machine);
    if (!drives) return drives.error();
    for (const Drive& drive : *drives) {
      auto* overlay = dynamic_cast<block::Overlay*>(drive.place->current().get());
      if (!overlay) continue;
      auto layer = store_overlay(*overlay);
      if (!layer) return layer.error();
      record.disks.push_back({block::disk_of(layer->file), *layer});
    }
    return success();
  });
  if (!s) return s;
  if (Status done = protect_bases(record.disks); !done) return done;
  return draft.finish(record);
}

// --- clones

namespace {
constexpr const char* kStart = "start";  // the snapshot that a clone begins with

// The clone's disks: the first is `file`, others are called after it.
Result<std::vector<Launch::Replacement>> make_clone_disks(const std::vector<Record::Disk>& disks,
                                                          const std::string& file) {
  std::vector<Launch::Replacement> out;
  std::error_code ec;
  for (size_t i = 0; i < disks.size(); i++) {
    const fs::path whole = fs::absolute(file);
    const std::string path =
        i == 0 ? whole.string()
               : (whole.parent_path() / (whole.stem().string() + "-" + std::to_string(i + 1) + ".qcow2")).string();
    if (fs::exists(path, ec)) return Error{"'" + path + "' exists already", "take another name for the clone"};
    auto size = block::size_of(disks[i].layer);
    if (!size) return size.error();
    if (Status s = block::create_on(path, disks[i].layer, *size); !s) return s.error();
    if (Status s = add_clone(block::layers_folder(disks[i].disk), path); !s) return s.error();
    out.push_back({disks[i].disk, {path, "qcow2"}});
  }
  return out;
}

Launch clone_launch(const Launch& from, const std::string& file, std::vector<Launch::Replacement> replaced) {
  Launch launch = from;
  launch.folder = block::layers_folder(file);
  // A clone's clone: its disks take the place of the first machine's.
  for (const Launch::Replacement& old : from.replaced) {
    for (Launch::Replacement& r : replaced) {
      if (r.disk == block::disk_of(old.by.file)) r.disk = old.disk;
    }
  }
  launch.replaced = std::move(replaced);
  return launch;
}

Status check_new(const std::string& file) {
  std::error_code ec;
  if (fs::exists(file, ec) || fs::exists(block::layers_folder(file), ec))
    return Error{"'" + file + "' exists already", "take another name for the clone"};
  return success();
}

// What the clone's own snapshot says of its disks: they begin as they are now.
std::vector<Record::Disk> disks_of_clone(const std::vector<Launch::Replacement>& replaced) {
  std::vector<Record::Disk> out;
  for (const Launch::Replacement& r : replaced) out.push_back({r.by.file, r.by});
  return out;
}
}  // namespace

namespace {
constexpr const char* kWriting = "/writing";  // held by the process that writes the clone's memory

// What is left when the disks are there: the state and the memory, and the snapshot with its record.
Status finish_clone(Draft& draft, const Record& record, const StateParts& parts, const mem::RamBlock* ram) {
  auto medium = FileMedium::create(draft.where() + "/state");
  if (!medium) return medium.error();
  auto bytes = write_parts(parts, ram, **medium, {.ram_file = draft.where() + "/ram"});
  if (!bytes) return bytes.error();
  std::error_code ec;
  fs::remove(draft.where() + kWriting, ec);
  // It may start at once; the host writes its memory to the disk in its own time.
  return draft.finish(record, false);
}

// The clone's disks, on what the machine's are now.
Status make_clone(machine::Machine& machine, const Launch& launch, const std::string& file, Record& record) {
  auto disks = freeze_all(machine);
  if (!disks) return disks.error();
  if (Status s = protect_bases(*disks); !s) return s;
  auto replaced = make_clone_disks(*disks, file);
  if (!replaced) return replaced.error();
  record = record_for(&machine, launch, kStart);
  record.ram = Record::Ram::File;
  record.parent.clear();
  record.launch = clone_launch(launch, file, replaced.take());
  record.disks = disks_of_clone(record.launch.replaced);
  return success();
}
}  // namespace

// The machine stands still while its disks get new layers; its memory is written by a copy of the process.
Status clone_machine(machine::Machine& machine, const Launch& launch, const std::string& file) {
  if (Status s = check_new(file); !s) return s;
  Draft draft(block::layers_folder(file), kStart);
  if (Status s = draft.begin(); !s) return s;
  return machine.while_stopped([&](bool&) -> Status {
    auto parts = take_parts(machine);
    if (!parts) return parts.error();
    Record record;
    if (Status s = make_clone(machine, launch, file, record); !s) return s;
    const mem::RamBlock* ram = machine.ram();
    const bool shared = ram != nullptr && ram->backing == mem::RamBlock::Backing::File;
    const auto finish = [&] { return finish_clone(draft, record, *parts, ram); };
    if (!shared && run_in_copy(draft.where() + kWriting, finish)) {
      draft.leave();
    } else if (Status s = finish(); !s) {
      return s;
    }
    return set_pending(record.launch.folder, kStart);
  });
}

Status wait_for_snapshot(const std::string& folder, const std::string& name, const std::function<void()>& busy) {
  std::error_code ec;
  if (fs::exists(snapshot_folder(folder, name), ec)) return success();
  if (Status s = wait_for_copy(snapshot_folder(folder, name) + ".partial" + kWriting, busy); !s)
    return Error{"the memory of the clone could not be written: " + s.error().cause, "make the clone again"};
  return success();
}

// --- without a machine

namespace {
Result<std::vector<Record::Disk>> freeze_files(const std::vector<Layer>& disks) {
  std::vector<Record::Disk> out;
  for (const Layer& disk : disks) {
    const Layer now = block::current_layer(disk);
    // Nobody writes to it now: the lock says so.
    auto node = block::open(now.file, {.format = now.format});
    if (!node) return node.error();
    const u64 size = (*node)->size();
    node = std::shared_ptr<block::Node>();
    auto above = block::add_layer(disk.file, now, size);
    if (!above) return above.error();
    if (Status s = block::set_current(disk.file, *above); !s) return s.error();
    out.push_back({block::disk_of(disk.file), now});
  }
  return out;
}
}  // namespace

Status save_disks(const Launch& launch, const std::vector<Layer>& disks, const std::string& name) {
  Draft draft(launch.folder, name);
  if (Status s = draft.begin(); !s) return s;
  Record record = record_for(nullptr, launch, name);
  auto frozen = freeze_files(disks);
  if (!frozen) return frozen.error();
  record.disks = frozen.take();
  if (Status s = draft.finish(record); !s) return s;
  return set_present_parent(launch.folder, name);
}

Status clone_disks(const Launch& launch, const std::vector<Layer>& disks, const std::string& file) {
  if (Status s = check_new(file); !s) return s;
  auto frozen = freeze_files(disks);
  if (!frozen) return frozen.error();
  auto replaced = make_clone_disks(*frozen, file);
  if (!replaced) return replaced.error();
  Draft draft(block::layers_folder(file), kStart);
  if (Status s = draft.begin(); !s) return s;
  Record record = record_for(nullptr, launch, kStart);
  record.parent.clear();
  record.launch = clone_launch(launch, file, replaced.take());
  record.disks = disks_of_clone(record.launch.replaced);
  return draft.finish(record);
}

Result<std::vector<Record::Disk>> return_disks(const Record& record) {
  std::vector<Record::Disk> before;
  for (const Record::Disk& d : record.disks) {
    auto size = block::size_of(d.layer);
    if (!size) return size.error();
    auto layer = block::add_layer(d.disk, d.layer, *size);
    if (!layer) return layer.error();
    const Layer now = block::current_layer({d.disk, d.layer.file == d.disk ? d.layer.format : "raw"});
    if (Status s = block::set_current(d.disk, *layer); !s) return s.error();
    before.push_back({d.disk, now});
  }
  return before;
}

Status delete_from_folder(const std::string& folder, const std::string& name) {
  auto record = read_record(folder, name);
  std::error_code ec;
  if (!record && (!check_name(name) || !fs::exists(snapshot_folder(folder, name), ec))) return record.error();
  // Children go up to its parent.
  for (Record child : all_records(folder)) {
    if (!record || child.parent != name) continue;
    child.parent = record->parent;
    if (Status s = write_record(snapshot_folder(folder, child.name), child); !s) return s;
  }
  if (present_parent(folder) == name) {
    if (Status s = set_present_parent(folder, record ? record->parent : ""); !s) return s;
  }
  if (pending(folder) == name) {
    if (Status s = set_pending(folder, ""); !s) return s;
  }
  const std::string gone = snapshot_folder(folder, name) + ".partial";  // half deleted: nobody takes it for a snapshot
  remove_all(gone);
  fs::rename(snapshot_folder(folder, name), gone, ec);
  if (ec) return Error{"can't delete '" + snapshot_folder(folder, name) + "': " + ec.message(), ""};
  remove_all(gone);
  collect_layers(folder, record ? record->disks : std::vector<Record::Disk>());
  return success();
}

namespace {
// What is there, and what is needed of it.
struct LayerMap {
  std::vector<std::string> folders;
  std::set<std::string> roots, needed;                    // files that somebody names; those, and what they stand on
  std::map<std::string, std::set<std::string>> children;  // that stand on a file
};

// Snapshots whose folders lie beside these: another machine may use the same disks.
std::vector<Record> records_beside(const std::vector<std::string>& folders) {
  std::set<fs::path> places;
  for (const std::string& f : folders) places.insert(fs::path(f).parent_path());
  std::vector<Record> out;
  for (const fs::path& place : places) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(place, ec)) {
      if (!entry.path().string().ends_with(".snapshots")) continue;
      for (Record& r : all_records(entry.path().string())) out.push_back(std::move(r));
    }
  }
  return out;
}

LayerMap map_layers(const std::string& folder, const std::vector<Record::Disk>& disks) {
  LayerMap map{.folders = {folder}, .roots = {}, .needed = {}, .children = {}};
  std::vector<Layer> roots;
  for (const Record::Disk& d : disks) map.folders.push_back(block::layers_folder(d.disk));
  for (const Record& r : all_records(folder)) {
    for (const Record::Disk& d : r.disks) map.folders.push_back(block::layers_folder(d.disk));
  }
  for (const Record& r : records_beside(map.folders)) {
    for (const Record::Disk& d : r.disks) roots.push_back(d.layer);
  }
  for (const std::string& f : map.folders) {
    roots.push_back(block::current_layer({f.substr(0, f.rfind('.')), "raw"}));
    for (const std::string& clone : clones(f)) {
      roots.push_back({clone, "qcow2"});
      for (const Record& r : all_records(block::layers_folder(clone))) {
        for (const Record::Disk& d : r.disks) roots.push_back(d.layer);
      }
      roots.push_back(block::current_layer({clone, "qcow2"}));
    }
  }
  for (const Layer& root : roots) {
    std::error_code ec;
    if (!fs::exists(root.file, ec)) continue;
    const auto chain = block::chain_of(root);
    map.needed.insert(chain.begin(), chain.end());
    if (!chain.empty()) map.roots.insert(chain.front());
    for (size_t i = 1; i < chain.size(); i++) map.children[chain[i]].insert(chain[i - 1]);
  }
  return map;
}

// Calls fn for every layer's file.
template <typename Fn>
void for_layers(const LayerMap& map, Fn fn) {
  for (const std::string& f : map.folders) {
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(f, ec)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("layer-") && name.ends_with(".qcow2")) fn(entry.path().string());
    }
  }
}

// A layer that nobody names and that only one other stands on goes into that one. False: there is none that can.
bool merge_one(const LayerMap& map, std::set<std::string>& tried) {
  std::string layer, child;
  for_layers(map, [&](const std::string& file) {
    const auto on_it = map.children.find(file);
    const bool single = on_it != map.children.end() && on_it->second.size() == 1;
    if (!single || map.roots.contains(file) || tried.contains(file)) return;
    layer = file;
    child = *on_it->second.begin();
  });
  if (layer.empty()) return false;
  tried.insert(layer);
  std::error_code ec;
  if (block::take_out(child, layer)) fs::remove(layer, ec);  // else it is in use: another time
  return true;
}
}  // namespace

void collect_layers(const std::string& folder, const std::vector<Record::Disk>& disks) {
  std::set<std::string> tried;
  do {
    const LayerMap map = map_layers(folder, disks);
    for_layers(map, [&](const std::string& file) {
      std::error_code ec;
      if (!map.needed.contains(file)) fs::remove(file, ec);
    });
  } while (merge_one(map_layers(folder, disks), tried));
}

Status verify_in_folder(const std::string& folder, const Record& record) {
  for (const Record::Disk& d : record.disks) {
    if (auto size = block::size_of(d.layer); !size) return size.error();
  }
  if (!record.has_state()) return success();
  const std::string where = snapshot_folder(folder, record.name);
  auto medium = FileMedium::open(where + "/state");
  if (!medium) return medium.error();
  return verify_state(**medium, ram_file(record, where));
}

}  // namespace doppel::migration

#include "migration/internal_snapshots.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/page_vector.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/snapshots.h"
#include "block/switch.h"
#include "migration/machine_state.h"

namespace doppel::migration {
namespace {
using block::qcow2::Image;
using block::qcow2::Qcow2;
using block::qcow2::Snapshot;
constexpr size_t kBuffer = size_t{1} << 20;

struct Disk {
  std::string id;
  std::shared_ptr<Qcow2> image;
};

// Those that the guest can write to: all of them must be able to have snapshots.
Result<std::vector<Disk>> snapshot_disks(machine::Machine& machine) {
  std::vector<Disk> disks;
  for (const machine::DriveInfo& d : machine.drives()) {
    if (!d.node || d.node->read_only()) continue;
    auto image = std::dynamic_pointer_cast<Qcow2>(block::behind_switch(d.node));
    if (!image || !image->data_file().empty())
      return Error{"Device '" + d.id + "' is writable but does not support snapshots",
                   "use a qcow2 image: doppel img convert -O qcow2; or doppel snapshot, which takes any disk"};
    disks.push_back({d.id, std::move(image)});
  }
  if (disks.empty()) return Error{"No block device can accept snapshots", "give the machine a qcow2 disk"};
  return disks;
}

Result<std::vector<Disk>> chosen_disks(machine::Machine& machine, const ChosenDisks& wanted) {
  std::vector<Disk> disks;
  const std::vector<machine::DriveInfo> drives = machine.drives();
  for (const std::string& name : wanted.names) {
    const auto d = std::find_if(drives.begin(), drives.end(), [&](const machine::DriveInfo& drive) {
      return drive.node && (drive.id == name || drive.node_name == name);
    });
    if (d == drives.end()) return Error{"No block device node '" + name + "'", "query-block lists them"};
    auto image = std::dynamic_pointer_cast<Qcow2>(block::behind_switch(d->node));
    if (!image || image->read_only() || !image->data_file().empty())
      return Error{"Device '" + name + "' is writable but does not support snapshots", "use a qcow2 image"};
    const auto same = [&](const Disk& disk) { return disk.image == image; };
    if (std::any_of(disks.begin(), disks.end(), same)) continue;
    const bool first = name == wanted.vmstate;
    disks.insert(first ? disks.begin() : disks.end(), {name, std::move(image)});
  }
  if (!wanted.vmstate.empty() && (disks.empty() || disks.front().id != wanted.vmstate))
    return Error{"vmstate block device '" + wanted.vmstate + "' does not exist", "it has to be one of the devices"};
  if (disks.empty()) return Error{"No block device can accept snapshots", "name a qcow2 disk"};
  return disks;
}

Result<std::vector<Snapshot>> rows_of(const Disk& disk) {
  return disk.image->locked([](Image& image) -> Result<std::vector<Snapshot>> {
    auto table = load_snapshots(image);
    if (!table) return table.error();
    return std::move(table->rows);
  });
}

const Snapshot* named(const std::vector<Snapshot>& rows, const std::string& name) {
  const auto it = std::find_if(rows.begin(), rows.end(), [&](const Snapshot& s) { return s.info.name == name; });
  return it == rows.end() ? nullptr : &*it;
}

// The state behind a disk, or in a snapshot of it. Writes come in order and are gathered.
class BehindDisk final : public Medium {
 public:
  explicit BehindDisk(Disk disk) : disk_(std::move(disk)) {}
  BehindDisk(Disk disk, Snapshot snapshot, std::vector<u64> l1)
      : disk_(std::move(disk)), snapshot_(std::move(snapshot)), l1_(std::move(l1)) {}

  int write(u64, std::span<const u8> data) override {
    buffer_.insert(buffer_.end(), data.begin(), data.end());
    return buffer_.size() < kBuffer ? 0 : finish();
  }
  int finish() {
    const int error = disk_.image->locked([&](Image& image) { return write_vm_state(image, written_, buffer_); });
    written_ += buffer_.size();
    buffer_.clear();
    return error;
  }
  int read(u64 offset, std::span<u8> data) override {
    return disk_.image->locked([&](Image& image) { return read_vm_state(image, snapshot_, l1_, offset, data); });
  }
  std::string name() const override {
    return (snapshot_.info.name.empty() ? "the image " : "the snapshot '" + snapshot_.info.name + "' of ") +
           disk_.image->filename();
  }

 private:
  Disk disk_;
  Snapshot snapshot_;
  std::vector<u64> l1_;
  PageVector buffer_;
  u64 written_ = 0;
};

Status create_all(const std::vector<Disk>& disks, const std::string& name, block::qcow2::MachineFacts facts) {
  for (const Disk& disk : disks) {
    auto rows = rows_of(disk);
    if (!rows) return rows.error();
    const Snapshot* old = named(*rows, name);
    Status s = disk.image->locked([&](Image& image) -> Status {
      if (Status made = create_snapshot(image, name, facts); !made || old == nullptr) return made;
      return block::qcow2::delete_snapshot(image, old->info.id);
    });
    if (!s) return Error{"Error while creating snapshot on '" + disk.id + "': " + s.error().cause, s.error().fix};
    facts.state_bytes = 0;  // the first disk has it
  }
  return success();
}

Status write_state(machine::Machine& machine, const std::string& name, const std::vector<Disk>& disks) {
  BehindDisk medium(disks.front());
  auto bytes = save_state(machine, medium);
  if (!bytes) return bytes.error();
  if (const int error = medium.finish())
    return Error{"can't write the state: " + std::string(std::strerror(error)), ""};
  block::qcow2::MachineFacts facts{.state_bytes = *bytes, .clock_ns = static_cast<u64>(machine.clock().now())};
  facts.icount.reset();
  if (machine.config().accel.icount_shift >= 0) facts.icount = machine.vcpus().front()->icount();
  return create_all(disks, name, facts);
}

std::string generated_name() {
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  char text[40] = "vm";
  if (localtime_r(&now, &tm) != nullptr) std::strftime(text, sizeof text, "vm-%Y%m%d%H%M%S", &tm);
  return text;
}

// The disk whose snapshot has the state, and that snapshot.
Result<BehindDisk> find_state(const std::vector<Disk>& disks, const std::string& name) {
  std::optional<BehindDisk> found;
  for (const Disk& disk : disks) {
    auto rows = rows_of(disk);
    if (!rows) return rows.error();
    const Snapshot* row = named(*rows, name);
    if (row == nullptr)
      return Error{"Snapshot '" + name + "' does not exist in one or more devices", "info snapshots lists them"};
    if (found || row->info.vm_state_size == 0) continue;
    std::vector<u64> l1;
    const int error = disk.image->locked([&](Image& image) { return load_l1(image, *row, l1); });
    if (error != 0) return Error{"can't read '" + disk.image->filename() + "': " + std::strerror(error), ""};
    l1.resize(std::max<u64>(l1.size(), 1));
    found.emplace(disk, *row, std::move(l1));
  }
  if (!found) return Error{"This is a disk-only snapshot. Revert to it offline using qemu-img", ""};
  return std::move(*found);
}

Status read_state(machine::Machine& machine, const std::string& name, const std::vector<Disk>& disks, bool& stay) {
  auto medium = find_state(disks, name);
  if (!medium) return medium.error();
  auto load = StateLoad::prepare(machine, *medium);
  if (!load) return load.error();
  stay = true;  // until all is there
  for (const Disk& disk : disks) {
    Status s = disk.image->locked([&](Image& image) { return apply_snapshot(image, name); });
    if (!s) return Error{"Error while activating snapshot on '" + disk.id + "': " + s.error().cause, s.error().fix};
  }
  if (Status s = load->finish(); !s) return s;
  stay = false;
  return success();
}

Status remove_from(const std::vector<Disk>& disks, const std::string& name) {
  bool any = false;
  for (const Disk& disk : disks) {
    auto rows = rows_of(disk);
    if (!rows) return rows.error();
    const Snapshot* row = named(*rows, name);
    if (row == nullptr) continue;
    any = true;
    Status s = disk.image->locked([&](Image& image) { return block::qcow2::delete_snapshot(image, row->info.id); });
    if (!s) return Error{"Error while deleting snapshot on '" + disk.id + "': " + s.error().cause, s.error().fix};
  }
  if (any) return success();
  return Error{"Snapshot '" + name + "' does not exist in one or more devices", "info snapshots lists them"};
}

// Runs `work` on the disks that `find` gives, with the machine stopped.
template <typename Find, typename Work>
Status on_disks(machine::Machine& machine, Find find, Work work) {
  return machine.while_stopped([&](bool& stay) -> Status {
    auto disks = find();
    if (!disks) return disks.error();
    return work(*disks, stay);
  });
}

}  // namespace

Status save_snapshot(machine::Machine& machine, const std::string& name) {
  const std::string given = name.empty() ? generated_name() : name;
  return on_disks(
      machine, [&] { return snapshot_disks(machine); },
      [&](const std::vector<Disk>& disks, bool&) { return write_state(machine, given, disks); });
}

Status load_snapshot(machine::Machine& machine, const std::string& name) {
  return on_disks(
      machine, [&] { return snapshot_disks(machine); },
      [&](const std::vector<Disk>& disks, bool& stay) { return read_state(machine, name, disks, stay); });
}

Status delete_snapshot(machine::Machine& machine, const std::string& name) {
  return on_disks(
      machine, [&] { return snapshot_disks(machine); },
      [&](const std::vector<Disk>& disks, bool&) { return remove_from(disks, name); });
}

Status save_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& wanted) {
  return on_disks(
      machine, [&] { return chosen_disks(machine, wanted); },
      [&](const std::vector<Disk>& disks, bool&) -> Status {
        for (const Disk& disk : disks) {
          auto rows = rows_of(disk);
          if (!rows) return rows.error();
          if (named(*rows, name) != nullptr)
            return Error{"Snapshot '" + name + "' already exists in one or more devices",
                         "delete it, or take another name"};
        }
        return write_state(machine, name, disks);
      });
}

Status load_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& wanted) {
  return on_disks(
      machine, [&] { return chosen_disks(machine, wanted); },
      [&](const std::vector<Disk>& disks, bool& stay) { return read_state(machine, name, disks, stay); });
}

Status delete_snapshot_on(machine::Machine& machine, const std::string& name, const ChosenDisks& wanted) {
  return on_disks(
      machine, [&] { return chosen_disks(machine, wanted); },
      [&](const std::vector<Disk>& disks, bool&) { return remove_from(disks, name); });
}

SnapshotList list_snapshots(machine::Machine& machine) {
  SnapshotList list;
  auto disks = snapshot_disks(machine);
  if (!disks) return list;
  list.possible = true;
  std::vector<std::vector<Snapshot>> rows;
  for (const Disk& disk : *disks) {
    auto r = rows_of(disk);
    rows.push_back(r ? r.take() : std::vector<Snapshot>());
  }
  const auto everywhere = [&](const std::string& name) {
    return std::all_of(rows.begin(), rows.end(), [&](auto& r) { return named(r, name) != nullptr; });
  };
  for (size_t i = 0; i < rows.size(); i++) {
    SnapshotList::Partial partial{.disk = (*disks)[i].id, .rows = {}};
    for (const Snapshot& s : rows[i]) {
      if (!everywhere(s.info.name)) partial.rows.push_back(s.info);
      if (everywhere(s.info.name) && i == 0) list.on_all.push_back(s.info);
    }
    if (!partial.rows.empty()) list.on_some.push_back(std::move(partial));
  }
  return list;
}

std::string describe(const SnapshotList& list) {
  if (!list.possible) return "No available block device supports snapshots\n";
  if (list.on_all.empty() && list.on_some.empty()) return "There is no snapshot available.\n";
  std::string text;
  if (list.on_all.empty()) {
    text = "There is no suitable snapshot available\n";
  } else {
    std::vector<block::SnapshotInfo> rows = list.on_all;
    for (block::SnapshotInfo& s : rows) s.id = "--";  // each disk counts for itself
    text = "List of snapshots present on all disks:\n" + block::snapshot_table(rows);
  }
  for (const SnapshotList::Partial& p : list.on_some)
    text += "\nList of partial (non-loadable) snapshots on '" + p.disk + "':\n" + block::snapshot_table(p.rows);
  return text;
}

}  // namespace doppel::migration

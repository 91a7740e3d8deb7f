// Snapshots in the machine's folder, for `doppel snapshot` and `doppel clone`.
#include "migration/folder_snapshots.h"

#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct SaveArguments {
  static constexpr const char* kType = "x-snapshot-save-arg";
  std::string name;
  std::optional<bool> packed;
  template <class V>
  void visit(V& v) {
    v("name", name, "of the snapshot");
    v("packed", packed, "memory compressed: smaller, and slower to go back to");
  }
};
struct NameArguments {
  static constexpr const char* kType = "x-snapshot-restore-arg";
  std::string name;
  template <class V>
  void visit(V& v) {
    v("name", name, "of the snapshot");
  }
};
struct CloneArguments {
  static constexpr const char* kType = "x-clone-arg";
  std::string file;
  template <class V>
  void visit(V& v) {
    v("file", file, "the clone's disk, which is made");
  }
};

Answer<Empty> run(Context& c, const std::function<Status(const migration::Launch&)>& work) {
  const migration::Launch& launch = c.services.launch;
  if (launch.folder.empty())
    return CommandError{
        "this machine has no folder for snapshots: it was not started by doppel run (savevm keeps its state in a qcow2 "
        "disk)"};
  const std::lock_guard guard(c.services.change_lock);
  const Status s = work(launch);
  if (!s) return s.error();
  return Empty{};
}

Answer<Empty> save(Context& c, SaveArguments& a) {
  return run(c, [&](const migration::Launch& launch) {
    return migration::save_to_folder(c.machine, launch, a.name, {.packed = a.packed.value_or(false)});
  });
}
Answer<Empty> restore(Context& c, NameArguments& a) {
  return run(
      c, [&](const migration::Launch& launch) { return migration::restore_from_folder(c.machine, launch, a.name); });
}
Answer<Empty> clone(Context& c, CloneArguments& a) {
  return run(c, [&](const migration::Launch& launch) { return migration::clone_machine(c.machine, launch, a.file); });
}

constexpr Definition kRows[] = {
    command<&save>("x-snapshot-save", "keep the machine's state and its disks in its folder"),
    command<&restore>("x-snapshot-restore", "go back to such a state"),
    command<&clone>("x-clone", "make another machine that begins as this one is now"),
};

}  // namespace

std::span<const Definition> snapshot_commands() { return kRows; }

}  // namespace doppel::monitor

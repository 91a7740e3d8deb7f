// The state of a machine as a whole: stopping it for that, and the order in which things are saved and loaded.
// Loading: the machine is reset, so that every line is low; the clock; the devices in the order they were made, those
// that collect others' interrupt lines last; what is the board's; the CPUs, whose pending events were saved with them.
#include <algorithm>

#include "machine/board_machine.h"

namespace doppel::machine {

Status BoardMachine::while_stopped(const StoppedWork& work) {
  const std::lock_guard run(run_lock_);
  if (state() == RunState::IoError && !exited())
    return Error{"a request that a disk failed waits for the machine to go on",
                 "make room on the host's disk and 'cont', or 'system_reset'"};
  const bool was_running = state() == RunState::Running && !exited();
  if (was_running) {
    pause_vcpus();
    set_state(RunState::Paused);
  } else {
    const std::lock_guard guard(device_lock_);
    for (auto& device : owned_) device->sleep();
  }
  bool stay = false;
  Status done = work(stay);
  if (was_running && !stay && !exited()) {
    set_state(RunState::Running);
    resume_vcpus();
  }
  return done;
}

void BoardMachine::archive(StateArchive& ar) {
  if (ar.loading()) reset_devices(true);
  s64 now = clock_.now();
  ar.field("clock", now);
  if (ar.loading()) clock_.set(now);
  archive_devices(ar);
  ar.section("board", [&] { archive_board(ar); });
  for (size_t i = 0; i < vcpus_.size(); i++) {
    accel::Vcpu& vcpu = *vcpus_[i];
    ar.section("cpu" + std::to_string(i), [&] { vcpu.run_on([&] { vcpu.cpu().archive(ar); }); });
  }
  if (!ar.loading()) return;
  loaded();
  for (auto& vcpu : vcpus_) vcpu->drop_code();
  if (state() == RunState::Shutdown && !exited()) set_state(RunState::Paused);
}

void BoardMachine::archive_devices(StateArchive& ar) {
  const std::lock_guard guard(device_lock_);
  const std::vector<std::string> last = collectors();
  const auto visit = [&](const std::string& name, hw::Device& device) {
    ar.section("device/" + name, [&] { device.archive(ar); });
  };
  for (auto& device : owned_) {
    const auto named =
        std::find_if(devices_.begin(), devices_.end(), [&](auto& d) { return d.second == device.get(); });
    if (named == devices_.end() || std::find(last.begin(), last.end(), named->first) != last.end()) continue;
    visit(named->first, *device);
  }
  for (const std::string& name : last) {
    if (const auto it = devices_.find(name); it != devices_.end()) visit(name, *it->second);
  }
}

}  // namespace doppel::machine

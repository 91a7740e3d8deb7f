// What of the `pc` board's state is no device's.
#include "machine/pc.h"

namespace doppel::machine {

void PcMachine::archive_board(StateArchive& ar) {
  bool a20 = a20_.load();
  ar.field("a20", a20);
  if (ar.loading()) set_a20(a20);
  const std::lock_guard guard(device_lock_);
  pc_memory_.archive(ar);
}

// SMRAM is shown while a CPU is in SMM.
void PcMachine::loaded() {
  for (u32 i = 0; i < cpus_.size(); i++) platform_.smi_entered(i, cpus_[i]->state().smm != 0);
}

std::vector<std::string> PcMachine::collectors() const {
  std::vector<std::string> names = {"pic", "ioapic"};
  for (u32 i = 0; i < cpus_.size(); i++) names.push_back("apic" + std::to_string(i));
  return names;
}

}  // namespace doppel::machine

#include "machine/none.h"

namespace doppel::machine {
namespace {
Error no_drive(const std::string& id) { return {"there is no drive '" + id + "'", "the board none has no drives"}; }
}  // namespace

NoneMachine::NoneMachine(MachineConfig config) : BoardMachine(std::move(config)) {}
NoneMachine::~NoneMachine() { shut_down(); }

Status NoneMachine::check() const {
  const char* const fix = "choose another with -machine, or leave it out";
  if (!config_.devices.empty()) return Error{"the board none has no place for " + config_.devices[0].driver, fix};
  if (!config_.kernel.empty()) return Error{"the board none has no CPU to run a kernel", fix};
  if (config_.accel.icount_shift >= 0) return Error{"-icount counts instructions, and the board none has no CPU", fix};
  for (const DriveConfig& drive : config_.drives) {
    if (drive.interface != "none") return Error{"the board none has no place for the drive " + drive.file, fix};
  }
  return success();
}

Status NoneMachine::change_medium(const std::string& id, const std::string&, const MediumOptions&) {
  return no_drive(id);
}
Status NoneMachine::eject(const std::string& id, bool) { return no_drive(id); }

}  // namespace doppel::machine

// The debugger's server of a machine, over TCP or a unix socket.
#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "machine/machine.h"

namespace doppel::gdbstub {

class MachineServer {
 public:
  virtual ~MachineServer() = default;
};
// spec: "tcp::1234", "tcp:HOST:PORT", "unix:PATH". Errors name who holds a port where that can be found out.
Result<std::unique_ptr<MachineServer>> start(machine::Machine& machine, const std::string& spec);

}  // namespace doppel::gdbstub

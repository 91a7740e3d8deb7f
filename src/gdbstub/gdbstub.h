// GDB remote serial protocol over TCP or a unix socket (GDB manual, appendix E).
#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "machine/machine.h"

namespace doppel::gdbstub {

class Server {
 public:
  virtual ~Server() = default;
};
// spec: "tcp::1234", "tcp:HOST:PORT", "unix:PATH". Errors name who holds a port where that can be found out.
Result<std::unique_ptr<Server>> start(machine::Machine& machine, const std::string& spec);

}  // namespace doppel::gdbstub

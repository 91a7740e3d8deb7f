// A state that goes through a descriptor once, from its first byte to its last: to a pipe, a program or a file (QMP's
// migrate), and back (-incoming). Where they lead is written as QEMU's clients write it:
//   fd:N          an open descriptor, or one that getfd has named
//   exec:COMMAND  a program's input or output, run by /bin/sh
//   file:PATH[,offset=BYTES]
#pragma once
#include <atomic>
#include <functional>
#include <memory>

#include "migration/state_stream.h"

namespace doppel::migration {

// Gives the descriptor of a name (getfd's), which is the caller's from then on; -1: there is none.
using TakeDescriptor = std::function<int(const std::string& name)>;

class Outgoing : public Medium {
 public:
  static Result<std::unique_ptr<Outgoing>> open(const std::string& address, const TakeDescriptor& take,
                                                const std::atomic<bool>& cancelled);
  virtual Status close() = 0;  // all is written; waits for a program
  virtual u64 written() const = 0;
};

class Incoming : public Medium {
 public:
  // Does not read yet.
  static Result<std::unique_ptr<Incoming>> open(const std::string& address, const TakeDescriptor& take);
  // Reads to the end, into a file without a name: a state is verified as a whole before anything of it is used.
  virtual Status receive() = 0;
};

}  // namespace doppel::migration

// The machine protocol on a character device: JSON requests in, answers and events out. A client can be slow, dead or
// hostile: the machine never waits for it, and what is kept for it is bounded.
//
// Input arrives on the I/O thread and is cut into requests (Splitter); a thread of the session runs them in order. When
// kMostRequests wait, or the client does not take its answers, no more input is read. Events that come while more than
// kMostPending bytes wait are left out.
#pragma once
#include <memory>

#include "chardev/chardev.h"
#include "monitor/commands/context.h"

namespace doppel::monitor {

class Qmp {
 public:
  Qmp(Services& services, std::shared_ptr<chardev::Chardev> device, bool pretty);
  ~Qmp();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace doppel::monitor

// A debugger's server: one client at a time, on a thread of its own. Who stops wakes it; it then stops the others and
// answers the debugger.
#pragma once
#include <atomic>
#include <memory>
#include <thread>

#include "base/os/socket.h"
#include "gdbstub/debuggee.h"

namespace doppel::gdbstub {

class Server {
 public:
  // The thread begins with start(): who stops may have to know wake() before.
  Server(Debuggee& debuggee, std::unique_ptr<os::Listener> listener);
  ~Server();
  void start();
  void wake() { listener_->wake(); }  // any thread
  // In the child of a fork: the thread is not there, the connection is the parent's. Nothing else may be called then,
  // the destructor included.
  void abandon();

 private:
  void serve();

  Debuggee& debuggee_;
  std::unique_ptr<os::Listener> listener_;
  std::atomic<os::Connection*> connection_{nullptr};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace doppel::gdbstub

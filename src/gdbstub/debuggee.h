// Debuggee: what the remote serial protocol is spoken about: the CPUs of a machine (machine/) or the threads of a
// single program (user/debugger.h). All but take_stop's counterpart are called on the server's thread; but for pause()
// and resume() everything stands still meanwhile.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "guest/guest.h"

namespace doppel::gdbstub {

// Signals have GDB's own numbers (GDB's include/gdb/signals.def), whatever the guest's are.
constexpr int kSigInt = 2, kSigTrap = 5;

struct Point {
  enum Kind : u8 { Software, Hardware, Write, Read, Access } kind = Software;  // as in Z packets
  u64 address = 0, size = 0;
  bool operator==(const Point&) const = default;
};

// Why everything stands still.
struct Stop {
  enum Kind : u8 { Signal, Breakpoint, Watchpoint, Exited, Killed } kind = Signal;
  u64 thread = 0;
  int signal = kSigTrap;  // Exited: the status
  Point point;            // Watchpoint: which
};

// What a thread shall do next; it gets `signal` unless that is 0.
struct Action {
  u64 thread = 0;  // 0: every one that no other action names
  bool step = false;
  int signal = 0;
};

class Debuggee {
 public:
  virtual ~Debuggee() = default;
  // A debugger has come, has gone. What it set is taken back by its session.
  virtual void attach() {}
  virtual void detach() {}
  // The number that the debugger knows the process by; 0: it need not know (machines).
  virtual u64 process() { return 0; }
  virtual std::vector<u64> threads() = 0;  // numbers from 1; empty: it has ended
  virtual std::string thread_name(u64 thread) = 0;
  // Runs `look` where the registers of that thread may be read and written. False: there is none.
  virtual bool with_cpu(u64 thread, const std::function<void(guest::GuestCpu&)>& look) = 0;
  // How many bytes could be read or written, from the first one on.
  virtual size_t read_memory(u64 thread, u64 va, u8* out, size_t size) = 0;
  virtual size_t write_memory(u64 thread, u64 va, const u8* data, size_t size) = 0;
  virtual bool set_point(const Point& point, bool on) = 0;  // false: it can't
  virtual void pause() = 0;                                 // returns when all stand still
  // Threads that no action names stay where they are. A stop wakes the server (os::Listener::wake).
  virtual void resume(const std::vector<Action>& actions) = 0;
  virtual bool take_stop(Stop& stop) = 0;  // one that is new since the latest resume
  virtual void kill() = 0;
  // Started for the debugger's sake: it ends with it.
  virtual bool started_by_debugger() { return false; }
  // qXfer:OBJECT:read. `objects`: for qSupported, each followed by ";".
  virtual std::string objects() { return ""; }
  virtual bool read_object(const std::string& object, u64 thread, std::string& out) {
    static_cast<void>(object), static_cast<void>(thread), static_cast<void>(out);
    return false;
  }
  // A vFile request, from "open:" or the like on, and its answer; empty: there are no files.
  virtual std::string file_request(const std::string& request) {
    static_cast<void>(request);
    return "";
  }
  // These signals need no stop.
  virtual void pass_signals(std::set<int> signals) { static_cast<void>(signals); }
};

}  // namespace doppel::gdbstub

// A machine's state on its way out of this process or into it (QMP's migrate and migrate-incoming). The machine stands
// still while it is written; nothing is copied while it runs. One at a time.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "machine/machine.h"
#include "migration/stream_medium.h"

namespace doppel::migration {

class Migrator {
 public:
  enum class State { None, Setup, Active, Completed, Failed, Cancelled };
  struct Progress {
    State state = State::None;
    u64 ram_bytes = 0, written = 0;  // written: of all of the state
    s64 milliseconds = 0;
    std::string error;
  };
  explicit Migrator(machine::Machine& machine) : machine_(machine) {}
  ~Migrator();
  Migrator(const Migrator&) = delete;
  Migrator& operator=(const Migrator&) = delete;

  // Each step; on the migration's thread or the caller's. Set before the first call.
  std::function<void(State)> on_state;
  // Both return when the way is open; the rest is done on a thread. Afterwards the machine stands still, as a machine
  // whose state has left must (`cont` lets it go on), or runs, if its state came and expect() was told so.
  Status send(const std::string& address, const TakeDescriptor& take);
  Status receive(const std::string& address, const TakeDescriptor& take);
  // -incoming: receive() is to come; `run`: the machine runs then.
  void expect(bool run);
  bool expecting() const { return expecting_; }
  void cancel();
  void end();  // cancels, and waits for the thread: before the machine goes
  Progress progress() const;

 private:
  void begin();
  void enter(State state, const std::string& error = {});
  void write_state(std::unique_ptr<Outgoing> out);
  void read_state(std::unique_ptr<Incoming> in);

  machine::Machine& machine_;
  std::thread thread_;
  std::atomic<bool> cancelled_{false}, expecting_{false};
  bool run_ = false;         // after receive()
  mutable std::mutex lock_;  // a leaf
  Progress progress_;
  Outgoing* out_ = nullptr;  // under lock_, while it is written to
  std::chrono::steady_clock::time_point start_;
};

}  // namespace doppel::migration

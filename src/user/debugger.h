// Debugger: the debugger's server (-g) of a program. A thread that stops parks at an instruction boundary, wakes the
// server, and goes on when the debugger says so; all others park too, but for those inside a system call: they park at
// its end. Functions with a Thread are called on that thread.
#pragma once
#include <condition_variable>
#include <set>

#include "base/os/socket.h"
#include "gdbstub/server.h"
#include "user/thread.h"

namespace doppel::user {

class Debugger final : public gdbstub::Debuggee {
 public:
  // Listens: -g PORT (on the loopback interface) or -g PATH.
  static Result<Debugger*> make(Process& process, const std::string& where);
  Debugger(Process& process, std::unique_ptr<os::Listener> listener);

  // The first thread stops before its first instruction and waits for a debugger; the server's thread begins.
  void begin(Thread& first);
  void thread_started(Thread& t);
  void thread_ends(Thread& t);  // no use of `t` any more by anyone else when it returns
  // At an instruction boundary: does not return while the thread shall stand still.
  void checkpoint(Thread& t);
  void enter_call(Thread& t);
  void leave_call(Thread& t);
  // The executor's hook: the watchpoint at that address was hit; 0: a breakpoint at the next instruction, or a step is
  // done.
  void on_debug_stop(Thread& t, u64 watch);
  // A signal is about to be delivered: the guest's number of what shall be delivered, 0: nothing.
  int filter_signal(Thread& t, const PendingSignal& signal);
  // After a system call or a signal's frame while the thread is stepped: that was the step.
  void step_done(Thread& t);
  // The program is about to end: the debugger is told.
  void exited(Thread& t, int status);
  void killed(Thread& t, int signal);
  bool only(const Thread& t);  // no other thread is left
  // Over a fork: the lock is held; then in the child, which has no debugger.
  std::mutex& lock() { return lock_; }
  void abandon_in_child(Thread& t);
  bool attached() const { return attached_.load(); }

  // gdbstub::Debuggee
  void attach() override;
  void detach() override;
  u64 process() override;
  std::vector<u64> threads() override;
  std::string thread_name(u64 thread) override;
  bool with_cpu(u64 thread, const std::function<void(guest::GuestCpu&)>& look) override;
  size_t read_memory(u64 thread, u64 va, u8* out, size_t size) override;
  size_t write_memory(u64 thread, u64 va, const u8* data, size_t size) override;
  bool set_point(const gdbstub::Point& point, bool on) override;
  void pause() override;
  void resume(const std::vector<gdbstub::Action>& actions) override;
  bool take_stop(gdbstub::Stop& stop) override;
  void kill() override;
  bool started_by_debugger() override { return true; }
  std::string objects() override;
  bool read_object(const std::string& object, u64 thread, std::string& out) override;
  std::string file_request(const std::string& request) override { return files_.answer(request); }
  void pass_signals(std::set<int> signals) override;

 private:
  // vFile: the program's files, to read only (debugger_files.cpp).
  class Files {
   public:
    explicit Files(Debugger& debugger) : debugger_(debugger) {}
    std::string answer(const std::string& request);
    void close_all();

   private:
    std::string open_file(const std::string& arguments);
    std::string read_part(const std::string& arguments);
    Debugger& debugger_;
    std::set<int> open_;
  };
  struct Queued {
    Thread* thread;
    gdbstub::Stop stop;
  };
  void park(Thread& t, std::unique_lock<std::mutex>& lock);
  void stop(Thread& t, std::unique_lock<std::mutex>& lock, const gdbstub::Stop& stop);
  void release(Thread& t, const gdbstub::Action& action);
  void report_end(Thread& t, const gdbstub::Stop& stop);
  Thread* find(u64 thread);
  bool set_watchpoint(const gdbstub::Point& point, bool on);
  bool valid(const Queued& q) const;

  Process& process_;
  std::mutex lock_;  // of what follows; p.lock may not be held by who takes it
  std::condition_variable changed_;
  std::atomic<bool> attached_{false};
  bool all_held_ = true;  // new threads stand still too
  bool end_told_ = false;
  std::vector<Thread*> threads_;
  std::vector<Queued> queue_;
  std::vector<gdbstub::Point> points_;
  std::set<int> passed_;
  std::optional<PendingSignal> latest_signal_;  // qXfer:siginfo
  int memory_ = -1;                             // /proc/self/mem
  Files files_{*this};
  gdbstub::Server server_;
};

// Null: none, or a child of vfork, which is another process in the same memory.
inline Debugger* debugger_of(const Thread& t) { return t.debug.known ? t.process.debugger : nullptr; }

// Signals by the host's numbers and by GDB's.
int gdb_signal_of(int host);
int host_signal_of(int gdb);

}  // namespace doppel::user

// See debugger.h. Traps:
// - The server's thread reads and writes a thread's CPU and loop while that thread is parked, or inside the host's part
//   of a system call (`in_call`), which touches neither.
// - lock_ is never held while the server sends or waits for a packet.
#include "user/debugger.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <utility>

#include "user/host_calls_linux.h"
#include "user/linux/syscalls.h"
#include "user/signals.h"

namespace doppel::user {

using gdbstub::Action;
using gdbstub::Point;
using gdbstub::Stop;

Result<Debugger*> Debugger::make(Process& process, const std::string& where) {
  const bool number = !where.empty() && where.find_first_not_of("0123456789") == std::string::npos;
  const unsigned long port = number && where.size() < 6 ? std::strtoul(where.c_str(), nullptr, 10) : 65536;
  if (where.empty() || (number && (port == 0 || port > 65535)))
    return Error{"'" + where + "' is no TCP port", "-g 1234, or -g PATH for a unix socket", 2};
  auto listener = number ? os::listen_tcp("", static_cast<u16>(port)) : os::listen_unix(where);
  if (!listener) return listener.error();
  return new Debugger(process, listener.take());
}

Debugger::Debugger(Process& process, std::unique_ptr<os::Listener> listener)
    : process_(process), server_(*this, std::move(listener)) {
  const int low = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  memory_ = fcntl(low, F_DUPFD_CLOEXEC, 900);
  if (memory_ < 0)
    memory_ = low;
  else
    close(low);
}

// --- threads of the program

void Debugger::begin(Thread& first) {
  thread_started(first);
  const BlockSignals blocked;  // the program's signals are for its own threads
  server_.start();
}

void Debugger::thread_started(Thread& t) {
  std::lock_guard lock(lock_);
  t.debug.known = t.debug.released = true;
  t.debug.hold = all_held_;
  for (const Point& p : points_)
    if (p.kind <= Point::Hardware) t.loop->set_breakpoint(p.address, true);
  threads_.push_back(&t);
  t.loop->kick();
}

void Debugger::thread_ends(Thread& t) {
  std::unique_lock lock(lock_);
  if (t.debug.hold) park(t, lock);
  std::erase(threads_, &t);
  std::erase_if(queue_, [&](const Queued& q) { return q.thread == &t; });
  t.debug.known = false;
  changed_.notify_all();
  // The only one that ran is gone: the debugger would wait for ever.
  const bool none_runs = std::all_of(threads_.begin(), threads_.end(), [](Thread* o) { return o->debug.hold; });
  if (attached_ && none_runs && !threads_.empty()) {
    threads_[0]->debug.released = true;
    queue_.push_back({threads_[0], {Stop::Signal, static_cast<u64>(threads_[0]->tid), gdbstub::kSigTrap, {}}});
    server_.wake();
  }
}

void Debugger::park(Thread& t, std::unique_lock<std::mutex>& lock) {
  std::atomic<bool>& in_guest = t.loop->in_guest();
  const bool was = in_guest.exchange(false);
  t.debug.parked = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !t.debug.hold; });
  t.debug.parked = false;
  if (!was) return;
  lock.unlock();
  in_guest.store(true);
  t.loop->wait_while_exclusive();
  lock.lock();
}

void Debugger::checkpoint(Thread& t) {
  std::unique_lock lock(lock_);
  if (t.debug.hold) park(t, lock);
}

void Debugger::enter_call(Thread& t) {
  std::unique_lock lock(lock_);
  t.debug.in_call = true;
  changed_.notify_all();
}

void Debugger::leave_call(Thread& t) {
  std::unique_lock lock(lock_);
  if (t.debug.hold) park(t, lock);
  t.debug.in_call = false;
}

// The thread waits until the debugger has heard of it and lets it go on.
void Debugger::stop(Thread& t, std::unique_lock<std::mutex>& lock, const Stop& what) {
  t.debug.stepping = false;
  t.loop->set_single_step(false);
  t.debug.hold = true;
  t.debug.signal = -1;
  queue_.push_back({&t, what});
  server_.wake();
  park(t, lock);
}

void Debugger::on_debug_stop(Thread& t, u64 watch) {
  std::unique_lock lock(lock_);
  if (!attached_) return;
  Stop what{Stop::Signal, static_cast<u64>(t.tid), gdbstub::kSigTrap, {}};
  if (watch) {
    const auto there = [&](const Point& p) { return p.kind > Point::Hardware && p.address == watch; };
    const auto point = std::find_if(points_.begin(), points_.end(), there);
    if (point == points_.end()) return;
    what.kind = Stop::Watchpoint;
    what.point = *point;
  } else if (!t.debug.stepping) {
    const u64 pc = t.cpu->linear_pc();
    const auto here = [&](const Point& p) { return p.kind <= Point::Hardware && p.address == pc; };
    const auto point = std::find_if(points_.begin(), points_.end(), here);
    if (point == points_.end()) return;
    what.kind = Stop::Breakpoint;
    what.point = *point;
  }
  stop(t, lock, what);
}

void Debugger::step_done(Thread& t) {
  std::unique_lock lock(lock_);
  if (!std::exchange(t.debug.somewhere_else, false)) return;
  if (attached_ && t.debug.stepping) stop(t, lock, {Stop::Signal, static_cast<u64>(t.tid), gdbstub::kSigTrap, {}});
}

int Debugger::filter_signal(Thread& t, const PendingSignal& signal) {
  std::unique_lock lock(lock_);
  const int number = gdb_signal_of(process_.abi->signal_to_host(signal.number));
  if (!attached_ || (passed_.contains(number) && !t.debug.stepping)) return signal.number;
  latest_signal_ = signal;
  stop(t, lock, {Stop::Signal, static_cast<u64>(t.tid), number, {}});
  const int back = t.debug.signal;  // -1: the debugger has left
  if (back < 0) return signal.number;
  if (back == number) return signal.number;
  return back == 0 ? 0 : process_.abi->signal_to_guest(host_signal_of(back));
}

void Debugger::report_end(Thread& t, const Stop& what) {
  std::unique_lock lock(lock_);
  if (t.debug.hold) park(t, lock);
  if (!attached_) return;
  const auto is_end = [](const Queued& q) { return q.stop.kind == Stop::Exited || q.stop.kind == Stop::Killed; };
  if (!end_told_ && std::none_of(queue_.begin(), queue_.end(), is_end)) queue_.push_back({&t, what});
  t.debug.in_call = true;
  server_.wake();
  changed_.wait(lock, [&] { return !attached_; });  // the session ends after it has told
}

void Debugger::exited(Thread& t, int status) {
  report_end(t, {Stop::Exited, static_cast<u64>(t.tid), status & 0xff, {}});
}

void Debugger::killed(Thread& t, int signal) {
  const int number = gdb_signal_of(process_.abi->signal_to_host(signal));
  report_end(t, {Stop::Killed, static_cast<u64>(t.tid), number, {}});
}

void Debugger::abandon_in_child(Thread& t) {
  server_.abandon();
  files_.close_all();
  close(memory_);
  for (const Point& p : points_)
    if (p.kind <= Point::Hardware) t.loop->set_breakpoint(p.address, false);
  t.process.map.set_watchpoints({});
  t.loop->set_single_step(false);
  t.debug = {};
  t.process.debugger = nullptr;
}

bool Debugger::only(const Thread& t) {
  std::lock_guard lock(lock_);
  return threads_.size() == 1 && threads_[0] == &t;
}

// --- the server's side

void Debugger::attach() {
  std::lock_guard lock(lock_);
  attached_ = true;
}

void Debugger::detach() {
  std::lock_guard lock(lock_);
  attached_ = false;
  queue_.clear();
  passed_.clear();
  files_.close_all();
  for (Thread* t : threads_) {
    t->debug.stepping = false;
    if (t->debug.parked) t->loop->set_single_step(false);
  }
  changed_.notify_all();
}

u64 Debugger::process() { return static_cast<u64>(getpid()); }

Thread* Debugger::find(u64 thread) {
  for (Thread* t : threads_)
    if (static_cast<u64>(t->tid) == thread) return t;
  return nullptr;
}

std::vector<u64> Debugger::threads() {
  std::lock_guard lock(lock_);
  std::vector<u64> all;
  for (const Thread* t : threads_) all.push_back(static_cast<u64>(t->tid));
  return all;
}

std::string Debugger::thread_name(u64 thread) {
  std::string name;
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/comm");
  std::getline(in, name);
  return name;
}

bool Debugger::with_cpu(u64 thread, const std::function<void(guest::GuestCpu&)>& look) {
  std::lock_guard lock(lock_);
  Thread* t = find(thread);
  if (t) look(*t->cpu);
  return t != nullptr;
}

// By the kernel: what can't be read is no fault of ours, and the program's protections don't matter.
size_t Debugger::read_memory(u64, u64 va, u8* out, size_t size) {
  size_t done = 0;
  while (done < size && process_.map.protection(va + done) >= 0) {
    const size_t n = std::min<size_t>(size - done, mem::kPageSize - ((va + done) & (mem::kPageSize - 1)));
    const u64 at = reinterpret_cast<u64>(process_.map.host(va + done));
    if (pread(memory_, out + done, n, static_cast<off_t>(at)) != static_cast<ssize_t>(n)) break;
    done += n;
  }
  return done;
}

size_t Debugger::write_memory(u64, u64 va, const u8* data, size_t size) {
  size_t done = 0;
  while (done < size && process_.map.protection(va + done) >= 0) {
    const size_t n = std::min<size_t>(size - done, mem::kPageSize - ((va + done) & (mem::kPageSize - 1)));
    const u64 at = reinterpret_cast<u64>(process_.map.host(va + done));
    if (pwrite(memory_, data + done, n, static_cast<off_t>(at)) != static_cast<ssize_t>(n)) break;
    process_.map.changed(va + done, n);
    done += n;
  }
  return done;
}

bool Debugger::set_point(const Point& p, bool on) {
  std::lock_guard lock(lock_);
  if (p.kind > Point::Hardware) return set_watchpoint(p, on);
  const auto there = [&] {
    return std::any_of(points_.begin(), points_.end(),
                       [&](const Point& q) { return q.kind <= Point::Hardware && q.address == p.address; });
  };
  const bool before = there();
  if (on)
    points_.push_back(p);
  else
    std::erase(points_, p);
  if (before != there())
    for (Thread* t : threads_) t->loop->set_breakpoint(p.address, on);
  return true;
}

bool Debugger::set_watchpoint(const Point& p, bool on) {
  const std::vector<Point> before = points_;
  if (on)
    points_.push_back(p);
  else
    std::erase(points_, p);
  std::vector<AddressMap::Watchpoint> all;
  for (const Point& q : points_)
    if (q.kind > Point::Hardware) all.push_back({q.address, q.size, q.kind != Point::Write, q.kind != Point::Read});
  process_.map.watch_before = process_.abi->watch_before;
  if (process_.map.set_watchpoints(std::move(all)) || !on) return true;
  points_ = before;
  return false;
}

void Debugger::pause() {
  std::unique_lock lock(lock_);
  all_held_ = true;
  for (Thread* t : threads_) {
    t->debug.hold = true;
    t->loop->kick();
  }
  const auto still = [&] {
    return std::all_of(threads_.begin(), threads_.end(), [](Thread* t) { return t->debug.parked || t->debug.in_call; });
  };
  while (!changed_.wait_for(lock, std::chrono::milliseconds(20), still))
    for (Thread* t : threads_) t->loop->kick();
}

void Debugger::release(Thread& t, const Action& a) {
  t.debug.stepping = a.step;
  t.debug.somewhere_else = false;
  t.loop->set_single_step(a.step);
  t.debug.signal = attached_ ? a.signal : -1;
  t.debug.hold = false;
}

// Has this stop still a cause? A breakpoint may have been taken back before it was told of.
bool Debugger::valid(const Queued& q) const {
  if (q.stop.kind != Stop::Breakpoint) return true;
  return std::any_of(points_.begin(), points_.end(), [&](const Point& p) {
    return p.kind <= Point::Hardware && p.address == q.thread->cpu->linear_pc();
  });
}

void Debugger::resume(const std::vector<Action>& actions) {
  std::lock_guard lock(lock_);
  const auto action_of = [&](const Thread& t) -> const Action* {
    for (const Action& a : actions)
      if (a.thread == 0 || a.thread == static_cast<u64>(t.tid)) return &a;
    return nullptr;
  };
  for (Thread* t : threads_) t->debug.released = action_of(*t) != nullptr;
  std::erase_if(queue_, [&](const Queued& q) {
    if (valid(q)) return false;
    q.thread->loop->meet_breakpoint_again();  // taken back while another thread steps over it
    return true;
  });
  if (std::any_of(queue_.begin(), queue_.end(), [&](const Queued& q) { return action_of(*q.thread); })) {
    server_.wake();  // somebody else stopped at the same time: that is told first
    return;
  }
  all_held_ = std::none_of(actions.begin(), actions.end(), [](const Action& a) { return a.thread == 0; });
  for (Thread* t : threads_) {
    const Action* a = action_of(*t);
    if (a) release(*t, *a);
  }
  changed_.notify_all();
}

bool Debugger::take_stop(Stop& out) {
  std::lock_guard lock(lock_);
  for (size_t i = 0; i < queue_.size(); i++) {
    if (!queue_[i].thread->debug.released || !valid(queue_[i])) continue;  // told when its thread may go on
    out = queue_[i].stop;
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
    if (out.kind == Stop::Exited || out.kind == Stop::Killed) {
      end_told_ = true;
      changed_.notify_all();
    }
    return true;
  }
  return false;
}

void Debugger::kill() { raw_call(SYS_kill, static_cast<u64>(getpid()), SIGKILL); }

// --- objects

std::string Debugger::objects() { return "qXfer:auxv:read+;qXfer:exec-file:read+;qXfer:siginfo:read+;QPassSignals+;"; }

bool Debugger::read_object(const std::string& object, u64 thread, std::string& out) {
  if (object == "auxv") {
    out.resize(process_.auxiliary_bytes);
    out.resize(read_memory(thread, process_.auxiliary, reinterpret_cast<u8*>(out.data()), out.size()));
    return true;
  }
  if (object == "exec-file") {
    char path[4096];
    out = realpath(process_.executable.c_str(), path) ? path : process_.executable;
    return true;
  }
  if (object != "siginfo") return false;
  std::lock_guard lock(lock_);
  if (!latest_signal_) return true;
  out.resize(128);
  write_siginfo(*process_.abi, *latest_signal_, reinterpret_cast<u8*>(out.data()));
  return true;
}

void Debugger::pass_signals(std::set<int> signals) {
  std::lock_guard lock(lock_);
  passed_ = std::move(signals);
}

}  // namespace doppel::user

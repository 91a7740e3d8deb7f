// The translator behind accel::Vcpu: a thread around exec::VcpuLoop, with pause, work queue and halt.
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "accel/accel.h"
#include "base/assert.h"
#include "base/os/parking.h"
#include "exec/vcpu_loop.h"

namespace doppel::accel {
namespace {

exec::Config to_config(const Options& o) {
  exec::Config c;
  c.interpreter = o.interpreter;
  c.lockstep = o.lockstep;
  c.icount = o.icount_shift >= 0;
  ir::parse_opt_flags(o.opt, c.opt);
  c.limit = o.limit;
  c.dump_from = o.dump_from;
  c.dump_to = o.dump_to;
  c.code_cache_bytes = o.code_cache_bytes;
  c.perf_map = o.perf_map;
  c.max_pinned = o.max_pinned;
  c.max_insns = o.max_insns;
  return c;
}

// One a memory: the vCPUs of a machine share it, the last one frees it.
std::shared_ptr<exec::CodePages> pages_of(mem::AddressSpace& memory) {
  static std::mutex lock;
  static std::map<mem::AddressSpace*, std::weak_ptr<exec::CodePages>> all;
  std::lock_guard guard(lock);
  std::shared_ptr<exec::CodePages> p = all[&memory].lock();
  if (!p) {
    // Devices that go after the vCPUs may still tell of writes.
    p = {new exec::CodePages(memory), [&memory](exec::CodePages* pages) {
           memory.on_code_write = nullptr;
           delete pages;
         }};
    all[&memory] = p;
    exec::CodePages* raw = p.get();
    memory.on_code_write = [raw](u64 pa, u64 size) {
      if (raw->overlaps(pa, size)) raw->notify_others(~u32{0}, pa, size);
    };
  }
  return p;
}

class DbtVcpu final : public Vcpu {
 public:
  DbtVcpu(std::unique_ptr<guest::GuestCpu> cpu, mem::AddressSpace& memory, const Options& options)
      : cpu_(std::move(cpu)), pages_(pages_of(memory)), loop_(*cpu_, memory, *pages_, to_config(options)) {
    loop_.hooks.should_stop = [this] { return pause_.load() || stop_.load(); };
    loop_.hooks.run_work = [this] { run_queue(); };
    loop_.hooks.wait_halted = [this] { wait_halted(); };
    loop_.hooks.debug_stop = [this](u64 watch) {
      pause_.store(true);
      loop_.kick();
      debug_stopped_ = true;
      if (on_debug_stop) on_debug_stop(*this, watch);
    };
    loop_.hooks.icount_slice = [this](u64 n) { return on_icount_slice ? on_icount_slice(n) : s64{10000}; };
    loop_.hooks.icount_idle = [this] { return on_icount_idle && on_icount_idle(); };
  }
  ~DbtVcpu() override { stop(); }

  Status create() { return loop_.create(); }
  guest::GuestCpu& cpu() override { return *cpu_; }

  void start() override {
    thread_ = std::thread([this] { thread_main(); });
  }

  void resume() override {
    std::lock_guard lock(lock_);
    pause_.store(false);
    debug_stopped_ = false;
    changed_.notify_all();
  }

  void pause() override {
    if (std::this_thread::get_id() == thread_.get_id()) {
      pause_.store(true);
      loop_.kick();
      return;
    }
    std::unique_lock lock(lock_);
    pause_.store(true);
    kick();
    changed_.notify_all();
    changed_.wait(lock, [this] { return paused_ || !thread_.joinable(); });
  }

  void stop() override {
    if (!thread_.joinable()) return;
    {
      std::lock_guard lock(lock_);
      stop_.store(true);
      kick();
      changed_.notify_all();
    }
    thread_.join();
  }

  void kick() override {
    loop_.kick();
    halted_.wake();
  }

  void run_on(std::function<void()> work) override {
    if (!thread_.joinable() || std::this_thread::get_id() == thread_.get_id()) {
      work();
      return;
    }
    bool done = false;
    std::unique_lock lock(lock_);
    queue_.push_back([&] {
      work();
      done = true;
    });
    kick();
    changed_.notify_all();
    changed_.wait(lock, [&] { return done; });
  }

  void set_single_step(bool on) override {
    run_on([this, on] { loop_.set_single_step(on); });
  }
  void set_breakpoint(u64 linear, bool on) override {
    run_on([=, this] { loop_.set_breakpoint(linear, on); });
  }
  void set_watchpoint(u64 va, u64 size, bool read, bool write, bool on) override {
    run_on([=, this] { loop_.set_watchpoint(va, size, read, write, on); });
  }
  std::string jit_info() override {
    std::string text;
    run_on([&] { text = loop_.jit_info(); });
    return text;
  }
  void flush_tlb() override {
    loop_.post_flush_tlb();
    kick();
  }
  void drop_code() override {
    run_on([this] { loop_.drop_all(); });
    kick();  // -icount: the slice is another one
  }
  std::string tlb_info() override {
    std::string text;
    run_on([&] { text = cpu_->header().soft_tlb->describe(); });
    return text;
  }
  u64 icount() override { return loop_.icount(); }

 private:
  void thread_main() {
    std::unique_lock lock(lock_);
    while (!stop_.load()) {
      if (pause_.load()) {
        paused_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !pause_.load() || stop_.load() || !queue_.empty(); });
        run_locked_queue(lock);
        continue;
      }
      paused_ = false;
      lock.unlock();
      loop_.run();
      lock.lock();
    }
    paused_ = true;
    run_locked_queue(lock);
    changed_.notify_all();
  }

  void run_queue() {
    std::unique_lock lock(lock_);
    run_locked_queue(lock);
  }
  void run_locked_queue(std::unique_lock<std::mutex>& lock) {
    while (!queue_.empty()) {
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
      changed_.notify_all();
    }
  }

  void wait_halted() {
    for (;;) {
      if (on_idle) on_idle(Idle::Look);
      halted_.announce();
      if (cpu_->header().exit_request.load() != 0 || cpu_->has_work()) break;
      halted_.sleep(on_idle ? on_idle(Idle::Sleep) : -1);
    }
    halted_.retract();
    if (on_idle) on_idle(Idle::Over);
  }

  std::unique_ptr<guest::GuestCpu> cpu_;
  std::shared_ptr<exec::CodePages> pages_;
  exec::VcpuLoop loop_;
  std::thread thread_;
  std::mutex lock_;
  std::condition_variable changed_;
  os::Parking halted_;  // where the thread waits while its CPU is halted
  std::deque<std::function<void()>> queue_;
  std::atomic<bool> pause_{true}, stop_{false};
  bool paused_ = false, debug_stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Vcpu>> make_dbt_vcpu(std::unique_ptr<guest::GuestCpu> cpu, mem::AddressSpace& memory,
                                            const Options& options) {
  ir::OptFlags flags;
  if (const std::string wrong = ir::parse_opt_flags(options.opt, flags); !wrong.empty())
    return Error{wrong, "--opt=all, --opt=none or a list of passes"};
  auto vcpu = std::make_unique<DbtVcpu>(std::move(cpu), memory, options);
  if (Status s = vcpu->create(); !s) return s.error();
  return std::unique_ptr<Vcpu>(std::move(vcpu));
}

}  // namespace doppel::accel

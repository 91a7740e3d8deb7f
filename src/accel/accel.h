// accel::Vcpu: the translator and KVM stand behind one interface; a board can't tell which runs it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "guest/guest.h"
#include "mem/address_space.h"

namespace doppel::accel {

struct Options {
  bool interpreter = false;                     // -accel interp
  bool lockstep = false;                        // interpreter beside the JIT, region by region
  int icount_shift = -1;                        // -icount shift=N: 2^N ns an instruction; -1: off
  s64 stop_at_ns = -1;                          // --stop-at: -icount's time at which the machine pauses
  std::string opt = "all";                      // --opt=
  s64 limit = -1;                               // --limit=N: only the first N regions are optimised
  u64 dump_from = 0, dump_to = ~u64{0};         // -dfilter
  size_t code_cache_bytes = size_t{160} << 20;  // of all vCPUs together
  bool perf_map = false;
  int max_pinned = -1;
  u32 max_insns = 64;
};

enum class StopReason { None, Pause, Debug, Shutdown };

// Runs one guest CPU on a thread of its own.
class Vcpu {
 public:
  virtual ~Vcpu() = default;
  virtual guest::GuestCpu& cpu() = 0;
  virtual void start() = 0;  // creates the thread, paused
  virtual void resume() = 0;
  virtual void pause() = 0;  // returns when the CPU is at an instruction boundary and stays there
  virtual void stop() = 0;   // ends the thread
  virtual void kick() = 0;   // any thread: look at events soon (interrupts)
  // Runs `work` on the vCPU's thread at an instruction boundary; waits for it unless called from that thread.
  virtual void run_on(std::function<void()> work) = 0;
  // Debugger: from a paused machine.
  virtual void set_single_step(bool on) = 0;  // the next resume runs one instruction, then on_debug_stop
  virtual void set_breakpoint(u64 linear, bool on) = 0;
  virtual void set_watchpoint(u64 va, u64 size, bool read, bool write, bool on) = 0;
  std::function<void(Vcpu&, u64 watch_address)> on_debug_stop;  // on the vCPU's thread; it then pauses itself
  virtual std::string jit_info() = 0;                           // counters for `info jit`
  // -icount, on the vCPU's thread without locks. `executed`: guest instructions so far. Runs timers that are due and
  // returns how many instructions may run until the next deadline (at least 1).
  std::function<s64(u64 executed)> on_icount_slice;
  // -icount while the CPU is halted: moves virtual time to the next deadline and runs it. False: no timer is armed.
  std::function<bool()> on_icount_idle;
  // While the CPU is halted, on its thread without locks. Look: timers that are due may fire. Sleep: there was no work;
  // returns the ns after which it looks again (-1: never, until there is work). Over: it goes on. Empty: somebody else
  // fires the timers.
  enum class Idle { Look, Sleep, Over };
  std::function<s64(Idle)> on_idle;
  virtual void flush_tlb() = 0;        // any thread, soon: physical mappings changed (AddressSpace::on_change)
  virtual void drop_code() = 0;        // paused: memory or state were replaced; waits
  virtual std::string tlb_info() = 0;  // `info tlb`
  virtual u64 icount() = 0;            // instructions executed, any thread (exact on the vCPU's own)
};

Result<std::unique_ptr<Vcpu>> make_dbt_vcpu(std::unique_ptr<guest::GuestCpu> cpu, mem::AddressSpace& memory,
                                            const Options& options);

}  // namespace doppel::accel

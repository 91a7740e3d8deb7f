// VcpuLoop: runs one guest CPU: looks up or compiles regions, enters them, links exits, delivers events, and is the
// Runtime that guest code and slow paths call. run() on the vCPU's thread; the few functions marked "any thread"
// elsewhere.
#pragma once
#include <atomic>
#include <csetjmp>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "exec/code_pages.h"
#include "exec/translate.h"

namespace doppel::exec {

struct LoopHooks {
  // Stop asked for? Called at instruction boundaries after exit_request was seen. True: run() returns.
  std::function<bool()> should_stop;
  std::function<void()> run_work;     // queued work for this thread
  std::function<void()> wait_halted;  // the guest CPU is halted: sleep until kicked
  std::function<s64(u64)> icount_slice;
  std::function<bool()> icount_idle;
  std::function<void(u64 watch_address)> debug_stop;  // break- or watchpoint, or a debugger's step done
};

class VcpuLoop final : public mem::Runtime {
 public:
  VcpuLoop(guest::GuestCpu& cpu, mem::AddressSpace& memory, CodePages& pages, const Config& config);
  ~VcpuLoop() override;
  Status create();
  LoopHooks hooks;

  void run();                                                                      // until should_stop
  void kick() { cpu_.header().exit_request.store(1, std::memory_order_seq_cst); }  // any thread
  void post_invalidate(u64 pa, u64 size);                                          // any thread
  void post_flush_tlb();  // any thread: physical mappings changed
  void drop_all();        // every translation, of code and of addresses
  void set_single_step(bool on) { single_step_ = on; }
  void set_breakpoint(u64 linear, bool on);
  void meet_breakpoint_again() { at_breakpoint_ = false; }  // paused: nobody was told of the one that it stands on
  void set_watchpoint(u64 va, u64 size, bool read, bool write, bool on);
  std::string jit_info();
  const Counters& counters() { return translator_.counters(); }
  u64 icount_now() const { return icount_total_.load(std::memory_order_relaxed); }
  std::atomic<bool>& in_guest() { return in_guest_; }
  void wait_while_exclusive();

  // With Config::direct, from the handler of SIGSEGV or SIGBUS on this loop's thread: the access to `va` by the host
  // instruction at `host_pc` failed. True: return from the handler, to `host_pc` as it is now. Otherwise it does not
  // return where guest code or one of its helpers made the access: it becomes the guest's fault. False: somebody
  // else's.
  bool host_fault(u64& host_pc, u64 va, mem::Access access);
  // In the child of a fork, on the thread that is left: the other loops of the program are gone.
  void alone_after_fork() { pages_.keep_only(h_.index); }
  // Any thread: code of [va, va+size) is no longer what it was (unmapped, protected, written to).
  void drop_code_soon(u64 va, u64 size) { post_invalidate(va, size); }

  // mem::Runtime
  void sync_pc() override;
  [[noreturn]] void unwind() override;
  void flush_jump_cache() override { tlb_.end_generation(); }
  u64 icount() override;
  const u8* resume() override;
  void code_written(u64 pa, u64 size) override;
  void code_changed(u64 pa, u64 size) override;
  void device_access(u64 pa) override;
  void debug_watch(u64 va, u32 size, bool write) override;
  void direct_store(u64 va, u64 size) override;

 private:
  bool place(u64 linear, u64& phys, bool& memory);
  Installed* find(const guest::CodePosition& at, u64 phys);
  const u8* host_page(u64 linear);
  void claim(Installed& block, u64 linear);
  Installed& compile(const RegionKey& key, u64 linear, CompileOptions options, bool& keyed);
  void remember_jump(const Installed& block, u64 linear);
  Installed* lookup(bool single, bool keyed, u32 max_insns = ~u32{0});
  void step();
  void handle_requests();
  void leave(backend::ExitReason reason);
  void link(backend::LinkSlot& slot);
  void invalidate(u64 pa, u64 size);
  void drop(Installed& block);
  void flush_code();
  void restore_flags(const backend::CodeBlock& block, const ir::FlagRecipe& recipe);
  bool locate(u64& pc, u32& insn, Installed*& block);
  void run_exclusive(void (*body)(void*), void* context);
  void end_exclusive();
  void begin_slice();
  [[noreturn]] void watched_access(u64 va, u64 size, bool write);
  void end_watch_shot();

  guest::GuestCpu& cpu_;
  mem::VcpuHeader& h_;
  mem::AddressSpace& memory_;
  CodePages& pages_;
  const Config config_;
  mem::SoftTlb tlb_;
  Translator translator_;
  std::jmp_buf unwind_;
  bool in_code_ = false;     // generated code is on the stack
  bool may_resume_ = false;  // it may go on by resume()
  bool one_shot_ = false;    // run one instruction from an unregistered region next
  bool code_hit_ = false;    // direct memory: the store that goes its slow way now is to a page of code
  // Direct memory, a debugger's watchpoints: the next instruction runs alone, as it accesses a page with some; it does;
  // which watchpoint it hits (0: none).
  bool watch_shot_ = false, in_watch_shot_ = false;
  u64 watch_found_ = 0;
  bool device_shot_ = false;             // -icount: run one instruction, which reaches a device, alone next
  bool single_step_ = false;             // the debugger's
  bool at_breakpoint_ = false;           // resume from a breakpoint: do not stop on it at once
  std::atomic<std::thread::id> thread_;  // that runs it
  Installed* running_ = nullptr;
  std::vector<u64> reading_;  // physical pages that the region being compiled is read from
  std::atomic<bool> in_guest_{false};
  bool exclusive_ = false;  // this vCPU holds the exclusive section
  std::mutex post_lock_;
  std::vector<CodeRange> posted_;
  bool posted_flush_ = false;
  struct Watchpoint {
    u64 va, size;
    bool read, write;
  };
  std::vector<Watchpoint> watchpoints_;
  s64 slice_ = 0;
  std::atomic<u64> icount_total_{0};
};

}  // namespace doppel::exec

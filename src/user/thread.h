// Process and Thread: the program as a whole and one of its threads, which is one thread of the host with a CPU and a
// loop of the executor. Thread's functions are for its own thread unless said otherwise.
#pragma once
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "exec/code_store.h"
#include "exec/vcpu_loop.h"
#include "guest/guest.h"
#include "guest/user_cpu.h"
#include "user/abi.h"
#include "user/address_map.h"

namespace doppel::user {

// A signal on its way to the program, guest's number and code, with what siginfo_t holds.
struct PendingSignal {
  int number = 0, code = 0, error = 0;
  u64 address = 0;  // si_addr
  s32 pid = 0, uid = 0, status = 0;
  u64 value = 0;        // si_value
  bool forced = false;  // by a fault: a blocked or ignored one kills
};

// sigaction as the program set it, guest's numbers and flags.
struct SignalAction {
  u64 handler = 0;  // 0 SIG_DFL, 1 SIG_IGN
  u64 flags = 0;
  u64 restorer = 0;
  u64 mask = 0;
};

// What the program is told of its CPU.
struct Processor {
  u64 hwcap = 0, hwcap2 = 0;
  std::string platform, base_platform;                            // AT_PLATFORM, AT_BASE_PLATFORM; empty: none
  std::string machine;                                            // of uname(2); empty: the ABI's
  std::string describe_system;                                    // /proc/cpuinfo: its beginning, and
  std::function<std::string(unsigned, unsigned count)> describe;  // a CPU by its number
};

struct Options {
  std::string prefix;  // -L: absolute paths are looked for below it first
  std::string argv0;   // -0
  std::vector<std::string> environment;
  std::vector<std::string> kept;  // options of the command line that programs that it executes run with
  bool strace = false;
  std::string gdb;  // -g: a TCP port or the path of a unix socket; empty: no debugger
  u64 stack_bytes = u64{8} << 20;
  exec::Config exec;
  std::string cpu;         // -cpu: empty is the ABI's usual one
  std::string code_cache;  // folder that translations are kept in; empty: none
};

class Process {
 public:
  const Abi* abi = nullptr;
  Options options;
  Processor processor;
  AddressMap map;
  std::function<std::unique_ptr<guest::GuestCpu>(u32 index)> make_cpu;
  std::string executable;  // host path of the program (/proc/self/exe)
  std::vector<std::string> argv;
  u64 brk_start = 0, brk_now = 0;
  u64 stack_start = 0;                     // of the first thread's, which ends at abi->stack_top
  u64 auxiliary = 0, auxiliary_bytes = 0;  // the auxiliary vector in the program's memory (/proc/self/auxv)
  u64 signal_page = 0;                     // of the program's memory: code that returns from signals (Abi::signal_code)
  // The host's path of one that the program names (linux/: host_path), for the loader.
  std::function<std::string(const std::string&)> find_path;
  mem::AddressSpace no_memory;  // the executor's, empty
  std::unique_ptr<exec::CodePages> pages;
  std::unique_ptr<exec::CodeStore> store;  // translations of earlier runs; null: none
  std::mutex lock;                         // of what follows
  std::array<SignalAction, 129> actions;
  std::map<u64, u64> shared_segments;  // what shmat attached: address, bytes
  // Places in directories that 32-bit programs have no room for, by the numbers that they got instead.
  std::map<u32, u64> directory_places;
  std::vector<class Thread*> threads;
  class Debugger* debugger = nullptr;  // debugger.h
};

class Thread {
 public:
  Process& process;
  std::unique_ptr<guest::GuestCpu> cpu;
  std::unique_ptr<exec::VcpuLoop> loop;
  guest::UserCpu& user() { return *cpu->user(); }
  const Abi& abi() const { return *process.abi; }
  int tid = 0;  // the host's and the guest's
  u64 clear_child_tid = 0, robust_list = 0, robust_list_size = 0;
  u64 signal_mask = 0;  // guest's numbers, bit n - 1
  struct {
    u64 sp = 0, size = 0;
    int flags = 2 /* SS_DISABLE */;
  } alternate_stack;
  std::atomic<bool> exiting{false};

  // Kept by signals.cpp. What came from the host and is not delivered yet: one at a time, as all of the host's signals
  // are blocked while one is here.
  struct {
    volatile std::sig_atomic_t arrived = 0;      // number of the host, read by blocking_call's stub
    volatile std::sig_atomic_t late_faults = 0;  // SIGSEGV (1), SIGBUS (2) of others while one is here
    siginfo_t info{};
  } host_signal;
  std::vector<PendingSignal> held;  // SIGSEGV and SIGBUS of others that the program blocks: the host must not
  std::optional<u64> saved_mask;    // the mask that the next frame, or the end of the call, brings back
  struct {
    u64 number = 0;
    s64 how = 0;  // kRestart, kRestartAlways; 0: none
  } restart;
  // The latest exception: x86's trapno, err and cr2 of a frame.
  struct {
    u64 number = 0, error = 0, address = 0;
    int host_signal = 0, host_code = 0;  // of a page fault
    u64 host_error = 0;
  } trap;
  u64 descriptor_table = 0;  // x86, 32 bits: page of the segment descriptors
  std::jmp_buf exit_jump;    // to the end of the host's thread
  int exit_status = 0;
  // Kept by debugger.cpp, under its lock: the debugger knows it, it shall stand still, it does; it is in a system call;
  // it goes on for one step, has reached what counts as one outside of the executor; it was let go on by the latest
  // request, with this signal (GDB's number; -1: what it has).
  struct {
    bool known = false, hold = false, parked = false, in_call = false, stepping = false, somewhere_else = false,
         released = false;
    int signal = -1;
  } debug;
  u32 index = 0;                           // of its CPU
  std::atomic<int> wanted_float_mode{-1};  // MIPS: another thread has set Status.FR for all (prctl)

  static Thread* current();  // null: a thread of the emulator itself
  void make_current();
  // Guest memory, checked: false if part of it is not there. In guest byte order as it lies.
  bool read(u64 va, void* out, size_t size);
  bool write(u64 va, const void* data, size_t size);
  bool read_string(u64 va, std::string& out, size_t limit = 4096);
  // Values in the program's byte order and word size.
  bool read_word(u64 va, u64& out);
  bool write_word(u64 va, u64 value);
  // A host system call that may block: interrupted by a signal for the program it gives -EINTR, and none is lost
  // between the look for one and the call (base/os of it: an assembly stub whose address range the handler knows).
  // Returns the kernel's value, -errno or kRestartAlways, which the caller hands on.
  s64 blocking_call(long number, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0);
  explicit Thread(Process& p) : process(p) {}
};

// Results that are not errors of the host: the dispatcher acts on them.
constexpr s64 kRestart = -512;        // ERESTARTSYS: run the call again if the handler has SA_RESTART, else EINTR
constexpr s64 kRestartAlways = -513;  // a signal came before the call began: it runs after the handler
constexpr s64 kNoResult = -100000;    // registers are already what they shall be (sigreturn, execve)

}  // namespace doppel::user

// What a guest CPU gives to the executor: a pure translator (Frontend) and the rest of the CPU (GuestCpu).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/ir.h"
#include "mem/guest_access.h"
#include "state/archive.h"

namespace doppel::guest {

// The bytes of guest code: `fetch` copies up to `size` bytes from virtual (linear) address `va`; returns how many are
// on mapped pages. Never faults. The translator of the executor supplies it; pages that were read are recorded by it.
class CodeReader {
 public:
  virtual ~CodeReader() = default;
  virtual size_t fetch(u64 va, u8* out, size_t size) = 0;
};

struct TranslateLimits {
  u32 max_insns = 64;
  bool single_step = false;  // one instruction, no following of jumps
  bool icount = false;       // (the backend counts; the frontend may end regions before I/O)
};

struct TranslateRequest {
  u64 pc = 0;    // architectural pc (x86: EIP/RIP)
  u64 mode = 0;  // GuestCpu::mode(): everything the meaning of the bytes depends on
  u64 base = 0;  // GuestCpu::code_base(): linear = pc + base (mod 2^32 when the mode says so)
  CodeReader* code = nullptr;
  TranslateLimits limits;
};

// Pure: the same bytes, mode and limits give the same region; no CPU state is read or written. If the first instruction
// can't be fetched, the region raises the fetch fault through the guest's own helper. A region reads code from its
// first page, and from the next page only if its last instruction straddles the end.
class Frontend {
 public:
  virtual ~Frontend() = default;
  virtual void translate(const TranslateRequest& request, ir::Region& out) = 0;
  virtual const ir::StateLayout& layout() const = 0;
  virtual const ir::HelperTable& helpers() const = 0;
  // One instruction as text, for -d in_asm and the monitor; returns its length (at least 1).
  virtual size_t disassemble(const u8* bytes, size_t size, u64 pc, u64 mode, std::string& text) const = 0;
};

struct GdbRegister {
  std::string name;
  u16 bits;
  std::string type;
  std::string group;
};

// What a region is looked up by, but for the physical address.
struct CodePosition {
  u64 pc = 0, linear = 0, mode = 0, base = 0;
};

class UserCpu;

// One vCPU. All calls on its own thread unless said otherwise.
class GuestCpu {
 public:
  virtual ~GuestCpu() = default;
  virtual mem::VcpuHeader& header() = 0;
  virtual Frontend& frontend() = 0;
  virtual u64 pc() const = 0;
  virtual void set_pc(u64 pc) = 0;
  virtual u64 mode() const = 0;  // key bits for the current state
  virtual u64 code_base() const = 0;
  virtual u64 linear_pc() const = 0;  // pc + base as an address to fetch from
  virtual void reset() = 0;
  // Interrupts, NMI, SMI, INIT/SIPI, and exceptions recorded by helpers. has_work: any thread.
  virtual bool has_work() const = 0;  // something to deliver, or to wake from halt for
  virtual bool halted() const = 0;
  // Nothing is due but to go on with the next instruction, and regions may be of any length: then where.
  virtual bool goes_on(CodePosition& at) const {
    if (has_work() || halted() || single_stepping()) return false;
    at = {pc(), linear_pc(), mode(), code_base()};
    return true;
  }
  // Delivers what is due at this instruction boundary. May unwind (a fault while delivering); is then called again.
  virtual void deliver_pending() = 0;
  // The first byte at the pc can't be fetched, as the MMU just said. True: that exception is entered, without a region
  // for it, which is worth it where a kernel fills the TLB by itself. False: the region that is made there raises it.
  virtual bool enter_fetch_fault() { return false; }
  // One instruction then a debug stop: single step by TF or by the debugger. True if regions must be one instruction
  // long.
  virtual bool single_stepping() const = 0;
  virtual void after_single_step() = 0;  // called after each one-instruction region when single_stepping()
  virtual void archive(StateArchive& ar) = 0;
  virtual std::string dump_registers() const = 0;  // as `info registers` prints
  // For the debugger, from a stopped machine, any thread.
  virtual const std::vector<GdbRegister>& gdb_registers() const = 0;
  virtual std::string gdb_feature() const = 0;                // target description (XML)
  virtual size_t gdb_read(size_t number, u8* out) const = 0;  // bytes written (little-endian)
  virtual size_t gdb_write(size_t number, const u8* in) = 0;
  virtual bool debug_translate(u64 va, u64& pa) = 0;  // no side effects
  virtual UserCpu* user() { return nullptr; }         // to run single programs (user_cpu.h); null: it can't
};

}  // namespace doppel::guest

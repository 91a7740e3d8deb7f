// A CPU without a board: a few pages of the test's own memory, mapped by long-mode page tables at their host addresses,
// user privilege, 64-bit or compatibility code. Runs until the first exception and reports it: the whole translator
// with the soft TLB, by the JIT or the interpreter.
#pragma once
#include <memory>

#include "exec/vcpu_loop.h"
#include "guest/x86/cpu.h"
#include "guest/x86/platform.h"
#include "guest/x86/translate/frontend.h"

namespace doppel::x86::test {

// Hides the exceptions of the real CPU from the loop: the first one ends the run.
class ProbeCpu final : public guest::GuestCpu {
 public:
  explicit ProbeCpu(X86Cpu& cpu) : cpu_(cpu) {}
  bool stopped = false;
  u8 vector = 0;

  mem::VcpuHeader& header() override { return cpu_.header(); }
  guest::Frontend& frontend() override { return cpu_.frontend(); }
  u64 pc() const override { return cpu_.pc(); }
  void set_pc(u64 pc) override { cpu_.set_pc(pc); }
  u64 mode() const override { return cpu_.mode(); }
  u64 code_base() const override { return cpu_.code_base(); }
  u64 linear_pc() const override { return cpu_.linear_pc(); }
  void reset() override { cpu_.reset(); }
  bool has_work() const override { return stopped || cpu_.state().exc_pending; }
  bool halted() const override { return stopped; }
  void deliver_pending() override {
    stopped = true;
    vector = cpu_.state().exc_vector;
    cpu_.state().exc_pending = 0;
    header().exit_request.store(1);
  }
  bool single_stepping() const override { return cpu_.single_stepping(); }
  void after_single_step() override { cpu_.after_single_step(); }
  void archive(StateArchive&) override {}
  std::string dump_registers() const override { return cpu_.dump_registers(); }
  const std::vector<guest::GdbRegister>& gdb_registers() const override { return cpu_.gdb_registers(); }
  std::string gdb_feature() const override { return {}; }
  size_t gdb_read(size_t, u8*) const override { return 0; }
  size_t gdb_write(size_t, const u8*) override { return 0; }
  bool debug_translate(u64 va, u64& pa) override { return cpu_.debug_translate(va, pa); }

 private:
  X86Cpu& cpu_;
};

class FlatMachine {
 public:
  FlatMachine(const CpuModel& model, bool interpreter, bool optimise, int max_pinned = -1);
  FlatMachine(const CpuModel& model, const exec::Config& config);
  // Makes [host, host + size) visible at its own address (below 4 GiB), for user code. Page aligned.
  void map(u8* host, u64 size, bool writable);
  // A page of a device at `address` (below 4 GiB), for user code.
  void map_device(u64 address, mem::IoHandler& device);
  X86State& state() { return cpu_.state(); }
  exec::VcpuLoop& loop() { return loop_; }
  // Prepares user mode with flat segments and these registers; then runs. The vector of the exception that ended it.
  void user_mode(bool bits32);
  u8 run();
  // The host changed bytes of [host, host + size) behind the emulator's back.
  void code_changed(u8* host, u64 size) { loop_.post_invalidate(reinterpret_cast<u64>(host), size); }
  std::string jit_info() { return loop_.jit_info(); }

 private:
  void map_page(u64 va, bool writable);
  u64 table(u64 index) const { return kTables + index * mem::kPageSize; }
  static constexpr u64 kTables = u64{4} << 30;  // physical address of the page tables
  static constexpr u64 kTablePages = 64;
  NullPlatform platform_;
  mem::AddressSpace memory_;
  exec::CodePages pages_;
  X86Cpu cpu_;
  ProbeCpu probe_;
  exec::VcpuLoop loop_;
  u64* tables_ = nullptr;
  u64 used_ = 1;
};

}  // namespace doppel::x86::test

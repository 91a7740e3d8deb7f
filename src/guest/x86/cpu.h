// X86Cpu: one x86 CPU as the executor and the board see it. Owns the state; its pins may be driven from any thread.
#pragma once
#include <memory>

#include "guest/guest.h"
#include "guest/user_cpu.h"
#include "guest/x86/platform.h"
#include "guest/x86/state.h"

namespace doppel::x86 {

// The reason a page walk failed, kept for raise_fault.
struct PageFault {
  bool canonical = true;
  u32 error = 0;
};

class X86Cpu final : public guest::GuestCpu, public guest::UserCpu, public mem::MmuHooks {
 public:
  X86Cpu(const CpuModel& model, Platform& platform, u32 index, std::unique_ptr<guest::Frontend> frontend);
  ~X86Cpu() override;

  X86State& state() { return *s_; }
  const X86State& state() const { return *s_; }
  const CpuModel& model() const { return model_; }

  // --- pins: any thread. The board then calls Vcpu::kick.
  void set_intr(bool level) { set_event(kEventIntr, level); }    // INTR: the 8259s
  void apic_event(bool level) { set_event(kEventApic, level); }  // the local APIC has a vector to deliver
  void nmi() { set_event(kEventNmi, true); }
  void smi() { set_event(kEventSmi, true); }
  void init() {
    take_event(kEventSipi);
    set_event(kEventInit, true);
  }
  void sipi(u8 vector);
  void request_reset() { set_event(kEventReset, true); }
  // A20 gate; takes effect at the next instruction boundary.
  void set_a20(bool enabled);

  // --- guest::GuestCpu
  mem::VcpuHeader& header() override { return s_->h; }
  guest::Frontend& frontend() override { return *frontend_; }
  u64 pc() const override { return s_->rip; }
  void set_pc(u64 pc) override { s_->rip = pc; }
  u64 mode() const override;
  u64 code_base() const override { return (s_->mode_cache & kModeCs64) ? 0 : s_->seg[CS].base; }
  u64 linear_pc() const override {
    return (s_->mode_cache & kModeCs64) ? s_->rip : static_cast<u32>(s_->rip + s_->seg[CS].base);
  }
  void reset() override;
  bool has_work() const override;
  bool halted() const override { return s_->halted != kRunning; }
  bool goes_on(guest::CodePosition& at) const override;
  void deliver_pending() override;
  bool single_stepping() const override { return (s_->eflags & TF) != 0; }
  void after_single_step() override;
  void archive(StateArchive& ar) override;
  std::string dump_registers() const override;
  const std::vector<guest::GdbRegister>& gdb_registers() const override { return gdb_registers_; }
  std::string gdb_feature() const override;
  size_t gdb_read(size_t number, u8* out) const override;
  size_t gdb_write(size_t number, const u8* in) override;
  bool debug_translate(u64 va, u64& pa) override;
  guest::UserCpu* user() override { return this; }

  // --- guest::UserCpu (user.cpp)
  void start_program(bool wide, std::function<void(const guest::UserEvent&)> sink) override;
  void set_descriptor_table(u64 address, u32 bytes) override;
  bool set(std::string_view name, u64 value) override;
  u64 get(std::string_view name) const override;
  u64 gpr(unsigned number) const override;
  void set_gpr(unsigned number, u64 value) override;
  size_t float_bytes() const override;
  void save_float(std::span<u8> out) const override;
  void load_float(std::span<const u8> in) override;
  void copy_from(const guest::UserCpu& from) override;

  // --- mem::MmuHooks
  bool translate(mem::VcpuHeader& cpu, u64 va, mem::Access access, u32 mmu_mode, mem::Translation& out) override;
  [[noreturn]] void raise_fault(mem::VcpuHeader& cpu, u64 va, mem::Access access, u32 mmu_mode, bool stack) override;
  [[noreturn]] void raise_alignment(mem::VcpuHeader& cpu, u64 va, mem::Access access) override;
  void watchpoint_hit(mem::VcpuHeader& cpu, u64 va, u32 size, mem::Access access) override;

 private:
  void set_event(u32 bit, bool on);
  void take_event(u32 bit) { s_->events.fetch_and(~bit, std::memory_order_seq_cst); }
  u32 wake_events() const;
  void deliver_to_program();
  bool translate_for_program(u64 va, mem::Access access);
  void deliver_exception();
  void deliver_event(u32 event);
  void build_gdb_registers();

  const CpuModel model_;
  Platform& platform_;
  std::unique_ptr<guest::Frontend> frontend_;
  std::unique_ptr<X86State> s_;
  PageFault fault_;
  std::function<void(const guest::UserEvent&)> sink_;
  std::vector<guest::GdbRegister> gdb_registers_;
};

// The state is reset; the frontend comes from make_frontend (translate/frontend.h).
std::unique_ptr<guest::GuestCpu> make_x86_cpu(const CpuModel& model, Platform& platform, u32 index);

}  // namespace doppel::x86

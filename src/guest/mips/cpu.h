// MipsCpu: one MIPS CPU as the executor and the board see it. Owns the state; its pins may be driven from any thread.
#pragma once
#include <array>
#include <memory>
#include <optional>

#include "guest/guest.h"
#include "guest/mips/platform.h"
#include "guest/mips/state.h"
#include "guest/user_cpu.h"

namespace doppel::mips {

class MipsCpu final : public guest::GuestCpu, public guest::UserCpu, public mem::MmuHooks {
 public:
  MipsCpu(const CpuModel& model, Platform& platform, u32 index, std::unique_ptr<guest::Frontend> frontend);
  ~MipsCpu() override;

  MipsState& state() { return *s_; }
  const CpuModel& model() const { return model_; }
  // What the board's loader leaves behind: the state after each reset.
  struct Boot {
    u64 pc = 0, sp = 0;
    std::array<u64, 4> args{};  // a0 to a3
  };
  void set_boot(const Boot& boot) { boot_ = boot; }

  // --- pins: any thread. The board then calls Vcpu::kick.
  void set_interrupt(unsigned n, bool level);  // hardware interrupt n, 0..5: Cause.IP2..IP7
  // The time that arm_compare asked for has come. Returns the ns until it is due again, if Compare is not written.
  u64 timer_event();
  void nmi();

  // --- guest::GuestCpu
  mem::VcpuHeader& header() override { return s_->h; }
  guest::Frontend& frontend() override { return *frontend_; }
  u64 pc() const override { return s_->pc; }
  void set_pc(u64 pc) override {
    const u64 mark = slot_mark_bit(model_);
    s_->pc = pc & ~mark;
    s_->in_slot = (pc & mark) != 0;
  }
  u64 mode() const override { return s_->mode_cache; }
  // MIPS16 code lies one below its odd pc.
  u64 code_base() const override { return model_.mips16 ? 0 - (s_->pc & 1) : 0; }
  u64 linear_pc() const override { return s_->pc + code_base(); }
  void reset() override;
  bool has_work() const override;
  bool halted() const override { return s_->waiting != 0; }
  void deliver_pending() override;
  bool single_stepping() const override { return false; }
  void after_single_step() override {}
  void archive(StateArchive& ar) override;
  std::string dump_registers() const override;
  const std::vector<guest::GdbRegister>& gdb_registers() const override { return gdb_registers_; }
  std::string gdb_feature() const override;
  size_t gdb_read(size_t number, u8* out) const override;
  size_t gdb_write(size_t number, const u8* in) override;
  bool debug_translate(u64 va, u64& pa) override;
  bool enter_fetch_fault() override;
  guest::UserCpu* user() override { return this; }

  // --- guest::UserCpu (user.cpp)
  void start_program(bool wide, std::function<void(const guest::UserEvent&)> sink) override;
  void set_descriptor_table(u64, u32) override {}
  bool set(std::string_view name, u64 value) override;
  u64 get(std::string_view name) const override;
  u64 gpr(unsigned number) const override { return s_->gpr[number & 31]; }
  void set_gpr(unsigned number, u64 value) override;
  size_t float_bytes() const override;
  void save_float(std::span<u8> out) const override;
  void load_float(std::span<const u8> in) override;
  void copy_from(const guest::UserCpu& from) override;

  // --- mem::MmuHooks
  bool translate(mem::VcpuHeader& cpu, u64 va, mem::Access access, u32 mmu_mode, mem::Translation& out) override;
  [[noreturn]] void raise_fault(mem::VcpuHeader& cpu, u64 va, mem::Access access, u32 mmu_mode, bool stack) override;
  [[noreturn]] void raise_alignment(mem::VcpuHeader& cpu, u64 va, mem::Access access) override;
  void watchpoint_hit(mem::VcpuHeader&, u64, u32, mem::Access) override {}

 private:
  void build_gdb_registers();
  bool gdb_is_half(size_t number) const;
  void deliver_to_program();
  bool set_fr(bool on);

  const CpuModel model_;
  Platform& platform_;
  std::unique_ptr<guest::Frontend> frontend_;
  std::unique_ptr<MipsState> s_;
  std::optional<Boot> boot_;
  std::function<void(const guest::UserEvent&)> sink_;
  std::vector<guest::GdbRegister> gdb_registers_;
};

std::unique_ptr<guest::GuestCpu> make_mips_cpu(const CpuModel& model, Platform& platform, u32 index);

}  // namespace doppel::mips

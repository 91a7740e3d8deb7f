// IdeChannel: an ATA cable with up to two drives behind a host adapter's command and control blocks. Register writes
// reach both drives, reads come from the selected one. Without a drive at the selected place every register reads zero.
#pragma once
#include <array>
#include <functional>
#include <memory>

#include "hw/block/disk_queue.h"
#include "hw/block/ide_drive.h"
#include "hw/core/clock.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class IdeChannel final : public IdeHost {
 public:
  struct Params {
    Clock& clock;
    IrqLine irq;
    s64 command_delay_ns = 0;  // BSY for this long after a command; 0: commands run inside the register write
    std::array<std::unique_ptr<IdeDrive>, 2> drives;
    // The bus master's ears; may be empty.
    std::function<void(bool level)> on_intrq;
    std::function<void(IdeDrive&)> on_dma;
    std::mutex* device_lock = nullptr;  // null: DMA and flushes are done at once
  };
  explicit IdeChannel(Params p);
  MmioHandler& command_block() { return command_block_; }  // 8 ports: 0x1f0 or 0x170
  MmioHandler& control_block() { return control_block_; }  // 1 port: 0x3f6 or 0x376
  IdeDrive* drive(unsigned unit) const { return p_.drives[unit].get(); }
  IdeDrive* selected() const { return p_.drives[select_].get(); }
  void reset();  // hardware reset
  void drain() { queue_.drain(); }
  void resume() { queue_.resume(); }
  void archive(StateArchive& ar);

  void intrq_changed(IdeDrive& drive) override;
  void dma_requested(IdeDrive& drive) override;
  DiskQueue* disk_queue() override { return &queue_; }

 private:
  class CommandBlock final : public MmioHandler {
   public:
    explicit CommandBlock(IdeChannel& c) : c_(c) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 4}; }

   private:
    IdeChannel& c_;
  };
  class ControlBlock final : public MmioHandler {
   public:
    explicit ControlBlock(IdeChannel& c) : c_(c) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    IdeChannel& c_;
  };
  u8 read_register(unsigned reg);
  void write_register(unsigned reg, u8 value);
  void write_control(u8 value);
  void command(u8 value);
  void run_pending();
  void diagnostic();
  void drive_irq();
  bool busy() const;  // BSY: no register is written

  Params p_;
  CommandBlock command_block_{*this};
  ControlBlock control_block_{*this};
  Timer delay_;
  u8 select_ = 0, control_ = 0, pending_ = 0;
  bool has_pending_ = false, line_ = false;
  DiskQueue queue_;
};

}  // namespace doppel::hw

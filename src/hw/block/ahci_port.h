// AhciPort: one port of an AHCI controller with the drive behind it (AHCI 1.3.1, section 3.3 and chapters 5 and 6):
// command list, received frames, native command queuing. The commands are the drive's own (AtaDisk, AtapiCd); their DMA
// and flushes, and queued reads and writes, are done off the device lock (disk_queue.h). Queued commands run side by
// side; others one after the other.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "hw/block/ahci_defs.h"
#include "hw/block/disk_queue.h"
#include "hw/block/ide_drive.h"
#include "hw/core/dma.h"

namespace doppel::hw {

class AtaDisk;
class DiskMemory;

class AhciPort final : public IdeHost {
 public:
  struct Params {
    std::unique_ptr<IdeDrive> drive;    // null: nothing there
    std::mutex* device_lock = nullptr;  // null: synchronous
    std::function<DmaPort&()> dma;
    std::function<void()> interrupt;  // the port's interrupt status may have changed
  };
  explicit AhciPort(Params p);
  u32 read(u64 offset) const;
  void write(u64 offset, u32 value);
  bool interrupting() const { return (is_ & ie_) != 0; }
  IdeDrive* drive() const { return p_.drive.get(); }
  void reset();
  void archive(StateArchive& ar);
  void end() { queue_.end(); }
  void drain() { queue_.drain(); }
  void resume() { queue_.resume(); }

  void intrq_changed(IdeDrive&) override {}
  void dma_requested(IdeDrive&) override {}
  DiskQueue* disk_queue() override { return &queue_; }
  void drive_ready(IdeDrive& drive) override;

 private:
  struct Header {
    u32 flags = 0, table_length = 0;
    u64 table = 0;
  };
  struct Queued;  // a command of the device's queue

  // ahci_port.cpp
  void write_command(u32 value);
  void write_control(u32 value);
  void stop();
  void connect();  // after a reset: the drive's signature
  bool running() const { return (command_ & ahci::kSt) != 0 && !halted_ && p_.drive != nullptr; }
  void raise(u32 interrupts);
  void show_task();
  void receive(u32 at, std::span<const u8> frame);
  void receive_d2h(bool interrupt);
  u32 signature() const;

  // ahci_command.cpp
  void process();
  void start(unsigned slot);
  void start_register_frame(unsigned slot, std::span<const u8> frame);
  void start_queued(unsigned slot, std::span<const u8> frame);
  void submit_queued(std::unique_ptr<Queued> command);
  void finish_queued(Queued& command, int error);
  void run();
  void pio_in();
  void pio_out();
  void dma_phase();
  void finish();
  void abandon(u32 interrupts);
  bool load_header(unsigned slot);
  bool load_segments(u64 limit);
  std::unique_ptr<DiskMemory> take_memory(u64 bytes, bool to_guest);
  size_t to_memory(std::span<const u8> data);
  size_t from_memory(std::span<u8> data);

  Params p_;
  AtaDisk* disk_ = nullptr;  // null: a packet device, or none
  u64 list_ = 0, frames_ = 0;
  u32 is_ = 0, ie_ = 0, command_ = 0, task_ = 0x7f, status_control_ = 0, error_ = 0, active_ = 0, issued_ = 0;
  bool soft_reset_ = false, halted_ = false;
  // The command that is not queued; slot_ < 0: none.
  int slot_ = -1;
  Header header_;
  std::vector<DmaSegment> segments_;
  size_t segment_ = 0;
  u64 inside_ = 0, moved_ = 0;
  bool with_disk_ = false, processing_ = false, pio_ = false;
  u32 queued_ = 0;  // slots that the disk is at
  u32 generation_ = 0;
  std::vector<u8> scratch_;
  DiskQueue queue_;
};

}  // namespace doppel::hw

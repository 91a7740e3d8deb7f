// Fdc: Intel 82078 (82077AA compatible) floppy disk controller. Document 290474: registers section 2, commands
// section 5. Data moves through an IsaDmaChannel or, with SPECIFY's ND bit, byte by byte through the FIFO. Ports:
// registers() at 0x3f0 (6 ports), dir_ccr() at 0x3f7 (one port; 0x3f6 is the ATA control block).
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "hw/block/floppy_drive.h"
#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/isa_dma.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class Fdc final : public Device, private IsaDmaChannel::Listener {
 public:
  struct Params {
    Clock& clock;
    IrqLine irq;                   // ISA interrupt 6
    IsaDmaChannel* dma = nullptr;  // channel 2; null: PIO only. Calls us only while the machine runs
    std::array<FloppyType, 2> types = {FloppyType::D1440, FloppyType::None};
    std::array<std::shared_ptr<block::Node>, 2> media;
  };
  explicit Fdc(Params p);
  MmioHandler& registers() { return registers_; }
  MmioHandler& dir_ccr() { return dir_ccr_; }
  FloppyDrive& drive(unsigned n) { return drives_[n]; }
  void change_medium(unsigned drive, std::shared_ptr<block::Node> medium);  // null: eject

  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;

 private:
  class Registers final : public MmioHandler {
   public:
    explicit Registers(Fdc& f) : f_(f) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    Fdc& f_;
  };
  class DirCcr final : public MmioHandler {
   public:
    explicit DirCcr(Fdc& f) : f_(f) {}
    u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, u64 value, unsigned size) override;
    AccessSizes access_sizes() const override { return {1, 1}; }

   private:
    Fdc& f_;
  };
  enum class Phase : u8 { Command, Execution, Result };
  enum class Transfer : u8 { None, Read, Write, Verify, Format, Scan };

  void dma_ready() override;
  u8 status_a() const;
  u8 status_b() const;
  u8 main_status() const;
  u8 digital_input() const;
  u8 read_fifo();
  void write_fifo(u8 value);
  void write_dor(u8 value);
  void write_dsr(u8 value);
  void controller_reset();
  void reset_done();
  void set_irq(bool level);
  // Commands, fdc_commands.cpp.
  static unsigned command_length(u8 command);
  void run_command();
  void result(std::initializer_list<u8> bytes);
  void invalid();
  void specify();
  void sense_drive();
  void sense_interrupt();
  void recalibrate();
  void seek(unsigned cylinder);
  void relative_seek();
  void configure();
  void dump_registers();
  void perpendicular();
  void lock();
  void read_id();
  void format_track();
  void start_transfer(Transfer kind);
  void start_execution(Transfer kind);
  bool ready_to_transfer();  // medium, data rate and side; false: the command has ended
  void seek_end();
  // The execution phase, fdc_transfer.cpp.
  bool non_dma() const { return p_.dma == nullptr || (hlt_nd_ & 1) != 0 || (dor_ & 8) == 0; }
  bool to_host() const { return transfer_ == Transfer::Read; }
  void begin();  // the heads are there
  void run_dma();
  bool prepare();  // the next sector's place, and its bytes where they are needed; false: ended with an error
  bool find_sector(u64& offset);
  bool unit_done();  // sector_ is full or empty; false: the transfer has ended
  bool scan_sector();
  bool next_sector();  // false: end of cylinder
  void verify();
  void finish(u8 st0, u8 st1, u8 st2);
  FloppyDrive& selected() { return drives_[unit_ & 1]; }

  Params p_;
  Registers registers_{*this};
  DirCcr dir_ccr_{*this};
  std::array<FloppyDrive, 2> drives_;
  Timer reset_timer_, seek_timer_, start_timer_;
  Phase phase_ = Phase::Command;
  Transfer transfer_ = Transfer::None;
  u8 dor_ = 0, dsr_ = 0, ccr_ = 0, tdr_ = 0;
  bool irq_ = false;
  std::array<u8, 16> fifo_{};  // command bytes, then result bytes
  u8 fifo_at_ = 0, fifo_end_ = 0;
  u8 sense_pending_ = 0;  // drives with an unreported reset or seek end
  u8 seeking_ = 0;        // drives whose heads move
  std::array<u8, 4> seek_to_{};
  std::array<u8, 4> sense_st0_{};
  u8 unit_ = 0, head_ = 0, cylinder_ = 0, side_ = 0, sector_id_ = 0, size_code_ = 2, end_of_track_ = 0;
  bool multi_track_ = false, deleted_ = false, scan_equal_ = true;
  u8 scan_kind_ = 0;  // the SCAN command's code
  bool implied_seek_done_ = false;
  std::vector<u8> sector_;
  u32 sector_at_ = 0, sector_end_ = 0;
  bool terminal_count_ = false;
  u8 srt_hut_ = 0, hlt_nd_ = 0, config_ = 0, precompensation_ = 0, perpendicular_ = 0;
  bool locked_ = false;
  u8 format_left_ = 0, format_fill_ = 0;
  u64 sector_offset_ = 0;  // of sector_ on the medium
};

}  // namespace doppel::hw

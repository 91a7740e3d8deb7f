// AtaDisk: an ATA-8 hard disk (ATA8-ACS, document D1699) over a block::Node: CHS, 28- and 48-bit addresses, PIO,
// multiple and DMA transfers, write cache with flush, a minimal SMART.
#pragma once
#include <memory>

#include "block/node.h"
#include "hw/block/ide_drive.h"

namespace doppel::hw {

struct DiskGeometry {
  u32 cylinders = 0, heads = 0, sectors = 0;
};
// The default translation geometry: from the partition table's CHS values if it has sensible ones, else 16 heads of 63
// sectors.
DiskGeometry guess_geometry(block::Node& node);

class AtaDisk final : public IdeDrive {
 public:
  struct Params {
    std::shared_ptr<block::Node> node;
    std::string serial;                            // up to 20 characters; empty: "DP00001"...
    std::string model = "DOPPEL HARDDISK";         // up to 40
    std::string firmware = "1.0";                  // up to 8
    DiskGeometry geometry;                         // zero: guessed
    std::shared_ptr<DiskPolicy> policy = nullptr;  // of DMA, queued commands and flushes; null: none
    bool sata = false;                             // behind AHCI: says that it can queue commands
  };
  explicit AtaDisk(Params p);
  bool is_packet_device() const override { return false; }
  void execute(u8 command) override;
  void reset(bool hard) override;
  void archive(StateArchive& ar) override;
  std::string describe() const override;
  u32 dma_read(std::span<u8> out) override;
  u32 dma_write(std::span<const u8> in) override;
  void dma_end() override;
  void dma_cancel() override;
  std::optional<DiskRequest> disk_request() const override;
  void disk_done(int error) override;
  // For a host that queues commands.
  block::Node& node() const { return *p_.node; }
  std::shared_ptr<block::Node> shared_node() const { return p_.node; }
  const std::shared_ptr<DiskPolicy>& policy() const { return p_.policy; }
  bool write_cache() const { return write_cache_; }
  static u8 error_register(int error);
  void set_queue_error(u8 tag, u64 lba);
  const DiskGeometry& geometry() const { return native_; }  // for CMOS and firmware tables
  u64 sectors() const { return sectors_; }

 protected:
  void set_signature() override;
  void data_in_done() override;
  void data_out_done() override;

 private:
  enum class Job : u8 { None, Sectors, Buffer, SmartLog, Trim };
  bool execute_transfer(u8 command);  // false: not a media access command
  bool execute_power(u8 command);
  bool start_address(bool ext);  // lba_, remaining_ from the task file; false: out of range, already failed
  void store_address(u64 lba, bool ext);
  void start_read(bool ext, u32 block);
  void start_write(bool ext, u32 block);
  void start_dma_command(bool ext, bool to_host);
  void next_read_block();
  void verify(bool ext);
  void flush();
  void set_features();
  void set_multiple();
  void initialize_parameters();
  void read_native_max(bool ext);
  void smart();
  void smart_read_data();
  void smart_thresholds();
  void trim();
  int trim_block(std::span<const u8> ranges);
  void identify();
  void read_log();
  void media_error(int error);

  Params p_;
  u64 sectors_ = 0;
  DiskGeometry native_, current_;
  Job job_ = Job::None;
  u64 lba_ = 0;
  u32 remaining_ = 0;          // sectors still to move
  int dma_error_ = 0;          // errno of a failed DMA data phase
  bool flushed_ = false;       // the DMA data phase has done what FUA asks for
  u8 queue_error_tag_ = 0x80;  // log page 10h; bit 7: no queued command has failed
  u64 queue_error_lba_ = 0;
  u32 block_ = 1;  // sectors a DRQ block
  bool ext_ = false, fua_ = false;
  u8 multiple_ = 0, power_mode_ = 0xff;
  bool write_cache_ = true, read_ahead_ = true, smart_enabled_ = true, smart_autosave_ = true;
  u16 mdma_ = 0, udma_ = 0;  // selected mode bits, IDENTIFY words 63 and 88
  u8 pio_mode_ = 4;
};

}  // namespace doppel::hw

// IdeDrive: what all devices on an ATA channel share: the task file, the PIO data buffer, the DMA hand-over to the bus
// master, INTRQ. AtaDisk and AtapiCd derive from it and run commands. A drive knows only its IdeHost (the channel).
//
// Completion model: PIO and what takes no time finishes inside the register write that asked for it, on the vCPU's
// thread (block::*_sync): the guest sees the finished state (DRQ or DRDY, INTRQ high) at its next register read, as
// with an infinitely fast disk. DMA and flushes go through the host's disk queue, if it has one. A channel built with a
// command delay shows BSY for that long first.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "block/node.h"
#include "hw/block/ata_defs.h"
#include "state/archive.h"

namespace doppel::hw {

class DiskPolicy;
class DiskQueue;
class IdeDrive;

class IdeHost {
 public:
  virtual ~IdeHost() = default;
  virtual void intrq_changed(IdeDrive& drive) = 0;
  virtual void dma_requested(IdeDrive& drive) = 0;            // the drive has entered a DMA data phase
  virtual DiskQueue* disk_queue() { return nullptr; }         // for what takes long; null: do it at once
  virtual void drive_ready(IdeDrive& drive) { (void)drive; }  // no longer busy()
};

// A DMA data phase that is one request on a disk.
struct DiskRequest {
  std::shared_ptr<block::Node> node;
  u64 offset = 0;
  u32 bytes = 0;
  bool flush_after = false;
  std::shared_ptr<DiskPolicy> policy = nullptr;
  int run(block::Pieces data, bool read) const;  // 0 or an errno value; no lock is needed
};

// The registers of one device. Each has a current and a previous ("hob") byte for 48-bit commands.
struct TaskFile {
  u8 error = 0, feature = 0, count = 0, lba_low = 0, lba_mid = 0, lba_high = 0, device = 0, status = 0;
  u8 hob_feature = 0, hob_count = 0, hob_low = 0, hob_mid = 0, hob_high = 0;
};

class IdeDrive {
 public:
  enum class Phase : u8 { Idle, DataIn, DataOut, DmaIn, DmaOut };  // In: to the host

  virtual ~IdeDrive() = default;
  void connect(IdeHost* host, bool slave) {
    host_ = host;
    slave_ = slave;
  }
  TaskFile& task() { return task_; }
  bool slave() const { return slave_; }
  bool intrq() const { return intrq_; }
  Phase phase() const { return phase_; }

  virtual bool is_packet_device() const = 0;
  virtual void execute(u8 command) = 0;  // phase is Idle and BSY clear when called
  // Power-on, hardware reset (both) and SRST (not `hard`): settings survive a software reset.
  virtual void reset(bool hard);
  virtual void archive(StateArchive& ar);
  virtual std::string describe() const = 0;

  void diagnostic_result();  // EXECUTE DEVICE DIAGNOSTIC and resets: signature and code 1
  void set_intrq(bool level);
  // The data register. Outside a data phase reads are zero and writes are dropped.
  u32 read_data(unsigned size);
  void write_data(u32 value, unsigned size);
  // Whole buffers at once (string instructions): returns the bytes moved, at most to the end of the current DRQ block.
  u32 read_data_block(std::span<u8> out);
  u32 write_data_block(std::span<const u8> in);

  bool dma_active() const { return phase_ == Phase::DmaIn || phase_ == Phase::DmaOut; }
  // The bus master moves data until dma_done(), then, with the bytes in memory, calls dma_end(): the command's status
  // and INTRQ. Bytes moved; fewer than asked for: dma_done() (all moved, or an error).
  virtual u32 dma_read(std::span<u8> out) = 0;
  virtual u32 dma_write(std::span<const u8> in) = 0;
  virtual void dma_end() = 0;
  bool dma_done() const { return dma_done_; }
  virtual void dma_cancel();  // the bus master ran out of descriptors: the command dies quietly
  // The whole data phase as a request, for a host that does it off the device lock; none: go on with dma_read() and
  // dma_write(). disk_done() stands for them, then comes dma_end().
  virtual std::optional<DiskRequest> disk_request() const { return std::nullopt; }
  virtual void disk_done(int error) { (void)error; }
  bool busy() const { return busy_; }  // with something that the host's disk queue does: BSY
  void wait_for_disk() {
    busy_ = true;
    task_.status = ata::kBsy;
  }
  DiskQueue* disk_queue() const { return host_ != nullptr ? host_->disk_queue() : nullptr; }
  u32 block_left() const { return end_ - at_; }

 protected:
  virtual void set_signature() = 0;
  virtual void data_in_done() = 0;   // the guest took the last byte of a DRQ block
  virtual void data_out_done() = 0;  // the guest gave the last byte

  // Starts a DRQ block of `bytes` in buffer_ (from its start).
  void start_data_in(u32 bytes, bool interrupt = true);
  void start_data_out(u32 bytes, bool interrupt);
  void start_dma(bool to_host);
  void complete(u8 status = ata::kDrdy | ata::kDsc);        // no error, INTRQ
  void fail(u8 error, u8 status = ata::kDrdy | ata::kDsc);  // ERR with `error`, INTRQ
  void leave_data_phase();

  IdeHost* host_ = nullptr;
  bool slave_ = false;
  TaskFile task_;
  Phase phase_ = Phase::Idle;
  std::vector<u8> buffer_;  // never shrinks below what a DRQ block needs
  u32 at_ = 0, end_ = 0;
  bool dma_done_ = false;
  bool busy_ = false;

 private:
  bool intrq_ = false;
};

}  // namespace doppel::hw

// Nvme: an NVM Express controller with one namespace over a block::Node (NVM Express Base Specification 1.4): admin and
// I/O queues in guest memory, PRP lists, MSI-X or INTx, flush, write zeroes, deallocate, compare, asynchronous events.
// The disk's work is done off the device lock (disk_queue.h); commands are fetched while there is room for them, the
// rest waits in its queue. Not there: SGLs, fused commands, metadata, namespace management, queues in pieces.
//
// Nothing in a queue or a PRP list is believed: what leads outside of memory ends in a status or a fatal error.
#pragma once
#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "block/node.h"
#include "hw/block/disk_queue.h"
#include "hw/block/nvme_defs.h"
#include "hw/bus/pci/msix.h"
#include "hw/bus/pci/pci_device.h"

namespace doppel::hw {

class Nvme final : public PciDevice, private MmioHandler {
 public:
  struct Params {
    std::shared_ptr<block::Node> node;
    std::string serial;                      // up to 20 characters
    std::string model = "DOPPEL NVMe Ctrl";  // up to 40
    std::mutex* device_lock = nullptr;       // null: synchronous
    u16 io_queues = 64;
    std::shared_ptr<DiskPolicy> policy = nullptr;  // null: none
  };
  explicit Nvme(Params p);
  ~Nvme() override;
  void reset() override;
  void archive(StateArchive& ar) override;
  void leave() override { queue_.end(); }
  void sleep() override { queue_.drain(); }
  void wake() override { queue_.resume(); }
  std::string info() const override;

 private:
  using Command = nvme::Command;
  struct Completion {
    u32 result = 0;
    u16 sq = 0, head = 0, id = 0, status = 0;
  };
  struct SubmissionQueue {
    u64 base = 0;
    u32 size = 0;  // entries; 0: there is none
    u32 head = 0, tail = 0;
    u16 cq = 0;
  };
  struct CompletionQueue {
    u64 base = 0;
    u32 size = 0;
    u32 head = 0, tail = 0;
    u16 vector = 0;
    bool phase = true, interrupts = false;
    bool posted = false;             // since the last interrupt
    std::deque<Completion> waiting;  // for room
  };
  struct Io;  // a command that the disk is at

  // Registers, nvme.cpp.
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void config_written(u8 offset, unsigned size) override;
  u64 capabilities() const;
  void write_control(u32 value);
  void enable();
  void disable();
  void shut_down();
  void fatal(const char* why);
  void doorbell(u64 offset, u32 value);

  // Queues, nvme_queues.cpp.
  void run_queue(u16 id);
  void run_queues();
  bool room() const;
  void complete(u16 sq, u16 command, u16 status, u32 result = 0);
  bool post(CompletionQueue& q, const Completion& c);
  void publish();
  bool ready() const { return (status_ & nvme::kCstsReady) != 0 && (status_ & nvme::kCstsFatal) == 0; }
  u32 page_size() const { return 4096u << std::min(control_ >> 7 & 15, 4u); }
  u16 map_prp(u64 prp1, u64 prp2, u64 length, std::vector<DmaSegment>& out);
  u16 send(const Command& c, std::span<const u8> data);  // to the buffer of a command
  void async_event(u8 type, u8 information, u8 log);
  void answer_events();
  static void archive_waiting(StateArchive& ar, CompletionQueue& q);
  void archive_events(StateArchive& ar);

  // nvme_admin.cpp. The result is a status, or nothing when the command is answered later.
  std::optional<u16> admin(const Command& c, u32& result);
  u16 create_cq(const Command& c);
  u16 create_sq(const Command& c);
  u16 delete_cq(const Command& c);
  u16 delete_sq(const Command& c);
  u16 identify(const Command& c);
  std::vector<u8> identify_controller() const;
  std::vector<u8> identify_namespace() const;
  u16 get_log_page(const Command& c);
  u16 get_features(const Command& c, u32& result);
  u16 set_features(const Command& c, u32& result);
  std::array<u8, 16> uuid() const;

  // nvme_io.cpp.
  void io(u16 sq, const Command& c);
  u16 check_range(u64 block, u64 count) const;
  u16 start_transfer(const Command& c, const std::shared_ptr<Io>& io);
  u16 start_ranges(const Command& c, const std::shared_ptr<Io>& io);
  void submit(std::shared_ptr<Io> io);
  void finish(Io& io, int error);
  u64 blocks() const { return p_.node->size() / nvme::kBlock; }

  Params p_;
  std::unique_ptr<PciMsix> msix_;
  u32 control_ = 0, status_ = 0, interrupt_mask_ = 0, admin_sizes_ = 0;
  u64 admin_sq_ = 0, admin_cq_ = 0;
  std::vector<SubmissionQueue> sqs_;  // [0]: admin
  std::vector<CompletionQueue> cqs_;
  std::vector<u16> event_requests_;  // ids of commands that wait for an event
  std::vector<u32> events_;          // that wait for a command
  u8 masked_events_ = 0;             // types whose log page has not been read
  bool write_cache_ = true;
  u16 temperature_high_ = 0x157, temperature_low_ = 0;
  u32 event_config_ = 0;
  u64 in_flight_ = 0, outstanding_ = 0;  // bytes, commands
  bool waiting_ = false;                 // commands found no room
  u64 reads_ = 0, writes_ = 0, errors_ = 0;
  DiskQueue queue_;
};

}  // namespace doppel::hw

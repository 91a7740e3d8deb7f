// Virtio SCSI host device (virtio 1.2, 5.6): requests in any number of queues to the units of a ScsiBus, task
// management, events of units that come, go and change their medium. Disks' work is done off the device lock
// (disk_queue.h). A request that asks for more than kMaxTransfer bytes fails; requests that together need more than
// kMaxInFlight bytes wait in their ring.
#pragma once
#include <memory>
#include <mutex>

#include "hw/block/disk_queue.h"
#include "hw/block/scsi_device.h"
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioScsi final : public VirtioDevice {
 public:
  static constexpr u64 kMaxTransfer = 64 << 20, kMaxInFlight = 64 << 20;
  struct Params {
    Clock& clock;
    std::mutex* device_lock = nullptr;  // null: synchronous
    std::vector<ScsiBus::Unit> units = {};
    u16 queues = 1, queue_size = 256;
    u32 max_sectors = 0xffff, commands_per_lun = 128;
    bool event_idx = true, indirect = true;
  };
  explicit VirtioScsi(Params p);
  void leave() override { queue_.end(); }
  void sleep() override { queue_.drain(); }
  void wake() override { queue_.resume(); }
  std::string info() const override;
  ScsiBus& bus() { return bus_; }
  // What happens to units, told to a driver that asked for such events. The place of one that comes is free; of one
  // that goes, nothing is in flight any more. Null: it was not there.
  void plug(ScsiBus::Unit unit);
  std::unique_ptr<ScsiDevice> unplug(u8 target, u16 lun);
  void medium_changed(u8 target, u16 lun);

 private:
  struct Request;
  void handle(u16 queue) override;
  void stopped() override;
  void config_written(u64 offset, u64 value, unsigned size) override;
  void archive_device(StateArchive& ar) override;
  Serve start(u16 queue, const VirtqChain& chain);
  Serve control(const VirtqChain& chain);
  u8 manage_tasks(std::span<const u8> request);
  void send_event(u32 type, u8 target, u16 lun, u32 reason);
  void complete(Request& r, const ScsiTask& task, u8 response);
  void batch_done();

  u32 sense_size_ = 96, cdb_size_ = 32;
  u64 in_flight_ = 0;
  bool waiting_ = false, events_missed_ = false;
  u32 generation_ = 0;
  std::vector<bool> touched_;
  u64 commands_ = 0, errors_ = 0;
  ScsiBus bus_;
  DiskQueue queue_;
};

}  // namespace doppel::hw

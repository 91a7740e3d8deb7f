// Virtio block device (virtio 1.2, 5.2): reads, writes, flushes, discards, zeroes, several queues. Requests are checked
// and their buffers copied with the device lock held; the disk's own work is done by a disk queue (disk_queue.h), so
// that a slow disk or a flush never holds up the machine. With `synchronous` it is done at once, so that what a guest
// sees depends on nothing else (-icount, tests).
//
// A request of more than kMaxTransfer bytes, outside of the disk or not in whole sectors fails; requests that together
// need more than kMaxInFlight bytes of buffers wait in their ring.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "block/node.h"
#include "hw/block/disk_queue.h"
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioBlk final : public VirtioDevice {
 public:
  static constexpr u64 kMaxTransfer = 64 << 20, kMaxInFlight = 64 << 20;
  struct Params {
    std::shared_ptr<block::Node> node;
    Clock& clock;
    std::mutex& device_lock;
    std::string serial = {};  // at most 20 characters
    u16 queues = 1, queue_size = 256;
    bool event_idx = true, indirect = true;
    bool discard = true, write_zeroes = true, config_wce = true;
    bool write_cache = true;  // after a reset; false: every write is on the disk before it is told as done
    bool read_only = false;
    bool synchronous = false;
    std::shared_ptr<DiskPolicy> policy = nullptr;  // null: none
  };
  explicit VirtioBlk(Params p);
  void leave() override { queue_.end(); }
  void sleep() override { queue_.drain(); }
  void wake() override { queue_.resume(); }
  std::string info() const override;

 private:
  struct Request;
  void handle(u16 queue) override;
  void stopped() override;
  void config_written(u64 offset, u64 value, unsigned size) override;
  void archive_device(StateArchive& ar) override;

  Serve start(u16 queue, const VirtqChain& chain);
  bool prepare(Request& r);  // false: complete with r.status
  void prepare_ranges(Request& r);
  int run(Request& r) const;  // the disk's part; no lock
  void complete(Request& r);
  void batch_done();
  bool write_through() const { return !write_cache_ || !has_flush(); }
  bool has_flush() const;

  Params p_;
  bool write_cache_ = true;
  u64 in_flight_ = 0;     // bytes of buffers
  bool waiting_ = false;  // a ring has requests that found no room
  u64 reads_ = 0, writes_ = 0, errors_ = 0;
  std::vector<bool> touched_;
  DiskQueue queue_;
};

}  // namespace doppel::hw

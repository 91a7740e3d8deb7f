// Virtio memory balloon (virtio 1.2, 5.5): the guest gives pages back when it is asked to (monitor: balloon), and tells
// which free pages it does not need (free page reporting); the host's memory behind them is released. With statistics
// of the guest's memory.
#pragma once
#include <array>
#include <functional>

#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioBalloon final : public VirtioDevice {
 public:
  static constexpr u64 kPageSize = 4096;
  static constexpr unsigned kStats = 10;  // tags of 5.5.6.4
  struct Params {
    Clock& clock;
    u64 ram_bytes = 0;
    bool deflate_on_oom = false, free_page_reporting = false;
    bool event_idx = true, indirect = true;
    // The guest does not need the content of [pa, pa + size) any more: it may become zeroes. Page aligned.
    std::function<void(u64 pa, u64 size)> release = {};
  };
  explicit VirtioBalloon(Params p);
  // The guest shall have this much memory; at most all of it.
  void set_target(u64 bytes);
  u64 actual() const;                                                            // what the guest has now
  void refresh_stats();                                                          // asks the guest; it answers soon
  u64 stat(unsigned tag) const { return tag < kStats ? stats_[tag] : ~u64{0}; }  // all ones: not told
  std::string info() const override;

 private:
  void handle(u16 queue) override;
  void stopped() override;
  void config_written(u64 offset, u64 value, unsigned size) override;
  void archive_device(StateArchive& ar) override;
  void inflate(const VirtqChain& chain);
  void read_stats(const VirtqChain& chain);
  u64 pages(size_t field) const { return config_read(field, 4); }

  Params p_;
  static constexpr u16 stats_queue_ = 2;
  u16 reporting_queue_ = 3;
  std::array<u64, kStats> stats_{};
};

}  // namespace doppel::hw

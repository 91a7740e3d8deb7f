// Virtio entropy device (virtio 1.2, 5.4): fills buffers with random bytes of the host, or, where a run must repeat
// itself (-icount), with a sequence that starts anew at each reset. At most kAtOnce bytes of a buffer; the driver sees
// how many. `max_bytes` in each `period_ms` bound what a guest takes from the host.
#pragma once
#include "hw/bus/virtio/virtio_device.h"

namespace doppel::hw {

class VirtioRng final : public VirtioDevice {
 public:
  static constexpr size_t kAtOnce = 4096;
  struct Params {
    Clock& clock;
    u64 max_bytes = ~u64{0};
    u32 period_ms = 65536;
    bool event_idx = true, indirect = true;
    bool repeatable = false;
  };
  explicit VirtioRng(Params p);

 private:
  void handle(u16 queue) override;
  void stopped() override;
  void archive_device(StateArchive& ar) override;
  void fill(std::span<u8> out);

  Params p_;
  u64 left_;          // bytes of this period
  u64 sequence_ = 0;  // repeatable
  Timer refill_;
};

}  // namespace doppel::hw

// Window: one of several register windows of a device, as an MmioHandler bound to two member functions.
#pragma once
#include "hw/core/mmio.h"

namespace doppel::hw {

template <typename D>
class Window final : public MmioHandler {
 public:
  using Read = u64 (D::*)(u64, unsigned);
  using Write = void (D::*)(u64, u64, unsigned);
  Window(D& device, Read read_fn, Write write_fn, AccessSizes sizes = {1, 1})
      : device_(device), read_(read_fn), write_(write_fn), sizes_(sizes) {}
  u64 read(u64 offset, unsigned size) override { return (device_.*read_)(offset, size); }
  void write(u64 offset, u64 value, unsigned size) override { (device_.*write_)(offset, value, size); }
  AccessSizes access_sizes() const override { return sizes_; }

 private:
  D& device_;
  Read read_;
  Write write_;
  AccessSizes sizes_;
};

}  // namespace doppel::hw

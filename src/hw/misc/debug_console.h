// Debug console: a port (0xe9; firmware's own at 0x402) whose written bytes go to a character device. Reads give
// `readback`, by which firmware knows that it is there.
#pragma once
#include <memory>

#include "chardev/chardev.h"
#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class DebugConsole final : public Device, public MmioHandler {
 public:
  struct Params {
    std::shared_ptr<chardev::Chardev> chardev;
    u8 readback = 0xe9;
  };
  explicit DebugConsole(Params p) : p_(std::move(p)) {}
  u64 read(u64, unsigned) override { return p_.readback; }
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 1}; }
  void reset() override {}
  void archive(StateArchive&) override {}

 private:
  Params p_;
};

}  // namespace doppel::hw

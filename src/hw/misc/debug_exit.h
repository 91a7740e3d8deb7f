// isa-debug-exit: a write of `v` ends the emulator with exit status (v << 1) | 1. Test programs use it. Window of 2 to
// 8 ports.
#pragma once
#include <functional>

#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class DebugExit final : public Device, public MmioHandler {
 public:
  struct Params {
    std::function<void(int status)> exit;
  };
  explicit DebugExit(Params p) : p_(std::move(p)) {}
  u64 read(u64, unsigned) override { return 0; }
  void write(u64, u64 value, unsigned) override {
    if (p_.exit) p_.exit(static_cast<int>((value << 1) | 1) & 0xff);
  }
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset() override {}
  void archive(StateArchive&) override {}

 private:
  Params p_;
};

}  // namespace doppel::hw

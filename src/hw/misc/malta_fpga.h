// The FPGA of the Malta board (Malta User's Manual, MD00048, chapter 4): switches and jumpers, display digits, LED bar,
// software reset, I2C lines (nothing is on them). Registers are words 8 bytes apart, in the CPU's byte order. The
// window begins at 0x1f000000; the board maps the UART at 0x900 itself. Device lock held.
#pragma once
#include <array>
#include <functional>
#include <string>

#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

class MaltaFpga final : public Device, public MmioHandler {
 public:
  struct Params {
    std::function<void()> reset_request;
    bool big_endian = false;
  };
  static constexpr u64 kBytes = 0x900;
  explicit MaltaFpga(Params p) : p_(std::move(p)) { reset(); }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;
  std::string info() const override;  // the display
  const std::array<char, 8>& display() const { return display_; }

 private:
  Params p_;
  u32 leds_ = 0, break_reset_ = 0;
  std::array<char, 8> display_{};
};

// The second part, from 0xa00: general-purpose outputs and I2C.
class MaltaGpio final : public Device, public MmioHandler {
 public:
  explicit MaltaGpio(bool big_endian) : big_endian_(big_endian) {}
  static constexpr u64 kFirst = 0xa00, kBytes = 0x600;
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;

 private:
  bool big_endian_;
  u32 output_ = 0, i2c_enable_ = 0, i2c_output_ = 3, i2c_select_ = 1;
};

}  // namespace doppel::hw

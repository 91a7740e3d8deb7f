// pc-testdev: what CPU unit test suites expect of their machine: a port latch, interrupt lines driven by ports, and a
// window of memory whose accesses reach a device. Windows: latch() at 0xe0 (8 ports), lines() at 0x2000 (24 ports),
// memory() at 0xff000000 (64 KiB). Device lock held.
#pragma once
#include <array>
#include <vector>

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "hw/core/window.h"

namespace doppel::hw {

class PcTestdev final : public Device {
 public:
  struct Params {
    std::vector<IrqLine> irq;
  };  // by global interrupt number
  explicit PcTestdev(Params p) : p_(std::move(p)), memory_(0x10000) {}
  MmioHandler& latch() { return latch_window_; }
  MmioHandler& lines() { return lines_window_; }
  MmioHandler& memory() { return memory_window_; }
  void reset() override;
  void archive(StateArchive& ar) override;

 private:
  u64 read_latch(u64 offset, unsigned size);
  void write_latch(u64 offset, u64 value, unsigned size);
  u64 read_lines(u64, unsigned) { return 0; }
  void write_lines(u64 offset, u64 value, unsigned size);
  u64 read_memory(u64 offset, unsigned size);
  void write_memory(u64 offset, u64 value, unsigned size);

  Params p_;
  u32 latch_ = 0;
  std::vector<u8> memory_;
  Window<PcTestdev> latch_window_{*this, &PcTestdev::read_latch, &PcTestdev::write_latch, {1, 4}};
  Window<PcTestdev> lines_window_{*this, &PcTestdev::read_lines, &PcTestdev::write_lines, {1, 4}};
  Window<PcTestdev> memory_window_{*this, &PcTestdev::read_memory, &PcTestdev::write_memory, {1, 8}};
};

}  // namespace doppel::hw

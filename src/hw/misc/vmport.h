// VMware backdoor port (0x5658): version, memory size, UUID, time, and the absolute pointer ("vmmouse"). Commands are
// in CPU registers, which the board lends for the time of an access. Window of 1 port, 32-bit reads. Device lock held.
#pragma once
#include <array>
#include <deque>
#include <functional>

#include "hw/core/clock.h"
#include "hw/core/device.h"
#include "hw/core/mmio.h"

namespace doppel::hw {

struct VmportRegisters {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0;
};

class Vmport final : public Device, public MmioHandler {
 public:
  struct Params {
    std::function<bool(VmportRegisters&)> load_registers;         // of the CPU that accesses the port; false: none
    std::function<void(const VmportRegisters&)> store_registers;  // all but eax, which is the value read
    u64 ram_bytes = 0;
    std::array<u8, 16> uuid{};
    std::function<s64()> wall_seconds;  // seconds since 1970, UTC
  };
  explicit Vmport(Params p) : p_(std::move(p)) {}
  void pointer(int x, int y, int wheel, u32 buttons);  // 0..32767
  bool pointer_active() const { return mouse_enabled_ && absolute_; }
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {4, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;

 private:
  u32 command(VmportRegisters& r);
  void mouse_command(u32 argument);
  Params p_;
  bool mouse_enabled_ = false, absolute_ = false;
  u32 last_buttons_ = 0;
  std::deque<u32> mouse_queue_;
};

}  // namespace doppel::hw

// VMware backdoor port (0x5658): version, memory size, UUID, time, and the absolute pointer ("vmmouse"). Commands are
// in CPU registers, which the board lends for the time of an access: EAX the magic number, EBX the argument, CX the
// command. Source: open-vm-tools' description of the backdoor, VMware's knowledge base 1009458. A window of 4 ports,
// for 32-bit accesses at its first; others answer as if nothing were there. Device lock held but for pointer_active().
#pragma once
#include <array>
#include <atomic>
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
    std::function<s64()> wall_ns;      // since 1970, UTC
    std::function<void()> wake_mouse;  // data wait: the guest looks when the PS/2 mouse sends a packet
  };
  explicit Vmport(Params p) : p_(std::move(p)) {}
  void pointer(int x, int y, int wheel, u32 buttons);                              // 0..32767
  bool pointer_active() const { return active_.load(std::memory_order_relaxed); }  // any thread
  u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, u64 value, unsigned size) override;
  AccessSizes access_sizes() const override { return {1, 4}; }
  void reset() override;
  void archive(StateArchive& ar) override;

 private:
  u32 command(VmportRegisters& r);
  void mouse_command(u32 argument);
  void update_active() { active_.store(mouse_enabled_ && absolute_, std::memory_order_relaxed); }
  Params p_;
  bool mouse_enabled_ = false, absolute_ = false;
  std::atomic<bool> active_{false};
  u32 last_buttons_ = 0;
  std::deque<u32> mouse_queue_;
};

}  // namespace doppel::hw

// MaltaPlatform: a MIPS CPU's pins on the Malta board: time for Count and Compare.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "guest/mips/cpu.h"
#include "hw/core/clock.h"

namespace doppel::machine {

class MaltaPlatform final : public mips::Platform {
 public:
  static constexpr u64 kCountHz = 160'000'000;  // half of a CPU clock of 320 MHz
  explicit MaltaPlatform(hw::Clock& clock) : clock_(clock) {}
  // `kick`: the vCPU has to look.
  void connect(mips::MipsCpu& cpu, std::function<void()> kick) {
    const size_t index = timers_.size();
    timers_.push_back(std::make_unique<hw::Timer>(clock_, [this, index, &cpu, kick = std::move(kick)] {
      {
        const std::lock_guard guard(lock_);
        timers_[index]->arm_in(static_cast<s64>(cpu.timer_event()));
      }
      kick();
    }));
  }
  void disconnect() { timers_.clear(); }

  u64 now_ns() override { return static_cast<u64>(clock_.now()); }
  u64 count_hz() override { return kCountHz; }
  void arm_compare(u32 cpu, u64 ns) override {
    const std::lock_guard guard(lock_);
    if (cpu < timers_.size()) timers_[cpu]->arm_in(static_cast<s64>(ns));
  }

 private:
  hw::Clock& clock_;
  // The CPU writes Compare and arms; what the timer's end arms must not come after that and be the older. A leaf but
  // for the clock's.
  std::mutex lock_;
  std::vector<std::unique_ptr<hw::Timer>> timers_;
};

}  // namespace doppel::machine

// Helpers of the PC chip tests: a line whose changes are counted, and short ways to access a window.
#pragma once
#include <gtest/gtest.h>

#include "hw/core/clock.h"
#include "hw/core/irq.h"
#include "hw/core/mmio.h"
#include "state/archive.h"

namespace doppel::hw::test {

struct LineProbe {
  bool level = false;
  int rises = 0, falls = 0;
  IrqLine line() {
    return IrqLine([this](bool on) {
      if (on && !level) rises++;
      if (!on && level) falls++;
      level = on;
    });
  }
};

inline u8 in8(MmioHandler& w, u64 offset) { return static_cast<u8>(w.read(offset, 1)); }
inline void out8(MmioHandler& w, u64 offset, u8 value) { w.write(offset, value, 1); }

// State of `from` into `to` (of the same kind).
template <typename D>
void clone_state(D& from, D& to) {
  StateArchive saved(StateArchive::Mode::Save);
  from.archive(saved);
  const auto data = saved.serialize();
  StateArchive loaded(StateArchive::Mode::Load);
  ASSERT_TRUE(loaded.deserialize(data));
  to.archive(loaded);
}

}  // namespace doppel::hw::test

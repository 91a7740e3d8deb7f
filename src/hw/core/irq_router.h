// Board objects between interrupt lines: OR of several sources, inversion, fan-out. Levels are kept by the objects, so
// that a source may repeat itself. Device lock held.
#pragma once
#include <memory>
#include <vector>

#include "hw/core/irq.h"

namespace doppel::hw {

// Wired OR: the output is high while any input is. Inputs stay valid as long as they are held, even if the gate is
// gone.
class IrqOr {
 public:
  explicit IrqOr(IrqLine output);
  IrqLine input();  // a new input, low
  bool level() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

IrqLine irq_invert(IrqLine output);
IrqLine irq_fan_out(std::vector<IrqLine> outputs);
// Passes a value on only when it differs from the last one (`initial` before the first).
IrqLine irq_on_change(IrqLine output, bool initial = false);

}  // namespace doppel::hw

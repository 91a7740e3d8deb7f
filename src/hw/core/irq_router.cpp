#include "hw/core/irq_router.h"

namespace doppel::hw {

struct IrqOr::State {
  IrqLine output;
  unsigned high = 0;  // inputs that are high
};

IrqOr::IrqOr(IrqLine output) : state_(std::make_shared<State>()) { state_->output = std::move(output); }

IrqLine IrqOr::input() {
  return IrqLine([state = state_, level = false](bool on) mutable {
    if (on == level) return;
    level = on;
    if (on ? state->high++ == 0 : --state->high == 0) state->output.set(on);
  });
}

bool IrqOr::level() const { return state_->high != 0; }

IrqLine irq_invert(IrqLine output) {
  return IrqLine([out = std::move(output)](bool on) { out.set(!on); });
}

IrqLine irq_fan_out(std::vector<IrqLine> outputs) {
  return IrqLine([outs = std::move(outputs)](bool on) {
    for (const IrqLine& out : outs) out.set(on);
  });
}

IrqLine irq_on_change(IrqLine output, bool initial) {
  return IrqLine([out = std::move(output), level = initial](bool on) mutable {
    if (on == level) return;
    level = on;
    out.set(on);
  });
}

}  // namespace doppel::hw

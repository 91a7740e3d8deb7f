// IrqLine: a value that a device drives. Inversion, OR and routing are board objects (hw/core/irq_router.h).
#pragma once
#include <functional>
#include <memory>

namespace doppel::hw {

class IrqLine {
 public:
  using Handler = std::function<void(bool)>;
  IrqLine() = default;
  explicit IrqLine(Handler handler) : handler_(std::make_shared<Handler>(std::move(handler))) {}
  void set(bool level) const {
    if (handler_) (*handler_)(level);
  }
  void raise() const { set(true); }
  void lower() const { set(false); }
  void pulse() const {
    set(true);
    set(false);
  }
  bool connected() const { return handler_ != nullptr; }

 private:
  std::shared_ptr<Handler> handler_;
};

}  // namespace doppel::hw

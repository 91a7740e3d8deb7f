// Device: built from a Params struct of capabilities; knows neither its address, its irq number nor its board.
// Every registered device passes the shared conformance suite (tests/device/conformance.cpp).
#pragma once
#include <string>

#include "state/archive.h"

namespace doppel::hw {

class Device {
 public:
  virtual ~Device() = default;
  virtual void reset() = 0;                    // cold or warm; idempotent
  virtual void archive(StateArchive& ar) = 0;  // saves and loads; after loading, lines and timers are re-armed
  virtual void sleep() {}                      // machine stops: nothing may change until wake. Idempotent
  virtual void wake() {}
  // The device is taken out of a running machine, and destroyed soon, with the device lock held: from the end of this
  // call on, no thread of its own or of a back end may call it. Device lock not held.
  virtual void leave() {}
  virtual std::string info() const { return {}; }  // for the monitor (info pic, info mice ...)
};

}  // namespace doppel::hw

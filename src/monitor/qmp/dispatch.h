// Dispatch: one request of a client, parsed, checked and run; the answer as it goes out. It knows whether the client
// has negotiated. No I/O: the session (qmp.h) does that.
#pragma once
#include <atomic>
#include <string>

#include "monitor/commands/context.h"
#include "monitor/commands/visit.h"

namespace doppel::monitor {

class Dispatch {
 public:
  explicit Dispatch(Context context) : context_(std::move(context)) {}
  static Output greeting();
  Output run(const std::string& request);
  static Output syntax_error(const std::string& why);
  void reset() { negotiated_.store(false); }  // another client
  bool negotiated() const { return negotiated_.load(); }
  Context& context() { return context_; }

 private:
  Output execute(const Input& request);
  Output negotiate(const Input& arguments);
  Context context_;
  std::atomic<bool> negotiated_{false};  // events go out from then on
};

}  // namespace doppel::monitor

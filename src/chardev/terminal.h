// Terminal: raw mode of the controlling terminal, restored when the object goes awayand at exit.
#pragma once

namespace doppel::chardev {

class Terminal {
 public:
  // `signals`: Ctrl-C and friends still raise signals. Does nothing if standard input is no terminal, or is another
  // job's.
  explicit Terminal(bool signals);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  static void restore();  // async-signal-safe: for handlers of fatal signals
};

}  // namespace doppel::chardev

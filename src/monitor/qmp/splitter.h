// Splitter: cuts a stream of bytes into JSON values, in bounded memory, whatever comes. Values need no separator; a
// value may come in any number of pieces. Strings may stand in single quotes, as people type them.
//
// After an error the rest of the value is gone: reading goes on at the next byte. A control character, or a byte that
// UTF-8 never has (0xff is what clients send to get in step), ends what was begun.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/bits.h"

namespace doppel::monitor {

class Splitter {
 public:
  struct Limits {
    size_t bytes = size_t{16} << 20;  // of one value
    size_t depth = 1024;              // of brackets
    size_t tokens = size_t{1} << 18;  // brackets, commas and colons of one value
  };
  struct Sink {
    std::function<void(std::string value)> value;  // complete, brackets balanced; not parsed yet
    std::function<void(const std::string& why)> error;
  };
  Splitter(Limits limits, Sink sink) : limits_(limits), sink_(std::move(sink)) {}
  void feed(std::span<const u8> data);
  void reset();  // another client: what was begun is forgotten
  size_t held() const { return text_.size(); }

 private:
  enum class State { Idle, Value, Scalar, String, Escape, Skip };
  void byte(char c);
  void idle(char c);
  void in_value(char c);
  void in_string(char c);
  void escape(char c);
  void open(char c);
  void close(char c);
  void take(char c);
  void token();
  void finish();
  void fail(const std::string& why, bool skip = false);

  Limits limits_;
  Sink sink_;
  State state_ = State::Idle;
  std::string text_;
  std::string brackets_;  // those that are open
  char quote_ = 0;
  size_t tokens_ = 0;
};

}  // namespace doppel::monitor

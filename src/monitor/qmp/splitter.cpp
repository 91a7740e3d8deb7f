#include "monitor/qmp/splitter.h"

namespace doppel::monitor {
namespace {
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
// Control characters, and bytes that no UTF-8 text has.
bool is_foreign(char c) {
  const u8 b = static_cast<u8>(c);
  return (b < 0x20 && !is_blank(c)) || b == 0xc0 || b == 0xc1 || b >= 0xf5;
}
}  // namespace

void Splitter::reset() {
  state_ = State::Idle;
  text_.clear();
  text_.shrink_to_fit();
  brackets_.clear();
  tokens_ = 0;
}

void Splitter::fail(const std::string& why, bool skip) {
  reset();
  state_ = skip ? State::Skip : State::Idle;
  sink_.error(why);
}

void Splitter::finish() {
  std::string value = std::move(text_);
  reset();
  sink_.value(std::move(value));
}

void Splitter::take(char c) {
  if (text_.size() >= limits_.bytes)
    fail("the value is longer than " + std::to_string(limits_.bytes) + " bytes", true);
  else
    text_ += c;
}

void Splitter::token() {
  if (++tokens_ > limits_.tokens) fail("the value has more than " + std::to_string(limits_.tokens) + " elements", true);
}

void Splitter::feed(std::span<const u8> data) {
  for (const u8 b : data) byte(static_cast<char>(b));
}

void Splitter::byte(char c) {
  switch (state_) {
    case State::Idle: return idle(c);
    case State::Skip:  // the rest of a value that is too large: up to the end of the line
      if (c == '\n' || is_foreign(c)) state_ = State::Idle;
      return;
    case State::Value: return in_value(c);
    case State::String: return in_string(c);
    case State::Escape: return escape(c);
    case State::Scalar:
      if (is_blank(c)) return finish();
      if (c == '{' || c == '[' || c == '"' || c == '\'') {
        finish();
        return idle(c);
      }
      if (is_foreign(c)) return fail("a byte that is no JSON");
      return take(c);
  }
}

void Splitter::idle(char c) {
  if (is_blank(c)) return;
  if (is_foreign(c)) return static_cast<u8>(c) == 0xff ? reset() : fail("a byte that is no JSON");
  if (c == '{' || c == '[') return open(c);
  if (c == '"' || c == '\'') {
    quote_ = c;
    state_ = State::String;
    return take('"');
  }
  if (c == '}' || c == ']' || c == ',' || c == ':') return fail(std::string("'") + c + "' where a value should begin");
  state_ = State::Scalar;
  take(c);
}

void Splitter::open(char c) {
  if (brackets_.size() >= limits_.depth)
    return fail("the value is nested deeper than " + std::to_string(limits_.depth) + " levels", true);
  brackets_ += c;
  state_ = State::Value;
  take(c);
  if (state_ == State::Value) token();
}

void Splitter::close(char c) {
  if (brackets_.back() != (c == '}' ? '{' : '[')) return fail(std::string("'") + c + "' closes another bracket");
  brackets_.pop_back();
  take(c);
  if (state_ == State::Value && brackets_.empty()) finish();
}

void Splitter::in_value(char c) {
  if (is_foreign(c)) return fail("a byte that is no JSON");
  switch (c) {
    case '{':
    case '[': return open(c);
    case '}':
    case ']': return close(c);
    case '"':
    case '\'':
      quote_ = c;
      state_ = State::String;
      return take('"');
    case ',':
    case ':': token(); [[fallthrough]];
    default:
      if (state_ == State::Value) take(c);
  }
}

void Splitter::in_string(char c) {
  if (is_foreign(c) || c == '\n' || c == '\r' || c == '\t') return fail("a string is not closed");
  if (c == '\\') {
    state_ = State::Escape;
  } else if (c == quote_) {
    state_ = State::Value;
    take('"');
    if (state_ == State::Value && brackets_.empty()) finish();
  } else if (c == '"') {  // in single quotes
    take('\\');
    if (state_ == State::String) take('"');
  } else {
    take(c);
  }
}

void Splitter::escape(char c) {
  if (is_foreign(c) || is_blank(c)) return fail("a string is not closed");
  state_ = State::String;
  if (c != '\'') take('\\');
  if (state_ == State::String) take(c);
}

}  // namespace doppel::monitor

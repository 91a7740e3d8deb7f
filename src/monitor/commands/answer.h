// Answer<T>: what a monitor command gives back: a value, or an error with its class.
#pragma once
#include <string>
#include <variant>

#include "base/result.h"

namespace doppel::monitor {

// The classes of errors that the protocol tells apart; all others are GenericError.
enum class ErrorClass { GenericError, CommandNotFound, DeviceNotActive, DeviceNotFound, KVMMissingCap };

struct CommandError {
  std::string description;
  ErrorClass error_class = ErrorClass::GenericError;
};
const char* class_name(ErrorClass c);

template <typename T>
class [[nodiscard]] Answer {
 public:
  Answer(T value) : v_(std::move(value)) {}                       // NOLINT(google-explicit-constructor)
  Answer(CommandError error) : v_(std::move(error)) {}            // NOLINT(google-explicit-constructor)
  Answer(const Error& error) : v_(CommandError{error.text()}) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& operator*() { return std::get<0>(v_); }
  const CommandError& error() const { return std::get<1>(v_); }

 private:
  std::variant<T, CommandError> v_;
};

}  // namespace doppel::monitor

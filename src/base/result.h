// Result<T>: a value, or an error that names its cause and one fix (STYLE rule 17: errors of the user and of the host).
#pragma once
#include <string>
#include <utility>
#include <variant>

namespace doppel {

// `cause` is one line without a full stop; `fix` (may be empty) tells the user what to do. `exit_status` is 1, or 2 for
// usage.
struct Error {
  std::string cause;
  std::string fix;
  int exit_status = 1;
  std::string text() const { return fix.empty() ? cause : cause + " (" + fix + ")"; }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : v_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(v_); }
  const T& value() const { return std::get<0>(v_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(v_); }
  T take() { return std::move(std::get<0>(v_)); }

 private:
  std::variant<T, Error> v_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status success() { return Unit{}; }

}  // namespace doppel

// StateArchive: one visitor that saves, loads and prints a component's state. A component has one archive() that both
// saves and loads; fields are found by name within their section, so that a state saved by one build loads in the next.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace doppel {

class StateArchive {
 public:
  enum class Mode { Save, Load };
  explicit StateArchive(Mode mode) : mode_(mode) {}
  bool loading() const { return mode_ == Mode::Load; }

  // A plain value: integers, bools, enums, floats, arrays and trivially copyable structs without padding or pointers.
  template <typename T>
  void field(std::string_view name, T& value) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    if constexpr (std::is_same_v<T, bool>) {  // a stored byte that is neither 0 nor 1 must not become a bool
      uint8_t byte = value;
      bytes(name, {&byte, 1});
      value = byte != 0;
      return;
    }
    bytes(name, {reinterpret_cast<uint8_t*>(&value), sizeof value});
  }
  template <size_t N>
  void field(std::string_view name, std::array<bool, N>& values) {
    std::array<uint8_t, N> stored{};
    for (size_t i = 0; i < N; i++) stored[i] = values[i];
    bytes(name, stored);
    for (size_t i = 0; i < N; i++) values[i] = stored[i] != 0;
  }
  // Raw bytes of fixed size. A field absent from a loaded state keeps its value; a size mismatch is recorded as an
  // error.
  void bytes(std::string_view name, std::span<uint8_t> data);
  // Bytes whose length may change (FIFOs, queues).
  void blob(std::string_view name, std::vector<uint8_t>& data);
  template <typename Fn>
  void section(std::string_view name, Fn&& body) {
    const std::string saved = prefix_;
    prefix_ += std::string(name) + "/";
    body();
    prefix_ = saved;
  }

  std::vector<uint8_t> serialize() const;                          // the saved fields as bytes
  bool deserialize(std::span<const uint8_t> data);                 // false: not an archive or truncated
  std::string print() const;                                       // one "name = hex" line a field
  std::vector<std::string> diff(const StateArchive& other) const;  // names of fields that differ
  const std::vector<std::string>& errors() const { return errors_; }
  void set_mode(Mode mode) { mode_ = mode; }

 private:
  Mode mode_;
  std::string prefix_;
  std::map<std::string, std::vector<uint8_t>, std::less<>> fields_;
  std::vector<std::string> errors_;
};

}  // namespace doppel

// The one visitor of the monitor. A structure lists its fields once,
//
//   struct SetLink {
//     static constexpr const char* kType = "set_link-arg";
//     std::string name;
//     bool up = false;
//     template <class V>
//     void visit(V& v) {
//       v("name", name, "network card or back end");
//       v("up", up, "whether the cable is plugged in");
//     }
//   };
//
// and Reader parses it, Writer prints it, Describer makes its Type. std::optional: may be left out. An enumeration
// names its values in EnumNames<E>. A union has a tag and branches:
//
//   v.tag("type", type);
//   v.branch(Kind::key, key);     {"type": "key", "data": {...}}, as the protocol wraps such values
//   v.others(json);               all that is not listed
//
// Integers are checked against their type's range. What a structure does not list is refused.
#pragma once
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <type_traits>

#include "base/bits.h"
#include "monitor/commands/type.h"

namespace doppel::monitor {

using Input = nlohmann::json;           // by key: a hostile object of many keys stays cheap
using Output = nlohmann::ordered_json;  // in the order of the fields

struct Empty {
  static constexpr const char* kType = "q_empty";
  template <class V>
  void visit(V&) {}
};

// Specialised for each enumeration: kType, and names() in the order of the values.
template <typename E>
struct EnumNames;

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

std::string expected(const std::string& path, const char* what);
std::string out_of_range(const std::string& path);
std::string bad_value(const std::string& path, const std::string& value, const std::vector<std::string>& names);

// --- JSON to structure. The first error stays; what was read before it stays read.

class Reader {
 public:
  Reader(const Input& object, std::string path, std::string& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  template <typename T>
  void operator()(const char* name, T& value, const char* = "") {
    known_.insert(name);
    if (!error_.empty()) return;
    const auto it = object_.find(name);
    const bool given = it != object_.end();
    if constexpr (IsOptional<T>::value) {
      if (given) read(*it, value.emplace(), at(name), error_);
    } else {
      if (!given)
        error_ = "Parameter '" + at(name) + "' is missing";
      else
        read(*it, value, at(name), error_);
    }
  }
  template <typename E>
  void tag(const char* name, E& value, const char* = "") {
    (*this)(name, value);
    tag_ = static_cast<u64>(value);
  }
  template <typename E, typename T>
  void branch(E when, T& value, const char* = "") {
    if (tag_ == static_cast<u64>(when)) (*this)("data", value);
  }
  // What the structure does not list by name is put there.
  void others(Input& out, const char* = "") { others_ = &out; }
  // To be called last: what nobody asked for is an error.
  void finish() {
    for (auto it = object_.begin(); error_.empty() && it != object_.end(); ++it) {
      if (known_.contains(it.key())) continue;
      if (others_ != nullptr)
        (*others_)[it.key()] = *it;
      else
        error_ = "Parameter '" + at(it.key()) + "' is unexpected";
    }
  }

  template <typename T>
  static void read(const Input& j, T& out, const std::string& path, std::string& error);

 private:
  std::string at(const std::string& name) const { return path_.empty() ? name : path_ + "." + name; }
  template <typename T>
  static void read_integer(const Input& j, T& out, const std::string& path, std::string& error);
  const Input& object_;
  std::string path_;
  std::string& error_;
  std::set<std::string> known_;
  Input* others_ = nullptr;
  u64 tag_ = 0;
};

template <typename T>
void Reader::read_integer(const Input& j, T& out, const std::string& path, std::string& error) {
  using Limits = std::numeric_limits<T>;
  bool ok = true;
  if (j.is_number_unsigned()) {
    const u64 v = j.get<u64>();
    ok = v <= static_cast<u64>(Limits::max());
    out = static_cast<T>(v);
  } else if (j.is_number_integer()) {
    const s64 v = j.get<s64>();
    ok = Limits::is_signed ? v >= static_cast<s64>(Limits::min()) && v <= static_cast<s64>(Limits::max()) : v >= 0;
    out = static_cast<T>(v);
  } else {
    error = expected(path, "integer");
  }
  if (!ok) error = out_of_range(path);
}

template <typename T>
void Reader::read(const Input& j, T& out, const std::string& path, std::string& error) {
  if constexpr (std::is_same_v<T, Input>) {
    out = j;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (j.is_boolean())
      out = j.get<bool>();
    else
      error = expected(path, "boolean");
  } else if constexpr (std::is_integral_v<T>) {
    read_integer(j, out, path, error);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (j.is_number())
      out = j.get<T>();
    else
      error = expected(path, "number");
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (j.is_string())
      out = j.get<std::string>();
    else
      error = expected(path, "string");
  } else if constexpr (IsVector<T>::value) {
    if (!j.is_array()) {
      error = expected(path, "array");
      return;
    }
    for (size_t i = 0; i < j.size() && error.empty(); i++)
      read(j[i], out.emplace_back(), path + "[" + std::to_string(i) + "]", error);
  } else if constexpr (std::is_enum_v<T>) {
    if (!j.is_string()) {
      error = expected(path, "string");
      return;
    }
    const auto names = EnumNames<T>::names();
    const std::string text = j.get<std::string>();
    for (size_t i = 0; i < names.size(); i++) {
      if (text == names[i]) {
        out = static_cast<T>(i);
        return;
      }
    }
    error = bad_value(path, text, {names.begin(), names.end()});
  } else {
    if (!j.is_object()) {
      error = expected(path, "object");
      return;
    }
    Reader inner(j, path, error);
    out.visit(inner);
    inner.finish();
  }
}

// --- structure to JSON

class Writer {
 public:
  template <typename T>
  void operator()(const char* name, T& value, const char* = "") {
    if constexpr (IsOptional<T>::value) {
      if (value) object_[name] = write(*value);
    } else {
      object_[name] = write(value);
    }
  }
  template <typename E>
  void tag(const char* name, E& value, const char* = "") {
    (*this)(name, value);
    tag_ = static_cast<u64>(value);
  }
  template <typename E, typename T>
  void branch(E when, T& value, const char* = "") {
    if (tag_ == static_cast<u64>(when)) (*this)("data", value);
  }

  void others(Input&, const char* = "") {}
  template <typename T>
  static Output write(T& value) {
    if constexpr (IsVector<T>::value) {
      Output array = Output::array();
      for (auto& v : value) array.push_back(write(v));
      return array;
    } else if constexpr (std::is_enum_v<T>) {
      const auto names = EnumNames<T>::names();
      return std::string(names[static_cast<size_t>(value)]);
    } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::string> && !std::is_same_v<T, Output> &&
                         !std::is_same_v<T, Input>) {
      Writer inner;
      inner.object_ = Output::object();
      value.visit(inner);
      return std::move(inner.object_);
    } else {
      return Output(value);
    }
  }

 private:
  Output object_;
  u64 tag_ = 0;
};

// --- structure to Type

class Describer {
 public:
  template <typename T>
  void operator()(const char* name, T&, const char* help = "") {
    if constexpr (IsOptional<T>::value)
      type_.members.push_back({name, of<typename T::value_type>(table_), true, help});
    else
      type_.members.push_back({name, of<T>(table_), false, help});
  }
  template <typename E>
  void tag(const char* name, E& value, const char* help = "") {
    (*this)(name, value, help);
    type_.tag = name;
    for (const auto& n : EnumNames<E>::names()) tag_names_.emplace_back(n);
  }
  template <typename E, typename T>
  void branch(E when, T&, const char* help = "") {
    const Type* inner = of<T>(table_);
    bool fresh = false;
    Type& wrapper = table_.get(inner->name + "Wrapper", fresh);
    if (fresh) wrapper.members.push_back({"data", inner, false, help});
    type_.variants.push_back({tag_names_[static_cast<size_t>(when)], &wrapper, false, help});
  }

  void others(Input&, const char* help = "") { type_.others = help; }
  template <typename T>
  static const Type* of(TypeTable& table) {
    bool fresh = false;
    if constexpr (std::is_same_v<T, Input> || std::is_same_v<T, Output>) {
      Type& t = table.get("any", fresh);
      t.kind = TypeKind::Any;
      return &t;
    } else if constexpr (std::is_same_v<T, bool>) {
      Type& t = table.get("bool", fresh);
      t.kind = TypeKind::Bool;
      return &t;
    } else if constexpr (std::is_integral_v<T>) {
      Type& t = table.get("int", fresh);  // as introspection has it: the width is not told
      t.kind = TypeKind::Int;
      return &t;
    } else if constexpr (std::is_floating_point_v<T>) {
      Type& t = table.get("number", fresh);
      t.kind = TypeKind::Number;
      return &t;
    } else if constexpr (std::is_same_v<T, std::string>) {
      Type& t = table.get("str", fresh);
      t.kind = TypeKind::String;
      return &t;
    } else if constexpr (IsVector<T>::value) {
      const Type* element = of<typename T::value_type>(table);
      Type& t = table.get("[" + element->name + "]", fresh);
      t.kind = TypeKind::Array;
      t.element = element;
      return &t;
    } else if constexpr (std::is_enum_v<T>) {
      Type& t = table.get(EnumNames<T>::kType, fresh);
      if (fresh) {
        t.kind = TypeKind::Enum;
        for (const auto& n : EnumNames<T>::names()) t.values.emplace_back(n);
      }
      return &t;
    } else {
      Type& t = table.get(T::kType, fresh);
      if (fresh) {
        Describer inner(table, t);
        T value{};
        value.visit(inner);
      }
      return &t;
    }
  }

 private:
  Describer(TypeTable& table, Type& type) : table_(table), type_(type) {}
  TypeTable& table_;
  Type& type_;
  std::vector<std::string> tag_names_;
};

}  // namespace doppel::monitor

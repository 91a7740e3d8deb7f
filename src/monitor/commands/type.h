// Type: what a command's arguments and answers look like, gathered by the same visitor that parses and prints them
// (visit.h). Read by query-qmp-schema, by the help and by the documentation.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace doppel::monitor {

enum class TypeKind { Bool, Int, Number, String, Any, Enum, Array, Object, Alternate };

struct Type;
struct Member {
  std::string name;
  const Type* type = nullptr;
  bool optional = false;
  std::string help;
};
struct Type {
  TypeKind kind = TypeKind::Object;
  std::string name;
  std::vector<std::string> values;  // Enum
  const Type* element = nullptr;    // Array
  std::vector<Member> members;      // Object; Alternate: the types to choose from, by JSON type
  std::string tag;                  // Object with variants: the member that chooses
  std::string others;               // Object: what it takes besides its members; empty: nothing
  std::vector<Member> variants;     // name: the tag's value
};

// Types by name; a type that refers to itself finds its own entry.
class TypeTable {
 public:
  // `fresh` is true the first time: the caller fills it in.
  Type& get(const std::string& name, bool& fresh) {
    auto& slot = types_[name];
    fresh = slot == nullptr;
    if (fresh) {
      slot = std::make_unique<Type>();
      slot->name = name;
    }
    return *slot;
  }
  const std::map<std::string, std::unique_ptr<Type>>& all() const { return types_; }

 private:
  std::map<std::string, std::unique_ptr<Type>> types_;
};

}  // namespace doppel::monitor

#include "monitor/qmp/reference.h"

#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

constexpr const char* kHead =
    "# The machine protocol (QMP)\n"
    "\n"
    "`-qmp unix:/tmp/vm,server=on,wait=off` lets programs control a machine, as they do QEMU: JSON in, JSON out. After "
    "the\n"
    "greeting a client ends the negotiation with `qmp_capabilities`; then it sends\n"
    "`{\"execute\": NAME, \"arguments\": {...}, \"id\": ANY}` and gets `{\"return\": ..., \"id\": ANY}` or\n"
    "`{\"error\": {\"class\": ..., \"desc\": ...}, \"id\": ANY}`. Events come when something happens. The classes of "
    "errors are\n"
    "`GenericError`, `CommandNotFound` (also: before the negotiation), `DeviceNotFound`, `DeviceNotActive`, "
    "`KVMMissingCap`.\n"
    "Each `-qmp` serves one client at a time; others wait. There is no out-of-band execution.\n"
    "\n"
    "A value may be 16 MiB long, 1024 levels deep, and have 262144 elements; what is larger, or is no JSON, is "
    "answered by an\n"
    "error, and reading goes on behind it. Eight requests of a client wait at most; then it is not read. A client that "
    "takes\n"
    "nothing gets no more answers (1 MiB) and no more events (4 MiB); the machine runs on.\n"
    "\n"
    "This page is made by `scripts/qmp_docs.sh` from the definitions of the commands; a test compares it.\n";

std::string kind_of(const Type& t) {
  switch (t.kind) {
    case TypeKind::Array: return "list of " + kind_of(*t.element);
    case TypeKind::Enum:
    case TypeKind::Object: return "`" + t.name + "`";
    case TypeKind::Bool: return "boolean";
    case TypeKind::Int: return "integer";
    case TypeKind::String: return "string";
    case TypeKind::Number: return "number";
    default: return "any";
  }
}

std::string members_of(const Type& t) {
  std::string text;
  for (const Member& m : t.members) {
    text += "- `" + m.name + "`: " + kind_of(*m.type) + (m.optional ? ", optional" : "");
    text += m.help.empty() ? "\n" : ". " + m.help + "\n";
  }
  if (!t.others.empty()) text += "- others: " + t.others + "\n";
  for (const Member& m : t.variants)
    text += "- with `" + t.tag + "` = `" + m.name + "`: `data`: " + kind_of(*m.type->members[0].type) +
            (m.help.empty() ? "" : ". " + m.help) + "\n";
  return text;
}

std::string values_of(const Type& t) {
  std::string text;
  for (size_t i = 0; i < t.values.size() && i < 12; i++) text += (i ? ", `" : "`") + t.values[i] + "`";
  if (t.values.size() > 12) text += " and " + std::to_string(t.values.size() - 12) + " more (`query-qmp-schema`)";
  return text + "\n";
}

}  // namespace

std::string qmp_reference() {
  TypeTable table;
  std::string text = std::string(kHead) + "\n## Commands\n";
  std::set<std::string> told = {Empty::kType};
  for (const Definition* d : all_commands()) {
    const CommandTypes t = d->describe(table);
    told.insert(t.arguments->name);
    text += "\n### " + std::string(d->name) + "\n" + d->help + ".\n";
    if (const std::string members = members_of(*t.arguments); !members.empty()) text += "\n" + members;
    if (t.result->name != Empty::kType) text += "\nReturns " + kind_of(*t.result) + ".\n";
  }
  text += "\n## Events\n";
  for (const EventDefinition& e : all_events()) {
    const Type& t = *e.describe(table);
    told.insert(t.name);
    text += "\n### " + std::string(e.name) + "\n" + e.help + ".\n";
    if (const std::string members = members_of(t); !members.empty()) text += "\n" + members;
  }
  text += "\n## Types\n";
  for (const auto& [name, type] : table.all()) {
    if (told.contains(name) || name.ends_with("Wrapper")) continue;
    if (type->kind == TypeKind::Enum) text += "\n### " + name + "\nOne of " + values_of(*type);
    if (type->kind == TypeKind::Object) text += "\n### " + name + "\n" + members_of(*type);
  }
  return text;
}

}  // namespace doppel::monitor

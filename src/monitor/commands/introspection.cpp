// What this monitor knows: commands, events, their types, the options of the command line.
#include <algorithm>

#include "monitor/commands/command.h"

namespace doppel::monitor {

enum class MetaType { builtin, enumeration, array, object, alternate, command, event };
template <>
struct EnumNames<MetaType> {
  static constexpr const char* kType = "SchemaMetaType";
  static std::vector<std::string_view> names() {
    return {"builtin", "enum", "array", "object", "alternate", "command", "event"};
  }
};

namespace {

struct Name {
  static constexpr const char* kType = "CommandInfo";
  std::string name;
  template <class V>
  void visit(V& v) {
    v("name", name);
  }
};
struct EventName : Name {
  static constexpr const char* kType = "EventInfo";
};

Answer<std::vector<Name>> query_commands(Context&, Empty&) {
  std::vector<Name> out;
  for (const Definition* d : all_commands()) out.push_back({d->name});
  return out;
}
Answer<std::vector<EventName>> query_events(Context&, Empty&) {
  std::vector<EventName> out;
  for (const EventDefinition& e : all_events()) out.push_back({{e.name}});
  return out;
}

struct SchemaMember {
  static constexpr const char* kType = "SchemaInfoMember";
  std::string name;
  std::optional<std::string> type;
  std::optional<Output> otherwise;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("type", type, "of an object's member; a value of an enum has none");
    v("default", otherwise, "null: may be left out");
  }
};
struct SchemaVariant {
  static constexpr const char* kType = "SchemaInfoObjectVariant";
  std::string when, type;
  template <class V>
  void visit(V& v) {
    v("case", when);
    v("type", type);
  }
};
struct SchemaInfo {
  static constexpr const char* kType = "SchemaInfo";
  std::string name;
  MetaType meta{};
  std::optional<std::string> json, element, tag, argument, result;
  std::optional<std::vector<SchemaMember>> members;
  std::optional<std::vector<std::string>> values;
  std::optional<std::vector<SchemaVariant>> variants;
  std::optional<bool> out_of_band;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("meta-type", meta);
    v("json-type", json, "builtin");
    v("element-type", element, "array");
    v("members", members, "object, enum");
    v("values", values, "enum");
    v("tag", tag, "object with variants: the member that chooses");
    v("variants", variants);
    v("arg-type", argument, "command, event");
    v("ret-type", result, "command");
    v("allow-oob", out_of_band, "command");
  }
};

const char* json_type(TypeKind kind) {
  switch (kind) {
    case TypeKind::Bool: return "boolean";
    case TypeKind::Int: return "int";
    case TypeKind::Number: return "number";
    case TypeKind::String: return "string";
    default: return "value";
  }
}

SchemaInfo describe(const Type& t) {
  SchemaInfo info{.name = t.name};
  switch (t.kind) {
    case TypeKind::Enum:
      info.meta = MetaType::enumeration;
      info.values = t.values;
      info.members.emplace();
      for (const std::string& v : t.values) info.members->push_back({v, {}, {}});
      break;
    case TypeKind::Array:
      info.meta = MetaType::array;
      info.element = t.element->name;
      break;
    case TypeKind::Object:
      info.meta = MetaType::object;
      info.members.emplace();
      for (const Member& m : t.members) {
        info.members->push_back({m.name, m.type->name, {}});
        if (m.optional) info.members->back().otherwise = Output(nullptr);
      }
      if (t.tag.empty()) break;
      info.tag = t.tag;
      info.variants.emplace();
      for (const Member& m : t.variants) info.variants->push_back({m.name, m.type->name});
      break;
    default: info.meta = MetaType::builtin; info.json = json_type(t.kind);
  }
  return info;
}

std::vector<SchemaInfo> make_schema() {
  TypeTable table;
  std::vector<SchemaInfo> out;
  for (const Definition* d : all_commands()) {
    const CommandTypes t = d->describe(table);
    out.push_back(
        {.name = d->name, .meta = MetaType::command, .argument = t.arguments->name, .result = t.result->name});
    out.back().out_of_band = false;
  }
  for (const EventDefinition& e : all_events())
    out.push_back({.name = e.name, .meta = MetaType::event, .argument = e.describe(table)->name});
  for (const auto& [name, type] : table.all()) out.push_back(describe(*type));
  return out;
}

Answer<std::vector<SchemaInfo>> query_schema(Context&, Empty&) { return make_schema(); }

struct Parameter {
  static constexpr const char* kType = "CommandLineParameterInfo";
  std::string name, type;
  std::optional<std::string> help;
  template <class V>
  void visit(V& v) {
    v("name", name);
    v("type", type, "string, boolean, number or size");
    v("help", help);
  }
};
struct OptionInfo {
  static constexpr const char* kType = "CommandLineOptionInfo";
  std::string option;
  std::vector<Parameter> parameters;
  template <class V>
  void visit(V& v) {
    v("option", option);
    v("parameters", parameters);
  }
};
struct OptionQuery {
  static constexpr const char* kType = "query-command-line-options-arg";
  std::optional<std::string> option;
  template <class V>
  void visit(V& v) {
    v("option", option, "only this one");
  }
};
Answer<std::vector<OptionInfo>> query_options(Context& c, OptionQuery& args) {
  std::vector<OptionInfo> out;
  for (const CommandLineOption& o : c.services.command_line_options) {
    if (args.option && o.name != *args.option) continue;
    OptionInfo info{o.name, {}};
    for (const OptionParameter& p : o.parameters) {
      info.parameters.push_back({p.name, p.type, {}});
      if (!p.help.empty()) info.parameters.back().help = p.help;
    }
    out.push_back(info);
  }
  if (args.option && out.empty()) return CommandError{"There is no option '" + *args.option + "'"};
  return out;
}

struct IoThread {
  static constexpr const char* kType = "IOThreadInfo";
  std::string id;
  s64 thread_id = 0;
  template <class V>
  void visit(V& v) {
    v("id", id);
    v("thread-id", thread_id);
  }
};
Answer<std::vector<IoThread>> query_iothreads(Context&, Empty&) { return std::vector<IoThread>{}; }

constexpr Definition kRows[] = {
    command<&query_commands>("query-commands", "the names of all commands"),
    command<&query_events>("query-events", "the names of all events"),
    command<&query_schema>("query-qmp-schema", "commands, events and all types of their data"),
    command<&query_options>("query-command-line-options", "options of the command line that have parameters"),
    command<&query_iothreads>("query-iothreads", "objects of the type iothread; there are none"),
};

}  // namespace

std::span<const Definition> introspection_commands() { return kRows; }

}  // namespace doppel::monitor

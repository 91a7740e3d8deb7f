#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "base/nearest.h"
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

// Words by blanks; "quoted words" keep theirs. x/FMT and xp/FMT become two words.
Words split(const std::string& line) {
  Words words;
  std::string word;
  bool quoted = false, any = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
      any = true;
      continue;
    }
    if (!quoted && (c == ' ' || c == '\t')) {
      if (any || !word.empty()) words.push_back(word);
      word.clear();
      any = false;
      continue;
    }
    word += c;
  }
  if (any || !word.empty()) words.push_back(word);
  return words;
}

std::string table_help(std::span<const HumanCommand> rows, const std::string& prefix) {
  std::string text;
  for (const HumanCommand& c : rows) {
    const char* help = *c.help ? c.help : find_command(c.qmp)->help;
    text += prefix + c.name + (*c.arguments ? " " : "") + c.arguments + " -- " + help + "\n";
  }
  return text;
}

const HumanCommand* find(std::span<const HumanCommand> rows, const std::string& name) {
  for (const HumanCommand& c : rows) {
    std::string_view names = c.name;  // "cont|c"
    while (!names.empty()) {
      const size_t bar = names.find('|');
      if (names.substr(0, bar) == name) return &c;
      if (bar == std::string_view::npos) break;
      names.remove_prefix(bar + 1);
    }
  }
  return nullptr;
}

const HumanCommand* find_any(const std::string& name) {
  const HumanCommand* c = find(control_commands(), name);
  return c ? c : find(memory_commands(), name);
}

// What is said of a command that is none.
std::string unknown(const std::string& prefix, const std::string& name,
                    std::initializer_list<std::span<const HumanCommand>> tables) {
  std::vector<std::string> all;
  for (const auto& rows : tables) {
    for (const HumanCommand& c : rows) {
      std::string_view names = c.name;
      while (!names.empty()) {
        all.emplace_back(names.substr(0, names.find('|')));
        names.remove_prefix(std::min(names.size(), all.back().size() + 1));
      }
    }
  }
  const std::string near = nearest(name, all);
  return "unknown command: '" + prefix + name + "'" + (near.empty() ? "" : " (did you mean '" + prefix + near + "'?)") +
         "\n";
}

std::string help(const Words& words) {
  if (words.size() == 1) return commands_help();
  if (words[1] == "info") return table_help(info_commands(), "info ");
  const HumanCommand* c = find_any(words[1]);
  return c ? table_help({c, 1}, "") : "unknown command: '" + words[1] + "'\n";
}

// A word as the value of a parameter; what can't be one is left a string, and the definition says what it wants.
Input value_of(const Type& arguments, const std::string& name, const std::string& word) {
  for (const Member& m : arguments.members) {
    if (m.name != name) continue;
    u64 number = 0;
    if (m.type->kind == TypeKind::Int && parse_number(word, number)) return number;
    if (m.type->kind == TypeKind::Bool && (word == "on" || word == "off")) return word == "on";
  }
  return word;
}

// `order` is "[-f:force] device [format]": flags, then parameters in the order of the words.
std::string run_in_order(Context& context, const HumanCommand& c, const Words& words) {
  TypeTable table;
  const Type& type = *find_command(c.qmp)->describe(table).arguments;
  Input arguments = Input::object();
  size_t at = 1;
  for (std::string item : split(c.order)) {
    const bool optional = item.starts_with("[");
    if (optional) item = item.substr(1, item.size() - 2);
    if (item.starts_with("-")) {
      const size_t colon = item.find(':');
      if (at < words.size() && words[at] == item.substr(0, colon)) {
        arguments[item.substr(colon + 1)] = true;
        at++;
      }
    } else if (at < words.size()) {
      arguments[item] = value_of(type, item, words[at]);
      at++;
    } else if (!optional) {
      return words[0] + " needs: " + c.arguments + "\n";
    }
  }
  if (at < words.size()) return words[0] + " does not take '" + words[at] + "'\n";
  return run_definition(context, c.qmp, arguments);
}

}  // namespace

bool parse_number(const std::string& text, u64& value) {
  char* end = nullptr;
  value = std::strtoull(text.c_str(), &end, 0);
  return !text.empty() && *end == 0;
}

std::string format(const char* text, ...) {
  char buffer[512];
  va_list args;
  va_start(args, text);
  std::vsnprintf(buffer, sizeof buffer, text, args);
  va_end(args);
  return buffer;
}

std::string run_definition(Context& context, const char* name, const Input& arguments) {
  const auto answer = find_command(name)->run(context, arguments);
  return answer ? "" : answer.error().description + "\n";
}

std::string commands_help() {
  return table_help(control_commands(), "") + table_help(memory_commands(), "") + table_help(info_commands(), "info ") +
         "help|? [command] -- show the help\n";
}

std::string run_command(Context& context, const std::string& line) {
  Words words = split(line);
  if (words.empty()) return "";
  const std::string name = words[0];
  if (name == "help" || name == "?") return help(words);
  if (name == "info") {
    if (words.size() == 1) return table_help(info_commands(), "info ");
    const HumanCommand* c = find(info_commands(), words[1]);
    if (!c) return unknown("info ", words[1], {info_commands()});
    words.erase(words.begin());
    return c->run(context, words);
  }
  const HumanCommand* c = find_any(name.substr(0, name.find('/')));
  if (!c) return unknown("", name, {control_commands(), memory_commands()});
  return c->run ? c->run(context, words) : run_in_order(context, *c, words);
}

}  // namespace doppel::monitor

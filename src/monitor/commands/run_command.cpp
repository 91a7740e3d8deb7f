#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "monitor/commands/command.h"
#include "monitor/hmp/hmp.h"

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

std::string table_help(std::span<const Command> rows, const std::string& prefix) {
  std::string text;
  for (const Command& c : rows)
    text += prefix + c.name + (*c.arguments ? " " : "") + c.arguments + " -- " + c.help + "\n";
  return text;
}

const Command* find(std::span<const Command> rows, const std::string& name) {
  for (const Command& c : rows) {
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

std::string commands_help() {
  return table_help(control_commands(), "") + table_help(memory_commands(), "") + table_help(info_commands(), "info ") +
         "help|? [command] -- show the help\n";
}

std::string run_command(machine::Machine& machine, const std::string& line) {
  Words words = split(line);
  if (words.empty()) return "";
  const std::string name = words[0];
  if (name == "help" || name == "?") {
    if (words.size() == 1) return commands_help();
    const Command* c = find(control_commands(), words[1]);
    if (!c) c = find(memory_commands(), words[1]);
    if (words[1] == "info") return table_help(info_commands(), "info ");
    return c ? table_help({c, 1}, "") : "unknown command: '" + words[1] + "'\n";
  }
  if (name == "info") {
    if (words.size() == 1) return table_help(info_commands(), "info ");
    const Command* c = find(info_commands(), words[1]);
    if (!c) return "unknown command: 'info " + words[1] + "'\n";
    words.erase(words.begin());
    return c->run(machine, words);
  }
  const std::string stem = name.substr(0, name.find('/'));
  const Command* c = find(control_commands(), stem);
  if (!c) c = find(memory_commands(), stem);
  if (!c) return "unknown command: '" + name + "'\n";
  return c->run(machine, words);
}

}  // namespace doppel::monitor

#include "monitor/qmp/dispatch.h"

#include "monitor/commands/command.h"
#include "monitor/commands/version.h"
#include "monitor/qmp/json_text.h"

namespace doppel::monitor {
namespace {

constexpr const char* kNegotiate = "qmp_capabilities";

Output error_answer(const CommandError& e) {
  return {{"error", {{"class", class_name(e.error_class)}, {"desc", e.description}}}};
}

// The arguments of an object that `execute` may carry; an error's text otherwise.
std::string check_request(const Input& request) {
  bool execute = false;
  for (auto it = request.begin(); it != request.end(); ++it) {
    const std::string& key = it.key();
    if (key == "execute") {
      execute = true;
      if (!it->is_string()) return "QMP input member 'execute' must be a string";
    } else if (key == "arguments") {
      if (!it->is_object()) return "QMP input member 'arguments' must be an object";
    } else if (key == "exec-oob") {
      return "Out-of-band execution is not offered; use 'execute'";
    } else if (key != "id") {
      return "QMP input member '" + key.substr(0, 80) + "' is unexpected";
    }
  }
  return execute ? "" : "QMP input lacks member 'execute'";
}

}  // namespace

const char* class_name(ErrorClass c) {
  switch (c) {
    case ErrorClass::GenericError: return "GenericError";
    case ErrorClass::CommandNotFound: return "CommandNotFound";
    case ErrorClass::DeviceNotActive: return "DeviceNotActive";
    case ErrorClass::DeviceNotFound: return "DeviceNotFound";
    case ErrorClass::KVMMissingCap: return "KVMMissingCap";
  }
  return "GenericError";
}

Output Dispatch::greeting() { return {{"QMP", {{"version", version_value()}, {"capabilities", Output::array()}}}}; }

Output Dispatch::syntax_error(const std::string& why) {
  return error_answer({"JSON parse error, " + why, ErrorClass::GenericError});
}

Output Dispatch::run(const std::string& text) {
  auto parsed = parse_json(text);
  if (!parsed) return syntax_error(parsed.error().cause);
  if (!parsed->is_object()) return error_answer({"QMP input must be a JSON object", ErrorClass::GenericError});
  Output answer = execute(*parsed);
  if (const auto id = parsed->find("id"); id != parsed->end()) answer["id"] = Output(*id);
  return answer;
}

Output Dispatch::execute(const Input& request) {
  if (const std::string wrong = check_request(request); !wrong.empty())
    return error_answer({wrong, ErrorClass::GenericError});
  const std::string name = request["execute"].get<std::string>();
  const Input arguments = request.contains("arguments") ? request["arguments"] : Input::object();
  if (!negotiated()) {
    if (name == kNegotiate) return negotiate(arguments);
    return error_answer({"Expecting capabilities negotiation with 'qmp_capabilities'", ErrorClass::CommandNotFound});
  }
  if (name == kNegotiate)
    return error_answer({"Capabilities negotiation is already complete", ErrorClass::CommandNotFound});
  const Definition* command = find_command(name);
  if (!command)
    return error_answer({"The command " + name.substr(0, 80) + " has not been found", ErrorClass::CommandNotFound});
  auto answer = command->run(context_, arguments);
  if (!answer) return error_answer(answer.error());
  return {{"return", std::move(*answer)}};
}

Output Dispatch::negotiate(const Input& arguments) {
  const Definition* command = find_command(kNegotiate);
  auto answer = command->run(context_, arguments);
  if (!answer) return error_answer(answer.error());
  negotiated_.store(true);
  return {{"return", std::move(*answer)}};
}

}  // namespace doppel::monitor

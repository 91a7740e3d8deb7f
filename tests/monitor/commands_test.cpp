// Commands and their one visitor: what it parses, prints and describes is the same; requests and answers; events.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "machine/machine.h"
#include "monitor/commands/command.h"
#include "monitor/qmp/dispatch.h"
#include "monitor/qmp/json_text.h"
#include "monitor/qmp/reference.h"

namespace doppel::monitor {
namespace {

struct Rig {
  std::unique_ptr<Services> services;  // the machine reports to it until it is gone
  std::unique_ptr<machine::Machine> machine;
  std::unique_ptr<Dispatch> dispatch;
  Rig() {
    machine::MachineConfig config;
    config.board = "none";
    config.start_paused = true;
    auto built = machine::build(config);
    if (!built) throw std::runtime_error(built.error().text());
    machine = built.take();
    services = std::make_unique<Services>(*machine);
    report_machine_events(*machine, services->events);
    machine->start();
    dispatch = std::make_unique<Dispatch>(Context(*services));
  }
  Output run(const std::string& request) { return dispatch->run(request); }
  std::string error_class(const std::string& request) {
    const Output answer = run(request);
    return answer.contains("error") ? answer["error"]["class"].get<std::string>() : "none: " + answer.dump();
  }
  void negotiate() { (void)run(R"({"execute": "qmp_capabilities"})"); }
};

TEST(Dispatch, Negotiation) {
  Rig rig;
  EXPECT_EQ(Dispatch::greeting()["QMP"]["version"]["qemu"]["major"], 8);
  EXPECT_EQ(rig.error_class(R"({"execute": "query-status"})"), "CommandNotFound");
  EXPECT_EQ(rig.error_class(R"({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}})"), "GenericError");
  EXPECT_EQ(rig.error_class(R"({"execute": "qmp_capabilities", "arguments": {"enable": ["no"]}})"), "GenericError");
  EXPECT_FALSE(rig.dispatch->negotiated());
  EXPECT_EQ(rig.run(R"({"execute": "qmp_capabilities", "arguments": {"enable": []}})").dump(), R"({"return":{}})");
  EXPECT_TRUE(rig.dispatch->negotiated());
  EXPECT_EQ(rig.error_class(R"({"execute": "qmp_capabilities"})"), "CommandNotFound");
  EXPECT_EQ(rig.run(R"({"execute": "query-status"})")["return"]["status"], "prelaunch");
}

TEST(Dispatch, TheIdComesBack) {
  Rig rig;
  rig.negotiate();
  for (const char* id : {"1", "\"x\"", "{\"a\":[1,{}]}", "null", "1.5"}) {
    for (const char* what : {"query-name", "nonsense"}) {
      const Output answer = rig.run(std::string(R"({"execute": ")") + what + R"(", "id": )" + id + "}");
      EXPECT_EQ(answer["id"].dump(), id);
    }
  }
  EXPECT_EQ(rig.run(R"({"nonsense": 1, "id": 7})")["id"], 7);
}

TEST(Dispatch, WrongRequests) {
  Rig rig;
  rig.negotiate();
  struct {
    const char *request, *error_class, *text;
  } cases[] = {
      {"[1]", "GenericError", "JSON object"},
      {"12", "GenericError", "JSON object"},
      {"{}", "GenericError", "execute"},
      {R"({"execute": 1})", "GenericError", "string"},
      {R"({"execute": "query-name", "arguments": 1})", "GenericError", "arguments"},
      {R"({"execute": "query-name", "argument": {}})", "GenericError", "'argument' is unexpected"},
      {R"({"exec-oob": "query-name"})", "GenericError", "ut-of-band"},
      {R"({"execute": "nonsense"})", "CommandNotFound", "nonsense"},
      {R"({"execute": "query-vnc"})", "CommandNotFound", "query-vnc"},
      {R"({"execute": "query-name", "arguments": {"x": 1}})", "GenericError", "'x' is unexpected"},
      {R"({"execute": "pmemsave", "arguments": {"val": -1, "size": 1, "filename": "x"}})", "GenericError", "range"},
      {R"({"execute": "pmemsave", "arguments": {"val": 1.5, "size": 1, "filename": "x"}})", "GenericError", "integer"},
      {R"({"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "nokey"}]}})", "GenericError",
       "keys[0].data"},
      {R"({"execute": "send-key", "arguments": {"keys": [{"type": "number", "data": 4294967296}]}})", "GenericError",
       "range"},
      {R"({"execute": "qom-list", "arguments": {"path": "/nowhere"}})", "DeviceNotFound", "/nowhere"},
      {R"({"execute": "eject", "arguments": {"device": "a", "id": "b"}})", "GenericError", "exactly one"},
      {R"({"execute": "eject", "arguments": {"device": "a"}})", "DeviceNotFound", "'a'"},
      {R"({"execute": "query-name", "execute": "quit"})", "GenericError", "twice"},
  };
  for (const auto& c : cases) {
    const Output answer = rig.run(c.request);
    ASSERT_TRUE(answer.contains("error")) << c.request << answer.dump();
    EXPECT_EQ(answer["error"]["class"], c.error_class) << c.request;
    EXPECT_NE(answer["error"]["desc"].get<std::string>().find(c.text), std::string::npos) << answer.dump();
  }
}

// The schema tells what the reader does: what it calls needed is missed, what it does not know is refused.
TEST(Schema, SaysWhatTheReaderDoes) {
  Rig rig;
  rig.negotiate();
  const Output schema = rig.run(R"({"execute": "query-qmp-schema"})")["return"];
  std::map<std::string, Output> types;
  for (const Output& t : schema) {
    EXPECT_FALSE(types.contains(t["name"].get<std::string>())) << t.dump();
    types[t["name"].get<std::string>()] = t;
  }
  size_t commands = 0;
  for (const Output& c : schema) {
    if (c["meta-type"] != "command") continue;
    commands++;
    const Definition* d = find_command(c["name"].get<std::string>());
    ASSERT_NE(d, nullptr);
    const Output& arguments = types.at(c["arg-type"].get<std::string>());
    ASSERT_TRUE(types.contains(c["ret-type"].get<std::string>()));
    Context context(*rig.services);
    std::string needed;
    for (const Output& m : arguments["members"]) {
      EXPECT_TRUE(types.contains(m["type"].get<std::string>())) << m.dump();
      if (needed.empty() && !m.contains("default")) needed = m["name"].get<std::string>();
    }
    if (!needed.empty()) {  // never runs the handler
      auto answer = d->run(context, Input::object());
      ASSERT_FALSE(answer.ok()) << d->name;
      EXPECT_EQ(answer.error().description, "Parameter '" + needed + "' is missing");
    }
    auto refused = d->run(context, {{"no-such-thing", 1}});
    ASSERT_FALSE(refused.ok()) << d->name;
    if (needed.empty()) {
      EXPECT_EQ(refused.error().description, "Parameter 'no-such-thing' is unexpected") << d->name;
    }
  }
  EXPECT_EQ(commands, all_commands().size());
  EXPECT_EQ(rig.run(R"({"execute": "query-commands"})")["return"].size(), commands);
}

// Every type that the schema refers to is in it, and what commands print is what it says.
TEST(Schema, AnswersFitTheirTypes) {
  Rig rig;
  rig.negotiate();
  std::map<std::string, Output> types;
  const Output schema = rig.run(R"({"execute": "query-qmp-schema"})");
  for (const Output& t : schema["return"]) types[t["name"].get<std::string>()] = t;
  std::function<void(const Output&, const std::string&, const std::string&)> fits;
  fits = [&](const Output& value, const std::string& type, const std::string& where) {
    ASSERT_TRUE(types.contains(type)) << where << ": " << type;
    const Output& t = types[type];
    const std::string meta = t["meta-type"];
    if (meta == "array") {
      ASSERT_TRUE(value.is_array()) << where;
      for (const Output& v : value) fits(v, t["element-type"], where + "[]");
    } else if (meta == "object") {
      ASSERT_TRUE(value.is_object()) << where;
      std::set<std::string> known;
      for (const Output& m : t["members"]) {
        const std::string name = m["name"];
        known.insert(name);
        if (value.contains(name))
          fits(value[name], m["type"], where + "." + name);
        else
          EXPECT_TRUE(m.contains("default")) << where << " lacks " << name;
      }
      for (auto it = value.begin(); it != value.end() && !t.contains("tag"); ++it)
        EXPECT_TRUE(known.contains(it.key())) << where << " has " << it.key();
    } else if (meta == "enum") {
      EXPECT_NE(std::find(t["values"].begin(), t["values"].end(), value), t["values"].end()) << where << value.dump();
    } else if (t["json-type"] == "int") {
      EXPECT_TRUE(value.is_number_integer()) << where;
    } else if (t["json-type"] == "string") {
      EXPECT_TRUE(value.is_string()) << where;
    } else if (t["json-type"] == "boolean") {
      EXPECT_TRUE(value.is_boolean()) << where;
    }
  };
  for (const Definition* d : all_commands()) {
    const std::string name = d->name;
    if (!name.starts_with("query-")) continue;
    const Output answer = rig.run("{\"execute\": \"" + name + "\"}");
    if (answer.contains("return")) fits(answer["return"], types[name]["ret-type"], name);
  }
}

TEST(Schema, EverythingIsInTheReference) {
  const std::string text = qmp_reference();
  for (const Definition* d : all_commands())
    EXPECT_NE(text.find(std::string("### ") + d->name + "\n"), std::string::npos);
  for (const EventDefinition& e : all_events())
    EXPECT_NE(text.find(std::string("### ") + e.name + "\n"), std::string::npos);
}

TEST(HumanMonitor, RunsTheSameHandlers) {
  Rig rig;
  Context context(*rig.services);
  EXPECT_EQ(run_command(context, "info status"), "VM status: paused (prelaunch)\n");
  EXPECT_EQ(run_command(context, "cont"), "");
  EXPECT_EQ(run_command(context, "info status"), "VM status: running\n");
  EXPECT_EQ(run_command(context, "stop"), "");
  EXPECT_EQ(run_command(context, "info status"), "VM status: paused\n");
  EXPECT_NE(run_command(context, "eject").find("eject needs"), std::string::npos);
  EXPECT_NE(run_command(context, "eject -f cd9").find("cd9"), std::string::npos);
  EXPECT_NE(run_command(context, "stop now").find("does not take 'now'"), std::string::npos);
  EXPECT_NE(run_command(context, "pmemsave x 1 f").find("'val', expected: integer"), std::string::npos);
  EXPECT_NE(run_command(context, "x/4xw 0").find("no CPU"), std::string::npos);
  EXPECT_NE(run_command(context, "help").find("system_powerdown -- press the power button"), std::string::npos);
  EXPECT_NE(run_command(context, "info qom-tree").find("/machine (none-machine)\n  /peripheral (container)\n"),
            std::string::npos)
      << run_command(context, "info qom-tree");
  EXPECT_NE(run_command(context, "info qom-tree /nowhere").find("'/nowhere' not found"), std::string::npos);
  EXPECT_NE(run_command(context, "qom-list /machine").find("type (string)\n"), std::string::npos);
  EXPECT_EQ(run_command(context, "qom-get /machine type"), "\"none-machine\"\n");
  EXPECT_NE(run_command(context, "qom-get /machine").find("needs"), std::string::npos);
  EXPECT_NE(run_command(context, "qom-set /machine type x").find("can't be changed"), std::string::npos);
  EXPECT_EQ(run_command(context, "info qtree"), "bus: main-system-bus\n  type System\n");
  EXPECT_EQ(run_command(context, "info kvm"), "kvm support: disabled\n");
  EXPECT_EQ(run_command(context, "info mice"), "No mouse devices connected\n");
  EXPECT_NE(run_command(context, "info memory_size_summary").find("base memory: "), std::string::npos);
  for (const auto table : {control_commands(), memory_commands(), info_commands()}) {
    for (const HumanCommand& c : table) EXPECT_TRUE(c.run || find_command(c.qmp)) << c.name;
  }
}

TEST(Events, OfTheMachineInOrder) {
  Rig rig;
  std::vector<Output> seen;
  rig.services->events.subscribe([&](const Output& e) { seen.push_back(e); });
  rig.negotiate();
  (void)rig.run(R"({"execute": "cont"})");
  (void)rig.run(R"({"execute": "cont"})");
  (void)rig.run(R"({"execute": "stop"})");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0]["event"], "RESUME");
  EXPECT_EQ(seen[1]["event"], "STOP");
  EXPECT_FALSE(seen[1].contains("data"));
  EXPECT_GT(seen[1]["timestamp"]["seconds"].get<s64>(), 1700000000);
  EXPECT_LT(seen[1]["timestamp"]["microseconds"].get<s64>(), 1000000);
  rig.machine->request_quit(machine::ShutdownCause::HostQuit, 3);
  EXPECT_EQ(rig.machine->wait_for_exit(), 3);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[2]["data"].dump(), R"({"guest":false,"reason":"host-qmp-quit"})");
}

TEST(Events, AFloodIsThinnedOut) {
  EventHub hub;
  std::mutex lock;
  std::vector<s64> seen;
  hub.subscribe([&](const Output& e) {
    const std::lock_guard guard(lock);
    seen.push_back(e["data"]["n"].get<s64>());
  });
  for (int i = 0; i < 1000; i++) hub.emit("FLOOD", {{"n", i}}, true);
  for (int i = 0; i < 400; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::lock_guard guard(lock);
    if (seen.size() >= 2) break;
  }
  const std::lock_guard guard(lock);
  EXPECT_EQ(seen, (std::vector<s64>{0, 999}));  // the first at once, the last one a second later
}

TEST(Events, EachThingHasASecondOfItsOwn) {
  EventHub hub;
  std::mutex lock;
  std::vector<std::string> seen;
  hub.subscribe([&](const Output& e) {
    const std::lock_guard guard(lock);
    seen.push_back(e["data"]["id"].get<std::string>() + e["data"]["n"].dump());
  });
  for (int i = 0; i < 100; i++) {
    for (const char* id : {"a", "b", "c"}) hub.emit("PORT", {{"id", id}, {"n", i}}, true, id);
  }
  for (int i = 0; i < 400; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const std::lock_guard guard(lock);
    if (seen.size() >= 6) break;
  }
  const std::lock_guard guard(lock);
  ASSERT_EQ(seen.size(), 6u);
  std::sort(seen.begin() + 3, seen.end());
  EXPECT_EQ(seen, (std::vector<std::string>{"a0", "b0", "c0", "a99", "b99", "c99"}));
}

TEST(Events, PortsAndFiltersAreToldOfTheMachine) {
  std::vector<Output> seen;
  Rig rig;
  rig.services->events.subscribe([&](const Output& e) { seen.push_back(e); });
  using Kind = machine::MachineEvent::Kind;
  for (const bool open : {true, false}) rig.machine->on_event({.kind = Kind::PortChanged, .name = "p", .open = open});
  rig.machine->on_event({.kind = Kind::PortChanged, .open = true});  // nobody knows a port without a name
  rig.machine->on_event({.kind = Kind::FilterChanged, .name = "n", .path = "/machine/peripheral/n/virtio-backend"});
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0]["event"], "VSERPORT_CHANGE");
  EXPECT_EQ(seen[0]["data"].dump(), R"({"id":"p","open":true})");
  EXPECT_EQ(seen[1]["event"], "NIC_RX_FILTER_CHANGED");
  EXPECT_EQ(seen[1]["data"].dump(), R"({"name":"n","path":"/machine/peripheral/n/virtio-backend"})");
}

}  // namespace
}  // namespace doppel::monitor

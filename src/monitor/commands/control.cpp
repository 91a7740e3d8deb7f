// Commands that change something: run state, keys, pictures, media.
#include <chrono>
#include <thread>

#include "base/log.h"
#include "chardev/factory.h"
#include "display/input_event.h"
#include "monitor/commands/command.h"
#include "monitor/commands/snapshots.h"
#include "monitor/commands/tree.h"
#include "net/network.h"

namespace doppel::monitor {
namespace {

std::string sendkey(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  if (w.size() < 2) return "sendkey needs keys, such as ctrl-alt-delete\n";
  auto keys = display::parse_key_chord(w[1]);
  if (!keys) return keys.error().text() + "\n";
  u64 hold = 100;
  if (w.size() > 2 && !parse_number(w[2], hold))
    return "the hold time '" + w[2] + "' is not a number of milliseconds\n";
  for (const u32 k : *keys) m.key(k, true);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::min<u64>(hold, 5000)));
  for (size_t i = keys->size(); i-- > 0;) m.key((*keys)[i], false);
  return "";
}

std::string type(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  if (w.size() < 2) return "type needs a text\n";
  for (const char letter : w[1]) {
    const auto typed = display::key_from_character(letter);
    if (!typed) return format("'%c' is not on the US keyboard\n", letter);
    const u32 shift = static_cast<u32>(display::Key::shift);
    if (typed->shift) m.key(shift, true);
    m.key(typed->qcode, true);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    m.key(typed->qcode, false);
    if (typed->shift) m.key(shift, false);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return "";
}

std::string screendump(Context& c, const Words& w) {
  if (w.size() < 2) return "screendump needs a file name\n";
  const bool png = w[1].ends_with(".png");
  Input arguments = {{"filename", w[1]}, {"format", png ? "png" : "ppm"}};
  for (size_t i = 2; i + 1 < w.size(); i++) {
    if (w[i] == "-f") arguments["format"] = w[i + 1];
  }
  return run_definition(c, "screendump", arguments);
}

std::string mouse_move(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  if (w.size() < 3) return "mouse_move needs dx and dy\n";
  m.pointer_relative(std::atoi(w[1].c_str()), std::atoi(w[2].c_str()), w.size() > 3 ? std::atoi(w[3].c_str()) : 0, 0);
  return "";
}

std::string mouse_button(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  u64 buttons = 0;
  if (w.size() < 2 || !parse_number(w[1], buttons)) return "mouse_button needs the state: 1 left, 2 right, 4 middle\n";
  m.pointer_relative(0, 0, 0, static_cast<u32>(buttons));
  return "";
}

std::string change(Context& c, const Words& w) {
  if (w.size() < 3) return "change needs a drive and a file (info block lists the drives)\n";
  Input arguments = {{"device", w[1]}, {"filename", w[2]}};
  if (w.size() > 3) arguments["read-only-mode"] = w.back();
  return run_definition(c, "blockdev-change-medium", arguments);
}

std::string set_link(Context& c, const Words& w) {
  if (w.size() < 3 || (w[2] != "on" && w[2] != "off")) return "set_link needs a name (info network) and on or off\n";
  return run_definition(c, "set_link", {{"name", w[1]}, {"up", w[2] == "on"}});
}

// hostfwd_add [NETDEV] RULE
std::string hostfwd_add(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  if (w.size() < 2) return "hostfwd_add needs a rule, such as tcp::2222-:22\n";
  if (!m.config().network) return "there is no network\n";
  std::string said;
  const Status s = m.config().network->hostfwd_add(w.size() > 2 ? w[1] : "", w.back(), said);
  return s ? (said.empty() ? "" : said + "\n") : s.error().text() + "\n";
}

std::string hostfwd_remove(Context& c, const Words& w) {
  machine::Machine& m = c.machine;
  if (w.size() < 2) return "hostfwd_remove needs a rule, such as tcp::2222\n";
  if (!m.config().network) return "there is no network\n";
  const Status s = m.config().network->hostfwd_remove(w.size() > 2 ? w[1] : "", w.back());
  return s ? "host forwarding rule for " + w.back() + " removed\n" : s.error().text() + "\n";
}

// balloon MIB
// migrate [-d] URI: without -d it waits.
std::string migrate(Context& c, const Words& w) {
  const bool detached = w.size() > 1 && w[1] == "-d";
  if (w.size() < (detached ? 3 : 2)) return "migrate needs a way: fd:NAME, exec:COMMAND or file:PATH\n";
  if (const std::string error = run_definition(c, "migrate", {{"uri", w.back()}}); !error.empty()) return error;
  const auto goes_on = [&] {
    const auto state = c.services.migrator.progress().state;
    return state == MigrationState::Setup || state == MigrationState::Active;
  };
  while (!detached && goes_on()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::string error = c.services.migrator.progress().error;
  return detached || error.empty() ? "" : "Error: " + error + "\n";
}
std::string migrate_incoming(Context& c, const Words& w) {
  if (w.size() < 2) return "migrate_incoming needs a way: fd:N, exec:COMMAND or file:PATH\n";
  return run_definition(c, "migrate-incoming", {{"uri", w[1]}});
}
std::string migrate_cancel(Context& c, const Words&) { return run_definition(c, "migrate_cancel", Input::object()); }

std::string balloon(Context& c, const Words& w) {
  u64 mib = 0;
  if (w.size() < 2 || !parse_number(w[1], mib) || mib == 0 || mib > (u64{1} << 40))
    return "balloon needs the guest's memory in MiB\n";
  const Status s = c.machine.set_balloon(mib << 20);
  return s ? "" : s.error().text() + "\n";
}

std::string log_command(Context&, const Words& w) {
  if (w.size() < 2) return log_items_help();
  if (w[1] == "none") {
    log_set_mask(0);
    return "";
  }
  auto mask = parse_log_items(w[1]);
  if (!mask) return mask.error().text() + "\n";
  log_set_mask(*mask);
  return "";
}

// `device_add DRIVER,key=value,...` and its like: the option's words.
template <Status (Builder::*Make)(const std::string&)>
std::string make(Context& c, const Words& w) {
  if (w.size() < 2) return w[0] + " needs what its option takes, such as NAME,id=ID,...\n";
  if (!c.services.builder) return "nothing can be added to this machine\n";
  const std::lock_guard guard(c.services.change_lock);
  const Status s = (c.services.builder->*Make)(w.back());
  return s ? "" : s.error().text() + "\n";
}

std::string chardev_add(Context& c, const Words& w) {
  if (w.size() < 2) return "chardev-add needs what -chardev takes, such as pty,id=ID\n";
  if (!c.services.chardevs) return "there are no character devices\n";
  const std::lock_guard guard(c.services.change_lock);
  auto made = c.services.chardevs->create(w[1]);
  if (!made) return made.error().text() + "\n";
  for (const auto& [id, device] : c.services.chardevs->all()) {
    if (device == *made) c.machine.change_names([&](machine::MachineConfig& m) { m.chardevs[id] = device; });
  }
  return "";
}

std::string ringbuf_read(Context& c, const Words& w) {
  u64 size = 0;
  if (w.size() < 3 || !parse_number(w[2], size)) return "ringbuf_read needs a ringbuf's id and a number of bytes\n";
  auto answer = find_command("ringbuf-read")->run(c, {{"device", w[1]}, {"size", size}});
  return answer ? (*answer).get<std::string>() + "\n" : answer.error().description + "\n";
}

std::string drive_del(Context& c, const Words& w) {
  if (w.size() < 2) return "drive_del needs a drive (info block lists them)\n";
  const Status s = c.machine.remove_drive(w[1]);
  return s ? "" : s.error().text() + "\n";
}

constexpr HumanCommand kRows[] = {
    {"device_add", "driver[,key=value...]", "plug a device in", make<&Builder::add_device>},
    {"device_del", "id", "", nullptr, "device_del", "id"},
    {"netdev_add", "type,id=ID[,...]", "make a network back end", make<&Builder::add_netdev>},
    {"netdev_del", "id", "", nullptr, "netdev_del", "id"},
    {"object_add", "type,id=ID[,...]", "make an object", make<&Builder::add_object>},
    {"object_del", "id", "", nullptr, "object-del", "id"},
    {"chardev-add", "type,id=ID[,...]", "make a character device", chardev_add},
    {"chardev-remove", "id", "", nullptr, "chardev-remove", "id"},
    {"ringbuf_read", "device size", "take what was written to a ringbuf", ringbuf_read},
    {"ringbuf_write", "device data", "", nullptr, "ringbuf-write", "device data"},
    {"drive_add", "0 if=none,id=ID,file=F[,...]", "open an image for a device to come", make<&Builder::add_drive>},
    {"drive_del", "id", "close an image that no device uses", drive_del},
    {"stop|s", "", "", nullptr, "stop", ""},
    {"cont|c", "", "", nullptr, "cont", ""},
    {"system_reset", "", "", nullptr, "system_reset", ""},
    {"system_powerdown", "", "", nullptr, "system_powerdown", ""},
    {"quit|q", "", "", nullptr, "quit", ""},
    {"sendkey", "keys [hold_ms]", "send keys, such as ctrl-alt-f1", sendkey},
    {"type", "\"text\"", "type a text on the keyboard (US layout)", type},
    {"screendump", "file [-f png|ppm]", "", screendump, "screendump"},
    {"mouse_move", "dx dy [dz]", "move the mouse", mouse_move},
    {"mouse_button", "state", "mouse buttons: 1 left, 2 right, 4 middle", mouse_button},
    {"change", "drive file [read-only]", "", change, "blockdev-change-medium"},
    {"eject", "[-f] drive", "", nullptr, "eject", "[-f:force] device"},
    {"memsave", "address size file", "", nullptr, "memsave", "val size filename"},
    {"pmemsave", "address size file", "", nullptr, "pmemsave", "val size filename"},
    {"set_link", "name on|off", "", set_link, "set_link"},
    {"hostfwd_add", "[netdev] tcp|udp:[addr]:port-[addr]:port", "forward a port of the host to the guest", hostfwd_add},
    {"hostfwd_remove", "[netdev] tcp|udp:[addr]:port", "end a forwarding", hostfwd_remove},
    {"balloon", "MiB", "", balloon, "balloon"},
    {"nmi", "", "", nullptr, "inject-nmi", ""},
    {"migrate", "[-d] uri", "write the machine's state to fd:NAME, exec:COMMAND or file:PATH", migrate},
    {"migrate_cancel", "", "end a migration; the machine goes on", migrate_cancel},
    {"migrate_incoming", "uri", "take the state that -incoming defer waits for", migrate_incoming},
    {"savevm", "[name]", "save the machine's state in its qcow2 disks", savevm},
    {"loadvm", "name", "go back to a saved state", loadvm},
    {"delvm", "name", "forget a saved state", delvm},
    {"qom-list", "[path]", "", qom_list, "qom-list"},
    {"qom-get", "path property", "", qom_get, "qom-get"},
    {"qom-set", "path property value", "", qom_set, "qom-set"},
    {"log", "item,...|none", "log items, as -d", log_command},
};

}  // namespace

std::span<const HumanCommand> control_commands() { return kRows; }

}  // namespace doppel::monitor

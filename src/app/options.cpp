// parse_qemu: QEMU's command line. Rows are in options.def; each value's meaning is one small function here.
#include "app/options.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <sstream>
#include <unordered_map>

#include "app/blockdev.h"
#include "app/drive_tuning.h"
#include "app/network.h"
#include "app/objects.h"
#include "app/passed_files.h"
#include "app/share.h"
#include "base/log.h"
#include "base/os/fd_sets.h"
#include "crypto/secret.h"

namespace doppel::app {
namespace {

enum class State { Yes, Later, Quiet };
struct Row {
  const char* name;
  const char* argument;
  State state;
  const char* help;
};
constexpr Row kRows[] = {
#define OPT(name, argument, state, help) {name, argument, State::state, help},
#include "app/options.def"
#undef OPT
};

const Row* find_row(std::string_view name) {
  for (const Row& r : kRows) {
    if (name == r.name) return &r;
  }
  return nullptr;
}

bool is_on(std::string_view v) { return v == "on" || v == "yes" || v == "true" || v == "y"; }

Result<u64> parse_number(std::string_view text, std::string_view what, u64 low, u64 high) {
  char* end = nullptr;
  const std::string copy(text);
  const u64 v = std::strtoull(copy.c_str(), &end, 0);
  if (copy.empty() || *end != 0 || copy[0] == '-' || v < low || v > high) {
    return Error{std::string(what) + " '" + copy + "' is not a number from " + std::to_string(low) + " to " +
                     std::to_string(high),
                 "", 1};
  }
  return v;
}

// Milliseconds, with up to six digits behind a point.
Status take_stop_at(Options& o, const std::string& text) {
  const size_t point = text.find('.');
  std::string digits = point == std::string::npos ? std::string() : text.substr(point + 1);
  if (point != std::string::npos &&
      (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos))
    return Error{"--stop-at '" + text + "' is not a number of milliseconds", "as in --stop-at 2000 or 1250.375", 1};
  auto n = parse_number(text.substr(0, point), "--stop-at", digits.empty() ? 1 : 0, 1000000000);
  if (!n) return n.error();
  digits.resize(6, '0');
  o.machine.accel.stop_at_ns = static_cast<s64>(*n) * 1000000 + std::stol(digits);
  return success();
}

// The properties of an option that has them: what bad_property names, and what programs ask the monitor for.
struct PropertyRow {
  const char* option;
  const char* name;
  const char* type;
};
constexpr PropertyRow kProperties[] = {
    {"machine", "type", "string"},
    {"machine", "accel", "string"},
    {"machine", "hpet", "boolean"},
    {"machine", "acpi", "boolean"},
    {"machine", "vmport", "boolean"},
    {"machine", "usb", "boolean"},
    {"machine", "memory-backend", "string"},
    {"machine", "dump-guest-core", "boolean"},
    {"smp-opts", "cpus", "number"},
    {"smp-opts", "sockets", "number"},
    {"smp-opts", "cores", "number"},
    {"smp-opts", "threads", "number"},
    {"smp-opts", "maxcpus", "number"},
    {"memory", "size", "size"},
    {"boot-opts", "order", "string"},
    {"boot-opts", "once", "string"},
    {"boot-opts", "menu", "boolean"},
    {"boot-opts", "strict", "boolean"},
    {"boot-opts", "splash-time", "string"},
    {"drive", "file", "string"},
    {"drive", "if", "string"},
    {"drive", "media", "string"},
    {"drive", "id", "string"},
    {"drive", "format", "string"},
    {"drive", "readonly", "boolean"},
    {"drive", "snapshot", "boolean"},
    {"drive", "index", "number"},
    {"drive", "bus", "number"},
    {"drive", "unit", "number"},
    {"drive", "cache", "string"},
    {"drive", "aio", "string"},
    {"drive", "cache-size", "size"},
    {"drive", "l2-cache-size", "size"},
    {"drive", "refcount-cache-size", "size"},
    {"drive", "cache-clean-interval", "number"},
    {"drive", "discard", "string"},
    {"drive", "detect-zeroes", "string"},
    {"drive", "werror", "string"},
    {"drive", "rerror", "string"},
    {"drive", "serial", "string"},
    {"drive", "throttling.bps-total", "number"},
    {"drive", "throttling.bps-read", "number"},
    {"drive", "throttling.bps-write", "number"},
    {"drive", "throttling.iops-total", "number"},
    {"drive", "throttling.iops-read", "number"},
    {"drive", "throttling.iops-write", "number"},
    {"add-fd", "fd", "number"},
    {"add-fd", "set", "number"},
    {"add-fd", "opaque", "string"},
    {"fw_cfg", "name", "string"},
    {"fw_cfg", "file", "string"},
    {"fw_cfg", "string", "string"},
    {"accel", "accel", "string"},
    {"accel", "thread", "string"},
    {"accel", "tb-size", "number"},
    {"accel", "one-insn-per-tb", "boolean"},
    {"rtc", "base", "string"},
    {"rtc", "clock", "string"},
    {"rtc", "driftfix", "string"},
    {"icount", "shift", "string"},
    {"icount", "sleep", "boolean"},
    {"icount", "align", "boolean"},
    {"action", "reboot", "string"},
    {"action", "shutdown", "string"},
    {"action", "panic", "string"},
    {"action", "watchdog", "string"},
    {"mon", "chardev", "string"},
    {"mon", "mode", "string"},
    {"mon", "pretty", "boolean"},
    {"overcommit", "mem-lock", "boolean"},
    {"fsdev", "fsdriver", "string"},
    {"fsdev", "path", "string"},
    {"fsdev", "security_model", "string"},
    {"fsdev", "readonly", "boolean"},
    {"sandbox", "enable", "boolean"},
    {"sandbox", "obsolete", "string"},
    {"sandbox", "elevateprivileges", "string"},
    {"sandbox", "spawn", "string"},
    {"sandbox", "resourcecontrol", "string"},
    {"sandbox", "files", "string"},
    {"overcommit", "cpu-pm", "boolean"},
    {"name", "guest", "string"},
    {"name", "debug-threads", "boolean"},
    {"chardev", "id", "string"},
    {"chardev", "path", "string"},
    {"chardev", "host", "string"},
    {"chardev", "port", "string"},
    {"chardev", "fd", "string"},
    {"chardev", "server", "boolean"},
    {"chardev", "wait", "boolean"},
    {"chardev", "nodelay", "boolean"},
    {"chardev", "telnet", "boolean"},
    {"chardev", "reconnect", "number"},
    {"chardev", "mux", "boolean"},
    {"chardev", "logfile", "string"},
    {"chardev", "logappend", "boolean"},
    {"chardev", "append", "boolean"},
    {"chardev", "size", "size"},
    {"device", "driver", "string"},
    {"device", "id", "string"},
    {"netdev", "type", "string"},
    {"netdev", "id", "string"},
    {"object", "qom-type", "string"},
    {"object", "id", "string"},
};

// Versions (pc-q35-8.2) are the board.
Error unknown_board(const std::string& name) {
  const std::string board = name.starts_with("pc-q35-") ? "q35" : name;
  Error error = wrong_choice("board", board, {"pc", "none"}, {"q35", "isapc", "microvm", "xenfv", "xenpv"});
  error.fix += "; -machine help lists the boards";
  return error;
}

// `group`: the option's name in kProperties.
Error bad_property(std::string_view option, std::string_view key, std::string_view group) {
  std::vector<std::string> known;
  for (const PropertyRow& row : kProperties) {
    if (group == row.option) known.emplace_back(row.name);
  }
  return app::bad_property(option, key, known);
}

Status take_machine(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "type")) {
    if (key == "type") {
      if (value == "help" || value == "?") {
        o.text = machine::boards_help();
        return success();
      }
      if (!machine::is_board(value)) return unknown_board(value);
      o.machine.board = value;
    } else if (key == "help") {
      o.text = machine::boards_help();
    } else if (key == "accel") {
      o.accelerators.clear();  // a list with ':' as fallbacks
      std::stringstream list(value);
      for (std::string name; std::getline(list, name, ':');) o.accelerators.push_back(name);
    } else if (key == "hpet" || key == "acpi" || key == "vmport") {
      // vmport=auto: on, as in QEMU where there is no Xen.
      auto on = key == "vmport" && value == "auto" ? Result<bool>(true) : parse_switch("-machine " + key, value);
      if (!on) return on.error();
      (key == "hpet" ? o.machine.hpet : key == "acpi" ? o.machine.acpi : o.machine.vmport) = *on;
    } else if (key == "memory-backend") {
      o.machine.memory_backend = value;
    } else if ((key == "usb" || key == "dump-guest-core") && !is_on(value)) {
      continue;
    } else {
      return bad_property("machine", key, "machine");
    }
  }
  return success();
}

Status take_smp(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "cpus")) {
    auto n = parse_number(value, "-smp " + key, 1, 64);
    if (!n) return n.error();
    const u32 v = static_cast<u32>(*n);
    if (key == "cpus")
      o.machine.cpus = v;
    else if (key == "sockets")
      o.machine.sockets = v;
    else if (key == "cores")
      o.machine.cores = v;
    else if (key == "threads")
      o.machine.threads = v;
    else if (key == "maxcpus") {
      if (v < o.machine.cpus) return Error{"-smp maxcpus is less than cpus", "", 1};
    } else
      return bad_property("smp", key, "smp-opts");
  }
  return success();
}

Status take_memory(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "size")) {
    if (key != "size") return bad_property("m", key, "memory");
    auto size = parse_size(value, u64{1} << 20);
    if (!size) return size.error();
    if (*size < (u64{1} << 20)) return Error{"-m " + value + " is too little for a PC", "give at least 1M", 1};
    o.machine.ram_bytes = align_up(*size, 8192);
    o.memory_given = true;
  }
  return success();
}

Status take_boot(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "order")) {
    if (key == "order" || key == "once") {
      for (const char c : value) {
        if (c < 'a' || c > 'p')
          return Error{std::string("-boot: '") + c + "' is not a boot device", "a floppy, c disk, d CD, n network", 1};
      }
      (key == "order" ? o.machine.boot_order : o.machine.boot_once) = value;
    } else if (key == "menu") {
      o.machine.boot_menu = is_on(value);
    } else if (key != "strict" && key != "splash-time") {
      return bad_property("boot", key, "boot-opts");
    }
  }
  return success();
}

void add_drive(Options& o, const std::string& file, const char* interface, const char* media, int index) {
  machine::DriveConfig d;
  d.file = file;
  d.interface = interface;
  d.media = media;
  d.index = index;
  if (d.media == "cdrom") d.read_only = true;
  o.machine.drives.push_back(d);
}

Status take_fw_cfg(Options& o, const std::string& text) {
  std::string name, contents;
  bool given = false;
  for (const auto& [key, value] : parse_key_values(text, "name")) {
    if (key == "name")
      name = value;
    else if (key == "string") {
      contents = value;
      given = true;
    } else if (key == "file") {
      given = true;
      auto read = os::read_named(value);
      if (!read) return Error{"can't read the fw_cfg file " + value, "check the path", 1};
      contents = std::move(*read);
    } else
      return bad_property("fw_cfg", key, "fw_cfg");
  }
  if (!given) return Error{"-fw_cfg has neither file= nor string=", "-fw_cfg name=opt/org.example,string=text", 1};
  if (name.empty() || name.size() > 55)
    return Error{"-fw_cfg needs a name of at most 55 characters", "-fw_cfg name=opt/org.example,string=text", 1};
  o.machine.fw_cfg.emplace_back(name, contents);
  return success();
}

Status take_accel(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "accel")) {
    if (key == "accel") {
      if (value == "help") {
        o.text = "Accelerators:\ntcg     the translator (default)\ninterp  the portable interpreter\n";
        return success();
      }
      o.accelerators.push_back(value);
    } else if (key == "tb-size") {
      auto n = parse_number(value, "-accel tb-size", 1, 2048);
      if (!n) return n.error();
      o.machine.accel.code_cache_bytes = static_cast<size_t>(*n) << 20;
    } else if (key == "one-insn-per-tb") {
      if (is_on(value)) o.machine.accel.max_insns = 1;
    } else if (key != "thread") {
      return bad_property("accel", key, "accel");
    }
  }
  return success();
}

// The first accelerator of the list that is built.
Status choose_accelerator(Options& o) {
  for (const std::string& name : o.accelerators) {
    if (name != "tcg" && name != "dbt" && name != "interp") continue;
    o.machine.accel.interpreter = name == "interp";
    return success();
  }
  if (o.accelerators.empty()) return success();
  return wrong_choice("accelerator", o.accelerators[0], {"tcg", "interp"},
                      {"kvm", "hvf", "whpx", "nvmm", "xen", "hax"});
}

Status take_rtc(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "base")) {
    if (key == "base")
      o.machine.rtc_base = value;
    else if (key == "clock") {
      if (value != "host" && value != "vm" && value != "rt")
        return Error{"-rtc clock=" + value + " is not a clock", "use clock=host or clock=vm"};
      o.machine.rtc_clock = value;
    } else if (key != "driftfix")
      return bad_property("rtc", key, "rtc");
  }
  return success();
}

Status take_icount(Options& o, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text, "shift")) {
    if (key == "shift") {
      if (value == "auto") {
        o.machine.accel.icount_shift = 3;
        continue;
      }
      auto n = parse_number(value, "-icount shift", 0, 10);
      if (!n) return n.error();
      o.machine.accel.icount_shift = static_cast<int>(*n);
    } else if (key != "sleep" && key != "align") {
      return bad_property("icount", key, "icount");
    }
  }
  return success();
}

Status take_dfilter(Options& o, const std::string& text) {
  u64 from = 0, to = 0;
  const size_t dots = text.find(".."), plus = text.find('+');
  char* end = nullptr;
  from = std::strtoull(text.c_str(), &end, 0);
  if (dots != std::string::npos)
    to = std::strtoull(text.c_str() + dots + 2, &end, 0);
  else if (plus != std::string::npos)
    to = from + std::strtoull(text.c_str() + plus + 1, &end, 0) - 1;
  else
    return Error{"-dfilter '" + text + "' is not a range", "write FROM..TO or FROM+SIZE", 1};
  o.machine.accel.dump_from = from;
  o.machine.accel.dump_to = to;
  return success();
}

Status take_overcommit(Options&, const std::string& text) {
  for (const auto& [key, value] : parse_key_values(text)) {
    if (key != "mem-lock" && key != "cpu-pm") return bad_property("overcommit", key, "overcommit");
    auto on = parse_switch("-overcommit " + key, value);
    if (!on) return on.error();
    if (*on) return Error{"-overcommit " + key + "=on is not built yet", "leave it off"};
  }
  return success();
}

Status take_mon(Options& o, const std::string& text) {
  std::string device, mode = "readline";
  bool pretty = false;
  for (const auto& [key, value] : parse_key_values(text, "chardev")) {
    if (key == "chardev")
      device = "chardev:" + value;
    else if (key == "mode")
      mode = value;
    else if (key == "pretty")
      pretty = is_on(value);
    else if (key != "id" && key != "default")
      return bad_property("mon", key, "mon");
  }
  if (device.empty()) return Error{"-mon needs chardev=ID", "-chardev socket,id=ID,... -mon chardev=ID", 1};
  if (mode != "readline" && mode != "control")
    return Error{"-mon mode=" + mode + " is neither readline nor control", "mode=control is the machine protocol", 1};
  if (mode == "control") {
    o.qmp.push_back({device, pretty});
  } else {
    o.monitor_given = true;
    o.monitors.push_back(device);
  }
  return success();
}

}  // namespace

Status take_drive(Options& o, const std::string& text) {
  machine::DriveConfig d;
  for (const auto& [key, value] : parse_key_values(text, "file")) {
    if (key == "file")
      d.file = value;
    else if (key == "if")
      d.interface = value;
    else if (key == "media")
      d.media = value;
    else if (key == "id")
      d.id = value;
    else if (key == "format" || key == "driver")
      d.format = value;
    else if (key == "readonly" || key == "read-only")
      d.read_only = is_on(value);
    else if (key == "snapshot")
      d.snapshot = is_on(value);
    else if (key == "index" || key == "bus" || key == "unit") {
      auto n = parse_number(value, "-drive " + key, 0, 31);
      if (!n) return n.error();
      (key == "index" ? d.index : key == "bus" ? d.bus : d.unit) = static_cast<int>(*n);
    } else if (key == "serial") {
      d.serial = value;
    } else if (auto taken = take_tuning(d.tuning, key, value); !taken) {
      return taken.error();
    } else if (!*taken) {
      return bad_property("drive", key, "drive");
    }
  }
  if (d.interface != "ide" && d.interface != "virtio" && d.interface != "floppy" && d.interface != "none" &&
      d.interface != "scsi" && d.interface != "pflash")
    return Error{"-drive if=" + d.interface + " is not built yet", "use if=ide, if=virtio, if=floppy or if=pflash", 1};
  if (d.media != "disk" && d.media != "cdrom")
    return Error{"-drive media=" + d.media + " is neither disk nor cdrom", "", 1};
  o.machine.drives.push_back(d);
  return success();
}

namespace {

// QEMU's devices that are not built, by how their names begin: better said than guessed at.
Error unknown_device(const std::string& name) {
  static constexpr struct {
    const char *start, *instead;
  } kNotBuilt[] = {
      {"e1000-", "use e1000"},
      {"e1000e", "use e1000"},
      {"igb", "use e1000"},
      {"vmxnet3", "use virtio-net-pci"},
      {"i8255", "use e1000"},
      {"i8280", "use e1000"},
      {"ne2k_isa", "use ne2k_pci"},
      {"tulip", "use rtl8139"},
      {"usb-", "keyboard, mouse and tablet: virtio-keyboard-pci, virtio-tablet-pci; disks: virtio-blk-pci"},
      {"virtio-gpu", "use -vga std"},
      {"virtio-vga", "use -vga std"},
      {"qxl", "use -vga std"},
      {"vhost-", "-device help lists what is"},
      {"virtio-sound", "-device help lists what is"},
      {"virtio-crypto", "-device help lists what is"},
      {"virtio-iommu", "-device help lists what is"},
      {"virtio-mem", "-device help lists what is"},
      {"virtio-pmem", "-device help lists what is"},
      {"virtio-input-host", "use virtio-keyboard-pci or virtio-tablet-pci"}};
  for (const auto& row : kNotBuilt)
    if (name.starts_with(row.start)) return {"the device '" + name + "' is not built", row.instead, 1};
  const std::string near = nearest(name, machine::device_names());
  return {"there is no device '" + name + "'",
          near.empty() ? "-device help lists them" : "did you mean '" + near + "'? -device help lists them", 1};
}

}  // namespace

Status take_device(Options& o, const std::string& text) {
  machine::DeviceConfig d;
  for (const auto& [key, value] : parse_key_values(text, "driver")) {
    if (key == "driver")
      d.driver = value;
    else
      d.properties[key] = value;
  }
  if (d.driver == "help" || d.driver == "?") {
    o.text = machine::devices_help();
    return success();
  }
  const std::vector<std::string> known = machine::device_properties(d.driver);
  if (known.empty()) return unknown_device(d.driver);
  if (d.properties.contains("help") || d.properties.contains("?")) {
    o.text = d.driver + " options:\n";
    for (const std::string& k : known) o.text += "  " + k + "=<value>\n";
    return success();
  }
  for (const auto& [key, value] : d.properties) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return bad_property("device " + d.driver, key, known);
  }
  o.machine.devices.push_back(d);
  return success();
}

namespace {

using Handler = std::function<Status(Options&, const std::string&)>;

#define SET(...)                                   \
  [](Options& o, const std::string& v) -> Status { \
    (void)o;                                       \
    (void)v;                                       \
    __VA_ARGS__;                                   \
    return success();                              \
  }
const std::unordered_map<std::string, Handler>& handlers() {
  static const std::unordered_map<std::string, Handler> table = {
      {"help", SET(o.show_help = true)}, {"version", SET(o.show_version = true)},
      {"machine", take_machine}, {"M", take_machine}, {"accel", take_accel},
      {"cpu", [](Options& o, const std::string& v) -> Status {
         if (v == "help" || v == "?") o.text = machine::cpu_help(o.machine.target); else o.machine.cpu = v;
         return success();
       }},
      {"smp", take_smp}, {"m", take_memory},
      {"uuid", SET(o.machine.uuid = v)}, {"name", SET(o.machine.name = parse_key_values(v, "guest").empty() ? v : parse_key_values(v, "guest")[0].second)},
      {"loadvm", SET(o.loadvm = v)}, {"S", SET(o.machine.start_paused = true)}, {"no-reboot", SET(o.machine.no_reboot = true)}, {"no-shutdown", SET(o.machine.no_shutdown = true)},
      {"action", [](Options& o, const std::string& v) -> Status {
         for (const auto& [key, value] : parse_key_values(v)) {
           if (key == "reboot") o.machine.no_reboot = value == "shutdown";
           else if (key == "shutdown") o.machine.no_shutdown = value == "pause";
           else if (key != "panic" && key != "watchdog") return bad_property("action", key, "action");
         }
         return success();
       }},
      {"nodefaults", SET(o.machine.no_defaults = true)}, {"nographic", SET(o.nographic = true)},
      {"display", [](Options& o, const std::string& v) -> Status {
         const auto kv = parse_key_values(v, "type");
         const std::string type = kv.empty() ? v : kv[0].second;
         if (type == "help") { o.text = "Displays:\nsdl\nnone\n"; return success(); }
         if (type != "sdl" && type != "none") return wrong_choice("display", type, {"sdl", "none"}, {"gtk", "vnc", "curses", "cocoa", "egl-headless", "spice-app", "dbus"});
         o.display = type;
         return success();
       }},
      {"vga", [](Options& o, const std::string& v) -> Status {
         if (v != "std" && v != "cirrus" && v != "none") return wrong_choice("display adapter", v, {"std", "cirrus", "none"}, {"vmware", "qxl", "xenfb", "tcx", "cg3", "virtio"});
         o.machine.vga = v;
         o.vga_given = true;
         return success();
       }},
      {"full-screen", SET(o.full_screen = true)}, {"kernel", SET(o.machine.kernel = v)}, {"initrd", SET(o.machine.initrd = v)},
      {"append", SET(o.machine.append = v)}, {"bios", SET(o.machine.bios = v)}, {"L", SET(o.machine.firmware_dirs.push_back(v))},
      {"boot", take_boot}, {"add-fd", take_add_fd}, {"fw_cfg", take_fw_cfg}, {"drive", take_drive},
      {"hda", SET(add_drive(o, v, "ide", "disk", 0))}, {"hdb", SET(add_drive(o, v, "ide", "disk", 1))},
      {"hdc", SET(add_drive(o, v, "ide", "disk", 2))}, {"hdd", SET(add_drive(o, v, "ide", "disk", 3))},
      {"cdrom", SET(add_drive(o, v, "ide", "cdrom", 2))}, {"fda", SET(add_drive(o, v, "floppy", "disk", 0))},
      {"fdb", SET(add_drive(o, v, "floppy", "disk", 1))},
      {"snapshot", SET(for (auto& d : o.machine.drives) d.snapshot = true; o.machine.board_options["snapshot"] = "on")},
      {"serial", SET(o.serial.push_back(v))},
      {"parallel", [](Options&, const std::string& v) -> Status { return v == "none" ? success() : Status(Error{"there is no parallel port yet", "use -parallel none", 1}); }},
      {"monitor", SET(o.monitor_given = true; if (v != "none") o.monitors.push_back(v))},
      {"mon", take_mon}, {"qmp", SET(o.qmp.push_back({v, false}))}, {"qmp-pretty", SET(o.qmp.push_back({v, true}))},
      {"daemonize", SET(o.daemonize = true)},
      {"chardev", SET(o.chardevs.push_back(v))}, {"debugcon", SET(o.debugcon = v)},
      {"echr", [](Options& o, const std::string& v) -> Status {
         auto n = parse_number(v, "-echr", 0, 255);
         if (!n) return n.error();
         o.escape_char = static_cast<int>(*n);
         return success();
       }},
      {"device", take_device},
      {"netdev", take_netdev}, {"nic", take_nic}, {"net", take_net}, {"object", take_object}, {"audiodev", take_audiodev}, {"blockdev", take_blockdev}, {"overcommit", take_overcommit}, {"fsdev", take_fsdev}, {"virtfs", take_virtfs},
      {"sandbox", [](Options& o, const std::string& v) { return parse_sandbox(v, o.sandbox); }},
      {"rtc", take_rtc}, {"icount", take_icount}, {"s", SET(o.gdb = "tcp::1234")}, {"gdb", SET(o.gdb = v)},
      {"d", SET(if (v == "help" || v == "?") o.text = log_items_help(); else o.log_items = v)}, {"D", SET(o.log_file = v)}, {"dfilter", take_dfilter},
      {"singlestep", SET(o.machine.accel.max_insns = 1)}, {"usb", SET(o.machine.devices.push_back({"piix3-usb-uhci", {{"addr", "1.2"}}}))},
      {"pidfile", SET(o.pid_file = v)}, {"incoming", SET(o.incoming = v)},
      {"no-acpi", SET(o.machine.acpi = false)}, {"no-hpet", SET(o.machine.hpet = false)},
      {"opt", SET(o.machine.accel.opt = v)},
      {"limit", [](Options& o, const std::string& v) -> Status {
         auto n = parse_number(v, "--limit", 0, ~u64{0} >> 1);
         if (!n) return n.error();
         o.machine.accel.limit = static_cast<s64>(*n);
         return success();
       }},
      {"stop-at", take_stop_at},
      {"lockstep", SET(o.machine.accel.lockstep = true)}, {"perfmap", SET(o.machine.accel.perf_map = true)},
      {"wait-for", SET(o.wait_for = v)},
      {"wait-timeout", [](Options& o, const std::string& v) -> Status {
         auto n = parse_number(v, "--wait-timeout", 1, 1000000);
         if (!n) return n.error();
         o.wait_timeout = static_cast<int>(*n);
         return success();
       }},
  };
  return table;
}
#undef SET

}  // namespace

Options::Options() : secrets(std::make_shared<crypto::Secrets>()) {}

Error bad_property(std::string_view option, std::string_view key, const std::vector<std::string>& known) {
  const std::string near = nearest(key, known);
  std::string all;
  for (const std::string& k : known) all += (all.empty() ? "" : ", ") + k;
  return Error{"-" + std::string(option) + " has no property '" + std::string(key) + "'",
               near.empty() ? "it has: " + all : "did you mean '" + near + "'?", 1};
}

Result<Options> parse_qemu(const std::vector<std::string>& args, const std::string& target) {
  Options o;
  o.machine.target = target;
  o.machine.board = machine::default_board(target);
  o.sandbox.arguments = args;
  for (size_t i = 0; i < args.size(); i++) {
    const std::string& word = args[i];
    if (word.empty() || word[0] != '-' || word == "-") {
      add_drive(o, word, "ide", "disk", 0);  // a bare word is the first disk, as in QEMU
      continue;
    }
    std::string name = word.substr(word.starts_with("--") ? 2 : 1), value;
    if (name == "h") name = "help";
    const size_t eq = name.find('=');
    const Row* row = find_row(name);
    bool has_value = false;
    if (!row && eq != std::string::npos && word.starts_with("--")) {
      row = find_row(name.substr(0, eq));
      value = name.substr(eq + 1);
      has_value = true;
    }
    if (!row) {
      std::vector<std::string> names;
      for (const Row& r : kRows) names.emplace_back(r.name);
      const std::string near = nearest(name, names);
      return Error{"unknown option '" + word + "'",
                   near.empty() ? "-help lists the options" : "did you mean '-" + near + "'?", 2};
    }
    if (row->state == State::Later)
      return Error{"the option -" + std::string(row->name) + " is known but not built yet", "leave it out", 1};
    if (*row->argument && !has_value) {
      if (i + 1 >= args.size())
        return Error{"the option " + word + " needs an argument: " + row->argument, "-help lists the options", 2};
      value = args[++i];
    }
    if (row->state == State::Quiet) continue;
    if (value.starts_with("{")) {
      if (Status s = check_json(row->name, value); !s) return s.error();
    }
    if (Status s = handlers().at(row->name)(o, value); !s) return s.error();
    if (!o.text.empty()) return o;
  }
  if (o.machine.board_options.contains("snapshot")) {
    for (auto& d : o.machine.drives) d.snapshot = true;
  }
  if (!o.machine.append.empty() && o.machine.kernel.empty())
    return Error{"-append is only for -kernel", "give a kernel with -kernel FILE", 1};
  if (!o.machine.initrd.empty() && o.machine.kernel.empty())
    return Error{"-initrd is only for -kernel", "give a kernel with -kernel FILE", 1};
  if (o.machine.no_defaults && !o.vga_given) o.machine.vga = "none";
  if (Status st = choose_accelerator(o); !st) return st.error();
  if (Status st = check_memory_backend(o); !st) return st.error();
  if (Status st = resolve_blockdevs(o); !st) return st.error();
  const auto& c = o.machine;
  if (c.accel.stop_at_ns >= 0 && c.accel.icount_shift < 0)
    return Error{"--stop-at is a time of -icount", "add -icount shift=3", 1};
  if (c.sockets || c.cores || c.threads) {
    const u32 n = std::max(c.sockets, 1u) * std::max(c.cores, 1u) * std::max(c.threads, 1u);
    if (c.sockets && c.cores && c.threads && n != c.cpus)
      return Error{"-smp: sockets * cores * threads is " + std::to_string(n) + ", not cpus=" + std::to_string(c.cpus),
                   "", 1};
  }
  return o;
}

std::vector<monitor::CommandLineOption> option_parameters() {
  std::vector<monitor::CommandLineOption> out;
  for (const PropertyRow& row : kProperties) {
    if (out.empty() || out.back().name != row.option) out.push_back({row.option, {}});
    out.back().parameters.push_back({row.name, row.type, ""});
  }
  return out;
}

std::string options_help(std::string_view program) {
  std::string text = "usage: " + std::string(program) + " [options] [disk_image]\n\n";
  for (const Row& r : kRows) {
    if (r.state == State::Later || !*r.help) continue;
    std::string left = std::string("-") + r.name + (*r.argument ? " " + std::string(r.argument) : "");
    if (left.size() < 32)
      left.resize(32, ' ');
    else
      left += "\n" + std::string(32, ' ');
    text += left + r.help + "\n";
  }
  return text + "\nA double dash works too. Options known to QEMU but not built yet say so.\n";
}

}  // namespace doppel::app

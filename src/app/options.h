// The command lines: QEMU's (parse_qemu) and Doppel's own (run_command in commands.cpp). Parsing starts nothing.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/sandbox.h"
#include "base/nearest.h"
#include "machine/machine.h"
#include "migration/record.h"
#include "monitor/commands/context.h"

namespace doppel::crypto {
class Secrets;
}
namespace doppel::app {

struct Options {
  Options();
  machine::MachineConfig machine;
  std::shared_ptr<crypto::Secrets> secrets;  // -object secret
  bool show_help = false, show_version = false;
  std::string text;     // for `-cpu help` and its like: print this and exit 0
  std::string display;  // sdl, none; empty: choose
  bool nographic = false, full_screen = false;
  std::vector<std::string> serial;  // as given
  std::vector<std::string> monitors;
  bool monitor_given = false, vga_given = false;
  struct QmpMonitor {
    std::string device;
    bool pretty = false;
  };
  std::vector<QmpMonitor> qmp;
  struct Blockdev {
    std::string name, driver, filename, file, backing;  // file, backing: other nodes' names
    bool read_only = false, no_backing = false;
    block::Tuning tuning;
  };
  std::vector<Blockdev> blockdevs;
  bool daemonize = false, memory_given = false;
  std::vector<std::string> accelerators;  // as given; the first that is built is taken
  std::vector<std::string> chardevs;      // -chardev, whole
  std::string debugcon;
  std::string gdb;
  // Network, as given; app/network.cpp makes it.
  using Properties = std::vector<std::pair<std::string, std::string>>;
  std::vector<Properties> netdevs, nics, legacy_nets, dumps;
  bool network_given = false;  // no default card
  std::string loadvm;
  // Of `doppel run`: what it takes to start the like again, the snapshot to go on from, the name under which a
  // throwaway run is kept ("?": ask).
  migration::Launch launch;
  std::optional<migration::Record> restore;
  std::string keep;
  std::function<void()> on_restored;
  std::string log_items, log_file;
  std::string pid_file;
  Sandbox sandbox;
  int escape_char = 1;
  std::string wait_for;
  std::string incoming;  // -incoming; empty: none
  int wait_timeout = 120;
};

// key=value list: ",," is a comma, a word without '=' is `word=on` (or the first one the value of `first_key`),
// `noWORD` is off.
using KeyValues = std::vector<std::pair<std::string, std::string>>;
// {"key": value} in JSON gives the same: nested keys with dots, true and false as on and off.
KeyValues parse_key_values(std::string_view text, std::string_view first_key = {});
Status check_json(std::string_view option, std::string_view text);  // of a value that begins with '{'

// Errors: exit status 2 for usage, 1 for values that can't be had.
Result<Options> parse_qemu(const std::vector<std::string>& args, const std::string& target);
std::string options_help(std::string_view program);
std::vector<monitor::CommandLineOption> option_parameters();  // for query-command-line-options
// A value that is not one of `built`: either one of `later`, which QEMU has, or unknown to both. `what`: "display".
Error wrong_choice(const std::string& what, const std::string& value, const std::vector<std::string>& built,
                   const std::vector<std::string>& later);
// `-option has no property key`, with what it has.
Error bad_property(std::string_view option, std::string_view key, const std::vector<std::string>& known);
// on, yes, true, y; off, no, false, n. `what` is for the error: "-machine hpet".
Result<bool> parse_switch(const std::string& what, std::string_view value);
// -device and -drive, for monitors too.
Status take_device(Options& o, const std::string& text);
Status take_drive(Options& o, const std::string& text);
Result<u64> parse_size(std::string_view text, u64 unit_without_suffix);

}  // namespace doppel::app

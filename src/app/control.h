// Running machines of this user, and talking to them: each `doppel run` has an entry and a socket of the machine
// protocol in $XDG_RUNTIME_DIR/doppel (without that: /tmp/doppel-UID), which only the user may enter.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace doppel::app {

struct RunningVm {
  long pid = 0;
  std::string file, name, folder, socket;  // file: as it was given, whole path
};

// This process's own entry; gone with it.
class VmEntry {
 public:
  virtual ~VmEntry() = default;
  virtual const RunningVm& vm() const = 0;
};
Result<std::unique_ptr<VmEntry>> announce(const std::string& file, const std::string& name, const std::string& folder);
std::vector<RunningVm> running_vms();
// By file, by name (-name), or by the file's name without its ending. Error: several.
Result<std::optional<RunningVm>> find_running(const std::string& vm);
// One command of the machine protocol; waits for its answer. `arguments`: pairs of names and values.
struct ControlArgument {
  std::string name, text;
  bool is_switch = false;  // text: "on" or ""
};
// The same, with what it answers (a text, else nothing).
Result<std::string> ask(const RunningVm& vm, const std::string& command, const std::vector<ControlArgument>& arguments);
Status control(const RunningVm& vm, const std::string& command, const std::vector<ControlArgument>& arguments);

}  // namespace doppel::app

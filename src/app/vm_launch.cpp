#include "app/vm_launch.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "app/control.h"
#include "app/detect.h"
#include "app/run_machine.h"
#include "migration/folder_snapshots.h"

namespace doppel::app {
namespace {
namespace fs = std::filesystem;
using block::Layer;

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

// Of what is over by now: said, and gone on.
void complain(const Status& s) {
  if (!s) fail(s.error());
}

// A clone remembers what it was cloned from.
std::optional<migration::Record> clone_record(const std::string& file, const std::string& folder) {
  auto record = migration::read_record(folder, "start");
  if (!record) return std::nullopt;
  const auto& replaced = record->launch.replaced;
  const bool own = replaced.empty() ? !fs::exists(file) : replaced[0].by.file == block::disk_of(file);
  return own ? std::optional(record.take()) : std::nullopt;
}

const migration::Launch::Replacement* replacement(const migration::Launch& launch, const std::string& file) {
  const std::string disk = block::disk_of(file);
  for (const auto& r : launch.replaced) {
    if (r.disk == disk) return &r;
  }
  return nullptr;
}

bool is_disk(const machine::DriveConfig& d) { return !d.file.empty() && d.media != "cdrom" && !d.read_only; }

// What run's own options say; the rest is QEMU's.
struct RunWords {
  std::string file, restore, keep;
  bool throwaway = false;
  std::vector<std::string> rest, shares;
};
constexpr const char* kSandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny,files=deny";

Result<RunWords> split_words(const std::vector<std::string>& args) {
  RunWords w;
  int sandbox = -1;  // not said: for a throwaway run
  for (size_t i = 0; i < args.size(); i++) {
    const std::string& a = args[i];
    if (a == "--throwaway") {
      w.throwaway = true;
    } else if (a == "--restore" || a == "--keep") {
      if (i + 1 >= args.size()) return Error{a + " needs the name of a snapshot", "doppel run " + a + " NAME FILE", 2};
      (a == "--keep" ? w.keep : w.restore) = args[++i];
      if (Status s = migration::check_name(args[i]); !s) return s.error();
    } else if (a == "--share") {
      if (i + 1 >= args.size()) return Error{"--share needs a folder", "doppel run --share DIR FILE", 2};
      std::string path = fs::absolute(args[++i]).string();
      for (size_t at = 0; (at = path.find(',', at)) != std::string::npos; at += 2) path.insert(at, 1, ',');
      const std::string tag = "share" + std::to_string(w.shares.size());
      w.rest.insert(w.rest.end(), {"-virtfs", "local,path=" + path + ",mount_tag=" + tag + ",security_model=none"});
      w.shares.push_back(args[i] + " is shared; in the guest: mount -t 9p -o trans=virtio,version=9p2000.L " + tag +
                         " /mnt");
    } else if (a == "--sandbox" || a == "--sandbox=on") {
      sandbox = 1;
    } else if (a == "--sandbox=off" || a == "--no-sandbox") {
      sandbox = 0;
    } else if (w.file.empty() && !a.starts_with("-")) {
      w.file = a;
    } else {
      w.rest.push_back(a);
      // An option's argument is not the file.
      if (a.starts_with("-") && option_takes_argument(a) && i + 1 < args.size()) w.rest.push_back(args[++i]);
    }
  }
  if (w.file.empty()) return Error{"run needs a file to boot", "doppel run FILE", 2};
  if (!w.keep.empty() && !w.throwaway)
    return Error{"--keep is for a throwaway run", "doppel run --throwaway --keep NAME FILE", 2};
  if (sandbox == 1 || (sandbox < 0 && w.throwaway)) w.rest.insert(w.rest.end(), {"-sandbox", kSandbox});
  return w;
}

// Where a machine's ends on the host are may differ from last time: what is given now takes the place of what was.
void drop_given_anew(std::vector<std::string>& arguments, const std::vector<std::string>& more) {
  for (const char* end : {"serial", "monitor", "qmp", "qmp-pretty", "display", "pidfile", "debugcon"}) {
    const auto is_end = [&](const std::string& a) {
      return a == "-" + std::string(end) || a == "--" + std::string(end);
    };
    if (std::none_of(more.begin(), more.end(), is_end)) continue;
    for (size_t i = 0; i + 1 < arguments.size();) {
      if (is_end(arguments[i]))
        arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                        arguments.begin() + static_cast<std::ptrdiff_t>(i) + 2);
      else
        i++;
    }
  }
}

std::string command_line(const VmPlan& plan) {
  std::string line = "# " + plan.what + "\nqemu-system-" + plan.launch.arch;
  for (const std::string& a : plan.launch.arguments)
    line += " " + (a.find(' ') == std::string::npos ? a : "'" + a + "'");
  return line + "\n";
}

// A terminal is there to ask on, and nothing else reads from it.
bool may_ask(const Options& o) {
  bool taken = o.nographic || o.daemonize || !isatty(0) || !isatty(2);
  for (const auto* specs : {&o.serial, &o.monitors}) {
    for (const std::string& s : *specs) taken |= s.find("stdio") != std::string::npos;
  }
  return !taken;
}

// The disks of a snapshot: in a throwaway run below the temporary overlay, else below new layers.
Result<std::vector<migration::Record::Disk>> put_on_snapshot(Options& o, const migration::Record& record,
                                                             bool throwaway) {
  if (!throwaway) return migration::return_disks(record);
  for (machine::DriveConfig& d : o.machine.drives) {
    if (!is_disk(d)) continue;
    for (const auto& disk : record.disks) {
      if (disk.disk == block::disk_of(d.file)) d.file = disk.layer.file, d.format = disk.layer.format;
    }
  }
  return std::vector<migration::Record::Disk>();
}

int run_plan(VmPlan plan, const RunWords& w) {
  auto parsed = parse_launch(plan.launch);
  if (!parsed) return fail(parsed.error());
  Options o = parsed.take();
  if (!o.text.empty()) return std::fputs(o.text.c_str(), stdout) < 0;
  for (const std::string& line : w.shares) std::fprintf(stderr, "doppel: %s\n", line.c_str());
  if (w.throwaway) {
    for (auto& d : o.machine.drives) d.snapshot = true;
  }
  const std::string folder = plan.launch.folder;
  std::vector<migration::Record::Disk> before;
  if (plan.record && !w.throwaway) {
    auto running = find_running(block::disk_of(w.file));
    if (running && *running)
      return fail({"'" + w.file + "' runs already (process " + std::to_string((*running)->pid) + ")",
                   "doppel snapshot restore '" + w.file + "' " + plan.record->name});
  }
  if (plan.record) {
    auto put = put_on_snapshot(o, *plan.record, w.throwaway);
    if (!put) return fail(put.error());
    before = put.take();
  }
  if (!plan.record || !w.throwaway) use_current_layers(o);
  o.launch = plan.launch;
  if (plan.record && plan.record->has_state()) o.restore = plan.record;
  if (w.throwaway) o.keep = !w.keep.empty() ? w.keep : may_ask(o) ? "?" : "";
  o.sandbox.arguments.insert(o.sandbox.arguments.end(), {w.file, folder});
  auto entry = announce(w.file, o.machine.name, folder);
  if (entry) {
    o.sandbox.arguments.push_back((*entry)->vm().socket);
    o.qmp.push_back({"unix:" + (*entry)->vm().socket + ",server=on,wait=off", false});
  } else {
    std::fprintf(stderr, "doppel: no doppel snapshot while it runs: %s\n", entry.error().text().c_str());
  }
  bool went_on = !o.restore;
  o.on_restored = [&, name = plan.record ? plan.record->name : "", throwaway = w.throwaway] {
    went_on = true;
    if (throwaway) return;
    complain(migration::set_present_parent(folder, name));
    complain(migration::set_pending(folder, ""));
    migration::collect_layers(folder);
  };
  if (plan.record && !o.restore) o.on_restored();
  const int status = run_machine(std::move(o));
  if (!went_on) {  // as if it had not been tried
    for (const auto& d : before) complain(block::set_current(d.disk, d.layer));
    if (!before.empty()) migration::collect_layers(folder);
  }
  if (!w.throwaway) migration::collect_layers(folder);  // what was in use until now
  return status;
}

}  // namespace

Result<VmPlan> plan_vm(const std::string& file, const std::vector<std::string>& more, const std::string& restore) {
  VmPlan plan;
  plan.launch.folder = block::layers_folder(file);
  const std::string name = restore.empty() ? migration::pending(plan.launch.folder) : restore;
  if (!name.empty()) {
    const auto say = [] { std::fprintf(stderr, "waiting for the clone's memory to be written\n"); };
    if (Status s = migration::wait_for_snapshot(plan.launch.folder, name, say); !s) return s.error();
    auto record = migration::read_record(plan.launch.folder, name);
    if (!record) return record.error();
    plan.record = record.take();
    plan.launch = plan.record->launch;
    plan.what = "snapshot " + name + " of " + file;
  } else if (auto clone = clone_record(file, plan.launch.folder)) {
    plan.launch = clone->launch;
    plan.what = "clone " + file;
  } else {
    auto found = detect(block::current_layer({file, ""}).file);
    if (!found) return found.error();
    plan.what = found->what;
    plan.launch.arch = found->arch;
    plan.launch.arguments = found->arguments;
    plan.launch.directory = fs::current_path().string();
  }
  if (!plan.launch.replaced.empty() || plan.record) drop_given_anew(plan.launch.arguments, more);
  plan.launch.arguments.insert(plan.launch.arguments.end(), more.begin(), more.end());
  return plan;
}

Result<Options> parse_launch(const migration::Launch& launch) {
  std::error_code ec;
  if (!launch.directory.empty()) fs::current_path(launch.directory, ec);  // where the arguments' paths begin
  auto options = parse_qemu(launch.arguments, launch.arch);
  if (!options) return options.error();
  for (machine::DriveConfig& d : options->machine.drives) {
    if (!is_disk(d)) continue;
    if (const auto* r = replacement(launch, d.file)) d.file = r->by.file, d.format = r->by.format;
  }
  return options;
}

std::vector<Layer> writable_disks(const Options& options) {
  std::vector<Layer> out;
  for (const machine::DriveConfig& d : options.machine.drives) {
    if (is_disk(d) && !d.snapshot)
      out.push_back({block::disk_of(d.file), d.file == block::disk_of(d.file) ? d.format : ""});
  }
  return out;
}

void use_current_layers(Options& options) {
  for (machine::DriveConfig& d : options.machine.drives) {
    if (!is_disk(d)) continue;
    const Layer now = block::current_layer({d.file, d.format});
    d.file = now.file, d.format = now.format;
  }
}

int run_file(const std::vector<std::string>& args, bool explain) {
  auto words = split_words(args);
  if (!words) return fail(words.error());
  auto plan = plan_vm(words->file, words->rest, words->restore);
  if (!plan) return fail(plan.error());
  if (explain) {
    if (words->throwaway) plan->launch.arguments.insert(plan->launch.arguments.begin(), "-snapshot");
    std::fputs(command_line(*plan).c_str(), stdout);
    return 0;
  }
  std::fprintf(stderr, "doppel: %s; accelerator: translator (hardware virtualisation is not built yet)\n",
               plan->what.c_str());
  words->file = fs::absolute(words->file).lexically_normal().string();  // the plan may be another folder's
  return run_plan(plan.take(), *words);
}

}  // namespace doppel::app

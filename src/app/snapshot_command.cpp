// doppel snapshot, doppel clone: of running machines through their sockets, of others by their files.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/control.h"
#include "app/vm_launch.h"
#include "block/image_info.h"
#include "migration/folder_snapshots.h"

namespace doppel::app {
namespace {
namespace fs = std::filesystem;
using migration::Record;

constexpr const char* kUsage =
    "usage: doppel snapshot COMMAND VM ...     VM: the file that it boots, or the name or process of a running one\n"
    "  save [--compress] VM NAME    keep the machine (if it runs) and its disks\n"
    "  list [--json] VM             the snapshots, oldest first\n"
    "  tree VM                      which came of which, and where the machine is now\n"
    "  restore VM NAME              go back; a machine that does not run goes on from there at its next start\n"
    "  check VM [NAME]              read all of it and compare the checksums\n"
    "  delete VM NAME\n";

int fail(const Error& e) {
  std::fprintf(stderr, "doppel: %s\n", e.text().c_str());
  return e.exit_status;
}

int usage() {
  std::fputs(kUsage, stderr);
  return 2;
}

// A machine by what the user calls it.
struct Vm {
  std::string file, folder;
  std::optional<RunningVm> running;
};
Result<Vm> find_vm(const std::string& called) {
  auto running = find_running(called);
  if (!running) return running.error();
  if (*running) return Vm{(*running)->file, (*running)->folder, std::move(*running)};
  std::error_code ec;
  const std::string folder = block::layers_folder(called);
  if (!fs::exists(called, ec) && !fs::exists(folder, ec))
    return Error{"there is no file '" + called + "', and no machine of that name runs", "doppel run FILE starts one"};
  return Vm{fs::absolute(called).lexically_normal().string(), folder, std::nullopt};
}

// Of a machine that does not run.
Result<std::pair<migration::Launch, std::vector<block::Layer>>> at_rest(const Vm& vm) {
  migration::Launch launch;
  if (auto last = migration::read_record(vm.folder, migration::present_parent(vm.folder))) {
    launch = last->launch;  // as it ran then
  } else {
    auto plan = plan_vm(vm.file, {}, "");
    if (!plan) return plan.error();
    launch = plan->launch;
  }
  auto options = parse_launch(launch);
  if (!options) return options.error();
  auto disks = writable_disks(*options);
  if (disks.empty()) return Error{"'" + vm.file + "' has no disk that is written to", "run it, then save"};
  return std::pair(std::move(launch), std::move(disks));
}

std::string date_text(s64 seconds) {
  const auto when = static_cast<time_t>(seconds);
  std::tm tm{};
  char text[40] = "";
  if (localtime_r(&when, &tm) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
  return text;
}

int save(const Vm& vm, const std::string& name, bool packed) {
  if (vm.running) {
    const Status s = control(*vm.running, "x-snapshot-save", {{"name", name}, {"packed", packed ? "on" : "", true}});
    return s ? 0 : fail(s.error());
  }
  auto rest = at_rest(vm);
  if (!rest) return fail(rest.error());
  const Status s = migration::save_disks(rest->first, rest->second, name);
  return s ? 0 : fail(s.error());
}

int restore(const Vm& vm, const std::string& name) {
  if (vm.running) {
    const Status s = control(*vm.running, "x-snapshot-restore", {{"name", name}});
    return s ? 0 : fail(s.error());
  }
  auto record = migration::read_record(vm.folder, name);
  if (!record) return fail(record.error());
  if (record->has_state()) {
    if (Status s = migration::verify_in_folder(vm.folder, *record); !s) return fail(s.error());
    if (Status s = migration::set_pending(vm.folder, name); !s) return fail(s.error());
    std::printf("the next doppel run '%s' goes on from there\n", vm.file.c_str());
    return 0;
  }
  if (auto before = migration::return_disks(*record); !before) return fail(before.error());
  if (Status s = migration::set_pending(vm.folder, ""); !s) return fail(s.error());
  if (Status s = migration::set_present_parent(vm.folder, name); !s) return fail(s.error());
  migration::collect_layers(vm.folder);
  return 0;
}

int list(const Vm& vm, bool json) {
  const auto records = migration::all_records(vm.folder);
  if (json) {
    auto out = nlohmann::ordered_json::array();
    for (const Record& r : records) {
      out.push_back({{"name", r.name},
                     {"parent", r.parent},
                     {"date", r.date_seconds},
                     {"vm-clock-nsec", r.clock_ns},
                     {"bytes", r.bytes},
                     {"memory", r.ram == Record::Ram::None     ? "none"
                                : r.ram == Record::Ram::Packed ? "compressed"
                                                               : "file"}});
    }
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
  }
  if (records.empty()) return std::puts("there are no snapshots") < 0;
  std::printf("%-24s %-20s %10s %12s\n", "NAME", "DATE", "SIZE", "VM CLOCK");
  for (const Record& r : records) {
    char clock[40];
    const s64 ms = r.clock_ns / 1000000;
    std::snprintf(clock, sizeof clock, "%02lld:%02d:%02d.%03d", static_cast<long long>(ms / 3600000),
                  static_cast<int>(ms / 60000 % 60), static_cast<int>(ms / 1000 % 60), static_cast<int>(ms % 1000));
    std::printf("%-24s %-20s %10s %12s\n", r.name.c_str(), date_text(r.date_seconds).c_str(),
                r.has_state() ? block::human_size(r.bytes).c_str() : "disks only", r.has_state() ? clock : "-");
  }
  return 0;
}

int check(const Vm& vm, const std::string& name) {
  int status = 0;
  auto records = migration::all_records(vm.folder);
  if (!name.empty()) {
    auto one = migration::read_record(vm.folder, name);
    if (!one) return fail(one.error());
    records = {one.take()};
  }
  for (const Record& r : records) {
    const Status s = migration::verify_in_folder(vm.folder, r);
    if (s)
      std::printf("%s: good\n", r.name.c_str());
    else
      status = fail({r.name + ": " + s.error().cause, s.error().fix});
  }
  return status;
}

int delete_one(const Vm& vm, const std::string& name) {
  const Status s = migration::delete_from_folder(vm.folder, name);
  return s ? 0 : fail(s.error());
}

}  // namespace

int snapshot_command(const std::vector<std::string>& args) {
  std::vector<std::string> words;
  bool packed = false, json = false;
  for (const std::string& a : args) {
    if (a == "--compress") {
      packed = true;
    } else if (a == "--json") {
      json = true;
    } else if (a.starts_with("-")) {
      return usage();
    } else {
      words.push_back(a);
    }
  }
  const bool named = !words.empty() && (words[0] == "save" || words[0] == "restore" || words[0] == "delete");
  const bool may = !words.empty() && (words[0] == "list" || words[0] == "tree" || words[0] == "check");
  if (words.size() != (named ? 3u : 2u) && !(may && words[0] == "check" && words.size() == 3)) return usage();
  if (!named && !may) return usage();
  if (named) {
    if (Status s = migration::check_name(words[2]); !s) return fail(s.error());
  }
  auto vm = find_vm(words[1]);
  if (!vm) return fail(vm.error());
  if (words[0] == "save") return save(*vm, words[2], packed);
  if (words[0] == "restore") return restore(*vm, words[2]);
  if (words[0] == "delete") return delete_one(*vm, words[2]);
  if (words[0] == "check") return check(*vm, words.size() > 2 ? words[2] : "");
  if (words[0] == "tree") return std::fputs(migration::tree(vm->folder).c_str(), stdout) < 0;
  return list(*vm, json);
}

int clone_command(const std::vector<std::string>& args) {
  if (args.size() != 2 || args[0].starts_with("-") || args[1].starts_with("-")) {
    std::fputs("usage: doppel clone VM NEW     NEW: the clone's first disk, a qcow2 file that is made\n", stderr);
    return 2;
  }
  auto vm = find_vm(args[0]);
  if (!vm) return fail(vm.error());
  const std::string file = fs::absolute(args[1]).lexically_normal().string();
  Status s = success();
  if (vm->running) {
    s = control(*vm->running, "x-clone", {{"file", file}});
  } else if (auto rest = at_rest(*vm); rest) {
    s = migration::clone_disks(rest->first, rest->second, file);
  } else {
    s = rest.error();
  }
  if (!s) return fail(s.error());
  std::printf("doppel run '%s' %s\n", args[1].c_str(), vm->running ? "goes on from here" : "starts the clone");
  return 0;
}

}  // namespace doppel::app

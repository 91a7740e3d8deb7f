// What `doppel run FILE` starts: the options that the file's content asks for, a snapshot's or a clone's own, and the
// layers that the disks are on now.
#pragma once
#include "app/options.h"

namespace doppel::app {

struct VmPlan {
  std::string what;  // "Linux kernel 6.1.0-50-amd64 (x86-64)"
  migration::Launch launch;
  std::optional<migration::Record> record;  // the snapshot to go on from
};
// `restore`: a snapshot's name; empty: the one that waits for the next start, if any.
Result<VmPlan> plan_vm(const std::string& file, const std::vector<std::string>& more, const std::string& restore);
// The options, with a clone's disks in place of the original's. Goes to the launch's folder.
Result<Options> parse_launch(const migration::Launch& launch);
std::vector<block::Layer> writable_disks(const Options& options);  // as they were without layers
void use_current_layers(Options& options);

int run_file(const std::vector<std::string>& args, bool explain);  // doppel run, doppel explain
int snapshot_command(const std::vector<std::string>& args);        // doppel snapshot
int clone_command(const std::vector<std::string>& args);           // doppel clone
int screen_command(const std::vector<std::string>& args);          // doppel screen
int shot_command(const std::vector<std::string>& args);            // doppel shot
int type_command(const std::vector<std::string>& args);            // doppel type

}  // namespace doppel::app

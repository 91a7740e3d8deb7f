#include "app/img/img.h"

#include <cstdio>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/io.h"
#include "app/options.h"

namespace doppel::app::img {
namespace {

constexpr const char* kVersion = "qemu-img version 8.2.0 (Doppel 0.1.0)\nCopyright (c) 2026 The Doppel authors\n";

struct Command {
  const char* name;
  int (*run)(const std::vector<std::string>& args);
  const char* syntax;
};

constexpr Command kCommands[] = {
    {"bitmap", bitmap,
     "(--add [-g granularity] | --remove | --clear | --enable | --disable | --merge source [-b file [-F fmt]])... "
     "[-f fmt] filename bitmap"},
    {"check", check, "[-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename"},
    {"commit", commit, "[-q] [-f fmt] [-t cache] [-b base] [-d] [-p] [--json] filename"},
    {"compact", compact, "[-q] [-f fmt] [-p] [--json] filename"},
    {"compare", compare, "[-f fmt] [-F fmt] [-T src_cache] [-p] [--json] [-q] [-s] [-U] filename1 filename2"},
    {"convert", convert,
     "[--target-is-zero] [--bitmaps [--skip-broken-bitmaps]] [-U] [-C] [-c] [-p] [--json] [-q] [-n] [-f fmt] [-t "
     "cache] [-T src_cache] [-O output_fmt] "
     "[-B backing_file [-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-m num_coroutines] [-W] "
     "filename [filename2 [...]] output_filename"},
    {"create", create, "[-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]"},
    {"dd", dd, "[-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input of=output"},
    {"info", info, "[-f fmt] [--output=ofmt] [--backing-chain] [-U] filename"},
    {"map", map, "[-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename"},
    {"measure", measure,
     "[--output=ofmt] [-O output_fmt] [-o options] [--size N | [-f fmt] [-l snapshot_param] filename]"},
    {"rebase", rebase,
     "[-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [--json] [-u] -b backing_file [-F backing_fmt] filename"},
    {"resize", resize, "[-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size"},
    {"snapshot", snapshot, "[-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename"},
};
constexpr const char* kNotBuilt[] = {"amend", "bench"};

int help(const std::string& program) {
  std::printf("%susage: %s [standard options] command [command options]\n\nCommand syntax:\n", kVersion,
              program.c_str());
  for (const Command& c : kCommands) std::printf("  %s %s\n", c.name, c.syntax);
  std::puts("  io [-c command]... [-f fmt] [-r] [-s] [-U] [filename]");
  std::puts(
      "\nSizes take the suffixes k, M, G, T, P and E. Formats that can be made: raw qcow2.\nSupported formats: qcow2 "
      "raw");
  return 0;
}

}  // namespace

int main(const std::string& program, const std::vector<std::string>& args) {
  set_program(program);
  if (args.empty()) return usage("Not enough arguments");
  const std::string& name = args[0];
  if (name == "io") return io_main(program + " io", {args.begin() + 1, args.end()});
  if (name == "--help" || name == "-h" || name == "help") return help(program);
  if (name == "--version" || name == "-V") return std::fputs(kVersion, stdout), 0;
  const std::vector<std::string> rest(args.begin() + 1, args.end());
  for (const Command& c : kCommands) {
    if (name != c.name) continue;
    if (rest.size() == 1 && (rest[0] == "-h" || rest[0] == "--help"))
      return std::printf("usage: %s %s %s\n", program.c_str(), c.name, c.syntax), 0;
    return c.run(rest);
  }
  std::vector<std::string> names;
  for (const Command& c : kCommands) names.emplace_back(c.name);
  for (const char* later : kNotBuilt) {
    if (name == later) return complain("the command '" + name + "' is not built yet");
  }
  const std::string near = nearest(name, names);
  return usage("Command not found: " + name + (near.empty() ? "" : " (did you mean '" + near + "'?)"));
}

}  // namespace doppel::app::img

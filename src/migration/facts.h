// What a state says about its machine, in words that later programs can read: JSON. A state is loaded only into a
// machine that has the same board, CPUs, RAM and devices.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "machine/machine.h"

namespace doppel::migration {

struct Facts {
  std::string program, board, cpu_model;
  std::vector<std::string> cpu_features;  // those that are on
  u64 ram_bytes = 0, cpus = 0;
  s64 date_seconds = 0, date_nanoseconds = 0;  // when it was saved
  s64 clock_ns = 0;                            // the machine's own time
  s64 icount_shift = -1;
  std::vector<std::string> devices;        // by name
  std::map<std::string, std::string> pci;  // "02.0" -> "1234:1111"
  std::map<std::string, u64> disks;        // drives with a medium that can't be taken out: id -> bytes
};

Facts facts_of(machine::Machine& machine);
std::string to_json(const Facts& facts);
Result<Facts> from_json(const std::string& text);
// The difference that matters, in words, and what to do about it.
Status check_same(const Facts& saved, const Facts& here);

}  // namespace doppel::migration

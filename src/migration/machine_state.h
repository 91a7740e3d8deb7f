// A machine's state, written and read as a whole. Both are called inside Machine::while_stopped.
#pragma once
#include "migration/facts.h"
#include "migration/state_stream.h"

namespace doppel::migration {

struct SaveOptions {
  std::string ram_file;  // RAM goes into this file, to be mapped; empty: packed into the state
};
// The same in two steps: all but RAM, taken from the machine; and written with RAM as it is then, by a copy of the
// process perhaps.
struct StateParts {
  std::string facts;
  std::vector<u8> devices;
};
Result<StateParts> take_parts(machine::Machine& machine);
Result<u64> write_parts(const StateParts& parts, const mem::RamBlock* ram, Medium& medium, const SaveOptions& options);
// Returns how many bytes the state has.
Result<u64> save_state(machine::Machine& machine, Medium& medium, const SaveOptions& options = {});
// Loading, in two steps: `prepare` verifies all of the state, and that it is this machine's, and changes nothing; after
// `finish` has begun, the machine is the state's or, after an error, of no use. `ram_file`: where the RAM is that is
// not in the state.
class StateLoad {
 public:
  static Result<StateLoad> prepare(machine::Machine& machine, Medium& medium, const std::string& ram_file = {});
  Status finish();

 private:
  StateLoad(machine::Machine& machine, Medium& medium, std::string ram_file)
      : machine_(&machine), medium_(&medium), ram_file_(std::move(ram_file)), archive_(StateArchive::Mode::Load) {}
  machine::Machine* machine_;
  Medium* medium_;
  std::string ram_file_;
  StateArchive archive_;
};
Result<Facts> read_facts(Medium& medium);
// What there is to say against it, the RAM's file included.
Status verify_state(Medium& medium, const std::string& ram_file);

}  // namespace doppel::migration

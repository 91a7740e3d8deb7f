#include "migration/machine_state.h"

#include "migration/ram.h"

namespace doppel::migration {
namespace {

std::span<const u8> bytes_of(const std::string& text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};  // SAFETY: characters as bytes
}

Error misses(const Medium& medium, const char* what) {
  return {"the state in " + medium.name() + " has no " + what, "it can't be used; take another one"};
}

// Everything of a state but RAM, unpacked.
struct Parts {
  std::string facts;
  std::vector<u8> devices, ram_hashes;
  bool has_ram = false;
};

Result<Parts> read_parts(Medium& medium) {
  StateReader reader(medium);
  if (Status s = reader.verify(); !s) return s.error();
  Parts parts;
  bool good = true;
  Status s = reader.for_each([&](const PackedBlock& b) {
    std::vector<u8> text;
    if (b.kind == Block::Facts) {
      good &= unpack(b, text);
      parts.facts.assign(text.begin(), text.end());
    }
    if (b.kind == Block::Devices) good &= unpack(b, parts.devices);
    if (b.kind == Block::RamHashes) good &= unpack(b, parts.ram_hashes);
    parts.has_ram |= b.kind == Block::Ram;
    return success();
  });
  if (!s) return s.error();
  if (!good || parts.facts.empty()) return misses(medium, "description");
  return parts;
}

Status load_ram(machine::Machine& machine, Medium& medium, const std::string& ram_file) {
  if (machine.ram() == nullptr) return success();
  if (!ram_file.empty()) return map_ram_file(*machine.ram(), ram_file);
  RamLoader loader(*machine.ram());
  return StateReader(medium).for_each(
      [&](const PackedBlock& b) { return b.kind == Block::Ram ? loader.add(b) : success(); });
}

}  // namespace

Result<StateParts> take_parts(machine::Machine& machine) {
  if (Status s = machine.can_archive(); !s) return s.error();
  StateArchive archive(StateArchive::Mode::Save);
  machine.archive(archive);
  return StateParts{to_json(facts_of(machine)), archive.serialize()};
}

Result<u64> write_parts(const StateParts& parts, const mem::RamBlock* ram, Medium& medium, const SaveOptions& options) {
  StateWriter out(medium);
  if (Status s = out.begin(); !s) return s.error();
  if (Status s = out.add(pack(Block::Facts, 0, bytes_of(parts.facts))); !s) return s.error();
  if (Status s = out.add(pack(Block::Devices, 0, parts.devices)); !s) return s.error();
  if (ram != nullptr && options.ram_file.empty()) {
    if (Status s = save_ram(*ram, out); !s) return s.error();
  } else if (ram != nullptr) {
    std::vector<u64> hashes;
    if (Status s = save_ram_file(*ram, options.ram_file, hashes); !s) return s.error();
    std::vector<u8> raw(hashes.size() * 8);
    for (size_t i = 0; i < hashes.size(); i++) store_le<u64>(&raw[i * 8], hashes[i]);
    if (Status s = out.add(pack(Block::RamHashes, 0, raw)); !s) return s.error();
  }
  if (Status s = out.end(); !s) return s.error();
  return out.bytes();
}

Result<u64> save_state(machine::Machine& machine, Medium& medium, const SaveOptions& options) {
  auto parts = take_parts(machine);
  if (!parts) return parts.error();
  return write_parts(*parts, machine.ram(), medium, options);
}

Result<StateLoad> StateLoad::prepare(machine::Machine& machine, Medium& medium, const std::string& ram_file) {
  if (Status s = machine.can_archive(); !s) return s.error();
  auto parts = read_parts(medium);
  if (!parts) return parts.error();
  auto facts = from_json(parts->facts);
  if (!facts) return facts.error();
  if (Status s = check_same(*facts, facts_of(machine)); !s) return s.error();
  StateLoad load(machine, medium, ram_file);
  if (!load.archive_.deserialize(parts->devices)) return misses(medium, "devices");
  if (machine.ram() != nullptr && ram_file.empty() && !parts->has_ram) return misses(medium, "RAM");
  if (machine.ram() != nullptr && !ram_file.empty()) {
    if (Status s = check_ram_file(*machine.ram(), ram_file); !s) return s.error();
  }
  return load;
}

Status StateLoad::finish() {
  if (Status s = load_ram(*machine_, *medium_, ram_file_); !s) return s;
  machine_->archive(archive_);
  if (archive_.errors().empty()) return success();
  return Error{"the state in " + medium_->name() + " does not fit this machine: " + archive_.errors().front(),
               "the machine is not usable now: load another state, or reset it"};
}

Result<Facts> read_facts(Medium& medium) {
  auto parts = read_parts(medium);
  if (!parts) return parts.error();
  return from_json(parts->facts);
}

Status verify_state(Medium& medium, const std::string& ram_file) {
  auto parts = read_parts(medium);
  if (!parts) return parts.error();
  if (auto facts = from_json(parts->facts); !facts) return facts.error();
  if (ram_file.empty()) return success();
  std::vector<u64> hashes(parts->ram_hashes.size() / 8);
  for (size_t i = 0; i < hashes.size(); i++) hashes[i] = load_le<u64>(&parts->ram_hashes[i * 8]);
  auto good = verify_ram_file(ram_file, hashes);
  if (!good) return good.error();
  if (!*good) return Error{"the memory in '" + ram_file + "' is damaged", "the snapshot can't be used any more"};
  return success();
}

}  // namespace doppel::migration

// RAM in a state: as packed chunks (zero pages are left out), or as a file of its own that is mapped when the state is
// loaded, so that only what the guest touches is read.
#pragma once
#include "migration/state_stream.h"

namespace doppel::mem {
struct RamBlock;
}
namespace doppel::migration {

constexpr u64 kRamChunk = u64{1} << 20;

// On all of the host's CPUs. Nothing changes the memory meanwhile.
Status save_ram(const mem::RamBlock& ram, StateWriter& out);
// The memory is cleared, then filled.
class RamLoader {
 public:
  explicit RamLoader(mem::RamBlock& ram);
  Status add(const PackedBlock& block);

 private:
  mem::RamBlock& ram_;
  std::vector<u8> data_;
};

// A file with holes where pages are zero. `hashes`: one for each chunk, 0 for an empty one.
Status save_ram_file(const mem::RamBlock& ram, const std::string& path, std::vector<u64>& hashes);
// Errors: a file that is not there, or is not as large as the memory.
Status check_ram_file(const mem::RamBlock& ram, const std::string& path);
// Private: what the guest writes stays in this process.
Status map_ram_file(mem::RamBlock& ram, const std::string& path);
// Reads all of the file. False: a chunk is not what it was.
Result<bool> verify_ram_file(const std::string& path, std::span<const u64> hashes);

}  // namespace doppel::migration

// The form of a saved state, in a file or behind the disk in a qcow2 image: a header, then blocks, then a block that
// says that this was all. Everything is little-endian and checked by hash64.
//
//   header   "DOPPELVM", u32 version, u32 0
//   block    u32 kind, u32 packed (1: one zstd frame), u64 argument, u64 size unpacked, u64 size stored, u64 hash
//            of the stored bytes seeded with the hash of the five fields before; then the stored bytes
//   kEnd     without bytes; its argument is the hash of all blocks' hashes
//
// A reader passes over kinds it does not know. A state is verified as a whole before anything of it is used.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::migration {

enum class Block : u32 { End = 0, Facts = 1, Devices = 2, Ram = 3, RamHashes = 4 };
constexpr u32 kFormatVersion = 1;
constexpr u64 kMaxBlock = u64{256} << 20;  // bytes, packed or not

// Where a state is written to and read from. Errors are errno values.
class Medium {
 public:
  virtual ~Medium() = default;
  virtual int write(u64 offset, std::span<const u8> data) = 0;
  virtual int read(u64 offset, std::span<u8> data) = 0;  // all of it; ENODATA past the end
  virtual std::string name() const = 0;
};

struct PackedBlock {
  Block kind{};
  bool packed = false;
  u64 argument = 0, size = 0;
  std::vector<u8> stored;
};
PackedBlock pack(Block kind, u64 argument, std::span<const u8> data);  // any thread
bool unpack(const PackedBlock& block, std::vector<u8>& data);          // any thread; false: it is no such block

class StateWriter {
 public:
  explicit StateWriter(Medium& medium) : medium_(medium) {}
  Status begin();
  Status add(const PackedBlock& block);
  Status end();
  u64 bytes() const { return at_; }

 private:
  Status put(std::span<const u8> data);
  Medium& medium_;
  u64 at_ = 0, chain_ = 0;
};

class StateReader {
 public:
  explicit StateReader(Medium& medium) : medium_(medium) {}
  // Reads everything once; errors say what is wrong with it and where.
  Status verify();
  // Calls fn for each block in turn; an error of its ends it.
  Status for_each(const std::function<Status(const PackedBlock&)>& fn);

 private:
  Status walk(bool with_bytes, const std::function<Status(const PackedBlock&)>& fn);
  Error damaged(const std::string& what, u64 at) const;
  Medium& medium_;
};

}  // namespace doppel::migration

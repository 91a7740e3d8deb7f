#include "migration/state_stream.h"

#include <zstd.h>

#include <cerrno>
#include <cstring>

#include "base/hash64.h"

namespace doppel::migration {
namespace {
constexpr char kMagic[] = "DOPPELVM";
constexpr size_t kHeader = 16, kFields = 32, kBlockHeader = 40;
constexpr int kLevel = 1;  // zstd's: the machine stands still meanwhile

std::array<u8, kBlockHeader> header_of(const PackedBlock& b) {
  std::array<u8, kBlockHeader> raw{};
  store_le<u32>(&raw[0], static_cast<u32>(b.kind));
  store_le<u32>(&raw[4], b.packed);
  store_le<u64>(&raw[8], b.argument);
  store_le<u64>(&raw[16], b.size);
  store_le<u64>(&raw[24], b.stored.size());
  store_le<u64>(&raw[32], hash64(b.stored, hash64({raw.data(), kFields})));
  return raw;
}

u64 chained(u64 chain, u64 hash) {
  u8 raw[16];
  store_le<u64>(raw, chain);
  store_le<u64>(raw + 8, hash);
  return hash64(raw);
}
}  // namespace

PackedBlock pack(Block kind, u64 argument, std::span<const u8> data) {
  PackedBlock b{.kind = kind, .packed = true, .argument = argument, .size = data.size(), .stored = {}};
  b.stored.resize(ZSTD_compressBound(data.size()));
  const size_t n = ZSTD_compress(b.stored.data(), b.stored.size(), data.data(), data.size(), kLevel);
  if (ZSTD_isError(n) || n >= data.size()) {
    b.packed = false;
    b.stored.assign(data.begin(), data.end());
  } else {
    b.stored.resize(n);
  }
  return b;
}

bool unpack(const PackedBlock& b, std::vector<u8>& data) {
  if (!b.packed) {
    data = b.stored;
    return b.size == b.stored.size();
  }
  data.resize(b.size);
  return ZSTD_decompress(data.data(), data.size(), b.stored.data(), b.stored.size()) == b.size;
}

// --- writing

Status StateWriter::put(std::span<const u8> data) {
  if (const int error = medium_.write(at_, data))
    return Error{"can't write the state to " + medium_.name() + ": " + std::strerror(error),
                 error == ENOSPC ? "make room there" : ""};
  at_ += data.size();
  return success();
}

Status StateWriter::begin() {
  std::array<u8, kHeader> raw{};
  std::memcpy(raw.data(), kMagic, 8);
  store_le<u32>(&raw[8], kFormatVersion);
  return put(raw);
}

Status StateWriter::add(const PackedBlock& block) {
  const auto header = header_of(block);
  chain_ = chained(chain_, load_le<u64>(&header[32]));
  if (Status s = put(header); !s) return s;
  return put(block.stored);
}

Status StateWriter::end() { return put(header_of({.kind = Block::End, .argument = chain_, .stored = {}})); }

// --- reading

Error StateReader::damaged(const std::string& what, u64 at) const {
  return {"the state in " + medium_.name() + " is damaged: " + what + " at " + std::to_string(at),
          "it can't be used any more; take another one"};
}

Status StateReader::walk(bool with_bytes, const std::function<Status(const PackedBlock&)>& fn) {
  std::array<u8, kHeader> head{};
  if (medium_.read(0, head) != 0 || std::memcmp(head.data(), kMagic, 8) != 0)
    return Error{medium_.name() + " holds no state of a Doppel machine", ""};
  const u32 version = load_le<u32>(&head[8]);
  if (version != kFormatVersion)
    return Error{"the state in " + medium_.name() + " has version " + std::to_string(version) +
                     ", this program reads " + std::to_string(kFormatVersion),
                 "use the program that saved it, or a newer one"};
  u64 at = kHeader, chain = 0;
  for (;;) {
    std::array<u8, kBlockHeader> raw{};
    if (medium_.read(at, raw) != 0) return damaged("it ends too early,", at);
    PackedBlock b{.kind = static_cast<Block>(load_le<u32>(&raw[0])),
                  .packed = load_le<u32>(&raw[4]) == 1,
                  .argument = load_le<u64>(&raw[8]),
                  .size = load_le<u64>(&raw[16]),
                  .stored = {}};
    const u64 stored = load_le<u64>(&raw[24]), hash = load_le<u64>(&raw[32]);
    if (stored > kMaxBlock || b.size > kMaxBlock) return damaged("a block has an impossible size", at);
    b.stored.resize(stored);
    if (medium_.read(at + kBlockHeader, b.stored) != 0) return damaged("it ends too early,", at);
    if (with_bytes && hash != hash64(b.stored, hash64({raw.data(), kFields}))) return damaged("wrong checksum", at);
    if (b.kind == Block::End) return b.argument == chain ? success() : Status(damaged("blocks are missing", at));
    chain = chained(chain, hash);
    if (Status s = fn(b); !s) return s;
    at += kBlockHeader + stored;
  }
}

Status StateReader::verify() {
  return walk(true, [](const PackedBlock&) { return success(); });
}

Status StateReader::for_each(const std::function<Status(const PackedBlock&)>& fn) { return walk(false, fn); }

}  // namespace doppel::migration

// RecordingFile: an image in memory that logs what is written between flushes, and can be cut off like a disk whose
// power fails: of what was not flushed, any sectors may be there and any may be missing.
#pragma once
#include <algorithm>
#include <cerrno>
#include <random>
#include <vector>

#include "block/file.h"

namespace doppel::block {

class RecordingFile final : public File {
 public:
  enum class What : u8 { Write, Truncate, Zero, Flush };
  struct Op {
    What what;
    u64 offset = 0, length = 0;
    std::vector<u8> data;
  };
  explicit RecordingFile(std::string name = "memory.qcow2") : name_(std::move(name)) {}
  RecordingFile(std::string name, std::vector<u8> content) : bytes(std::move(content)), name_(std::move(name)) {}
  u64 size() const override { return bytes.size(); }
  bool read_only() const override { return false; }
  std::string path() const override { return name_; }
  int read(u64 offset, std::span<u8> data) override {
    if (fail_reads != 0) return fail_reads;
    largest_read = std::max<u64>(largest_read, data.size());
    const u64 n = offset < bytes.size() ? std::min<u64>(data.size(), bytes.size() - offset) : 0;
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(std::min<u64>(offset, bytes.size())), n, data.begin());
    std::fill(data.begin() + static_cast<std::ptrdiff_t>(n), data.end(), u8{0});
    return 0;
  }
  int write(u64 offset, std::span<const u8> data) override {
    return run({What::Write, offset, data.size(), {data.begin(), data.end()}});
  }
  int flush() override { return run({What::Flush}); }
  int discard(u64 offset, u64 length) override {
    if (offset >= bytes.size()) return 0;
    return run({What::Zero, offset, std::min(length, bytes.size() - offset)});
  }
  int write_zeroes(u64 offset, u64 length) override { return run({What::Zero, offset, length}); }
  int truncate(u64 size) override { return run({What::Truncate, size}); }
  int allocate(u64 offset, u64 length) override {
    return offset + length > bytes.size() ? truncate(offset + length) : 0;
  }

  // The content after a power cut: what was there when recording began, the log's first `cut` entries, of the last ones
  // (after the last flush) a random choice of sectors.
  std::vector<u8> cut_off(size_t cut, std::mt19937_64& random) const {
    std::vector<u8> out = before_;
    size_t stable = 0;
    for (size_t i = 0; i < cut; i++) {
      if (log[i].what == What::Flush) stable = i;
    }
    for (size_t i = 0; i < cut; i++) apply(out, log[i], i < stable ? nullptr : &random);
    return out;
  }
  void start_recording() {
    before_ = bytes;
    log.clear();
    recording_ = true;
  }

  std::vector<u8> bytes;
  std::vector<Op> log;
  u64 largest_read = 0;
  int fail_reads = 0, fail_writes = 0;
  u64 room = u64{1} << 40;  // bytes the disk has: beyond it ENOSPC

 private:
  static constexpr u64 kSector = 512;
  int run(Op op) {
    if (fail_writes != 0) return fail_writes;
    if (op.what != What::Flush && op.offset + op.length > room) return ENOSPC;
    apply(bytes, op, nullptr);
    if (recording_) log.push_back(std::move(op));
    return 0;
  }
  static void apply(std::vector<u8>& out, const Op& op, std::mt19937_64* random) {
    const auto lucky = [&] { return random == nullptr || ((*random)() & 1) != 0; };
    switch (op.what) {
      case What::Flush: return;
      case What::Truncate:
        if (op.offset > out.size() || lucky()) out.resize(op.offset);
        return;
      case What::Write:
      case What::Zero:
        if (out.size() < op.offset + op.length) out.resize(op.offset + op.length);
        for (u64 at = 0; at < op.length;) {
          const u64 n = std::min(op.length - at, kSector - (op.offset + at) % kSector);
          if (lucky()) {
            const auto to = out.begin() + static_cast<std::ptrdiff_t>(op.offset + at);
            if (op.what == What::Zero) {
              std::fill_n(to, n, u8{0});
            } else {
              std::copy_n(op.data.begin() + static_cast<std::ptrdiff_t>(at), n, to);
            }
          }
          at += n;
        }
    }
  }
  std::string name_;
  std::vector<u8> before_;
  bool recording_ = false;
};

}  // namespace doppel::block

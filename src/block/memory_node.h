// MemoryNode: a disk in host memory. Small generated media and tests; can be told to fail.
#pragma once
#include <algorithm>
#include <cerrno>
#include <vector>

#include "block/node.h"

namespace doppel::block {

class MemoryNode final : public Node {
 public:
  explicit MemoryNode(u64 size, bool read_only = false) : data(size), read_only_(read_only) {}
  explicit MemoryNode(std::vector<u8> bytes, bool read_only = false) : data(std::move(bytes)), read_only_(read_only) {}
  u64 size() const override { return data.size(); }
  bool read_only() const override { return read_only_; }
  std::string filename() const override { return "memory"; }
  void read(u64 offset, std::span<u8> out, Completion done) override {
    if (fail_with != 0) return done(fail_with);
    const u64 n = offset < data.size() ? std::min<u64>(out.size(), data.size() - offset) : 0;
    if (n != 0) std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(n), out.end(), u8{0});
    done(0);
  }
  void write(u64 offset, std::span<const u8> in, Completion done) override {
    if (read_only_) return done(EROFS);
    if (fail_with != 0) return done(fail_with);
    if (offset > data.size() || in.size() > data.size() - offset) return done(EIO);
    std::copy(in.begin(), in.end(), data.begin() + static_cast<std::ptrdiff_t>(offset));
    done(0);
  }
  void flush(Completion done) override {
    flushes++;
    done(fail_with);
  }
  void discard(u64 offset, u64 length, Completion done) override { write_zeroes(offset, length, std::move(done)); }
  void write_zeroes(u64 offset, u64 length, Completion done) override {
    if (read_only_) return done(EROFS);
    if (offset > data.size() || length > data.size() - offset) return done(EIO);
    std::fill_n(data.begin() + static_cast<std::ptrdiff_t>(offset), length, u8{0});
    done(0);
  }

  std::vector<u8> data;
  int fail_with = 0;  // errno value every request ends with
  unsigned flushes = 0;

 private:
  bool read_only_;
};

}  // namespace doppel::block

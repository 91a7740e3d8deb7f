// Overlay: a writable layer over a node that stays untouched (`snapshot=on`). Written clusters live in a temporary file
// without a name, found by a map in memory; all is gone when the node is closed. Requests complete inline if the base's
// do.
#pragma once
#include <mutex>
#include <unordered_map>
#include <vector>

#include "block/node.h"

namespace doppel::block {

class Overlay final : public Node {
 public:
  static constexpr u64 kCluster = 64 << 10;
  // Error: no temporary file can be made (names the folder; TMPDIR changes it).
  static Result<std::shared_ptr<Overlay>> create(std::shared_ptr<Node> base);
  ~Overlay() override;
  u64 size() const override { return base_->size(); }
  bool read_only() const override { return false; }
  std::string filename() const override { return base_->filename(); }
  void read(u64 offset, std::span<u8> data, Completion done) override;
  void write(u64 offset, std::span<const u8> data, Completion done) override;
  void flush(Completion done) override { done(0); }  // nothing here outlives the process
  void discard(u64 offset, u64 length, Completion done) override;
  void write_zeroes(u64 offset, u64 length, Completion done) override;
  u64 clusters_written() const { return next_slot_; }
  const std::shared_ptr<Node>& base() const { return base_; }
  int write_to(Node& target);  // what differs from the base; an errno value

 private:
  static constexpr u64 kZero = ~u64{0};  // a cluster of zeroes without a slot
  Overlay(std::shared_ptr<Node> base, int fd) : base_(std::move(base)), fd_(fd) {}
  int read_part(u64 offset, std::span<u8> data);  // inside one cluster
  int write_part(u64 offset, std::span<const u8> data);
  int zero_range(u64 offset, u64 length);
  std::shared_ptr<Node> base_;
  int fd_;
  u64 next_slot_ = 0;
  std::unordered_map<u64, u64> slots_;  // cluster number -> slot in the file, or kZero
  std::vector<u8> scratch_;
  std::mutex lock_;
};

}  // namespace doppel::block

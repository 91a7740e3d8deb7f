// Switch: a disk whose image may be changed for another of the same size, while nobody uses it (the machine is stopped
// and its requests are done). Devices hold the switch and notice nothing.
#pragma once
#include <cerrno>

#include "block/image_info.h"
#include "block/node.h"

namespace doppel::block {

class Switch final : public Node {
 public:
  // `how` its image was opened is how the next one is to be, but for names and formats.
  explicit Switch(std::shared_ptr<Node> node, const OpenOptions& how = {})
      : size_(node->size()), node_(std::move(node)), how_(how) {}
  const OpenOptions& how() const { return how_; }
  const std::shared_ptr<Node>& current() const { return node_; }
  void set(std::shared_ptr<Node> node) { node_ = std::move(node); }  // null: every request fails

  u64 size() const override { return node_ ? node_->size() : size_; }
  bool read_only() const override { return !node_ || node_->read_only(); }
  std::string filename() const override { return node_ ? node_->filename() : std::string(); }
  std::string format() const override { return node_ ? node_->format() : "raw"; }
  void read(u64 offset, std::span<u8> data, Completion done) override {
    node_ ? node_->read(offset, data, std::move(done)) : done(EIO);
  }
  void write(u64 offset, std::span<const u8> data, Completion done) override {
    node_ ? node_->write(offset, data, std::move(done)) : done(EIO);
  }
  void read_pieces(u64 offset, Pieces data, Completion done) override {
    node_ ? node_->read_pieces(offset, data, std::move(done)) : done(EIO);
  }
  void write_pieces(u64 offset, Pieces data, Completion done) override {
    node_ ? node_->write_pieces(offset, data, std::move(done)) : done(EIO);
  }
  void flush(Completion done) override { node_ ? node_->flush(std::move(done)) : done(EIO); }
  void discard(u64 offset, u64 length, Completion done) override {
    node_ ? node_->discard(offset, length, std::move(done)) : done(EIO);
  }
  void write_zeroes(u64 offset, u64 length, Completion done) override {
    node_ ? node_->write_zeroes(offset, length, std::move(done)) : done(EIO);
  }
  Extent extent(u64 offset, u64 length) override {
    return node_ ? node_->extent(offset, length) : Node::extent(offset, length);
  }
  std::shared_ptr<Node> backing() const override { return node_ ? node_->backing() : nullptr; }
  Status resize(u64 size) override { return node_ ? node_->resize(size) : Node::resize(size); }
  ImageInfo info() const override { return node_ ? node_->info() : Node::info(); }
  u64 allocated_bytes() const override { return node_ ? node_->allocated_bytes() : size_; }

 private:
  u64 size_;
  std::shared_ptr<Node> node_;
  OpenOptions how_;
};

// What is behind a switch; another node is itself.
inline std::shared_ptr<Node> behind_switch(const std::shared_ptr<Node>& node) {
  const auto* s = dynamic_cast<const Switch*>(node.get());
  return s ? s->current() : node;
}

}  // namespace doppel::block

#include "block/tuning.h"

#include <algorithm>

#include "block/image_info.h"

namespace doppel::block {
namespace {

class Tuned final : public Node {
 public:
  Tuned(std::shared_ptr<Node> node, const Tuning& tuning) : node_(std::move(node)), tuning_(tuning) {}
  u64 size() const override { return node_->size(); }
  bool read_only() const override { return node_->read_only(); }
  std::string filename() const override { return node_->filename(); }
  void read(u64 offset, std::span<u8> data, Completion done) override { node_->read(offset, data, std::move(done)); }
  void write(u64 offset, std::span<const u8> data, Completion done) override {
    done = through(std::move(done));
    if (tuning_.detect_zeroes && is_zero(data)) return node_->write_zeroes(offset, data.size(), std::move(done));
    node_->write(offset, data, std::move(done));
  }
  void read_pieces(u64 offset, Pieces data, Completion done) override {
    node_->read_pieces(offset, data, std::move(done));
  }
  void write_pieces(u64 offset, Pieces data, Completion done) override {
    done = through(std::move(done));
    const bool zero = tuning_.detect_zeroes && std::all_of(data.begin(), data.end(), is_zero);
    if (zero) return node_->write_zeroes(offset, size_of(data), std::move(done));
    node_->write_pieces(offset, data, std::move(done));
  }
  void flush(Completion done) override { node_->flush(std::move(done)); }
  void discard(u64 offset, u64 length, Completion done) override {
    if (!tuning_.discard) return done(0);
    node_->discard(offset, length, through(std::move(done)));
  }
  void write_zeroes(u64 offset, u64 length, Completion done) override {
    node_->write_zeroes(offset, length, through(std::move(done)));
  }
  Extent extent(u64 offset, u64 length) override { return node_->extent(offset, length); }
  std::string format() const override { return node_->format(); }
  std::shared_ptr<Node> backing() const override { return node_->backing(); }
  Status resize(u64 size) override { return node_->resize(size); }
  ImageInfo info() const override { return node_->info(); }
  u64 allocated_bytes() const override { return node_->allocated_bytes(); }

 private:
  Completion through(Completion done) {
    if (!tuning_.write_through) return done;
    return [node = node_, done = std::move(done)](int error) { error != 0 ? done(error) : node->flush(done); };
  }
  std::shared_ptr<Node> node_;
  Tuning tuning_;
};

}  // namespace

Result<ErrorRule> parse_error_rule(const std::string& word, bool of_writes) {
  if (word == "report") return ErrorRule::Report;
  if (word == "ignore") return ErrorRule::Ignore;
  if (word == "stop") return ErrorRule::Stop;
  if (word == "enospc" && of_writes) return ErrorRule::StopIfFull;
  return Error{(of_writes ? "werror=" : "rerror=") + word + " is not known",
               std::string("it is one of: report, stop, ignore") + (of_writes ? ", enospc" : "")};
}

OpenOptions open_options(const Tuning& tuning) {
  OpenOptions options{.unsafe = tuning.unsafe, .direct = tuning.direct, .caches = tuning.caches};
  options.caches.clean = true;
  return options;
}

std::shared_ptr<Node> tuned(std::shared_ptr<Node> node, const Tuning& tuning) {
  if (node == nullptr || (tuning.discard && !tuning.detect_zeroes && !tuning.write_through)) return node;
  return std::make_shared<Tuned>(std::move(node), tuning);
}

}  // namespace doppel::block

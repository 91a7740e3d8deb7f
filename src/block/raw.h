// Raw: an image that is the disk's bytes. Requests run on the caller's thread, so the completion is called before the
// request function returns.
#pragma once
#include "block/file.h"
#include "block/node.h"

namespace doppel::block {

class Raw final : public Node {
 public:
  explicit Raw(std::shared_ptr<File> file) : file_(std::move(file)), size_(align_up(file_->size(), 512)) {}
  u64 size() const override { return size_; }  // rounded up to 512: a trailing partial sector reads as zeroes
  bool read_only() const override { return file_->read_only(); }
  std::string filename() const override { return file_->path(); }
  std::string format() const override { return "raw"; }
  void read(u64 offset, std::span<u8> data, Completion done) override { done(file_->read(offset, data)); }
  void write(u64 offset, std::span<const u8> data, Completion done) override;
  void read_pieces(u64 offset, Pieces data, Completion done) override { done(file_->read_pieces(offset, data)); }
  void write_pieces(u64 offset, Pieces data, Completion done) override;
  void flush(Completion done) override { done(file_->flush()); }
  void discard(u64 offset, u64 length, Completion done) override;
  void write_zeroes(u64 offset, u64 length, Completion done) override;
  Extent extent(u64 offset, u64 length) override;
  Status resize(u64 size) override;
  u64 allocated_bytes() const override { return file_->allocated_bytes(); }
  File& file() { return *file_; }

 private:
  int check(u64 offset, u64 length) const;
  std::shared_ptr<File> file_;
  u64 size_;
};

}  // namespace doppel::block

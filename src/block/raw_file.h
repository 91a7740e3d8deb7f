// RawFile: a disk image that is the disk's bytes, in a regular file or a host block device. Requests run inline on the
// caller's thread (pread, pwrite), so the completion is called before the request function returns. Locked against a
// second writer (image_lock.h).
#pragma once
#include <string>

#include "block/node.h"

namespace doppel::block {

class RawFile final : public Node {
 public:
  // Errors name the path, the cause and a fix.
  static Result<std::shared_ptr<RawFile>> open_file(const std::string& path, bool read_only);
  ~RawFile() override;
  u64 size() const override { return size_; }  // rounded up to 512: a trailing partial sector reads as zeroes
  bool read_only() const override { return read_only_; }
  std::string filename() const override { return path_; }
  void read(u64 offset, std::span<u8> data, Completion done) override;
  void write(u64 offset, std::span<const u8> data, Completion done) override;
  void flush(Completion done) override;
  void discard(u64 offset, u64 length, Completion done) override;
  void write_zeroes(u64 offset, u64 length, Completion done) override;

 private:
  RawFile(int fd, std::string path, u64 size, bool read_only)
      : fd_(fd), path_(std::move(path)), size_(size), read_only_(read_only) {}
  int punch(u64 offset, u64 length);  // 0, or an errno value
  int write_zero_bytes(u64 offset, u64 length);
  int fd_;
  std::string path_;
  u64 size_;
  bool read_only_;
};

}  // namespace doppel::block

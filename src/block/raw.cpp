#include "block/raw.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace doppel::block {

int Raw::check(u64 offset, u64 length) const {
  if (read_only()) return EROFS;
  return offset > size_ || length > size_ - offset ? EIO : 0;
}

void Raw::write(u64 offset, std::span<const u8> data, Completion done) {
  const int error = check(offset, data.size());
  done(error != 0 ? error : file_->write(offset, data));
}

void Raw::write_pieces(u64 offset, Pieces data, Completion done) {
  const int error = check(offset, size_of(data));
  done(error != 0 ? error : file_->write_pieces(offset, data));
}

void Raw::discard(u64 offset, u64 length, Completion done) {
  const int error = check(offset, length);
  done(error != 0 ? error : file_->discard(offset, length));
}

void Raw::write_zeroes(u64 offset, u64 length, Completion done) {
  const int error = check(offset, length);
  done(error != 0 ? error : file_->write_zeroes(offset, length));
}

Extent Raw::extent(u64 offset, u64 length) {
  Extent e{.length = std::min(length, size_ - std::min(offset, size_)), .present = true};
  if (e.length == 0) return e;
  const File::Run run = file_->run_at(offset, e.length);
  if (run.length != 0) e.length = run.length;
  e.data = run.data;
  e.zero = !run.data;
  e.offset = offset;
  return e;
}

Status Raw::resize(u64 size) {
  const int error = read_only() ? EROFS : file_->truncate(size);
  if (error != 0) return Error{"can't resize '" + filename() + "': " + std::strerror(error), ""};
  size_ = align_up(size, 512);
  return success();
}

}  // namespace doppel::block

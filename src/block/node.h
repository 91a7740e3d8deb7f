// block::Node: where a disk's bytes are. Formats stack on protocols. A guest flush is a host flush.
// Completions may be called before the request function returns, and on any thread; the caller takes its own locks.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/bits.h"
#include "base/result.h"

namespace doppel::block {

using Completion = std::function<void(int error)>;  // 0, or an errno value (EIO, ENOSPC, EROFS...)

class Node {
 public:
  virtual ~Node() = default;
  virtual u64 size() const = 0;  // bytes
  virtual bool read_only() const = 0;
  virtual std::string filename() const = 0;
  virtual void read(u64 offset, std::span<u8> data, Completion done) = 0;  // past the end: zeroes
  virtual void write(u64 offset, std::span<const u8> data, Completion done) = 0;
  virtual void flush(Completion done) = 0;
  virtual void discard(u64 offset, u64 length, Completion done) = 0;
  virtual void write_zeroes(u64 offset, u64 length, Completion done) = 0;
};

struct OpenOptions {
  bool read_only = false;
  bool snapshot = false;  // writes go to an unlinked temporary overlay
  std::string format;     // empty: by content; "raw" here, others in time
};
// Errors: missing file, no permission, a folder, a format that is not supported (names it).
Result<std::shared_ptr<Node>> open(const std::string& path, const OpenOptions& options);

}  // namespace doppel::block

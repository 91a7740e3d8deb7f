// block::Node: where a disk's bytes are. Formats stack on files (file.h). A guest flush is a host flush.
// Completions may be called before the request function returns, and on any thread; the caller takes its own locks.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/bits.h"
#include "base/result.h"
#include "block/counters.h"
#include "block/pieces.h"

namespace doppel::block {

using Completion = std::function<void(int error)>;  // 0, or an errno value (EIO, ENOSPC, EROFS...)

// What a run of a disk's bytes is made of.
struct Extent {
  u64 length = 0;
  bool data = false;     // stored somewhere: has to be read
  bool zero = false;     // reads as zeroes
  bool present = false;  // this layer says so; false: it is the backing image's (or nobody's: zero)
  bool compressed = false;
  std::optional<u64> offset;  // where in `file`, when the bytes lie there as they are
  std::string file;           // empty: the node's own file
};

struct ImageInfo;

class Node {
 public:
  virtual ~Node() = default;
  virtual u64 size() const = 0;  // bytes
  virtual bool read_only() const = 0;
  virtual std::string filename() const = 0;
  virtual void read(u64 offset, std::span<u8> data, Completion done) = 0;  // past the end: zeroes
  virtual void write(u64 offset, std::span<const u8> data, Completion done) = 0;
  // The same with memory in pieces, which stay until the completion. By default through a buffer.
  virtual void read_pieces(u64 offset, Pieces data, Completion done);
  virtual void write_pieces(u64 offset, Pieces data, Completion done);
  virtual void flush(Completion done) = 0;
  virtual void discard(u64 offset, u64 length, Completion done) = 0;
  virtual void write_zeroes(u64 offset, u64 length, Completion done) = 0;

  // For tools. `extent` describes the first bytes of a range in this layer; the rest are facts for reports.
  virtual Extent extent(u64, u64 length) { return {.length = length, .data = true, .present = true}; }
  virtual std::string format() const { return "raw"; }
  virtual std::shared_ptr<Node> backing() const { return nullptr; }
  virtual Status resize(u64) { return Error{"a " + format() + " image can't be resized", ""}; }
  virtual ImageInfo info() const;
  virtual u64 allocated_bytes() const { return size(); }  // on the host's disk

  Counters counters;
};

// Bounds of what a format keeps of its tables in memory (qcow2; QEMU's cache-size= and so on). Not given: its defaults.
struct CacheSizes {
  std::optional<u64> total, l2, refcounts, l2_entry;  // bytes
  std::optional<u64> clean_seconds;                   // what was not used so long goes; 0: stays
  bool clean = false;                                 // a machine's: clean_seconds has its default; else it is 0
  bool any() const { return total || l2 || refcounts || l2_entry || clean_seconds; }
};

struct OpenOptions {
  bool read_only = false;
  bool snapshot = false;    // writes go to an unlinked temporary overlay
  std::string format;       // empty: by content
  bool shared = false;      // take no lock: for a look at an image in use
  bool no_backing = false;  // leave the backing image alone: what it would say reads as zeroes
  bool unsafe = false;      // flushes do nothing
  bool direct = false;      // past the host's page cache
  bool repair = true;       // of an image that was not closed; false: as it is (check)
  bool frozen_too = false;  // write to a layer that others stand on (block/layers.h)
  CacheSizes caches{};
};
// Errors: missing file, no permission, a folder, a format that is not supported (names it).
Result<std::shared_ptr<Node>> open(const std::string& path, const OpenOptions& options);

}  // namespace doppel::block

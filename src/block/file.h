// File: the bytes of an image on the host, which formats and the raw node stand on. Calls block, may come from any
// thread and return 0 or an errno value. A file grows when it is written past its end.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/bits.h"
#include "base/result.h"
#include "block/pieces.h"

namespace doppel::block {

class File {
 public:
  struct Run {
    u64 length = 0;
    bool data = true;  // false: a hole, reads as zeroes
  };
  virtual ~File() = default;
  virtual u64 size() const = 0;
  virtual bool read_only() const = 0;
  virtual std::string path() const = 0;
  virtual int read(u64 offset, std::span<u8> data) = 0;  // past the end: zeroes
  virtual int write(u64 offset, std::span<const u8> data) = 0;
  virtual int read_pieces(u64 offset, Pieces data);
  virtual int write_pieces(u64 offset, Pieces data);
  virtual int flush() = 0;                          // what was written is stable
  virtual int discard(u64 offset, u64 length) = 0;  // a hint: the bytes may stay
  virtual int write_zeroes(u64 offset, u64 length) = 0;
  virtual int truncate(u64 size) = 0;
  virtual int allocate(u64 offset,
                       u64 length) = 0;  // room on the host's disk; the bytes read as zeroes if they were new
  virtual Run run_at(u64 offset, u64 length) { return {offset < size() ? length : 0, true}; }  // length 0: the end
  virtual u64 allocated_bytes() const { return size(); }  // what it takes on the host's disk
};

enum class Sharing { Locked, Shared };  // Shared: no lock is taken (a look at an image in use)

struct FileOptions {
  bool read_only = false;
  Sharing sharing = Sharing::Locked;
  bool unsafe = false;  // flush does nothing: output that a crash may spoil anyhow
  bool direct = false;  // past the host's page cache
};
// A regular file or a host block device. Errors name the path, the cause and a fix.
Result<std::shared_ptr<File>> open_file(const std::string& path, const FileOptions& options);
// A new file, or an old one cut to nothing.
Result<std::shared_ptr<File>> create_file(const std::string& path, const FileOptions& options);

}  // namespace doppel::block

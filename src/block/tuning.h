// How a drive treats its image beside the format: caches, discards, zeroes, limits, errors (QEMU's -drive cache=,
// discard=, detect-zeroes=, throttling.*, werror=, rerror=, cache-size=). tuned() puts a node in front of the image for
// what the image itself does not do; limits and errors are the controller's (hw/block/disk_policy.h).
#pragma once
#include <memory>

#include "block/node.h"

namespace doppel::block {

struct Limits {
  struct Rate {
    u64 total = 0, read = 0, write = 0;  // a second; 0: none
    bool any() const { return total != 0 || read != 0 || write != 0; }
  };
  Rate bytes, bytes_burst, requests, requests_burst;  // bursts: what may come at once; 0: a tenth of a second's
  u64 request_bytes = 0;                              // a longer request counts as several; 0: as one
  bool any() const { return bytes.any() || requests.any(); }
};

enum class ErrorRule : u8 { Report, Ignore, Stop, StopIfFull };

// report, ignore, stop, and of writes enospc.
Result<ErrorRule> parse_error_rule(const std::string& word, bool of_writes);

struct Tuning {
  bool direct = false;         // past the host's page cache
  bool write_through = false;  // every write is flushed
  bool unsafe = false;         // flushes do nothing
  bool discard = true;         // false: the guest's discards are ignored
  bool detect_zeroes = false;  // writes of zeroes are write_zeroes
  ErrorRule read_error = ErrorRule::Report, write_error = ErrorRule::StopIfFull;
  Limits limits;
  CacheSizes caches;
};

// What opening an image has to know of it.
OpenOptions open_options(const Tuning& tuning);

std::shared_ptr<Node> tuned(std::shared_ptr<Node> node, const Tuning& tuning);

}  // namespace doppel::block

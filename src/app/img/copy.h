// Copying a disk's content between images: several threads read, look for zeroes and compress; writes go in order
// unless the caller says otherwise. Memory: a few buffers of at most 2 MiB a thread.
#pragma once
#include <functional>
#include <vector>

#include "app/img/progress.h"
#include "block/node.h"
#include "block/qcow2/qcow2.h"

namespace doppel::app::img {

struct CopyJob {
  struct Part {
    block::Node* node;
    u64 start;  // of the part on the target's disk
    u64 size;
  };
  std::vector<Part> sources;  // one after the other
  block::Node* target = nullptr;
  block::qcow2::Qcow2* compress_to = nullptr;  // the target, for compressed clusters
  bool target_is_zero = false;
  bool target_has_backing = false;  // what the source's top layer doesn't have is left to it
  bool in_order = true;
  u64 sparse = 4096;  // runs of zeroes from this length on become holes; 0: everything is written
  unsigned threads = 1;
  bool salvage = false;  // unreadable parts become zeroes
};

struct CopyError {
  int error = 0;
  bool reading = false;
  u64 offset = 0;
};

CopyError copy_disk(const CopyJob& job, Progress& progress);
unsigned copy_threads(unsigned wanted);

}  // namespace doppel::app::img

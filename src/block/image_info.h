// ImageInfo: the facts that `img info` prints and other tools decide by.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/bits.h"

namespace doppel::block {

struct SnapshotInfo {
  std::string id, name;
  u64 vm_state_size = 0;
  u32 date_seconds = 0, date_nanoseconds = 0;
  u64 vm_clock_nanoseconds = 0;
  u64 disk_size = 0;
  std::optional<u64> icount;
};

struct BitmapInfo {
  std::string name;
  u64 granularity = 0;
  bool in_use = false, automatic = false;
};

using Fact = std::pair<std::string, std::variant<bool, u64, std::string>>;

struct ImageInfo {
  std::string format;
  u64 virtual_size = 0;
  u64 cluster_size = 0;  // 0: no clusters
  bool encrypted = false, dirty = false;
  std::string backing_file, backing_format;
  std::string full_backing_file;  // as it is opened
  std::vector<Fact> specific;     // of the format, in the order of reports; a space in a name is a '-' in JSON
  std::vector<SnapshotInfo> snapshots;
  std::optional<std::vector<BitmapInfo>> bitmaps;
};

std::string human_size(u64 bytes);  // three digits: "1.26 MiB"
std::string snapshot_table(const std::vector<SnapshotInfo>& snapshots);

}  // namespace doppel::block

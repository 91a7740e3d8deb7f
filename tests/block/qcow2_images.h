// Kinds of qcow2 images that tests go through, and an image in memory made of one.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "block/memory_node.h"
#include "block/qcow2/compress.h"
#include "block/qcow2/create.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/snapshots.h"
#include "block/recording_file.h"
#include "block/sync.h"

namespace doppel::block::qcow2 {

struct ImageKind {
  const char* name;
  CreateOptions options;
  bool backing = false;
};

inline std::vector<ImageKind> image_kinds() {
  return {
      {"plain", {}},
      {"v2", {.version = 2, .cluster_bits = 12}},
      {"v2_backing", {.version = 2, .cluster_bits = 12}, true},
      {"small_clusters", {.cluster_bits = 9}},
      {"small_backing", {.cluster_bits = 9}, true},
      {"backing", {.cluster_bits = 12}, true},
      {"large_clusters", {.cluster_bits = 21}},
      {"bits1", {.cluster_bits = 9, .refcount_order = 0}},
      {"bits2", {.cluster_bits = 10, .refcount_order = 1}, true},
      {"bits4", {.cluster_bits = 9, .refcount_order = 2}},
      {"bits8", {.cluster_bits = 9, .refcount_order = 3}},
      {"bits32", {.cluster_bits = 9, .refcount_order = 5}},
      {"bits64", {.cluster_bits = 9, .refcount_order = 6}, true},
      {"lazy", {.cluster_bits = 12, .lazy_refcounts = true}, true},
      {"extended", {.cluster_bits = 14, .extended_l2 = true}},
      {"extended_backing", {.cluster_bits = 14, .extended_l2 = true}, true},
      {"zstd", {.cluster_bits = 12, .compression = Compression::Zstd}, true},
      {"extended_zstd", {.cluster_bits = 14, .extended_l2 = true, .compression = Compression::Zstd}, true},
  };
}

inline std::shared_ptr<Qcow2> open_memory(std::shared_ptr<RecordingFile> file, std::shared_ptr<Node> backing = nullptr,
                                          OpenOptions options = {}) {
  if (!options.caches.any()) options.caches.total = 64 << 10;  // small, so that it fills
  auto node = Qcow2::open_image(std::move(file), options, 0);
  if (!node) return nullptr;
  if (backing) (*node)->replace_backing(std::move(backing));
  return node.take();
}

// Findings of check, as text; empty: clean.
inline std::string findings(std::shared_ptr<RecordingFile> file, CheckResult* result = nullptr,
                            Repair repair = Repair::None) {
  auto node = Qcow2::open_image(file, {.read_only = repair == Repair::None, .repair = false}, 0);
  if (!node) return node.error().text();
  std::string text;
  const CheckResult r = (*node)->locked(
      [&](Image& image) { return check(image, repair, [&](const std::string& line) { text += line + "\n"; }); });
  if (result != nullptr) *result = r;
  return text;
}

}  // namespace doppel::block::qcow2

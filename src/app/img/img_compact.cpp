// img compact: an image takes no more room than what is in it needs. qemu-img has no such command.
#include <cstdio>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/img.h"
#include "app/img/progress.h"
#include "base/page_vector.h"
#include "block/qcow2/compact.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

constexpr u64 kChunk = 2 << 20, kGrain = 64 << 10;  // holes of less are not worth the file's pieces

// Runs of zeroes become holes of the file.
int compact_raw(block::Node& node, Progress& progress) {
  PageVector data(kChunk);
  for (u64 at = 0; at < node.size();) {
    const block::Extent e = node.extent(at, node.size() - at);
    if (e.zero || e.length == 0) {
      const u64 n = e.length == 0 ? node.size() - at : e.length;
      progress.add(n);
      at += n;
      continue;
    }
    const auto part = std::span(data).first(std::min({kChunk - at % kGrain, node.size() - at, e.length}));
    if (const int error = block::read_sync(node, at, part)) return error;
    for (u64 i = 0; i < part.size();) {
      const u64 n = std::min(kGrain - (at + i) % kGrain, part.size() - i);
      const bool whole = n == kGrain && block::is_zero(part.subspan(i, n));
      if (const int error = whole ? block::write_zeroes_sync(node, at + i, n) : 0) return error;
      i += n;
    }
    progress.add(part.size());
    at += part.size();
  }
  return block::flush_sync(node);
}

}  // namespace

int compact(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"p"}, {"json"}});
  if (!a.ok()) return 1;
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  auto node = open_image(a.positional()[0], {.format = a.value("f")});
  if (!node) return complain(node.error());
  auto* image = dynamic_cast<block::qcow2::Qcow2*>(node->get());
  if (image == nullptr && (*node)->format() != "raw") return complain("This image format can't be made compact");
  const u64 before = (*node)->allocated_bytes();
  int error = 0;
  {
    Progress progress(Progress::style(a), (*node)->size());
    if (image == nullptr) {
      error = compact_raw(**node, progress);
    } else {
      block::qcow2::CompactResult result;
      error = image->locked([&](block::qcow2::Image& i) {
        return block::qcow2::compact(
            i, [&](u64 bytes) { progress.add(bytes); }, result);
      });
      if (const int closed = image->close(); error == 0) error = closed;
    }
    if (error == 0) progress.finish();
  }
  if (error != 0) return complain("Could not compact '" + a.positional()[0] + "': " + std::strerror(error));
  if (!a.quiet() && !a.has("json"))
    std::printf("Image compacted: %s on the disk before, %s now.\n", human_size(before).c_str(),
                human_size((*node)->allocated_bytes()).c_str());
  return 0;
}

}  // namespace doppel::app::img

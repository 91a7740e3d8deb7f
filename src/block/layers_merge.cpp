// Taking a layer out of a chain.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/page_vector.h"
#include "block/image_info.h"
#include "block/layers.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::block {
namespace {

constexpr u64 kStep = 2 << 20;

int copy_data(Node& from, Node& to, u64 offset, u64 length, PageVector& buffer) {
  while (length != 0) {
    const u64 n = std::min(length, kStep);
    buffer.resize(n);
    if (const int error = read_sync(from, offset, std::span(buffer))) return error;
    if (const int error = write_sync(to, offset, std::span<const u8>(buffer))) return error;
    offset += n;
    length -= n;
  }
  return 0;
}

// What `layer` says of a range that `child` says nothing of.
int copy_up(Node& child, Node& layer, u64 offset, u64 length, PageVector& buffer) {
  while (length != 0) {
    const Extent e = layer.extent(offset, length);
    if (e.length == 0) return write_zeroes_sync(child, offset, length);  // behind the layer's end
    if (e.present) {
      const int error =
          e.zero ? write_zeroes_sync(child, offset, e.length) : copy_data(layer, child, offset, e.length, buffer);
      if (error != 0) return error;
    }
    offset += e.length;
    length -= e.length;
  }
  return 0;
}

int copy_all(Node& child, Node& layer) {
  PageVector buffer;
  for (u64 at = 0; at < child.size();) {
    const Extent e = child.extent(at, child.size() - at);
    if (e.length == 0) break;
    const int error = e.present ? 0 : copy_up(child, layer, at, e.length, buffer);
    if (error != 0) return error;
    at += e.length;
  }
  return flush_sync(child);
}

}  // namespace

Status take_out(const std::string& child, const std::string& layer) {
  auto node = open_unguarded(child, {.format = "qcow2"});
  if (!node) return node.error();
  const auto image = std::dynamic_pointer_cast<qcow2::Qcow2>(*node);
  const auto below = std::dynamic_pointer_cast<qcow2::Qcow2>(image->backing());
  std::error_code ec;
  if (!below || !std::filesystem::equivalent(below->filename(), layer, ec) || !below->backing())
    return Error{"'" + layer + "' is not what '" + child + "' stands on", ""};
  const Layer base{below->backing()->filename(), below->backing()->format()};
  if (!below->info().snapshots.empty()) return Error{"'" + layer + "' has snapshots of its own", "delvm"};
  if (below->backing()->size() > below->size()) return Error{"'" + layer + "' is smaller than what it stands on", ""};
  if (const int error = copy_all(*image, *below))
    return Error{"can't copy into '" + child + "': " + std::strerror(error), ""};
  if (Status s = image->set_backing(name_from(child, base.file), base.format); !s) return s;
  if (const int error = image->close()) return Error{"can't write '" + child + "': " + std::strerror(error), ""};
  return success();
}

}  // namespace doppel::block

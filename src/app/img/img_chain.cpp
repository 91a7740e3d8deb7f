// img commit and rebase: what lies in which layer of a chain of images.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/copy.h"
#include "app/img/img.h"
#include "base/page_vector.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

using block::qcow2::Qcow2;
constexpr u64 kStep = 1 << 20;

// The layers from the top to (not with) the base, and where the base is.
struct Layers {
  std::string base, base_format;
  unsigned depth = 0;  // layers above the base
};

Result<Layers> find_base(Qcow2& top, const std::string& wanted) {
  Layers l;
  block::ImageInfo info = top.info();
  for (const block::Node* node = &top;;) {
    l.base = info.full_backing_file;
    l.base_format = info.backing_format;
    l.depth++;
    if (l.base.empty())
      return Error{wanted.empty() ? "Image does not have a backing file"
                                  : "Did not find '" + wanted + "' in the backing chain of '" + top.filename() + "'",
                   ""};
    if (wanted.empty() || wanted == l.base || wanted == info.backing_file) return l;
    node = node->backing().get();
    if (node == nullptr) return Error{"Did not find '" + wanted + "' in the backing chain", ""};
    info = node->info();
  }
}

// Copies what the layers above `depth` have into the base.
int copy_down(block::Node& top, block::Node& base, unsigned depth, Progress& progress) {
  PageVector data(kStep);
  for (u64 at = 0; at < top.size();) {
    const ChainExtent e = chain_extent(top, at, top.size() - at);
    u64 n = e.extent.length;
    // Zero behind a backing image's end belongs to the layer above it.
    const bool above = e.depth < depth && (e.extent.present || e.extent.zero);
    if (above && e.extent.zero) {
      if (const int error = block::write_zeroes_sync(base, at, n)) return error;
    } else if (above) {
      n = std::min(n, kStep);
      const auto part = std::span(data).first(n);
      if (const int error = block::read_sync(top, at, part)) return error;
      if (const int error = block::write_sync(base, at, part)) return error;
    }
    progress.add(n);
    at += n;
  }
  return block::flush_sync(base);
}

int close(block::Node& node) {
  auto* image = dynamic_cast<Qcow2*>(&node);
  return image == nullptr ? 0 : image->close();
}

int commit_to(Qcow2& top, const Layers& layers, const Arguments& a) {
  // The chain has the base open for reading; its lock must go before it is opened for writing.
  auto reopened = block::open(layers.base, {.format = layers.base_format, .shared = true});
  if (!reopened) return complain(reopened.error());
  block::Node& base = **reopened;
  if (base.size() < top.size()) {
    if (Status s = base.resize(top.size()); !s) return complain(s.error());
  }
  Progress progress(Progress::style(a), top.size());
  int error = copy_down(top, base, layers.depth, progress);
  if (error == 0) error = close(base);
  if (error != 0) return complain("Could not commit to '" + layers.base + "': " + std::strerror(error));
  progress.finish();
  if (a.has("d") || a.has("b")) return 0;
  error = top.locked([](block::qcow2::Image& i) { return i.make_empty(); });
  if (error == 0) error = top.close();
  return error == 0 ? 0 : complain("Could not empty '" + top.filename() + "': " + std::strerror(error));
}

// Clusters of the top image that it leaves to the old backing image and that read differently through the new one.
int copy_differences(Qcow2& top, block::Node* before, block::Node* after, Progress& progress) {
  PageVector x(kStep), y(kStep);
  const auto read = [](block::Node* node, u64 at, std::span<u8> out) {
    std::fill(out.begin(), out.end(), u8{0});
    return node == nullptr || at >= node->size() ? 0 : block::read_sync(*node, at, out);
  };
  for (u64 at = 0; at < top.size();) {
    const block::Extent e = top.extent(at, top.size() - at);
    u64 n = std::max<u64>(e.length, 1);
    if (!e.present) {
      n = std::min(n, kStep - at % kStep);
      const auto old_part = std::span(x).first(n), new_part = std::span(y).first(n);
      if (const int error = read(before, at, old_part)) return error;
      if (const int error = read(after, at, new_part)) return error;
      for (u64 i = 0; i < n;) {
        const u64 part = std::min(n - i, top.cluster_size() - (at + i) % top.cluster_size());
        if (std::memcmp(&x[i], &y[i], part) != 0) {
          const int error = block::is_zero(old_part.subspan(i, part))
                                ? block::write_zeroes_sync(top, at + i, part)
                                : block::write_sync(top, at + i, old_part.subspan(i, part));
          if (error != 0) return error;
        }
        i += part;
      }
    }
    progress.add(n);
    at += n;
  }
  return block::flush_sync(top);
}

}  // namespace

int commit(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"t", true}, {"b", true}, {"r", true}, {"d"}, {"p"}, {"json"}});
  if (!a.ok()) return 1;
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  if (!known_cache(a.value("t"))) return complain(kUnknownCache + a.value("t"));
  auto node = open_image(a.positional()[0], {.format = a.value("f")});
  if (!node) return complain(node.error());
  auto* top = dynamic_cast<Qcow2*>(node->get());
  if (top == nullptr) return complain("Image does not have a backing file");
  auto layers = find_base(*top, a.value("b"));
  if (!layers) return complain(layers.error());
  if (const int status = commit_to(*top, *layers, a)) return status;
  if (!a.quiet()) std::puts("Image committed.");
  return 0;
}

int rebase(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true},
                           {"t", true},
                           {"T", true},
                           {"p"},
                           {"json"},
                           {"u"},
                           {"b", true},
                           {"F", true},
                           {"backing", true, "b"}});
  if (!a.ok()) return 1;
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  if (!a.has("b")) return usage("Must specify backing file (-b) or use simple rebase mode (-u)");
  const bool unsafe = a.has("u");
  const std::string& path = a.positional()[0];
  const std::string base = a.value("b"), format = a.value("F");
  auto node = open_image(path, {.format = a.value("f"), .no_backing = unsafe});
  if (!node) return complain(node.error());
  auto* top = dynamic_cast<Qcow2*>(node->get());
  if (top == nullptr) return complain("Could not change the backing file to '" + base + "': the format has none");
  if (!base.empty() && format.empty())
    return complain("Could not change the backing file to '" + base + "': backing format must be specified");
  if (!unsafe) {
    std::shared_ptr<block::Node> after;
    if (!base.empty()) {
      auto full = block::qcow2::resolve_path(path, base);
      if (!full) return complain(full.error());
      auto opened = block::open(*full, {.read_only = true, .format = format});
      if (!opened) return complain("Could not open new backing file '" + base + "': " + opened.error().text());
      after = opened.take();
    }
    Progress progress(Progress::style(a), top->size());
    if (const int error = copy_differences(*top, top->backing().get(), after.get(), progress))
      return complain("error while copying: " + std::string(std::strerror(error)));
    progress.finish();
  }
  if (Status s = top->set_backing(base, format); !s) return complain(s.error());
  const int error = top->close();
  return error == 0 ? 0 : complain("error while writing: " + std::string(std::strerror(error)));
}

}  // namespace doppel::app::img

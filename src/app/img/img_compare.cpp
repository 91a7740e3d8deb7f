// img compare, map and measure: commands that only read.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/copy.h"
#include "app/img/img.h"
#include "app/img/output_image.h"
#include "app/img/report.h"
#include "base/page_vector.h"
#include "block/qcow2/bitmap_edit.h"
#include "block/qcow2/qcow2.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

constexpr int kSame = 0, kDifferent = 1, kOpenError = 2, kCheckError = 3;
constexpr u64 kStep = 1 << 20;

unsigned long long number(u64 v) { return v; }

class Comparison {
 public:
  Comparison(block::Node& a, block::Node& b, bool quiet) : a_(a), b_(b), quiet_(quiet) {}

  int run(Progress& progress) {
    const u64 both = std::min(a_.size(), b_.size());
    PageVector x(kStep), y(kStep);
    for (u64 at = 0; at < both;) {
      const ChainExtent ea = chain_extent(a_, at, both - at), eb = chain_extent(b_, at, both - at);
      u64 n = std::min(ea.extent.length, eb.extent.length);
      if (!(ea.extent.zero && eb.extent.zero)) {
        n = std::min(n, kStep);
        if (const int status = read(a_, at, std::span(x).first(n)) + read(b_, at, std::span(y).first(n)))
          return std::min(status, 4);
        if (std::memcmp(x.data(), y.data(), n) != 0) return differs(at + first_difference(x, y));
      }
      progress.add(n);
      at += n;
    }
    return rest(a_.size() > b_.size() ? a_ : b_, both);
  }

 private:
  static u64 first_difference(std::span<const u8> x, std::span<const u8> y) {
    const u64 at = static_cast<u64>(std::mismatch(x.begin(), x.end(), y.begin()).first - x.begin());
    return align_down(at, 512);
  }
  int read(block::Node& node, u64 at, std::span<u8> data) {
    const int error = block::read_sync(node, at, data);
    if (error == 0) return 0;
    complain("Error while reading offset " + std::to_string(at) + " of " + node.filename() + ": " +
             std::strerror(error));
    return 4;
  }
  int differs(u64 at) {
    if (!quiet_) std::printf("Content mismatch at offset %llu!\n", number(at));
    return kDifferent;
  }
  // The longer one must go on with zeroes.
  int rest(block::Node& node, u64 from) {
    PageVector data(kStep);
    for (u64 at = from; at < node.size();) {
      const ChainExtent e = chain_extent(node, at, node.size() - at);
      u64 n = e.extent.length;
      if (!e.extent.zero) {
        n = std::min(n, kStep);
        const auto part = std::span(data).first(n);
        if (const int status = read(node, at, part)) return status;
        if (!block::is_zero(part)) {
          const u64 inside =
              static_cast<u64>(std::find_if(part.begin(), part.end(), [](u8 b) { return b != 0; }) - part.begin());
          return differs(at + align_down(inside, 512));
        }
      }
      at += n;
    }
    if (!quiet_) std::puts("Images are identical.");
    return kSame;
  }
  block::Node &a_, &b_;
  bool quiet_;
};

struct MapRow {
  u64 start = 0, length = 0;
  ChainExtent e;
  std::string file;
  bool follows(const MapRow& next) const {
    const block::Extent &x = e.extent, &y = next.e.extent;
    if (x.data != y.data || x.zero != y.zero || x.present != y.present || x.compressed != y.compressed ||
        e.depth != next.e.depth || x.offset.has_value() != y.offset.has_value() || file != next.file)
      return false;
    return !x.offset || *x.offset + length == *y.offset;
  }
};

void print_row(const MapRow& r, char output, bool first) {
  const block::Extent& x = r.e.extent;
  if (output == 'h') {
    if (x.data && !x.zero)
      std::printf("%#-16llx%#-16llx%#-16llx%s\n", number(r.start), number(r.length), number(*x.offset), r.file.c_str());
    return;
  }
  std::printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
              first ? "[" : ",\n", number(r.start), number(r.length), r.e.depth, x.present ? "true" : "false",
              x.zero ? "true" : "false", x.data ? "true" : "false");
  if (x.offset) std::printf(", \"offset\": %llu", number(*x.offset));
  std::printf("}");
}

}  // namespace

int compare(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"F", true}, {"T", true}, {"p"}, {"json"}, {"s"}});
  if (!a.ok()) return kOpenError;
  if (a.positional().size() != 2) return usage("Expecting two image file names");
  std::vector<std::shared_ptr<block::Node>> nodes;
  for (size_t i = 0; i < 2; i++) {
    auto node =
        open_image(a.positional()[i], {.read_only = true, .format = a.value(i == 0 ? "f" : "F"), .shared = a.has("U")});
    if (!node) return complain(node.error()), kOpenError;
    nodes.push_back(node.take());
  }
  if (nodes[0]->size() != nodes[1]->size()) {
    if (a.has("s")) {
      if (!a.quiet()) std::puts("Strict mode: Image size mismatch!");
      return kDifferent;
    }
    if (!a.quiet()) std::puts("Warning: Image size mismatch!");
  }
  Progress progress(Progress::style(a), std::min(nodes[0]->size(), nodes[1]->size()));
  const int status = Comparison(*nodes[0], *nodes[1], a.quiet()).run(progress);
  progress.finish();
  return status;
}

int map(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true},
                           {"output", true},
                           {"start-offset", true},
                           {"max-length", true},
                           {"s", true, "start-offset"},
                           {"l", true, "max-length"}});
  if (!a.ok()) return 1;
  const char output = a.output();
  if (output == 0) return 1;
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  const auto start = parse_size(a.value("start-offset", "0")), most = parse_size(a.value("max-length", "7E"));
  if (!start || !most) return 1;
  auto node = open_image(a.positional()[0], {.read_only = true, .format = a.value("f"), .shared = a.has("U")});
  if (!node) return complain(node.error());
  const u64 end = *most < (*node)->size() - std::min(*start, (*node)->size()) ? *start + *most : (*node)->size();
  if (output == 'h') std::printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
  MapRow row;
  bool first = true;
  for (u64 at = *start; at < end;) {
    MapRow next{.start = at, .e = chain_extent(**node, at, end - at)};
    next.length = next.e.extent.length;
    next.file = next.e.extent.file.empty() ? next.e.node->filename() : next.e.extent.file;
    if (output == 'h' && next.e.extent.data && !next.e.extent.zero && !next.e.extent.offset)
      return complain("File contains external, encrypted or compressed clusters.");
    at += next.length;
    if (row.length != 0 && row.follows(next)) {
      row.length += next.length;
      continue;
    }
    if (row.length != 0) print_row(row, output, first);
    first = first && row.length == 0;
    row = std::move(next);
  }
  if (row.length != 0) print_row(row, output, first);
  if (output == 'j') std::puts(row.length == 0 ? "[]" : "]");
  return 0;
}

int measure(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"O", true}, {"o", true}, {"l", true}, {"size", true}, {"output", true}});
  if (!a.ok()) return 1;
  const char output = a.output();
  if (output == 0) return 1;
  NewImage image{.path = "the new image", .format = a.value("O", "raw")};
  if (a.has("size") == !a.positional().empty() || a.positional().size() > 1)
    return complain("Either --size N or one filename must be specified.");
  if (!can_create(image.format)) return refuse_format(image.format);
  bool done = false;
  if (!parse_options(image, a.values("o"), done) || done) return done ? 0 : 1;
  std::shared_ptr<block::Node> source;
  if (a.has("size")) {
    const auto size = parse_size(a.value("size"));
    if (!size) return 1;
    image.size = *size;
  } else {
    auto node = open_image(a.positional()[0], {.read_only = true, .format = a.value("f"), .shared = a.has("U")});
    if (!node) return complain(node.error());
    source = node.take();
    image.size = source->size();
  }
  if (Status s = check_new_image(image); !s) return complain(s.error().text());
  u64 required = align_up(image.size, 512), full = required;
  std::optional<u64> bitmaps;
  if (image.format == "qcow2") {
    const u64 cluster = image.cluster_size,
              metadata = block::qcow2::metadata_size(image.qcow2, align_up(image.size, cluster));
    full = metadata + align_up(image.size, cluster);
    required = metadata;
    u64 counted = 0;  // clusters up to here
    for (u64 at = 0; source != nullptr && at < image.size;) {
      const ChainExtent e = chain_extent(*source, at, image.size - at);
      const u64 first = std::max(counted, align_down(at, cluster)), end = align_up(at + e.extent.length, cluster);
      if (!e.extent.zero && end > first) {
        required += end - first;
        counted = end;
      }
      at += e.extent.length;
    }
    if (image.qcow2.preallocation != block::qcow2::Preallocation::Off) required = full;
    auto* qcow2 = dynamic_cast<block::qcow2::Qcow2*>(source.get());
    if (qcow2 != nullptr && image.qcow2.version >= 3) {
      bitmaps = qcow2->locked([&](block::qcow2::Image& i) -> std::optional<u64> {
        const auto list = block::qcow2::valid_bitmaps(i);
        if (i.header.version < 3 || !list) return std::nullopt;
        return block::qcow2::bitmaps_size(*list, i.header.size, cluster);
      });
    }
  }
  if (output == 'j') {
    std::fputs(json_measure(required, full, bitmaps).c_str(), stdout);
    return 0;
  }
  std::printf("required size: %llu\nfully allocated size: %llu\n", number(required), number(full));
  if (bitmaps) std::printf("bitmaps size: %llu\n", number(*bitmaps));
  return 0;
}

}  // namespace doppel::app::img

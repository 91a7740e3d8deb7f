// img convert and img dd.
#include <cstring>
#include <filesystem>

#include "app/img/arguments.h"
#include "app/img/bitmap_copy.h"
#include "app/img/copy.h"
#include "app/img/img.h"
#include "app/img/output_image.h"
#include "base/page_vector.h"
#include "block/qcow2/snapshots.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

using block::qcow2::Qcow2;

class Convert {
 public:
  explicit Convert(const std::vector<std::string>& args)
      : a_(args, {{"f", true},
                  {"O", true},
                  {"o", true},
                  {"B", true},
                  {"F", true},
                  {"c"},
                  {"p"},
                  {"json"},
                  {"n"},
                  {"t", true},
                  {"T", true},
                  {"S", true},
                  {"m", true},
                  {"W"},
                  {"C"},
                  {"l", true},
                  {"r", true},
                  {"target-is-zero"},
                  {"salvage"},
                  {"bitmaps"},
                  {"skip-broken-bitmaps"},
                  {"snapshot", true, "l"}}) {}

  int run() {
    if (!a_.ok()) return 1;
    if (const int status = check_arguments(); status >= 0) return status;
    if (const int status = open_sources()) return status;
    if (a_.has("bitmaps")) {
      const bool able = output_.format == "qcow2" && output_.compat != "0.10" && output_.compat != "v2";
      if (const int status = check_bitmaps(*nodes_[0], able ? "" : output_.format, a_.has("skip-broken-bitmaps")))
        return status;
    }
    if (const int status = make_target()) return status;
    if (const int status = copy()) return status;
    target_.reset();
    return a_.has("bitmaps") ? copy_bitmaps(*nodes_[0], output_.path) : 0;
  }

 private:
  // -1: go on.
  int check_arguments() {
    output_.format = a_.value("O", "raw");
    if (!can_create(output_.format)) return refuse_format(output_.format);
    bool done = false;
    const auto& names = a_.positional();
    if (!names.empty()) output_.path = names.back();
    if (!parse_options(output_, a_.values("o"), done)) return 1;
    if (done) return 0;
    if (a_.has("skip-broken-bitmaps") && !a_.has("bitmaps"))
      return complain("Use of --skip-broken-bitmaps requires --bitmaps");
    if (!known_cache(a_.value("t"))) return complain(kUnknownCache + a_.value("t"));
    if (!known_cache(a_.value("T"))) return complain("Invalid source cache option: " + a_.value("T"));
    if (names.size() < 2) return complain("Must specify image file name");
    if (a_.has("c") && output_.format != "qcow2") return complain("Compression not supported for this file format");
    if (a_.has("c") && !output_.qcow2.data_file.empty())
      return complain("Compression and data file cannot be used at the same time");
    if (a_.has("B")) output_.qcow2.backing_file = a_.value("B");
    if (a_.has("F")) output_.qcow2.backing_format = a_.value("F");
    if (!output_.qcow2.backing_file.empty() && output_.format != "qcow2")
      return complain("Backing file not supported for file format '" + output_.format + "'");
    if (!output_.qcow2.backing_file.empty() && output_.qcow2.backing_format.empty())
      return complain("backing file needs a backing format: give -F");
    if (!output_.qcow2.backing_file.empty() && names.size() > 2)
      return complain("Having a backing file for the target makes no sense when concatenating multiple input images");
    if (a_.has("bitmaps") && names.size() > 2) return complain("Copying bitmaps only possible with single source");
    if (a_.has("S")) {
      const auto sparse = parse_size(a_.value("S"));
      if (!sparse) return 1;
      if (*sparse % 512 != 0)
        return complain("Invalid buffer size for sparse output specified. Valid sizes are multiples of 512.");
      job_.sparse = *sparse;
    }
    const std::string threads = a_.value("m", "8");
    const unsigned long number = std::strtoul(threads.c_str(), nullptr, 10);
    if (number < 1 || number > 16)
      return complain("Invalid number of coroutines. Allowed number of coroutines is between 1 and 16");
    job_.threads = copy_threads(static_cast<unsigned>(number));
    job_.in_order = !a_.has("W") && output_.format != "raw";  // in a raw file each byte has its place anyhow
    job_.salvage = a_.has("salvage");
    return -1;
  }

  int open_sources() {
    const auto& names = a_.positional();
    for (size_t i = 0; i + 1 < names.size(); i++) {
      auto node = open_image(names[i], {.read_only = true, .format = a_.value("f"), .shared = a_.has("U")});
      if (!node) return complain(node.error());
      std::error_code ec;
      if (!a_.has("n") && std::filesystem::equivalent(names[i], output_.path, ec))
        return complain("'" + names[i] + "' is both source and target");
      if (a_.has("l")) {
        if (const int status = go_to_snapshot(**node)) return status;
      }
      job_.sources.push_back({node->get(), total_, (*node)->size()});
      total_ += (*node)->size();
      nodes_.push_back(node.take());
    }
    return 0;
  }

  // -l NAME, snapshot.name=NAME or snapshot.id=ID: the disk as it was then.
  int go_to_snapshot(block::Node& node) {
    std::string name = a_.value("l");
    for (const char* key : {"snapshot.name=", "snapshot.id="}) {
      if (name.starts_with(key)) name = name.substr(std::strlen(key));
    }
    auto* image = dynamic_cast<Qcow2*>(&node);
    const Status s = image == nullptr
                         ? Status(Error{"the format has no snapshots", ""})
                         : image->locked([&](block::qcow2::Image& i) { return block::qcow2::view_snapshot(i, name); });
    return s ? 0 : complain("Failed to load snapshot: " + s.error().text());
  }

  int make_target() {
    const bool unsafe = a_.value("t", "unsafe") == "unsafe";
    if (!a_.has("n")) {
      if (!output_.has_size) output_.size = total_;
      if (output_.size < total_) return complain("the output is smaller than the input");
      if (Status s = create_image(output_, unsafe); !s)
        return complain(output_.path + ": error while converting " + output_.format + ": " + s.error().text());
    }
    auto node = open_image(output_.path, {.format = output_.format, .unsafe = unsafe});
    if (!node) return complain(node.error());
    target_ = node.take();
    if (target_->size() < total_) return complain("output file is smaller than input file");
    job_.target = target_.get();
    auto* image = dynamic_cast<Qcow2*>(target_.get());
    if (a_.has("c")) job_.compress_to = image;
    job_.target_has_backing = target_->backing() != nullptr;
    const bool fresh = !a_.has("n") && output_.preallocation != "full";
    job_.target_is_zero = (fresh && !job_.target_has_backing) || a_.has("target-is-zero");
    return 0;
  }

  int copy() {
    CopyError failed;
    {
      Progress progress(Progress::style(a_), total_);
      failed = copy_disk(job_, progress);
      if (failed.error == 0) progress.finish();
    }
    if (failed.error != 0)
      return complain("error while " + std::string(failed.reading ? "reading" : "writing") + " at byte " +
                      std::to_string(failed.offset) + ": " + std::strerror(failed.error));
    int error = block::flush_sync(*target_);
    if (auto* image = dynamic_cast<Qcow2*>(target_.get()); image != nullptr && error == 0) error = image->close();
    return error == 0 ? 0 : complain("error while writing: " + std::string(std::strerror(error)));
  }

  Arguments a_;
  NewImage output_;
  CopyJob job_;
  u64 total_ = 0;
  std::vector<std::shared_ptr<block::Node>> nodes_;
  std::shared_ptr<block::Node> target_;
};

struct DdRange {
  u64 block = 512, skip = 0;
  std::optional<u64> count;
  std::string in, out;
};

// key=value operands. 0: fine.
int parse_dd(const std::vector<std::string>& operands, DdRange& r) {
  for (const std::string& o : operands) {
    const size_t equals = o.find('=');
    if (equals == std::string::npos) return complain("unrecognized operand " + o);
    const std::string key = o.substr(0, equals), value = o.substr(equals + 1);
    if (key == "if") {
      r.in = value;
    } else if (key == "of") {
      r.out = value;
    } else if (key == "bs" || key == "count" || key == "skip") {
      const auto number = parse_size(value);
      if (!number || (key == "bs" && *number == 0)) return complain("invalid number: '" + value + "'");
      if (key == "bs") r.block = *number;
      if (key == "count") r.count = *number;
      if (key == "skip") r.skip = *number;
    } else {
      return complain("unrecognized operand " + o);
    }
  }
  return r.in.empty() || r.out.empty() ? complain("Must specify both input and output files") : 0;
}

}  // namespace

int convert(const std::vector<std::string>& args) { return Convert(args).run(); }

int dd(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"O", true}});
  DdRange r;
  if (!a.ok() || parse_dd(a.positional(), r) != 0) return 1;
  NewImage output{.path = r.out, .format = a.value("O", "raw")};
  if (!can_create(output.format)) return refuse_format(output.format);
  auto source = open_image(r.in, {.read_only = true, .format = a.value("f"), .shared = a.has("U")});
  if (!source) return complain(source.error());
  const u64 size = (*source)->size(), start = r.skip > size / r.block ? size : std::min(size, r.skip * r.block);
  if (r.skip > size / r.block) complain(r.in + ": cannot skip to specified offset");
  output.size = size - start;
  if (r.count && *r.count <= output.size / r.block) output.size = *r.count * r.block;
  if (Status s = create_image(output, false); !s) return complain(r.out + ": " + s.error().text());
  auto target = open_image(r.out, {.format = output.format});
  if (!target) return complain(target.error());
  PageVector data(1 << 20);
  for (u64 at = 0; at < output.size; at += data.size()) {
    const auto part = std::span(data).first(std::min<u64>(data.size(), output.size - at));
    if (const int error = block::read_sync(**source, start + at, part))
      return complain("error while reading from input image file: " + std::string(std::strerror(error)));
    if (const int error = block::is_zero(part) ? 0 : block::write_sync(**target, at, part))
      return complain("error while writing to output image file: " + std::string(std::strerror(error)));
  }
  int error = block::flush_sync(**target);
  if (auto* image = dynamic_cast<Qcow2*>(target->get()); image != nullptr && error == 0) error = image->close();
  return error == 0 ? 0 : complain("error while writing to output image file: " + std::string(std::strerror(error)));
}

}  // namespace doppel::app::img

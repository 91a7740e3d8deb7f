// img bitmap, and convert --bitmaps.
#include <algorithm>
#include <bit>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/bitmap_copy.h"
#include "app/img/img.h"
#include "block/qcow2/bitmap_edit.h"
#include "block/qcow2/qcow2.h"

namespace doppel::app::img {
namespace {

using block::qcow2::Bitmap;
using block::qcow2::Image;
using block::qcow2::NewBitmap;
using block::qcow2::Qcow2;

bool broken(const Bitmap& b) { return (b.flags & Bitmap::kInUse) != 0; }

Result<NewBitmap> describe(Image& image, const Bitmap& b) {
  auto read = block::qcow2::bitmap_reader(image, b);
  if (!read) return read.error();
  return NewBitmap{b.name, b.granularity_bits, (b.flags & Bitmap::kAuto) != 0, read.take()};
}

constexpr std::string_view kActions[] = {"add", "remove", "clear", "enable", "disable", "merge"};

bool is_action(const std::string& option) {
  return std::find(std::begin(kActions), std::end(kActions), option) != std::end(kActions);
}

Result<NewBitmap> find_source(Image& image, const std::string& name) {
  auto list = block::qcow2::valid_bitmaps(image);
  if (!list) return list.error();
  for (const Bitmap& b : *list) {
    if (b.name != name) continue;
    if (broken(b)) return Error{"Bitmap '" + name + "' is inconsistent and cannot be used", "remove it"};
    return describe(image, b);
  }
  return Error{"Dirty bitmap '" + name + "' not found", ""};
}

class Edit {
 public:
  explicit Edit(const std::vector<std::string>& args)
      : a_(args, {{"f", true},
                  {"add"},
                  {"remove"},
                  {"clear"},
                  {"enable"},
                  {"disable"},
                  {"merge", true},
                  {"b", true},
                  {"source-file", true, "b"},
                  {"F", true},
                  {"source-format", true, "F"},
                  {"g", true},
                  {"granularity", true, "g"}}) {}

  int run() {
    if (!a_.ok()) return 1;
    if (const int status = check_arguments()) return status;
    if (const int status = open()) return status;
    for (const auto& [option, value] : a_.given()) {
      if (!is_action(option)) continue;
      const Status s = image_->locked([&](Image& i) { return act(i, option, value); });
      if (!s) return complain("Operation " + option + " on bitmap " + name_ + " failed: " + s.error().text());
    }
    const int error = image_->close();
    return error == 0 ? 0 : complain("error while writing: " + std::string(std::strerror(error)));
  }

 private:
  int check_arguments() {
    const auto& names = a_.positional();
    const bool any =
        std::any_of(a_.given().begin(), a_.given().end(), [](const auto& g) { return is_action(g.first); });
    if (a_.has("g")) {
      const auto size = parse_size(a_.value("g"));
      if (!size) return 1;
      granularity_ = *size;
    }
    if (!any) return complain("Need at least one of --add, --remove, --clear, --enable, --disable, or --merge");
    if (a_.has("g") && !a_.has("add")) return complain("granularity only supported with --add");
    if (a_.has("F") && !a_.has("b")) return complain("-F only supported with -b");
    if (a_.has("b") && !a_.has("merge")) return complain("Merge bitmap source file only supported with --merge");
    if (names.size() != 2) return complain("Expecting filename and bitmap name");
    name_ = names[1];
    return 0;
  }

  int open() {
    auto node = open_image(a_.positional()[0], {.format = a_.value("f")});
    if (!node) return complain(node.error());
    node_ = node.take();
    image_ = dynamic_cast<Qcow2*>(node_.get());
    if (image_ == nullptr) return complain("'" + a_.positional()[0] + "': its format can't store bitmaps");
    if (!a_.has("b")) return 0;
    auto source = open_image(a_.value("b"), {.read_only = true, .format = a_.value("F")});
    if (!source) return complain(source.error());
    source_ = source.take();
    return 0;
  }

  Status act(Image& image, const std::string& option, const std::string& value) {
    if (option == "add") return add(image);
    if (option == "remove") return block::qcow2::remove_bitmap(image, name_);
    if (option == "clear") return block::qcow2::clear_bitmap(image, name_);
    if (option == "merge") return merge(image, value);
    return block::qcow2::enable_bitmap(image, name_, option == "enable");
  }

  // Without -g the cluster's size, between 4 KiB and 64 KiB.
  Status add(Image& image) {
    const u64 size = granularity_ ? *granularity_ : std::clamp<u64>(image.cluster_size(), u64{4} << 10, u64{64} << 10);
    if (!std::has_single_bit(size) || size < 512 || size > u64{1} << block::qcow2::kMaxGranularityBits)
      return Error{"Granularity must be power of 2 and at least 512", ""};
    return block::qcow2::add_bitmaps(image, {{name_, static_cast<unsigned>(std::countr_zero(size)), true, {}}});
  }

  Status merge(Image& image, const std::string& from) {
    if (source_ == nullptr) return merge_from(image, image, from);
    auto* other = dynamic_cast<Qcow2*>(source_.get());
    if (other == nullptr) return Error{"Dirty bitmap '" + from + "' not found", ""};
    return other->locked([&](Image& i) { return merge_from(image, i, from); });
  }

  Status merge_from(Image& image, Image& source, const std::string& from) {
    auto bitmap = find_source(source, from);
    if (!bitmap) return bitmap.error();
    if (source.header.size != image.header.size) return Error{"Bitmaps are of different sizes", ""};
    return block::qcow2::merge_bitmap(image, name_, *bitmap);
  }

  Arguments a_;
  std::optional<u64> granularity_;
  std::string name_;
  std::shared_ptr<block::Node> node_, source_;
  Qcow2* image_ = nullptr;
};

}  // namespace

int bitmap(const std::vector<std::string>& args) { return Edit(args).run(); }

int check_bitmaps(block::Node& source, const std::string& unable, bool skip_broken) {
  auto* image = dynamic_cast<Qcow2*>(&source);
  if (image == nullptr || image->locked([](Image& i) { return i.header.version < 3; }))
    return complain("Source lacks bitmap support");
  if (!unable.empty()) return complain("Format driver '" + unable + "' does not support bitmaps");
  return image->locked([&](Image& i) {
    auto list = block::qcow2::valid_bitmaps(i);
    if (!list) return complain(list.error());
    for (const Bitmap& b : *list) {
      if (broken(b) && !skip_broken)
        return complain("Cannot copy inconsistent bitmap '" + b.name + "'\nTry --skip-broken-bitmaps, or use '" +
                        (is_qemu_img() ? "qemu-img" : "doppel img") + " bitmap --remove' to delete it");
      if (broken(b)) complain("warning: Skipping inconsistent bitmap '" + b.name + "'");
      if (broken(b)) continue;
      if (auto known = describe(i, b); !known) return complain(known.error());
    }
    return 0;
  });
}

int copy_bitmaps(block::Node& source, const std::string& target) {
  auto node = open_image(target, {.format = "qcow2"});
  if (!node) return complain(node.error());
  auto* to = dynamic_cast<Qcow2*>(node->get());
  const Status s = dynamic_cast<Qcow2&>(source).locked([&](Image& from) -> Status {
    auto list = block::qcow2::valid_bitmaps(from);
    if (!list) return list.error();
    std::vector<NewBitmap> bitmaps;
    for (const Bitmap& b : *list) {
      if (broken(b)) continue;
      auto known = describe(from, b);
      if (!known) return known.error();
      bitmaps.push_back(known.take());
    }
    return to->locked([&](Image& i) { return block::qcow2::add_bitmaps(i, bitmaps); });
  });
  if (!s) return complain("Failed to create bitmaps: " + s.error().text());
  const int error = to->close();
  return error == 0 ? 0 : complain("error while writing: " + std::string(std::strerror(error)));
}

}  // namespace doppel::app::img

// open(): finds an image's format by its content, stacks the format on a file and, for snapshot=on, an overlay on top.
#include "block/open.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "block/fat/fat.h"
#include "block/file.h"
#include "block/formats/read_only_image.h"
#include "block/image_info.h"
#include "block/layers.h"
#include "block/overlay.h"
#include "block/qcow2/qcow2.h"
#include "block/raw.h"

namespace doppel::block {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view format;  // name for format=
  std::string_view bytes;
  u32 offset = 0;
};

// Headers of formats other than raw.
constexpr Signature kSignatures[] = {
    {"qcow2", "QFI\xfb"sv},
    {"qed", "QED\0"sv},
    {"vmdk", "KDMV"sv},
    {"vmdk", "COWD"sv},
    {"vmdk", "# Disk DescriptorFile"sv},
    {"vdi", "\x7f\x10\xda\xbe"sv, 0x40},
    {"vhdx", "vhdxfile"sv},
    {"vpc", "conectix"sv},
    {"parallels", "WithoutFreeSpace"sv},
    {"parallels", "WithouFreSpacExt"sv},
    {"bochs", "Bochs Virtual HD Image"sv},
    {"luks", "LUKS\xba\xbe"sv},
};
// Known by name, not built.
constexpr std::string_view kLater[] = {"qed", "luks", "bochs", "cloop"};

struct Format {
  std::string_view name;
  OpenFormat open;
};
// Formats that are only read.
constexpr Format kReadOnly[] = {
    {"qcow", open_qcow1},          {"vdi", open_vdi}, {"vpc", open_vpc}, {"vhdx", open_vhdx}, {"vmdk", open_vmdk},
    {"parallels", open_parallels}, {"dmg", open_dmg},
};

std::string_view detect(File& file) {
  std::array<u8, 512> head{};
  if (file.read(0, head) != 0) return "raw";
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  for (const Signature& s : kSignatures) {
    if (text.substr(s.offset, s.bytes.size()) != s.bytes) continue;
    return s.format == "qcow2" && head[7] == 1 ? "qcow" : s.format;
  }
  // A fixed VHD is a raw disk with a footer; a DMG has only a trailer.
  if (file.size() >= 512 && file.read(file.size() - 512, head) == 0 && text.starts_with("koly")) return "dmg";
  if (file.size() >= 1024 && file.read(file.size() - 512, head) == 0 && text.starts_with("conectix")) return "vpc";
  return "raw";
}

Error not_built(const std::string& path, std::string_view format, bool detected) {
  const std::string name(format);
  return {"'" + path + "' " + (detected ? "is a " + name + " image: that" : "is given format=" + name + ": this") +
              " format is not built yet",
          "convert it: qemu-img convert -O raw '" + path + "' disk.raw" +
              (detected ? ", or use format=raw if it really is a raw disk" : "")};
}

Error only_read(const std::string& path, std::string_view format) {
  return {"'" + path + "' is a " + std::string(format) + " image: that format is only read here",
          "use snapshot=on, or an overlay that keeps the writes: doppel img create -f qcow2 -b '" + path + "' -F " +
              std::string(format) + " disk.qcow2"};
}

bool is_format(std::string_view name) {
  const auto named = [&](const Format& f) { return f.name == name; };
  return name == "raw" || name == "qcow2" ||
         std::find(std::begin(kLater), std::end(kLater), name) != std::end(kLater) ||
         std::any_of(std::begin(kReadOnly), std::end(kReadOnly), named);
}

std::string first_of(const CacheSizes& c) {
  return c.total       ? "cache-size"
         : c.l2        ? "l2-cache-size"
         : c.refcounts ? "refcount-cache-size"
         : c.l2_entry  ? "l2-cache-entry-size"
                       : "cache-clean-interval";
}

Result<std::shared_ptr<Node>> open_format(std::shared_ptr<File> file, const OpenOptions& options, int depth) {
  const bool any = options.format.empty();
  const std::string path = file->path();
  const std::string_view format = any ? detect(*file) : std::string_view(options.format);
  if (format != "qcow2" && options.caches.any() && depth == 0)
    return Error{
        "Block format '" + std::string(format) + "' does not support the option '" + first_of(options.caches) + "'",
        "the sizes of caches are options of qcow2"};
  if (format == "raw") return std::shared_ptr<Node>(std::make_shared<Raw>(std::move(file)));
  if (format == "qcow2") {
    auto image = qcow2::Qcow2::open_image(std::move(file), options, depth);
    if (!image) return image.error();
    return std::shared_ptr<Node>(image.take());
  }
  for (const Format& f : kReadOnly) {
    if (f.name != format) continue;
    if (!options.read_only && !options.snapshot) return only_read(path, format);
    return f.open(std::move(file), options, depth);
  }
  return not_built(path, format, any);
}

}  // namespace

ImageInfo Node::info() const { return {.format = format(), .virtual_size = size()}; }

Result<std::shared_ptr<Node>> open_at_depth(const std::string& path, const OpenOptions& options, int depth) {
  if (depth > kMaxDepth)
    return Error{"the chain of backing images of '" + path + "' is longer than " + std::to_string(kMaxDepth),
                 "perhaps an image backs itself: img rebase -u mends that"};
  if (fat::is_name(path)) return fat::open_folder(path, options);
  const std::string& format = options.format;
  if (!format.empty() && !is_format(format))
    return Error{"unknown image format '" + format + "'", "use format=raw or format=qcow2"};
  if (!options.read_only && !options.snapshot && !options.frozen_too) {
    if (Status s = check_writable(path); !s) return s.error();
  }
  auto file = open_file(path, {options.read_only || options.snapshot,
                               options.shared ? Sharing::Shared : Sharing::Locked, options.unsafe, options.direct});
  if (!file) return file.error();
  auto node = open_format(file.take(), options, depth);
  if (!node || !options.snapshot || options.read_only) return node;
  auto overlay = Overlay::create(node.take());
  if (!overlay) return overlay.error();
  return std::shared_ptr<Node>(overlay.take());
}

Result<std::shared_ptr<Node>> open(const std::string& path, const OpenOptions& options) {
  return open_at_depth(path, options, 0);
}

Result<std::shared_ptr<Node>> open_unguarded(const std::string& path, const OpenOptions& options) {
  OpenOptions all = options;
  all.frozen_too = true;
  return open_at_depth(path, all, 0);
}

Result<std::string> probe_format(const std::string& path, bool shared) {
  auto file = open_file(path, {.read_only = true, .sharing = shared ? Sharing::Shared : Sharing::Locked});
  if (!file) return file.error();
  return std::string(detect(**file));
}

}  // namespace doppel::block

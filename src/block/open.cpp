// open(): finds an image's format by its content, stacks the format on a file and, for snapshot=on, an overlay on top.
#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "block/node.h"
#include "block/overlay.h"
#include "block/raw_file.h"
#include "block/sync.h"

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
constexpr std::string_view kKnownFormats[] = {"qcow2", "qcow", "qed", "vmdk",  "vdi",   "vhdx",
                                              "vpc",   "luks", "dmg", "bochs", "cloop", "parallels"};

std::string_view detect(Node& node) {
  std::array<u8, 512> head{};
  if (read_sync(node, 0, head) != 0) return "raw";
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  for (const Signature& s : kSignatures) {
    if (text.substr(s.offset, s.bytes.size()) == s.bytes) return s.format;
  }
  // A fixed VHD is a raw disk with a footer.
  if (node.size() >= 1024 && read_sync(node, node.size() - 512, head) == 0 && text.starts_with("conectix"))
    return "vpc";
  return "raw";
}

Error not_built(const std::string& path, std::string_view format, bool detected) {
  const std::string name(format);
  return {"'" + path + "' " + (detected ? "is a " + name + " image: that" : "is given format=" + name + ": this") +
              " format is not built yet, only raw images",
          "convert it: qemu-img convert -O raw '" + path + "' disk.raw" +
              (detected ? ", or use format=raw if it really is a raw disk" : "")};
}

}  // namespace

Result<std::shared_ptr<Node>> open(const std::string& path, const OpenOptions& options) {
  const bool any = options.format.empty();
  if (!any && options.format != "raw") {
    const auto* known = std::find(std::begin(kKnownFormats), std::end(kKnownFormats), options.format);
    if (known != std::end(kKnownFormats)) return not_built(path, options.format, false);
    return Error{"unknown image format '" + options.format + "'", "use format=raw"};
  }
  auto file = RawFile::open_file(path, options.read_only || options.snapshot);
  if (!file) return file.error();
  std::shared_ptr<Node> node = file.take();
  if (any) {
    const std::string_view format = detect(*node);
    if (format != "raw") return not_built(path, format, true);
  }
  if (!options.snapshot || options.read_only) return node;
  auto overlay = Overlay::create(std::move(node));
  if (!overlay) return overlay.error();
  return std::shared_ptr<Node>(overlay.take());
}

}  // namespace doppel::block

// img snapshot and resize.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "app/img/arguments.h"
#include "app/img/img.h"
#include "app/img/report.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/snapshots.h"
#include "block/raw.h"
#include "block/sync.h"

namespace doppel::app::img {
namespace {

using block::qcow2::Qcow2;

int change_snapshot(const Arguments& a, char what) {
  const std::string& path = a.positional()[0];
  const std::string name = a.value(std::string_view(&what, 1));
  // Only what the image itself says counts.
  auto node = open_image(path, {.format = a.value("f"), .no_backing = what != 'a'});
  if (!node) return complain(node.error());
  auto* image = dynamic_cast<Qcow2*>(node->get());
  const char* verb = what == 'c' ? "create" : what == 'a' ? "apply" : "delete";
  const std::string before = "Could not " + std::string(verb) + " snapshot '" + name + "': ";
  if (image == nullptr) return complain(before + "Operation not supported");
  Status s = image->locked([&](block::qcow2::Image& i) {
    if (what == 'c') return block::qcow2::create_snapshot(i, name);
    return what == 'a' ? block::qcow2::apply_snapshot(i, name) : block::qcow2::delete_snapshot(i, name);
  });
  if (!s) return complain(before + s.error().text());
  const int error = image->close();
  return error == 0 ? 0 : complain(before + std::strerror(error));
}

int list_snapshots(const Arguments& a) {
  auto node = open_image(a.positional()[0],
                         {.read_only = true, .format = a.value("f"), .shared = a.has("U"), .no_backing = true});
  if (!node) return complain(node.error());
  const block::ImageInfo info = (*node)->info();
  if (!info.snapshots.empty()) std::printf("Snapshot list:\n%s", snapshot_table(info.snapshots).c_str());
  return 0;
}

// New space on the host's disk, as --preallocation says.
int preallocate(block::Node& node, u64 from, const std::string& mode) {
  if (mode.empty() || mode == "off" || from >= node.size()) return 0;
  if (auto* image = dynamic_cast<Qcow2*>(&node)) {
    return image->locked([&](block::qcow2::Image& i) {
      if (const int error = i.preallocate(from, i.header.size - from)) return error;
      return mode == "metadata" ? 0 : i.data_file().allocate(0, i.data_file().size());
    });
  }
  auto* raw = dynamic_cast<block::Raw*>(&node);
  return raw == nullptr || mode == "metadata" ? ENOTSUP : raw->file().allocate(from, node.size() - from);
}

}  // namespace

int snapshot(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"l"}, {"a", true}, {"c", true}, {"d", true}});
  if (!a.ok()) return 1;
  if (a.has("l") + a.has("a") + a.has("c") + a.has("d") > 1) return usage("Cannot mix '-l', '-a', '-c', '-d'");
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  for (const char what : {'c', 'a', 'd'}) {
    if (a.has(std::string_view(&what, 1))) return change_snapshot(a, what);
  }
  return list_snapshots(a);
}

int resize(const std::vector<std::string>& args) {
  // A size may begin with '-': it is the last argument, not an option.
  std::vector<std::string> options = args;
  if (options.size() < 2) return usage("Not enough arguments");
  std::string text = options.back();
  options.pop_back();
  const Arguments a(options, {{"f", true}, {"preallocation", true}, {"shrink"}});
  if (!a.ok()) return 1;
  if (a.positional().size() != 1) return usage("Expecting image file name and size");
  const char sign = text.empty() ? 0 : text[0];
  if (sign == '+' || sign == '-') text.erase(0, 1);
  const auto number = parse_size(text);
  if (!number) return 1;
  auto node = open_image(a.positional()[0], {.format = a.value("f"), .no_backing = false});
  if (!node) return complain(node.error());
  const u64 old = (*node)->size();
  if (sign == '-' && *number > old) return complain("New image size must be positive");
  const u64 size = sign == '+' ? old + *number : sign == '-' ? old - *number : *number;
  if (size == 0) return complain("New image size must be positive");
  if (size < old && !a.has("shrink")) {
    complain("Use the --shrink option to perform a shrink operation.");
    return complain(
        "warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an "
        "operation, make sure there is no important data there.");
  }
  if (Status s = (*node)->resize(size); !s) return complain(s.error());
  int error = preallocate(**node, old, a.value("preallocation"));
  if (error == 0) error = block::flush_sync(**node);
  if (auto* image = dynamic_cast<Qcow2*>(node->get()); image != nullptr && error == 0) error = image->close();
  if (error != 0) return complain("Could not resize image: " + std::string(std::strerror(error)));
  if (!a.quiet()) std::puts("Image resized.");
  return 0;
}

}  // namespace doppel::app::img

// img create.
#include <filesystem>

#include "app/img/arguments.h"
#include "app/img/img.h"
#include "app/img/output_image.h"
#include "block/qcow2/qcow2.h"

namespace doppel::app::img {
namespace {

// The backing image as the new one will see it: there, and giving the size.
Status look_at_backing(NewImage& image, bool unchecked) {
  const std::string& name = image.qcow2.backing_file;
  if (name.empty()) return success();
  if (unchecked && image.has_size) return success();
  auto path = block::qcow2::resolve_path(image.path, name);
  if (!path) return path.error();
  std::error_code ec;
  const bool same = std::filesystem::equivalent(*path, image.path, ec);
  if (same) return Error{"Trying to create an image with the same filename as the backing file", ""};
  auto backing = open_image(*path, {.read_only = true, .format = image.qcow2.backing_format, .shared = true});
  if (!backing) return Error{backing.error().cause + "\nCould not open backing image.", ""};
  if (image.qcow2.backing_format.empty())
    return Error{"Backing file specified without backing format\nDetected format of " + (*backing)->format() + ".", ""};
  if (!image.has_size) image.size = (*backing)->size();
  image.has_size = true;
  return success();
}

}  // namespace

int create(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"b", true}, {"F", true}, {"o", true}, {"u"}});
  if (!a.ok()) return 1;
  NewImage image{.format = a.value("f", "raw")};
  const auto& names = a.positional();
  if (!names.empty()) image.path = names[0];
  if (!can_create(image.format)) return refuse_format(image.format, image.path.empty() ? "" : image.path + ": ");
  bool done = false;
  if (!parse_options(image, a.values("o"), done)) return 1;
  if (done) return 0;
  if (names.empty()) return usage("Expecting image file name");
  if (names.size() > 2) return usage("Unexpected argument: " + names[2]);
  if (a.has("b")) image.qcow2.backing_file = a.value("b");
  if (a.has("F")) image.qcow2.backing_format = a.value("F");
  if (!image.qcow2.backing_file.empty() && image.format != "qcow2")
    return complain(image.path + ": Backing file not supported for file format '" + image.format + "'");
  if (names.size() == 2) {
    const auto size = parse_size(names[1]);
    if (!size) return 1;
    image.size = *size;
    image.has_size = true;
  }
  if (Status s = look_at_backing(image, a.has("u")); !s) return complain(image.path + ": " + s.error().text());
  if (!image.has_size) return complain(image.path + ": Image creation needs a size parameter");
  if (!a.quiet()) print_formatting(image);
  if (Status s = create_image(image, false); !s) return complain(image.path + ": " + s.error().text());
  return 0;
}

}  // namespace doppel::app::img

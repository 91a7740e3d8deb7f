#include "app/img/image_opts.h"

#include <map>

#include "app/drive_tuning.h"
#include "app/options.h"

namespace doppel::app::img {
namespace {

std::map<std::string, block::OpenOptions>& remembered() {
  static std::map<std::string, block::OpenOptions> map;
  return map;
}

bool is_protocol(const std::string& driver) {
  return driver == "file" || driver == "host_device" || driver == "host_cdrom";
}

Status take(const std::string& key, const std::string& value, ImageOpts& out, block::Tuning& tuning) {
  if (key == "driver") {
    out.options.format = is_protocol(value) ? "raw" : value;
  } else if (key == "file.filename" || key == "filename") {
    out.path = value;
  } else if (key == "file.driver") {
    if (!is_protocol(value)) return Error{"file.driver=" + value + " is not built yet", "use file.driver=file"};
  } else if (key == "read-only") {
    auto on = parse_switch(key, value);
    if (!on) return on.error();
    out.options.read_only = *on;
  } else if (auto taken = take_tuning(tuning, key, value); !taken) {
    return taken.error();
  } else if (!*taken) {
    return Error{
        "an image has no option '" + key + "'",
        "it has: driver, file.filename, cache.direct, cache-size, l2-cache-size, refcount-cache-size and more"};
  }
  return success();
}

Result<ImageOpts> parse(const std::string& text) {
  ImageOpts out;
  block::Tuning tuning;
  for (const auto& [key, value] : parse_key_values(text, "file.filename")) {
    if (Status s = take(key, value, out, tuning); !s) return s.error();
  }
  const block::OpenOptions more = block::open_options(tuning);
  out.options.unsafe = more.unsafe;
  out.options.direct = more.direct;
  out.options.caches = tuning.caches;
  return out;
}

void merge(const block::OpenOptions& more, block::OpenOptions& options) {
  options.read_only |= more.read_only;
  options.unsafe |= more.unsafe;
  options.direct |= more.direct;
  if (!more.format.empty()) options.format = more.format;
  if (more.caches.any()) options.caches = more.caches;
}

}  // namespace

Result<ImageOpts> parse_image_opts(const std::string& text) {
  auto opts = parse(text);
  if (opts && opts->path.empty()) return Error{"'" + text + "' names no file", "driver=qcow2,file.filename=disk.qcow2"};
  return opts;
}

Status add_image_opts(const std::string& text, block::OpenOptions& options) {
  auto opts = parse(text);
  if (!opts) return opts.error();
  merge(opts->options, options);
  return success();
}

void remember_image_opts(const ImageOpts& opts) { remembered()[opts.path] = opts.options; }

block::OpenOptions with_image_opts(const std::string& path, const block::OpenOptions& options) {
  block::OpenOptions all = options;
  if (const auto it = remembered().find(path); it != remembered().end()) merge(it->second, all);
  return all;
}

}  // namespace doppel::app::img

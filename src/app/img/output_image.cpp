#include "app/img/output_image.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "app/img/arguments.h"
#include "app/options.h"
#include "block/file.h"
#include "block/qcow2/qcow2.h"

namespace doppel::app::img {
namespace {

using block::qcow2::Preallocation;

struct OptionHelp {
  const char* name;
  const char* text;
};
constexpr OptionHelp kQcow2Options[] = {
    {"backing_file=<str>", "File name of a base image"},
    {"backing_fmt=<str>", "Image format of the base image"},
    {"cluster_size=<size>", "qcow2 cluster size"},
    {"compat=<str>", "Compatibility level (v2 [0.10] or v3 [1.1])"},
    {"compression_type=<str>", "Compression method used for image cluster compression"},
    {"data_file=<str>", "File name of an external data file"},
    {"data_file_raw=<bool (on/off)>", "The external data file must stay valid as a raw image"},
    {"extended_l2=<bool (on/off)>", "Extended L2 tables"},
    {"lazy_refcounts=<bool (on/off)>", "Postpone refcount updates"},
    {"preallocation=<str>", "Preallocation mode (allowed values: off, metadata, falloc, full)"},
    {"refcount_bits=<num>", "Width of a reference count entry in bits"},
    {"size=<size>", "Virtual disk size"},
};
constexpr OptionHelp kRawOptions[] = {
    {"preallocation=<str>", "Preallocation mode (allowed values: off, falloc, full)"},
    {"size=<size>", "Virtual disk size"},
};

void print_help(const std::string& format) {
  std::printf("Supported %s options:\n", format.c_str());
  const auto row = [](const OptionHelp& o) { std::printf("  %-22s - %s\n", o.name, o.text); };
  if (format == "raw") {
    for (const OptionHelp& o : kRawOptions) row(o);
  } else {
    for (const OptionHelp& o : kQcow2Options) row(o);
  }
}

bool set_switch(bool& to, const std::string& key, const std::string& value) {
  if (value != "on" && value != "off" && value != "yes" && value != "no" && value != "true" && value != "false") {
    complain("Parameter '" + key + "' expects 'on' or 'off'");
    return false;
  }
  to = value == "on" || value == "yes" || value == "true";
  return true;
}

std::optional<Preallocation> preallocation(const std::string& mode, bool is_raw) {
  if (mode == "off" || mode.empty()) return Preallocation::Off;
  if (mode == "metadata" && !is_raw) return Preallocation::Metadata;
  if (mode == "falloc") return Preallocation::Falloc;
  if (mode == "full") return Preallocation::Full;
  return std::nullopt;
}

bool set_size(u64& to, const std::string& value) {
  const auto size = parse_size(value);
  if (size) to = *size;
  return size.has_value();
}

bool set_qcow2(NewImage& image, const std::string& key, const std::string& value) {
  block::qcow2::CreateOptions& q = image.qcow2;
  if (key == "backing_file") return q.backing_file = value, true;
  if (key == "backing_fmt") return q.backing_format = value, true;
  if (key == "compat") return image.compat = value, true;
  if (key == "data_file") return q.data_file = value, true;
  if (key == "data_file_raw") return set_switch(q.raw_data_file, key, value);
  if (key == "extended_l2") return set_switch(q.extended_l2, key, value);
  if (key == "lazy_refcounts") return set_switch(q.lazy_refcounts, key, value);
  if (key == "cluster_size") return set_size(image.cluster_size, value);
  if (key == "refcount_bits") return image.refcount_bits = std::strtoull(value.c_str(), nullptr, 10), true;
  if (key == "compression_type") {
    q.compression = value == "zstd" ? block::qcow2::Compression::Zstd : block::qcow2::Compression::Zlib;
    if (value == "zlib" || value == "zstd") return true;
    complain(image.path + ": Parameter 'compression-type' does not accept value '" + value + "'");
    return false;
  }
  if (key.starts_with("encrypt")) {
    complain(image.path + ": encryption is not built yet");
    return false;
  }
  complain(image.path + ": Invalid parameter '" + key + "'");
  return false;
}

Status preallocate(const NewImage& image, bool unsafe) {
  const Preallocation mode = image.qcow2.preallocation;
  auto node = block::open(image.path, {.format = "qcow2", .unsafe = unsafe});
  if (!node) return node.error();
  auto& disk = static_cast<block::qcow2::Qcow2&>(**node);
  const int error = disk.locked([&](block::qcow2::Image& i) {
    if (const int e = i.preallocate(0, i.header.size)) return e;
    if (mode == Preallocation::Metadata) return 0;
    return i.data_file().allocate(0, i.has_data_file() ? i.header.size : i.file().size());
  });
  const int closed = disk.close();
  if (error == 0 && closed == 0) return success();
  return Error{"Could not preallocate clusters: " + std::string(std::strerror(error != 0 ? error : closed)), ""};
}

Status create_data_file(const NewImage& image, bool unsafe) {
  auto path = block::qcow2::resolve_path(image.path, image.qcow2.data_file);
  if (!path) return path.error();
  auto file = block::create_file(*path, {.unsafe = unsafe});
  if (!file) return file.error();
  const int error = image.qcow2.raw_data_file ? (*file)->truncate(align_up(image.size, 512)) : 0;
  return error == 0 ? success() : Status(Error{"can't size '" + *path + "': " + std::strerror(error), ""});
}

}  // namespace

bool can_create(const std::string& format) { return format == "raw" || format == "qcow2"; }

int refuse_format(const std::string& format, const std::string& before) {
  static constexpr std::string_view kKnown[] = {"qcow", "qed",       "vmdk", "vdi",   "vhdx", "vpc",
                                                "luks", "parallels", "dmg",  "bochs", "cloop"};
  if (std::find(std::begin(kKnown), std::end(kKnown), format) != std::end(kKnown))
    return complain(before + "Format driver '" + format + "' does not support image creation");
  return complain(before + "Unknown file format '" + format + "'");
}

bool parse_options(NewImage& image, const std::vector<std::string>& options, bool& done) {
  for (const std::string& text : options) {
    if (text == "help" || text == "?") {
      print_help(image.format);
      done = true;
      return true;
    }
    for (const auto& [key, value] : parse_key_values(text)) {
      if (key == "size") {
        if (!set_size(image.size, value)) return false;
        image.has_size = true;
      } else if (key == "preallocation") {
        image.preallocation = value;
      } else if (image.format != "qcow2") {
        complain(image.path + ": Invalid parameter '" + key + "'");
        return false;
      } else if (!set_qcow2(image, key, value)) {
        return false;
      }
    }
  }
  return true;
}

void print_formatting(const NewImage& image) {
  std::string line = "Formatting '" + image.path + "', fmt=" + image.format;
  const auto put = [&line](const std::string& key, const std::string& value) { line += " " + key + "=" + value; };
  const auto on = [](bool v) { return std::string(v ? "on" : "off"); };
  const block::qcow2::CreateOptions& q = image.qcow2;
  const bool is_qcow2 = image.format == "qcow2";
  if (is_qcow2) {
    put("cluster_size", std::to_string(image.cluster_size));
    put("extended_l2", on(q.extended_l2));
    if (!image.preallocation.empty()) put("preallocation", image.preallocation);
    put("compression_type", q.compression == block::qcow2::Compression::Zstd ? "zstd" : "zlib");
  }
  put("size", std::to_string(image.size));
  if (!is_qcow2) {
    if (!image.preallocation.empty()) put("preallocation", image.preallocation);
    std::puts(line.c_str());
    return;
  }
  if (!image.compat.empty()) put("compat", image.compat);
  if (!q.backing_file.empty()) put("backing_file", q.backing_file);
  if (!q.backing_format.empty()) put("backing_fmt", q.backing_format);
  if (!q.data_file.empty()) put("data_file", q.data_file);
  if (q.raw_data_file) put("data_file_raw", "on");
  put("lazy_refcounts", on(q.lazy_refcounts));
  put("refcount_bits", std::to_string(image.refcount_bits));
  std::puts(line.c_str());
}

Status check_new_image(NewImage& image) {
  const bool is_raw = image.format == "raw";
  const auto mode = preallocation(image.preallocation, is_raw);
  if (!mode) return Error{"Parameter 'preallocation' does not accept value '" + image.preallocation + "'", ""};
  image.raw_preallocation = *mode;
  if (is_raw) return success();
  block::qcow2::CreateOptions& q = image.qcow2;
  q.preallocation = *mode;
  q.size = image.size;
  if (image.compat == "0.10" || image.compat == "v2") {
    q.version = 2;
  } else if (!image.compat.empty() && image.compat != "1.1" && image.compat != "v3") {
    return Error{"Parameter 'version' does not accept value '" + image.compat + "'", ""};
  }
  if (!std::has_single_bit(image.cluster_size) || image.cluster_size < 512 || image.cluster_size > 2 << 20)
    return Error{"Cluster size must be a power of two between 512 and 2048k", ""};
  q.cluster_bits = static_cast<unsigned>(std::countr_zero(image.cluster_size));
  if (!std::has_single_bit(image.refcount_bits) || image.refcount_bits > 64)
    return Error{"Refcount width must be a power of two and may not exceed 64 bits", ""};
  q.refcount_order = static_cast<unsigned>(std::countr_zero(image.refcount_bits));
  return block::qcow2::check_options(q);
}

Status create_image(NewImage& image, bool unsafe) {
  if (Status s = check_new_image(image); !s) return s;
  const block::FileOptions options{.unsafe = unsafe};
  if (image.format == "qcow2" && !image.qcow2.data_file.empty()) {
    if (Status s = create_data_file(image, unsafe); !s) return s;
  }
  {
    auto file = block::create_file(image.path, options);
    if (!file) return file.error();
    if (image.format == "qcow2") {
      if (Status s = block::qcow2::create(**file, image.qcow2); !s) return s;
    } else {
      int error = (*file)->truncate(image.size);
      if (error == 0 && image.raw_preallocation != Preallocation::Off) error = (*file)->allocate(0, image.size);
      if (error != 0) return Error{"Could not resize file: " + std::string(std::strerror(error)), ""};
    }
  }
  return image.format == "qcow2" && image.qcow2.preallocation != Preallocation::Off ? preallocate(image, unsafe)
                                                                                    : success();
}

}  // namespace doppel::app::img

#include "block/layers.h"

#include <filesystem>

#include "base/os/files.h"
#include "block/file.h"
#include "block/image_info.h"
#include "block/qcow2/create.h"

namespace doppel::block {
namespace {
namespace fs = std::filesystem;
constexpr std::string_view kSuffix = ".snapshots";
constexpr int kMaxLayers = 100000, kMaxChain = 1000;

fs::path absolute(const std::string& file) {
  std::error_code ec;
  const fs::path whole = fs::weakly_canonical(file, ec);
  return ec ? fs::absolute(file, ec) : whole;
}

std::string current_file(const std::string& disk) { return layers_folder(disk) + "/current"; }

std::string current_name(const std::string& disk) {
  std::string text = os::read_text(current_file(disk));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text.find('/') == std::string::npos ? text : std::string();
}
}  // namespace

std::string layers_folder(const std::string& disk) { return absolute(disk).string() + std::string(kSuffix); }

std::string disk_of(const std::string& file) {
  const fs::path whole = absolute(file);
  const std::string folder = whole.parent_path().string();
  if (!folder.ends_with(kSuffix) || !whole.filename().string().starts_with("layer-")) return whole.string();
  return folder.substr(0, folder.size() - kSuffix.size());
}

Layer current_layer(const Layer& disk) {
  const std::string whole = disk_of(disk.file), name = current_name(whole);
  return name.empty() ? disk : Layer{layers_folder(whole) + "/" + name, "qcow2"};
}

Status check_writable(const std::string& file) {
  const std::string disk = disk_of(file), name = current_name(disk);
  if (name.empty()) return success();
  const fs::path whole = absolute(file);
  if (whole == fs::path(layers_folder(disk)) / name) return success();
  return Error{"'" + file + "' has snapshots that build on it (" + layers_folder(disk) + "): it must stay as it is",
               "doppel run '" + disk + "' goes on with its current state"};
}

Result<u64> size_of(const Layer& layer) {
  auto node = open(layer.file, {.read_only = true, .format = layer.format, .shared = true, .no_backing = true});
  if (!node) return node.error();
  return (*node)->size();
}

// Beside each other they may be moved together.
std::string name_from(const std::string& file, const std::string& base) {
  const fs::path from = absolute(file).parent_path(), to = absolute(base);
  const bool near = to.parent_path() == from || to.parent_path() == from.parent_path();
  return near ? to.lexically_relative(from).string() : to.string();
}

Status create_on(const std::string& file, const Layer& base, u64 size) {
  auto out = create_file(file, {});
  if (!out) return out.error();
  qcow2::CreateOptions options;
  options.size = size;
  options.backing_file = name_from(file, base.file);
  options.backing_format = base.format;
  if (Status s = qcow2::create(**out, options); !s) return s;
  return os::sync_path(absolute(file).parent_path().string());
}

Result<Layer> add_layer(const std::string& disk, const Layer& base, u64 size) {
  const std::string folder = layers_folder(disk);
  std::error_code ec;
  fs::create_directories(folder, ec);
  if (ec) return Error{"can't make the folder '" + folder + "': " + ec.message(), "check the permissions there"};
  for (int n = 1; n < kMaxLayers; n++) {
    const std::string file = folder + "/layer-" + std::to_string(n) + ".qcow2";
    auto fresh = os::create_new(file);
    if (!fresh) return fresh.error();
    if (!*fresh) continue;
    if (Status s = create_on(file, base, size); !s) {
      fs::remove(file, ec);
      return s.error();
    }
    return Layer{file, "qcow2"};
  }
  return Error{"'" + folder + "' has too many layers", "delete snapshots"};
}

Status set_current(const std::string& disk, const Layer& layer) {
  if (disk_of(layer.file) != absolute(disk).string() || layer.file == absolute(disk).string()) {
    std::error_code ec;
    fs::remove(current_file(disk), ec);
    return ec ? Status(Error{"can't remove '" + current_file(disk) + "': " + ec.message(), ""}) : success();
  }
  return os::write_durably(current_file(disk), fs::path(layer.file).filename().string() + "\n");
}

std::vector<std::string> chain_of(const Layer& layer) {
  std::vector<std::string> out;
  Layer at = layer;
  for (int depth = 0; depth < kMaxChain && !at.file.empty(); depth++) {
    out.push_back(absolute(at.file).string());
    auto node = open(at.file, {.read_only = true, .format = at.format, .shared = true, .no_backing = true});
    if (!node) break;
    const ImageInfo info = (*node)->info();
    at = {info.full_backing_file, info.backing_format};
  }
  return out;
}

}  // namespace doppel::block

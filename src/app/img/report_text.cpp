#include <cstdio>
#include <ctime>

#include "app/img/arguments.h"
#include "app/img/report.h"

namespace doppel::app::img {
namespace {

std::string fact_text(const block::Fact& fact) {
  if (const bool* b = std::get_if<bool>(&fact.second)) return *b ? "true" : "false";
  if (const u64* n = std::get_if<u64>(&fact.second)) return std::to_string(*n);
  return std::get<std::string>(fact.second);
}

std::string bitmaps_text(const std::vector<block::BitmapInfo>& bitmaps) {
  std::string out = "    bitmaps:\n";
  for (size_t i = 0; i < bitmaps.size(); i++) {
    const block::BitmapInfo& b = bitmaps[i];
    out += "        [" + std::to_string(i) + "]:\n            flags:\n";
    int flag = 0;
    if (b.in_use) out += "                [" + std::to_string(flag++) + "]: in-use\n";
    if (b.automatic) out += "                [" + std::to_string(flag++) + "]: auto\n";
    out += "            name: " + b.name + "\n            granularity: " + std::to_string(b.granularity) + "\n";
  }
  return out;
}

}  // namespace

std::string specific_text(const block::ImageInfo& info) {
  std::string out = "Format specific information:\n";
  for (const block::Fact& fact : info.specific) {
    out += "    " + fact.first + ": " + fact_text(fact) + "\n";
    if (fact.first == "lazy refcounts" && info.bitmaps) out += bitmaps_text(*info.bitmaps);
  }
  return out;
}

std::string text_report(const ImageReport& r) {
  const block::ImageInfo& i = r.info;
  std::string out = "image: " + r.filename + "\nfile format: " + i.format +
                    "\nvirtual size: " + human_size(i.virtual_size) + " (" + std::to_string(i.virtual_size) +
                    " bytes)\ndisk size: " + human_size(r.disk_size) + "\n";
  if (i.encrypted) out += "encrypted: yes\n";
  if (i.cluster_size != 0) out += "cluster_size: " + std::to_string(i.cluster_size) + "\n";
  if (i.dirty) out += "cleanly shut down: no\n";
  if (!i.backing_file.empty()) {
    out += "backing file: " + i.backing_file;
    if (i.full_backing_file != i.backing_file) out += " (actual path: " + i.full_backing_file + ")";
    out += "\n";
  }
  if (!i.backing_format.empty()) out += "backing file format: " + i.backing_format + "\n";
  if (!i.snapshots.empty()) out += "Snapshot list:\n" + snapshot_table(i.snapshots);
  return i.specific.empty() ? out : out + specific_text(i);
}

}  // namespace doppel::app::img

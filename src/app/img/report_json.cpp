#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/img/report.h"

namespace doppel::app::img {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kIndent = 4;

std::string text_of(const Json& json) { return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json snapshots_json(const std::vector<block::SnapshotInfo>& snapshots) {
  Json list = Json::array();
  for (const block::SnapshotInfo& s : snapshots) {
    Json one;
    if (s.icount) one["icount"] = *s.icount;
    one["vm-clock-nsec"] = s.vm_clock_nanoseconds % 1000000000;
    one["name"] = s.name;
    one["date-sec"] = s.date_seconds;
    one["date-nsec"] = s.date_nanoseconds;
    one["vm-clock-sec"] = s.vm_clock_nanoseconds / 1000000000;
    one["id"] = s.id;
    one["vm-state-size"] = s.vm_state_size;
    list.push_back(std::move(one));
  }
  return list;
}

Json specific_json(const block::ImageInfo& info) {
  Json data = Json::object();
  for (const block::Fact& fact : info.specific) {
    std::string key = fact.first;
    std::replace(key.begin(), key.end(), ' ', '-');
    std::visit([&](const auto& value) { data[key] = value; }, fact.second);
  }
  if (info.bitmaps) {
    Json list = Json::array();
    for (const block::BitmapInfo& b : *info.bitmaps) {
      Json flags = Json::array();
      if (b.in_use) flags.push_back("in-use");
      if (b.automatic) flags.push_back("auto");
      list.push_back({{"flags", flags}, {"name", b.name}, {"granularity", b.granularity}});
    }
    data["bitmaps"] = list;
  }
  return {{"type", info.format}, {"data", data}};
}

Json image_json(const ImageReport& r) {
  const block::ImageInfo& i = r.info;
  Json one;
  if (!i.snapshots.empty()) one["snapshots"] = snapshots_json(i.snapshots);
  if (!i.backing_format.empty()) one["backing-filename-format"] = i.backing_format;
  one["virtual-size"] = i.virtual_size;
  one["filename"] = r.filename;
  if (i.cluster_size != 0) one["cluster-size"] = i.cluster_size;
  one["format"] = i.format;
  one["actual-size"] = r.disk_size;
  if (i.encrypted) one["encrypted"] = true;
  if (!i.specific.empty()) one["format-specific"] = specific_json(i);
  if (!i.backing_file.empty()) {
    one["full-backing-filename"] = i.full_backing_file;
    one["backing-filename"] = i.backing_file;
  }
  one["dirty-flag"] = i.dirty;
  return one;
}

}  // namespace

std::string json_report(const std::vector<ImageReport>& chain, bool as_list) {
  if (!as_list) return text_of(image_json(chain.front()));
  Json list = Json::array();
  for (const ImageReport& r : chain) list.push_back(image_json(r));
  return text_of(list);
}

std::string json_check(const std::string& filename, const std::string& format, const block::qcow2::CheckResult& r) {
  Json one;
  one["image-end-offset"] = r.image_end;
  one["total-clusters"] = r.total_clusters;
  const auto unless_zero = [&one](const char* key, u64 value) {
    if (value != 0) one[key] = value;
  };
  unless_zero("corruptions", r.corruptions);
  unless_zero("leaks", r.leaks);
  unless_zero("corruptions-fixed", r.corruptions_fixed);
  unless_zero("leaks-fixed", r.leaks_fixed);
  one["check-errors"] = r.check_errors;
  unless_zero("allocated-clusters", r.allocated_clusters);
  unless_zero("fragmented-clusters", r.fragmented_clusters);
  unless_zero("compressed-clusters", r.compressed_clusters);
  one["filename"] = filename;
  one["format"] = format;
  return text_of(one);
}

std::string json_measure(u64 required, u64 fully_allocated, std::optional<u64> bitmaps) {
  Json one = Json::object();
  if (bitmaps) one["bitmaps"] = *bitmaps;
  one["required"] = required;
  one["fully-allocated"] = fully_allocated;
  return text_of(one);
}

}  // namespace doppel::app::img

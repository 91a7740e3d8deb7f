// What info and check print, as text and as JSON (report_json.cpp is the only file that includes the JSON library).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "block/image_info.h"
#include "block/qcow2/check.h"

namespace doppel::app::img {

using block::snapshot_table;

struct ImageReport {
  std::string filename;
  block::ImageInfo info;
  u64 disk_size = 0;  // on the host
};

std::string text_report(const ImageReport& report);
std::string json_report(const std::vector<ImageReport>& chain, bool as_list);
std::string specific_text(const block::ImageInfo& info);  // "Format specific information:" and its lines

std::string json_check(const std::string& filename, const std::string& format, const block::qcow2::CheckResult& result);
std::string json_measure(u64 required, u64 fully_allocated, std::optional<u64> bitmaps);

}  // namespace doppel::app::img

// Facts about images as text.
#include <cstdio>
#include <ctime>

#include "block/image_info.h"

namespace doppel::block {

std::string human_size(u64 bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double v = static_cast<double>(bytes);
  size_t unit = 0;
  for (; v >= 1000 && unit + 1 < std::size(kUnits); unit++) v /= 1024;
  char text[40];
  std::snprintf(text, sizeof text, "%.3g %s", v, kUnits[unit]);
  return text;
}

std::string snapshot_table(const std::vector<SnapshotInfo>& snapshots) {
  char line[400];
  std::snprintf(line, sizeof line, "%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
                "ICOUNT");
  std::string out = line;
  for (const SnapshotInfo& s : snapshots) {
    char date[40] = "", clock[40];
    const auto when = static_cast<time_t>(s.date_seconds);
    std::tm tm{};
    if (localtime_r(&when, &tm) != nullptr) std::strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
    const u64 ms = s.vm_clock_nanoseconds / 1000000, seconds = ms / 1000;
    std::snprintf(clock, sizeof clock, "%02llu:%02d:%02d.%03d", static_cast<unsigned long long>(seconds / 3600),
                  static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60), static_cast<int>(ms % 1000));
    std::snprintf(line, sizeof line, "%-9s %-16s %8s%20s%13s%11s\n", s.id.c_str(), s.name.c_str(),
                  human_size(s.vm_state_size).c_str(), date, clock, s.icount ? std::to_string(*s.icount).c_str() : "");
    out += line;
  }
  return out;
}

}  // namespace doppel::block

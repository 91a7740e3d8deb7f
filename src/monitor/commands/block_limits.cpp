// Limits of bytes and requests a second, changed while the machine runs.
#include "monitor/commands/command.h"

namespace doppel::monitor {
namespace {

struct Throttle {
  static constexpr const char* kType = "BlockIOThrottle";
  std::optional<std::string> id, device, group;
  block::Limits l;
  std::optional<u64> bursts[6], lengths[6], size;
  template <class V>
  void visit(V& v) {
    v("id", id, "path of the drive's device among the objects, or its id");
    v("device", device, "name of the drive, of older clients");
    v("bps", l.bytes.total, "bytes a second; 0: not limited");
    v("bps_rd", l.bytes.read);
    v("bps_wr", l.bytes.write);
    v("iops", l.requests.total, "requests a second; 0: not limited");
    v("iops_rd", l.requests.read);
    v("iops_wr", l.requests.write);
    v("bps_max", bursts[0], "what may come at once; left out: a tenth of a second's");
    v("bps_rd_max", bursts[1]);
    v("bps_wr_max", bursts[2]);
    v("iops_max", bursts[3]);
    v("iops_rd_max", bursts[4]);
    v("iops_wr_max", bursts[5]);
    v("bps_max_length", lengths[0], "only 1 second");
    v("bps_rd_max_length", lengths[1]);
    v("bps_wr_max_length", lengths[2]);
    v("iops_max_length", lengths[3]);
    v("iops_rd_max_length", lengths[4]);
    v("iops_wr_max_length", lengths[5]);
    v("iops_size", size, "a longer request counts as several");
    v("group", group, "not built: each drive has limits of its own");
  }
};

Answer<Empty> set_throttle(Context& c, Throttle& args) {
  const std::string name = args.id ? *args.id : args.device.value_or("");
  if (name.empty()) return CommandError{"Parameter 'id' is missing"};
  for (const auto& length : args.lengths) {
    if (length && *length > 1)
      return CommandError{"Bursts of more than a second are not built (leave out *_max_length)"};
  }
  if (args.group && *args.group != name)
    return CommandError{"Limits that several drives share are not built (leave out 'group')"};
  block::Limits l = args.l;
  u64* const bursts[] = {&l.bytes_burst.total,    &l.bytes_burst.read,    &l.bytes_burst.write,
                         &l.requests_burst.total, &l.requests_burst.read, &l.requests_burst.write};
  const u64 rates[] = {l.bytes.total, l.bytes.read, l.bytes.write, l.requests.total, l.requests.read, l.requests.write};
  for (size_t i = 0; i < std::size(bursts); i++) {
    *bursts[i] = args.bursts[i].value_or(0);
    if (*bursts[i] != 0 && *bursts[i] < rates[i]) return CommandError{"bps_max/iops_max must be at least the rate"};
    if (*bursts[i] != 0 && rates[i] == 0) return CommandError{"bps_max/iops_max require corresponding bps/iops values"};
  }
  l.request_bytes = args.size.value_or(0);
  for (const auto& rate : {l.bytes, l.requests}) {
    if (rate.total != 0 && (rate.read != 0 || rate.write != 0))
      return CommandError{"bps/iops/max total values and read/write values cannot be used at the same time"};
  }
  std::string path = name;
  constexpr std::string_view kBackend = "/virtio-backend";  // as query-block tells it
  if (path.ends_with(kBackend)) path.resize(path.size() - kBackend.size());
  if (Status s = c.machine.set_drive_limits(path, l); !s)
    return CommandError{s.error().text(), ErrorClass::DeviceNotFound};
  return Empty{};
}

constexpr Definition kRows[] = {
    command<&set_throttle>("block_set_io_throttle", "limit a disk's bytes and requests a second"),
};

}  // namespace

std::span<const Definition> block_limit_commands() { return kRows; }

}  // namespace doppel::monitor

#include "app/drive_tuning.h"

#include <optional>
#include <utility>

#include "app/options.h"

namespace doppel::app {
namespace {

using block::ErrorRule;

Error bad_value(const std::string& key, const std::string& value, const std::string& values) {
  return {"-drive " + key + "=" + value + " is not known", "it is one of: " + values, 1};
}

Status take_cache(block::Tuning& t, const std::string& value) {
  const bool known = value == "writeback" || value == "none" || value == "off" || value == "writethrough" ||
                     value == "directsync" || value == "unsafe";
  if (!known) return bad_value("cache", value, "none, writeback, unsafe, directsync, writethrough");
  t.direct = value == "none" || value == "off" || value == "directsync";
  t.write_through = value == "writethrough" || value == "directsync";
  t.unsafe = value == "unsafe";
  return success();
}

Status take_error_rule(ErrorRule& rule, const std::string& key, const std::string& value) {
  auto given = block::parse_error_rule(value, key == "werror");
  if (!given) return Error{"-drive " + given.error().cause, given.error().fix, 1};
  rule = *given;
  return success();
}

// throttling.bps-total and its old name bps, throttling.iops-read-max and iops_rd_max, and so on.
u64* limit_of(block::Limits& l, std::string key) {
  if (key == "throttling.iops-size" || key == "iops_size") return &l.request_bytes;
  const bool modern = key.starts_with("throttling.");
  if (modern) key.erase(0, 11);
  const std::string max = modern ? "-max" : "_max";
  const bool burst = key.ends_with(max);
  if (burst) key.resize(key.size() - max.size());
  const bool bytes = key.starts_with("bps");
  if (!bytes && !key.starts_with("iops")) return nullptr;
  block::Limits::Rate& rate = bytes ? (burst ? l.bytes_burst : l.bytes) : (burst ? l.requests_burst : l.requests);
  const std::string which = key.substr(bytes ? 3 : 4);
  if (which == (modern ? "-total" : "")) return &rate.total;
  if (which == (modern ? "-read" : "_rd")) return &rate.read;
  if (which == (modern ? "-write" : "_wr")) return &rate.write;
  return nullptr;
}

std::optional<u64>* cache_of(block::CacheSizes& c, const std::string& key) {
  if (key == "cache-size") return &c.total;
  if (key == "l2-cache-size") return &c.l2;
  if (key == "refcount-cache-size") return &c.refcounts;
  if (key == "l2-cache-entry-size") return &c.l2_entry;
  return key == "cache-clean-interval" ? &c.clean_seconds : nullptr;
}

Status take_switch(bool& on, const std::string& key, const std::string& value) {
  auto given = parse_switch("-drive " + key, value);
  if (!given) return given.error();
  on = *given;
  return success();
}

Status take_known(block::Tuning& t, const std::string& key, const std::string& value, bool& known) {
  if (key == "cache") return take_cache(t, value);
  if (key == "cache.direct") return take_switch(t.direct, key, value);
  if (key == "cache.no-flush") return take_switch(t.unsafe, key, value);
  if (key == "cache.writeback") {
    bool back = true;
    Status s = take_switch(back, key, value);
    t.write_through = !back;
    return s;
  }
  if (key == "werror") return take_error_rule(t.write_error, key, value);
  if (key == "rerror") return take_error_rule(t.read_error, key, value);
  if (key == "aio") {
    if (value == "threads" || value == "native" || value == "io_uring") return success();  // always threads here
    return bad_value(key, value, "threads, native, io_uring");
  }
  if (key == "discard") {
    t.discard = value == "unmap" || value == "on";
    return t.discard || value == "ignore" || value == "off" ? success()
                                                            : Status(bad_value(key, value, "ignore, unmap"));
  }
  if (key == "detect-zeroes") {
    t.detect_zeroes = value == "on" || value == "unmap";
    return t.detect_zeroes || value == "off" ? success() : Status(bad_value(key, value, "off, on, unmap"));
  }
  if (std::optional<u64>* size = cache_of(t.caches, key)) {
    auto n = parse_size(value, 1);
    if (!n) return n.error();
    *size = *n;
    return success();
  }
  if (u64* limit = limit_of(t.limits, key)) {
    auto n = parse_size(value, 1);
    if (!n) return n.error();
    *limit = *n;
    return success();
  }
  known = false;
  return success();
}

}  // namespace

Result<bool> take_tuning(block::Tuning& t, const std::string& key, const std::string& value) {
  bool known = true;
  if (Status s = take_known(t, key, value, known); !s) return s.error();
  return known;
}

}  // namespace doppel::app

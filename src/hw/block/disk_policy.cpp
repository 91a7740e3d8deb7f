#include "hw/block/disk_policy.h"

#include <algorithm>
#include <cerrno>

namespace doppel::hw {

using block::ErrorRule;

DiskPolicy::DiskPolicy(const block::Tuning& t) : read_rule_(t.read_error), write_rule_(t.write_error) {
  set_limits(t.limits);
}

void DiskPolicy::set_limits(const block::Limits& l) {
  const std::lock_guard guard(lock_);
  limits_ = l;
  limited_ = l.any();
  request_bytes_ = l.request_bytes;
  bytes_ = {bucket(l.bytes.total, l.bytes_burst.total), bucket(l.bytes.read, l.bytes_burst.read),
            bucket(l.bytes.write, l.bytes_burst.write)};
  requests_ = {bucket(l.requests.total, l.requests_burst.total), bucket(l.requests.read, l.requests_burst.read),
               bucket(l.requests.write, l.requests_burst.write)};
}

block::Limits DiskPolicy::limits() const {
  const std::lock_guard guard(lock_);
  return limits_;
}

DiskPolicy::Bucket DiskPolicy::bucket(u64 rate, u64 burst) {
  const double r = static_cast<double>(rate);
  return {.rate = r, .room = burst != 0 ? static_cast<double>(burst) : r / 10};
}

double DiskPolicy::Bucket::level_at(s64 now) const {
  return std::max(0.0, level - rate * static_cast<double>(now - as_of) / kNsPerSecond);
}

DiskPolicy::Action DiskPolicy::failed(bool is_read, int error) const {
  const ErrorRule rule = is_read ? read_rule_ : write_rule_;
  const bool stop = rule == ErrorRule::Stop || (rule == ErrorRule::StopIfFull && error == ENOSPC);
  const Action action = stop && on_error ? Action::Stop : rule == ErrorRule::Ignore ? Action::Ignore : Action::Report;
  if (on_error) on_error(is_read, error, action);
  return action;
}

s64 DiskPolicy::wait(s64 now, bool is_read) const {
  const std::lock_guard guard(lock_);
  if (!limited_) return 0;
  double longest = 0;
  for (const auto* kind : {&bytes_, &requests_}) {
    for (const size_t i : {size_t{0}, size_t{is_read ? 1u : 2u}}) {
      const Bucket& b = (*kind)[i];
      if (b.rate > 0) longest = std::max(longest, (b.level_at(now) - b.room) / b.rate);
    }
  }
  return static_cast<s64>(longest * kNsPerSecond);
}

void DiskPolicy::take(s64 now, bool is_read, u64 bytes) {
  const std::lock_guard guard(lock_);
  if (!limited_) return;
  const u64 count = request_bytes_ != 0 ? std::max<u64>(1, (bytes + request_bytes_ - 1) / request_bytes_) : 1;
  for (const size_t i : {size_t{0}, size_t{is_read ? 1u : 2u}}) {
    for (auto [b, n] : {std::pair{&bytes_[i], bytes}, std::pair{&requests_[i], count}}) {
      b->level = b->level_at(now) + static_cast<double>(n);
      b->as_of = now;
    }
  }
}

}  // namespace doppel::hw

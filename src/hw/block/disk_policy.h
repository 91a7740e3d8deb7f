// DiskPolicy: what a drive's requests obey in a DiskQueue: limits of bytes and requests a second, and what becomes of
// those that the disk fails: told to the guest, passed over, or kept until the machine goes on.
#pragma once
#include <array>
#include <functional>
#include <mutex>

#include "block/tuning.h"
#include "hw/core/clock.h"

namespace doppel::hw {

class DiskPolicy final {
 public:
  enum class Action : u8 { Report, Ignore, Stop };
  explicit DiskPolicy(const block::Tuning& tuning);
  // Of a request that failed, with the device lock held. A policy that nobody listens to never stops.
  std::function<void(bool is_read, int error, Action action)> on_error;
  Action failed(bool is_read, int error) const;

  // Any thread. Requests that wait already go at the time that they were told.
  void set_limits(const block::Limits& limits);
  block::Limits limits() const;

  // Leaky buckets. wait(): nanoseconds from `now` until a request may go; take() lets it go. One caller at a time.
  s64 wait(s64 now, bool is_read) const;
  void take(s64 now, bool is_read, u64 bytes);

 private:
  struct Bucket {
    double rate = 0, room = 0;  // a second; what may come at once
    double level = 0;
    s64 as_of = 0;
    double level_at(s64 now) const;
  };
  static Bucket bucket(u64 rate, u64 burst);
  block::ErrorRule read_rule_, write_rule_;
  mutable std::mutex lock_;  // a leaf; guards the rest
  block::Limits limits_;
  bool limited_ = false;
  u64 request_bytes_ = 0;
  std::array<Bucket, 3> bytes_, requests_;  // total, reads, writes
};

}  // namespace doppel::hw

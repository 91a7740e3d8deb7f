#include "monitor/commands/events.h"

namespace doppel::monitor {
namespace {
constexpr auto kPeriod = std::chrono::seconds(1);
}

EventHub::~EventHub() {
  {
    const std::lock_guard guard(lock_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

int EventHub::subscribe(Listener listener) {
  const std::lock_guard guard(lock_);
  listeners_[++next_id_] = std::move(listener);
  return next_id_;
}

void EventHub::unsubscribe(int id) {
  const std::lock_guard guard(lock_);
  listeners_.erase(id);
}

Output EventHub::stamped(const std::string& name, Output data) {
  const s64 us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  Output event = {{"timestamp", {{"seconds", us / 1000000}, {"microseconds", us % 1000000}}}, {"event", name}};
  if (!data.empty()) event["data"] = std::move(data);
  return event;
}

// Under the lock: clients see the same order of events.
void EventHub::deliver(const Output& event) {
  for (auto& [id, listener] : listeners_) listener(event);
}

// What has had its second is forgotten when something new comes: no more are kept than things that there were.
EventHub::Throttle& EventHub::throttle(const std::string& key, Time now) {
  if (!throttles_.contains(key))
    std::erase_if(throttles_, [&](const auto& t) { return !t.second.kept && t.second.next <= now; });
  return throttles_[key];
}

void EventHub::emit(const std::string& name, Output data, bool at_most_once_a_second, const std::string& of_what) {
  Output event = stamped(name, std::move(data));
  const std::lock_guard guard(lock_);
  if (!at_most_once_a_second) return deliver(event);
  const Time now = std::chrono::steady_clock::now();
  Throttle& t = throttle(name + " " + of_what, now);
  if (now < t.next) {
    const bool known = t.kept.has_value();  // the thread waits for it already
    t.kept = std::move(event);
    if (!thread_.joinable() && !stopping_) thread_ = std::thread([this] { run(); });
    if (!known) wake_.notify_all();
    return;
  }
  t.next = now + kPeriod;
  deliver(event);
}

void EventHub::run() {
  std::unique_lock guard(lock_);
  while (!stopping_) {
    const Time now = std::chrono::steady_clock::now();
    std::optional<Time> next;
    for (auto& [name, t] : throttles_) {
      if (!t.kept) continue;
      if (t.next <= now) {
        deliver(*t.kept);
        t.kept.reset();
        t.next = now + kPeriod;
      } else {
        next = next ? std::min(*next, t.next) : t.next;
      }
    }
    if (next)
      wake_.wait_until(guard, *next);
    else
      wake_.wait(guard);
  }
}

}  // namespace doppel::monitor

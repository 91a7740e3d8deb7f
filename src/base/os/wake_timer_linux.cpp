#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/os/wake_timer.h"

namespace doppel {
namespace {
void forget(int fd) {
  u64 count;
  if (::read(fd, &count, sizeof count) < 0) return;  // nothing there: EAGAIN
}
}  // namespace

WakeTimer::WakeTimer()
    : timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

WakeTimer::~WakeTimer() {
  if (timer_ >= 0) ::close(timer_);
  if (bell_ >= 0) ::close(bell_);
}

bool WakeTimer::ok() const { return timer_ >= 0 && bell_ >= 0; }

void WakeTimer::ring() {
  const u64 one = 1;
  if (::write(bell_, &one, sizeof one) < 0) return;  // EAGAIN: it rings already
}

void WakeTimer::set(s64 ns) {
  constexpr s64 kSecond = 1'000'000'000;
  itimerspec t{};
  if (ns >= 0) {
    ns = std::max<s64>(ns, 1);  // zero would be never
    t.it_value.tv_sec = ns / kSecond;
    t.it_value.tv_nsec = ns % kSecond;
  }
  ::timerfd_settime(timer_, 0, &t, nullptr);
}

void WakeTimer::wait() const {
  pollfd all[] = {{timer_, POLLIN, 0}, {bell_, POLLIN, 0}};
  ::poll(all, 2, -1);
  for (const pollfd& p : all) {
    if (p.revents != 0) forget(p.fd);
  }
}

}  // namespace doppel

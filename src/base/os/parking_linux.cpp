// futex(2): the kernel compares the word and puts the thread to sleep in one step.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include "base/os/parking.h"

namespace doppel::os {

void Parking::sleep(s64 ns) {
  constexpr s64 kSecond = 1'000'000'000;
  const timespec t{static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
  ::syscall(SYS_futex, &asleep_, FUTEX_WAIT_PRIVATE, 1, ns < 0 ? nullptr : &t, nullptr, 0);
  retract();
}

void Parking::rouse() { ::syscall(SYS_futex, &asleep_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

}  // namespace doppel::os

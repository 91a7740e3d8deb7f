// Parking: no wake is lost, and a time that is over ends a sleep.
#include "base/os/parking.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace doppel::os {
namespace {

// Two threads hand a number to and fro; a lost wake would leave both asleep.
TEST(Parking, NoWakeIsLost) {
  constexpr u32 kRounds = 20'000;
  Parking spots[2];
  std::atomic<u32> number{0};
  const auto player = [&](u32 self) {
    for (u32 mine = self; mine < kRounds; mine += 2) {
      while (number.load() != mine) {
        spots[self].announce();
        if (number.load() == mine) {
          spots[self].retract();
          break;
        }
        spots[self].sleep(-1);
      }
      number.store(mine + 1);
      spots[1 - self].wake();
    }
  };
  std::thread other(player, 1u);
  player(0);
  other.join();
  EXPECT_EQ(number.load(), kRounds);
}

TEST(Parking, AWakeAfterTheAnnouncementEndsTheSleepAtOnce) {
  Parking spot;
  spot.announce();
  spot.wake();
  spot.sleep(-1);  // would not return
}

TEST(Parking, AWakeOfNobodyIsNotKept) {
  using namespace std::chrono;
  Parking spot;
  spot.wake();
  spot.announce();
  const auto begin = steady_clock::now();
  spot.sleep(20'000'000);
  EXPECT_GE(steady_clock::now() - begin, milliseconds(19));
}

}  // namespace
}  // namespace doppel::os

// DiskQueue and DiskPolicy: order, draining, limits, requests that the disk fails.
#include "hw/block/disk_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>

namespace doppel::hw::test {
namespace {

using block::ErrorRule;

struct Failing {
  std::shared_ptr<DiskPolicy> policy;
  std::vector<DiskPolicy::Action> told;
  int error = 0, result = -1, tries = 0;
  explicit Failing(block::Tuning tuning) : policy(std::make_shared<DiskPolicy>(tuning)) {
    policy->on_error = [this](bool, int, DiskPolicy::Action action) { told.push_back(action); };
  }
  void submit(DiskQueue& queue, bool is_read = false) {
    queue.submit(
        [this] {
          tries++;
          return error;
        },
        [this](int e) { result = e; }, {.policy = policy, .is_read = is_read});
  }
};

TEST(DiskQueue, AFullDiskKeepsWritesUntilTheMachineGoesOn) {
  DiskQueue queue({});
  Failing f({});
  f.error = ENOSPC;
  f.submit(queue);
  EXPECT_EQ(f.result, -1);
  ASSERT_EQ(f.told.size(), 1u);
  EXPECT_EQ(f.told[0], DiskPolicy::Action::Stop);
  queue.drain();  // does not wait for it
  queue.resume();
  EXPECT_EQ(f.tries, 2);
  EXPECT_EQ(f.result, -1);
  f.error = 0;
  queue.resume();
  EXPECT_EQ(f.result, 0);
  queue.resume();
  EXPECT_EQ(f.tries, 3);
}

TEST(DiskQueue, OtherErrorsAreToldOrPassedOver) {
  DiskQueue queue({});
  Failing f({});
  f.error = EIO;
  f.submit(queue);
  EXPECT_EQ(f.result, EIO);
  f.error = ENOSPC;
  f.submit(queue, true);  // the default rule for reads is report
  EXPECT_EQ(f.result, ENOSPC);
  Failing g({.read_error = ErrorRule::Stop, .write_error = ErrorRule::Ignore});
  g.error = EIO;
  g.submit(queue);
  EXPECT_EQ(g.result, 0);
  g.result = -1;
  g.submit(queue, true);
  EXPECT_EQ(g.result, -1);
  queue.cancel();  // a reset: it is forgotten
  queue.resume();
  EXPECT_EQ(g.result, -1);
  EXPECT_EQ(g.tries, 2);
  g.policy->on_error = nullptr;  // nobody would let it go on
  g.submit(queue, true);
  EXPECT_EQ(g.result, EIO);
}

TEST(DiskQueue, ThreadsKeepAndResumeToo) {
  std::mutex lock;
  DiskQueue queue({.device_lock = &lock});
  Failing f({.write_error = ErrorRule::Stop});
  f.error = EIO;
  const std::lock_guard guard(lock);
  f.submit(queue);
  queue.drain();
  EXPECT_EQ(f.result, -1);
  f.error = 0;
  queue.resume();
  queue.drain();
  EXPECT_EQ(f.result, 0);
}

TEST(DiskQueue, EveryRequestOfManyThreadsIsDelivered) {
  std::mutex lock;
  std::atomic<int> batches = 0;
  int done = 0;
  DiskQueue queue({.device_lock = &lock, .batch_done = [&] { batches++; }});
  for (int round = 0; round < 200; round++) {
    const std::lock_guard guard(lock);
    for (int i = 0; i < 10; i++) queue.submit([] { return 0; }, [&](int) { done++; });
  }
  const std::lock_guard guard(lock);
  queue.drain();
  EXPECT_EQ(done, 2000);
  EXPECT_GE(batches, 1);
}

TEST(DiskPolicy, LimitsRequestsAndBytes) {
  block::Tuning t;
  t.limits.requests.total = 100;
  t.limits.bytes.write = 1 << 20;
  t.limits.request_bytes = 65536;
  DiskPolicy p(t);
  EXPECT_EQ(p.wait(0, true), 0);
  for (int i = 0; i < 10; i++) p.take(0, true, 4096);
  EXPECT_EQ(p.wait(0, true), 0);  // a tenth of a second's may come at once
  p.take(0, true, 4096);
  EXPECT_NEAR(static_cast<double>(p.wait(0, true)), 1e7, 1e4);
  EXPECT_EQ(p.wait(20'000'000, true), 0);
  p.take(20'000'000, false, 1 << 20);  // sixteen requests, a second's bytes
  EXPECT_NEAR(static_cast<double>(p.wait(20'000'000, false)), 9e8, 1e6);
  EXPECT_LT(p.wait(20'000'000, true), 200'000'000);
}

TEST(DiskQueue, LimitsHoldRequestsBackButNoDrain) {
  std::mutex lock;
  DiskQueue queue({.device_lock = &lock});
  block::Tuning t;
  t.limits.requests.total = 20;  // two at once, then one each 50 ms
  const auto policy = std::make_shared<DiskPolicy>(t);
  int done = 0;
  const auto begin = std::chrono::steady_clock::now();
  const auto submit = [&](int n) {
    for (int i = 0; i < n; i++) queue.submit([] { return 0; }, [&](int) { done++; }, {.policy = policy, .bytes = 512});
  };
  {
    const std::lock_guard guard(lock);
    submit(6);
  }
  for (;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::lock_guard guard(lock);
    if (done == 6) break;
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(120));
  const std::lock_guard guard(lock);
  submit(2000);
  queue.drain();
  EXPECT_EQ(done, 2006);
}

}  // namespace
}  // namespace doppel::hw::test

#include "interceptor/handoff/handoff.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

// The exit status ThreadSanitizer gives a program it found a race in.
constexpr int kRaceFound = 66;

struct Object {
  int value = 0;
};

// Passes an object from one thread to another in a way that is as invisible to
// the sanitizer as gRPC's: the relaxed flag orders nothing for it. Returns what
// the other thread read.
int PassToOtherThread(bool release, bool acquire) {
  Object object;
  std::atomic<bool> passed{false};
  int read = 0;
  std::thread other([&] {
    while (!passed.load(std::memory_order_relaxed)) {
    }
    if (acquire) AcquireFromGrpc(&object);
    read = object.value;
  });
  object.value = 1;
  if (release) ReleaseToGrpc(&object);
  passed.store(true, std::memory_order_relaxed);
  other.join();
  return read;
}

TEST(HandoffTest, OrdersWhatGrpcOrders) {
  EXPECT_EQ(PassToOtherThread(/*release=*/true, /*acquire=*/true), 1);
}

TEST(HandoffTest, IsNeededOnBothSides) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(std::exit(PassToOtherThread(/*release=*/true, /*acquire=*/false)),
              testing::ExitedWithCode(kRaceFound), "data race");
  EXPECT_EXIT(std::exit(PassToOtherThread(/*release=*/false, /*acquire=*/true)),
              testing::ExitedWithCode(kRaceFound), "data race");
}

}  // namespace
}  // namespace fusebox

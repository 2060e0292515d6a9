// Checks that ThreadSanitizer, as --config=tsan sets it up, sees races in
// programs that link no gRPC.

#include <cstdlib>
#include <thread>

#include "bazel/tsan_test.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

constexpr int kAdditions = 10000;

TEST(TsanEngineTest, ReportsARace) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Shared shared;
        std::thread other([&shared] {
          for (int i = 0; i < kAdditions; ++i) shared.AddWithoutLock();
        });
        for (int i = 0; i < kAdditions; ++i) shared.AddWithoutLock();
        other.join();
        std::exit(0);
      },
      testing::ExitedWithCode(kRaceFound), "data race");
}

TEST(TsanEngineTest, KeepsQuietAboutLockedAccess) {
  Shared shared;
  std::thread other([&shared] {
    for (int i = 0; i < kAdditions; ++i) shared.AddWithLock();
  });
  for (int i = 0; i < kAdditions; ++i) shared.AddWithLock();
  other.join();
  EXPECT_EQ(shared.value, 2 * kAdditions);
}

}  // namespace
}  // namespace fusebox

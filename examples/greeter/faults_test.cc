#include "examples/greeter/faults.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <map>

#include "gtest/gtest.h"

namespace greeter {
namespace {

using std::chrono::milliseconds;

int HitsOf(Faults& faults, int calls) {
  int hits = 0;
  for (int i = 0; i < calls; ++i) {
    if (!faults.Run("SayHello").status.ok()) ++hits;
  }
  return hits;
}

TEST(FaultsTest, NoCallIsHitAtFirst) {
  Faults faults({"SayHello"});
  EXPECT_EQ(HitsOf(faults, 100), 0);
}

TEST(FaultsTest, TheFractionOfCallsIsHit) {
  for (const double fraction : {0.0, 0.01, 0.1, 0.25, 0.3, 0.5, 0.99, 1.0}) {
    Faults faults({"SayHello"});
    ASSERT_TRUE(
        faults.Set("SayHello", {grpc::StatusCode::UNAVAILABLE, fraction}).ok());
    EXPECT_EQ(HitsOf(faults, 100), std::lround(fraction * 100)) << fraction;
  }
}

TEST(FaultsTest, AHitCallGetsCodeAndDelay) {
  Faults faults({"SayHello"});
  ASSERT_TRUE(
      faults
          .Set("SayHello", {grpc::StatusCode::INTERNAL, 1.0, milliseconds(20)})
          .ok());
  const Verdict verdict = faults.Run("SayHello");
  EXPECT_EQ(verdict.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(verdict.delay, milliseconds(20));
}

TEST(FaultsTest, CodeOkOnlyDelays) {
  Faults faults({"SayHello"});
  ASSERT_TRUE(
      faults.Set("SayHello", {grpc::StatusCode::OK, 1.0, milliseconds(20)})
          .ok());
  const Verdict verdict = faults.Run("SayHello");
  EXPECT_TRUE(verdict.status.ok());
  EXPECT_EQ(verdict.delay, milliseconds(20));
}

TEST(FaultsTest, AFaultConcernsItsMethodOnlyAndIsReplaced) {
  Faults faults({"SayHello", "Chat"});
  ASSERT_TRUE(faults.Set("Chat", {grpc::StatusCode::INTERNAL, 1.0}).ok());
  EXPECT_TRUE(faults.Run("SayHello").status.ok());
  EXPECT_FALSE(faults.Run("Chat").status.ok());
  ASSERT_TRUE(faults.Set("Chat", {}).ok());
  EXPECT_TRUE(faults.Run("Chat").status.ok());
}

TEST(FaultsTest, EveryRunIsCountedHitOrNot) {
  Faults faults({"SayHello", "Chat"});
  ASSERT_TRUE(faults.Set("Chat", {grpc::StatusCode::INTERNAL, 0.5}).ok());
  for (int i = 0; i < 4; ++i) faults.Run("Chat");
  EXPECT_EQ(faults.HandlerRuns(), (std::map<std::string, std::int64_t>{
                                      {"SayHello", 0}, {"Chat", 4}}));
}

TEST(FaultsTest, BadValuesAreRefused) {
  Faults faults({"SayHello"});
  const Fault bad[] = {
      {static_cast<grpc::StatusCode>(17), 1.0},
      {static_cast<grpc::StatusCode>(-1), 1.0},
      {grpc::StatusCode::INTERNAL, 1.1},
      {grpc::StatusCode::INTERNAL, -0.1},
      {grpc::StatusCode::INTERNAL, std::numeric_limits<double>::quiet_NaN()},
      {grpc::StatusCode::INTERNAL, 1.0, milliseconds(-1)},
      {grpc::StatusCode::INTERNAL, 1.0, std::chrono::hours(1)},
  };
  for (const Fault& fault : bad) {
    EXPECT_EQ(faults.Set("SayHello", fault).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  EXPECT_EQ(faults.Set("SayGoodbye", {}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(HitsOf(faults, 10), 0);
}

}  // namespace
}  // namespace greeter

// The arithmetic of the policy where a breaker under test does not lead it:
// times before zero, thresholds next to one another.

#include "interceptor/breaker/policy.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace fusebox {
namespace {

using namespace std::chrono_literals;

Policy WithBuckets(Duration width) {
  Settings settings;
  settings.bucket_width = width;
  return Policy(settings);
}

// A method that is judged by one threshold alone.
Policy WithFailureThreshold(double threshold) {
  Settings settings;
  settings.timeout_threshold = settings.system_error_threshold =
      settings.unknown_error_threshold = std::nullopt;
  settings.failure_threshold = threshold;
  return Policy(settings);
}

OutcomeCounts Counts(std::uint64_t ok, std::uint64_t system_errors) {
  OutcomeCounts counts;
  counts.by_outcome = {ok, 0, 0, system_errors, 0};
  return counts;
}

TEST(PolicyTest, BucketsAreCountedDownwardsBeforeZero) {
  const Policy policy = WithBuckets(10ms);
  const std::int64_t width = policy.bucket_width_ns;
  for (std::int64_t bucket : {-1000, -2, -1, 0, 1, 2, 1000}) {
    const std::int64_t first = bucket * width;
    EXPECT_EQ(policy.Bucket(first - 1), bucket - 1);
    EXPECT_EQ(policy.Bucket(first), bucket);
    EXPECT_EQ(policy.Bucket(first + width - 1), bucket);
    EXPECT_EQ(policy.BucketEnd(bucket), first + width);
  }
}

TEST(PolicyTest, ThresholdsAreWholePartsPerMillion) {
  EXPECT_EQ(WithFailureThreshold(0.000001).failure_ppm, 1u);
  EXPECT_EQ(WithFailureThreshold(0.3).failure_ppm, 300'000u);
  EXPECT_EQ(WithFailureThreshold(0.999999).failure_ppm, 999'999u);
  EXPECT_EQ(WithFailureThreshold(1.0).failure_ppm, 1'000'000u);
  EXPECT_EQ(WithFailureThreshold(1.0).timeout_ppm, 0u) << "off";
}

TEST(PolicyTest, OneSuccessInAMillionKeepsThresholdOneFromBeingReached) {
  const Policy policy = WithFailureThreshold(1.0);
  EXPECT_EQ(policy.Unhealthy(Counts(1, 999'999), 0), std::nullopt);
  EXPECT_EQ(policy.Unhealthy(Counts(0, 1'000'000), 0),
            TransitionReason::kFailureThreshold);
}

TEST(PolicyTest, NothingIsJudgedAtTheMinimumAndOneMoreIs) {
  const Policy policy = WithFailureThreshold(0.5);
  EXPECT_EQ(policy.Unhealthy(Counts(0, 10), 10), std::nullopt);
  EXPECT_EQ(policy.Unhealthy(Counts(0, 11), 10),
            TransitionReason::kFailureThreshold);
  EXPECT_EQ(policy.Unhealthy(Counts(0, 0), 0), std::nullopt);
}

TEST(PolicyTest, WithoutSlowCallDurationNoCallIsSlow) {
  Settings settings;
  settings.slow_call_threshold = 0.000001;
  OutcomeCounts slow = Counts(100, 0);
  slow.slow = 100;
  EXPECT_EQ(Policy(settings).Unhealthy(slow, 0), std::nullopt);

  settings.slow_call_duration = 1ns;
  EXPECT_EQ(Policy(settings).Unhealthy(slow, 0),
            TransitionReason::kSlowCallThreshold);
}

}  // namespace
}  // namespace fusebox

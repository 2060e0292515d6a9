#include "interceptor/stats/latency_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/stats/latency_buckets.h"

namespace fusebox {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr double kError = 1.0 / 128;
static_assert(kError <= 0.01);

// ---- the buckets

TEST(LatencyBucketsTest, EachBeginsWhereTheOneBeforeEnds) {
  EXPECT_EQ(LatencyBuckets::Low(0), nanoseconds(0));
  for (int i = 0; i < LatencyBuckets::kCount; ++i) {
    const Duration low = LatencyBuckets::Low(i);
    const Duration high = LatencyBuckets::High(i);
    ASSERT_LE(low, high) << i;
    ASSERT_EQ(LatencyBuckets::IndexOf(low), i);
    ASSERT_EQ(LatencyBuckets::IndexOf(high), i);
    if (i + 1 == LatencyBuckets::kCount) {
      EXPECT_EQ(high, Duration::max());
    } else {
      ASSERT_EQ(LatencyBuckets::Low(i + 1), high + nanoseconds(1)) << i;
    }
  }
}

TEST(LatencyBucketsTest, TheMiddleIsNearEverythingInTheBucket) {
  for (int i = 0; i < LatencyBuckets::kCount; ++i) {
    const auto low = static_cast<double>(LatencyBuckets::Low(i).count());
    const auto high = static_cast<double>(LatencyBuckets::High(i).count());
    const auto middle = static_cast<double>(LatencyBuckets::Middle(i).count());
    ASSERT_LE(middle - low, kError * low) << i;
    ASSERT_LE(high - middle, kError * high) << i;
  }
}

TEST(LatencyBucketsTest, LessThanZeroCountsAsZero) {
  EXPECT_EQ(LatencyBuckets::IndexOf(nanoseconds(-1)), 0);
  EXPECT_EQ(LatencyBuckets::IndexOf(Duration::min()), 0);
}

// ---- the snapshot

LatencySnapshot Of(const std::vector<Duration>& latencies) {
  LatencySnapshot snapshot;
  for (Duration latency : latencies) snapshot.Add(latency);
  return snapshot;
}

struct Bucket {
  Duration low, high;
  std::uint64_t count;
};
bool operator==(const Bucket& a, const Bucket& b) {
  return a.low == b.low && a.high == b.high && a.count == b.count;
}
void PrintTo(const Bucket& bucket, std::ostream* out) {
  *out << bucket.low.count() << ".." << bucket.high.count()
       << " ns: " << bucket.count;
}

std::vector<Bucket> BucketsOf(const LatencySnapshot& snapshot) {
  std::vector<Bucket> buckets;
  snapshot.ForEachBucket(
      [&buckets](Duration low, Duration high, std::uint64_t count) {
        buckets.push_back({low, high, count});
      });
  return buckets;
}

void ExpectSame(const LatencySnapshot& a, const LatencySnapshot& b) {
  EXPECT_EQ(a.count(), b.count());
  EXPECT_EQ(a.sum(), b.sum());
  EXPECT_EQ(a.min(), b.min());
  EXPECT_EQ(a.max(), b.max());
  EXPECT_EQ(BucketsOf(a), BucketsOf(b));
}

TEST(LatencySnapshotTest, AllIsZeroWhileNothingIsCounted) {
  LatencySnapshot empty;
  empty.Add(seconds(1), 0);
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.sum(), Duration::zero());
  EXPECT_EQ(empty.min(), Duration::zero());
  EXPECT_EQ(empty.max(), Duration::zero());
  EXPECT_EQ(empty.mean(), Duration::zero());
  EXPECT_EQ(empty.standard_deviation(), Duration::zero());
  EXPECT_EQ(empty.Quantile(0.5), Duration::zero());
  EXPECT_EQ(empty.CountUpTo(Duration::max()), 0u);
  EXPECT_TRUE(BucketsOf(empty).empty());
}

TEST(LatencySnapshotTest, CountSumAndExtremesAreExact) {
  const LatencySnapshot snapshot = Of({nanoseconds(1'000'001), nanoseconds(-5),
                                       nanoseconds(123'456'789), hours(30)});
  EXPECT_EQ(snapshot.count(), 4u);
  EXPECT_EQ(snapshot.sum(), nanoseconds(124'456'790) + hours(30));
  EXPECT_EQ(snapshot.min(), nanoseconds(0));
  EXPECT_EQ(snapshot.max(), hours(30));
  EXPECT_EQ(snapshot.mean(), snapshot.sum() / 4);
}

TEST(LatencySnapshotTest, TheSumStaysAtTheEndOfTime) {
  LatencySnapshot snapshot;
  snapshot.Add(hours(1), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(snapshot.sum(), Duration::max());
  snapshot.Add(Duration::max());
  EXPECT_EQ(snapshot.sum(), Duration::max());
  EXPECT_EQ(snapshot.max(), Duration::max());
}

TEST(LatencySnapshotTest, ABucketIsNamedByItsEnds) {
  EXPECT_THAT(BucketsOf(Of({nanoseconds(63), nanoseconds(130), nanoseconds(131),
                            nanoseconds(63), nanoseconds(6500)})),
              ElementsAre(Bucket{nanoseconds(63), nanoseconds(63), 2},
                          Bucket{nanoseconds(130), nanoseconds(131), 2},
                          Bucket{nanoseconds(6464), nanoseconds(6527), 1}));
}

// Where a nanosecond is a bucket, quantiles are what the definition says.
TEST(LatencySnapshotTest, AQuantileLiesBetweenItsNeighbours) {
  LatencySnapshot few;
  for (int i = 1; i <= 4; ++i) few.Add(nanoseconds(10 * i));
  EXPECT_EQ(few.Quantile(0.75), nanoseconds(38));  // 30 + 0.75 * 10, rounded
  EXPECT_EQ(few.Quantile(0.5), nanoseconds(25));
  EXPECT_EQ(few.Quantile(0.2), nanoseconds(10));
  EXPECT_EQ(few.Quantile(0.8), nanoseconds(40));

  LatencySnapshot hundred;
  for (int i = 1; i <= 99; ++i) hundred.Add(nanoseconds(i));
  EXPECT_EQ(hundred.Quantile(0.5), nanoseconds(50));
  EXPECT_EQ(hundred.Quantile(0.99), nanoseconds(99));
}

TEST(LatencySnapshotTest, BeyondTheLastQuantilesAreTheExtremes) {
  const LatencySnapshot snapshot =
      Of({microseconds(1001), milliseconds(77), seconds(11)});
  for (double q : {-1.0, 0.0, 0.2, std::nan("")}) {
    EXPECT_EQ(snapshot.Quantile(q), microseconds(1001)) << q;
  }
  for (double q : {0.76, 0.99, 1.0, 2.0}) {
    EXPECT_EQ(snapshot.Quantile(q), seconds(11)) << q;
  }
}

TEST(LatencySnapshotTest, OneLatencyIsEveryQuantile) {
  const LatencySnapshot snapshot = Of({nanoseconds(123'456'789)});
  for (double q : {0.0, 0.5, 0.999, 1.0}) {
    EXPECT_EQ(snapshot.Quantile(q), nanoseconds(123'456'789));
  }
  EXPECT_EQ(snapshot.standard_deviation(), Duration::zero());
}

TEST(LatencySnapshotTest, CountsUpToALimit) {
  const LatencySnapshot snapshot =
      Of({milliseconds(1), milliseconds(10), milliseconds(10), seconds(1)});
  EXPECT_EQ(snapshot.CountUpTo(nanoseconds(-1)), 0u);
  EXPECT_EQ(snapshot.CountUpTo(microseconds(990)), 0u);
  EXPECT_EQ(snapshot.CountUpTo(microseconds(1010)), 1u);
  EXPECT_EQ(snapshot.CountUpTo(microseconds(9900)), 1u);
  EXPECT_EQ(snapshot.CountUpTo(microseconds(10100)), 3u);
  EXPECT_EQ(snapshot.CountUpTo(milliseconds(990)), 3u);
  EXPECT_EQ(snapshot.CountUpTo(seconds(1)), 4u) << "the maximum is exact";
  EXPECT_EQ(snapshot.CountUpTo(Duration::max()), 4u);
}

TEST(LatencySnapshotTest, MergingIsAddingTogether) {
  const std::vector<Duration> some = {milliseconds(5), milliseconds(50)};
  const std::vector<Duration> others = {nanoseconds(7), seconds(5),
                                        milliseconds(5)};
  std::vector<Duration> all = some;
  all.insert(all.end(), others.begin(), others.end());

  LatencySnapshot merged = Of(some);
  merged.Merge(Of(others));
  ExpectSame(merged, Of(all));
  LatencySnapshot reversed = Of(others);
  reversed.Merge(Of(some));
  ExpectSame(reversed, Of(all));
}

TEST(LatencySnapshotTest, MergingWithNothingChangesNothing) {
  LatencySnapshot one = Of({milliseconds(5)});
  one.Merge(LatencySnapshot());
  ExpectSame(one, Of({milliseconds(5)}));
  LatencySnapshot none;
  none.Merge(Of({milliseconds(5)}));
  ExpectSame(none, Of({milliseconds(5)}));
}

TEST(LatencySnapshotTest, SinceNothingIsEverything) {
  const LatencySnapshot snapshot = Of({milliseconds(5), seconds(3)});
  ExpectSame(snapshot.Since(LatencySnapshot()), snapshot);
  ExpectSame(LatencySnapshot().Since(LatencySnapshot()), LatencySnapshot());
}

TEST(LatencySnapshotTest, SinceItselfIsNothing) {
  const LatencySnapshot snapshot = Of({milliseconds(5), seconds(3)});
  ExpectSame(snapshot.Since(snapshot), LatencySnapshot());
}

TEST(LatencySnapshotTest, NewExtremesSinceAreExact) {
  LatencySnapshot later = Of({milliseconds(5), milliseconds(7)});
  const LatencySnapshot earlier = later;
  const std::vector<Duration> added = {nanoseconds(1'234'567), seconds(9)};
  for (Duration latency : added) later.Add(latency);
  ExpectSame(later.Since(earlier), Of(added));
}

TEST(LatencySnapshotTest, OldExtremesSinceAreNear) {
  LatencySnapshot later = Of({nanoseconds(1), hours(1)});
  const LatencySnapshot earlier = later;
  for (int ms : {500, 20, 30}) later.Add(milliseconds(ms));
  const LatencySnapshot since = later.Since(earlier);
  EXPECT_EQ(since.count(), 3u);
  EXPECT_EQ(since.sum(), milliseconds(550));
  EXPECT_NEAR(since.min() / nanoseconds(1), 20e6, 20e6 * kError);
  EXPECT_NEAR(since.max() / nanoseconds(1), 500e6, 500e6 * kError);
}

// ---- against the latencies themselves

double ExactQuantile(const std::vector<Duration>& sorted, double q) {
  const auto n = static_cast<double>(sorted.size());
  const double position = std::clamp(q * (n + 1), 1.0, n);
  const auto rank = static_cast<std::size_t>(position);
  const auto low = static_cast<double>(sorted[rank - 1].count());
  if (rank == sorted.size()) return low;
  const auto high = static_cast<double>(sorted[rank].count());
  return low + (position - static_cast<double>(rank)) * (high - low);
}

double ExactDeviation(const std::vector<Duration>& latencies) {
  double sum = 0, squares = 0;
  for (Duration d : latencies) sum += static_cast<double>(d.count());
  const auto n = static_cast<double>(latencies.size());
  for (Duration d : latencies) {
    squares += std::pow(static_cast<double>(d.count()) - sum / n, 2);
  }
  return std::sqrt(squares / n);
}

TEST(LatencySnapshotTest, QuantilesOfManyDistributionsAreNear) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto draw = [&random](auto distribution) {
    return [&random, distribution]() mutable {
      return static_cast<double>(distribution(random));
    };
  };
  std::bernoulli_distribution rarely(0.02);
  std::exponential_distribution<double> quick(1 / 200e3), slow(1 / 5e9);
  std::uniform_real_distribution<double> share(0, 1);
  // In nanoseconds.
  const std::pair<const char*, std::function<double()>> distributions[] = {
      {"uniform", draw(std::uniform_real_distribution<>(0, 50e6))},
      {"exponential", draw(std::exponential_distribution<>(1 / 3e6))},
      {"log-normal", draw(std::lognormal_distribution<>(14, 2))},
      {"narrow", draw(std::normal_distribution<>(8e6, 1e3))},
      {"two peaks",
       [&] { return rarely(random) ? slow(random) : quick(random); }},
      {"heavy tail", [&] { return 1e3 / (1 - share(random)); }},
      {"tiny", draw(std::uniform_real_distribution<>(0, 300))},
      {"constant", [] { return 123'456'789.0; }},
  };
  double worst = 0;
  for (const auto& [name, next] : distributions) {
    for (int count : {2, 10, 999, 20'000}) {
      LatencySnapshot snapshot;
      std::vector<Duration> latencies;
      double squares = 0;
      for (int i = 0; i < count; ++i) {
        const Duration latency(std::max<std::int64_t>(0, std::llround(next())));
        latencies.push_back(latency);
        snapshot.Add(latency);
        squares += std::pow(static_cast<double>(latency.count()), 2);
      }
      std::sort(latencies.begin(), latencies.end());
      for (double q : {0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98,
                       0.99, 0.999, 0.9999, 1.0}) {
        const double exact = ExactQuantile(latencies, q);
        const double error =
            std::abs(static_cast<double>(snapshot.Quantile(q).count()) - exact);
        // Half a nanosecond is lost in rounding.
        ASSERT_LE(error, kError * exact + 0.5)
            << name << ", " << count << " latencies, quantile " << q << ": "
            << exact;
        if (exact >= 1000) worst = std::max(worst, error / exact);
        // As many as the definition says, but for those near the limit.
        const auto up_to = [&latencies](double limit) {
          return static_cast<std::uint64_t>(
              std::upper_bound(latencies.begin(), latencies.end(), limit,
                               [](double l, Duration d) {
                                 return l < static_cast<double>(d.count());
                               }) -
              latencies.begin());
        };
        const Duration limit(static_cast<std::int64_t>(exact));
        const std::uint64_t counted = snapshot.CountUpTo(limit);
        const auto at = static_cast<double>(limit.count());
        ASSERT_GE(counted, up_to(at * (1 - kError) - 1)) << name << " " << at;
        ASSERT_LE(counted, up_to(at * (1 + kError) + 1)) << name << " " << at;
      }
      EXPECT_NEAR(static_cast<double>(snapshot.standard_deviation().count()),
                  ExactDeviation(latencies),
                  kError * std::sqrt(squares / count) + 0.5)
          << name << ", " << count << " latencies";
    }
  }
  std::cout << "largest relative error of a quantile from 1 us on: "
            << 100 * worst << " %\n";
}

}  // namespace
}  // namespace fusebox

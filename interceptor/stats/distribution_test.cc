#include "interceptor/stats/distribution.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

DistributionSummary OneTo(int n) {
  Distribution distribution;
  for (int i = 1; i <= n; ++i) distribution.Add(i);
  return distribution.Summary();
}

TEST(PercentileTest, StandsBetweenTwoValues) {
  EXPECT_DOUBLE_EQ(Percentile({1, 2, 3, 4}, 0.75), 3.75);
  EXPECT_DOUBLE_EQ(Percentile({1, 2, 3, 4}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Percentile({1, 2, 3, 4}, 0.25), 1.25);
  EXPECT_DOUBLE_EQ(Percentile({10, 20, 40}, 0.5), 20);
}

TEST(PercentileTest, EndsAtTheEnds) {
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 0), 1);
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 0.2), 1);  // position 1
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 0.8), 4);  // position 4
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 1), 4);
  EXPECT_EQ(Percentile({7}, 0.999), 7);
}

TEST(DistributionTest, WithoutValuesAllIsZero) {
  const DistributionSummary summary = Distribution().Summary();
  EXPECT_EQ(summary.count, 0u);
  EXPECT_EQ(summary.max, 0);
  EXPECT_EQ(summary.p999, 0);
}

TEST(DistributionTest, OneValueIsEveryPercentile) {
  Distribution distribution;
  distribution.Add(-3);
  const DistributionSummary summary = distribution.Summary();
  EXPECT_EQ(summary.count, 1u);
  EXPECT_EQ(summary.min, -3);
  EXPECT_EQ(summary.max, -3);
  EXPECT_EQ(summary.mean, -3);
  EXPECT_EQ(summary.stddev, 0);
  EXPECT_EQ(summary.median, -3);
  EXPECT_EQ(summary.p999, -3);
}

TEST(DistributionTest, OneToAHundred) {
  const DistributionSummary summary = OneTo(100);
  EXPECT_EQ(summary.count, 100u);
  EXPECT_EQ(summary.min, 1);
  EXPECT_EQ(summary.max, 100);
  EXPECT_DOUBLE_EQ(summary.mean, 50.5);
  EXPECT_NEAR(summary.stddev, 29.011491975882016, 1e-12);
  EXPECT_DOUBLE_EQ(summary.median, 50.5);
  EXPECT_DOUBLE_EQ(summary.p75, 75.75);
  EXPECT_DOUBLE_EQ(summary.p95, 95.95);
  EXPECT_DOUBLE_EQ(summary.p98, 98.98);
  EXPECT_DOUBLE_EQ(summary.p99, 99.99);
  EXPECT_EQ(summary.p999, 100);
}

TEST(DistributionTest, PercentilesAreOfTheLatestValues) {
  Distribution distribution;
  for (int i = 0; i < 5000; ++i) distribution.Add(1000);
  for (int i = 1; i <= 1023; ++i) distribution.Add(1);
  EXPECT_GT(distribution.Summary().p999, 900);  // one of 1000 is left
  distribution.Add(1);
  const DistributionSummary summary = distribution.Summary();
  EXPECT_EQ(summary.p999, 1);
  EXPECT_EQ(summary.max, 1000);
  EXPECT_EQ(summary.count, 6024u);
}

TEST(DistributionTest, WhatIsNoNumberIsLeftOut) {
  Distribution distribution;
  distribution.Add(std::numeric_limits<double>::quiet_NaN());
  distribution.Add(std::numeric_limits<double>::infinity());
  distribution.Add(-std::numeric_limits<double>::infinity());
  EXPECT_EQ(distribution.Summary().count, 0u);
  distribution.Add(1);
  EXPECT_EQ(distribution.Summary().mean, 1);
}

TEST(DistributionTest, FarFromZeroTheDeviationIsStillRight) {
  Distribution distribution;
  for (const int value : {4, 7, 13, 16}) distribution.Add(1e9 + value);
  EXPECT_DOUBLE_EQ(distribution.Summary().mean, 1e9 + 10);
  EXPECT_NEAR(distribution.Summary().stddev, std::sqrt(30), 1e-9);
}

// The same by its definition, from all values.
TEST(DistributionTest, AgreesWithItsTwin) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::lognormal_distribution<double> draw(0, 1.0 + round % 3);
    std::vector<double> values;
    Distribution distribution;
    const std::size_t n = 1 + random() % 3000;
    for (std::size_t i = 0; i < n; ++i) {
      values.push_back(round % 5 == 0 ? static_cast<double>(random() % 10)
                                      : draw(random));
      distribution.Add(values.back());
    }
    const DistributionSummary summary = distribution.Summary();
    ASSERT_EQ(summary.count, n);
    ASSERT_EQ(summary.min, *std::min_element(values.begin(), values.end()));
    ASSERT_EQ(summary.max, *std::max_element(values.begin(), values.end()));
    double sum = 0;
    for (const double value : values) sum += value;
    const double mean = sum / static_cast<double>(n);
    ASSERT_NEAR(summary.mean, mean, 1e-9 * mean);
    if (n > 1) {
      double squares = 0;
      for (const double value : values) squares += std::pow(value - mean, 2);
      const double stddev = std::sqrt(squares / static_cast<double>(n - 1));
      ASSERT_NEAR(summary.stddev, stddev, 1e-9 * stddev);
    }

    if (n > 1024) values.erase(values.begin(), values.end() - 1024);
    const auto size = static_cast<double>(values.size());
    const auto percentile = [&](double p) {
      // The k-th least, k no further out than the ends.
      const auto nth = [&](double k) {
        std::vector<double> sorted = values;
        std::sort(sorted.begin(), sorted.end());
        k = std::min(std::max(k, 1.0), size);
        return sorted.at(static_cast<std::size_t>(k) - 1);
      };
      const double position = p * (size + 1);
      const double below = std::floor(position);
      return nth(below) + (position - below) * (nth(below + 1) - nth(below));
    };
    ASSERT_DOUBLE_EQ(summary.median, percentile(0.5));
    ASSERT_DOUBLE_EQ(summary.p75, percentile(0.75));
    ASSERT_DOUBLE_EQ(summary.p95, percentile(0.95));
    ASSERT_DOUBLE_EQ(summary.p98, percentile(0.98));
    ASSERT_DOUBLE_EQ(summary.p99, percentile(0.99));
    ASSERT_DOUBLE_EQ(summary.p999, percentile(0.999));
  }
}

}  // namespace
}  // namespace fusebox

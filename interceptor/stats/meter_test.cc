#include "interceptor/stats/meter.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{std::chrono::hours(1000)};

TEST(MeterTest, BeforeTheFirstTickThereIsACountOnly) {
  Meter meter(kStart);
  meter.Mark(kStart);
  meter.Mark(kStart + seconds(1), 2);
  const Meter::Rates rates = meter.Read(kStart + seconds(5) - Duration(1));
  EXPECT_EQ(rates.count, 3u);
  EXPECT_EQ(rates.m1, 0);
  EXPECT_EQ(rates.m5, 0);
  EXPECT_EQ(rates.m15, 0);
}

TEST(MeterTest, TheFirstTickSetsTheRates) {
  Meter meter(kStart);
  meter.Mark(kStart, 15);
  const Meter::Rates rates = meter.Read(kStart + seconds(5));
  EXPECT_EQ(rates.m1, 3);
  EXPECT_EQ(rates.m5, 3);
  EXPECT_EQ(rates.m15, 3);
}

TEST(MeterTest, RatesFollowTheFormula) {
  Meter meter(kStart);
  meter.Mark(kStart, 15);               // 3/s
  meter.Mark(kStart + seconds(5), 50);  // 10/s
  const Meter::Rates rates = meter.Read(kStart + seconds(10));
  EXPECT_EQ(rates.count, 65u);
  // alpha: 0.0799556, 0.0165285, 0.0055402.
  EXPECT_NEAR(rates.m1, 3 + 7 * 0.0799556, 1e-6);
  EXPECT_NEAR(rates.m5, 3 + 7 * 0.0165285, 1e-6);
  EXPECT_NEAR(rates.m15, 3 + 7 * 0.0055402, 1e-6);
}

TEST(MeterTest, AMarkOnTheBoundaryBelongsToTheNextTick) {
  Meter meter(kStart);
  meter.Mark(kStart + seconds(5), 5);
  EXPECT_EQ(meter.Read(kStart + seconds(5)).m1, 0);
  EXPECT_GT(meter.Read(kStart + seconds(10)).m1, 0);
}

TEST(MeterTest, ConstantRatesStay) {
  Meter meter(kStart);
  for (int s = 0; s < 1000; ++s) meter.Mark(kStart + seconds(s), 7);
  const Meter::Rates rates = meter.Read(kStart + seconds(1000));
  EXPECT_NEAR(rates.m1, 7, 1e-9);
  EXPECT_NEAR(rates.m5, 7, 1e-9);
  EXPECT_NEAR(rates.m15, 7, 1e-9);
}

TEST(MeterTest, SilenceHalvesTheRatesInTheirTime) {
  Meter meter(kStart);
  meter.Mark(kStart, 5000);
  EXPECT_NEAR(meter.Read(kStart + seconds(5 + 60)).m1, 1000 * std::exp(-1),
              1e-9);
  EXPECT_NEAR(meter.Read(kStart + seconds(5 + 300)).m5, 1000 * std::exp(-1),
              1e-9);
  EXPECT_NEAR(meter.Read(kStart + seconds(5 + 900)).m15, 1000 * std::exp(-1),
              1e-9);
  const Meter::Rates years_later =
      meter.Read(kStart + std::chrono::hours(24 * 365 * 100));
  EXPECT_EQ(years_later.m15, 0);
  EXPECT_EQ(years_later.count, 5000u);
}

TEST(MeterTest, TimeThatStepsBackChangesNothing) {
  Meter meter(kStart);
  meter.Mark(kStart + seconds(12), 10);
  const Meter::Rates before = meter.Read(kStart + seconds(12));
  meter.Mark(kStart - seconds(100), 10);
  EXPECT_EQ(meter.Read(kStart).m1, before.m1);
  // Both were in the tick from 10 s to 15 s.
  EXPECT_NEAR(meter.Read(kStart + seconds(15)).m1,
              4 * (1 - std::exp(-5.0 / 60)), 1e-12);
}

// The same, tick by tick.
class TwinMeter {
 public:
  void Mark(TimePoint at) { marks_.push_back(at); }
  double Rate(TimePoint now, double minutes) const {
    double rate = 0;
    for (TimePoint tick = kStart; tick + seconds(5) <= now;
         tick += seconds(5)) {
      int events = 0;
      for (const TimePoint mark : marks_) {
        if (mark >= tick && mark < tick + seconds(5)) ++events;
      }
      const double alpha = 1 - std::exp(-5 / (60 * minutes));
      rate =
          tick == kStart ? events / 5.0 : rate + alpha * (events / 5.0 - rate);
    }
    return rate;
  }

 private:
  std::vector<TimePoint> marks_;
};

TEST(MeterTest, AgreesWithItsTwin) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    Meter meter(kStart);
    TwinMeter twin;
    TimePoint now = kStart;
    for (int step = 0; step < 100; ++step) {
      now += milliseconds(random() % (random() % 4 == 0 ? 20000 : 1000));
      if (random() % 3 != 0) {
        meter.Mark(now);
        twin.Mark(now);
      }
      if (random() % 4 != 0) continue;
      const Meter::Rates rates = meter.Read(now);
      ASSERT_NEAR(rates.m1, twin.Rate(now, 1), 1e-9);
      ASSERT_NEAR(rates.m5, twin.Rate(now, 5), 1e-9);
      ASSERT_NEAR(rates.m15, twin.Rate(now, 15), 1e-9);
    }
  }
}

}  // namespace
}  // namespace fusebox

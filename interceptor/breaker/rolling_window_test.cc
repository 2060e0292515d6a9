#include "interceptor/breaker/rolling_window.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "interceptor/breaker/test_sync.h"

namespace fusebox {
namespace {

using TestWindow = RollingWindow<TestSync>;
using Total = TestWindow::Total;

constexpr std::int64_t kFar = std::int64_t{1} << 62;  // no bucket ends

OutcomeCounts Counts(std::uint64_t ok, std::uint64_t user_errors,
                     std::uint64_t timeouts, std::uint64_t system_errors,
                     std::uint64_t unknown_errors, std::uint64_t slow = 0) {
  OutcomeCounts counts;
  counts.by_outcome = {ok, user_errors, timeouts, system_errors,
                       unknown_errors};
  counts.slow = slow;
  return counts;
}

void ExpectCounts(const OutcomeCounts& got, const OutcomeCounts& want) {
  EXPECT_EQ(got.by_outcome, want.by_outcome);
  EXPECT_EQ(got.slow, want.slow);
}

// Counts as thread `slot`, on core 0.
void Count(TestWindow& window, int slot, Outcome outcome, std::int64_t serial,
           bool slow = false) {
  TestSync::slot = slot;
  TestSync::core = 0;
  window.Count(outcome, slow, serial, /*epoch=*/1, kFar);
}

class RollingWindowTest : public testing::TestWithParam<int> {
 protected:
  int shards() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Shards, RollingWindowTest, testing::Values(0, 1, 4),
                         testing::PrintToStringParamName());

TEST_P(RollingWindowTest, EmptyAtFirst) {
  TestWindow window(10, shards());
  ExpectCounts(window.Sum(65536), Counts(0, 0, 0, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(0, 0, 0, 0, 0));
}

TEST_P(RollingWindowTest, ABucketLeavesWhenAsManyNewerOnesHaveBegun) {
  for (int buckets : {1, 2, 3, 10, 1000}) {
    SCOPED_TRACE(buckets);
    TestWindow window(buckets, shards());
    for (Outcome outcome : kAllOutcomes) {
      if (outcome != Outcome::kIgnored) Count(window, 0, outcome, 5000);
    }
    ExpectCounts(window.Sum(5000), Counts(1, 1, 1, 1, 1));
    ExpectCounts(window.Sum(5000 + buckets - 1), Counts(1, 1, 1, 1, 1));
    ExpectCounts(window.Sum(5000 + buckets), Counts(0, 0, 0, 0, 0));
    ExpectCounts(window.Lifetime(), Counts(1, 1, 1, 1, 1));
  }
}

TEST_P(RollingWindowTest, EachBucketLeavesByItself) {
  constexpr int kBuckets = 4;
  TestWindow window(kBuckets, shards());
  for (std::int64_t serial = 100; serial < 120; ++serial) {
    for (int i = 0; i < serial - 99; ++i) {
      Count(window, 0, Outcome::kOk, serial);
      Count(window, 0, Outcome::kTimeout, serial);
    }
    std::uint64_t expected = 0;
    for (std::int64_t s = std::max<std::int64_t>(100, serial - kBuckets + 1);
         s <= serial; ++s) {
      expected += static_cast<std::uint64_t>(s - 99);
    }
    ExpectCounts(window.Sum(serial), Counts(expected, 0, expected, 0, 0));
  }
}

TEST_P(RollingWindowTest, BucketsWithoutCallsAreGaps) {
  TestWindow window(5, shards());
  Count(window, 0, Outcome::kOk, 100);
  Count(window, 0, Outcome::kSystemError, 100);
  Count(window, 0, Outcome::kOk, 103);
  ExpectCounts(window.Sum(103), Counts(2, 0, 0, 1, 0));
  ExpectCounts(window.Sum(104), Counts(2, 0, 0, 1, 0));
  ExpectCounts(window.Sum(105), Counts(1, 0, 0, 0, 0));
  Count(window, 0, Outcome::kOk, 107);
  ExpectCounts(window.Sum(107), Counts(2, 0, 0, 0, 0));
  // Exactly a window's width between two calls, and one more.
  Count(window, 0, Outcome::kOk, 112);
  ExpectCounts(window.Sum(112), Counts(1, 0, 0, 0, 0));
  Count(window, 0, Outcome::kOk, 118);
  ExpectCounts(window.Sum(118), Counts(1, 0, 0, 0, 0));
  ExpectCounts(window.Sum(119), Counts(1, 0, 0, 0, 0));
}

TEST_P(RollingWindowTest, AJumpOfSerialsEmptiesTheWindowForGood) {
  TestWindow window(10, shards());
  Count(window, 0, Outcome::kOk, 100);
  Count(window, 0, Outcome::kTimeout, 100);
  const std::int64_t later = 100 + TestWindow::kWindowGap;
  ExpectCounts(window.Sum(later), Counts(0, 0, 0, 0, 0));
  Count(window, 0, Outcome::kUserError, later);
  // A thread that has not heard of the jump yet.
  Count(window, 1, Outcome::kOk, 101);
  Count(window, 1, Outcome::kTimeout, 101);
  ExpectCounts(window.Sum(later), Counts(0, 1, 0, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(2, 1, 2, 0, 0));
}

TEST_P(RollingWindowTest, AfterManyJumpsTagsThatRepeatCountOnce) {
  // 2^16 jumps of 2^16 serials: the low halves come again.
  TestWindow window(3, shards());
  std::int64_t serial = 100;
  Count(window, 0, Outcome::kTimeout, serial + 1);
  for (int i = 0; i < (1 << 16) + 2; ++i) {
    Count(window, 0, Outcome::kTimeout, serial);
    ASSERT_EQ(window.Sum(serial).of(Outcome::kTimeout), i == 0 ? 2u : 1u) << i;
    serial += TestWindow::kWindowGap;
  }
}

TEST_P(RollingWindowTest, TheSamePlaceTwoBillionBucketsLaterIsAnother) {
  // 248 days without a call, if buckets are 10 ms wide.
  TestWindow window(2, shards());
  const std::int64_t later = 100 + (std::int64_t{1} << 31);
  for (Outcome outcome : {Outcome::kOk, Outcome::kTimeout}) {
    Count(window, 0, outcome, 100);
  }
  ExpectCounts(window.Sum(later), Counts(0, 0, 0, 0, 0));
  for (Outcome outcome : {Outcome::kOk, Outcome::kTimeout}) {
    Count(window, 0, outcome, later);
  }
  ExpectCounts(window.Sum(later), Counts(1, 0, 1, 0, 0));
}

TEST_P(RollingWindowTest, ATagThatComesAgainBringsNoOldCountBack) {
  // W5: the low halves of the first and the last serial are the same.
  TestWindow window(2, shards());
  Count(window, 0, Outcome::kTimeout, 100);
  Count(window, 0, Outcome::kSystemError, 100 + (std::int64_t{1} << 31));
  Count(window, 0, Outcome::kSystemError, 100 + (std::int64_t{1} << 32));
  ExpectCounts(window.Sum(100 + (std::int64_t{1} << 32)),
               Counts(0, 0, 0, 1, 0));
}

TEST_P(RollingWindowTest, SlowOutcomesAreCountedTwiceWaysAndOnceInTheTotal) {
  TestWindow window(10, shards());
  Count(window, 0, Outcome::kOk, 100, /*slow=*/true);
  Count(window, 0, Outcome::kOk, 100);
  Count(window, 0, Outcome::kTimeout, 100, /*slow=*/true);
  ExpectCounts(window.Sum(100), Counts(2, 0, 1, 0, 0, 2));
  ExpectCounts(window.Lifetime(), Counts(2, 0, 1, 0, 0, 2));
  EXPECT_EQ(window.Sum(100).total(), 3u);
}

TEST_P(RollingWindowTest, CountTotalOnlyLeavesTheWindowAlone) {
  TestWindow window(10, shards());
  window.CountTotalOnly(Outcome::kTimeout, true);
  ExpectCounts(window.Sum(100), Counts(0, 0, 0, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(0, 0, 1, 0, 0, 1));
}

TEST_P(RollingWindowTest, EveryTotalIsItsOwn) {
  TestWindow window(1, shards());
  const Total totals[] = {Total::kAdmitted,       Total::kIgnored,
                          Total::kRejectedOpen,   Total::kRejectedHalfOpenLimit,
                          Total::kShadowRejected, Total::kRejectedForcedOpen,
                          Total::kStale};
  std::uint64_t n = 0;
  for (Total total : totals) {
    ++n;
    for (std::uint64_t i = 0; i < n; ++i) {
      for (int slot : {0, 3, 63, kNoThreadSlot}) {
        TestSync::slot = slot;
        window.Add(total);
      }
    }
  }
  n = 0;
  for (Total total : totals) EXPECT_EQ(window.Read(total), 4 * ++n);
}

TEST_P(RollingWindowTest, FewerBucketsAreTheNewest) {
  TestWindow window(10, shards());
  for (std::int64_t serial = 1; serial <= 10; ++serial) {
    Count(window, 0, Outcome::kOk, serial);
    Count(window, 0, Outcome::kTimeout, serial);
  }
  for (int buckets : {1, 3, 10}) {
    const auto n = static_cast<std::uint64_t>(buckets);
    ExpectCounts(window.Sum(10, buckets), Counts(n, 0, n, 0, 0));
    ExpectCounts(window.Sum(11, buckets), Counts(n - 1, 0, n - 1, 0, 0));
  }
}

TEST_P(RollingWindowTest, WiderRing) {
  TestWindow window(3, shards());
  const std::size_t bytes = window.storage_bytes();
  EXPECT_EQ(window.GapBefore(10, 3), TestWindow::kWindowGap);
  EXPECT_EQ(window.storage_bytes(), bytes);
  Count(window, 0, Outcome::kOk, 10);
  Count(window, 0, Outcome::kTimeout, 10);

  EXPECT_FALSE(window.HasRoom(10, 4));
  std::int64_t gap = window.GapBefore(10, 4);
  EXPECT_EQ(window.GapBefore(10, 4), gap);  // asked again
  std::int64_t serial = 10 + gap;
  EXPECT_TRUE(window.HasRoom(serial, 6));  // twice as many as before
  EXPECT_FALSE(window.HasRoom(serial, 7));
  const std::size_t wider = window.storage_bytes();
  EXPECT_EQ(wider, bytes + static_cast<std::size_t>(shards()) * 128 + 384);
  ExpectCounts(window.Sum(serial, 4), Counts(0, 0, 0, 0, 0));
  ExpectCounts(window.Sum(10, 3), Counts(1, 0, 1, 0, 0));

  for (std::int64_t i = 0; i < 6; ++i) {
    Count(window, 0, Outcome::kUserError, serial + i);
    Count(window, 0, Outcome::kUnknownError, serial + i);
  }
  // Who is late counts in the lifetime alone, and is shown the window of those
  // who are not; without shards the rings know nothing of each other.
  Count(window, 0, Outcome::kOk, 11);
  Count(window, 0, Outcome::kSystemError, 11);
  ExpectCounts(window.Sum(serial + 5, 6), Counts(0, 6, 0, 0, 6));
  ExpectCounts(window.Sum(serial + 5, 4), Counts(0, 4, 0, 0, 4));
  if (shards() > 0) {
    ExpectCounts(window.Sum(11, 3), Counts(0, 3, 0, 0, 3));
  }
  ExpectCounts(window.Lifetime(), Counts(2, 6, 1, 1, 6));

  // And a third.
  serial += 5;
  gap = window.GapBefore(serial, 1000);
  EXPECT_EQ(window.GapBefore(serial, 6), TestWindow::kWindowGap);
  serial += gap;
  EXPECT_TRUE(window.HasRoom(serial, 1000));
  EXPECT_FALSE(window.HasRoom(serial, 1001));
  EXPECT_EQ(window.storage_bytes(),
            wider + static_cast<std::size_t>(shards()) * 16'000 + 56'000);
  Count(window, 0, Outcome::kOk, serial);
  Count(window, 0, Outcome::kTimeout, serial);
  ExpectCounts(window.Sum(serial + 999, 1000), Counts(1, 0, 1, 0, 0));
  ExpectCounts(window.Sum(serial + 1000, 1000), Counts(0, 0, 0, 0, 0));
}

TEST(RollingWindowShardTest, AThreadBeyondTheShardsCountsTheSame) {
  TestWindow window(10, 2);
  for (int slot : {0, 1, 2, 63, kNoThreadSlot}) {
    Count(window, slot, Outcome::kOk, 100);
    Count(window, slot, Outcome::kUserError, 101);
    Count(window, slot, Outcome::kSystemError, 101);
  }
  ExpectCounts(window.Sum(101), Counts(5, 5, 0, 5, 0));
  ExpectCounts(window.Sum(110), Counts(0, 5, 0, 5, 0));
  ExpectCounts(window.Lifetime(), Counts(5, 5, 0, 5, 0));
}

TEST(RollingWindowShardTest, ThereAreNoMoreThanThreadSlots) {
  EXPECT_EQ(TestWindow::kMaxShards, kMaxThreadSlots);
}

TEST(RollingWindowShardTest, HalfOfTheShardsAreLentByCore) {
  TestWindow window(10, 4);  // two owned, two lent
  TestSync::core = 0;
  for (int slot : {0, 1, 2}) {
    TestSync::slot = slot;
    window.Count(Outcome::kOk, false, 100, /*epoch=*/7, /*bucket_end_ns=*/1000);
  }
  TestSync::core = 1;
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 7, 999, 100))
      << "neither an owned shard nor that of another core";
  for (int core : {2, 4}) {
    TestSync::core = core;
    EXPECT_TRUE(window.CountGoodAgain(Outcome::kOk, 7, 999, 100)) << core;
  }
  TestSync::core = 0;
}

TEST(RollingWindowShardTest, ALateGoodOutcomeGoesToItsOwnBucket) {
  // Owned by slot 0; shared by the threads without a slot.
  for (int slot : {0, 63}) {
    TestWindow window(10, 2);
    Count(window, slot, Outcome::kOk, 105);
    Count(window, slot, Outcome::kOk, 103);
    ExpectCounts(window.Sum(112), Counts(2, 0, 0, 0, 0));
    ExpectCounts(window.Sum(113), Counts(1, 0, 0, 0, 0));
    ExpectCounts(window.Lifetime(), Counts(2, 0, 0, 0, 0));
  }
}

TEST(RollingWindowShardTest, ABorrowersCountNeverCrossesAJump) {
  // Two threads without a slot meet on one core; one has not heard of the jump.
  TestWindow window(10, 2);
  const std::int64_t later = 100 + TestWindow::kWindowGap;
  Count(window, 62, Outcome::kOk, 100);
  Count(window, 62, Outcome::kUserError, later);
  Count(window, 63, Outcome::kOk, 101);
  ExpectCounts(window.Sum(later), Counts(0, 1, 0, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(2, 1, 0, 0, 0));
}

TEST(RollingWindowShardTest, ALateBadOutcomeGoesToItsOwnBucket) {
  TestWindow window(10, 1);
  Count(window, 0, Outcome::kTimeout, 105);
  Count(window, 0, Outcome::kTimeout, 103);
  ExpectCounts(window.Sum(112), Counts(0, 0, 2, 0, 0));
  ExpectCounts(window.Sum(113), Counts(0, 0, 1, 0, 0));
  // One that left the window of a thread that is ahead is gone.
  Count(window, 0, Outcome::kTimeout, 95);
  ExpectCounts(window.Sum(105), Counts(0, 0, 2, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(0, 0, 3, 0, 0));
}

TEST(RollingWindowShardTest, AReaderBehindOthersSeesTheirWindowInEveryPart) {
  // Bucket 100 is rich in both. A thread whose clock still says 109 must not
  // lose its successes and keep its failures, or the other way round.
  for (Outcome ahead : {Outcome::kOk, Outcome::kTimeout}) {
    TestWindow window(10, 2);
    for (int i = 0; i < 1000; ++i) {
      Count(window, 0, Outcome::kOk, 100);
      Count(window, 1, Outcome::kTimeout, 100);
    }
    ExpectCounts(window.Sum(109), Counts(1000, 0, 1000, 0, 0));
    Count(window, 0, ahead, 110);
    const OutcomeCounts late = window.Sum(109);
    ExpectCounts(late, window.Sum(110));
    EXPECT_EQ(late.of(ahead), 1u);
    EXPECT_EQ(late.total(), 1u);
  }
}

TEST(CountGoodAgainTest, OnlyInTheSameEpochAndBucketAndShard) {
  TestWindow window(10, 3);  // two owned, one lent
  TestSync::slot = 0;
  TestSync::core = 0;
  for (std::uint64_t epoch : {1, 7}) {
    EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, epoch, -1, 100))
        << "never counted";
  }
  window.Count(Outcome::kOk, false, /*serial=*/100, /*epoch=*/7,
               /*bucket_end_ns=*/1000);
  EXPECT_TRUE(window.CountGoodAgain(Outcome::kUserError, 7, 999, 100));
  EXPECT_TRUE(window.CountGoodAgain(Outcome::kUserError, 7, 900, 100));
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 7, 1000, 100))
      << "the next bucket";
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 7, 899, 100))
      << "the bucket before";
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 8, 999, 100))
      << "another epoch";
  TestSync::slot = 1;
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 7, 999, 100))
      << "another thread";
  TestSync::slot = 2;
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 7, 999, 100))
      << "another shard";
  window.Count(Outcome::kOk, false, 100, 7, 1000);
  TestSync::slot = 3;
  EXPECT_TRUE(window.CountGoodAgain(Outcome::kOk, 7, 999, 100))
      << "the shard is lent to whoever comes";
  ExpectCounts(window.Sum(100), Counts(3, 2, 0, 0, 0));
  ExpectCounts(window.Lifetime(), Counts(3, 2, 0, 0, 0));
}

TEST(CountGoodAgainTest, ABadOutcomeDoesNotMoveTheBucket) {
  TestWindow window(10, 1);
  TestSync::slot = 0;
  window.Count(Outcome::kOk, false, 100, 7, 1000);
  window.Count(Outcome::kTimeout, false, 101, 8, 2000);
  EXPECT_TRUE(window.CountGoodAgain(Outcome::kOk, 7, 999, 1000));
  EXPECT_FALSE(window.CountGoodAgain(Outcome::kOk, 8, 1999, 1000));
}

// --- Against a model ---------------------------------------------------------

// What the window says it is, in the plainest form.
class Model {
 public:
  explicit Model(int buckets) : buckets_(buckets) {}
  void Count(Outcome outcome, bool slow, std::int64_t serial) {
    newest_ = std::max(newest_, serial);
    for (OutcomeCounts* counts : {&by_serial_[serial], &lifetime_}) {
      ++counts->by_outcome[static_cast<std::size_t>(outcome)];
      if (slow) ++counts->slow;
    }
  }
  OutcomeCounts Sum(std::int64_t serial) const {
    serial = std::max(serial, newest_);
    OutcomeCounts sum;
    for (const auto& [bucket, counts] : by_serial_) {
      if (bucket <= serial - buckets_) continue;
      for (std::size_t i = 0; i < kCountedOutcomes; ++i) {
        sum.by_outcome[i] += counts.by_outcome[i];
      }
      sum.slow += counts.slow;
    }
    return sum;
  }
  const OutcomeCounts& lifetime() const { return lifetime_; }

 private:
  const int buckets_;
  std::int64_t newest_ = 0;
  std::map<std::int64_t, OutcomeCounts> by_serial_;
  OutcomeCounts lifetime_;
};

TEST(RollingWindowModelTest, RandomCountsOfManyThreadsOnManyCores) {
  constexpr std::int64_t kWidth = 1000;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto below = [&random](int n) {
      return static_cast<int>(random() % static_cast<std::uint64_t>(n));
    };
    const int buckets = std::array{1, 2, 3, 7, 10, 64}[random() % 6];
    const int shards = std::array{0, 1, 2, 5, 64}[random() % 5];
    TestWindow window(buckets, shards);
    Model model(buckets);
    std::int64_t bucket = 1000;
    std::int64_t offset = 65536;
    std::uint64_t epoch = 1;
    for (int step = 0; step < 2000; ++step) {
      if (below(10) == 0) ++bucket;
      if (below(50) == 0) bucket += below(2 * buckets + 2);
      // What the thread at work has heard of: often a little late.
      std::int64_t its_bucket = bucket;
      std::int64_t its_offset = offset;
      std::uint64_t its_epoch = epoch;
      if (below(5) == 0) its_bucket -= below(2 * buckets + 2);
      if (below(200) == 0) {
        offset += TestWindow::kWindowGap;
        ++epoch;
        // Half of the time it missed the jump that has just happened.
        if (below(2) == 0) {
          its_offset = offset;
          its_epoch = epoch;
        }
        Count(window, 0, Outcome::kOk, bucket + offset);
        model.Count(Outcome::kOk, false, bucket + offset);
      }
      const std::int64_t its_serial = its_bucket + its_offset;
      const std::int64_t its_time = its_bucket * kWidth + below(kWidth);
      TestSync::slot = below(shards + 2);
      TestSync::core = below(4);
      const auto outcome = below(3) == 0
                               ? static_cast<Outcome>(below(kCountedOutcomes))
                               : static_cast<Outcome>(below(2));
      const bool slow = below(10) == 0;
      const bool good = !slow && !IsFailure(outcome);
      if (!good ||
          !window.CountGoodAgain(outcome, its_epoch, its_time, kWidth)) {
        window.Count(outcome, slow, its_serial, its_epoch,
                     (its_bucket + 1) * kWidth);
      }
      model.Count(outcome, slow, its_serial);
      if (below(4) == 0) {
        const std::int64_t serial = bucket + offset;
        ExpectCounts(window.Sum(serial), model.Sum(serial));
        const std::int64_t later = serial + below(buckets + 2);
        ExpectCounts(window.Sum(later), model.Sum(later));
      }
    }
    ExpectCounts(window.Lifetime(), model.lifetime());
    if (HasFailure()) return;
  }
}

// --- Many threads
// --------------------------------------------------------------

TEST(RollingWindowThreadsTest, InLockStepEveryWindowIsExact) {
  constexpr int kThreads = 8;
  constexpr int kBuckets = 4;
  constexpr std::int64_t kFirst = 65536;
  constexpr std::int64_t kSteps = 40;
  constexpr std::uint64_t kRounds = 50;
  RollingWindow<StdSync> window(kBuckets, /*shards=*/3);
  Barrier step(kThreads);
  RunThreads(kThreads, [&](int thread) {
    for (std::int64_t s = 0; s < kSteps; ++s) {
      for (std::uint64_t i = 0; i < kRounds; ++i) {
        for (int outcome = 0; outcome < kCountedOutcomes; ++outcome) {
          window.Count(static_cast<Outcome>(outcome), outcome == 2, kFirst + s,
                       static_cast<std::uint64_t>(s + 1), kFar);
        }
        if (!window.CountGoodAgain(Outcome::kOk,
                                   static_cast<std::uint64_t>(s + 1),
                                   /*now_ns=*/kFar - 1, kFar)) {
          window.Count(Outcome::kOk, false, kFirst + s,
                       static_cast<std::uint64_t>(s + 1), kFar);
        }
      }
      step.Wait();
      if (thread == 0) {
        const std::uint64_t n = static_cast<std::uint64_t>(
                                    std::min<std::int64_t>(s + 1, kBuckets)) *
                                kRounds * kThreads;
        ExpectCounts(window.Sum(kFirst + s), Counts(2 * n, n, n, n, n, n));
      }
      step.Wait();
    }
  });
  const std::uint64_t n = kSteps * kRounds * kThreads;
  ExpectCounts(window.Lifetime(), Counts(2 * n, n, n, n, n, n));
}

TEST(RollingWindowThreadsTest, TotalsAreExactWhenThreadsCrossBucketsFreely) {
  constexpr int kThreads = 8;
  constexpr std::uint64_t kRounds = 20000;
  RollingWindow<StdSync> window(3, /*shards=*/4);
  std::atomic<std::int64_t> serial{65536};
  RunThreads(kThreads, [&](int thread) {
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      if (thread == 0 && i % 16 == 0) {
        serial.fetch_add(i % 1024 == 0 ? RollingWindow<StdSync>::kWindowGap : 1,
                         std::memory_order_relaxed);
      }
      const std::int64_t s = serial.load(std::memory_order_relaxed);
      window.Count(Outcome::kOk, false, s, 1, 0);
      window.Count(Outcome::kTimeout, true, s, 1, 0);
      window.Add(RollingWindow<StdSync>::Total::kAdmitted);
      window.Add(RollingWindow<StdSync>::Total::kStale);
    }
  });
  const std::uint64_t n = kRounds * kThreads;
  ExpectCounts(window.Lifetime(), Counts(n, 0, n, 0, 0, n));
  EXPECT_EQ(window.Read(RollingWindow<StdSync>::Total::kAdmitted), n);
  EXPECT_EQ(window.Read(RollingWindow<StdSync>::Total::kStale), n);
  // No bucket of the last window holds more than was counted in all.
  EXPECT_LE(window.Sum(serial).total(), 2 * n);
}

TEST(RollingWindowThreadsTest, AReaderSeesWholeBucketsWhileTheyTurn) {
  constexpr std::uint64_t kPerBucket = 4;
  constexpr std::int64_t kBuckets = 5;
  constexpr std::int64_t kFirst = 65536;
  constexpr std::int64_t kLast = kFirst + 50000;
  RollingWindow<StdSync> window(kBuckets, /*shards=*/1);
  std::atomic<std::int64_t> done{kFirst - 1};  // the newest finished bucket
  // Two threads at most, so that one of them may have the only shard.
  RunThreads(2, [&](int thread) {
    if (thread == 0) {
      for (std::int64_t s = kFirst; s <= kLast; ++s) {
        for (std::uint64_t i = 0; i < kPerBucket; ++i) {
          window.Count(Outcome::kOk, false, s, 1, 0);
          window.Count(Outcome::kTimeout, false, s, 1, 0);
        }
        done.store(s, std::memory_order_release);
      }
      return;
    }
    for (std::int64_t before = 0; before < kLast;) {
      before = done.load(std::memory_order_acquire);
      const OutcomeCounts sum = window.Sum(before);
      const std::int64_t after = done.load(std::memory_order_acquire);
      if (before < kFirst + kBuckets) continue;
      for (Outcome outcome : {Outcome::kOk, Outcome::kTimeout}) {
        // All buckets but the newest are whole; of those that began while the
        // reader was looking it may see any part.
        ASSERT_GE(sum.of(outcome), kPerBucket * (kBuckets - 1));
        ASSERT_LE(sum.of(outcome),
                  kPerBucket * static_cast<std::uint64_t>(kBuckets + 1 + after -
                                                          before));
      }
    }
  });
}

// --- Counts that nobody lives to see -----------------------------------------

// Every count is this many at once: three fill a word of the gathered ring.
constexpr std::uint64_t kGatheredStep = 0xffffffff / 3;
constexpr std::uint64_t kShardStep = std::uint64_t{1} << 47;

// A Sync policy in which adding one adds a step.
struct HugeSteps : TestSync {
  template <class T>
  class Atomic : public std::atomic<T> {
   public:
    using std::atomic<T>::atomic;
    void store(T value, std::memory_order order) {
      const T old = this->load();
      std::atomic<T>::store(
          value == old + 1 ? old + static_cast<T>(kShardStep) : value, order);
    }
    bool compare_exchange_strong(T& expected, T value,
                                 std::memory_order order) {
      return std::atomic<T>::compare_exchange_strong(
          expected,
          value == expected + 1 ? expected + static_cast<T>(kGatheredStep)
                                : value,
          order);
    }
  };
};

TEST(HugeCountsTest, GatheredOnesSaturateAndLeaveTheirTagAlone) {
  TestSync::slot = 0;
  RollingWindow<HugeSteps> window(1, /*shards=*/1);
  for (int i = 0; i < 5; ++i) {
    window.Count(Outcome::kTimeout, false, /*serial=*/100, 1, 0);
    EXPECT_EQ(window.Sum(100).of(Outcome::kTimeout),
              kGatheredStep * static_cast<std::uint64_t>(std::min(i + 1, 3)));
  }
  EXPECT_EQ(window.Lifetime().of(Outcome::kTimeout), 5u);
  EXPECT_EQ(window.Sum(101).total(), 0u);
}

TEST(HugeCountsTest, ThoseOfShardsAreExactBeyondWhatACellHolds) {
  TestSync::slot = 0;
  RollingWindow<HugeSteps> window(1, /*shards=*/1);
  for (int i = 0; i < 5; ++i) {
    // Further apart than the window is long: a bucket of its own, not the next.
    const std::int64_t serial = 100 + 2 * i;
    window.Count(Outcome::kOk, false, serial, 1, 0);
    EXPECT_EQ(window.Sum(serial).of(Outcome::kOk), kShardStep) << i;
  }
  EXPECT_EQ(window.Lifetime().of(Outcome::kOk), 5 * kShardStep);
}

}  // namespace
}  // namespace fusebox

// Every interleaving of a few threads over RollingWindow, and every memory
// order, second look and atomic step of it broken once.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "interceptor/breaker/model/model_check.h"
#include "interceptor/breaker/model/relacy_sync.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/rolling_window.h"
#include "interceptor/breaker/state.h"
#include "interceptor/breaker/thread_slot.h"

namespace fusebox::model {
namespace {

using Window = RollingWindow<RelacySync>;
using Total = Window::Total;

constexpr std::int64_t kFar = 1000;  // end of every bucket, for CountGoodAgain

void Count(Window& window, Outcome outcome, std::int64_t serial) {
  window.Count(outcome, /*slow=*/false, serial,
               /*epoch=*/static_cast<std::uint64_t>(serial + 1), kFar);
}

void Count(Window& window, int times, Outcome outcome, std::int64_t serial) {
  for (int i = 0; i < times; ++i) Count(window, outcome, serial);
}

// Counts as a thread does that records one good outcome after another.
void CountAgain(Window& window, Outcome outcome, std::int64_t serial) {
  if (!window.CountGoodAgain(outcome, static_cast<std::uint64_t>(serial + 1),
                             kFar - 1, kFar)) {
    Count(window, outcome, serial);
  }
}

// Good outcomes and timeouts, the classes used here.
struct Seen {
  Seen(std::uint64_t ok_count, std::uint64_t timeout_count)
      : ok(ok_count), timeout(timeout_count) {}
  explicit Seen(const OutcomeCounts& counts)
      : ok(counts.of(Outcome::kOk) + counts.of(Outcome::kUserError)),
        timeout(counts.of(Outcome::kTimeout)) {}
  bool operator==(const Seen& other) const {
    return ok == other.ok && timeout == other.timeout;
  }
  template <std::size_t n>
  bool IsOneOf(const std::array<Seen, n>& allowed) const {
    for (const Seen& seen : allowed) {
      if (*this == seen) return true;
    }
    return false;
  }
  std::uint64_t ok;
  std::uint64_t timeout;
};

// A thread with a shard of its own counts while buckets turn; another reads.
// Buckets differ in what they hold, so each sum tells its window.
class RecordingAgainstRotation : public Scenario {
 public:
  RecordingAgainstRotation() {
    RelacySync::slots = {0, kNoThreadSlot};
    Count(window_, 4, Outcome::kOk, 10);
    Count(window_, 1, Outcome::kTimeout, 10);
  }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, Outcome::kOk, 11);
      Count(window_, Outcome::kTimeout, 11);
      Count(window_, Outcome::kOk, 12);
      Count(window_, Outcome::kTimeout, 12);
      return;
    }
    // W7: of one window in every part, and no failure without the successes
    // that went before it. Of 10 and 11; of 11 and 12.
    MODEL_CHECK(Seen(window_.Sum(11))
                    .IsOneOf(std::array{Seen(4, 1), Seen(5, 1), Seen(5, 2),
                                        Seen(1, 1), Seen(2, 1), Seen(2, 2)}));
  }
  void After() override {
    MODEL_CHECK(Seen(window_.Sum(12)) == Seen(2, 2));
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(6, 3));
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
};

// The same after a pause as long as the window, and over skipped buckets.
class StartingOver : public Scenario {
 public:
  StartingOver() {
    RelacySync::slots = {0, kNoThreadSlot};
    Count(window_, 5, Outcome::kOk, 10);
  }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, Outcome::kOk, 20);
      CountAgain(window_, Outcome::kOk, 20);
      CountAgain(window_, Outcome::kOk, 22);
      return;
    }
    // Of 9 and 10; of 19 and 20; of 21 and 22.
    MODEL_CHECK(Seen(window_.Sum(10))
                    .IsOneOf(std::array{Seen(5, 0), Seen(0, 0), Seen(1, 0),
                                        Seen(2, 0)}));
    // Nobody looks back behind what happened before.
    MODEL_CHECK(Seen(window_.Sum(20))
                    .IsOneOf(std::array{Seen(0, 0), Seen(1, 0), Seen(2, 0)}));
  }
  void After() override {
    MODEL_CHECK(Seen(window_.Sum(22)) == Seen(1, 0));
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(8, 0));
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
};

// The same beside failures of the bucket before.
class StartingOverBesideFailures : public Scenario {
 public:
  StartingOverBesideFailures() {
    RelacySync::slots = {0, kNoThreadSlot};
    Count(window_, 5, Outcome::kOk, 10);
  }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, Outcome::kTimeout, 19);
      Count(window_, 3, Outcome::kOk, 20);
      Count(window_, Outcome::kOk, 22);
      return;
    }
    // Of 9 and 10; of 18 to 20; of 21 and 22.
    MODEL_CHECK(
        Seen(window_.Sum(10))
            .IsOneOf(std::array{Seen(5, 0), Seen(0, 0), Seen(0, 1), Seen(1, 1),
                                Seen(2, 1), Seen(3, 1), Seen(1, 0)}));
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
};

// Two buckets begin while a reader looks.
class TurningTwice : public Scenario {
 public:
  TurningTwice() {
    RelacySync::slots = {0, kNoThreadSlot};
    Count(window_, 8, Outcome::kUserError, 10);
    Count(window_, 4, Outcome::kUserError, 11);
  }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, 2, Outcome::kUserError, 12);
      Count(window_, 1, Outcome::kUserError, 13);
      return;
    }
    // Of 10 and 11; of 11 and 12; of 12 and 13.
    MODEL_CHECK(Seen(window_.Sum(11))
                    .IsOneOf(std::array{Seen(12, 0), Seen(4, 0), Seen(5, 0),
                                        Seen(6, 0), Seen(2, 0), Seen(3, 0)}));
  }
  void After() override { MODEL_CHECK(Seen(window_.Sum(13)) == Seen(3, 0)); }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
};

// The same in the gathered ring.
class FailuresTurningTwice : public Scenario {
 public:
  FailuresTurningTwice() {
    RelacySync::slots = {kNoThreadSlot, kNoThreadSlot};
    Count(window_, 8, Outcome::kTimeout, 10);
    Count(window_, 4, Outcome::kTimeout, 11);
  }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, 2, Outcome::kTimeout, 12);
      Count(window_, 1, Outcome::kTimeout, 13);
      return;
    }
    MODEL_CHECK(Seen(window_.Sum(11))
                    .IsOneOf(std::array{Seen(0, 12), Seen(0, 4), Seen(0, 5),
                                        Seen(0, 6), Seen(0, 2), Seen(0, 3)}));
  }
  void After() override { MODEL_CHECK(Seen(window_.Sum(13)) == Seen(0, 3)); }

 private:
  Window window_{/*buckets=*/2, /*shards=*/0};
};

// What happened before a sum is in it.
class SumAfterCount : public Scenario {
 public:
  SumAfterCount() { RelacySync::slots = {0, kNoThreadSlot}; }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, Outcome::kTimeout, 10);
      Count(window_, Outcome::kOk, 10);
      CountAgain(window_, Outcome::kOk, 11);
      told_.store(1, RelacySync::kRelease);
      return;
    }
    if (told_.load(RelacySync::kAcquire) == 0) return;
    MODEL_CHECK(Seen(window_.Sum(10)) == Seen(2, 1));
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(2, 1));
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
  Atomic<std::uint64_t> told_{0};
};

// A ring place holds bucket 10. It is taken for bucket 12 by one thread while
// another, whose clock is late, still counts in 10, and a third reads.
class RingPlaceTaken : public Scenario {
 public:
  RingPlaceTaken() {
    RelacySync::slots = {kNoThreadSlot, kNoThreadSlot, kNoThreadSlot};
    Count(window_, 1, Outcome::kSystemError, 10);
    Count(window_, 3, Outcome::kTimeout, 10);
  }
  void Thread(int index) override {
    switch (index) {
      case 0:
        return Count(window_, Outcome::kTimeout, 10);
      case 1:
        return Count(window_, Outcome::kTimeout, 12);
      default: {
        const OutcomeCounts sum = window_.Sum(11);
        const std::uint64_t timeouts = sum.of(Outcome::kTimeout);
        if (sum.of(Outcome::kSystemError) == 1) {  // of 10 and 11
          MODEL_CHECK(timeouts == 3 || timeouts == 4);
        } else {  // of 11 and 12
          MODEL_CHECK(timeouts <= 1);
        }
      }
    }
  }
  void After() override {
    const OutcomeCounts sum = window_.Sum(12);
    MODEL_CHECK(sum.of(Outcome::kTimeout) == 1);
    MODEL_CHECK(sum.total() == 1);
    MODEL_CHECK(window_.Lifetime().of(Outcome::kTimeout) == 5);
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/0};
};

// Threads that take the same place, for two buckets; W5.
class RingPlaceTakenTwice : public Scenario {
 public:
  RingPlaceTakenTwice() {
    RelacySync::slots = {kNoThreadSlot, kNoThreadSlot, kNoThreadSlot};
    Count(window_, 2, Outcome::kTimeout, 10);
  }
  void Thread(int index) override {
    switch (index) {
      case 0:
        return Count(window_, Outcome::kSystemError, 12);
      default:
        return Count(window_, Outcome::kSystemError, 14);
    }
  }
  void After() override {
    const OutcomeCounts sum = window_.Sum(14);
    MODEL_CHECK(sum.of(Outcome::kSystemError) == 1);
    MODEL_CHECK(sum.total() == 1);
    // 2^32 serials after 10 and 12 their tags come again.
    constexpr std::int64_t kRound = std::int64_t{1} << 32;
    for (std::int64_t serial : {10, 12}) {
      Count(window_, Outcome::kUnknownError, kRound + serial);
      MODEL_CHECK(window_.Sum(kRound + serial).total() == 1);
    }
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/0};
};

// Three outcomes at once in a bucket that is new to all.
class GatheringTogether : public Scenario {
 public:
  GatheringTogether() {
    RelacySync::slots = {kNoThreadSlot, kNoThreadSlot, kNoThreadSlot};
    Count(window_, 2, Outcome::kTimeout, 10);
  }
  void Thread(int index) override {
    window_.Count(index == 2 ? Outcome::kOk : Outcome::kTimeout, /*slow=*/true,
                  12, 1, kFar);
    window_.Add(Total::kStale);
  }
  void After() override {
    MODEL_CHECK(Seen(window_.Sum(12)) == Seen(1, 2));
    MODEL_CHECK(window_.Sum(12).slow == 3);
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(1, 4));
    MODEL_CHECK(window_.Lifetime().slow == 3);
    MODEL_CHECK(window_.Read(Total::kStale) == 3);
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/0};
};

// Two threads without a slot meet on one core, one of them has heard of a jump
// of the serials.
class BorrowedShard : public Scenario {
 public:
  BorrowedShard() {
    RelacySync::slots = {kNoThreadSlot, kNoThreadSlot};
    Count(window_, 2, Outcome::kOk, 10);
  }
  void Thread(int index) override {
    window_.Add(Total::kAdmitted);
    const std::int64_t serial = index == 0 ? 10 : kLater;
    Count(window_, Outcome::kOk, serial);
    CountAgain(window_, Outcome::kOk, serial);
  }
  void After() override {
    MODEL_CHECK(Seen(window_.Sum(kLater)) == Seen(2, 0));
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(6, 0));
    MODEL_CHECK(window_.Read(Total::kAdmitted) == 2);
  }

 private:
  static constexpr std::int64_t kLater = 10 + Window::kWindowGap;
  Window window_{/*buckets=*/2, /*shards=*/2};  // one is lent
};

// A thread exits, and another takes its slot over; the lock of the slot table
// is in between.
class SlotTakenOver : public Scenario {
 public:
  SlotTakenOver() { RelacySync::slots = {0, kNoThreadSlot}; }
  void Thread(int index) override {
    if (index == 0) {
      Count(window_, Outcome::kOk, 10);
      window_.Add(Total::kAdmitted);
      exited_.store(1, RelacySync::kRelease);
      return;
    }
    RelacySync::slots[1] =
        exited_.load(RelacySync::kAcquire) != 0 ? 0 : kNoThreadSlot;
    CountAgain(window_, Outcome::kOk, 10);
    window_.Add(Total::kAdmitted);
    CountAgain(window_, Outcome::kOk, 11);
  }
  void After() override {
    MODEL_CHECK(Seen(window_.Sum(11)) == Seen(3, 0));
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(3, 0));
    MODEL_CHECK(window_.Read(Total::kAdmitted) == 2);
  }

 private:
  Window window_{/*buckets=*/2, /*shards=*/1};
  Atomic<std::uint64_t> exited_{0};
};

// Permits that end in every way. Whoever reads the ends first never sees an end
// without its beginning.
class EndsBeforeBeginnings : public Scenario {
 public:
  EndsBeforeBeginnings() { RelacySync::slots = {0, kNoThreadSlot}; }
  void Thread(int index) override {
    if (index == 0) {
      window_.Add(Total::kAdmitted);
      window_.Add(Total::kIgnored);
      window_.Add(Total::kAdmitted);
      window_.Add(Total::kStale);
      window_.Add(Total::kAdmitted);
      window_.CountTotalOnly(Outcome::kTimeout, false);
      window_.Add(Total::kAdmitted);
      Count(window_, Outcome::kOk, 10);
      return;
    }
    const std::uint64_t ended = window_.Lifetime().total() +
                                window_.Read(Total::kIgnored) +
                                window_.Read(Total::kStale);
    MODEL_CHECK(ended <= window_.Read(Total::kAdmitted));
  }
  void After() override {
    MODEL_CHECK(window_.Read(Total::kAdmitted) == 4);
    MODEL_CHECK(Seen(window_.Lifetime()) == Seen(1, 1));
  }

 private:
  Window window_{/*buckets=*/1, /*shards=*/1};
};

// A slow outcome is never seen but as part of its class.
class SlowOutcomes : public Scenario {
 public:
  SlowOutcomes() { RelacySync::slots = {0, kNoThreadSlot}; }
  void Thread(int index) override {
    if (index == 0) {
      for (Outcome outcome : {Outcome::kOk, Outcome::kTimeout}) {
        window_.Count(outcome, /*slow=*/true, 10, 1, kFar);
      }
      return;
    }
    const OutcomeCounts sum = window_.Sum(10);
    MODEL_CHECK(sum.slow <= sum.total());
    const OutcomeCounts lifetime = window_.Lifetime();
    MODEL_CHECK(lifetime.slow <= lifetime.total());
    MODEL_CHECK(sum.slow <= lifetime.slow);
    MODEL_CHECK(sum.total() <= lifetime.total());
  }

 private:
  Window window_{/*buckets=*/1, /*shards=*/1};
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      CaseOf<EndsBeforeBeginnings>("ends before beginnings", 2, 2000, 2),
      CaseOf<SlotTakenOver>("slot taken over", 2, 2000, 3),
      CaseOf<BorrowedShard>("borrowed shard against its owner change", 2, 2000,
                            3),
      CaseOf<SumAfterCount>("sum after count", 2, 2000, 2),
      CaseOf<RecordingAgainstRotation>("recording against rotation", 2, 20000,
                                       1),
      CaseOf<TurningTwice>("two buckets begin", 2, 5000, 3),
      CaseOf<FailuresTurningTwice>("two buckets of failures begin", 2, 5000, 1),
      CaseOf<StartingOver>("recording after a pause", 2, 5000, 2),
      CaseOf<StartingOverBesideFailures>(
          "recording after a pause beside failures", 2, 5000, 2),
      CaseOf<SlowOutcomes>("slow outcomes", 2, 5000, 2),
      CaseOf<GatheringTogether>("gathering together", 3, 5000, 1),
      CaseOf<RingPlaceTakenTwice>("ring place taken twice", 2, 20000, 2),
      CaseOf<RingPlaceTaken>("ring place taken for a later bucket", 3, 5000, 1),
  };
  return cases;
}

TEST(WindowModelTest, EveryInterleavingHolds) {
  RelacySync::total_order = false;
  for (const Case& test : Cases()) {
    const Result result = Explore(test);
    EXPECT_TRUE(result.holds) << test.name << ": " << result.failure;
    std::cout << "window: " << Describe(test, result) << std::endl;
  }
}

TEST(WindowModelTest, EveryBrokenVariantIsCaught) {
  RelacySync::total_order = false;
  const std::vector<Survivor> survivors = {
      {"no acquire in Gather: compare-and-swap 1",
       "it comes with the order that W8 needs"},
  };
  for (const std::string& surprise : Surprises(
           Cases(), {"rolling_window.h", "window_model_test.cc"}, survivors)) {
    ADD_FAILURE() << surprise;
  }
}

}  // namespace
}  // namespace fusebox::model

// Each row of the state table in circuit_breaker.h, with the boundaries on both
// sides.

#include "interceptor/breaker/circuit_breaker.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fusebox {

void PrintTo(const StateChange& change, std::ostream* out) {
  *out << StateName(change.from) << "/" << OverrideName(change.override_from)
       << " -> " << StateName(change.to) << "/"
       << OverrideName(change.override_to) << ": "
       << TransitionReasonName(change.reason) << ", generation "
       << change.generation << ", at "
       << FormatDuration(change.at.time_since_epoch());
}

namespace {

using namespace std::chrono_literals;

constexpr Duration kNs = 1ns;
// On a bucket boundary of every bucket width used here.
constexpr TimePoint kStart = TimePoint(1000s);

// Times in this file are durations after kStart.
TimePoint At(Duration after) { return kStart + after; }

// The time that a dropped permit reads.
thread_local Duration drop_time = Duration::zero();
TimePoint DropNow() { return At(drop_time); }

// The defaults (window 10 x 1 s, recovery 1 s to 10 s, doubling up to 5 s,
// lease 5 s), without jitter, and one failure alone opens.
Settings QuickSettings() {
  Settings settings;
  settings.jitter = 0;
  settings.min_requests = 0;
  return settings;
}

Settings DrainingSettings() {
  Settings settings = QuickSettings();
  settings.drain_window_before_recovery = true;
  settings.buckets = 5;
  return settings;
}

Settings SlowCallSettings() {
  Settings settings = QuickSettings();
  settings.slow_call_duration = 100ms;
  settings.slow_call_threshold = 0.5;
  return settings;
}

Settings WithMode(Mode mode) {
  Settings settings = QuickSettings();
  settings.mode = mode;
  return settings;
}

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

// A breaker, its events, and calls in the words of the policy.
class Subject {
 public:
  explicit Subject(const Settings& settings = QuickSettings(), int shards = 4)
      : breaker_(std::make_unique<CircuitBreaker>(settings, kStart,
                                                  OptionsFor(shards))) {
    EXPECT_TRUE(ValidateSettings(settings).empty());
    drop_time = Duration::zero();
  }

  CircuitBreaker* operator->() { return breaker_.get(); }

  Admission Ask(Duration t, double u = 0) {
    Random random = Random::Scripted(u, 0);
    return breaker_->Admit(At(t), random);
  }
  // A call that must be admitted.
  Permit Admit(Duration t, double u = 0) {
    Admission admission = Ask(t, u);
    EXPECT_TRUE(admission.admitted()) << "at " << FormatDuration(t);
    EXPECT_TRUE(bool{admission.permit}) << "at " << FormatDuration(t);
    return std::move(admission.permit);
  }
  // Whether a call would pass; it is ignored.
  bool Admits(Duration t, double u = 0) {
    Admission admission = Ask(t, u);
    admission.permit.Finish(Outcome::kIgnored, At(t));
    return admission.admitted();
  }
  void Finish(Permit permit, Outcome outcome, Duration t,
              Duration latency = Duration::zero(), double r = 0) {
    Random random = Random::Scripted(0, r);
    permit.Finish(outcome, At(t), latency, random);
  }
  // Calls that are admitted and end at once.
  void Call(Outcome outcome, Duration t, int times = 1,
            Duration latency = Duration::zero(), double r = 0) {
    for (int i = 0; i < times; ++i) {
      Finish(Admit(t), outcome, t, latency, r);
    }
  }
  // Opens a closed breaker with QuickSettings().
  void Open(Duration t, double r = 0) {
    Call(Outcome::kSystemError, t, 1, Duration::zero(), r);
    EXPECT_EQ(StateAt(t), State::kOpen);
  }
  // Opens it and lets the first probe, at `t` + 1 s, prove recovery.
  void OpenAndProve(Duration t) {
    Open(t);
    Finish(Admit(t + 1s), Outcome::kOk, t + 1s);
    EXPECT_TRUE(At(t + 1s) >= See(t + 1s).since);
    EXPECT_TRUE(See(t + 1s).proved);
  }

  void SetPolicy(const Settings& settings, Duration t) {
    EXPECT_TRUE(ValidateSettings(settings).empty());
    policies_.push_back(std::make_unique<const Policy>(settings));
    Random random = Random::Scripted(0, 0);
    breaker_->SetPolicy(policies_.back().get(), At(t), random);
    EXPECT_EQ(breaker_->settings(), settings);
  }

  State StateAt(Duration t) {
    Random random = Random::Scripted(0, 0);
    return breaker_->View(At(t), random).state;
  }
  BreakerSnapshot See(Duration t) {
    Random random = Random::Scripted(0, 0);
    return breaker_->Snapshot(At(t), random);
  }
  std::uint32_t Generation(Duration t) { return See(t).generation; }
  // The moment the next probe may go out, after kStart.
  Duration NextProbe(Duration t) { return See(t).next_probe - kStart; }

  const std::vector<StateChange>& events() const { return events_; }

 private:
  CircuitBreaker::Options OptionsFor(int shards) {
    CircuitBreaker::Options options;
    options.shards = shards;
    options.now = &DropNow;
    options.listener = &kListener;
    options.listener_context = this;
    return options;
  }

  static void Notify(void* context, CircuitBreaker& /*breaker*/,
                     const StateChange& change, std::uint32_t number) {
    auto* subject = static_cast<Subject*>(context);
    subject->events_.push_back(change);
    EXPECT_EQ(number, subject->events_.size());
  }
  static constexpr CircuitBreaker::Listener kListener = {&Notify, nullptr};

  std::vector<StateChange> events_;
  std::vector<std::unique_ptr<const Policy>> policies_;
  // Not on the stack: AddressSanitizer's fake stack ignores its alignment.
  const std::unique_ptr<CircuitBreaker> breaker_;
};

void ExpectEvent(const StateChange& event, State from, State to,
                 TransitionReason reason, std::uint32_t generation,
                 Duration at) {
  SCOPED_TRACE(testing::PrintToString(event));
  EXPECT_EQ(event.from, from);
  EXPECT_EQ(event.to, to);
  EXPECT_EQ(event.reason, reason);
  EXPECT_EQ(event.generation, generation);
  EXPECT_EQ(event.at, At(at));
}

// --- Closed -----------------------------------------------------------------

TEST(ClosedTest, EveryCallIsAdmitted) {
  Subject breaker;
  for (Duration t : {0s, 1s, 100000s}) EXPECT_TRUE(breaker.Admits(t));
  EXPECT_TRUE(bool{breaker->AdmitIfClosed()});
  EXPECT_TRUE(breaker.events().empty());
}

TEST(ClosedTest, AtMinRequestsNothingIsJudgedAndOneMoreOpens) {
  Settings settings = QuickSettings();
  settings.min_requests = 10;
  Subject breaker(settings);
  breaker.Call(Outcome::kSystemError, 0s, 10);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kSystemError, 0s);
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
}

TEST(ClosedTest, WithMinRequestsZeroTheFirstFailureOpens) {
  Subject breaker;
  breaker.Call(Outcome::kTimeout, 5s);
  EXPECT_EQ(breaker.StateAt(5s), State::kOpen);
  ASSERT_EQ(breaker.events().size(), 1u);
  ExpectEvent(breaker.events()[0], State::kClosed, State::kOpen,
              TransitionReason::kTimeoutThreshold, 2, 5s);
}

TEST(ClosedTest, BelowTheThresholdItStaysClosedAndAtTheThresholdOpens) {
  Subject breaker;  // half of the calls
  breaker.Call(Outcome::kOk, 0s, 5);
  breaker.Call(Outcome::kSystemError, 0s, 4);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kSystemError, 0s);  // 5 of 10
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
}

TEST(ClosedTest, ThresholdsHaveSixExactDecimals) {
  const struct {
    double threshold;
    int ok;
    bool opens;  // by one failure
  } cases[] = {
      {0.333333, 2, true},  {0.333334, 2, false}, {0.142857, 6, true},
      {0.142858, 6, false}, {0.1, 9, true},       {0.1, 10, false},
      {0.7, 0, true},       {0.000001, 99, true}, {0.3, 2, true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::to_string(c.threshold) + ", 1 of " +
                 std::to_string(c.ok + 1));
    Settings settings = QuickSettings();
    settings.system_error_threshold = std::nullopt;
    settings.failure_threshold = c.threshold;
    Subject breaker(settings);
    breaker.Call(Outcome::kOk, 0s, c.ok);
    breaker.Call(Outcome::kSystemError, 0s);
    EXPECT_EQ(breaker.StateAt(0s) == State::kOpen, c.opens);
  }
}

TEST(ClosedTest, AtTheSmallestThresholdOneInAMillionOpens) {
  Settings settings = QuickSettings();
  settings.failure_threshold = 0.000001;
  settings.system_error_threshold = std::nullopt;
  for (int ok : {999'999, 1'000'000}) {
    Subject breaker(settings);
    breaker.Call(Outcome::kOk, 0s, ok);
    breaker.Call(Outcome::kSystemError, 0s);
    EXPECT_EQ(breaker.StateAt(0s) == State::kOpen, ok == 999'999);
  }
}

TEST(ClosedTest, AtThresholdOneASingleSuccessKeepsItClosed) {
  Settings settings = QuickSettings();
  settings.failure_threshold = 1.0;
  settings.system_error_threshold = 1.0;
  Subject breaker(settings);
  breaker.Call(Outcome::kOk, 0s);
  breaker.Call(Outcome::kSystemError, 0s, 1000);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);

  Subject other(settings);
  other.Call(Outcome::kSystemError, 0s);
  EXPECT_EQ(other.StateAt(0s), State::kOpen);
}

TEST(ClosedTest, EachClassIsJudgedByItsOwnThreshold) {
  const struct {
    Outcome outcome;
    Threshold Settings::*threshold;
    TransitionReason reason;
  } classes[] = {
      {Outcome::kTimeout, &Settings::timeout_threshold,
       TransitionReason::kTimeoutThreshold},
      {Outcome::kSystemError, &Settings::system_error_threshold,
       TransitionReason::kSystemErrorThreshold},
      {Outcome::kUnknownError, &Settings::unknown_error_threshold,
       TransitionReason::kUnknownErrorThreshold},
  };
  for (const auto& judged : classes) {
    Settings settings = QuickSettings();
    settings.failure_threshold = std::nullopt;
    for (const auto& one : classes) settings.*one.threshold = std::nullopt;
    settings.*judged.threshold = 0.25;
    for (const auto& failed : classes) {
      SCOPED_TRACE(std::string(OutcomeName(judged.outcome)) + " judged, " +
                   std::string(OutcomeName(failed.outcome)) + " failed");
      Subject breaker(settings);
      breaker.Call(Outcome::kOk, 0s, 3);
      breaker.Call(failed.outcome, 0s);
      if (judged.outcome == failed.outcome) {
        ASSERT_EQ(breaker.events().size(), 1u);
        ExpectEvent(breaker.events()[0], State::kClosed, State::kOpen,
                    judged.reason, 2, 0s);
      } else {
        EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
      }
    }
  }
}

TEST(ClosedTest, TheClassesAreJudgedTogetherToo) {
  Settings settings = QuickSettings();
  settings.min_requests = 10;
  Subject breaker(settings);
  breaker.Call(Outcome::kTimeout, 0s, 4);
  breaker.Call(Outcome::kSystemError, 0s, 4);
  breaker.Call(Outcome::kUnknownError, 0s, 2);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kUnknownError, 0s);
  ASSERT_EQ(breaker.events().size(), 1u);
  ExpectEvent(breaker.events()[0], State::kClosed, State::kOpen,
              TransitionReason::kFailureThreshold, 2, 0s);
}

TEST(ClosedTest, WithEveryThresholdOffNothingOpens) {
  Settings settings = QuickSettings();
  settings.timeout_threshold = settings.system_error_threshold =
      settings.unknown_error_threshold = settings.failure_threshold =
          std::nullopt;
  Subject breaker(settings);
  breaker.Call(Outcome::kTimeout, 0s, 10);
  breaker.Call(Outcome::kSystemError, 0s, 10);
  breaker.Call(Outcome::kUnknownError, 0s, 10);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
}

TEST(ClosedTest, AUserErrorIsARequestAndASuccess) {
  Subject breaker;
  breaker.Call(Outcome::kUserError, 0s, 100);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kSystemError, 0s, 99);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kSystemError, 0s);
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
}

TEST(ClosedTest, AnIgnoredOutcomeIsNotCounted) {
  Settings settings = QuickSettings();
  settings.min_requests = 1;
  Subject breaker(settings);
  breaker.Call(Outcome::kIgnored, 0s, 100);
  breaker.Call(Outcome::kSystemError, 0s);
  const BreakerSnapshot seen = breaker.See(0s);
  EXPECT_EQ(seen.state, State::kClosed);
  ExpectCounts(seen.window, Counts(0, 0, 0, 1, 0));
  ExpectCounts(seen.lifetime, Counts(0, 0, 0, 1, 0));
  EXPECT_EQ(seen.ignored, 100u);
}

TEST(ClosedTest, OnlyABadOutcomeOpens) {
  Settings settings = QuickSettings();
  Subject breaker(settings);
  breaker.Call(Outcome::kOk, 0s, 6);
  breaker.Call(Outcome::kSystemError, 5s, 5);
  // The six successes have left the window: 5 of 5, and nothing happens,
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
  EXPECT_TRUE(breaker.Admits(10s));
  // not by a good outcome either,
  breaker.Call(Outcome::kOk, 10s);
  breaker.Call(Outcome::kUserError, 10s);
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
  // until the next bad one.
  breaker.Call(Outcome::kTimeout, 10s);
  EXPECT_EQ(breaker.StateAt(10s), State::kOpen);
}

TEST(ClosedTest, AnOutcomeCountsWhenItArrivesUntilItsBucketLeaves) {
  Settings settings = QuickSettings();
  settings.min_requests = 1;
  Subject breaker(settings);
  Permit permit = breaker.Admit(0s);
  breaker.Finish(std::move(permit), Outcome::kSystemError, 4s - kNs);
  ExpectCounts(breaker.See(13s - kNs).window, Counts(0, 0, 0, 1, 0));
  ExpectCounts(breaker.See(13s).window, Counts(0, 0, 0, 0, 0));
  breaker.Call(Outcome::kSystemError, 13s);
  EXPECT_EQ(breaker.StateAt(13s), State::kClosed) << "1 outcome, not 2";
}

TEST(ClosedTest, OpeningStartsAGenerationAndWaitsMinRecovery) {
  Subject breaker;
  breaker.Open(7s);
  const BreakerSnapshot seen = breaker.See(7s);
  EXPECT_EQ(seen.generation, 2u);
  EXPECT_EQ(seen.since, At(7s));
  EXPECT_EQ(seen.next_probe, At(8s));
  EXPECT_EQ(seen.next_change, At(8s));
}

// --- Open -------------------------------------------------------------------

TEST(OpenTest, OneNanosecondBeforeMinRecoveryCallsAreRejected) {
  Subject breaker;
  breaker.Open(0s);
  for (Duration t : {Duration(0s), Duration(500ms), 1s - kNs}) {
    const Admission admission = breaker.Ask(t);
    ASSERT_TRUE(admission.rejection.has_value());
    EXPECT_EQ(admission.rejection->reason, RejectionReason::kOpen);
    EXPECT_EQ(admission.rejection->retry_after, 1s - t);
    EXPECT_FALSE(bool{admission.permit});
  }
  EXPECT_FALSE(bool{breaker->AdmitIfClosed()});
  EXPECT_EQ(breaker.See(1s - kNs).state, State::kOpen);
  EXPECT_EQ(breaker.See(1s - kNs).rejected[0], 3u);
}

TEST(OpenTest, ExactlyAtMinRecoveryTheProbeGoesOut) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  ASSERT_EQ(breaker.events().size(), 2u);
  ExpectEvent(breaker.events()[1], State::kOpen, State::kHalfOpen,
              TransitionReason::kProbeAdmitted, 2, 1s);
  EXPECT_FALSE(breaker.See(1s).proved);
}

TEST(OpenTest, TheWindowIsEmptiedWhenHalfOpenBegins) {
  Subject breaker;
  breaker.Call(Outcome::kOk, 0s, 2);
  breaker.Call(Outcome::kSystemError, 0s, 2);
  ExpectCounts(breaker.See(1s - kNs).window, Counts(2, 0, 0, 2, 0));
  Permit probe = breaker.Admit(1s);
  ExpectCounts(breaker.See(1s).window, Counts(0, 0, 0, 0, 0));
  ExpectCounts(breaker.See(1s).lifetime, Counts(2, 0, 0, 2, 0));
}

TEST(OpenTest, EachOpeningWithoutARecoveryWaitsTwiceAsLongUpToTheCap) {
  Subject breaker;
  Duration t = 0s;
  breaker.Open(t);
  for (Duration wait : {1s, 2s, 4s, 5s, 5s}) {
    EXPECT_EQ(breaker.NextProbe(t), t + wait);
    EXPECT_FALSE(breaker.Admits(t + wait - kNs));
    t += wait;
    breaker.Call(Outcome::kSystemError, t);
    EXPECT_EQ(breaker.StateAt(t), State::kOpen);
  }
}

TEST(OpenTest, AfterARecoveryTheWaitIsShortAgain) {
  Subject breaker;
  breaker.Open(0s);
  breaker.Call(Outcome::kSystemError, 1s);
  EXPECT_EQ(breaker.NextProbe(1s), 3s);
  breaker.Call(Outcome::kOk, 3s);
  ASSERT_EQ(breaker.StateAt(12s), State::kClosed);
  breaker.Open(20s);
  EXPECT_EQ(breaker.NextProbe(20s), 21s);
}

TEST(OpenTest, AnOpeningFromTheRampBacksOff) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  breaker.Call(Outcome::kSystemError, 2s);  // 1 of 2
  ASSERT_EQ(breaker.StateAt(2s), State::kOpen);
  EXPECT_EQ(breaker.NextProbe(2s), 4s);
}

TEST(OpenTest, FractionalBackoffMultipliers) {
  Settings settings = QuickSettings();
  settings.backoff_multiplier = 1.5;
  Subject breaker(settings);
  breaker.Open(0s);
  Duration t = 1s;
  for (Duration wait : {Duration(1500ms), Duration(2250ms), Duration(3375ms),
                        Duration(5s), Duration(5s)}) {
    breaker.Call(Outcome::kSystemError, t);
    EXPECT_EQ(breaker.NextProbe(t), t + wait);
    t += wait;
  }
}

TEST(OpenTest, JitterSpreadsTheWaitAndIsRoundedToTheNearestNanosecond) {
  const struct {
    Duration min_recovery;
    double jitter;
    double draw;
    Duration wait;
  } cases[] = {
      {1s, 0.1, 0, 1s},
      {1s, 0.1, 1, 1100ms},
      {1s, 0.1, -1, 900ms},
      {1s, 0.1, 0.5, 1050ms},
      {1s, 0.5, -1, 500ms},
      {1s, 0, 1, 1s},
      {10'000'001ns, 0.5, 0.5, 12'500'001ns},  // ...001.25
      {10'000'003ns, 0.5, 0.5, 12'500'004ns},  // ...003.75
      {10'000'001ns, 0.5, -0.5, 7'500'001ns},  // ...000.75
      {10'000'003ns, 0.5, -0.5, 7'500'002ns},  // ...002.25
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(FormatDuration(c.wait));
    Settings settings = QuickSettings();
    settings.min_recovery = c.min_recovery;
    settings.jitter = c.jitter;
    Subject breaker(settings);
    breaker.Open(0s, c.draw);
    EXPECT_EQ(breaker.NextProbe(0s), c.wait);
    EXPECT_FALSE(breaker.Admits(c.wait - kNs));
    EXPECT_TRUE(breaker.Admits(c.wait));
  }
}

TEST(OpenTest, TheCapStandsBeforeTheJitter) {
  Settings settings = QuickSettings();
  settings.jitter = 0.1;
  settings.max_open_duration = 1s;
  Subject breaker(settings);
  breaker.Open(0s, 0);
  breaker.Finish(breaker.Admit(1s), Outcome::kSystemError, 1s, 0s, 1);
  EXPECT_EQ(breaker.NextProbe(1s), 1s + 1100ms);
}

TEST(OpenTest, ABackoffBeyondEveryNumberIsTheCap) {
  Settings settings = QuickSettings();
  settings.backoff_multiplier = 1e300;
  Subject breaker(settings);
  breaker.Open(0s);
  breaker.Call(Outcome::kSystemError, 1s);
  EXPECT_EQ(breaker.NextProbe(1s), 6s);
  breaker.Call(Outcome::kSystemError, 6s);  // 1e600 is infinite
  EXPECT_EQ(breaker.NextProbe(6s), 11s);
}

TEST(OpenTest, AfterSixtyFiveThousandOpeningsItStillWaitsForTheCap) {
  // As many as are counted, and a few more.
  Subject breaker;
  Duration t = 0s;
  for (int opening = 0; opening < (1 << 16) + 3; ++opening) {
    breaker.Call(Outcome::kSystemError, t);
    t += 5s;
  }
  EXPECT_EQ(breaker.NextProbe(t - 5s), t);
  EXPECT_EQ(breaker.Generation(t), (1u << 16) + 4);
  // Outcomes still go to the right generation.
  breaker.Call(Outcome::kOk, t);
  EXPECT_TRUE(breaker.See(t).proved);
}

TEST(OpenTest, WithDrainingAProbeWaitsUntilTheFailuresHaveRolledOut) {
  Subject breaker(DrainingSettings());  // 5 buckets
  breaker.Open(500ms);
  for (Duration t : {Duration(1500ms), Duration(4s), 5s - kNs}) {
    EXPECT_EQ(breaker.StateAt(t), State::kOpen);
    const Admission admission = breaker.Ask(t);
    ASSERT_TRUE(admission.rejection.has_value());
    EXPECT_EQ(admission.rejection->reason, RejectionReason::kOpen);
    // Nothing changes before the bucket does.
    const Duration bucket_end =
        std::chrono::floor<std::chrono::seconds>(t) + 1s;
    EXPECT_EQ(admission.rejection->retry_after, bucket_end - t);
    EXPECT_EQ(breaker.See(t).next_change, At(bucket_end));
  }
  EXPECT_EQ(breaker.StateAt(5s), State::kHalfOpen);
  EXPECT_TRUE(breaker.Admits(5s));
}

TEST(OpenTest, WithDrainingMinRecoveryStillHasToPass) {
  Settings settings = DrainingSettings();
  settings.buckets = 1;
  Subject breaker(settings);
  breaker.Open(500ms);
  EXPECT_FALSE(breaker.Admits(1500ms - kNs));
  EXPECT_TRUE(breaker.Admits(1500ms));
}

TEST(OpenTest, WithDrainingTheWindowIsJudgedAboveMinRequestsOnly) {
  Settings settings = DrainingSettings();
  settings.min_requests = 2;
  Subject breaker(settings);
  breaker.Call(Outcome::kSystemError, 0s, 2);
  breaker.Call(Outcome::kSystemError, 1s);
  ASSERT_EQ(breaker.StateAt(1s), State::kOpen);
  EXPECT_FALSE(breaker.Admits(5s - kNs));  // 3 failures
  EXPECT_TRUE(breaker.Admits(5s));         // 1
}

TEST(OpenTest, WithoutDrainingTheWindowDoesNotMatter) {
  Subject breaker;
  breaker.Open(0s);
  ExpectCounts(breaker.See(1s).window, Counts(0, 0, 0, 1, 0));
  EXPECT_TRUE(breaker.Admits(1s));
}

TEST(OpenTest, AGoodAnswerAfterTheLeaseProvesRecovery) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  ASSERT_EQ(breaker.StateAt(6s), State::kOpen);  // the lease ended
  breaker.Finish(std::move(probe), Outcome::kOk, 7s);
  const BreakerSnapshot seen = breaker.See(7s);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_TRUE(seen.proved);
  EXPECT_EQ(seen.generation, 2u);
  EXPECT_EQ(seen.next_change, At(16s));  // the ramp started at 1 s of 10 s
  ExpectCounts(seen.window, Counts(1, 0, 0, 0, 0));
  ExpectEvent(breaker.events().back(), State::kOpen, State::kHalfOpen,
              TransitionReason::kProbeSucceeded, 2, 7s);
}

TEST(OpenTest, ABadAnswerAfterTheLeaseIsInTheTotalsOnly) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  ASSERT_EQ(breaker.StateAt(6s), State::kOpen);
  breaker.Finish(std::move(probe), Outcome::kTimeout, 7s);
  const BreakerSnapshot seen = breaker.See(7s);
  EXPECT_EQ(seen.state, State::kOpen);
  EXPECT_EQ(seen.generation, 2u);
  EXPECT_EQ(seen.next_probe, At(8s)) << "no further opening";
  ExpectCounts(seen.window, Counts(0, 0, 0, 0, 0));
  ExpectCounts(seen.lifetime, Counts(0, 0, 1, 1, 0));
  EXPECT_EQ(seen.stale, 0u);
  EXPECT_EQ(seen.in_flight, 0u);
}

TEST(OpenTest, AnIgnoredAnswerAfterTheLeaseChangesNothing) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  breaker.Finish(std::move(probe), Outcome::kIgnored, 7s);
  EXPECT_EQ(breaker.StateAt(7s), State::kOpen);
  EXPECT_EQ(breaker.See(7s).ignored, 1u);
}

TEST(OpenTest, OutcomesOfCallsAdmittedBeforeTheOpeningAreStale) {
  Subject breaker;
  std::vector<Permit> permits;
  for (int i = 0; i < 6; ++i) permits.push_back(breaker.Admit(0s));
  breaker.Open(0s);
  for (std::size_t i = 0; i < 6; ++i) {
    breaker.Finish(std::move(permits[i]), kAllOutcomes[i], 100ms);
  }
  const BreakerSnapshot seen = breaker.See(100ms);
  EXPECT_EQ(seen.state, State::kOpen);
  EXPECT_EQ(seen.stale, 6u);
  EXPECT_EQ(seen.ignored, 0u);
  ExpectCounts(seen.window, Counts(0, 0, 0, 1, 0));
  ExpectCounts(seen.lifetime, Counts(0, 0, 0, 1, 0));
  EXPECT_EQ(seen.in_flight, 0u);
}

// --- Half-open, not proved ---------------------------------------------------

TEST(HalfOpenTest, WhileTheProbeIsOutOthersAreRejected) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  for (Duration t : {Duration(1s), Duration(2s), 6s - kNs}) {
    const Admission admission = breaker.Ask(t);
    ASSERT_TRUE(admission.rejection.has_value());
    EXPECT_EQ(admission.rejection->reason, RejectionReason::kHalfOpenLimit);
    EXPECT_EQ(admission.rejection->retry_after, std::min<Duration>(1s, 6s - t));
  }
  EXPECT_EQ(breaker.See(6s - kNs).rejected[1], 3u);
  EXPECT_EQ(breaker.See(6s - kNs).next_change, At(6s));
}

TEST(HalfOpenTest, AGoodProbeProvesRecovery) {
  for (Outcome outcome : {Outcome::kOk, Outcome::kUserError}) {
    Subject breaker;
    breaker.Open(0s);
    breaker.Finish(breaker.Admit(1s), outcome, 3s);
    const BreakerSnapshot seen = breaker.See(3s);
    EXPECT_EQ(seen.state, State::kHalfOpen);
    EXPECT_TRUE(seen.proved);
    EXPECT_EQ(seen.since, At(1s));
    EXPECT_EQ(seen.next_change, At(12s));
    EXPECT_EQ(seen.window.of(outcome), 1u);
    EXPECT_EQ(seen.window.total(), 1u);
    EXPECT_EQ(breaker.events().size(), 2u) << "no event of its own";
  }
}

TEST(HalfOpenTest, OneFailedProbeOpens) {
  Settings settings = QuickSettings();
  settings.min_requests = 10;  // not asked in half-open
  Subject breaker(settings);
  breaker.Call(Outcome::kSystemError, 0s, 11);
  breaker.Finish(breaker.Admit(1s), Outcome::kTimeout, 2s);
  const BreakerSnapshot seen = breaker.See(2s);
  EXPECT_EQ(seen.state, State::kOpen);
  EXPECT_EQ(seen.generation, 3u);
  EXPECT_EQ(seen.since, At(2s));
  EXPECT_EQ(seen.next_probe, At(4s));
  ExpectEvent(breaker.events().back(), State::kHalfOpen, State::kOpen,
              TransitionReason::kTimeoutThreshold, 3, 2s);
}

TEST(HalfOpenTest, OneNanosecondBeforeTheLeaseEndsItIsStillHalfOpen) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  EXPECT_EQ(breaker.StateAt(6s - kNs), State::kHalfOpen);
  breaker.Finish(std::move(probe), Outcome::kOk, 6s - kNs);
  EXPECT_TRUE(breaker.See(6s - kNs).proved);
  EXPECT_EQ(breaker.events().size(), 2u);
}

TEST(HalfOpenTest, WhenTheLeaseEndsItOpensAtThatMomentInTheSameGeneration) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  EXPECT_EQ(breaker.StateAt(6s), State::kOpen);
  const BreakerSnapshot seen = breaker.See(6s + 500ms);
  EXPECT_EQ(seen.since, At(6s));
  EXPECT_EQ(seen.generation, 2u);
  EXPECT_EQ(seen.next_probe, At(8s));  // the second opening: 2 s
  ExpectEvent(breaker.events().back(), State::kHalfOpen, State::kOpen,
              TransitionReason::kProbeLeaseEnded, 2, 6s);
}

TEST(HalfOpenTest, ALeaseThatEndedLongAgoOpensAtItsOwnMoment) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  // Open from 6 s to 8 s, with nobody looking: the next call is a probe.
  Permit second = breaker.Admit(8s);
  ASSERT_EQ(breaker.events().size(), 4u);
  ExpectEvent(breaker.events()[2], State::kHalfOpen, State::kOpen,
              TransitionReason::kProbeLeaseEnded, 2, 6s);
  ExpectEvent(breaker.events()[3], State::kOpen, State::kHalfOpen,
              TransitionReason::kProbeAdmitted, 2, 8s);
}

TEST(HalfOpenTest, TheEndOfALeaseHasItsOwnJitter) {
  Settings settings = QuickSettings();
  settings.jitter = 0.5;
  Subject breaker(settings);
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  Random random = Random::Scripted(0, -1);
  EXPECT_EQ(breaker->View(At(6s), random).next_change, At(7s));  // 2 s / 2
}

TEST(HalfOpenTest, AnIgnoredProbeFreesItsSlotAndTheNextHasANewLease) {
  Subject breaker;
  breaker.Open(0s);
  breaker.Finish(breaker.Admit(1s), Outcome::kIgnored, 2s);
  BreakerSnapshot seen = breaker.See(2s);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_EQ(seen.since, At(1s));
  EXPECT_EQ(seen.next_change, TimePoint::max());
  EXPECT_EQ(breaker.StateAt(1000s), State::kHalfOpen) << "no lease is running";

  Permit second = breaker.Admit(1000s);
  EXPECT_FALSE(breaker.Admits(1000s));
  EXPECT_EQ(breaker.StateAt(1005s - kNs), State::kHalfOpen);
  EXPECT_EQ(breaker.StateAt(1005s), State::kOpen);
  EXPECT_EQ(breaker.See(1005s).since, At(1005s));
}

TEST(HalfOpenTest, AFreedSlotNeverLetsTwoProbesOut) {
  Subject breaker;
  breaker.Open(0s);
  for (int i = 0; i < 100; ++i) {
    Permit probe = breaker.Admit(1s);
    EXPECT_FALSE(breaker.Admits(1s));
    breaker.Finish(std::move(probe), Outcome::kIgnored, 1s);
  }
}

TEST(HalfOpenTest, AnIgnoredAnswerOfAnEarlierProbeFreesNothing) {
  Subject breaker;
  breaker.Open(0s);
  Permit first = breaker.Admit(1s);
  Permit second = breaker.Admit(8s);
  breaker.Finish(std::move(first), Outcome::kIgnored, 8s);
  EXPECT_FALSE(breaker.Admits(8s));
  breaker.Finish(std::move(second), Outcome::kIgnored, 8s);
  EXPECT_TRUE(breaker.Admits(8s));
}

TEST(HalfOpenTest, AGoodAnswerOfAnEarlierProbeProves) {
  Subject breaker;
  breaker.Open(0s);
  Permit first = breaker.Admit(1s);
  Permit second = breaker.Admit(8s);
  breaker.Finish(std::move(first), Outcome::kOk, 9s);
  EXPECT_TRUE(breaker.See(9s).proved);
  ExpectCounts(breaker.See(9s).window, Counts(1, 0, 0, 0, 0));
  // The one that was out is a call like any other now.
  breaker.Finish(std::move(second), Outcome::kIgnored, 10s);
  EXPECT_TRUE(breaker.See(10s).proved);
}

TEST(HalfOpenTest, ABadAnswerOfAnEarlierProbeOpens) {
  Subject breaker;
  breaker.Open(0s);
  Permit first = breaker.Admit(1s);
  Permit second = breaker.Admit(8s);
  breaker.Finish(std::move(first), Outcome::kUnknownError, 9s);
  EXPECT_EQ(breaker.StateAt(9s), State::kOpen);
  EXPECT_EQ(breaker.Generation(9s), 3u);
  breaker.Finish(std::move(second), Outcome::kOk, 9s);
  EXPECT_EQ(breaker.StateAt(9s), State::kOpen) << "of an older generation";
  EXPECT_EQ(breaker.See(9s).stale, 1u);
}

TEST(HalfOpenTest, AFailureOfAClassThatIsOffFreesTheSlotAndProvesNothing) {
  Settings settings = QuickSettings();
  settings.timeout_threshold = std::nullopt;
  settings.failure_threshold = std::nullopt;
  Subject breaker(settings);
  breaker.Open(0s);
  breaker.Finish(breaker.Admit(1s), Outcome::kTimeout, 2s);
  const BreakerSnapshot seen = breaker.See(2s);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_FALSE(seen.proved);
  EXPECT_EQ(seen.generation, 2u);
  ExpectCounts(seen.window, Counts(0, 0, 1, 0, 0));
  Permit second = breaker.Admit(2s);
  EXPECT_FALSE(breaker.Admits(2s));
}

TEST(HalfOpenTest, AnEarlierProbesFailureOfAClassThatIsOffFreesNothing) {
  Settings settings = QuickSettings();
  settings.timeout_threshold = std::nullopt;
  settings.failure_threshold = std::nullopt;
  Subject breaker(settings);
  breaker.Open(0s);
  Permit first = breaker.Admit(1s);
  Permit second = breaker.Admit(8s);
  breaker.Finish(std::move(first), Outcome::kTimeout, 8s);
  EXPECT_EQ(breaker.StateAt(8s), State::kHalfOpen);
  EXPECT_FALSE(breaker.Admits(8s));
}

TEST(HalfOpenTest, StaleOutcomesDecideNothing) {
  Subject breaker;
  Permit good = breaker.Admit(0s);
  Permit bad = breaker.Admit(0s);
  Permit ignored = breaker.Admit(0s);
  Permit proving = breaker.Admit(0s);
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  breaker.Finish(std::move(good), Outcome::kOk, 1s);
  breaker.Finish(std::move(bad), Outcome::kSystemError, 1s);
  breaker.Finish(std::move(ignored), Outcome::kIgnored, 1s);
  proving.Prove(At(1s));
  const BreakerSnapshot seen = breaker.See(1s);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_FALSE(seen.proved);
  EXPECT_EQ(seen.stale, 3u);
  ExpectCounts(seen.window, Counts(0, 0, 0, 0, 0));
  EXPECT_FALSE(breaker.Admits(1s));
}

// --- Half-open, proved: the ramp ---------------------------------------------

TEST(RampTest, ACallIsAdmittedIffItsDrawIsBelowTheShare) {
  Subject breaker;
  breaker.OpenAndProve(0s);  // at 1 s: share 1/10; at 10 s: all
  const struct {
    Duration t;
    double share;
  } moments[] = {{1s, 0.1}, {3500ms, 0.35}, {5s, 0.5}, {10s - 1s, 0.9}};
  for (const auto& moment : moments) {
    SCOPED_TRACE(moment.share);
    EXPECT_TRUE(breaker.Admits(moment.t, 0));
    EXPECT_TRUE(breaker.Admits(moment.t, moment.share - 1e-9));
    EXPECT_FALSE(breaker.Admits(moment.t, moment.share)) << "exactly at";
    EXPECT_FALSE(breaker.Admits(moment.t, moment.share + 1e-9));
  }
  EXPECT_FALSE(breaker.Admits(10s - kNs, std::nextafter(1.0, 0.0)));
}

TEST(RampTest, ARejectionSaysWhenToTryAgain) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  Admission admission = breaker.Ask(2s, 0.9);
  ASSERT_TRUE(admission.rejection.has_value());
  EXPECT_EQ(admission.rejection->reason, RejectionReason::kHalfOpenLimit);
  EXPECT_EQ(admission.rejection->retry_after, 1s);
  admission = breaker.Ask(9800ms, 0.99);
  ASSERT_TRUE(admission.rejection.has_value());
  EXPECT_EQ(admission.rejection->retry_after, 200ms);
}

TEST(RampTest, OneNanosecondBeforeItsEndItIsHalfOpenAndThenClosed) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  EXPECT_EQ(breaker.StateAt(10s - kNs), State::kHalfOpen);
  const BreakerSnapshot seen = breaker.See(10s + 500ms);
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.since, At(10s));
  EXPECT_EQ(seen.generation, 2u) << "the generation stays";
  ExpectCounts(seen.window, Counts(1, 0, 0, 0, 0));
  ExpectEvent(breaker.events().back(), State::kHalfOpen, State::kClosed,
              TransitionReason::kRampFinished, 2, 10s);
}

TEST(RampTest, ExactlyAtItsEndEveryDrawIsAdmitted) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  Permit permit = breaker.Admit(10s, std::nextafter(1.0, 0.0));
  ExpectEvent(breaker.events().back(), State::kHalfOpen, State::kClosed,
              TransitionReason::kRampFinished, 2, 10s);
}

TEST(RampTest, CallsAdmittedInTheRampCountAfterItsEnd) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  Permit permit = breaker.Admit(9s);
  breaker.Finish(std::move(permit), Outcome::kOk, 10s);
  ExpectCounts(breaker.See(10s).window, Counts(2, 0, 0, 0, 0));
  EXPECT_EQ(breaker.See(10s).stale, 0u);
}

TEST(RampTest, OneFailureAmongManySuccessesDoesNotOpen) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  breaker.Call(Outcome::kOk, 2s, 199);
  breaker.Call(Outcome::kSystemError, 2s, 199);  // 199 of 399
  EXPECT_EQ(breaker.StateAt(2s), State::kHalfOpen);
  breaker.Call(Outcome::kSystemError, 2s);  // 200 of 400
  EXPECT_EQ(breaker.StateAt(2s), State::kOpen);
  EXPECT_EQ(breaker.Generation(2s), 3u);
}

TEST(RampTest, MinRequestsIsNotAskedInTheRampAndAskedAfterIt) {
  Settings settings = QuickSettings();
  settings.min_requests = 10;
  Subject breaker(settings);
  breaker.Call(Outcome::kSystemError, 0s, 11);
  breaker.Call(Outcome::kOk, 1s);
  Permit late = breaker.Admit(9s);
  breaker.Finish(std::move(late), Outcome::kSystemError, 10s);  // 1 of 2
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);

  Subject other(settings);
  other.Call(Outcome::kSystemError, 0s, 11);
  other.Call(Outcome::kOk, 1s);
  other.Call(Outcome::kSystemError, 10s - kNs);  // 1 of 2
  EXPECT_EQ(other.StateAt(10s - kNs), State::kOpen);
}

TEST(RampTest, AnIgnoredOutcomeChangesNothing) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  breaker.Call(Outcome::kIgnored, 2s, 10);
  EXPECT_EQ(breaker.StateAt(2s), State::kHalfOpen);
  ExpectCounts(breaker.See(2s).window, Counts(1, 0, 0, 0, 0));
}

TEST(RampTest, FromTheOpeningTheShareCountsTheWaitToo) {
  Settings settings = QuickSettings();
  settings.ramp_from_opening = true;
  Subject breaker(settings);
  breaker.Open(0s);  // origin 0 s
  breaker.Finish(breaker.Admit(4s), Outcome::kOk, 4s);
  EXPECT_FALSE(breaker.Admits(4s, 0.4));
  EXPECT_TRUE(breaker.Admits(4s, 0.399));
  EXPECT_EQ(breaker.StateAt(10s - kNs), State::kHalfOpen);
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
}

TEST(RampTest, FromTheOpeningALongWaitSkipsTheRamp) {
  Settings settings = QuickSettings();
  settings.ramp_from_opening = true;
  Subject breaker(settings);
  breaker.Open(0s);
  Permit probe = breaker.Admit(20s);
  EXPECT_FALSE(breaker.Admits(20s)) << "not proved yet";
  breaker.Finish(std::move(probe), Outcome::kOk, 21s);
  EXPECT_TRUE(breaker.Admits(21s, 0.99));
  const BreakerSnapshot seen = breaker.See(22s);
  EXPECT_EQ(seen.state, State::kClosed);
  // Closed by the proof: it was not before.
  EXPECT_EQ(seen.since, At(21s));
  EXPECT_EQ(seen.generation, 2u);
}

TEST(RampTest, FromTheOpeningNobodyPassesBeforeTheOrigin) {
  Settings settings = QuickSettings();
  settings.ramp_from_opening = true;
  Subject breaker(settings);
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  // The lease ends at 6 s: open for 2 s, so the origin is 7 s.
  breaker.Finish(std::move(probe), Outcome::kOk, 6s);
  ASSERT_TRUE(breaker.See(6s).proved);
  for (Duration t : {6s, 7s}) EXPECT_FALSE(breaker.Admits(t, 0));
  EXPECT_TRUE(breaker.Admits(7s + kNs, 0));
}

// --- Slow calls
// ----------------------------------------------------------------

TEST(SlowCallTest, ACallIsSlowAtTheDurationAndNotBefore) {
  Subject breaker(SlowCallSettings());
  breaker.Call(Outcome::kOk, 0s, 3, 100ms - kNs);
  ExpectCounts(breaker.See(0s).window, Counts(3, 0, 0, 0, 0, 0));
  breaker.Call(Outcome::kOk, 0s, 1, 100ms);
  ExpectCounts(breaker.See(0s).window, Counts(4, 0, 0, 0, 0, 1));
  ExpectCounts(breaker.See(0s).lifetime, Counts(4, 0, 0, 0, 0, 1));
}

TEST(SlowCallTest, SlowCallsOpenAtTheirThreshold) {
  Subject breaker(SlowCallSettings());
  breaker.Call(Outcome::kOk, 0s, 2, 1ms);
  breaker.Call(Outcome::kUserError, 0s, 1, 1s);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  breaker.Call(Outcome::kOk, 0s, 1, 1s);  // 2 of 4
  ASSERT_EQ(breaker.events().size(), 1u);
  ExpectEvent(breaker.events()[0], State::kClosed, State::kOpen,
              TransitionReason::kSlowCallThreshold, 2, 0s);
}

TEST(SlowCallTest, ASlowFailureIsCountedInBothWaysAndOnceInTheTotal) {
  Settings settings = SlowCallSettings();
  settings.min_requests = 10;
  Subject breaker(settings);
  breaker.Call(Outcome::kTimeout, 0s, 1, 1s);
  ExpectCounts(breaker.See(0s).window, Counts(0, 0, 1, 0, 0, 1));
  EXPECT_EQ(breaker.See(0s).window.total(), 1u);
}

TEST(SlowCallTest, ASlowProbeIsABadOne) {
  Subject breaker(SlowCallSettings());
  breaker.Open(0s);
  breaker.Finish(breaker.Admit(1s), Outcome::kOk, 2s, 100ms);
  EXPECT_EQ(breaker.StateAt(2s), State::kOpen);
  ExpectEvent(breaker.events().back(), State::kHalfOpen, State::kOpen,
              TransitionReason::kSlowCallThreshold, 3, 2s);
}

TEST(SlowCallTest, ASlowAnswerAfterTheLeaseDoesNotProve) {
  Subject breaker(SlowCallSettings());
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  breaker.Finish(std::move(probe), Outcome::kOk, 7s, 6s);
  EXPECT_EQ(breaker.StateAt(7s), State::kOpen);
  ExpectCounts(breaker.See(7s).window, Counts(0, 0, 0, 0, 0, 0));
  ExpectCounts(breaker.See(7s).lifetime, Counts(1, 0, 0, 1, 0, 1));
}

TEST(SlowCallTest, WithoutADurationNothingIsSlow) {
  Subject breaker;
  breaker.Call(Outcome::kOk, 0s, 10, 1000s);
  EXPECT_EQ(breaker.See(0s).window.slow, 0u);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
}

TEST(SlowCallTest, AnIgnoredCallIsNotSlow) {
  Subject breaker(SlowCallSettings());
  breaker.Call(Outcome::kIgnored, 0s, 1, 1s);
  EXPECT_EQ(breaker.See(0s).lifetime.slow, 0u);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
}

// --- The first message of a stream
// ------------------------------------------------

TEST(ProveTest, TheFirstMessageProvesAndCountsNothing) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  probe.Prove(At(2s));
  const BreakerSnapshot seen = breaker.See(2s);
  EXPECT_TRUE(seen.proved);
  EXPECT_EQ(seen.next_change, At(11s));
  ExpectCounts(seen.window, Counts(0, 0, 0, 0, 0));
  EXPECT_EQ(seen.in_flight, 1u);
  EXPECT_TRUE(breaker.Admits(2s));
  // No lease is running any more, and the outcome is the stream's status.
  EXPECT_EQ(breaker.StateAt(7s), State::kHalfOpen);
  breaker.Finish(std::move(probe), Outcome::kUnknownError, 7s);
  EXPECT_EQ(breaker.StateAt(7s), State::kOpen) << "1 of 1";
}

TEST(ProveTest, AfterTheLeaseItProvesToo) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  probe.Prove(At(6s));  // exactly when the lease ends
  EXPECT_TRUE(breaker.See(6s).proved);
  ASSERT_EQ(breaker.events().size(), 4u);
  EXPECT_EQ(breaker.events()[2].reason, TransitionReason::kProbeLeaseEnded);
  EXPECT_EQ(breaker.events()[3].reason, TransitionReason::kProbeSucceeded);
}

TEST(ProveTest, ASecondProofMovesNothing) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  probe.Prove(At(2s));
  probe.Prove(At(5s));
  EXPECT_EQ(breaker.See(5s).next_change, At(11s));
}

TEST(ProveTest, WhenClosedOrForcedItDoesNothing) {
  Subject breaker;
  Permit permit = breaker.Admit(0s);
  permit.Prove(At(0s));
  EXPECT_TRUE(breaker.events().empty());
  breaker->Force(Override::kForcedOpen, TimePoint::max(), At(0s));
  permit.Prove(At(0s));
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
}

// --- Outcomes reported without a permit
// ---------------------------------------------

TEST(ReportTest, AnOutcomeOfTheCurrentGenerationCountsAndOpens) {
  Subject breaker;
  Random random = Random::Scripted(0, 0);
  breaker->Report(Outcome::kOk, At(0s), 0s, random);
  breaker->Report(Outcome::kSystemError, At(0s), 0s, random);
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
  EXPECT_EQ(breaker.See(0s).in_flight, 0u);
}

TEST(ReportTest, AStaleOneIsCountedAsThatAlone) {
  Subject breaker;
  Random random = Random::Scripted(0, 0);
  breaker->Report(Outcome::kSystemError, At(0s), 0s, random, /*stale=*/true);
  const BreakerSnapshot seen = breaker.See(0s);
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.stale, 1u);
  EXPECT_EQ(seen.lifetime.total(), 0u);
  EXPECT_EQ(seen.in_flight, 0u);
}

TEST(ReportTest, ItIsNotTheProbes) {
  Settings settings = QuickSettings();
  settings.timeout_threshold = std::nullopt;
  settings.failure_threshold = std::nullopt;
  Subject breaker(settings);
  Random random = Random::Scripted(0, 0);
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  breaker->Report(Outcome::kIgnored, At(1s), 0s, random);
  breaker->Report(Outcome::kTimeout, At(1s), 0s, random);
  EXPECT_FALSE(breaker.Admits(1s)) << "the probe is still out";
  breaker->Report(Outcome::kOk, At(1s), 0s, random);
  EXPECT_TRUE(breaker.See(1s).proved);
}

// --- Shadow and off
// ----------------------------------------------------------------

TEST(ShadowTest, NothingIsRejectedAndWhatWouldBeIsCounted) {
  Subject breaker(WithMode(Mode::kShadow));
  breaker.Open(0s);
  Admission admission = breaker.Ask(500ms);
  EXPECT_TRUE(admission.admitted());
  EXPECT_FALSE(bool{admission.permit});
  admission.permit.Finish(Outcome::kOk, At(500ms));  // does nothing
  const BreakerSnapshot seen = breaker.See(500ms);
  EXPECT_EQ(seen.state, State::kOpen);
  EXPECT_EQ(seen.shadow_rejected, 1u);
  EXPECT_EQ(seen.rejected, (std::array<std::uint64_t, 3>{0, 0, 0}));
  EXPECT_EQ(seen.lifetime.total(), 1u);
  EXPECT_EQ(seen.in_flight, 0u);
}

TEST(ShadowTest, WhatWouldBeRejectedHasAskedToo) {
  Subject breaker(WithMode(Mode::kShadow));
  breaker.Open(0s);
  EXPECT_TRUE(breaker.Ask(0s).admitted());
  EXPECT_EQ(breaker->asked(), 2u);
}

TEST(ShadowTest, ItProbesRampsAndClosesLikeAnyOther) {
  Subject breaker(WithMode(Mode::kShadow));
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  EXPECT_FALSE(bool{breaker.Ask(1s).permit});
  breaker.Finish(std::move(probe), Outcome::kOk, 1s);
  EXPECT_FALSE(bool{breaker.Ask(1s, 0.5).permit});
  EXPECT_TRUE(bool{breaker.Ask(1s, 0.05).permit});
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
  EXPECT_EQ(breaker.See(10s).shadow_rejected, 2u);
}

TEST(ShadowTest, ForcedOpenRejectsNothingEither) {
  Subject breaker(WithMode(Mode::kShadow));
  breaker->Force(Override::kForcedOpen, TimePoint::max(), At(0s));
  EXPECT_TRUE(breaker.Ask(1s).admitted());
  EXPECT_EQ(breaker.See(1s).shadow_rejected, 1u);
}

TEST(OffTest, ItAdmitsAndRecordsNothing) {
  Subject breaker(WithMode(Mode::kOff));
  Admission admission = breaker.Ask(0s);
  EXPECT_TRUE(admission.admitted());
  EXPECT_FALSE(bool{admission.permit});
  EXPECT_FALSE(bool{breaker->AdmitIfClosed()});
  Random random = Random::Scripted(0, 0);
  for (int i = 0; i < 100; ++i) {
    breaker->Report(Outcome::kSystemError, At(0s), 0s, random);
    breaker->Report(Outcome::kSystemError, At(0s), 0s, random, true);
  }
  const BreakerSnapshot seen = breaker.See(0s);
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.lifetime.total(), 0u);
  EXPECT_EQ(seen.window.total(), 0u);
  EXPECT_EQ(seen.stale, 0u);
  EXPECT_EQ(seen.in_flight, 0u);
  EXPECT_EQ(breaker->asked(), 0u);
}

// --- Forced states
// -----------------------------------------------------------------

TEST(ForcedTest, OpenRejectsUntilReleased) {
  Subject breaker;
  breaker->Force(Override::kForcedOpen, TimePoint::max(), At(1s));
  for (Duration t : {1s, 1000000s}) {
    const Admission admission = breaker.Ask(t);
    ASSERT_TRUE(admission.rejection.has_value());
    EXPECT_EQ(admission.rejection->reason, RejectionReason::kForcedOpen);
    EXPECT_EQ(admission.rejection->retry_after, 10s) << "the longest wait";
  }
  const BreakerSnapshot seen = breaker.See(1000000s);
  EXPECT_EQ(seen.state, State::kOpen);
  EXPECT_EQ(seen.override_state, Override::kForcedOpen);
  EXPECT_EQ(seen.since, At(1s));
  EXPECT_EQ(seen.next_change, TimePoint::max());
  EXPECT_EQ(seen.next_probe, TimePoint::max());
  EXPECT_EQ(seen.rejected, (std::array<std::uint64_t, 3>{0, 0, 2}));
  EXPECT_TRUE(breaker->Release(At(1000000s)));
  EXPECT_TRUE(breaker.Admits(1000000s));
  EXPECT_EQ(breaker.StateAt(1000000s), State::kClosed);
}

TEST(ForcedTest, OpenEndsExactlyAtItsLimit) {
  Subject breaker;
  breaker->Force(Override::kForcedOpen, At(5s), At(1s));
  const Admission admission = breaker.Ask(5s - kNs);
  ASSERT_TRUE(admission.rejection.has_value());
  EXPECT_EQ(admission.rejection->retry_after, kNs);
  EXPECT_EQ(breaker.See(5s - kNs).next_change, At(5s));
  EXPECT_TRUE(breaker.Admits(5s));
  const BreakerSnapshot seen = breaker.See(6s);
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.override_state, Override::kNone);
  EXPECT_EQ(seen.since, At(5s));
  EXPECT_EQ(seen.generation, 2u);
  ASSERT_EQ(breaker.events().size(), 2u);
  EXPECT_EQ(breaker.events()[0].override_to, Override::kForcedOpen);
  EXPECT_EQ(breaker.events()[0].reason, TransitionReason::kForced);
  EXPECT_EQ(breaker.events()[1].override_from, Override::kForcedOpen);
  EXPECT_EQ(breaker.events()[1].reason, TransitionReason::kForceExpired);
  EXPECT_EQ(breaker.events()[1].at, At(5s));
}

TEST(ForcedTest, ClosedAdmitsWhateverTheOutcomesSay) {
  Subject breaker;
  breaker->Force(Override::kForcedClosed, TimePoint::max(), At(0s));
  EXPECT_FALSE(bool{breaker->AdmitIfClosed()}) << "its end needs a clock";
  breaker.Call(Outcome::kSystemError, 0s, 100);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  EXPECT_EQ(breaker.See(0s).override_state, Override::kForcedClosed);
  EXPECT_EQ(breaker.See(0s).lifetime.total(), 100u);
  EXPECT_TRUE(breaker->Release(At(1s)));
  const BreakerSnapshot seen = breaker.See(1s);
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.window.total(), 0u) << "the window is empty";
  EXPECT_EQ(seen.generation, 2u);
}

TEST(ForcedTest, ClosedOverridesAnOpenBreaker) {
  Subject breaker;
  breaker.Open(0s);
  breaker->Force(Override::kForcedClosed, At(10s), At(0s));
  EXPECT_TRUE(breaker.Admits(0s));
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
  EXPECT_EQ(breaker.Generation(10s), 3u);
  breaker.Open(10s);
  EXPECT_EQ(breaker.NextProbe(10s), 11s) << "k starts over";
}

TEST(ForcedTest, OutcomesOfBeforeTheReleaseAreStaleAfterIt) {
  Subject breaker;
  Permit before = breaker.Admit(0s);
  breaker->Force(Override::kForcedClosed, TimePoint::max(), At(0s));
  Permit during = breaker.Admit(0s);
  breaker->Release(At(1s));
  breaker.Finish(std::move(before), Outcome::kSystemError, 1s);
  breaker.Finish(std::move(during), Outcome::kSystemError, 1s);
  EXPECT_EQ(breaker.StateAt(1s), State::kClosed);
  EXPECT_EQ(breaker.See(1s).stale, 2u);
}

TEST(ForcedTest, WhileForcedAProbeNeitherProvesNorOpens) {
  for (Outcome outcome : {Outcome::kOk, Outcome::kSystemError}) {
    Subject breaker;
    breaker.Open(0s);
    Permit probe = breaker.Admit(1s);
    breaker->Force(Override::kForcedOpen, At(3s), At(1s));
    breaker.Finish(std::move(probe), outcome, 2s);
    EXPECT_EQ(breaker.StateAt(2s), State::kOpen);
    EXPECT_EQ(breaker.StateAt(3s), State::kClosed);
    EXPECT_EQ(breaker.Generation(3s), 3u);
    EXPECT_EQ(breaker.See(3s).in_flight, 0u);
  }
}

TEST(ForcedTest, ForcingAgainReplacesTheLimitAndTheState) {
  Subject breaker;
  breaker->Force(Override::kForcedOpen, At(5s), At(1s));
  breaker->Force(Override::kForcedOpen, At(9s), At(2s));
  EXPECT_EQ(breaker.StateAt(9s - kNs), State::kOpen);
  EXPECT_EQ(breaker.See(9s - kNs).since, At(1s));
  EXPECT_EQ(breaker.events().size(), 1u);
  breaker->Force(Override::kForcedClosed, At(20s), At(8s));
  EXPECT_EQ(breaker.StateAt(8s), State::kClosed);
  EXPECT_EQ(breaker.See(8s).since, At(8s));
  EXPECT_EQ(breaker.events().size(), 2u);
}

TEST(ForcedTest, ReleaseWithoutAnOverrideSaysSoAndChangesNothing) {
  Subject breaker;
  breaker.Open(0s);
  EXPECT_FALSE(breaker->Release(At(0s)));
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
  breaker->Force(Override::kForcedOpen, At(5s), At(1s));
  EXPECT_FALSE(breaker->Release(At(5s))) << "it has just expired";
}

TEST(ResetTest, FromEveryStateItIsClosedEmptyAndANewGeneration) {
  const struct {
    const char* name;
    void (*prepare)(Subject&);
    std::uint32_t generation;
  } cases[] = {
      {"closed", [](Subject& b) { b.Call(Outcome::kOk, 0s, 5); }, 2},
      {"open", [](Subject& b) { b.Open(9s + 500ms); }, 3},
      {"half-open",
       [](Subject& b) {
         b.Open(0s);
         b.Call(Outcome::kIgnored, 9s);
       },
       3},
      {"proved", [](Subject& b) { b.OpenAndProve(5s); }, 3},
      {"forced open",
       [](Subject& b) {
         b->Force(Override::kForcedOpen, TimePoint::max(), At(0s));
       },
       2},
      {"forced closed",
       [](Subject& b) {
         b->Force(Override::kForcedClosed, TimePoint::max(), At(0s));
       },
       2},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Subject breaker;
    c.prepare(breaker);
    breaker->Reset(At(10s));
    const BreakerSnapshot seen = breaker.See(10s);
    EXPECT_EQ(seen.state, State::kClosed);
    EXPECT_EQ(seen.override_state, Override::kNone);
    EXPECT_EQ(seen.generation, c.generation);
    EXPECT_EQ(seen.window.total(), 0u);
    EXPECT_TRUE(bool{breaker->AdmitIfClosed()});
    breaker.Open(10s);
    EXPECT_EQ(breaker.NextProbe(10s), 11s) << "k starts over";
  }
}

TEST(ResetTest, OutcomesOfBeforeAreStale) {
  Subject breaker;
  Permit permit = breaker.Admit(0s);
  breaker->Reset(At(0s));
  breaker.Finish(std::move(permit), Outcome::kSystemError, 0s);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  EXPECT_EQ(breaker.See(0s).stale, 1u);
}

// --- Permits
// -----------------------------------------------------------------------

TEST(PermitTest, MovesButDoesNotCopy) {
  static_assert(std::is_nothrow_move_constructible_v<Permit>);
  static_assert(std::is_nothrow_move_assignable_v<Permit>);
  static_assert(!std::is_copy_constructible_v<Permit>);
  static_assert(!std::is_copy_assignable_v<Permit>);

  Subject breaker;
  Permit first = breaker.Admit(0s);
  Permit second = std::move(first);
  EXPECT_FALSE(bool{first});  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(bool{second});
  first.Finish(Outcome::kSystemError, At(0s));
  first.Prove(At(0s));
  EXPECT_EQ(breaker.See(0s).in_flight, 1u);
  second.Finish(Outcome::kOk, At(0s));
  EXPECT_FALSE(bool{second});
  ExpectCounts(breaker.See(0s).lifetime, Counts(1, 0, 0, 0, 0));
}

TEST(PermitTest, AnEmptyOneDoesNothing) {
  Permit permit;
  EXPECT_FALSE(bool{permit});
  permit.Finish(Outcome::kSystemError, At(0s));
  permit.Prove(At(0s));
}

TEST(PermitTest, DroppedItEndsAsIgnored) {
  Subject breaker;
  { Permit permit = breaker.Admit(0s); }
  const BreakerSnapshot seen = breaker.See(0s);
  EXPECT_EQ(seen.ignored, 1u);
  EXPECT_EQ(seen.in_flight, 0u);
  EXPECT_EQ(seen.lifetime.total(), 0u);
}

TEST(PermitTest, AssignedOverItEndsAsIgnored) {
  Subject breaker;
  Permit permit = breaker.Admit(0s);
  permit = breaker.Admit(0s);
  EXPECT_EQ(breaker.See(0s).ignored, 1u);
  EXPECT_EQ(breaker.See(0s).in_flight, 1u);
  permit = Permit();
  EXPECT_EQ(breaker.See(0s).ignored, 2u);
}

TEST(PermitTest, AssignedToItselfItStays) {
  Subject breaker;
  Permit permit = breaker.Admit(0s);
  Permit& same = permit;
  permit = std::move(same);
  EXPECT_TRUE(bool{permit});
  EXPECT_EQ(breaker.See(0s).in_flight, 1u);
}

TEST(PermitTest, ASecondFinishDoesNothing) {
  Subject breaker;
  Permit permit = breaker.Admit(0s);
  permit.Finish(Outcome::kOk, At(0s));
  permit.Finish(Outcome::kSystemError, At(0s));
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  EXPECT_EQ(breaker.See(0s).lifetime.total(), 1u);
}

TEST(PermitTest, ADroppedProbeReadsTheClockAndFreesItsSlot) {
  Subject breaker;
  breaker.Open(0s);
  {
    Permit probe = breaker.Admit(1s);
    drop_time = 2s;
  }
  EXPECT_TRUE(breaker.Admits(2s));
  {
    Permit probe = breaker.Admit(2s);
    drop_time = 7s;  // its lease has ended
  }
  EXPECT_EQ(breaker.See(7s).state, State::kOpen);
  EXPECT_EQ(breaker.See(7s).since, At(7s));
}

// --- Time
// ----------------------------------------------------------------------------

TEST(TimeTest, ReadersCommitWhatTimeHasDecided) {
  Subject breaker;
  breaker.Open(0s);
  EXPECT_EQ(breaker.StateAt(1s - kNs), State::kOpen);
  EXPECT_EQ(breaker.StateAt(1s), State::kHalfOpen) << "would admit a probe";
  BreakerSnapshot seen = breaker.See(3s);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_EQ(seen.since, At(1s));
  EXPECT_EQ(seen.next_probe, At(1s));
  EXPECT_EQ(seen.next_change, TimePoint::max());
  EXPECT_EQ(breaker.events().size(), 1u) << "no call, no transition";
}

TEST(TimeTest, AnOutcomeCommitsWhatTimeHasDecidedFirst) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  Permit permit = breaker.Admit(9s);
  breaker.Finish(std::move(permit), Outcome::kSystemError, 10s);
  // Closed at 10 s, then judged as closed: 1 of 2, more than min_requests.
  ASSERT_EQ(breaker.events().size(), 4u);
  EXPECT_EQ(breaker.events()[2].to, State::kClosed);
  ExpectEvent(breaker.events()[3], State::kClosed, State::kOpen,
              TransitionReason::kSystemErrorThreshold, 3, 10s);
}

TEST(TimeTest, AStaleOutcomeCommitsWhatTimeHasDecidedToo) {
  Subject breaker;
  Permit stale = breaker.Admit(0s);
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  breaker.Finish(std::move(stale), Outcome::kOk, 6s);
  EXPECT_EQ(breaker.events().back().reason, TransitionReason::kProbeLeaseEnded);
}

TEST(TimeTest, GoingBackwardsLosesNothingAndUndoesNothing) {
  Subject breaker;
  breaker.Call(Outcome::kOk, 100s, 3);
  breaker.Call(Outcome::kOk, 40s, 2);
  ExpectCounts(breaker.See(100s).lifetime, Counts(5, 0, 0, 0, 0));
  breaker.Call(Outcome::kSystemError, 100s, 3);  // 3 of 6
  EXPECT_EQ(breaker.See(50s).state, State::kOpen);
  EXPECT_FALSE(breaker.Admits(50s));
  Permit probe = breaker.Admit(101s);
  breaker.Finish(std::move(probe), Outcome::kOk, 100s);  // before its admission
  EXPECT_TRUE(breaker.See(100s).proved);
  EXPECT_EQ(breaker.See(100s).since, At(101s)) << "changes never overtake";
  EXPECT_EQ(breaker.StateAt(109s), State::kClosed);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);
  for (std::size_t i = 1; i < breaker.events().size(); ++i) {
    EXPECT_GE(breaker.events()[i].at, breaker.events()[i - 1].at);
  }
}

TEST(TimeTest, BeforeTheEpochItWorksAlike) {
  Random random = Random::Scripted(0, 0);
  for (Duration start :
       {Duration(-100'000s), Duration(-100s), Duration(-1ns), Duration(0)}) {
    const TimePoint t{start};
    const auto breaker = std::make_unique<CircuitBreaker>(QuickSettings(), t);
    for (int i = 0; i < 25; ++i) {
      breaker->Report(Outcome::kOk, t + i * 1s, 0s, random);
    }
    ExpectCounts(breaker->Snapshot(t + 24s).window, Counts(10, 0, 0, 0, 0));
    breaker->Force(Override::kForcedOpen, TimePoint::max(), t + 24s);
    EXPECT_EQ(breaker->Admit(t + 24s).rejection->retry_after, 10s);
  }
}

TEST(TimeTest, BeforeTheEpochItOpensAndRecoversAlike) {
  Random low = Random::Scripted(0.49, 0);
  Random high = Random::Scripted(0.51, 0);
  const TimePoint t{-100s};
  const auto breaker = std::make_unique<CircuitBreaker>(QuickSettings(), t);
  breaker->Report(Outcome::kTimeout, t, 0s, low);
  EXPECT_EQ(breaker->Admit(t + 1s - kNs, low).rejection->retry_after, kNs);
  Admission probe = breaker->Admit(t + 1s, low);
  ASSERT_TRUE(bool{probe.permit});
  probe.permit.Finish(Outcome::kOk, t + 1s);
  EXPECT_EQ(breaker->Admit(t + 5s, high).rejection->retry_after, 1s);
  Admission ramp = breaker->Admit(t + 5s, low);
  EXPECT_TRUE(bool{ramp.permit});
  ramp.permit.Finish(Outcome::kIgnored, t + 5s);
  EXPECT_EQ(breaker->View(t + 10s - kNs).state, State::kHalfOpen);
  EXPECT_EQ(breaker->View(t + 10s).state, State::kClosed);
}

TEST(TimeTest, TimeInEachStateSumsToTheWhole) {
  Subject breaker;
  breaker.Open(3s);                                           // closed 3 s
  Permit probe = breaker.Admit(4s);                           // open 1 s
  breaker.Finish(std::move(probe), Outcome::kOk, 6s);         //
  ASSERT_EQ(breaker.StateAt(15s), State::kClosed);            // half-open 11 s
  breaker->Force(Override::kForcedOpen, At(22s), At(20s));    // closed 5 s
  ASSERT_EQ(breaker.StateAt(23s), State::kClosed);            // forced open 2 s
  breaker->Force(Override::kForcedClosed, At(99s), At(25s));  // closed 3 s
  breaker->Release(At(29s));                      // forced closed 4 s
  const BreakerSnapshot seen = breaker.See(30s);  // closed 1 s
  EXPECT_EQ(seen.time_in_state, (std::array<Duration, 3>{12s, 1s, 11s}));
  EXPECT_EQ(seen.time_forced_open, 2s);
  EXPECT_EQ(seen.time_forced_closed, 4s);
}

// --- The snapshot
// ----------------------------------------------------------------------

TEST(SnapshotTest, OfANewBreaker) {
  Subject breaker;
  const BreakerSnapshot seen = breaker.See(0s);
  EXPECT_EQ(seen.settings, QuickSettings());
  EXPECT_EQ(seen.state, State::kClosed);
  EXPECT_EQ(seen.override_state, Override::kNone);
  EXPECT_EQ(seen.generation, 1u);
  EXPECT_EQ(seen.since, At(0s));
  EXPECT_EQ(seen.next_probe, TimePoint::max());
  EXPECT_EQ(seen.next_change, TimePoint::max());
  EXPECT_FALSE(seen.proved);
  ExpectCounts(seen.window, Counts(0, 0, 0, 0, 0));
  ExpectCounts(seen.lifetime, Counts(0, 0, 0, 0, 0));
  EXPECT_EQ(seen.in_flight, 0u);
}

TEST(SnapshotTest, EveryCounter) {
  Settings settings = SlowCallSettings();
  settings.min_requests = 15;
  Subject breaker(settings);
  Permit open_at_end = breaker.Admit(0s);
  Permit stale = breaker.Admit(0s);
  breaker.Call(Outcome::kOk, 0s, 1);
  breaker.Call(Outcome::kUserError, 0s, 2);
  breaker.Call(Outcome::kTimeout, 0s, 3);
  breaker.Call(Outcome::kSystemError, 0s, 4);
  breaker.Call(Outcome::kUnknownError, 0s, 5, 1s);
  breaker.Call(Outcome::kIgnored, 0s, 6);
  EXPECT_EQ(breaker.StateAt(0s), State::kClosed);  // 15 outcomes
  breaker.Call(Outcome::kUnknownError, 0s, 1, 1s);
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(breaker.Admits(500ms));
  breaker.Finish(std::move(stale), Outcome::kOk, 500ms);
  Permit probe = breaker.Admit(1s);
  for (int i = 0; i < 8; ++i) EXPECT_FALSE(breaker.Admits(1s));
  breaker->Force(Override::kForcedOpen, TimePoint::max(), At(1s));
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(breaker.Admits(1s));

  const BreakerSnapshot seen = breaker.See(1s);
  ExpectCounts(seen.lifetime, Counts(1, 2, 3, 4, 6, 6));
  EXPECT_EQ(seen.ignored, 6u);
  EXPECT_EQ(seen.stale, 1u);
  EXPECT_EQ(seen.rejected, (std::array<std::uint64_t, 3>{7, 8, 9}));
  EXPECT_EQ(seen.shadow_rejected, 0u);
  EXPECT_EQ(seen.in_flight, 2u);
  EXPECT_EQ(breaker->in_flight(), 2u);
  EXPECT_EQ(breaker->asked(), 1u + 1 + 16 + 6 + 1 + 7 + 8 + 9);
  breaker.Finish(std::move(probe), Outcome::kIgnored, 1s);
  breaker.Finish(std::move(open_at_end), Outcome::kIgnored, 1s);
  EXPECT_EQ(breaker->in_flight(), 0u);
}

TEST(SnapshotTest, Transitions) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  breaker.Call(Outcome::kSystemError, 2s);          // half-open -> open
  breaker.Call(Outcome::kOk, 4s);                   // open -> half-open
  ASSERT_EQ(breaker.StateAt(13s), State::kClosed);  // half-open -> closed
  breaker.Open(20s);                                // closed -> open
  breaker->Reset(At(20s));                          // open -> closed
  breaker->Force(Override::kForcedOpen, At(30s), At(20s));  // none
  using Row = std::array<std::uint32_t, 3>;
  const auto transitions = breaker.See(40s).transitions;
  EXPECT_EQ(transitions[0], (Row{0, 2, 0}));
  EXPECT_EQ(transitions[1], (Row{1, 0, 2}));
  EXPECT_EQ(transitions[2], (Row{1, 1, 0}));
}

TEST(SnapshotTest, ShardsDoNotShowInTheCounts) {
  for (int shards : {0, 1, 64}) {
    Subject breaker(QuickSettings(), shards);
    breaker.Call(Outcome::kOk, 0s, 3);
    breaker.Call(Outcome::kUserError, 1s, 2);
    breaker.Call(Outcome::kSystemError, 2s, 1);
    ExpectCounts(breaker.See(2s).window, Counts(3, 2, 0, 1, 0));
    ExpectCounts(breaker.See(2s).lifetime, Counts(3, 2, 0, 1, 0));
    ExpectCounts(breaker.See(10s).window, Counts(0, 2, 0, 1, 0));
  }
}

// --- Other settings: each row of the second table ----------------------------

Settings SlowerSettings() {
  Settings settings = QuickSettings();
  settings.min_recovery = 3s;
  settings.max_recovery = 13s;
  settings.max_open_duration = 9s;
  settings.probe_lease = 20s;
  return settings;
}

// What no change of the settings touches.
void ExpectKept(const BreakerSnapshot& before, const BreakerSnapshot& after) {
  EXPECT_EQ(after.state, before.state);
  EXPECT_EQ(after.override_state, before.override_state);
  EXPECT_EQ(after.generation, before.generation);
  EXPECT_EQ(after.since, before.since);
  EXPECT_EQ(after.next_probe, before.next_probe);
  EXPECT_EQ(after.proved, before.proved);
  ExpectCounts(after.lifetime, before.lifetime);
  EXPECT_EQ(after.ignored, before.ignored);
  EXPECT_EQ(after.stale, before.stale);
  EXPECT_EQ(after.rejected, before.rejected);
  EXPECT_EQ(after.shadow_rejected, before.shadow_rejected);
  EXPECT_EQ(after.in_flight, before.in_flight);
  EXPECT_EQ(after.time_in_state, before.time_in_state);
  EXPECT_EQ(after.transitions, before.transitions);
}

TEST(SetPolicyTest, AClosedBreakerIsJudgedByTheNewThresholdsAtTheNextFailure) {
  Settings settings = QuickSettings();
  settings.min_requests = 10;
  Subject breaker(settings);
  breaker.Call(Outcome::kSystemError, 0s, 4);
  const BreakerSnapshot before = breaker.See(0s);
  settings.min_requests = 4;
  breaker.SetPolicy(settings, 0s);
  const BreakerSnapshot after = breaker.See(0s);
  ExpectKept(before, after);
  ExpectCounts(after.window, before.window);
  EXPECT_EQ(after.settings, settings);
  EXPECT_TRUE(breaker.events().empty());
  breaker.Call(Outcome::kSystemError, 0s);
  EXPECT_EQ(breaker.StateAt(0s), State::kOpen);
}

TEST(SetPolicyTest, TheSameSettingsAgainChangeNothing) {
  Subject breaker;
  breaker.Open(0s);
  const BreakerSnapshot before = breaker.See(0s);
  breaker.SetPolicy(QuickSettings(), 0s);
  ExpectKept(before, breaker.See(0s));
  ExpectCounts(breaker.See(0s).window, before.window);
}

TEST(SetPolicyTest, APermitOfBeforeEndsAsAnyOther) {
  Subject breaker;
  Permit good = breaker.Admit(0s);
  Permit bad = breaker.Admit(0s);
  breaker.SetPolicy(SlowerSettings(), 1s);
  breaker.Finish(std::move(good), Outcome::kOk, 1s);
  breaker.Finish(std::move(bad), Outcome::kTimeout, 1s);
  EXPECT_EQ(breaker.StateAt(1s), State::kOpen);
  EXPECT_EQ(breaker.See(1s).stale, 0u);
  ExpectCounts(breaker.See(1s).window, Counts(1, 0, 1, 0, 0));
  EXPECT_EQ(breaker.NextProbe(1s), 4s);  // opened with the new min_recovery
}

TEST(SetPolicyTest, AnOpenBreakerKeepsTheMomentOfItsProbe) {
  Subject breaker;
  breaker.Open(0s);
  EXPECT_FALSE(breaker.Admits(500ms));
  const BreakerSnapshot before = breaker.See(600ms);
  breaker.SetPolicy(SlowerSettings(), 600ms);
  ExpectKept(before, breaker.See(600ms));
  ExpectCounts(breaker.See(600ms).window, before.window);
  const Admission early = breaker.Ask(1s - kNs);
  ASSERT_FALSE(early.admitted());
  EXPECT_EQ(early.rejection->retry_after, kNs);
  // Its probe has the new lease, and a failure the new backoff.
  Permit probe = breaker.Admit(1s);
  EXPECT_EQ(breaker.See(1s).next_change, At(21s));
  breaker.Finish(std::move(probe), Outcome::kTimeout, 2s);
  EXPECT_EQ(breaker.NextProbe(2s), 8s);
}

TEST(SetPolicyTest, ABreakerThatDrainsAsksTheNewThresholds) {
  Subject breaker(DrainingSettings());
  breaker.Open(0s);
  EXPECT_EQ(breaker.StateAt(2s), State::kOpen);
  Settings settings = DrainingSettings();
  settings.min_requests = 1;
  breaker.SetPolicy(settings, 2s);
  EXPECT_EQ(breaker.StateAt(2s), State::kHalfOpen);
}

TEST(SetPolicyTest, AProbeThatIsOutKeepsItsLease) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  const BreakerSnapshot before = breaker.See(2s);
  breaker.SetPolicy(SlowerSettings(), 2s);
  ExpectKept(before, breaker.See(2s));
  EXPECT_EQ(breaker.See(2s).next_change, At(6s));
  EXPECT_FALSE(breaker.Admits(2s));
  EXPECT_EQ(breaker.StateAt(6s), State::kOpen);
}

TEST(SetPolicyTest, AProbeThatIsOutEndsAsOne) {
  for (int changes : {1, 2, 31}) {
    Subject breaker;
    breaker.Open(0s);
    Permit probe = breaker.Admit(1s);
    for (int i = 0; i < changes; ++i) {
      breaker.SetPolicy(i % 2 == 0 ? SlowerSettings() : QuickSettings(), 2s);
    }
    EXPECT_FALSE(breaker.Admits(2s));
    breaker.Finish(std::move(probe), Outcome::kIgnored, 2s);
    EXPECT_TRUE(breaker.Admits(2s)) << "after " << changes << " changes";
  }
}

TEST(SetPolicyTest, With32ChangesAProbeIsLostAndItsLeaseEndsIt) {
  Subject breaker;
  breaker.Open(0s);
  Permit probe = breaker.Admit(1s);
  for (int i = 0; i < 32; ++i) {
    breaker.SetPolicy(i % 2 == 0 ? SlowerSettings() : QuickSettings(), 2s);
  }
  breaker.Finish(std::move(probe), Outcome::kIgnored, 2s);
  EXPECT_FALSE(breaker.Admits(2s));
  EXPECT_EQ(breaker.StateAt(6s - kNs), State::kHalfOpen);
  EXPECT_EQ(breaker.StateAt(6s), State::kOpen);
}

TEST(SetPolicyTest, ARampRunsAsIfItHadBegunWithTheNewSettings) {
  Subject breaker;
  breaker.OpenAndProve(0s);  // at 1 s, to 10 s
  const BreakerSnapshot before = breaker.See(3s);
  breaker.SetPolicy(SlowerSettings(), 3s);
  ExpectKept(before, breaker.See(3s));
  ExpectCounts(breaker.See(3s).window, before.window);
  EXPECT_EQ(breaker.See(3s).next_change, At(11s));
  // 3 of 13 s are in min_recovery, 2 s have passed since.
  EXPECT_TRUE(breaker.Admits(3s, 0.384));
  EXPECT_FALSE(breaker.Admits(3s, 0.385));
  EXPECT_EQ(breaker.StateAt(11s - kNs), State::kHalfOpen);
  EXPECT_EQ(breaker.StateAt(11s), State::kClosed);
  EXPECT_EQ(breaker.See(11s).since, At(11s));
}

TEST(SetPolicyTest, ARampThatIsOverByNowEndsNow) {
  Subject breaker;
  breaker.OpenAndProve(0s);
  Settings settings = QuickSettings();
  settings.max_recovery = 2s;  // the ramp would have ended at 2 s
  breaker.SetPolicy(settings, 3s);
  EXPECT_EQ(breaker.StateAt(3s), State::kClosed);
  EXPECT_EQ(breaker.See(3s).since, At(3s));
}

TEST(SetPolicyTest, TimeCommitsWithTheSettingsItPassedUnder) {
  Subject breaker;
  breaker.OpenAndProve(0s);  // to 10 s
  breaker.SetPolicy(SlowerSettings(), 10s);
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
  EXPECT_EQ(breaker.See(10s).since, At(10s));
}

TEST(SetPolicyTest, AnOverrideStandsOnToItsEnd) {
  Subject breaker;
  breaker->Force(Override::kForcedOpen, At(5s), At(0s));
  const BreakerSnapshot before = breaker.See(1s);
  breaker.SetPolicy(SlowerSettings(), 1s);
  ExpectKept(before, breaker.See(1s));
  EXPECT_EQ(breaker.See(1s).next_change, At(5s));
  EXPECT_FALSE(breaker.Admits(5s - kNs));
  EXPECT_TRUE(breaker.Admits(5s));
}

TEST(SetPolicyTest, BetweenShadowAndEnforceOnlyTheRejectionChanges) {
  Subject breaker(WithMode(Mode::kShadow));
  breaker.Open(0s);
  EXPECT_TRUE(breaker.Admits(500ms));
  const BreakerSnapshot before = breaker.See(600ms);
  breaker.SetPolicy(WithMode(Mode::kEnforce), 600ms);
  ExpectKept(before, breaker.See(600ms));
  EXPECT_FALSE(breaker.Admits(600ms));
  breaker.SetPolicy(WithMode(Mode::kShadow), 700ms);
  EXPECT_TRUE(breaker.Admits(700ms));
  EXPECT_EQ(breaker.See(700ms).shadow_rejected, 2u);
  EXPECT_EQ(breaker.See(700ms).rejected[0], 1u);
  EXPECT_EQ(breaker.events().size(), 1u);  // the opening
}

// A breaker in each state at 3.5 s, and a permit that is out.
enum class Situation { kClosed, kOpen, kProbing, kFreed, kRamp };
constexpr Situation kSituations[] = {Situation::kClosed, Situation::kOpen,
                                     Situation::kProbing, Situation::kFreed,
                                     Situation::kRamp};
Permit Bring(Subject& breaker, Situation situation) {
  Permit held = breaker.Admit(0s);
  if (situation == Situation::kClosed) return held;
  breaker.Open(2500ms);
  if (situation == Situation::kOpen) return held;
  Permit probe = breaker.Admit(3500ms);
  if (situation == Situation::kProbing) return probe;
  breaker.Finish(
      std::move(probe),
      situation == Situation::kFreed ? Outcome::kIgnored : Outcome::kOk,
      3500ms);
  return held;
}

TEST(SetPolicyTest, ModeOffEndsEveryState) {
  for (Situation situation : kSituations) {
    SCOPED_TRACE(static_cast<int>(situation));
    Subject breaker;
    Permit out = Bring(breaker, situation);
    const BreakerSnapshot before = breaker.See(3500ms);
    const std::size_t events = breaker.events().size();
    breaker.SetPolicy(WithMode(Mode::kOff), 3500ms);
    const BreakerSnapshot off = breaker.See(3500ms);
    EXPECT_EQ(off.state, State::kClosed);
    EXPECT_EQ(off.generation, before.generation + 1);
    ExpectCounts(off.window, OutcomeCounts());
    ExpectCounts(off.lifetime, before.lifetime);
    EXPECT_EQ(off.rejected, before.rejected);
    EXPECT_EQ(off.time_in_state, before.time_in_state);
    if (situation == Situation::kClosed) {
      EXPECT_EQ(breaker.events().size(), events);
    } else {
      ASSERT_EQ(breaker.events().size(), events + 1);
      ExpectEvent(
          breaker.events().back(),
          situation == Situation::kOpen ? State::kOpen : State::kHalfOpen,
          State::kClosed, TransitionReason::kSwitchedOff, before.generation + 1,
          3500ms);
    }
    // Nothing is recorded, neither then nor of before.
    Admission admission = breaker.Ask(3600ms);
    EXPECT_TRUE(admission.admitted() && !admission.permit);
    breaker.Finish(std::move(out), Outcome::kSystemError, 3600ms);
    EXPECT_EQ(breaker.See(3600ms).stale, before.stale + 1);
    EXPECT_EQ(breaker.See(3600ms).in_flight, 0u);
    ExpectCounts(breaker.See(3600ms).lifetime, before.lifetime);

    // Back again, it is closed and empty.
    for (Mode mode : {Mode::kShadow, Mode::kEnforce}) {
      breaker.SetPolicy(WithMode(mode), 3700ms);
      const BreakerSnapshot on = breaker.See(3700ms);
      EXPECT_EQ(on.state, State::kClosed);
      EXPECT_EQ(on.generation, off.generation);
      ExpectCounts(on.window, OutcomeCounts());
    }
    breaker.Open(3800ms);
    EXPECT_EQ(breaker.NextProbe(3800ms), 4800ms);  // as the first time
  }
}

TEST(SetPolicyTest, AnOverrideStandsWhileOffAndHasNoEffect) {
  for (Override forced : {Override::kForcedOpen, Override::kForcedClosed}) {
    Subject breaker;
    breaker.Open(0s);
    breaker->Force(forced, At(9s), At(0s));
    const std::size_t events = breaker.events().size();
    breaker.SetPolicy(WithMode(Mode::kOff), 1s);
    EXPECT_EQ(breaker.See(1s).override_state, forced);
    EXPECT_EQ(breaker.events().size(), events);
    EXPECT_TRUE(breaker.Ask(1s).admitted());
    breaker.SetPolicy(WithMode(Mode::kEnforce), 2s);
    EXPECT_EQ(breaker.See(2s).override_state, forced);
    EXPECT_EQ(breaker.Admits(2s), forced == Override::kForcedClosed);
    EXPECT_EQ(breaker.StateAt(9s), State::kClosed);
  }
}

TEST(SetPolicyTest, FewerBucketsAreTheNewestAndMoreAgainThoseOfBefore) {
  Settings settings = QuickSettings();
  settings.failure_threshold = settings.timeout_threshold = std::nullopt;
  Subject breaker(settings);
  for (Duration t : {0s, 4s, 8s, 9s}) {
    breaker.Call(Outcome::kOk, t);
    breaker.Call(Outcome::kTimeout, t);
  }
  ExpectCounts(breaker.See(9s).window, Counts(4, 0, 4, 0, 0));
  settings.buckets = 2;
  breaker.SetPolicy(settings, 9s);
  ExpectCounts(breaker.See(9s).window, Counts(2, 0, 2, 0, 0));
  breaker.Call(Outcome::kUserError, 10s);
  ExpectCounts(breaker.See(10s).window, Counts(1, 1, 1, 0, 0));
  settings.buckets = 7;
  breaker.SetPolicy(settings, 10s);
  ExpectCounts(breaker.See(10s).window, Counts(3, 1, 3, 0, 0));
  EXPECT_EQ(breaker.StateAt(10s), State::kClosed);
}

TEST(SetPolicyTest, BucketsOfAnotherWidthAndMoreThanEverBeginEmpty) {
  for (bool wider : {false, true}) {
    Subject breaker;
    breaker.Open(0s);
    const BreakerSnapshot before = breaker.See(500ms);
    const std::size_t bytes = breaker->memory_bytes();
    Settings settings = QuickSettings();
    if (wider) {
      settings.buckets = 11;
    } else {
      settings.bucket_width = 100ms;
    }
    breaker.SetPolicy(settings, 500ms);
    ExpectKept(before, breaker.See(500ms));
    ExpectCounts(breaker.See(500ms).window, OutcomeCounts());
    EXPECT_EQ(breaker->memory_bytes() > bytes, wider);
    // It works, to the last bucket.
    breaker.Finish(breaker.Admit(1s), Outcome::kOk, 1s);
    const Duration last = wider ? 12s : 2s;
    ExpectCounts(breaker.See(last - kNs).window, Counts(1, 0, 0, 0, 0));
    ExpectCounts(breaker.See(last).window, OutcomeCounts());
  }
}

TEST(SetPolicyTest, TheRoomForBucketsGrowsByDoublingAndIsUsedAgain) {
  Settings settings = QuickSettings();
  Subject breaker(settings);
  std::size_t sizes = 1;
  std::size_t bytes = breaker->memory_bytes();
  for (int round = 0; round < 2; ++round) {
    for (int buckets = 1; buckets <= 1000; ++buckets) {
      settings.buckets = buckets;
      breaker.SetPolicy(settings, 1s);
      breaker.Call(Outcome::kOk, 1s);
      EXPECT_GE(breaker.See(1s).window.total(), 1u);
      if (breaker->memory_bytes() != bytes) ++sizes;
      bytes = breaker->memory_bytes();
    }
  }
  // 10, 20, 40, ..., 640, 1280 places.
  EXPECT_EQ(sizes, 8u);
  EXPECT_LT(bytes, 4u * (4 * 16 + 56) * 1000);
  EXPECT_EQ(breaker.See(1s).lifetime.total(), 2000u);
}

TEST(SnapshotTest, MemoryIsWhatTheWindowTakes) {
  const auto small = std::make_unique<CircuitBreaker>(QuickSettings(), kStart);
  EXPECT_LE(small->memory_bytes(), 2048u);
  Settings settings = QuickSettings();
  settings.buckets = 1000;
  const auto large = std::make_unique<CircuitBreaker>(settings, kStart);
  EXPECT_GT(large->memory_bytes(), 4u * 16 * 1000 + 56 * 1000);
}

}  // namespace
}  // namespace fusebox

// Many threads on one breaker: nothing is lost or doubled, and no promise of
// the policy breaks for a moment.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/test_sync.h"

namespace fusebox {
namespace {

using namespace std::chrono_literals;

// More than shards and, on most machines that run this, more than cores.
constexpr int kThreads = 9;
constexpr int kShards = 4;
constexpr TimePoint kStart = TimePoint(1000s);

// A clock that all threads share and push.
class SharedClock {
 public:
  TimePoint Now() const {
    return kStart + Duration(elapsed_ns_.load(std::memory_order_acquire));
  }
  TimePoint Advance(Duration by) {
    return kStart + by +
           Duration(
               elapsed_ns_.fetch_add(by.count(), std::memory_order_acq_rel));
  }

 private:
  std::atomic<std::int64_t> elapsed_ns_{0};
};

Settings QuickSettings() {
  Settings settings;
  settings.jitter = 0;
  settings.min_requests = 0;
  return settings;
}

// Breakers here are on the heap: AddressSanitizer's fake stack ignores their
// alignment.
CircuitBreaker::Options WithShards() {
  CircuitBreaker::Options options;
  options.shards = kShards;
  return options;
}

std::uint64_t Sum(const std::array<std::uint64_t, kRejectionReasons>& counts) {
  return counts[0] + counts[1] + counts[2];
}

TEST(CircuitBreakerConcurrencyTest, TotalsAndWindowAreExactWhenAllHaveEnded) {
  constexpr std::uint64_t kRounds = 3000;
  Settings settings = QuickSettings();
  settings.timeout_threshold = settings.system_error_threshold =
      settings.unknown_error_threshold = settings.failure_threshold =
          std::nullopt;
  settings.buckets = 1000;
  settings.slow_call_duration = 100ms;
  settings.min_requests = 1'000'000'000;
  const auto breaker =
      std::make_unique<CircuitBreaker>(settings, kStart, WithShards());
  SharedClock clock;
  RunThreads(kThreads, [&](int thread) {
    Random random(static_cast<std::uint64_t>(thread));
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      if (thread == 0) clock.Advance(100ms);  // 300 buckets in all
      for (Outcome outcome : kAllOutcomes) {
        Permit permit = breaker->AdmitIfClosed();
        if (!permit) permit = breaker->Admit(clock.Now()).permit;
        permit.Finish(outcome, clock.Now(),
                      outcome == Outcome::kTimeout ? 1s : 0s, random);
      }
    }
  });
  const std::uint64_t n = kThreads * kRounds;
  const BreakerSnapshot seen = breaker->Snapshot(clock.Now());
  const std::array<std::uint64_t, 5> all = {n, n, n, n, n};
  EXPECT_EQ(seen.lifetime.by_outcome, all);
  EXPECT_EQ(seen.lifetime.slow, n);
  EXPECT_EQ(seen.window.by_outcome, all);
  EXPECT_EQ(seen.window.slow, n);
  EXPECT_EQ(seen.ignored, n);
  EXPECT_EQ(seen.in_flight, 0u);
  EXPECT_EQ(breaker->asked(), 6 * n);
}

TEST(CircuitBreakerConcurrencyTest, TheLastFailureOfManySeesTheOthers) {
  constexpr int kEach = 200;
  Settings settings = QuickSettings();
  settings.min_requests = kThreads * kEach - 1;
  const auto breaker =
      std::make_unique<CircuitBreaker>(settings, kStart, WithShards());
  RunThreads(kThreads, [&](int /*thread*/) {
    for (int i = 0; i < kEach; ++i) {
      breaker->Admit(kStart).permit.Finish(Outcome::kTimeout, kStart);
    }
  });
  EXPECT_EQ(breaker->View(kStart).state, State::kOpen);
}

TEST(CircuitBreakerConcurrencyTest, FailuresAtOnceOpenOnce) {
  for (int round = 0; round < 50; ++round) {
    const auto breaker =
        std::make_unique<CircuitBreaker>(QuickSettings(), kStart, WithShards());
    std::vector<Permit> permits;
    for (int i = 0; i < kThreads; ++i) {
      permits.push_back(breaker->Admit(kStart).permit);
    }
    RunThreads(kThreads, [&](int thread) {
      permits[static_cast<std::size_t>(thread)].Finish(Outcome::kSystemError,
                                                       kStart);
    });
    const BreakerSnapshot seen = breaker->Snapshot(kStart);
    EXPECT_EQ(seen.state, State::kOpen);
    EXPECT_EQ(seen.generation, 2u);
    EXPECT_EQ(seen.transitions[0][1], 1u);
    EXPECT_EQ(seen.lifetime.total() + seen.stale, std::uint64_t{kThreads});
    EXPECT_EQ(seen.next_probe, kStart + 1s) << "one opening, one wait";
  }
}

TEST(CircuitBreakerConcurrencyTest, NeverAreTwoProbesOut) {
  constexpr int kRounds = 4000;
  Settings settings = QuickSettings();
  // A timeout in half-open frees the slot and proves nothing.
  settings.timeout_threshold = settings.failure_threshold = std::nullopt;
  const auto breaker =
      std::make_unique<CircuitBreaker>(settings, kStart, WithShards());
  breaker->Admit(kStart).permit.Finish(Outcome::kSystemError, kStart);
  const TimePoint due = kStart + 1s;  // and time stands still
  std::atomic<int> probes_out{0};
  std::atomic<std::uint64_t> probes{0};
  std::atomic<std::uint64_t> rejected{0};
  RunThreads(kThreads, [&](int thread) {
    for (int i = 0; i < kRounds; ++i) {
      Admission admission = breaker->Admit(due);
      if (!admission.admitted()) {
        rejected.fetch_add(1);
        continue;
      }
      EXPECT_EQ(probes_out.fetch_add(1), 0);
      if (i % 4 == 0) std::this_thread::yield();
      EXPECT_EQ(probes_out.fetch_sub(1), 1);
      probes.fetch_add(1);
      admission.permit.Finish(
          (i + thread) % 2 == 0 ? Outcome::kIgnored : Outcome::kTimeout, due);
    }
  });
  const BreakerSnapshot seen = breaker->Snapshot(due);
  EXPECT_EQ(seen.state, State::kHalfOpen);
  EXPECT_FALSE(seen.proved);
  EXPECT_EQ(seen.ignored + seen.window.of(Outcome::kTimeout), probes);
  EXPECT_EQ(seen.rejected[1], rejected);
  EXPECT_EQ(probes + rejected, std::uint64_t{kThreads} * kRounds);
  EXPECT_EQ(seen.in_flight, 0u);
}

TEST(CircuitBreakerConcurrencyTest, OneOfManyIsTheFirstProbe) {
  for (int round = 0; round < 100; ++round) {
    const auto breaker =
        std::make_unique<CircuitBreaker>(QuickSettings(), kStart, WithShards());
    breaker->Admit(kStart).permit.Finish(Outcome::kSystemError, kStart);
    std::vector<Permit> permits(kThreads);
    RunThreads(kThreads, [&](int thread) {
      permits[static_cast<std::size_t>(thread)] =
          breaker->Admit(kStart + 1s).permit;
    });
    EXPECT_EQ(std::count_if(permits.begin(), permits.end(),
                            [](const Permit& permit) { return bool{permit}; }),
              1);
    for (Permit& permit : permits) permit.Finish(Outcome::kOk, kStart + 1s);
    EXPECT_TRUE(breaker->Snapshot(kStart + 1s).proved);
  }
}

// What the listener of the storm below was told: each number once.
struct Numbers {
  static constexpr std::size_t kMost = std::size_t{1} << 20;
  std::unique_ptr<std::atomic<int>[]> seen { new std::atomic<int>[ kMost ]() };
  std::atomic<std::uint32_t> count{0};

  static void Notify(void* context, CircuitBreaker& /*breaker*/,
                     const StateChange& /*change*/, std::uint32_t number) {
    auto* numbers = static_cast<Numbers*>(context);
    numbers->count.fetch_add(1);
    if (number < kMost) numbers->seen[number].fetch_add(1);
  }
};
constexpr CircuitBreaker::Listener kNumbersListener = {&Numbers::Notify,
                                                       nullptr};

// The clock of the storm below, for permits that are dropped.
SharedClock storm_clock;

// Everything at once: calls of every outcome, probes that answer late, proofs,
// an operator, and readers that hold every snapshot against the promises.
void Storm(const Settings& settings) {
  constexpr int kRounds = 3000;
  constexpr int kWorkers = kThreads - 2;
  SharedClock& clock = storm_clock;
  const TimePoint start = clock.Now();
  Numbers numbers;
  CircuitBreaker::Options options = WithShards();
  options.now = [] { return storm_clock.Now(); };
  options.listener = &kNumbersListener;
  options.listener_context = &numbers;
  const auto breaker =
      std::make_unique<CircuitBreaker>(settings, start, options);
  std::atomic<std::uint64_t> asked{0};
  std::atomic<int> working{kWorkers};

  const auto work = [&](int thread) {
    Random random(static_cast<std::uint64_t>(thread) + 1);
    std::vector<Permit> held;
    for (int i = 0; i < kRounds; ++i) {
      const TimePoint now = clock.Advance(random.Admission() < 0.5 ? 3ms : 0ms);
      asked.fetch_add(1);
      Admission admission = breaker->Admit(now, random);
      if (admission.permit) held.push_back(std::move(admission.permit));
      // A probe is held now and then until its lease has ended.
      while (!held.empty() && random.Admission() < 0.6) {
        const double draw = random.Admission();
        if (draw < 0.1) held.back().Prove(clock.Now(), random);
        const Outcome outcome = draw < 0.3    ? Outcome::kSystemError
                                : draw < 0.35 ? Outcome::kIgnored
                                : draw < 0.5  ? Outcome::kUserError
                                              : Outcome::kOk;
        held.back().Finish(outcome, clock.Now(), 0s, random);
        held.pop_back();
      }
      if (held.size() > 8) held.erase(held.begin());  // dropped
    }
    for (Permit& permit : held) {
      permit.Finish(Outcome::kIgnored, clock.Now(), 0s, random);
    }
    working.fetch_sub(1);
  };
  const auto operate = [&] {
    for (int i = 0; working.load() > 0; ++i) {
      const TimePoint now = clock.Now();
      switch (i % 8) {
        case 0:
          breaker->Force(Override::kForcedOpen, now + 20ms, now);
          break;
        case 2:
          breaker->Force(Override::kForcedClosed, TimePoint::max(), now);
          break;
        case 4:
          breaker->Release(now);
          break;
        case 6:
          breaker->Reset(now);
          break;
        default:
          // Lets the outcomes decide for a while.
          for (int k = 0; k < 200 && working.load() > 0; ++k) {
            std::this_thread::yield();
          }
      }
    }
  };
  const auto watch = [&] {
    BreakerSnapshot last = breaker->Snapshot(clock.Now());
    while (working.load() > 0) {
      const TimePoint before = clock.Now();
      const BreakerSnapshot seen = breaker->Snapshot(before);
      const TimePoint after = clock.Now();
      ASSERT_GE(seen.generation, last.generation);
      ASSERT_LE(seen.since, after);
      if (seen.override_state == Override::kNone &&
          seen.state == State::kOpen) {
        ASSERT_LE(seen.since, seen.next_probe);
        ASSERT_LT(before, seen.next_probe);
        ASSERT_LE(seen.next_probe - seen.since, settings.max_open_duration);
      }
      if (seen.override_state != Override::kNone) {
        ASSERT_FALSE(seen.proved);
        ASSERT_EQ(seen.state, seen.override_state == Override::kForcedOpen
                                  ? State::kOpen
                                  : State::kClosed);
      }
      // The stays and the present one are the whole time, and none shrinks.
      const Duration sum = seen.time_in_state[0] + seen.time_in_state[1] +
                           seen.time_in_state[2] + seen.time_forced_open +
                           seen.time_forced_closed;
      ASSERT_GE(sum, before - start);
      ASSERT_LE(sum, after - start);
      for (std::size_t i = 0; i < 3; ++i) {
        ASSERT_GE(seen.time_in_state[i], last.time_in_state[i]);
        ASSERT_GE(seen.rejected[i], last.rejected[i]);
        for (std::size_t k = 0; k < 3; ++k) {
          ASSERT_GE(seen.transitions[i][k], last.transitions[i][k]);
        }
      }
      for (std::size_t i = 0; i < kCountedOutcomes; ++i) {
        ASSERT_GE(seen.lifetime.by_outcome[i], last.lifetime.by_outcome[i]);
        ASSERT_LE(seen.window.by_outcome[i], seen.lifetime.by_outcome[i]);
      }
      ASSERT_GE(seen.stale, last.stale);
      ASSERT_GE(seen.ignored, last.ignored);
      last = seen;
    }
  };

  RunThreads(kThreads, [&](int thread) {
    if (thread < kWorkers) {
      work(thread);
    } else if (thread == kWorkers) {
      operate();
    } else {
      watch();
    }
  });

  const BreakerSnapshot seen = breaker->Snapshot(clock.Now());
  EXPECT_EQ(breaker->asked(), asked);
  EXPECT_EQ(seen.in_flight, 0u);
  EXPECT_EQ(seen.lifetime.total() + seen.ignored + seen.stale +
                Sum(seen.rejected) + seen.shadow_rejected,
            asked);
  const std::uint32_t changes = breaker->View(clock.Now()).changes;
  EXPECT_EQ(numbers.count, changes);
  for (std::uint32_t i = 1; i <= changes && i < Numbers::kMost; ++i) {
    ASSERT_EQ(numbers.seen[i], 1) << "change " << i << " of " << changes;
  }
  EXPECT_GT(changes, 0u);
}

Settings StormSettings() {
  Settings settings = QuickSettings();
  settings.bucket_width = 10ms;
  settings.buckets = 5;
  settings.min_requests = 3;
  settings.min_recovery = 10ms;
  settings.max_recovery = 50ms;
  settings.max_open_duration = 20ms;
  settings.probe_lease = 10ms;
  return settings;
}

TEST(CircuitBreakerConcurrencyTest, StormOfTransitions) {
  Storm(StormSettings());
}

TEST(CircuitBreakerConcurrencyTest, StormOfTransitionsInShadow) {
  Settings settings = StormSettings();
  settings.mode = Mode::kShadow;
  Storm(settings);
}

TEST(CircuitBreakerConcurrencyTest, StormOfTransitionsWithOneBucket) {
  Settings settings = StormSettings();
  settings.buckets = 1;
  settings.ramp_from_opening = true;
  Storm(settings);
}

// Other settings all the time, also wider windows and mode off, under calls,
// readers and an operator.
TEST(CircuitBreakerConcurrencyTest, StormOfSettings) {
  constexpr int kRounds = 2000;
  std::vector<std::unique_ptr<const Policy>> policies;
  for (int i = 0; i < kRounds; ++i) {
    Settings settings = StormSettings();
    settings.bucket_width = i % 4 == 0 ? 10ms : 20ms;
    settings.buckets = 1 + i * 97 % 300;
    settings.min_recovery = 10ms + (i % 5) * 1ms;
    settings.drain_window_before_recovery = i % 3 == 0;
    settings.mode = i % 11 == 0  ? Mode::kOff
                    : i % 7 == 0 ? Mode::kShadow
                                 : Mode::kEnforce;
    policies.push_back(std::make_unique<const Policy>(settings));
  }
  const auto breaker =
      std::make_unique<CircuitBreaker>(StormSettings(), kStart, WithShards());
  SharedClock clock;
  std::atomic<std::uint64_t> admitted{0};
  std::atomic<std::uint64_t> rejected{0};
  RunThreads(kThreads, [&](int thread) {
    Random random(static_cast<std::uint64_t>(thread));
    OutcomeCounts before;
    for (int i = 0; i < kRounds; ++i) {
      const TimePoint now = clock.Advance(500us);
      if (thread == 0) {
        breaker->SetPolicy(policies[static_cast<std::size_t>(i)].get(), now,
                           random);
        EXPECT_EQ(breaker->settings().buckets,
                  policies[static_cast<std::size_t>(i)]->settings.buckets);
        continue;
      }
      if (thread == 1) {
        const BreakerSnapshot snapshot = breaker->Snapshot(now, random);
        EXPECT_LE(snapshot.window.total(), snapshot.lifetime.total());
        EXPECT_GE(snapshot.lifetime.total(), before.total());
        before = snapshot.lifetime;
        if (i % 100 == 0) {
          breaker->Force(Override::kForcedOpen, now + 5ms, now, random);
        }
        continue;
      }
      Admission admission = breaker->Admit(now, random);
      if (!admission.admitted()) ++rejected;
      if (!admission.permit) continue;
      ++admitted;
      admission.permit.Finish(i % 7 == 0   ? Outcome::kSystemError
                              : i % 5 == 0 ? Outcome::kIgnored
                                           : Outcome::kOk,
                              clock.Now(), Duration::zero(), random);
    }
  });
  const BreakerSnapshot snapshot = breaker->Snapshot(clock.Now());
  EXPECT_EQ(snapshot.lifetime.total() + snapshot.ignored + snapshot.stale,
            admitted.load());
  EXPECT_EQ(Sum(snapshot.rejected), rejected.load());
  EXPECT_EQ(snapshot.in_flight, 0u);
}

}  // namespace
}  // namespace fusebox

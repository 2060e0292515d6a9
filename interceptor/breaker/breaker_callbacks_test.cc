#include "interceptor/breaker/breaker_callbacks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kMethod[] = "/pkg.S/M";

std::atomic<std::int64_t> simulated_ns{0};

TimePoint SimulatedNow() {
  return TimePoint(Duration(simulated_ns.load(std::memory_order_relaxed)));
}
void Advance(Duration by) { simulated_ns += by.count(); }

RegistryOptions SimulatedOptions() {
  simulated_ns = seconds(1000) / Duration(1);
  RegistryOptions options;
  options.settings.jitter = 0;
  options.settings.min_requests = 0;
  options.now = &SimulatedNow;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  return options;
}

// Callbacks that keep what they are told.
struct Told {
  std::string callback;
  CallbackContext context;
};

Callbacks Recording(std::vector<Told>& told) {
  const auto record = [&told](const char* name) {
    return [&told, name](const CallbackContext& context) {
      told.push_back({name, context});
    };
  };
  return {record("locked"), record("unlocked"), record("tested"),
          record("tested_ok"), record("tested_bad")};
}

void Fail(CircuitBreaker& breaker) {
  breaker.Admit(SimulatedNow())
      .permit.Finish(Outcome::kSystemError, SimulatedNow());
}
void Refuse(CircuitBreaker& breaker) {
  EXPECT_FALSE(breaker.Admit(SimulatedNow()).admitted());
}

// A registry with simulated time, and callbacks with what they were told.
class BreakerCallbacksTest : public ::testing::Test {
 protected:
  BreakerCallbacksTest()
      : registry_(SimulatedOptions()),
        callbacks_(&registry_, Recording(told_), Duration::zero()) {
    registry_.Dispatch();  // the first look
  }

  CircuitBreaker& breaker() {
    return registry_.Pin(Role::kServer, "", kMethod);
  }
  Admission Admit() { return breaker().Admit(SimulatedNow()); }
  void Fail() { fusebox::Fail(breaker()); }
  void Refuse() { fusebox::Refuse(breaker()); }
  void Succeed() { Admit().permit.Finish(Outcome::kOk, SimulatedNow()); }

  std::vector<Told> Take() {
    registry_.Dispatch();
    return std::exchange(told_, {});
  }
  // "locked open 0", that is callback, state, tests.
  std::vector<std::string> TakeTexts() {
    std::vector<std::string> texts;
    for (const Told& told : Take()) {
      texts.push_back(told.callback + " " + StateName(told.context.state) +
                      " " + std::to_string(told.context.tests));
    }
    return texts;
  }

  std::vector<Told> told_;
  BreakerRegistry registry_;
  BreakerCallbacks callbacks_;
};

TEST_F(BreakerCallbacksTest, AClosedBreakerTellsNothing) {
  for (int i = 0; i < 100; ++i) Succeed();
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(BreakerCallbacksTest, LockTestsAndUnlockInTheirOrder) {
  Succeed();
  Fail();
  EXPECT_THAT(TakeTexts(), ElementsAre("locked open 0"));

  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Admit().admitted());
  EXPECT_THAT(TakeTexts(), ElementsAre("tested open 3", "tested_bad open 3"));
  EXPECT_THAT(TakeTexts(), IsEmpty());

  Advance(seconds(1));
  Admission probe = Admit();
  EXPECT_TRUE(probe.admitted());
  EXPECT_FALSE(Admit().admitted());
  EXPECT_THAT(TakeTexts(), ElementsAre("tested open 1", "tested_ok open 1",
                                       "tested open 1", "tested_bad open 1"));

  probe.permit.Finish(Outcome::kOk, SimulatedNow());
  std::uint64_t passed = 0;
  std::uint64_t refused = 0;
  Advance(seconds(4));
  for (int i = 0; i < 1000; ++i) ++(Admit().admitted() ? passed : refused);
  ASSERT_GT(passed, 0u);
  ASSERT_GT(refused, 0u);
  const std::string ok = " half_open " + std::to_string(passed);
  const std::string bad = " half_open " + std::to_string(refused);
  EXPECT_THAT(TakeTexts(), ElementsAre("tested" + ok, "tested_ok" + ok,
                                       "tested" + bad, "tested_bad" + bad));

  Advance(seconds(5));
  const std::vector<std::string> texts = TakeTexts();
  EXPECT_EQ(texts.back(), "unlocked closed 0");
  Succeed();
  EXPECT_THAT(TakeTexts(), IsEmpty());
}

TEST_F(BreakerCallbacksTest, AFailedProbeLocksAgain) {
  Fail();
  Take();
  Advance(seconds(1));
  Fail();
  EXPECT_THAT(TakeTexts(), ElementsAre("tested open 1", "tested_ok open 1",
                                       "locked open 0"));
}

TEST_F(BreakerCallbacksTest, TheSecondOpeningDoesNotTellOfTheFirst) {
  Fail();
  Refuse();
  registry_.Reset(Role::kServer, "", kMethod);
  EXPECT_EQ(TakeTexts().back(), "unlocked closed 0");
  for (int i = 0; i < 5; ++i) Succeed();
  for (int i = 0; i < 5; ++i) Fail();
  Refuse();
  EXPECT_THAT(TakeTexts(), ElementsAre("locked open 0", "tested open 1",
                                       "tested_bad open 1"));
}

TEST_F(BreakerCallbacksTest, TheContextSaysWhoWhatAndWhen) {
  const TimePoint opened = SimulatedNow();
  Fail();
  Advance(milliseconds(200));
  Refuse();
  const std::vector<Told> told = Take();
  ASSERT_EQ(told.size(), 3u);
  const CallbackContext& locked = told[0].context;
  EXPECT_EQ(locked.role, Role::kServer);
  EXPECT_EQ(locked.target, "");
  EXPECT_EQ(locked.service, "pkg.S");
  EXPECT_EQ(locked.method, "M");
  EXPECT_FALSE(locked.result);
  EXPECT_TRUE(locked.enforced);
  EXPECT_EQ(locked.state, State::kOpen);
  EXPECT_EQ(locked.since, opened);
  EXPECT_FALSE(locked.healthy_now);
  EXPECT_EQ(locked.start, opened);
  EXPECT_EQ(locked.end, opened);
  const CallbackContext& tested = told[1].context;
  EXPECT_FALSE(tested.result);
  EXPECT_EQ(tested.since, opened);
  EXPECT_EQ(tested.start, opened);
  EXPECT_EQ(tested.end, opened + milliseconds(200));

  Advance(milliseconds(800));
  Succeed();
  const std::vector<Told> probed = Take();
  ASSERT_FALSE(probed.empty());
  EXPECT_TRUE(probed[0].context.result);
  EXPECT_TRUE(probed[0].context.healthy_now);
  EXPECT_EQ(probed[0].context.start, opened + milliseconds(200));
  EXPECT_EQ(probed[0].context.end, opened + seconds(1));

  Advance(seconds(9));
  const std::vector<Told> recovered = Take();
  ASSERT_EQ(recovered.size(), 1u);
  EXPECT_EQ(recovered[0].callback, "unlocked");
  EXPECT_TRUE(recovered[0].context.result);
  EXPECT_EQ(recovered[0].context.since, opened + seconds(10));
}

TEST_F(BreakerCallbacksTest, ForcingLocksAndReleasingUnlocks) {
  breaker();
  registry_.Force(Role::kServer, "", kMethod, Override::kForcedOpen,
                  TimePoint::max());
  Refuse();
  EXPECT_THAT(TakeTexts(), ElementsAre("locked open 0", "tested open 1",
                                       "tested_bad open 1"));
  registry_.Release(Role::kServer, "", kMethod);
  EXPECT_THAT(TakeTexts(), ElementsAre("unlocked closed 0"));
}

// A window that drains may turn unhealthy again: no second opening.
TEST(BreakerCallbacksDrainTest, ADeferredRecoveryIsNoLock) {
  RegistryOptions options = SimulatedOptions();
  options.settings.drain_window_before_recovery = true;
  options.settings.system_error_threshold = 0.4;
  options.settings.failure_threshold = std::nullopt;
  BreakerRegistry registry(options);
  std::vector<Told> told;
  const BreakerCallbacks callbacks(&registry, Recording(told));
  std::vector<TransitionReason> reasons;
  const auto watch = registry.WatchTransitions(
      [&](const Transition& t) { reasons.push_back(t.reason); });
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);
  const auto count = [&](int n, Outcome outcome) {
    for (int i = 0; i < n; ++i) {
      breaker.AdmitIfClosed().Finish(outcome, SimulatedNow());
    }
  };
  count(10, Outcome::kOk);  // at 0 s
  Advance(seconds(5));
  count(6, Outcome::kSystemError);
  Advance(seconds(3));
  count(2, Outcome::kOk);
  Advance(seconds(3));
  count(1, Outcome::kSystemError);  // 7 of 9: opens
  for (int i = 0; i < 20; ++i) {
    registry.Dispatch();
    Advance(seconds(1));
  }
  EXPECT_THAT(reasons, ElementsAre(TransitionReason::kSystemErrorThreshold,
                                   TransitionReason::kRecoveryDue,  // 1 of 3
                                   TransitionReason::kRecoveryDeferred,  // 1/1
                                   TransitionReason::kRecoveryDue));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].callback, "locked");
}

TEST(BreakerCallbacksShadowTest, InShadowWhatDoesNotPassIsToldButNotRefused) {
  RegistryOptions options = SimulatedOptions();
  options.settings.mode = Mode::kShadow;
  BreakerRegistry registry(options);
  std::vector<Told> told;
  const BreakerCallbacks callbacks(&registry, Recording(told),
                                   Duration::zero());
  registry.Dispatch();
  CircuitBreaker& breaker = registry.Pin(Role::kClient, "t", kMethod);
  Fail(breaker);
  EXPECT_TRUE(breaker.Admit(SimulatedNow()).admitted());
  registry.Dispatch();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0].callback, "locked");
  EXPECT_EQ(told[2].callback, "tested_bad");
  EXPECT_EQ(told[2].context.tests, 1u);
  EXPECT_EQ(told[2].context.target, "t");
  EXPECT_FALSE(told[2].context.enforced);
}

TEST(BreakerCallbacksPeriodTest, TestsAreToldOncePerPeriodAndAtTransitions) {
  BreakerRegistry registry(SimulatedOptions());
  std::vector<Told> told;
  const BreakerCallbacks callbacks(&registry, Recording(told),
                                   milliseconds(300));
  registry.Dispatch();
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);
  Fail(breaker);
  Refuse(breaker);
  Advance(milliseconds(299));
  registry.Dispatch();
  ASSERT_EQ(told.size(), 1u);  // locked
  Refuse(breaker);
  Advance(milliseconds(1));
  registry.Dispatch();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[1].callback, "tested");
  EXPECT_EQ(told[1].context.tests, 2u);
  Refuse(breaker);
  registry.Reset(Role::kServer, "", kMethod);
  registry.Dispatch();
  ASSERT_EQ(told.size(), 6u);
  EXPECT_EQ(told[4].callback, "tested_bad");
  EXPECT_EQ(told[4].context.tests, 1u);
  EXPECT_EQ(told[5].callback, "unlocked");
}

TEST(BreakerCallbacksStartTest, AnOpenBreakerIsTestedFromTheFirstLookOn) {
  BreakerRegistry registry(SimulatedOptions());
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);
  Fail(breaker);
  Refuse(breaker);
  registry.Dispatch();

  std::vector<Told> told;
  const BreakerCallbacks callbacks(&registry, Recording(told),
                                   Duration::zero());
  registry.Dispatch();
  EXPECT_THAT(told, IsEmpty());
  Refuse(breaker);
  registry.Dispatch();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].callback, "tested_bad");
  EXPECT_EQ(told[1].context.tests, 1u);
}

TEST(BreakerCallbacksStartTest, OnlyThoseGivenAreCalled) {
  BreakerRegistry registry(SimulatedOptions());
  std::vector<std::string> told;
  Callbacks callbacks;
  callbacks.tested_bad = [&](const CallbackContext&) {
    told.emplace_back("tested_bad");
  };
  const BreakerCallbacks some(&registry, callbacks, Duration::zero());
  const BreakerCallbacks none(&registry, Callbacks());
  registry.Dispatch();
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);
  Fail(breaker);
  Refuse(breaker);
  registry.Dispatch();
  EXPECT_THAT(told, ElementsAre("tested_bad"));
}

TEST(BreakerCallbacksStartTest, AfterDestructionNothingIsCalled) {
  BreakerRegistry registry(SimulatedOptions());
  std::vector<Told> told;
  { const BreakerCallbacks callbacks(&registry, Recording(told)); }
  Fail(registry.Pin(Role::kServer, "", kMethod));
  registry.Dispatch();
  EXPECT_THAT(told, IsEmpty());
}

TEST(BreakerCallbacksStartTest, ACallbackMayUseTheRegistry) {
  BreakerRegistry registry(SimulatedOptions());
  std::vector<std::string> told;
  Callbacks callbacks;
  callbacks.locked = [&](const CallbackContext& context) {
    told.emplace_back("locked");
    EXPECT_EQ(registry.Snapshots().size(), 1u);
    EXPECT_TRUE(registry.Reset(context.role, context.target,
                               "/" + context.service + "/" + context.method));
  };
  callbacks.unlocked = [&](const CallbackContext&) {
    told.emplace_back("unlocked");
  };
  const BreakerCallbacks calling(&registry, callbacks);
  Fail(registry.Pin(Role::kServer, "", kMethod));
  registry.Dispatch();
  EXPECT_THAT(told, ElementsAre("locked", "unlocked"));
}

// Breakers that are retired do not stay known for ever.
TEST(BreakerCallbacksStartTest, RetiredBreakersComeBackAsNewOnes) {
  RegistryOptions options = SimulatedOptions();
  options.idle_timeout = seconds(1);
  BreakerRegistry registry(options);
  const auto scope = registry.Scope(Role::kClient, "t");
  std::vector<Told> told;
  const BreakerCallbacks callbacks(&registry, Recording(told),
                                   Duration::zero());
  registry.Dispatch();
  for (int round = 0; round < 20; ++round) {
    told.clear();
    CircuitBreaker& breaker = scope->Find(kMethod);
    Fail(breaker);
    Refuse(breaker);
    for (int i = 0; i < 100; ++i) {
      Advance(seconds(1));
      registry.Dispatch();
    }
    ASSERT_EQ(registry.stats().breakers, 0u);
    std::vector<std::string> texts;
    for (const Told& one : told) {
      texts.push_back(one.callback + " " + std::to_string(one.context.tests));
    }
    ASSERT_THAT(texts, ElementsAre("locked 0", "tested 1", "tested_bad 1",
                                   "unlocked 0"));
  }
}

// Every refusal is told once, whoever makes it, while the dispatcher runs.
TEST(BreakerCallbacksConcurrencyTest, NoRefusalIsLostOrToldTwice) {
  RegistryOptions options;
  options.settings.min_requests = 0;
  options.settings.min_recovery = milliseconds(10);
  options.settings.max_recovery = milliseconds(20);
  options.settings.max_open_duration = milliseconds(10);
  options.log = [](const std::string&) {};
  BreakerRegistry registry(options);
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);

  std::mutex mu;
  std::condition_variable changed;
  std::uint64_t told_bad = 0;
  std::uint64_t told_all = 0;
  std::uint64_t told_ok = 0;
  Callbacks callbacks;
  const auto add = [&](std::uint64_t& sum) {
    return [&](const CallbackContext& context) {
      const std::lock_guard<std::mutex> lock(mu);
      sum += context.tests;
      changed.notify_all();
    };
  };
  callbacks.tested = add(told_all);
  callbacks.tested_ok = add(told_ok);
  callbacks.tested_bad = add(told_bad);

  // From the first look on, all is told.
  std::atomic<bool> looked{false};
  const BreakerCallbacks calling(&registry, callbacks, Duration::zero());
  const auto watch = registry.WatchRounds([&] { looked = true; });
  while (!looked) std::this_thread::yield();

  std::atomic<std::uint64_t> refused{0};
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        Admission admission = breaker.Admit(registry.Now());
        if (!admission.admitted()) {
          ++refused;
        } else {
          admission.permit.Finish(i % 2 == 0 ? Outcome::kTimeout : Outcome::kOk,
                                  registry.Now());
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  ASSERT_GT(refused, 0u);
  std::unique_lock<std::mutex> lock(mu);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::minutes(1),
                               [&] { return told_bad == refused; }))
      << told_bad << " of " << refused;
  EXPECT_EQ(told_all, told_ok + told_bad);
}

}  // namespace
}  // namespace fusebox

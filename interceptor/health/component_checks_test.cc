#include "interceptor/health/component_checks.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/mutex.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A clock that stands still until it is moved.
std::atomic<TimePoint> now_of_test;
TimePoint Now() { return now_of_test; }

ComponentChecksOptions ByHand() {
  ComponentChecksOptions options;
  options.now = &Now;
  options.start_scheduler = false;
  return options;
}

// Far longer than anything takes.
constexpr Duration kLong = minutes(1);

CheckResult Good() { return {true, "fine", {}}; }

// A check whose runs wait to be told what to return.
class Gate {
 public:
  Check check() {
    return [state = state_](const CheckRun&) {
      std::promise<CheckResult> promise;
      std::future<CheckResult> result = promise.get_future();
      state->Push(std::move(promise));
      return result.get();
    };
  }
  // Waits for a run, and ends it.
  void End(CheckResult result) { Take().set_value(std::move(result)); }
  // Waits for a run.
  std::promise<CheckResult> Take() { return state_->Take(); }

 private:
  // Owned by the check as well, since it may be abandoned.
  class State {
   public:
    void Push(std::promise<CheckResult> run) {
      MutexLock lock(mu_);
      runs_.push_back(std::move(run));
      changed_.notify_all();
    }
    std::promise<CheckResult> Take() {
      MutexLock lock(mu_);
      while (runs_.empty()) changed_.wait(mu_);
      std::promise<CheckResult> run = std::move(runs_.front());
      runs_.erase(runs_.begin());
      return run;
    }

   private:
    Mutex mu_;
    std::condition_variable_any changed_;
    std::vector<std::promise<CheckResult>> runs_ FUSEBOX_GUARDED_BY(mu_);
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Turns, as texts, in the order in which they came.
class Turns {
 public:
  ComponentChecks::Listener listener() {
    return [this](const ComponentTurn& turn) {
      MutexLock lock(mu_);
      turns_.push_back(turn.name + (turn.healthy ? " good: " : " bad: ") +
                       turn.message);
      changed_.notify_all();
    };
  }
  std::vector<std::string> Await(std::size_t count) {
    MutexLock lock(mu_);
    while (turns_.size() < count) changed_.wait(mu_);
    return turns_;
  }
  std::vector<std::string> Now() { return Await(0); }

 private:
  Mutex mu_;
  std::condition_variable_any changed_;
  std::vector<std::string> turns_ FUSEBOX_GUARDED_BY(mu_);
};

Component Only(const ComponentChecks& checks) {
  const ServiceHealth health = checks.Health();
  EXPECT_EQ(health.components.size(), 1u);
  return health.components.at(0);
}

TEST(ComponentChecksTest, BadRegistrationsAreErrorsThatNameWhatIsWrong) {
  ComponentChecks checks(ByHand());
  const Check check = [](const CheckRun&) { return Good(); };
  const auto error = [&checks](std::string name, CheckOptions options,
                               Check function) {
    return checks
        .Register(std::move(name), std::move(options), std::move(function))
        .ToString();
  };
  EXPECT_TRUE(checks.Register("db", {}, check).ok());
  EXPECT_EQ(error("db", {}, check),
            "ALREADY_EXISTS: there is a check named 'db' already");
  EXPECT_THAT(error("", {}, check), HasSubstr("must not be empty"));
  EXPECT_THAT(error("\xff", {}, check), HasSubstr("must be UTF-8"));
  EXPECT_EQ(error("q", {}, nullptr),
            "INVALID_ARGUMENT: check 'q': no function");
  CheckOptions options;
  options.deadline = Duration::zero();
  EXPECT_EQ(error("q", options, check),
            "INVALID_ARGUMENT: check 'q': deadline: 0s is out of range "
            "(0s, ...)");
  options = {};
  options.refresh_period = seconds(-1);
  EXPECT_EQ(error("q", options, check),
            "INVALID_ARGUMENT: check 'q': refresh_period: -1s is out of range "
            "(0s, ...)");
  for (const std::string& name :
       {std::string("\xff"),
        std::string(HealthService::kMaxNameBytes + 1, 'x')}) {
    options = {};
    options.health_names = {"pkg.Service", name};
    EXPECT_THAT(error("q", options, check),
                HasSubstr("INVALID_ARGUMENT: check 'q': health_names: "));
  }
  // None of them was added, and the name is still to be had.
  EXPECT_EQ(checks.Health().components.size(), 1u);
  EXPECT_TRUE(checks.Register("q", {}, check).ok());
}

TEST(ComponentChecksTest, WhatACheckThrowsIsItsMessage) {
  ComponentChecks checks(ByHand());
  ASSERT_TRUE(checks
                  .Register("a", {},
                            [](const CheckRun&) -> CheckResult {
                              throw std::runtime_error("no route to db");
                            })
                  .ok());
  ASSERT_TRUE(
      checks.Register("b", {}, [](const CheckRun&) -> CheckResult { throw 7; })
          .ok());
  ASSERT_TRUE(
      checks.Register("c", {}, [](const CheckRun&) { return Good(); }).ok());
  checks.Poll();
  checks.AwaitRuns();
  const ServiceHealth health = checks.Health();
  EXPECT_FALSE(health.components[0].healthy);
  EXPECT_EQ(health.components[0].message, "the check threw: no route to db");
  EXPECT_FALSE(health.components[1].healthy);
  EXPECT_EQ(health.components[1].message,
            "the check threw something that is no std::exception");
  EXPECT_TRUE(health.components[2].healthy);
}

TEST(ComponentChecksTest, AHungCheckDelaysNothingAndIsNotRunTwice) {
  now_of_test = TimePoint(seconds(1000));
  Gate hangs;
  std::atomic<int> runs = 0;
  Turns turns;
  ComponentChecks checks(ByHand());
  checks.AddListener(turns.listener());
  CheckOptions options;
  options.deadline = seconds(5);
  options.refresh_period = seconds(10);
  ASSERT_TRUE(checks.Register("hangs", options, hangs.check()).ok());
  ASSERT_TRUE(checks
                  .Register("works", options,
                            [&runs](const CheckRun& run) {
                              EXPECT_EQ(run.time_limit(), seconds(5));
                              ++runs;
                              return Good();
                            })
                  .ok());
  checks.Poll();
  auto run = hangs.Take();  // on a thread of its own
  now_of_test = Now() + seconds(5);
  EXPECT_EQ(checks.Health().components[0].message, "no answer within 5s");
  checks.Poll();
  EXPECT_THAT(turns.Now(), ElementsAre("hangs bad: no answer within 5s"));
  for (int i = 1; i <= 3; ++i) {
    checks.AwaitRuns();
    EXPECT_EQ(runs, i);
    EXPECT_TRUE(checks.Health().components[1].healthy);
    now_of_test = Now() + seconds(10);
    checks.Poll();
  }
  checks.AwaitRuns();
  EXPECT_EQ(checks.Health().components[0].message, "no answer within 5s");

  run.set_value(Good());
}

TEST(ComponentChecksTest, RunsRefreshExpireAndRecoverByThemselves) {
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> runs = 0;
  Turns turns;
  ComponentChecks checks;
  checks.AddListener(turns.listener());
  CheckOptions options;
  options.deadline = milliseconds(50);
  options.refresh_period = milliseconds(1);
  ASSERT_TRUE(checks
                  .Register("queue", options,
                            [&runs, released](const CheckRun&) {
                              if (++runs == 1) released.wait();
                              return Good();
                            })
                  .ok());
  EXPECT_THAT(turns.Await(1), ElementsAre("queue bad: no answer within 50ms"));
  EXPECT_TRUE(checks.AwaitFirstResults(kLong));
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(Only(checks).healthy);
  release.set_value();
  EXPECT_EQ(turns.Await(2).at(1), "queue good: fine");
  EXPECT_GE(runs, 2);
}

TEST(ComponentChecksTest, ChecksRunAtTheSameTime) {
  ComponentChecks checks;
  std::atomic<int> inside = 0;
  std::promise<void> all_inside;
  std::shared_future<void> future = all_inside.get_future().share();
  constexpr int kChecks = 8;
  CheckOptions options;
  options.deadline = kLong;
  for (int i = 0; i < kChecks; ++i) {
    ASSERT_TRUE(checks
                    .Register("check " + std::to_string(i), options,
                              [&inside, &all_inside, future](const CheckRun&) {
                                if (++inside == kChecks) all_inside.set_value();
                                future.wait();
                                return Good();
                              })
                    .ok());
  }
  EXPECT_TRUE(checks.AwaitFirstResults(kLong));
  EXPECT_TRUE(checks.Health().healthy);
}

TEST(ComponentChecksTest, AwaitFirstResultsEndsWhenPatienceDoes) {
  ComponentChecks checks(ByHand());
  EXPECT_TRUE(checks.AwaitFirstResults(Duration::zero()));
  ASSERT_TRUE(
      checks.Register("db", {}, [](const CheckRun&) { return Good(); }).ok());
  EXPECT_FALSE(checks.AwaitFirstResults(Duration::zero()));
  EXPECT_EQ(Only(checks).message, "not checked yet");
  checks.Poll();
  EXPECT_TRUE(checks.AwaitFirstResults(kLong));
  EXPECT_EQ(Only(checks).message, "fine");
}

TEST(ComponentChecksTest, ListenersMayAskAndRegister) {
  ComponentChecks checks;
  std::promise<bool> healthy;
  checks.AddListener([&](const ComponentTurn& turn) {
    if (turn.name != "a") return;
    healthy.set_value(checks.Health().healthy);
    checks.AddListener([](const ComponentTurn&) {});
    EXPECT_TRUE(
        checks.Register("b", {}, [](const CheckRun&) { return Good(); }).ok());
  });
  ASSERT_TRUE(checks
                  .Register("a", {},
                            [](const CheckRun&) {
                              return CheckResult{false, "broken", {}};
                            })
                  .ok());
  EXPECT_FALSE(healthy.get_future().get());
}

TEST(ComponentChecksTest, HungChecksDoNotHoldUpTheEnd) {
  now_of_test = TimePoint(seconds(1000));
  auto owned = std::make_shared<int>(7);
  const std::weak_ptr<int> alive = owned;
  Gate hangs;
  std::promise<CheckResult> run;
  // Of the check, which outlives this test by a little.
  const auto seen = std::make_shared<std::promise<int>>();
  {
    ComponentChecks checks(ByHand());
    const Check check = hangs.check();
    ASSERT_TRUE(checks
                    .Register("hangs", {},
                              [check, owned = std::move(owned),
                               seen](const CheckRun& r) {
                                check(r);
                                EXPECT_TRUE(r.cancelled());
                                seen->set_value(*owned);
                                return Good();
                              })
                    .ok());
    checks.Poll();
    run = hangs.Take();
    now_of_test = Now() + minutes(1);
    // Would wait for kPatience otherwise, and a test does not measure time: the
    // run must simply still be under way behind the destructor.
  }
  EXPECT_EQ(alive.use_count(), 1);  // the check lives, with what it owns
  run.set_value(Good());
  EXPECT_EQ(seen->get_future().get(), 7);
}

TEST(ComponentChecksTest, RunsWithinTheirDeadlineAreCancelledAndAwaited) {
  std::promise<void> started;
  std::atomic<bool> ended = false;
  {
    ComponentChecks checks;
    CheckOptions options;
    options.deadline = kLong;
    ASSERT_TRUE(checks
                    .Register("db", options,
                              [&](const CheckRun& run) {
                                started.set_value();
                                while (!run.cancelled()) {
                                  std::this_thread::yield();
                                }
                                ended = true;
                                return Good();
                              })
                    .ok());
    started.get_future().wait();
  }
  EXPECT_TRUE(ended);
}

TEST(ComponentChecksTest, ComponentsDriveTheNamesOfGrpcHealth) {
  const auto health = std::make_shared<HealthService>();
  Gate gate;
  ComponentChecks checks(ByHand());
  CheckOptions options;
  options.health_names = {"pkg.Search"};
  ASSERT_TRUE(checks.Register("index", options, gate.check()).ok());
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kServing);
  checks.DriveHealth(health);
  // Not checked yet is not ready.
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kNotServing);
  EXPECT_EQ(health->StatusOf("pkg.Search"), ServingStatus::kNotServing);
  checks.Poll();
  gate.End(Good());
  checks.AwaitRuns();
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kServing);
  EXPECT_EQ(health->StatusOf("pkg.Search"), ServingStatus::kServing);

  // One that comes later counts from then on.
  options = {};
  options.critical = false;
  options.health_names = {"pkg.Search"};
  ASSERT_TRUE(
      checks.Register("cache", options, [](const CheckRun&) { return Good(); })
          .ok());
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kServing);
  EXPECT_EQ(health->StatusOf("pkg.Search"), ServingStatus::kNotServing);
  checks.Poll();
  checks.AwaitRuns();
  EXPECT_EQ(health->StatusOf("pkg.Search"), ServingStatus::kServing);
}

TEST(ComponentChecksTest, AHungComponentStopsServingWithoutAnyRead) {
  now_of_test = TimePoint(seconds(1000));
  const auto health = std::make_shared<HealthService>();
  Gate gate;
  ComponentChecks checks(ByHand());
  ASSERT_TRUE(checks.Register("db", {}, gate.check()).ok());
  checks.DriveHealth(health);
  checks.Poll();
  gate.End(Good());
  checks.AwaitRuns();
  now_of_test = Now() + seconds(10);
  checks.Poll();
  auto run = gate.Take();
  now_of_test = Now() + seconds(5);
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kServing);
  checks.Poll();
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kNotServing);
  run.set_value(Good());
}

TEST(ComponentChecksTest, WhatTheApplicationSaysStandsBesideTheComponents) {
  const auto health = std::make_shared<HealthService>();
  ComponentChecks checks(ByHand());
  ASSERT_TRUE(
      checks.Register("db", {}, [](const CheckRun&) { return Good(); }).ok());
  checks.DriveHealth(health);
  health->SetServing("", false);
  checks.Poll();
  checks.AwaitRuns();
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kNotServing);
  health->SetServing("", true);
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kServing);
  health->Shutdown();
  EXPECT_EQ(health->StatusOf(""), ServingStatus::kNotServing);
}

// "" serves when breakers and components both let it.
TEST(ComponentChecksTest, BreakersAndComponentsBothHaveToBeFine) {
  constexpr char kMethod[] = "/pkg.Service/Method";
  RegistryOptions registry_options;
  registry_options.start_dispatcher = false;
  registry_options.log = [](const std::string&) {};
  BreakerRegistry registry(registry_options);
  HealthOptions health_options;
  health_options.server = ServiceHealthRule::kAny;
  const auto health = std::make_shared<HealthService>(health_options);
  health->WatchBreakers(&registry, {kMethod});
  now_of_test = TimePoint(seconds(1000));
  bool healthy = true;
  ComponentChecks checks(ByHand());
  ASSERT_TRUE(checks
                  .Register("db", {},
                            [&healthy](const CheckRun&) {
                              return CheckResult{healthy, "", {}};
                            })
                  .ok());
  checks.DriveHealth(health);
  for (const bool breaker : {true, false, true}) {
    registry.Force(Role::kServer, "", kMethod,
                   breaker ? Override::kForcedClosed : Override::kForcedOpen,
                   TimePoint::max());
    registry.Dispatch();
    for (const bool component : {true, false, true}) {
      healthy = component;
      now_of_test = Now() + seconds(10);
      checks.Poll();
      checks.AwaitRuns();
      EXPECT_EQ(health->StatusOf(""), breaker && component
                                          ? ServingStatus::kServing
                                          : ServingStatus::kNotServing)
          << breaker << component;
    }
  }
  health->StopWatchingBreakers();
}

}  // namespace
}  // namespace fusebox

#include "interceptor/breaker/breaker_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The time of every registry here that dispatches by hand.
std::atomic<std::int64_t> simulated_ns{0};

TimePoint SimulatedNow() {
  return TimePoint(Duration(simulated_ns.load(std::memory_order_relaxed)));
}
void Advance(Duration by) { simulated_ns += by.count(); }

// A registry with simulated time and a list of what it announced.
class SimulatedRegistry {
 public:
  explicit SimulatedRegistry(RegistryOptions options = DefaultOptions())
      : registry_([&] {
          options.now = &SimulatedNow;
          options.start_dispatcher = false;
          if (!options.log) {
            options.log = [this](const std::string& line) {
              log_.push_back(line);
            };
          }
          return options;
        }()),
        watch_(registry_.WatchTransitions(
            [this](const Transition& t) { events_.push_back(t); })) {}

  static RegistryOptions DefaultOptions() {
    simulated_ns = seconds(1000) / Duration(1);
    RegistryOptions options;
    options.settings.jitter = 0;
    options.settings.min_requests = 0;
    return options;
  }

  BreakerRegistry& operator*() { return registry_; }
  BreakerRegistry* operator->() { return &registry_; }

  // "/pkg.S/M closed->open failure_threshold" for each event since last asked.
  std::vector<std::string> Events() {
    registry_.Dispatch();
    std::vector<std::string> texts;
    for (const Transition& t : events_) {
      texts.push_back(t.method + " " + StateName(t.from) + "->" +
                      StateName(t.to) + " " + TransitionReasonName(t.reason));
    }
    events_.clear();
    return texts;
  }
  std::vector<Transition> RawEvents() {
    registry_.Dispatch();
    return std::exchange(events_, {});
  }
  const std::vector<std::string>& log() const { return log_; }

 private:
  std::vector<std::string> log_;
  std::vector<Transition> events_;
  BreakerRegistry registry_;
  BreakerRegistry::Watch watch_;
};

Admission Admit(CircuitBreaker& breaker) {
  return breaker.Admit(SimulatedNow());
}
void Fail(CircuitBreaker& breaker) {
  Admit(breaker).permit.Finish(Outcome::kSystemError, SimulatedNow());
}

TEST(BreakerRegistryTest, BadSettingsAreAnErrorThatNamesFieldValueAndRange) {
  RegistryOptions options;
  options.settings.buckets = 0;
  options.max_breakers = 0;
  options.shards = 65;
  options.idle_timeout = milliseconds(999);
  try {
    BreakerRegistry registry(options);
    FAIL() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("buckets: 0 is out of range [1, 1000]"));
    EXPECT_THAT(error.what(),
                HasSubstr("max_breakers: 0 is out of range [1, ...)"));
    EXPECT_THAT(error.what(), HasSubstr("shards: 65 is out of range [0, 64]"));
    EXPECT_THAT(error.what(),
                HasSubstr("idle_timeout: 999ms is out of range [1s, ...)"));
  }
}

TEST(BreakerRegistryTest, SettingsWarningsAreLogged) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.settings = DoctorSettings();
  SimulatedRegistry registry(options);
  ASSERT_EQ(registry.log().size(), 1u);
  EXPECT_THAT(registry.log()[0], HasSubstr("the ramp hardly ever runs"));
}

TEST(BreakerRegistryTest, RoleTargetAndMethodTogetherNameABreaker) {
  SimulatedRegistry registry;
  auto orders = registry->Scope(Role::kClient, "orders");
  auto orders_again = registry->Scope(Role::kClient, "orders");
  auto users = registry->Scope(Role::kClient, "users");
  auto server = registry->Scope(Role::kServer, "orders");

  CircuitBreaker& get = orders->Find("/pkg.S/Get");
  EXPECT_EQ(&orders->Find("/pkg.S/Get"), &get);
  EXPECT_EQ(&orders_again->Find("/pkg.S/Get"), &get);
  std::set<CircuitBreaker*> others = {&get, &orders->Find("/pkg.S/Put"),
                                      &users->Find("/pkg.S/Get"),
                                      &server->Find("/pkg.S/Get")};
  EXPECT_EQ(others.size(), 4u);
  EXPECT_EQ(registry->stats().breakers, 4u);
}

TEST(BreakerRegistryTest, AnAddressThatCarriesAnotherNameFindsTheOther) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  char name[] = "/pkg.S/A";
  CircuitBreaker& a = scope->Find(name);
  name[7] = 'B';
  CircuitBreaker& b = scope->Find(name);
  EXPECT_NE(&a, &b);
  EXPECT_EQ(&scope->Find(name), &b);
  name[7] = 'A';
  EXPECT_EQ(&scope->Find(name), &a);
}

TEST(BreakerRegistryTest, ThousandsOfMethodsAreEachFoundAgain) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.max_breakers = 20000;
  options.shards = 1;
  options.settings.buckets = 1;
  SimulatedRegistry registry(options);
  auto scope = registry->Scope(Role::kClient, "t");
  std::vector<std::string> names;
  for (int i = 0; i < 10000; ++i) {
    names.push_back("/pkg.S/M" + std::to_string(i));
  }
  std::vector<CircuitBreaker*> breakers;
  for (const std::string& name : names) {
    breakers.push_back(&scope->Find(name.c_str()));
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSERT_EQ(&scope->Find(names[i].c_str()), breakers[i]) << names[i];
    // The same name at another address.
    ASSERT_EQ(&scope->Find(std::string(names[i]).c_str()), breakers[i]);
  }
  EXPECT_EQ(registry->stats().breakers, 10000u);
}

TEST(BreakerRegistryTest, BeyondTheLimitMethodsShareOneGuardedBreaker) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.max_breakers = 2;
  SimulatedRegistry registry(options);
  auto scope = registry->Scope(Role::kClient, "t");
  scope->Find("/pkg.S/A");
  scope->Find("/pkg.S/B");
  CircuitBreaker& other = scope->Find("/pkg.S/C");
  EXPECT_EQ(&scope->Find("/pkg.S/D"), &other);
  EXPECT_EQ(registry->stats().breakers, 2u);
  EXPECT_EQ(registry->stats().overflowed, 2u);

  Fail(other);
  EXPECT_FALSE(Admit(scope->Find("/pkg.S/E")).admitted());
  EXPECT_TRUE(Admit(scope->Find("/pkg.S/A")).admitted());
  const auto snapshots = registry->Snapshots();
  ASSERT_EQ(snapshots.size(), 3u);
  EXPECT_EQ(snapshots[2].method, "other");
  EXPECT_EQ(snapshots[2].state, State::kOpen);
}

TEST(BreakerRegistryTest, IdleBreakersGiveTheirPlaceUp) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.max_breakers = 2;
  options.idle_timeout = seconds(60);
  SimulatedRegistry registry(options);
  auto scope = registry->Scope(Role::kClient, "t");
  scope->Find("/pkg.S/Idle");
  CircuitBreaker& held = scope->Find("/pkg.S/Held");
  Admission admission = Admit(held);
  registry->Dispatch();

  // Every sweep sees the method in use, until it no longer is.
  for (int i = 0; i < 4; ++i) {
    Advance(seconds(15));
    registry->Dispatch();
    EXPECT_EQ(registry->stats().breakers, i < 3 ? 2u : 1u) << i;
  }
  EXPECT_EQ(registry->stats().retired, 1u);
  EXPECT_EQ(&scope->Find("/pkg.S/Held"), &held) << "a permit is out";
  EXPECT_FALSE(registry->Snapshot(Role::kClient, "t", "/pkg.S/Idle"));

  // Its place is free.
  scope->Find("/pkg.S/New");
  EXPECT_EQ(registry->stats().overflowed, 0u);
  admission.permit.Finish(Outcome::kOk, SimulatedNow());
}

TEST(BreakerRegistryTest, AnIdleOpenBreakerIsAnnouncedClosedBeforeItGoes) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.idle_timeout = seconds(60);
  SimulatedRegistry registry(options);
  auto scope = registry->Scope(Role::kClient, "t");
  Fail(scope->Find("/pkg.S/M"));
  registry->Dispatch();
  for (int i = 0; i < 8; ++i) {
    Advance(seconds(15));
    registry->Dispatch();
  }
  EXPECT_EQ(registry->stats().breakers, 0u);
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M closed->open system_error_threshold",
                          "/pkg.S/M open->half_open recovery_due",
                          "/pkg.S/M half_open->closed reset"));
}

TEST(BreakerRegistryTest, PinnedServerAndForcedBreakersStay) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.idle_timeout = seconds(60);
  SimulatedRegistry registry(options);
  CircuitBreaker& pinned = registry->Pin(Role::kClient, "t", "/pkg.S/Pinned");
  registry->Pin(Role::kServer, "", "/pkg.S/Server");
  auto scope = registry->Scope(Role::kClient, "t");
  scope->Find("/pkg.S/Forced");
  EXPECT_TRUE(registry->Force(Role::kClient, "t", "/pkg.S/Forced",
                              Override::kForcedOpen, TimePoint::max()));
  for (int i = 0; i < 20; ++i) {
    Advance(seconds(15));
    registry->Dispatch();
  }
  EXPECT_EQ(registry->stats().breakers, 3u);
  EXPECT_EQ(&registry->Pin(Role::kClient, "t", "/pkg.S/Pinned"), &pinned);
}

TEST(BreakerRegistryTest, WatchersHearEachChangeOnceAndInOrder) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "dns:///t");
  CircuitBreaker& breaker = scope->Find("/pkg.S/M");
  Fail(breaker);
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M closed->open system_error_threshold"));
  EXPECT_THAT(registry.log(),
              ElementsAre("fusebox: /pkg.S/M (client of dns:///t): closed -> "
                          "open: system_error_threshold, generation 2"));

  // Time alone: the next call would be the probe.
  Advance(seconds(1) - Duration(1));
  EXPECT_THAT(registry.Events(), IsEmpty());
  Advance(Duration(1));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M open->half_open recovery_due"));

  // The probe itself changes nothing that readers do not know yet.
  Admission probe = Admit(breaker);
  ASSERT_TRUE(probe.admitted());
  EXPECT_THAT(registry.Events(), IsEmpty());

  // Nor does the proof, but it sets the clock for the end of the ramp.
  probe.permit.Finish(Outcome::kOk, SimulatedNow());
  EXPECT_THAT(registry.Events(), IsEmpty());
  Advance(seconds(9) - Duration(1));
  EXPECT_THAT(registry.Events(), IsEmpty());
  Advance(Duration(1));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M half_open->closed ramp_finished"));
}

TEST(BreakerRegistryTest, ALateDispatcherStillAnnouncesWhatTimeHasDecided) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  Fail(scope->Find("/pkg.S/M"));
  Advance(seconds(3));  // the wait is over before anybody has looked
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M closed->open system_error_threshold",
                          "/pkg.S/M open->half_open recovery_due"));
}

TEST(BreakerRegistryTest, AProbeWhoseLeaseEndsIsAnnouncedWithoutAnyCall) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  CircuitBreaker& breaker = scope->Find("/pkg.S/M");
  Fail(breaker);
  Advance(seconds(1));
  Admission probe = Admit(breaker);
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M closed->open system_error_threshold",
                          "/pkg.S/M open->half_open probe_admitted"));
  Advance(seconds(5));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M half_open->open probe_lease_ended"));
}

TEST(BreakerRegistryTest, TheLeaseOfALaterProbeIsWatchedToo) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  CircuitBreaker& breaker = scope->Find("/pkg.S/M");
  Fail(breaker);
  Advance(seconds(1));
  Admit(breaker).permit.Finish(Outcome::kIgnored, SimulatedNow());
  registry.Events();
  Advance(seconds(20));
  Admission second = Admit(breaker);  // half-open to half-open
  EXPECT_THAT(registry.Events(), IsEmpty());
  Advance(seconds(5));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/M half_open->open probe_lease_ended"));
}

TEST(BreakerRegistryTest, SequenceNumbersHaveNoGaps) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  for (int i = 0; i < 5; ++i) {
    Fail(scope->Find("/pkg.S/A"));
    Fail(scope->Find("/pkg.S/B"));
    Advance(seconds(10));
    registry->Dispatch();
    Admit(scope->Find("/pkg.S/A")).permit.Finish(Outcome::kOk, SimulatedNow());
    Advance(seconds(10));
    registry->Dispatch();
  }
  const auto events = registry.RawEvents();
  ASSERT_GE(events.size(), 10u);
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence, i + 1);
    EXPECT_EQ(events[i].skipped, 0u);
  }
  EXPECT_EQ(registry->stats().transitions, events.size());
}

TEST(BreakerRegistryTest, AFullQueueIsCountedAndCaughtUpWith) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.queue_capacity = 2;
  SimulatedRegistry registry(options);
  auto scope = registry->Scope(Role::kClient, "t");
  for (int i = 0; i < 5; ++i) {
    Fail(scope->Find(("/pkg.S/M" + std::to_string(i)).c_str()));
  }
  const auto events = registry.RawEvents();
  std::set<std::string> open;
  std::uint64_t skipped = 0;
  for (const Transition& t : events) {
    skipped += t.skipped;
    EXPECT_EQ(t.to, State::kOpen);
    EXPECT_TRUE(open.insert(t.method).second) << t.method << " twice";
  }
  EXPECT_EQ(open.size(), 5u) << "every breaker's state is told";
  EXPECT_EQ(skipped, 3u);
  EXPECT_EQ(registry->stats().skipped, 3u);
}

TEST(BreakerRegistryTest, OverridesAreAnnouncedAndExpire) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  scope->Find("/pkg.S/M");
  EXPECT_TRUE(registry->Force(Role::kClient, "t", "/pkg.S/M",
                              Override::kForcedOpen,
                              registry->Now() + seconds(30)));
  EXPECT_FALSE(registry->Force(Role::kClient, "t", "/pkg.S/None",
                               Override::kForcedOpen, TimePoint::max()));
  EXPECT_FALSE(Admit(scope->Find("/pkg.S/M")).admitted());
  Advance(seconds(30));
  const auto events = registry.RawEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].override_to, Override::kForcedOpen);
  EXPECT_EQ(events[0].to, State::kOpen);
  EXPECT_EQ(events[1].reason, TransitionReason::kForceExpired);
  EXPECT_EQ(events[1].override_from, Override::kForcedOpen);
  EXPECT_EQ(events[1].override_to, Override::kNone);
  EXPECT_EQ(events[1].to, State::kClosed);
  EXPECT_FALSE(registry->Release(Role::kClient, "t", "/pkg.S/M"));
}

TEST(BreakerRegistryTest, AWatcherMayCallTheLibraryAndEndItsOwnWatch) {
  SimulatedRegistry registry;
  auto scope = registry->Scope(Role::kClient, "t");
  int calls = 0;
  BreakerRegistry::Watch watch =
      registry->WatchTransitions([&](const Transition& t) {
        ++calls;
        EXPECT_EQ(registry->Snapshot(t.role, t.target, t.method)->state, t.to);
        // A method is made, and opened, from within.
        Fail(scope->Find("/pkg.S/Inner"));
        watch.Stop();
      });
  Fail(scope->Find("/pkg.S/Outer"));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/pkg.S/Outer closed->open system_error_threshold",
                          "/pkg.S/Inner closed->open system_error_threshold"));
  EXPECT_EQ(calls, 1);
}

TEST(BreakerRegistryTest, TheDispatcherThreadDeliversAndStopWaitsForACall) {
  RegistryOptions options;
  options.settings.min_requests = 0;
  options.log = [](const std::string&) {};
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "t");

  std::mutex mu;
  std::condition_variable cv;
  bool entered = false;
  bool leave = false;
  std::atomic<bool> left{false};
  BreakerRegistry::Watch watch =
      registry.WatchTransitions([&](const Transition&) {
        std::unique_lock<std::mutex> lock(mu);
        entered = true;
        cv.notify_all();
        cv.wait(lock, [&] { return leave; });
        left = true;
      });
  scope->Find("/pkg.S/M")
      .AdmitIfClosed()
      .Finish(Outcome::kSystemError, registry.Now());
  {
    std::unique_lock<std::mutex> lock(mu);
    ASSERT_TRUE(cv.wait_for(lock, seconds(60), [&] { return entered; }));
  }
  std::thread stopper([&] {
    watch.Stop();
    EXPECT_TRUE(left.load()) << "Stop() returned while the watcher ran";
  });
  {
    std::lock_guard<std::mutex> lock(mu);
    leave = true;
  }
  cv.notify_all();
  stopper.join();
}

// Threads find, fail and admit while breakers come and go; every event of one
// breaker links to the one before.
TEST(BreakerRegistryTest, EventsOfOneBreakerFormAChainUnderAStorm) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.now = &SimulatedNow;
  options.start_dispatcher = false;
  options.settings.bucket_width = milliseconds(10);
  options.settings.min_recovery = milliseconds(10);
  options.settings.max_recovery = milliseconds(20);
  options.settings.max_open_duration = milliseconds(10);
  options.log = [](const std::string&) {};
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "t");
  std::map<std::uint64_t, Transition> last;
  std::uint64_t sequence = 0;
  std::atomic<int> broken{0};
  std::atomic<int> events{0};
  auto watch = registry.WatchTransitions([&](const Transition& t) {
    if (t.sequence != ++sequence) ++broken;
    const auto found = last.find(t.breaker_id);
    const State before =
        found == last.end() ? State::kClosed : found->second.to;
    const Override override_before =
        found == last.end() ? Override::kNone : found->second.override_to;
    if (t.from != before || t.override_from != override_before) ++broken;
    if (t.from == t.to && t.override_from == t.override_to) ++broken;
    if (found != last.end() && t.generation < found->second.generation) {
      ++broken;
    }
    last[t.breaker_id] = t;
    ++events;
  });

  const std::vector<std::string> names = {"/pkg.S/A", "/pkg.S/B", "/pkg.S/C"};
  std::atomic<bool> storm_over{false};
  std::thread dispatcher([&] {
    while (!storm_over) registry.Dispatch();
  });
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::uint64_t draw = seed;
      for (int i = 0; i < 20000; ++i) {
        draw = draw * 6364136223846793005u + 1442695040888963407u;
        Advance(std::chrono::microseconds(100));
        CircuitBreaker& breaker =
            scope->Find(names[(draw >> 33) % names.size()].c_str());
        Admission admission = breaker.Admit(registry.Now());
        admission.permit.Finish(
            (draw >> 40) % 4 == 0 ? Outcome::kTimeout : Outcome::kOk,
            registry.Now());
        if ((draw >> 45) % 1024 == 0) {
          breaker.Force(Override::kForcedClosed,
                        registry.Now() + milliseconds(5), registry.Now());
        }
        if ((draw >> 45) % 1024 == 1) breaker.Release(registry.Now());
        if ((draw >> 45) % 1024 == 2) breaker.Reset(registry.Now());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  storm_over = true;
  dispatcher.join();
  registry.Dispatch();
  watch.Stop();
  EXPECT_EQ(broken.load(), 0);
  EXPECT_GT(events.load(), 10);
  for (const BreakerSnapshot& snapshot : registry.Snapshots()) {
    EXPECT_EQ(snapshot.in_flight, 0u) << snapshot.method;
  }
}

// ---- other settings

TEST(SetSettingsTest, ReachRunningBreakersAndThoseToCome) {
  SimulatedRegistry registry;
  const auto scope = registry->Scope(Role::kClient, "t");
  CircuitBreaker& running = scope->Find("/p.S/Running");
  CircuitBreaker& own = registry->Pin(Role::kServer, "", "/p.S/Own");
  Permit permit = running.AdmitIfClosed();
  const Settings before = running.settings();

  Settings defaults = before;
  defaults.min_requests = 77;
  Settings of_service = before;
  of_service.min_requests = 88;
  Settings of_method = before;
  of_method.mode = Mode::kOff;
  registry->SetSettings(defaults,
                        {{"/q.S/*", of_service}, {"/p.S/Own", of_method}});
  EXPECT_EQ(running.settings(), defaults);
  EXPECT_EQ(own.settings(), of_method);
  EXPECT_EQ(scope->Find("/p.S/New").settings(), defaults);
  EXPECT_EQ(scope->Find("/q.S/New").settings(), of_service);
  EXPECT_EQ(&scope->Find("/p.S/Running"), &running);
  EXPECT_EQ(registry->options().settings, defaults);
  EXPECT_EQ(registry->options().method_settings.at("/p.S/Own"), of_method);
  EXPECT_EQ(registry->options().method_settings.size(), 2u);
  EXPECT_EQ(registry->Snapshot(Role::kClient, "t", "/p.S/Running")->in_flight,
            1u);
  permit.Finish(Outcome::kOk, SimulatedNow());

  registry->SetSettings(before, {});
  EXPECT_EQ(own.settings(), before);
  EXPECT_THAT(registry->options().method_settings, IsEmpty());
}

TEST(SetSettingsTest, TheOverflowBreakerTakesThemToo) {
  RegistryOptions options = SimulatedRegistry::DefaultOptions();
  options.max_breakers = 1;
  SimulatedRegistry registry(options);
  const auto scope = registry->Scope(Role::kClient, "t");
  scope->Find("/p.S/One");
  CircuitBreaker& overflow = scope->Find("/p.S/Two");
  Settings other = options.settings;
  other.min_requests = 5;
  registry->SetSettings(other, {});
  EXPECT_EQ(overflow.settings(), other);
}

TEST(SetSettingsTest, BadOnesChangeNothingAndAreNamed) {
  SimulatedRegistry registry;
  CircuitBreaker& breaker = registry->Pin(Role::kServer, "", "/p.S/M");
  const Settings before = breaker.settings();
  Settings good = before;
  good.min_requests = 3;
  Settings bad = before;
  bad.buckets = 0;
  bad.jitter = 7;
  try {
    registry->SetSettings(good, {{"/p.S/M", bad}, {"nonsense", good}});
    FAIL() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("/p.S/M: buckets: 0 is out of range "
                                        "[1, 1000]"));
    EXPECT_THAT(error.what(), HasSubstr("jitter: 7 is out of range [0, 0.5]"));
    EXPECT_THAT(error.what(), HasSubstr("'nonsense' is not valid"));
  }
  EXPECT_EQ(breaker.settings(), before);
  EXPECT_EQ(registry->options().settings, before);
}

TEST(SetSettingsTest, SwitchingOffIsAnnounced) {
  SimulatedRegistry registry;
  CircuitBreaker& breaker = registry->Pin(Role::kServer, "", "/p.S/M");
  Permit permit = breaker.AdmitIfClosed();
  permit.Finish(Outcome::kSystemError, SimulatedNow());
  Settings off = breaker.settings();
  off.mode = Mode::kOff;
  registry->SetSettings(off, {});
  EXPECT_THAT(registry.Events(),
              ElementsAre("/p.S/M closed->open system_error_threshold",
                          "/p.S/M open->closed switched_off"));
}

TEST(SetSettingsTest, AChangedRampIsAnnouncedWhenItEnds) {
  SimulatedRegistry registry;
  CircuitBreaker& breaker = registry->Pin(Role::kServer, "", "/p.S/M");
  breaker.AdmitIfClosed().Finish(Outcome::kSystemError, SimulatedNow());
  Advance(seconds(1));
  breaker.Admit(SimulatedNow()).permit.Finish(Outcome::kOk, SimulatedNow());
  registry.Events();
  Settings quick = breaker.settings();
  quick.max_recovery = seconds(2);
  registry->SetSettings(quick, {});
  Advance(milliseconds(999));
  EXPECT_THAT(registry.Events(), IsEmpty());
  Advance(milliseconds(1));
  EXPECT_THAT(registry.Events(),
              ElementsAre("/p.S/M half_open->closed ramp_finished"));
}

}  // namespace
}  // namespace fusebox

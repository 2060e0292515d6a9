#include "interceptor/stats/breaker_statistics.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"
#include "interceptor/stats/latency_recorder.h"
#include "interceptor/stats/statistics.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::atomic<std::int64_t> simulated_ns{0};

TimePoint SimulatedNow() { return TimePoint(Duration(simulated_ns.load())); }
void Advance(Duration by) { simulated_ns += by.count(); }

void Call(CircuitBreaker& breaker, Outcome outcome,
          Duration latency = Duration::zero()) {
  breaker.Admit(SimulatedNow()).permit.Finish(outcome, SimulatedNow(), latency);
}

class BreakerStatisticsTest : public ::testing::Test {
 protected:
  BreakerStatisticsTest()
      : statistics_(&SimulatedNow),
        breakers_(Options()),
        shown_(&breakers_, &statistics_) {}

  static RegistryOptions Options() {
    simulated_ns = 1'000'000'000'000;
    RegistryOptions options;
    options.now = &SimulatedNow;
    options.start_dispatcher = false;
    options.shards = 1;
    options.call_stats = true;
    options.max_breakers = 5;
    options.log = [](const std::string&) {};
    options.settings.jitter = 0;
    options.settings.min_requests = 3;  // the fourth outcome may open
    options.settings.slow_call_duration = seconds(2);
    return options;
  }

  CircuitBreaker& Server(const std::string& method) {
    return breakers_.Pin(Role::kServer, "", method);
  }

  void Open(CircuitBreaker& breaker) {
    for (int i = 0; i < 4; ++i) Call(breaker, Outcome::kSystemError);
  }

  StatValue Read() { return statistics_.Read(); }
  StatValue Method(const std::string& service, const std::string& method) {
    return Read().at("method").at(service).at(method);
  }

  Statistics statistics_;
  BreakerRegistry breakers_;
  BreakerStatistics shown_;
};

constexpr char kNoRate[] =
    R"({"unit":"calls/s","count":0,"m1":0.0,"m5":0.0,"m15":0.0})";

TEST_F(BreakerStatisticsTest, WithoutBreakersThereAreZeros) {
  const std::string rate = kNoRate;
  EXPECT_EQ(
      Read().dump(),
      R"({"statistics":{"failed_gauges":0},)"
      R"("methods":{"closed":0,"half_open":0,"open":0},)"
      R"("calls":)" +
          rate + R"(,"failures":)" + rate + R"(,"rejections":)" + rate +
          R"(,"outcomes":{"ok":0,"user_error":0,"timeout":0,"system_error":0,)"
          R"("unknown_error":0,"ignored":0},"slow":0,"stale":0,)"
          R"("rejected":{"open":0,"half_open_limit":0,"forced_open":0},)"
          R"("shadow_rejected":0,"in_flight":0,)"
          R"("seconds_in_state":{"closed":0.0,"open":0.0,"half_open":0.0,)"
          R"("forced_open":0.0,"forced_closed":0.0},)"
          R"("latency_seconds":{"count":0,"min":null,"max":null,"mean":null,)"
          R"("stddev":null,"median":null,"75percentile":null,)"
          R"("95percentile":null,"98percentile":null,"99percentile":null,)"
          R"("999percentile":null},"codes":{},)"
          R"("registry":{"breakers":0,"overflowed":0,"retired":0,)"
          R"("transitions":0,"skipped":0},"service":{},"method":{}})");
}

TEST_F(BreakerStatisticsTest, EveryCounterHasItsPlace) {
  GuardedMethod guarded = breakers_.PinMethod(Role::kServer, "", "/pkg.S/M");
  CircuitBreaker& breaker = *guarded.breaker;
  Call(breaker, Outcome::kOk);
  Call(breaker, Outcome::kOk, seconds(2));
  Call(breaker, Outcome::kUserError);
  Call(breaker, Outcome::kIgnored);
  Call(breaker, Outcome::kTimeout);
  Admission under_way = breaker.Admit(SimulatedNow());
  Admission stale = breaker.Admit(SimulatedNow());
  guarded.calls->Record(0, milliseconds(100));
  guarded.calls->Record(0, milliseconds(300));
  guarded.calls->RecordWithoutLatency(14);
  Advance(seconds(2));
  breakers_.Reset(Role::kServer, "", "/pkg.S/M");
  stale.permit.Finish(Outcome::kOk, SimulatedNow());
  Call(breaker, Outcome::kUnknownError);
  breakers_.Force(Role::kServer, "", "/pkg.S/M", Override::kForcedOpen,
                  TimePoint::max());
  Advance(seconds(3));
  EXPECT_FALSE(breaker.Admit(SimulatedNow()).admitted());

  const StatValue method = Method("pkg.S", "M");
  const BreakerSnapshot snapshot =
      *breakers_.Snapshot(Role::kServer, "", "/pkg.S/M");
  EXPECT_EQ(method["state"], "open");
  EXPECT_EQ(method["calls"]["count"], 7);
  EXPECT_EQ(method["failures"]["count"], 2);
  EXPECT_EQ(method["rejections"]["count"], 1);
  EXPECT_EQ(method["outcomes"]["ok"], 2);
  EXPECT_EQ(method["outcomes"]["user_error"], 1);
  EXPECT_EQ(method["outcomes"]["timeout"], 1);
  EXPECT_EQ(method["outcomes"]["system_error"], 0);
  EXPECT_EQ(method["outcomes"]["unknown_error"], 1);
  EXPECT_EQ(method["outcomes"]["ignored"], 1);
  EXPECT_EQ(method["slow"], 1);
  EXPECT_EQ(method["stale"], 1);
  EXPECT_EQ(method["rejected"].dump(),
            R"({"open":0,"half_open_limit":0,"forced_open":1})");
  EXPECT_EQ(method["shadow_rejected"], 0);
  EXPECT_EQ(method["in_flight"], 1);
  EXPECT_EQ(method["seconds_in_state"].dump(),
            R"({"closed":2.0,"open":0.0,"half_open":0.0,"forced_open":3.0,)"
            R"("forced_closed":0.0})");
  EXPECT_EQ(method["latency_seconds"]["count"], 2);
  EXPECT_EQ(method["latency_seconds"]["min"], 0.1);
  EXPECT_EQ(method["latency_seconds"]["max"], 0.3);
  EXPECT_EQ(method["latency_seconds"]["mean"], 0.2);
  EXPECT_NEAR(method["latency_seconds"]["median"], 0.2, 0.2 / 100);
  EXPECT_NEAR(method["latency_seconds"]["999percentile"], 0.3, 0.3 / 100);
  EXPECT_NEAR(method["latency_seconds"]["stddev"], 0.1, 0.3 / 100);
  EXPECT_EQ(method["codes"].dump(), R"({"OK":2,"UNAVAILABLE":1})");

  const StatValue& server = method["breakers"]["server"];
  EXPECT_EQ(server["state"], "open");
  EXPECT_EQ(server["override"], "forced_open");
  EXPECT_EQ(server["generation"], snapshot.generation);
  EXPECT_EQ(server["window"]["timeout"], snapshot.window.of(Outcome::kTimeout));
  EXPECT_EQ(server["codes"], method["codes"]);
  EXPECT_EQ(server["outcomes"], method["outcomes"]);
}

TEST_F(BreakerStatisticsTest, MethodsAddUpToServicesAndTheProcess) {
  Call(Server("/a.S/M"), Outcome::kOk);
  Call(Server("/a.S/N"), Outcome::kUserError);
  Open(Server("/a.S/N"));  // the last of its calls is refused
  for (int i = 0; i < 7; ++i) Call(Server("/b.S/M"), Outcome::kOk);
  breakers_.PinMethod(Role::kServer, "", "/a.S/M")
      .calls->Record(0, milliseconds(1));
  breakers_.PinMethod(Role::kServer, "", "/b.S/M")
      .calls->Record(5, milliseconds(3));
  const StatValue tree = Read();
  const StatValue& a = tree["service"]["a.S"];
  EXPECT_EQ(a["methods"].dump(), R"({"closed":1,"half_open":0,"open":1})");
  EXPECT_EQ(a["calls"]["count"], 5);
  EXPECT_EQ(a["outcomes"]["ok"], 1);
  EXPECT_EQ(a["outcomes"]["system_error"], 3);
  EXPECT_EQ(a["rejections"]["count"], 1);
  EXPECT_EQ(a["latency_seconds"]["count"], 1);
  EXPECT_EQ(tree["service"]["b.S"]["calls"]["count"], 7);
  EXPECT_EQ(tree["methods"].dump(), R"({"closed":2,"half_open":0,"open":1})");
  EXPECT_EQ(tree["calls"]["count"], 12);
  EXPECT_EQ(tree["failures"]["count"], 3);
  EXPECT_EQ(tree["outcomes"]["ok"], 8);
  EXPECT_EQ(tree["latency_seconds"]["count"], 2);
  EXPECT_EQ(tree["latency_seconds"]["mean"], 0.002);
  EXPECT_EQ(tree["codes"].dump(), R"({"OK":1,"NOT_FOUND":1})");
  EXPECT_EQ(tree["registry"]["breakers"], 3);
  EXPECT_EQ(tree["method"]["a.S"]["N"]["state"], "open");
  EXPECT_EQ(tree["method"]["a.S"]["M"]["state"], "closed");
}

TEST_F(BreakerStatisticsTest, AMethodIsAsBadAsItsWorstBreaker) {
  Call(Server("/a.S/M"), Outcome::kOk);
  CircuitBreaker& one = breakers_.Pin(Role::kClient, "dns:///one", "/a.S/M");
  Open(one);
  breakers_.Pin(Role::kClient, "dns:///two", "/a.S/M");
  StatValue method = Method("a.S", "M");
  EXPECT_EQ(method["state"], "open");
  EXPECT_EQ(method["calls"]["count"], 5);
  ASSERT_EQ(method["breakers"].size(), 3u);
  EXPECT_EQ(method["breakers"]["server"]["state"], "closed");
  EXPECT_EQ(method["breakers"]["client of dns:///one"]["state"], "open");
  EXPECT_EQ(method["breakers"]["client of dns:///two"]["calls"]["count"], 0);
  EXPECT_EQ(Read()["methods"].dump(), R"({"closed":0,"half_open":0,"open":1})");
  // The probe.
  Advance(breakers_.options().settings.max_open_duration * 2);
  Admission probe = one.Admit(SimulatedNow());
  ASSERT_TRUE(probe.admitted());
  method = Method("a.S", "M");
  EXPECT_EQ(method["state"], "half_open");
  EXPECT_EQ(Read()["methods"].dump(), R"({"closed":0,"half_open":1,"open":0})");
}

TEST_F(BreakerStatisticsTest, RatesFollowTheFormula) {
  CircuitBreaker& breaker = Server("/a.S/M");
  // Looked at 0.3 s after the ends of ticks, as a dispatcher may.
  Advance(milliseconds(300));
  for (int i = 0; i < 15; ++i) Call(breaker, Outcome::kOk);  // 3/s
  Advance(seconds(5));
  breakers_.Dispatch();
  for (int i = 0; i < 4; ++i) Call(breaker, Outcome::kTimeout);  // 0.8/s
  breakers_.Force(Role::kServer, "", "/a.S/M", Override::kForcedOpen,
                  TimePoint::max());
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(breaker.Admit(SimulatedNow()).admitted());
  }
  StatValue method = Method("a.S", "M");
  EXPECT_EQ(method["calls"]["m1"], 3.0);
  EXPECT_EQ(method["calls"]["m15"], 3.0);
  EXPECT_EQ(method["calls"]["count"], 19);
  EXPECT_EQ(method["failures"]["m1"], 0.0);
  EXPECT_EQ(method["failures"]["count"], 4);
  Advance(seconds(5));
  breakers_.Dispatch();
  method = Method("a.S", "M");
  const double alpha = 1 - std::exp(-5.0 / 60);
  EXPECT_NEAR(method["calls"]["m1"], 3 + alpha * (0.8 - 3), 1e-12);
  EXPECT_NEAR(method["failures"]["m1"], alpha * 0.8, 1e-12);
  EXPECT_NEAR(method["rejections"]["m1"], alpha * 2, 1e-12);
  EXPECT_NEAR(method["calls"]["m5"], 3 + (1 - std::exp(-5.0 / 300)) * (0.8 - 3),
              1e-12);
  const StatValue tree = Read();
  EXPECT_EQ(tree["calls"], method["calls"]);
  EXPECT_EQ(tree["service"]["a.S"]["rejections"], method["rejections"]);
}

TEST_F(BreakerStatisticsTest, RatesAreTheSameHoweverOftenOneLooks) {
  CircuitBreaker& breaker = Server("/a.S/M");
  for (int tick = 0; tick < 50; ++tick) {
    for (int i = 0; i < 10; ++i) {
      Call(breaker, Outcome::kOk);
      Call(breaker, Outcome::kOk);
      Advance(milliseconds(500));
      breakers_.Dispatch();
      if (tick % 3 == 0) Read();
    }
  }
  const StatValue rate = Method("a.S", "M")["calls"];
  EXPECT_EQ(rate["count"], 1000);
  EXPECT_NEAR(rate["m1"].get<double>(), 4, 0.1);
  EXPECT_NEAR(rate["m15"].get<double>(), 4, 0.1);
}

TEST_F(BreakerStatisticsTest, WhatWasCountedBeforeIsNoBurst) {
  for (int i = 0; i < 1000; ++i) Call(Server("/a.S/M"), Outcome::kOk);
  Statistics statistics;
  const BreakerStatistics shown(&breakers_, &statistics, "/breakers");
  Advance(seconds(5));
  breakers_.Dispatch();
  const StatValue tree = statistics.Read();
  EXPECT_EQ(tree["breakers"]["calls"]["count"], 1000);
  EXPECT_EQ(tree["breakers"]["calls"]["m1"], 0.0);
}

TEST_F(BreakerStatisticsTest, BreakersThatAreGoneTakeTheirCountsAlong) {
  {
    auto scope = breakers_.Scope(Role::kClient, "t");
    Call(scope->Find("/a.S/M"), Outcome::kOk);
  }
  EXPECT_EQ(Read()["calls"]["count"], 1);
  for (int i = 0; i < 8; ++i) {  // sweep by sweep
    Advance(breakers_.options().idle_timeout / 4);
    breakers_.Dispatch();
  }
  const StatValue tree = Read();
  EXPECT_EQ(tree["registry"]["retired"], 1);
  EXPECT_EQ(tree["calls"]["count"], 0);
  EXPECT_EQ(tree["method"].dump(), "{}");
}

TEST_F(BreakerStatisticsTest, TheRegistryBoundsTheTree) {
  auto scope = breakers_.Scope(Role::kClient, "t");
  for (int i = 0; i < 100; ++i) {
    Call(scope->Find(("/a.S/" + std::to_string(i)).c_str()), Outcome::kOk);
  }
  const StatValue tree = Read();
  EXPECT_EQ(tree["method"]["a.S"].size(), 5u);
  EXPECT_EQ(tree["method"]["other"]["other"]["calls"]["count"], 95);
  EXPECT_EQ(tree["calls"]["count"], 100);
}

TEST_F(BreakerStatisticsTest, HostileNamesOfMethodsAreKeptApart) {
  auto scope = breakers_.Scope(Role::kClient, "dns:///\xff<b>\n");
  const std::vector<std::string> names = {"/a/\xff", "/a/\xfe", "//x//<script>",
                                          "/a/\x01\n\"", "/"};
  for (const std::string& name : names) {
    Call(scope->Find(name.c_str()), Outcome::kOk);
  }
  const auto tree = nlohmann::json::parse(Read().dump());
  EXPECT_EQ(tree["calls"]["count"], 5);
  const auto& methods = tree["method"];
  EXPECT_EQ(methods["a"].size(), 3u);
  EXPECT_TRUE(methods["a"].contains("\xef\xbf\xbd"));
  EXPECT_TRUE(methods["a"].contains("\xef\xbf\xbd (2)"));
  EXPECT_TRUE(methods["a"].contains("\x01\n\""));
  EXPECT_TRUE(methods["/x/"].contains("<script>"));
  EXPECT_TRUE(methods[""].contains(""));
  EXPECT_TRUE(methods[""][""]["breakers"].contains(
      "client of dns:///\xef\xbf\xbd<b>\n"));
}

TEST_F(BreakerStatisticsTest, UsersAddToAMethod) {
  Call(Server("/a.S/M"), Outcome::kOk);
  statistics_.Integer("/method/a.S/M/cache_hits").Add(3);
  const StatValue method = Method("a.S", "M");
  EXPECT_EQ(method["cache_hits"], 3);
  EXPECT_EQ(method["state"], "closed");
}

TEST_F(BreakerStatisticsTest, APlaceThatIsTakenIsAnError) {
  EXPECT_THROW(BreakerStatistics(&breakers_, &statistics_),
               std::invalid_argument);
  // The first is still there, and the second does not follow the rounds.
  EXPECT_TRUE(Read().contains("method"));
  Advance(seconds(60));
  breakers_.Dispatch();
}

TEST(BreakerStatisticsLifeTest, GoesAwayWithoutATrace) {
  RegistryOptions options;
  options.log = [](const std::string&) {};
  BreakerRegistry breakers(options);
  Statistics statistics;
  {
    const BreakerStatistics shown(&breakers, &statistics);
    EXPECT_TRUE(statistics.Read().contains("method"));
  }
  EXPECT_EQ(statistics.Read().dump(), R"({"statistics":{"failed_gauges":0}})");
}

TEST(BreakerStatisticsLifeTest, WithoutCallStatsThereAreNoLatencies) {
  RegistryOptions options;
  options.log = [](const std::string&) {};
  BreakerRegistry breakers(options);
  Statistics statistics;
  const BreakerStatistics shown(&breakers, &statistics);
  breakers.Pin(Role::kServer, "", "/a.S/M");
  const StatValue method = statistics.Read()["method"]["a.S"]["M"];
  EXPECT_EQ(method["state"], "closed");
  EXPECT_FALSE(method.contains("latency_seconds"));
  EXPECT_FALSE(method.contains("codes"));
}

// Callers, readers and the registry's own dispatcher; then nothing is missing.
TEST(BreakerStatisticsLifeTest, TotalsAreExactWhateverIsGoingOn) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 2000;
  RegistryOptions options;
  options.call_stats = true;
  options.log = [](const std::string&) {};
  BreakerRegistry breakers(options);
  Statistics statistics;
  const BreakerStatistics shown(&breakers, &statistics);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    do {
      const StatValue tree = statistics.Read();
      std::uint64_t of_services = 0;
      for (const StatValue& service : tree["service"]) {
        of_services += service["calls"]["count"].get<std::uint64_t>();
      }
      EXPECT_EQ(tree["calls"]["count"], of_services);
    } while (!stop);
  });
  std::vector<std::thread> callers;
  for (int t = 0; t < kThreads; ++t) {
    callers.emplace_back([&breakers, t] {
      for (int i = 0; i < kCalls; ++i) {
        const GuardedMethod guarded = breakers.PinMethod(
            Role::kServer, "",
            "/s" + std::to_string(i % 3) + "/m" + std::to_string(t % 2));
        guarded.breaker->Admit(breakers.Now())
            .permit.Finish(Outcome::kOk, breakers.Now());
        guarded.calls->Record(0, milliseconds(i));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  stop = true;
  reader.join();
  const StatValue tree = statistics.Read();
  EXPECT_EQ(tree["calls"]["count"], kThreads * kCalls);
  EXPECT_EQ(tree["outcomes"]["ok"], kThreads * kCalls);
  EXPECT_EQ(tree["latency_seconds"]["count"], kThreads * kCalls);
  EXPECT_EQ(tree["codes"]["OK"], kThreads * kCalls);
  EXPECT_EQ(tree["methods"]["closed"], 6);
}

}  // namespace
}  // namespace fusebox

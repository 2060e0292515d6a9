// Whose calls the registry shows, and for how long.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/test_sync.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::atomic<std::int64_t> simulated_ns{seconds(1000) / Duration(1)};
TimePoint SimulatedNow() { return TimePoint(Duration(simulated_ns.load())); }
void Advance(Duration by) { simulated_ns += by.count(); }

RegistryOptions Counting() {
  RegistryOptions options;
  options.now = &SimulatedNow;
  options.start_dispatcher = false;
  options.call_stats = true;
  options.log = [](const std::string&) {};
  return options;
}

// "client target method: code x calls, ..." for each method.
std::vector<std::string> CallsOf(BreakerRegistry& registry) {
  std::vector<std::string> lines;
  for (const MethodCalls& calls : registry.Calls()) {
    std::string line = calls.role == Role::kClient ? "client " : "server ";
    line += calls.target + " " + calls.method + ":";
    for (const MethodCalls::OfCode& of_code : calls.codes) {
      line += " " + std::to_string(of_code.code) + " x " +
              std::to_string(of_code.calls);
    }
    lines.push_back(line);
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST(BreakerCallsTest, NothingUnlessAskedFor) {
  RegistryOptions options = Counting();
  options.call_stats = false;
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "t");
  EXPECT_EQ(scope->FindMethod("/pkg.S/M").calls, nullptr);
  EXPECT_EQ(scope->FindMethod("/pkg.S/M").breaker, &scope->Find("/pkg.S/M"));
  EXPECT_EQ(registry.PinMethod(Role::kServer, "", "/pkg.S/M").calls, nullptr);
  EXPECT_EQ(CallsOf(registry), Lines());
}

TEST(BreakerCallsTest, OfEachMethodInTheOrderOfItsSnapshots) {
  BreakerRegistry registry(Counting());
  auto b = registry.Scope(Role::kClient, "b");
  auto a = registry.Scope(Role::kClient, "a");
  registry.PinMethod(Role::kServer, "", "/pkg.S/M")
      .calls->Record(0, milliseconds(5));
  b->FindMethod("/pkg.S/M").calls->Record(14, milliseconds(6));
  b->FindMethod("/pkg.S/M").calls->RecordWithoutLatency(14);
  a->FindMethod("/pkg.S/N").calls->Record(0, milliseconds(7));
  a->FindMethod("/pkg.S/Idle");
  EXPECT_EQ(CallsOf(registry),
            (Lines{"client a /pkg.S/Idle:", "client a /pkg.S/N: 0 x 1",
                   "client b /pkg.S/M: 14 x 2", "server  /pkg.S/M: 0 x 1"}));

  const std::vector<MethodCalls> calls = registry.Calls();
  const std::vector<BreakerSnapshot> snapshots = registry.Snapshots();
  ASSERT_EQ(calls.size(), snapshots.size());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    EXPECT_EQ(calls[i].breaker_id, snapshots[i].id);
  }
  EXPECT_EQ(calls[2].codes[0].latency.sum(), milliseconds(6));
}

TEST(BreakerCallsTest, OverflowBreakersRecordWhateverTheirMode) {
  for (Mode mode : {Mode::kEnforce, Mode::kOff}) {
    RegistryOptions options = Counting();
    options.settings.mode = mode;
    options.max_breakers = 1;
    BreakerRegistry registry(options);
    auto scope = registry.Scope(Role::kClient, "t");
    scope->FindMethod("/pkg.S/First").calls->Record(0, seconds(1));
    EXPECT_EQ(CallsOf(registry), Lines{"client t /pkg.S/First: 0 x 1"});
    scope->FindMethod("/pkg.S/Second").calls->Record(0, seconds(1));
    scope->FindMethod("/pkg.S/Third").calls->Record(2, seconds(1));
    registry.PinMethod(Role::kServer, "", "/pkg.S/M").calls->Record(3, {});
    EXPECT_EQ(CallsOf(registry),
              (Lines{"client t /pkg.S/First: 0 x 1",
                     "client  other: 0 x 1 2 x 1", "server  other: 3 x 1"}));
  }
}

TEST(BreakerCallsTest, GoWithTheirBreakerAndBeginAnew) {
  RegistryOptions options = Counting();
  options.idle_timeout = seconds(60);
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "t");
  LatencyRecorder& old = *scope->FindMethod("/pkg.S/M").calls;
  old.Record(0, seconds(1));
  const std::uint64_t id = registry.Calls()[0].breaker_id;
  registry.Dispatch();
  for (int i = 0; i < 6; ++i) {
    Advance(seconds(15));
    registry.Dispatch();
  }
  EXPECT_EQ(CallsOf(registry), Lines());
  // Whoever has just found it may still use it.
  old.Record(0, seconds(1));

  scope->FindMethod("/pkg.S/M").calls->Record(0, seconds(1));
  EXPECT_EQ(CallsOf(registry), Lines{"client t /pkg.S/M: 0 x 1"});
  EXPECT_NE(registry.Calls()[0].breaker_id, id);
}

TEST(BreakerCallsTest, APermitKeepsThem) {
  RegistryOptions options = Counting();
  options.idle_timeout = seconds(60);
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "t");
  const GuardedMethod method = scope->FindMethod("/pkg.S/M");
  Permit permit = method.breaker->AdmitIfClosed();
  for (int i = 0; i < 20; ++i) {
    Advance(seconds(15));
    registry.Dispatch();
  }
  method.calls->Record(0, seconds(300));
  permit.Finish(Outcome::kOk, SimulatedNow());
  EXPECT_EQ(CallsOf(registry), Lines{"client t /pkg.S/M: 0 x 1"});
}

TEST(BreakerCallsTest, ManyThreadsOnManyMethods) {
  constexpr int kThreads = 8;
  constexpr int kMethods = 50;
  constexpr int kRounds = 40;
  BreakerRegistry registry(Counting());
  auto scope = registry.Scope(Role::kClient, "t");
  std::vector<std::string> names;
  for (int i = 0; i < kMethods; ++i) {
    names.push_back("/pkg.S/" + std::to_string(i));
  }
  RunThreads(kThreads, [&](int thread) {
    for (int round = 0; round < kRounds; ++round) {
      for (const std::string& name : names) {
        scope->FindMethod(name.c_str()).calls->Record(thread % 2, seconds(1));
      }
      if (thread == 0) registry.Calls();
    }
  });
  const std::vector<MethodCalls> calls = registry.Calls();
  ASSERT_EQ(calls.size(), names.size());
  for (const MethodCalls& method : calls) {
    ASSERT_EQ(method.codes.size(), 2u);
    for (const MethodCalls::OfCode& of_code : method.codes) {
      EXPECT_EQ(of_code.calls, kThreads / 2u * kRounds);
      EXPECT_EQ(of_code.latency.sum(), seconds(kThreads / 2 * kRounds));
    }
  }
}

}  // namespace
}  // namespace fusebox

// Slow calls on a server: what is slow, what follows from it, and that the
// clock for latencies is read only where slowness matters.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/rejection.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"
#include "interceptor/testing/heard.h"

namespace fusebox {
namespace {

using std::chrono::seconds;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Eventually;
using testing::GuardedEcho;
using testing::Heard;
using testing::HeardBy;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::StandingNow;

constexpr Duration kSlow = seconds(1);

Settings SlowFrom(std::optional<Duration> slow_call_duration) {
  Settings settings;
  settings.slow_call_duration = slow_call_duration;
  return settings;
}

// The standing clock, with a count of its readers.
std::atomic<int> readings{0};
TimePoint CountedNow() {
  ++readings;
  return StandingNow();
}

// How often `work` and what it set off read the clock.
template <class Work>
int ReadingsOf(Work work) {
  const int before = readings;
  work();
  return readings - before;
}

class ServerLatencyTest
    : public ::testing::TestWithParam<std::tuple<Api, CallKind>> {
 protected:
  static Api api() { return std::get<0>(GetParam()); }
  static CallKind kind() { return std::get<1>(GetParam()); }
  static bool IsUnary() { return kind() == CallKind::kUnary; }

  void Guard(const Settings& settings, NowFunction now = &CountedNow) {
    GuardedEcho::Options options;
    options.settings = settings;
    options.now = now;
    echo_ = std::make_unique<GuardedEcho>(api(), std::move(options));
  }

  BreakerSnapshot AtRest() {
    EXPECT_TRUE(
        Eventually([this] { return echo_->snapshot(kind()).in_flight == 0; }));
    return echo_->snapshot(kind());
  }

  void HoldFor(Duration time, const std::string& text = "hold") {
    std::thread clock([&] {
      echo_->script().AwaitHeld(1);
      Advance(time);
      echo_->script().Release();
    });
    CallEcho(echo_->stub(), kind(), text);
    clock.join();
  }

  // The handler fails as soon as it knows that it is cancelled.
  void CancelAfter(Duration time) {
    grpc::ClientContext context;
    std::thread clock([&] {
      EXPECT_TRUE(Eventually([this] { return echo_->script().runs() == 1; }));
      Advance(time);
      context.TryCancel();
    });
    CallEcho(echo_->stub(), kind(), context, "cancelled");
    clock.join();
  }

  std::unique_ptr<GuardedEcho> echo_;
};

std::string NameOf(
    const ::testing::TestParamInfo<std::tuple<Api, CallKind>>& info) {
  const std::string method(MethodOf(std::get<1>(info.param)));
  return ::testing::PrintToString(std::get<0>(info.param)) +
         method.substr(method.rfind('/') + 1);
}

INSTANTIATE_TEST_SUITE_P(, ServerLatencyTest,
                         ::testing::Combine(::testing::Values(Api::kSync,
                                                              Api::kCallback),
                                            ::testing::ValuesIn(kAllCallKinds)),
                         &NameOf);

TEST_P(ServerLatencyTest, AUnaryCallIsSlowFromSlowCallDurationOn) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow);
  EXPECT_EQ(HeardBy(AtRest()), (Heard{Outcome::kOk, IsUnary()}));
}

TEST_P(ServerLatencyTest, NoCallIsSlowBefore) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow - Duration(1));
  EXPECT_EQ(HeardBy(AtRest()), (Heard{Outcome::kOk, false}));
}

TEST_P(ServerLatencyTest, AUserErrorIsSlowAsWell) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow, "hold status 5");
  EXPECT_EQ(HeardBy(AtRest()), (Heard{Outcome::kUserError, IsUnary()}));
}

TEST_P(ServerLatencyTest, AUnaryCallCancelledAfterwardsIsATimeout) {
  Guard(SlowFrom(kSlow));
  CancelAfter(kSlow);
  EXPECT_EQ(HeardBy(AtRest()), IsUnary() ? (Heard{Outcome::kTimeout, true})
                                         : (Heard{Outcome::kIgnored, false}));
}

TEST_P(ServerLatencyTest, CancelledBeforeIsIgnored) {
  Guard(SlowFrom(kSlow));
  CancelAfter(kSlow - Duration(1));
  EXPECT_EQ(HeardBy(AtRest()), (Heard{Outcome::kIgnored, false}));
}

TEST_P(ServerLatencyTest, TheClockIsReadTwiceMoreForAUnaryCallAndNoStream) {
  const auto call = [&] {
    return ReadingsOf([&] {
      EXPECT_TRUE(CallEcho(echo_->stub(), kind(), "hello").status.ok());
      // Without looking at the breaker, which would read the clock. (A
      // synchronous server counts before the client hears of the end.)
      EXPECT_EQ(echo_->script().runs(), 1);
    });
  };
  Guard(SlowFrom(std::nullopt));
  const int off = call();
  Guard(SlowFrom(kSlow));
  const int on = call();
  EXPECT_EQ(on - off, IsUnary() ? 2 : 0);
  EXPECT_LE(off, IsUnary() ? 1 : 2);
}

TEST_P(ServerLatencyTest, TheClockIsFineWhenTheRegistrysIsCoarse) {
  // Less than any call takes, more than the coarse clock can tell.
  constexpr int kCalls = 10;
  Guard(SlowFrom(Duration(1)), &CoarseNow);
  for (int i = 0; i < kCalls; ++i) CallEcho(echo_->stub(), kind(), "hello");
  EXPECT_EQ(AtRest().lifetime.slow, IsUnary() ? kCalls : 0u);
}

class SlowCallsTest : public ::testing::TestWithParam<Api> {
 protected:
  static constexpr int kCalls = 5;

  static GuardedEcho::Options Hasty(int min_requests) {
    GuardedEcho::Options options;
    options.settings = SlowFrom(kSlow);
    options.settings.min_requests = min_requests;
    options.settings.jitter = 0;
    return options;
  }
  static grpc::Status Call(GuardedEcho& echo, const std::string& text) {
    return CallEcho(echo.stub(), CallKind::kUnary, text).status;
  }
  // So many calls at once, which all end well after kSlow.
  static void CallSlowly(GuardedEcho& echo, int calls) {
    std::vector<std::thread> callers;
    for (int i = 0; i < calls; ++i) {
      callers.emplace_back([&] { EXPECT_TRUE(Call(echo, "hold").ok()); });
    }
    echo.script().AwaitHeld(calls);
    Advance(kSlow);
    echo.script().Release();
    for (std::thread& caller : callers) caller.join();
  }
};

INSTANTIATE_TEST_SUITE_P(, SlowCallsTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(SlowCallsTest, OpenAndAFastProbeProves) {
  GuardedEcho echo(GetParam(), Hasty(kCalls - 1));
  CallSlowly(echo, kCalls);
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).state, State::kOpen);
  EXPECT_TRUE(IsRejection(Call(echo, "hello")));
  Advance(seconds(1));
  EXPECT_TRUE(Call(echo, "hello").ok());
  EXPECT_TRUE(echo.snapshot(CallKind::kUnary).proved);
}

// A probe that answers well and slowly has not shown that the method is well.
TEST_P(SlowCallsTest, OpenAgainAsProbes) {
  GuardedEcho echo(GetParam(), Hasty(0));
  Call(echo, "status 14");
  Advance(seconds(1));
  CallSlowly(echo, 1);
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).state, State::kOpen);
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).generation, 3u);
}

TEST(OtherSettingsTest, ACallThatArrivedBeforeSlownessMatteredIsNotSlow) {
  GuardedEcho::Options options;
  options.settings = SlowFrom(std::nullopt);
  GuardedEcho echo(Api::kCallback, std::move(options));
  std::thread caller([&] {
    EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hold").status.ok());
  });
  echo.script().AwaitHeld(1);
  echo.registry().SetSettings(SlowFrom(kSlow), {});
  echo.script().Release();
  caller.join();
  EXPECT_TRUE(Eventually(
      [&] { return echo.snapshot(CallKind::kUnary).in_flight == 0; }));
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).lifetime.slow, 0u);
  EXPECT_EQ(echo.snapshot(CallKind::kUnary).lifetime.total(), 1u);
}

}  // namespace
}  // namespace fusebox

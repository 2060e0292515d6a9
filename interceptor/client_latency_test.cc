// Slow calls in every way to make a call: what is slow, what follows from it,
// and that the clock for latencies is read only where slowness matters.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/rejection.h"
#include "interceptor/testing/echo.grpc.pb.h"
#include "interceptor/testing/echo_calls.h"
#include "interceptor/testing/echo_server.h"
#include "interceptor/testing/heard.h"

namespace fusebox {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::Echo;
using testing::EchoCall;
using testing::EchoCalls;
using testing::EchoReply;
using testing::EchoRequest;
using testing::EchoServer;
using testing::Heard;
using testing::HeardBy;
using testing::kUnaryMethod;

constexpr char kTarget[] = "echo";
constexpr Duration kSlow = seconds(1);

Settings SlowFrom(std::optional<Duration> slow_call_duration) {
  Settings settings;
  settings.slow_call_duration = slow_call_duration;
  return settings;
}

// The clock of the registries, which moves when told, with a count of its
// readers.
std::atomic<TimePoint> simulated_now{TimePoint(std::chrono::hours(1))};
std::atomic<int> readings{0};
TimePoint CountedNow() {
  ++readings;
  return simulated_now.load();
}
void Advance(Duration duration) {
  simulated_now.store(simulated_now.load() + duration);
}

// How often `work` and what it set off read the clock.
template <class Work>
int ReadingsOf(Work work) {
  const int before = readings;
  work();
  return readings - before;
}

EchoRequest Request(const std::string& text) {
  EchoRequest request;
  request.set_text(text);
  return request;
}

class ClientLatencyTest : public ::testing::TestWithParam<EchoCall> {
 protected:
  void Guard(const Settings& settings) {
    channel_.reset();
    RegistryOptions options;
    options.settings = settings;
    options.now = &CountedNow;
    options.start_dispatcher = false;
    registry_ = std::make_unique<BreakerRegistry>(options);
    // A breaker that is made for its first call reads the clock as well.
    for (const EchoCall& call : EchoCalls()) {
      registry_->Pin(Role::kClient, kTarget, call.method);
    }
    std::vector<
        std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
        interceptors;
    interceptors.push_back(
        GuardedClientInterceptorFactory(registry_.get(), kTarget));
    channel_ = grpc::experimental::CreateCustomChannelWithInterceptors(
        server_.address(), grpc::InsecureChannelCredentials(), {},
        std::move(interceptors));
  }

  BreakerSnapshot Snapshot(const char* method = GetParam().method) {
    return registry_->Snapshot(Role::kClient, kTarget, method)
        .value_or(BreakerSnapshot());
  }

  static bool IsUnary() {
    return std::string(GetParam().method) == kUnaryMethod;
  }

  // Makes a call that the server holds; lets it go, or cancels it, after
  // `time`.
  void HoldFor(Duration time, bool cancel) {
    grpc::ClientContext context;
    std::thread clock([&] {
      server_.AwaitHeld(1);
      Advance(time);
      if (cancel) {
        context.TryCancel();
      } else {
        server_.Release();
      }
    });
    const grpc::Status status =
        GetParam().make(channel_, context, Request(testing::kHold));
    clock.join();
    EXPECT_EQ(status.error_code(),
              cancel ? grpc::StatusCode::CANCELLED : grpc::StatusCode::OK);
  }

  EchoServer server_;
  std::unique_ptr<BreakerRegistry> registry_;
  std::shared_ptr<grpc::Channel> channel_;
};

INSTANTIATE_TEST_SUITE_P(, ClientLatencyTest, ::testing::ValuesIn(EchoCalls()),
                         [](const auto& call) {
                           return std::string(call.param.name);
                         });

TEST_P(ClientLatencyTest, AUnaryCallIsSlowFromSlowCallDurationOn) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow, /*cancel=*/false);
  EXPECT_EQ(HeardBy(Snapshot()), (Heard{Outcome::kOk, IsUnary()}));
}

TEST_P(ClientLatencyTest, NoCallIsSlowBefore) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow - Duration(1), /*cancel=*/false);
  EXPECT_EQ(HeardBy(Snapshot()), (Heard{Outcome::kOk, false}));
}

TEST_P(ClientLatencyTest, GivingUpAUnaryCallAfterwardsIsATimeout) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow, /*cancel=*/true);
  EXPECT_EQ(HeardBy(Snapshot()), IsUnary() ? (Heard{Outcome::kTimeout, true})
                                           : (Heard{Outcome::kIgnored, false}));
}

TEST_P(ClientLatencyTest, GivingUpBeforeIsIgnored) {
  Guard(SlowFrom(kSlow));
  HoldFor(kSlow - Duration(1), /*cancel=*/true);
  EXPECT_EQ(HeardBy(Snapshot()), (Heard{Outcome::kIgnored, false}));
}

TEST_P(ClientLatencyTest, GivingUpIsIgnoredWhereNothingIsSlow) {
  Guard(SlowFrom(std::nullopt));
  HoldFor(minutes(1), /*cancel=*/true);
  EXPECT_EQ(HeardBy(Snapshot()), (Heard{Outcome::kIgnored, false}));
}

TEST_P(ClientLatencyTest, TheClockIsReadTwiceMoreForAUnaryCallAndNoStream) {
  const auto call = [&] {
    return ReadingsOf([&] {
      grpc::ClientContext context;
      EXPECT_TRUE(GetParam().make(channel_, context, Request("hello")).ok());
    });
  };
  Guard(SlowFrom(std::nullopt));
  const int off = call();
  Guard(SlowFrom(kSlow));
  const int on = call();
  EXPECT_EQ(on - off, IsUnary() ? 2 : 0);
  // The outcome; and the proof, for streams of replies.
  EXPECT_LE(off, IsUnary() ? 1 : 2);
}

TEST_P(ClientLatencyTest, TheClockIsReadNoMoreForACancelledCall) {
  Guard(SlowFrom(std::nullopt));
  const int off = ReadingsOf([&] { HoldFor(kSlow, /*cancel=*/true); });
  // The outcome; and the proof, for streams that are held after a message.
  EXPECT_LE(off, IsUnary() ? 1 : 2);
}

TEST_F(ClientLatencyTest, ARefusalReadsTheClockOnce) {
  for (const std::optional<Duration> slow :
       {std::optional<Duration>(), std::optional<Duration>(kSlow)}) {
    Guard(SlowFrom(slow));
    registry_->Pin(Role::kClient, kTarget, kUnaryMethod)
        .Force(Override::kForcedOpen, TimePoint::max(), CountedNow());
    EXPECT_EQ(ReadingsOf([&] {
                grpc::ClientContext context;
                EchoReply reply;
                EXPECT_TRUE(IsRejection(Echo::NewStub(channel_)->Unary(
                    &context, Request("hello"), &reply)));
              }),
              1);
  }
}

// A caller that gave up at once may look at its completion queue much later.
TEST_F(ClientLatencyTest, ACancellationIsAsOldAsItWasHoweverLateItsStatus) {
  Guard(SlowFrom(kSlow));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  EchoReply reply;
  grpc::Status status;
  const auto call = Echo::NewStub(channel_)->AsyncUnary(
      &context, Request(testing::kHold), &queue);
  call->Finish(&reply, &status, &queue);
  server_.AwaitHeld(1);
  context.TryCancel();
  Advance(minutes(1));
  void* tag;
  bool ok;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  queue.Shutdown();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(HeardBy(Snapshot(kUnaryMethod)), (Heard{Outcome::kIgnored, false}));
}

TEST_F(ClientLatencyTest, SlowCallsOpenAndAFastProbeProves) {
  constexpr int kCalls = 5;
  Settings settings = SlowFrom(kSlow);
  settings.min_requests = kCalls - 1;
  settings.jitter = 0;
  Guard(settings);
  const auto call = [this](const std::string& text) {
    grpc::ClientContext context;
    EchoReply reply;
    return Echo::NewStub(channel_)->Unary(&context, Request(text), &reply);
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([&] { EXPECT_TRUE(call(testing::kHold).ok()); });
  }
  server_.AwaitHeld(kCalls);
  Advance(kSlow);
  server_.Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(Snapshot(kUnaryMethod).state, State::kOpen);
  EXPECT_EQ(Snapshot(kUnaryMethod).lifetime.of(Outcome::kOk), 5u);
  EXPECT_TRUE(IsRejection(call("hello")));
  Advance(seconds(1));
  EXPECT_TRUE(call("hello").ok());
  EXPECT_TRUE(Snapshot(kUnaryMethod).proved);
}

}  // namespace
}  // namespace fusebox

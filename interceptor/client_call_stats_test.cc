// What a channel records of its calls, in every way to make one: each once, by
// code, unary ones with their latency.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/testing/echo_calls.h"
#include "interceptor/testing/echo_server.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using grpc::StatusCode;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using testing::EchoCall;
using testing::EchoCalls;
using testing::EchoRequest;
using testing::EchoServer;
using testing::Eventually;
using testing::kUnaryMethod;

constexpr char kTarget[] = "echo";
constexpr Duration kTime = milliseconds(1234);

// The clock of the registries, which moves when told, with a count of its
// readers.
std::atomic<TimePoint> simulated_now{TimePoint(hours(1))};
std::atomic<int> readings{0};
TimePoint CountedNow() {
  ++readings;
  return simulated_now.load();
}
void Advance(Duration duration) {
  simulated_now.store(simulated_now.load() + duration);
}

EchoRequest Request(const std::string& text, int count = 0) {
  EchoRequest request;
  request.set_text(text);
  request.set_count(count);
  return request;
}

class ClientCallStatsTest : public ::testing::TestWithParam<EchoCall> {
 protected:
  static RegistryOptions Counting(Mode mode = Mode::kEnforce) {
    RegistryOptions options;
    options.settings.mode = mode;
    options.now = &CountedNow;
    options.start_dispatcher = false;
    options.log = [](const std::string&) {};
    options.call_stats = true;
    return options;
  }

  void Guard(const RegistryOptions& options = Counting()) {
    channel_.reset();
    registry_ = std::make_unique<BreakerRegistry>(options);
    channel_ = CreateGuardedChannel(server_.address(),
                                    grpc::InsecureChannelCredentials(), {},
                                    registry_.get());
  }
  // As the channel names it.
  std::string target() const { return server_.address(); }
  CircuitBreaker& breaker() {
    return registry_->Pin(Role::kClient, target(), GetParam().method);
  }

  static bool IsUnary() {
    return std::string(GetParam().method) == kUnaryMethod;
  }

  StatusCode Call(const EchoRequest& request) {
    grpc::ClientContext context;
    return GetParam().make(channel_, context, request).error_code();
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
    GetParam().make(channel_, context, Request(testing::kHold));
    clock.join();
  }

  std::vector<CallsOfCode> Codes() {
    for (MethodCalls& calls : registry_->Calls()) {
      if (calls.method != GetParam().method) continue;
      EXPECT_EQ(calls.role, Role::kClient);
      EXPECT_EQ(calls.target, target());
      return std::move(calls.codes);
    }
    return {};
  }
  // That there was one call, which took `time`.
  void ExpectOne(StatusCode code, Duration time) {
    const std::vector<CallsOfCode> codes = Codes();
    ASSERT_EQ(codes.size(), 1u);
    EXPECT_EQ(codes[0].code, code);
    EXPECT_EQ(codes[0].calls, 1u);
    EXPECT_EQ(codes[0].latency.count(), IsUnary() ? 1u : 0u);
    EXPECT_EQ(codes[0].latency.sum(), IsUnary() ? time : Duration::zero());
  }

  EchoServer server_;
  std::unique_ptr<BreakerRegistry> registry_;
  std::shared_ptr<grpc::Channel> channel_;
};

INSTANTIATE_TEST_SUITE_P(, ClientCallStatsTest,
                         ::testing::ValuesIn(EchoCalls()),
                         [](const auto& call) {
                           return std::string(call.param.name);
                         });

TEST_P(ClientCallStatsTest, AGoodEnd) {
  Guard();
  HoldFor(kTime, /*cancel=*/false);
  ExpectOne(StatusCode::OK, kTime);
}

TEST_P(ClientCallStatsTest, ACancellationTakesAsLongAsTheCallerWaited) {
  Guard();
  HoldFor(kTime, /*cancel=*/true);
  ExpectOne(StatusCode::CANCELLED, kTime);
}

TEST_P(ClientCallStatsTest, EveryCode) {
  Guard();
  for (int code = 1; code <= 16; ++code) {
    EXPECT_EQ(Call(Request(testing::kFail, code)), code);
  }
  const std::vector<CallsOfCode> codes = Codes();
  ASSERT_EQ(codes.size(), 16u);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    EXPECT_EQ(codes[i].code, static_cast<int>(i) + 1);
    EXPECT_EQ(codes[i].calls, 1u);
    EXPECT_EQ(codes[i].latency.count(), IsUnary() ? 1u : 0u);
  }
}

TEST_P(ClientCallStatsTest, ADeadline) {
  Guard();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(50));
  GetParam().make(channel_, context, Request(testing::kHold));
  ExpectOne(StatusCode::DEADLINE_EXCEEDED, Duration::zero());
}

TEST_P(ClientCallStatsTest, ARejectionFurtherDownIsRecordedAsWhatItIs) {
  Guard();
  EXPECT_EQ(Call(Request(testing::kReject)), StatusCode::UNAVAILABLE);
  ExpectOne(StatusCode::UNAVAILABLE, Duration::zero());
}

TEST_P(ClientCallStatsTest, ARefusedCallIsNotRecorded) {
  Guard();
  breaker().Force(Override::kForcedOpen, TimePoint::max(), CountedNow());
  EXPECT_EQ(Call(Request("hello")), StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Codes().empty());
}

TEST_P(ClientCallStatsTest, ACallDroppedWithoutItsStatusIsNotRecorded) {
  if (GetParam().drop == nullptr) return;  // gRPC keeps it until its end
  Guard();
  {
    grpc::ClientContext context;
    GetParam().drop(channel_, context, Request(testing::kHold),
                    [this] { server_.AwaitHeld(1); });
  }
  EXPECT_TRUE(Eventually([this] { return breaker().in_flight() == 0; }));
  if (std::string(GetParam().name) == "QueueUnary") {
    // This one can be dropped only after it was cancelled, which is an end.
    ExpectOne(StatusCode::CANCELLED, Duration::zero());
  } else {
    EXPECT_TRUE(Codes().empty());
  }
}

TEST_P(ClientCallStatsTest, CallsOfABreakerThatIsOffAreRecorded) {
  Guard(Counting(Mode::kOff));
  HoldFor(kTime, /*cancel=*/false);
  ExpectOne(StatusCode::OK, kTime);
}

TEST_P(ClientCallStatsTest, CallsThatAShadowWouldRefuseAreRecorded) {
  Guard(Counting(Mode::kShadow));
  breaker().Force(Override::kForcedOpen, TimePoint::max(), CountedNow());
  HoldFor(kTime, /*cancel=*/false);
  ExpectOne(StatusCode::OK, kTime);
}

TEST_P(ClientCallStatsTest, CallsOfTheOverflowBreakerAreRecorded) {
  for (Mode mode : {Mode::kEnforce, Mode::kOff}) {
    RegistryOptions options = Counting(mode);
    options.max_breakers = 1;
    Guard(options);
    registry_->Pin(Role::kClient, "another", "/pkg.S/TakesTheOnlyPlace");
    EXPECT_EQ(Call(Request("hello")), StatusCode::OK);
    const std::vector<MethodCalls> calls = registry_->Calls();
    ASSERT_EQ(calls.size(), 2u);
    EXPECT_TRUE(calls[0].codes.empty());
    EXPECT_EQ(calls[1].target, "");
    EXPECT_EQ(calls[1].method, "other");
    ASSERT_EQ(calls[1].codes.size(), 1u);
    EXPECT_EQ(calls[1].codes[0].calls, 1u);
  }
}

// A breaker that is off is asked nothing, and is not idle all the same.
TEST_P(ClientCallStatsTest, AMethodInUseKeepsItsCounts) {
  for (Mode mode : {Mode::kEnforce, Mode::kOff}) {
    RegistryOptions options = Counting(mode);
    options.idle_timeout = minutes(1);
    Guard(options);
    constexpr int kCalls = 10;
    for (int i = 0; i < kCalls; ++i) {
      EXPECT_EQ(Call(Request("hello")), StatusCode::OK);
      Advance(std::chrono::seconds(30));
      registry_->Dispatch();
    }
    EXPECT_EQ(registry_->stats().retired, 0u);
    ASSERT_EQ(Codes().size(), 1u);
    EXPECT_EQ(Codes()[0].calls, std::uint64_t{kCalls});

    for (int i = 0; i < 10; ++i) {
      Advance(std::chrono::seconds(30));
      registry_->Dispatch();
    }
    EXPECT_EQ(registry_->stats().retired, 1u);
    EXPECT_TRUE(registry_->Calls().empty());
  }
}

// The end of the call finds another breaker of that name.
TEST_P(ClientCallStatsTest, ACallMayOutliveABreakerThatIsOff) {
  RegistryOptions options = Counting(Mode::kOff);
  options.idle_timeout = minutes(1);
  Guard(options);
  grpc::ClientContext context;
  std::thread clock([&] {
    server_.AwaitHeld(1);
    for (int i = 0; i < 20; ++i) {
      Advance(minutes(1));
      registry_->Dispatch();
    }
    EXPECT_EQ(registry_->stats().retired, 1u);
    server_.Release();
  });
  GetParam().make(channel_, context, Request(testing::kHold));
  clock.join();
  ExpectOne(StatusCode::OK, minutes(20));
}

TEST_P(ClientCallStatsTest, NothingIsRecordedUnlessAskedFor) {
  RegistryOptions options = Counting();
  options.call_stats = false;
  Guard(options);
  EXPECT_EQ(Call(Request("hello")), StatusCode::OK);
  EXPECT_TRUE(registry_->Calls().empty());
  auto scope = registry_->Scope(Role::kClient, kTarget);
  EXPECT_EQ(scope->FindMethod(kUnaryMethod).calls, nullptr);
  EXPECT_EQ(registry_->PinMethod(Role::kClient, kTarget, kUnaryMethod).calls,
            nullptr);
}

TEST_P(ClientCallStatsTest, TheClockIsReadTwiceMoreForAUnaryCallAndNoStream) {
  const auto readings_of_a_call = [this] {
    breaker();  // one that is made for its first call reads the clock as well
    const int before = readings;
    EXPECT_EQ(Call(Request("hello")), StatusCode::OK);
    return readings - before;
  };
  RegistryOptions options = Counting();
  options.call_stats = false;
  Guard(options);
  const int off = readings_of_a_call();
  Guard();
  const int on = readings_of_a_call();
  EXPECT_EQ(on - off, IsUnary() ? 2 : 0);
  // With slow calls on as well, they are the same two.
  options = Counting();
  options.settings.slow_call_duration = minutes(1);
  Guard(options);
  EXPECT_EQ(readings_of_a_call(), on);
}

}  // namespace
}  // namespace fusebox

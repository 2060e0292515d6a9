// Breakers together with gRPC's own retries, and along chains of servers.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/rejection.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo.grpc.pb.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;
using testing::EchoResult;
using testing::Eventually;
using testing::GuardedEcho;
using testing::MethodOf;
using testing::StandingClockOptions;
using WallClock = std::chrono::system_clock;

constexpr char kTarget[] = "echo";

// Far beyond what a call needs; whoever runs into it hangs.
constexpr auto kGenerous = minutes(1);

// Four attempts of each call, the first backoff being `backoff`.
grpc::ChannelArguments FourAttempts(const std::string& backoff) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig": [{
      "name": [{"service": "fusebox.testing.Echo"}],
      "retryPolicy": {"maxAttempts": 4, "initialBackoff": ")" +
                                 backoff + R"(", "maxBackoff": ")" + backoff +
                                 R"(", "backoffMultiplier": 1,
                      "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  return arguments;
}

std::shared_ptr<grpc::Channel> GuardedChannel(
    BreakerRegistry& registry, const std::string& address,
    const grpc::ChannelArguments& arguments = {}) {
  std::vector<
      std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(GuardedClientInterceptorFactory(&registry, kTarget));
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      address, grpc::InsecureChannelCredentials(), arguments,
      std::move(interceptors));
}

// What a breaker has heard.
struct Heard {
  std::uint64_t good = 0;
  std::uint64_t failed = 0;
  std::uint64_t ignored = 0;
  std::uint64_t rejected = 0;  // by itself
};
bool operator==(const Heard& a, const Heard& b) {
  return a.good == b.good && a.failed == b.failed && a.ignored == b.ignored &&
         a.rejected == b.rejected;
}
std::ostream& operator<<(std::ostream& out, const Heard& heard) {
  return out << "{good " << heard.good << ", failed " << heard.failed
             << ", ignored " << heard.ignored << ", rejected " << heard.rejected
             << "}";
}
Heard HeardBy(const BreakerSnapshot& snapshot) {
  Heard heard;
  heard.failed = snapshot.lifetime.failures();
  heard.good = snapshot.lifetime.total() - heard.failed;
  heard.ignored = snapshot.ignored;
  for (std::uint64_t n : snapshot.rejected) heard.rejected += n;
  return heard;
}
BreakerSnapshot Look(BreakerRegistry& registry, Role role,
                     CallKind kind = CallKind::kUnary) {
  return registry
      .Snapshot(role, role == Role::kClient ? kTarget : "", MethodOf(kind))
      .value_or(BreakerSnapshot());
}

// ---------------------------------------------------------------------------
// Retries

class RetryTest : public ::testing::TestWithParam<Api> {
 protected:
  // A guarded server, and a guarded channel that makes four attempts.
  void Start(const Settings& settings, const std::string& backoff) {
    GuardedEcho::Options options;
    options.settings = settings;
    options.now = now_;
    echo_ = std::make_unique<GuardedEcho>(GetParam(), std::move(options));
    Connect(FourAttempts(backoff));
  }
  void Connect(const grpc::ChannelArguments& arguments) {
    stub_ = Echo::NewStub(
        GuardedChannel(client_breakers_, echo_->address(), arguments));
  }

  static Settings Hasty(Duration min_recovery) {
    Settings settings;
    settings.min_requests = 1;
    settings.jitter = 0;
    settings.min_recovery = min_recovery;
    settings.max_recovery = 2 * min_recovery;
    settings.max_open_duration = min_recovery;
    return settings;
  }

  EchoResult Call(const std::string& text, Duration deadline = kGenerous,
                  CallKind kind = CallKind::kUnary) {
    grpc::ClientContext context;
    context.set_deadline(
        WallClock::now() +
        std::chrono::duration_cast<WallClock::duration>(deadline));
    return CallEcho(*stub_, kind, context, text);
  }

  // Opens the server's breaker, past the client's.
  void OpenServer() {
    for (int i = 0; i < 2; ++i) {
      CallEcho(echo_->stub(), CallKind::kUnary, "status 14");
    }
    ASSERT_EQ(echo_->snapshot(CallKind::kUnary).state, State::kOpen);
  }

  Heard OnServer() { return HeardBy(echo_->snapshot(CallKind::kUnary)); }
  Heard OnClient() { return HeardBy(Look(client_breakers_, Role::kClient)); }

  NowFunction now_ = &testing::StandingNow;  // the server's
  BreakerRegistry client_breakers_{StandingClockOptions(Settings())};
  std::unique_ptr<GuardedEcho> echo_;
  std::unique_ptr<Echo::Stub> stub_;
};

INSTANTIATE_TEST_SUITE_P(, RetryTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(RetryTest, AttemptsCountOneByOneOnTheServerAndOnceOnTheClient) {
  Start(Settings(), "0.001s");
  EXPECT_EQ(Call("status 14").status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(echo_->script().runs(), 4);
  EXPECT_EQ(OnServer(), (Heard{0, 4, 0, 0}));
  EXPECT_EQ(OnClient(), (Heard{0, 1, 0, 0}));
}

TEST_P(RetryTest, AttemptsThatMeetAnOpenedBreakerEndAsItsRejection) {
  Start(Hasty(milliseconds(20)), "0.001s");
  EXPECT_TRUE(IsRejection(Call("status 14").status));
  EXPECT_EQ(echo_->script().runs(), 2);
  EXPECT_EQ(OnServer(), (Heard{0, 2, 0, 2}));
  EXPECT_EQ(OnClient(), (Heard{0, 0, 1, 0}));
}

TEST_P(RetryTest, PushbackReplacesALongBackoff) {
  // Time enough to see the first of four attempts before the last is made.
  Start(Hasty(seconds(1)), "1000s");
  OpenServer();
  std::thread clock([this] {
    EXPECT_TRUE(Eventually([this] { return OnServer().rejected >= 1; }));
    Advance(seconds(1));
  });
  // A later attempt is the probe.
  EXPECT_TRUE(Call("hello").status.ok());
  clock.join();
  EXPECT_EQ(OnServer(), (Heard{1, 2, 0, OnServer().rejected}));
  EXPECT_EQ(OnClient(), (Heard{1, 0, 0, 0}));
}

TEST_P(RetryTest, PushbackReplacesAShortBackoff) {
  constexpr Duration kWait = milliseconds(50);
  Start(Hasty(kWait), "0.001s");
  OpenServer();
  const TimePoint start = FineNow();
  EXPECT_TRUE(IsRejection(Call("hello").status));
  // Three waits, whole milliseconds each. (A loaded machine makes them longer
  // and never shorter.)
  EXPECT_GE(FineNow() - start, 3 * (kWait - milliseconds(1)));
  EXPECT_EQ(OnServer(), (Heard{0, 2, 0, 4}));
  EXPECT_EQ(OnClient(), (Heard{0, 0, 1, 0}));
}

// Or it would wait until its deadline and count as a timeout on the client: one
// breaker's rejection would be a failure for the next.
TEST_P(RetryTest, ACallWithoutTheTimeToWaitIsNotRetried) {
  Start(Hasty(seconds(20)), "0.001s");
  OpenServer();
  EXPECT_TRUE(IsRejection(Call("hello", seconds(10)).status));
  EXPECT_EQ(OnServer(), (Heard{0, 2, 0, 1}));
  EXPECT_EQ(OnClient(), (Heard{0, 0, 1, 0}));
}

TEST_P(RetryTest, AWaitBeyondTheLongestPushbackIsNotRetried) {
  Start(Hasty(kLongestPushback + seconds(1)), "0.001s");
  OpenServer();
  const EchoResult result = Call("hello", std::chrono::hours(1));
  EXPECT_TRUE(IsRejection(result.status));
  EXPECT_EQ(result.trailers.find(kRetryPushbackKey)->second, "-1");
  EXPECT_EQ(OnServer(), (Heard{0, 2, 0, 1}));

  echo_->ForceOpen(CallKind::kBidi);
  EXPECT_TRUE(IsRejection(
      Call("hello", std::chrono::hours(1), CallKind::kBidi).status));
  EXPECT_EQ(HeardBy(echo_->snapshot(CallKind::kBidi)), (Heard{0, 0, 0, 1}));
}

// "0" would make clients retry at once.
TEST_P(RetryTest, NoPushbackIsZero) {
  Start(Hasty(milliseconds(100)), "0.001s");
  int told = 0;
  const auto refused = [&] {
    const EchoResult result =
        CallEcho(echo_->stub(), CallKind::kUnary, "hello");
    if (result.status.ok()) return;
    ASSERT_TRUE(IsRejection(result.status));
    ASSERT_EQ(result.trailers.count(kRetryPushbackKey), 1u);
    EXPECT_GE(
        std::atoi(result.trailers.find(kRetryPushbackKey)->second.c_str()), 1);
    ++told;
  };
  OpenServer();
  refused();
  Advance(milliseconds(100) - Duration(1));
  refused();  // a nanosecond before the probe
  Advance(Duration(1));
  // A probe is out.
  std::thread probe([this] {
    EXPECT_TRUE(CallEcho(echo_->stub(), CallKind::kUnary, "hold").status.ok());
  });
  echo_->script().AwaitHeld(1);
  refused();
  Advance(Hasty(milliseconds(100)).probe_lease - Duration(1));
  refused();  // a nanosecond before the end of its lease
  echo_->script().Release();
  probe.join();
  const int before = told;
  // The ramp, from its beginning to its end.
  for (int i = 0; i < 400; ++i) {
    Advance(Duration(milliseconds(100)) / 400);
    refused();
  }
  EXPECT_GT(told, before + 20);
  EXPECT_EQ(echo_->snapshot(CallKind::kUnary).state, State::kClosed);
}

// ---------------------------------------------------------------------------
// Hedging
//
// gRPC C++ 1.51 reads no hedgingPolicy. What its switch for hedging does turn
// on is a time limit for each attempt: the next one begins when the one before
// has not answered, which is given up.

class HedgingTest : public RetryTest {
 protected:
  void StartHedging(const Settings& settings) {
    Start(settings, "0.001s");
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 1);
    arguments.SetInt(GRPC_ARG_EXPERIMENTAL_ENABLE_HEDGING, 1);
    arguments.SetServiceConfigJSON(R"({"methodConfig": [{
        "name": [{"service": "fusebox.testing.Echo"}],
        "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.001s",
                        "maxBackoff": "0.001s", "backoffMultiplier": 1,
                        "perAttemptRecvTimeout": "0.1s",
                        "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
    Connect(arguments);
  }
};

INSTANTIATE_TEST_SUITE_P(, HedgingTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(HedgingTest, AttemptsThatWereGivenUpAreIgnored) {
  StartHedging(Settings());
  EXPECT_FALSE(Call("cancelled").status.ok());
  // All four, unless the machine is so busy that one is given up on its way.
  EXPECT_GE(echo_->script().runs(), 2);
  EXPECT_TRUE(Eventually([this] {
    const auto runs = static_cast<std::uint64_t>(echo_->script().runs());
    return OnServer() == Heard{0, 0, runs, 0};
  })) << OnServer();
  EXPECT_EQ(OnClient(), (Heard{0, 0, 1, 0}));
}

// Or the breaker of a method that hangs would never open.
TEST_P(HedgingTest, AttemptsThatWereGivenUpAfterSlowCallDurationAreTimeouts) {
  // Each look at this clock is later than the one before.
  static std::atomic<std::int64_t> ticks{1'000'000'000};
  now_ = [] { return TimePoint(Duration(++ticks)); };
  Settings settings;
  settings.slow_call_duration = Duration(1);
  settings.min_requests = 2;
  StartHedging(settings);
  for (int i = 0; i < 20 && OnServer().failed < 3; ++i) {
    Call("cancelled", seconds(10));
  }
  EXPECT_EQ(echo_->snapshot(CallKind::kUnary).state, State::kOpen);
  EXPECT_EQ(echo_->snapshot(CallKind::kUnary).lifetime.of(Outcome::kTimeout),
            3u);
}

// ---------------------------------------------------------------------------
// Chains

enum class Relaying {
  kStatus,     // what the next server said, as it said it
  kNoDetails,  // its code and message only
};

// A guarded server that answers with what the next one says.
class Hop final : private Echo::Service {
 public:
  Hop(const std::string& next, Relaying relaying,
      const grpc::ChannelArguments& arguments = {})
      : relaying_(relaying),
        incoming_(StandingClockOptions(Settings())),
        outgoing_(StandingClockOptions(Settings())),
        next_(Echo::NewStub(GuardedChannel(outgoing_, next, arguments))) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    GuardServer(builder, &incoming_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~Hop() override { server_->Shutdown(WallClock::now() + seconds(10)); }

  const std::string& address() const { return address_; }
  BreakerRegistry& outgoing() { return outgoing_; }
  // Of calls from above, and of those to the next server.
  BreakerSnapshot served() { return Look(incoming_, Role::kServer); }
  BreakerSnapshot called() { return Look(outgoing_, Role::kClient); }

 private:
  grpc::Status Unary(grpc::ServerContext* context, const EchoRequest* request,
                     EchoReply* reply) override {
    const auto onward = grpc::ClientContext::FromServerContext(*context);
    grpc::Status status = next_->Unary(onward.get(), *request, reply);
    if (relaying_ == Relaying::kNoDetails) {
      return grpc::Status(status.error_code(), status.error_message());
    }
    return status;
  }

  const Relaying relaying_;
  BreakerRegistry incoming_;
  BreakerRegistry outgoing_;
  const std::unique_ptr<Echo::Stub> next_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// A user calls A, which calls B, which calls C.
class ChainTest : public ::testing::TestWithParam<Api> {
 protected:
  static constexpr int kCalls = 40;

  void Build(Relaying relaying, const grpc::ChannelArguments& arguments = {}) {
    c_ = std::make_unique<GuardedEcho>(GetParam());
    b_ = std::make_unique<Hop>(c_->address(), relaying, arguments);
    a_ = std::make_unique<Hop>(b_->address(), relaying, arguments);
    user_ =
        Echo::NewStub(GuardedChannel(user_breakers_, a_->address(), arguments));
  }

  grpc::Status Call(Duration deadline = kGenerous) {
    grpc::ClientContext context;
    context.set_deadline(
        WallClock::now() +
        std::chrono::duration_cast<WallClock::duration>(deadline));
    return CallEcho(*user_, CallKind::kUnary, context, "hello").status;
  }

  // From the user down to B's server.
  std::vector<BreakerSnapshot> BreakersAboveB() {
    return {Look(user_breakers_, Role::kClient), a_->served(), a_->called(),
            b_->served()};
  }

  // Many calls while something below rejects them all.
  void ExpectNoCascade() {
    for (int i = 0; i < kCalls; ++i) {
      const grpc::Status status = Call();
      EXPECT_TRUE(IsRejection(status)) << status.error_message();
    }
    for (const BreakerSnapshot& breaker : BreakersAboveB()) {
      EXPECT_EQ(HeardBy(breaker), (Heard{0, 0, kCalls, 0}));
      EXPECT_EQ(breaker.state, State::kClosed);
    }
  }

  BreakerRegistry user_breakers_{StandingClockOptions(Settings())};
  std::unique_ptr<GuardedEcho> c_;
  std::unique_ptr<Hop> b_;
  std::unique_ptr<Hop> a_;
  std::unique_ptr<Echo::Stub> user_;
};

INSTANTIATE_TEST_SUITE_P(, ChainTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(ChainTest, ARejectionByTheLastServerIsNoFailureAbove) {
  Build(Relaying::kStatus);
  c_->ForceOpen(CallKind::kUnary);
  ExpectNoCascade();
  EXPECT_EQ(HeardBy(b_->called()), (Heard{0, 0, kCalls, 0}));
  EXPECT_EQ(c_->script().runs(), 0);

  // So the first call after the recovery gets through.
  c_->Release(CallKind::kUnary);
  EXPECT_TRUE(Call().ok());
}

TEST_P(ChainTest, ARejectionByAClientOnTheWayIsNoFailureAbove) {
  Build(Relaying::kStatus);
  ASSERT_TRUE(Call().ok());
  BreakerRegistry& breakers = b_->outgoing();
  breakers.Force(Role::kClient, kTarget, MethodOf(CallKind::kUnary),
                 Override::kForcedOpen, TimePoint::max());
  for (int i = 0; i < kCalls; ++i) EXPECT_TRUE(IsRejection(Call()));
  for (const BreakerSnapshot& breaker : BreakersAboveB()) {
    EXPECT_EQ(HeardBy(breaker), (Heard{1, 0, kCalls, 0}));
    EXPECT_EQ(breaker.state, State::kClosed);
  }
  EXPECT_EQ(HeardBy(b_->called()), (Heard{1, 0, 0, kCalls}));
  breakers.Release(Role::kClient, kTarget, MethodOf(CallKind::kUnary));
  EXPECT_TRUE(Call().ok());
}

// What the mark in the details is for: without it the same calls lock every
// breaker on the way, which stay locked when C is well again.
TEST_P(ChainTest, WithoutTheMarkRejectionsCascade) {
  Build(Relaying::kNoDetails);
  c_->ForceOpen(CallKind::kUnary);
  for (int i = 0; i < kCalls; ++i) EXPECT_FALSE(Call().ok());
  for (const BreakerSnapshot& breaker : BreakersAboveB()) {
    EXPECT_EQ(breaker.state, State::kOpen);
    EXPECT_EQ(HeardBy(breaker).failed, 11u);
  }
  // B still hears it from C itself.
  EXPECT_EQ(HeardBy(b_->called()), (Heard{0, 0, 11, 0}));
  c_->Release(CallKind::kUnary);
  EXPECT_TRUE(IsRejection(Call()));
}

// C's failures open its own breaker by other traffic; the chain hears only
// rejections, the probe and the ramp.
TEST_P(ChainTest, TheChainFollowsARealOpeningDown) {
  Build(Relaying::kStatus);
  for (int i = 0; i < 11; ++i) {
    CallEcho(c_->stub(), CallKind::kUnary, "status 14");
  }
  ASSERT_EQ(c_->snapshot(CallKind::kUnary).state, State::kOpen);
  ExpectNoCascade();
  Advance(c_->snapshot(CallKind::kUnary).next_probe - testing::StandingNow());
  EXPECT_TRUE(Call().ok());
  Advance(Settings().max_recovery);
  for (int i = 0; i < kCalls; ++i) EXPECT_TRUE(Call().ok());
}

// With retries at every hop, a refusal might be asked for 4 * 4 * 4 times.
TEST_P(ChainTest, RetriesAtEveryHopDoNotMultiply) {
  Build(Relaying::kStatus, FourAttempts("0.001s"));
  // B's client refuses for good: callers are asked to wait for ten seconds.
  b_->outgoing()
      .Pin(Role::kClient, kTarget, MethodOf(CallKind::kUnary))
      .Force(Override::kForcedOpen, TimePoint::max(), testing::StandingNow());
  EXPECT_TRUE(IsRejection(Call(seconds(5))));
  std::cout << "one call refused at the third of three hops with retries: B's "
            << "server " << HeardBy(b_->served()) << ", A's server "
            << HeardBy(a_->served()) << "\n";
  EXPECT_EQ(HeardBy(b_->called()), (Heard{0, 0, 0, 1}));
  for (const BreakerSnapshot& breaker : BreakersAboveB()) {
    EXPECT_EQ(HeardBy(breaker), (Heard{0, 0, 1, 0}));
  }
}

TEST_P(ChainTest, ACallWithoutTheTimeToWaitIsNotRetriedAtAnyHop) {
  Build(Relaying::kStatus, FourAttempts("0.001s"));
  for (int i = 0; i < 11; ++i) {
    CallEcho(c_->stub(), CallKind::kUnary, "status 14");
  }
  // Less than the time until C's probe.
  EXPECT_TRUE(IsRejection(Call(milliseconds(800))));
  EXPECT_EQ(HeardBy(c_->snapshot(CallKind::kUnary)).rejected, 1u);
  for (const BreakerSnapshot& breaker : BreakersAboveB()) {
    EXPECT_EQ(HeardBy(breaker), (Heard{0, 0, 1, 0}));
  }
}

}  // namespace
}  // namespace fusebox

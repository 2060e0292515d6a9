#include "interceptor/client_interceptor.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/interceptor.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/rejection.h"
#include "interceptor/status_outcome.h"
#include "interceptor/testing/echo.grpc.pb.h"
#include "interceptor/testing/echo_calls.h"
#include "interceptor/testing/echo_server.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Echo;
using testing::EchoCall;
using testing::EchoCalls;
using testing::EchoReply;
using testing::EchoRequest;
using testing::EchoServer;
using testing::kBidiMethod;
using testing::kServerStreamMethod;
using testing::kUnaryMethod;

using Interceptors = std::vector<
    std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;

// Far beyond what a call needs; whoever runs into it hangs.
constexpr auto kGenerous = minutes(1);

// The clock of the registries.
std::atomic<TimePoint> simulated_now{TimePoint(std::chrono::hours(1))};
TimePoint SimulatedNow() { return simulated_now.load(); }
void Advance(Duration duration) {
  simulated_now.store(simulated_now.load() + duration);
}

RegistryOptions TestOptions(const Settings& settings = Settings()) {
  RegistryOptions options;
  options.settings = settings;
  options.now = &SimulatedNow;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  return options;
}

EchoRequest Request(const std::string& text, int count = 0) {
  EchoRequest request;
  request.set_text(text);
  request.set_count(count);
  return request;
}

void SetDeadline(grpc::ClientContext& context, Duration from_now = kGenerous) {
  context.set_deadline(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(
          std::chrono::system_clock::now() + from_now));
}

grpc::Status Make(const EchoCall& call,
                  const std::shared_ptr<grpc::Channel>& channel,
                  const EchoRequest& request) {
  grpc::ClientContext context;
  SetDeadline(context);
  return call.make(channel, context, request);
}

// A unary call.
grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel,
                 const EchoRequest& request, Duration deadline = kGenerous) {
  grpc::ClientContext context;
  SetDeadline(context, deadline);
  EchoReply reply;
  return Echo::NewStub(channel)->Unary(&context, request, &reply);
}

const EchoCall& CallNamed(const std::string& name) {
  for (const EchoCall& call : EchoCalls()) {
    if (call.name == name) return call;
  }
  ADD_FAILURE() << name;
  return EchoCalls().front();
}

// What the breaker of one method has heard.
struct Heard {
  OutcomeCounts lifetime;
  std::uint64_t ignored = 0;
  std::uint64_t in_flight = 0;

  static Heard Of(Outcome outcome) {
    Heard heard;
    if (outcome == Outcome::kIgnored) {
      heard.ignored = 1;
    } else {
      heard.lifetime.by_outcome[static_cast<std::size_t>(outcome)] = 1;
    }
    return heard;
  }
};
bool operator==(const Heard& a, const Heard& b) {
  return a.lifetime.by_outcome == b.lifetime.by_outcome &&
         a.lifetime.slow == b.lifetime.slow && a.ignored == b.ignored &&
         a.in_flight == b.in_flight;
}
std::ostream& operator<<(std::ostream& out, const Heard& heard) {
  for (Outcome outcome : kAllOutcomes) {
    if (outcome == Outcome::kIgnored) continue;
    out << OutcomeName(outcome) << " " << heard.lifetime.of(outcome) << ", ";
  }
  return out << "slow " << heard.lifetime.slow << ", ignored " << heard.ignored
             << ", in flight " << heard.in_flight;
}

class ClientInterceptorTest : public ::testing::Test {
 protected:
  static constexpr char kTarget[] = "echo";

  // A channel that is guarded under the name kTarget.
  static std::shared_ptr<grpc::Channel> Channel(
      BreakerRegistry& registry, const std::string& address,
      const grpc::ChannelArguments& arguments = {},
      const ClientOptions& options = {}) {
    Interceptors interceptors;
    interceptors.push_back(
        GuardedClientInterceptorFactory(&registry, kTarget, options));
    return grpc::experimental::CreateCustomChannelWithInterceptors(
        address, grpc::InsecureChannelCredentials(), arguments,
        std::move(interceptors));
  }

  static BreakerSnapshot Snapshot(BreakerRegistry& registry,
                                  const char* method = kUnaryMethod,
                                  const std::string& target = kTarget) {
    return registry.Snapshot(Role::kClient, target, method)
        .value_or(BreakerSnapshot());
  }

  static Heard HeardBy(BreakerRegistry& registry,
                       const char* method = kUnaryMethod) {
    const BreakerSnapshot snapshot = Snapshot(registry, method);
    return {snapshot.lifetime, snapshot.ignored, snapshot.in_flight};
  }

  static void ForceOpen(BreakerRegistry& registry, const char* method,
                        const std::string& target = kTarget) {
    registry.Pin(Role::kClient, target, method)
        .Force(Override::kForcedOpen, TimePoint::max(), SimulatedNow());
  }

  // Opens the breaker of `method` by what calls came to.
  static void Open(BreakerRegistry& registry, const char* method,
                   const std::string& target = kTarget) {
    CircuitBreaker& breaker = registry.Pin(Role::kClient, target, method);
    for (int i = 0;
         i < 20 && breaker.View(SimulatedNow()).state == State::kClosed; ++i) {
      breaker.Admit(SimulatedNow())
          .permit.Finish(Outcome::kSystemError, SimulatedNow());
    }
    ASSERT_EQ(breaker.View(SimulatedNow()).state, State::kOpen);
  }
};

// ---------------------------------------------------------------------------
// What is decided

TEST_F(ClientInterceptorTest, EveryStatusHasItsOutcome) {
  EchoServer server;
  const StatusOutcomes outcomes(Role::kClient);
  for (int code = 0; code <= 16; ++code) {
    BreakerRegistry registry(TestOptions());
    const auto channel = Channel(registry, server.address());
    EXPECT_EQ(Ask(channel, Request(testing::kFail, code)).error_code(), code);
    EXPECT_EQ(HeardBy(registry), Heard::Of(outcomes.Of(code))) << code;
  }
}

TEST_F(ClientInterceptorTest, OutcomesCanBeOverriddenPerMethod) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  ClientOptions options;
  options.outcomes.Set(kUnaryMethod, grpc::StatusCode::NOT_FOUND,
                       Outcome::kSystemError);
  const auto channel = Channel(registry, server.address(), {}, options);
  const EchoRequest request =
      Request(testing::kFail, grpc::StatusCode::NOT_FOUND);
  Ask(channel, request);
  Make(CallNamed("SyncBidi"), channel, request);
  EXPECT_EQ(HeardBy(registry, kUnaryMethod), Heard::Of(Outcome::kSystemError));
  EXPECT_EQ(HeardBy(registry, kBidiMethod), Heard::Of(Outcome::kUserError));
}

TEST_F(ClientInterceptorTest, FailuresOpenAndTheNextCallStaysHome) {
  EchoServer server;
  Settings settings;
  settings.min_requests = 4;
  settings.jitter = 0;
  BreakerRegistry registry(TestOptions(settings));
  const auto channel = Channel(registry, server.address());
  const EchoRequest failing =
      Request(testing::kFail, grpc::StatusCode::UNAVAILABLE);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(IsRejection(Ask(channel, failing)));
  EXPECT_TRUE(IsRejection(Ask(channel, failing)));
  EXPECT_EQ(server.handled(), 5);

  // The other methods of the target do not suffer.
  EXPECT_TRUE(Make(CallNamed("SyncBidi"), channel, Request("hello")).ok());

  Advance(settings.min_recovery);
  EXPECT_TRUE(Ask(channel, Request("probe")).ok());
  Advance(settings.max_recovery);
  EXPECT_TRUE(Ask(channel, Request("hello")).ok());
  EXPECT_EQ(Snapshot(registry).state, State::kClosed);
}

TEST_F(ClientInterceptorTest, EveryReasonIsTold) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  const auto channel = Channel(registry, server.address());
  const auto reason = [&] {
    const auto decoded =
        DecodeRejection(Ask(channel, Request("hello")).error_details());
    return decoded.has_value() ? std::optional(decoded->reason) : std::nullopt;
  };
  Open(registry, kUnaryMethod);
  EXPECT_EQ(reason(), RejectionReason::kOpen);

  Advance(seconds(2));
  const Admission probe =
      registry.Pin(Role::kClient, kTarget, kUnaryMethod).Admit(SimulatedNow());
  EXPECT_EQ(reason(), RejectionReason::kHalfOpenLimit);

  ForceOpen(registry, kUnaryMethod);
  EXPECT_EQ(reason(), RejectionReason::kForcedOpen);
}

TEST_F(ClientInterceptorTest, ShadowRefusesNothing) {
  EchoServer server;
  Settings settings;
  settings.mode = Mode::kShadow;
  BreakerRegistry registry(TestOptions(settings));
  Open(registry, kUnaryMethod);
  EXPECT_TRUE(Ask(Channel(registry, server.address()), Request("hello")).ok());
  EXPECT_EQ(Snapshot(registry).shadow_rejected, 1);
}

TEST_F(ClientInterceptorTest, OffNeitherRefusesNorCounts) {
  EchoServer server;
  Settings settings;
  settings.mode = Mode::kOff;
  BreakerRegistry registry(TestOptions(settings));
  EXPECT_TRUE(Ask(Channel(registry, server.address()), Request("hello")).ok());
  EXPECT_EQ(HeardBy(registry), Heard());
}

TEST_F(ClientInterceptorTest, HealthReflectionChannelzAndAdminAreNotGuarded) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  const auto channel = Channel(registry, server.address());
  grpc::GenericStub stub(channel);
  const auto ask = [&](const std::string& method) {
    ForceOpen(registry, method.c_str());
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    SetDeadline(context);
    const auto call =
        stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(), &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, &queue);
    void* tag;
    bool ok;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    queue.Shutdown();
    EXPECT_FALSE(queue.Next(&tag, &ok));
    return status;
  };
  for (const char* method :
       {"/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
        "/fusebox.v1.BreakerAdmin/ListBreakers"}) {
    EXPECT_FALSE(IsRejection(ask(method))) << method;
    EXPECT_EQ(HeardBy(registry, method), Heard()) << method;
  }
  for (const char* method :
       {"/grpc.health.v1.HealthyFood/Eat", "/grpc.reflections.Mirror/Look",
        "/fusebox.v10.BreakerAdmin/ListBreakers"}) {
    EXPECT_TRUE(IsRejection(ask(method))) << method;
  }
}

// ---------------------------------------------------------------------------
// Time

TEST_F(ClientInterceptorTest, ATimeoutOfATinyTimeBudgetIsIgnored) {
  EchoServer server;
  Settings settings;
  settings.min_counted_deadline = milliseconds(30);
  BreakerRegistry registry(TestOptions(settings));
  const auto channel = Channel(registry, server.address());
  // The budget, not how long the call took, decides.
  for (Duration deadline :
       {milliseconds(-5), milliseconds(1), milliseconds(29)}) {
    EXPECT_EQ(Ask(channel, Request(testing::kHold), deadline).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_EQ(Snapshot(registry).ignored, 3);
  // No upper bound fits a loaded machine: between setting the deadline and
  // making the call it may stop for long.
  Ask(channel, Request(testing::kHold), seconds(1));
  EXPECT_EQ(Snapshot(registry).ignored, 3);
  EXPECT_EQ(Snapshot(registry).lifetime.of(Outcome::kTimeout), 1);
}

TEST_F(ClientInterceptorTest, WaitingForReadyUntilTheDeadlineIsATimeout) {
  int free_port;
  {
    EchoServer server;
    free_port = server.port();
  }
  BreakerRegistry registry(TestOptions());
  const auto channel =
      Channel(registry, "127.0.0.1:" + std::to_string(free_port));
  {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    SetDeadline(context, milliseconds(100));
    EchoReply reply;
    const grpc::Status status =
        Echo::NewStub(channel)->Unary(&context, Request("hello"), &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_EQ(HeardBy(registry), Heard::Of(Outcome::kTimeout));
}

TEST_F(ClientInterceptorTest, ASlowUnaryCallIsCountedSlow) {
  EchoServer server;
  Settings settings;
  settings.slow_call_duration = seconds(1);
  BreakerRegistry registry(TestOptions(settings));
  const auto channel = Channel(registry, server.address());
  std::thread caller(
      [&] { EXPECT_TRUE(Ask(channel, Request(testing::kHold)).ok()); });
  server.AwaitHeld(1);
  Advance(seconds(1));
  server.Release();
  caller.join();
  Heard expected = Heard::Of(Outcome::kOk);
  expected.lifetime.slow = 1;
  EXPECT_EQ(HeardBy(registry), expected);
}

TEST_F(ClientInterceptorTest, StreamsAreNeverSlow) {
  for (const char* name :
       {"SyncClientStream", "SyncServerStream", "SyncBidi"}) {
    EchoServer server;
    Settings settings;
    settings.slow_call_duration = seconds(1);
    BreakerRegistry registry(TestOptions(settings));
    const auto channel = Channel(registry, server.address());
    const EchoCall& call = CallNamed(name);
    std::thread caller([&] {
      EXPECT_TRUE(Make(call, channel, Request(testing::kHold)).ok());
    });
    server.AwaitHeld(1);
    Advance(seconds(1));
    server.Release();
    caller.join();
    EXPECT_EQ(HeardBy(registry, call.method), Heard::Of(Outcome::kOk)) << name;
  }
}

TEST_F(ClientInterceptorTest, GivingUpAfterSlowCallDurationIsATimeout) {
  EchoServer server;
  Settings settings;
  settings.slow_call_duration = seconds(1);
  BreakerRegistry registry(TestOptions(settings));
  const auto channel = Channel(registry, server.address());
  {
    grpc::ClientContext context;
    SetDeadline(context);
    std::thread canceller([&] {
      server.AwaitHeld(1);
      Advance(seconds(1));
      context.TryCancel();
    });
    EchoReply reply;
    Echo::NewStub(channel)->Unary(&context, Request(testing::kHold), &reply);
    canceller.join();
  }
  Heard expected = Heard::Of(Outcome::kTimeout);
  expected.lifetime.slow = 1;
  EXPECT_EQ(HeardBy(registry), expected);
}

TEST_F(ClientInterceptorTest, TheCancellationOfADroppedCallIsAsOldAsItWas) {
  EchoServer server;
  Settings settings;
  settings.slow_call_duration = seconds(1);
  BreakerRegistry registry(TestOptions(settings));
  const auto channel = Channel(registry, server.address());
  grpc::CompletionQueue queue;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto call = Echo::NewStub(channel)->AsyncUnary(
        &context, Request(testing::kHold), &queue);
    // Without this nothing is sent before Finish().
    call->ReadInitialMetadata(nullptr);
    context.TryCancel();
    Advance(minutes(1));
    void* tag;
    bool ok;
    ASSERT_TRUE(queue.Next(&tag, &ok));
  }
  queue.Shutdown();
  EXPECT_EQ(HeardBy(registry), Heard::Of(Outcome::kIgnored));
}

TEST_F(ClientInterceptorTest, LatencyIsFineWhenTheRegistrysClockIsCoarse) {
  EchoServer server;
  RegistryOptions options = TestOptions();
  options.now = &CoarseNow;
  // Less than any call takes, more than the coarse clock can tell.
  options.settings.slow_call_duration = std::chrono::microseconds(5);
  BreakerRegistry registry(options);
  const auto channel = Channel(registry, server.address());
  for (int i = 0; i < 10; ++i) Ask(channel, Request("hello"));
  EXPECT_EQ(Snapshot(registry).lifetime.slow, 10);
}

// ---------------------------------------------------------------------------
// Streams

TEST_F(ClientInterceptorTest, TheFirstMessageOfAStreamProvesTheProbe) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  const auto channel = Channel(registry, server.address());
  const auto stub = Echo::NewStub(channel);

  Open(registry, kServerStreamMethod);
  Open(registry, kBidiMethod);
  Advance(seconds(2));
  grpc::ClientContext server_context;
  SetDeadline(server_context);
  EchoReply reply;
  const auto reader =
      stub->ServerStream(&server_context, Request(testing::kHold));
  EXPECT_FALSE(Snapshot(registry, kServerStreamMethod).proved);
  EXPECT_TRUE(reader->Read(&reply));
  EXPECT_TRUE(Snapshot(registry, kServerStreamMethod).proved);
  EXPECT_EQ(Snapshot(registry, kServerStreamMethod).in_flight, 1);

  grpc::ClientContext bidi_context;
  SetDeadline(bidi_context);
  const auto stream = stub->Bidi(&bidi_context);
  EXPECT_TRUE(stream->Write(Request(testing::kHold)));
  EXPECT_FALSE(Snapshot(registry, kBidiMethod).proved);
  EXPECT_TRUE(stream->Read(&reply));
  EXPECT_TRUE(Snapshot(registry, kBidiMethod).proved);

  server.Release();
  EXPECT_TRUE(reader->Finish().ok());
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(Snapshot(registry, kServerStreamMethod).lifetime.of(Outcome::kOk),
            1);
  EXPECT_EQ(Snapshot(registry, kServerStreamMethod).in_flight, 0);
}

TEST_F(ClientInterceptorTest, AStreamThatEndsWithoutAMessageProvesNothing) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  Open(registry, kBidiMethod);
  Advance(seconds(2));
  const auto stub = Echo::NewStub(Channel(registry, server.address()));
  grpc::ClientContext context;
  SetDeadline(context);
  const auto stream = stub->Bidi(&context);
  EchoReply reply;
  context.TryCancel();
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_FALSE(Snapshot(registry, kBidiMethod).proved);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Snapshot(registry, kBidiMethod).in_flight, 0);
  EXPECT_EQ(Snapshot(registry, kBidiMethod).state, State::kHalfOpen);
}

TEST_F(ClientInterceptorTest, ADroppedStreamIsIgnored) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  const auto channel = Channel(registry, server.address());
  {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stub = Echo::NewStub(channel);
    const auto reader = stub->ServerStream(&context, Request(testing::kHold));
    EchoReply reply;
    EXPECT_TRUE(reader->Read(&reply));
  }
  EXPECT_EQ(HeardBy(registry, kServerStreamMethod),
            Heard::Of(Outcome::kIgnored));
}

TEST_F(ClientInterceptorTest, ACancelledAndDroppedStreamIsIgnored) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  const auto channel = Channel(registry, server.address());
  {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stream = Echo::NewStub(channel)->Bidi(&context);
    stream->Write(Request(testing::kHold));
    context.TryCancel();
  }
  EXPECT_EQ(HeardBy(registry, kBidiMethod), Heard::Of(Outcome::kIgnored));
}

// ---------------------------------------------------------------------------
// Retries, prepared calls

TEST_F(ClientInterceptorTest, RetriesOfTheServiceConfigAreOneCall) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig": [{
      "name": [{"service": "fusebox.testing.Echo"}],
      "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.01s",
                      "maxBackoff": "0.02s", "backoffMultiplier": 1,
                      "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  {
    EchoServer server;
    BreakerRegistry registry(TestOptions());
    const auto channel = Channel(registry, server.address(), arguments);
    EXPECT_TRUE(
        Ask(channel, Request(testing::kFlaky, grpc::StatusCode::UNAVAILABLE))
            .ok());
    EXPECT_EQ(server.handled(), 3);
    EXPECT_EQ(HeardBy(registry), Heard::Of(Outcome::kOk));
  }
  {
    EchoServer server;
    BreakerRegistry registry(TestOptions());
    const auto channel = Channel(registry, server.address(), arguments);
    Ask(channel, Request(testing::kFail, grpc::StatusCode::UNAVAILABLE));
    EXPECT_EQ(server.handled(), 4);
    EXPECT_EQ(HeardBy(registry), Heard::Of(Outcome::kSystemError));

    // A refusal is not retried: it would be counted more than once.
    ForceOpen(registry, kUnaryMethod);
    EXPECT_TRUE(IsRejection(Ask(channel, Request("hello"))));
    EXPECT_EQ(Snapshot(registry).rejected[2], 1);
    EXPECT_EQ(server.handled(), 4);
  }
}

// A stream, because gRPC leaks the request of a unary call that is never
// started.
TEST_F(ClientInterceptorTest, ACallThatIsOnlyPreparedAsksForNothing) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  Open(registry, kBidiMethod);
  Advance(seconds(2));
  const auto channel = Channel(registry, server.address());
  grpc::CompletionQueue queue;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stream =
        Echo::NewStub(channel)->PrepareAsyncBidi(&context, &queue);
    EXPECT_TRUE(
        Make(CallNamed("SyncBidi"), channel, Request("the probe")).ok());
  }
  queue.Shutdown();
  EXPECT_EQ(Snapshot(registry, kBidiMethod).lifetime.of(Outcome::kOk), 1);
  EXPECT_EQ(Snapshot(registry, kBidiMethod).ignored, 0);
}

TEST_F(ClientInterceptorTest, ACallPreparedLongAgoFindsItsBreakerAnew) {
  EchoServer server;
  RegistryOptions options = TestOptions();
  options.idle_timeout = seconds(1);
  BreakerRegistry registry(options);
  const auto channel = Channel(registry, server.address());
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  SetDeadline(context);
  auto name = std::make_unique<std::string>(kUnaryMethod);
  const auto call =
      stub.PrepareUnaryCall(&context, *name, grpc::ByteBuffer(), &queue);
  name.reset();
  ASSERT_EQ(registry.stats().breakers, 1);
  const std::uint64_t old_id = Snapshot(registry).id;

  // Retired, forgotten, deleted.
  for (int i = 0; i < 10; ++i) {
    Advance(minutes(1));
    registry.Dispatch();
  }
  ASSERT_EQ(registry.stats().retired, 1);
  ASSERT_EQ(registry.stats().breakers, 0);

  call->StartCall();
  call->ReadInitialMetadata(nullptr);
  EXPECT_EQ(Snapshot(registry).in_flight, 1);
  EXPECT_NE(Snapshot(registry).id, old_id);
  void* tag;
  bool ok;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(Snapshot(registry).in_flight, 0);
  queue.Shutdown();
}

// ---------------------------------------------------------------------------
// Beside others

// Writes down what it sees of the calls of a channel.
struct Witness {
  int started = 0;
  std::vector<grpc::Status> statuses;
};

class WitnessFactory
    : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit WitnessFactory(Witness* witness) : witness_(witness) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    struct Interceptor : grpc::experimental::Interceptor {
      explicit Interceptor(Witness* w) : witness(w) {}
      void Intercept(
          grpc::experimental::InterceptorBatchMethods* methods) override {
        using Hook = grpc::experimental::InterceptionHookPoints;
        if (methods->QueryInterceptionHookPoint(
                Hook::PRE_SEND_INITIAL_METADATA)) {
          ++witness->started;
        }
        if (methods->QueryInterceptionHookPoint(Hook::POST_RECV_STATUS)) {
          witness->statuses.push_back(*methods->GetRecvStatus());
        }
        methods->Proceed();
      }
      Witness* witness;
    };
    return new Interceptor(witness_);
  }

 private:
  Witness* const witness_;
};

TEST_F(ClientInterceptorTest, WorksInAnyPositionAmongInterceptors) {
  // Refused, also in every API.
  for (int position = 0; position <= 2; ++position) {
    for (const EchoCall& call : EchoCalls()) {
      SCOPED_TRACE(std::string(call.name) + " at " + std::to_string(position));
      EchoServer server;
      BreakerRegistry registry(TestOptions());
      Witness witnesses[2];
      Interceptors interceptors;
      interceptors.push_back(std::make_unique<WitnessFactory>(&witnesses[0]));
      interceptors.push_back(std::make_unique<WitnessFactory>(&witnesses[1]));
      interceptors.insert(interceptors.begin() + position,
                          GuardedClientInterceptorFactory(&registry, kTarget));
      const auto channel =
          grpc::experimental::CreateCustomChannelWithInterceptors(
              server.address(), grpc::InsecureChannelCredentials(), {},
              std::move(interceptors));

      EXPECT_TRUE(Make(call, channel, Request("hello")).ok());
      EXPECT_EQ(HeardBy(registry, call.method), Heard::Of(Outcome::kOk));
      for (Witness& witness : witnesses) {
        EXPECT_GE(witness.started, 1);
        ASSERT_EQ(witness.statuses.size(), 1);
        EXPECT_TRUE(witness.statuses[0].ok());
        witness = Witness();
      }

      ForceOpen(registry, call.method);
      EXPECT_TRUE(IsRejection(Make(call, channel, Request("hello"))));
      EXPECT_EQ(server.handled(), 1);
      for (int i = 0; i < 2; ++i) {
        const bool before = i < position;
        SCOPED_TRACE(before ? "before the guard" : "behind the guard");
        EXPECT_EQ(witnesses[i].started >= 1, before);
        ASSERT_EQ(witnesses[i].statuses.size(), before ? 1 : 0);
        if (before) {
          EXPECT_TRUE(IsRejection(witnesses[i].statuses[0]));
        }
      }
    }
  }
}

TEST_F(ClientInterceptorTest, CreateGuardedChannelGuardsBeforeTheOthers) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  Witness witness;
  Interceptors interceptors;
  interceptors.push_back(std::make_unique<WitnessFactory>(&witness));
  const auto channel =
      CreateGuardedChannel(server.address(), grpc::InsecureChannelCredentials(),
                           {}, &registry, std::move(interceptors));
  EXPECT_TRUE(Ask(channel, Request("hello")).ok());
  EXPECT_EQ(witness.started, 1);
  ForceOpen(registry, kUnaryMethod, server.address());
  EXPECT_TRUE(IsRejection(Ask(channel, Request("hello"))));
  EXPECT_EQ(witness.started, 1);
}

TEST_F(ClientInterceptorTest, TargetsHaveBreakersOfTheirOwnInOneRegistry) {
  EchoServer one;
  EchoServer other;
  BreakerRegistry registry(TestOptions());
  const auto credentials = grpc::InsecureChannelCredentials();
  const auto to_one =
      CreateGuardedChannel(one.address(), credentials, {}, &registry);
  const auto to_other =
      CreateGuardedChannel(other.address(), credentials, {}, &registry);
  const auto to_one_again =
      CreateGuardedChannel(one.address(), credentials, {}, &registry);
  Open(registry, kUnaryMethod, one.address());
  EXPECT_TRUE(IsRejection(Ask(to_one, Request("hello"))));
  EXPECT_TRUE(IsRejection(Ask(to_one_again, Request("hello"))));
  EXPECT_TRUE(Ask(to_other, Request("hello")).ok());
}

TEST_F(ClientInterceptorTest, RegistriesAreIndependent) {
  EchoServer server;
  BreakerRegistry one(TestOptions());
  BreakerRegistry other(TestOptions());
  Open(one, kUnaryMethod);
  EXPECT_TRUE(
      IsRejection(Ask(Channel(one, server.address()), Request("hello"))));
  EXPECT_TRUE(Ask(Channel(other, server.address()), Request("hello")).ok());
}

TEST_F(ClientInterceptorTest, OneGuardBehindAnotherIsRejectionFurtherDown) {
  EchoServer server;
  BreakerRegistry outer(TestOptions());
  BreakerRegistry inner(TestOptions());
  ForceOpen(inner, kUnaryMethod);
  Interceptors interceptors;
  interceptors.push_back(GuardedClientInterceptorFactory(&outer, kTarget));
  interceptors.push_back(GuardedClientInterceptorFactory(&inner, kTarget));
  const auto channel = grpc::experimental::CreateCustomChannelWithInterceptors(
      server.address(), grpc::InsecureChannelCredentials(), {},
      std::move(interceptors));
  EXPECT_TRUE(IsRejection(Ask(channel, Request("hello"))));
  EXPECT_EQ(HeardBy(outer), Heard::Of(Outcome::kIgnored));
}

// ---------------------------------------------------------------------------
// Ends in disorder

TEST_F(ClientInterceptorTest, TheChannelMayGoWhileCallsAreInFlight) {
  EchoServer server;
  BreakerRegistry registry(TestOptions());
  auto channel = Channel(registry, server.address());
  auto stub = Echo::NewStub(channel);
  auto context = std::make_unique<grpc::ClientContext>();
  SetDeadline(*context);
  auto reader = stub->ServerStream(context.get(), Request(testing::kHold));
  stub.reset();
  channel.reset();
  EchoReply reply;
  EXPECT_TRUE(reader->Read(&reply));
  EXPECT_EQ(HeardBy(registry, kServerStreamMethod).in_flight, 1);
  reader.reset();
  context.reset();
  EXPECT_EQ(HeardBy(registry, kServerStreamMethod),
            Heard::Of(Outcome::kIgnored));
}

TEST_F(ClientInterceptorTest, TheServerMayGoWhileCallsAreInFlight) {
  BreakerRegistry registry(TestOptions());
  auto server = std::make_unique<EchoServer>();
  const auto channel = Channel(registry, server->address());
  std::vector<std::thread> callers;
  for (const char* name : {"SyncUnary", "CallbackServerStream", "QueueBidi"}) {
    callers.emplace_back([&channel, name] {
      Make(CallNamed(name), channel, Request(testing::kHold));
    });
  }
  server->AwaitHeld(3);
  server.reset();
  for (std::thread& caller : callers) caller.join();
  for (const char* method : {kUnaryMethod, kServerStreamMethod, kBidiMethod}) {
    const BreakerSnapshot snapshot = Snapshot(registry, method);
    EXPECT_EQ(snapshot.in_flight, 0) << method;
    EXPECT_EQ(snapshot.lifetime.total() + snapshot.ignored, 1) << method;
  }
}

// Drops a stream at some point of its life.
void DropStream(const std::shared_ptr<grpc::Channel>& channel,
                const EchoRequest& request, std::mt19937_64& random) {
  grpc::ClientContext context;
  SetDeadline(context);
  EchoReply reply;
  const auto stub = Echo::NewStub(channel);
  if (random() % 2 == 0) {
    const auto reader = stub->ServerStream(&context, request);
    if (random() % 2 == 0) reader->Read(&reply);
    if (random() % 2 == 0) context.TryCancel();
  } else {
    const auto stream = stub->Bidi(&context);
    if (random() % 2 == 0) stream->Write(request);
    if (random() % 2 == 0) context.TryCancel();
  }
}

// One call that ends in one of many ways.
void MakeAnyCall(const std::shared_ptr<grpc::Channel>& channel,
                 std::mt19937_64& random) {
  EchoRequest request = Request("hello");
  switch (random() % 5) {
    case 0:
      request = Request(testing::kFail, static_cast<int>(random() % 17));
      break;
    case 1:
      request = Request(testing::kReject);
      break;
    default:
      break;
  }
  if (random() % 8 == 0) {
    DropStream(channel, request, random);
    return;
  }
  const EchoCall& call = EchoCalls()[random() % EchoCalls().size()];
  grpc::ClientContext context;
  SetDeadline(context);
  std::thread canceller;
  switch (random() % 8) {
    case 0:  // a deadline that may pass anywhere
      SetDeadline(context, std::chrono::microseconds(random() % 3000));
      break;
    case 1:  // a hung handler
      request = Request(testing::kHold);
      SetDeadline(context, milliseconds(5 + random() % 15));
      break;
    case 2:  // a cancellation at any moment
      canceller = std::thread([&context] { context.TryCancel(); });
      break;
    case 3:
      context.set_wait_for_ready(true);
      break;
    default:
      break;
  }
  call.make(channel, context, request);
  if (canceller.joinable()) canceller.join();
}

TEST_F(ClientInterceptorTest, EveryPermitEndsOnceHoweverCallsEnd) {
  constexpr int kThreads = 4;
  constexpr int kCallsEach = 150;
  const std::uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";

  EchoServer server;
  RegistryOptions options = TestOptions();
  options.now = &CoarseNow;
  options.settings.min_requests = 3;
  options.settings.slow_call_duration = milliseconds(15);
  // Easy to open and soon closed, so that all states are passed through often.
  options.settings.failure_threshold = 0.1;
  options.settings.min_recovery = milliseconds(10);
  options.settings.max_recovery = milliseconds(50);
  options.settings.max_open_duration = milliseconds(20);
  options.settings.probe_lease = milliseconds(20);
  BreakerRegistry registry(options);
  const auto channel = Channel(registry, server.address());

  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&channel, seed, i] {
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(i));
      for (int n = 0; n < kCallsEach; ++n) MakeAnyCall(channel, random);
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::uint64_t ended = 0;
  std::uint64_t rejected = 0;
  std::uint64_t transitions = 0;
  for (const BreakerSnapshot& snapshot : registry.Snapshots()) {
    EXPECT_EQ(snapshot.in_flight, 0) << snapshot.method;
    ended += snapshot.lifetime.total() + snapshot.ignored + snapshot.stale;
    for (std::uint64_t n : snapshot.rejected) rejected += n;
    for (const auto& row : snapshot.transitions) {
      for (std::uint32_t n : row) transitions += n;
    }
  }
  EXPECT_EQ(ended + rejected, kThreads * kCallsEach);
  EXPECT_GT(rejected, 0);
  EXPECT_GT(transitions, 0);
}

}  // namespace
}  // namespace fusebox

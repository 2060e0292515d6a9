#include "interceptor/server_interceptor.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/rejection.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;
using testing::EchoResult;
using testing::Eventually;
using testing::GuardedEcho;
using testing::kAllCallKinds;
using testing::MethodOf;
using WallClock = std::chrono::system_clock;

// What a breaker counted in its life.
struct Counts {
  std::uint64_t ok = 0;
  std::uint64_t user_error = 0;
  std::uint64_t timeout = 0;
  std::uint64_t system_error = 0;
  std::uint64_t unknown_error = 0;
  std::uint64_t ignored = 0;
};

bool operator==(const Counts& a, const Counts& b) {
  return a.ok == b.ok && a.user_error == b.user_error &&
         a.timeout == b.timeout && a.system_error == b.system_error &&
         a.unknown_error == b.unknown_error && a.ignored == b.ignored;
}

std::ostream& operator<<(std::ostream& out, const Counts& c) {
  return out << "{ok " << c.ok << ", user_error " << c.user_error
             << ", timeout " << c.timeout << ", system_error " << c.system_error
             << ", unknown_error " << c.unknown_error << ", ignored "
             << c.ignored << "}";
}

Counts CountsOf(const BreakerSnapshot& snapshot) {
  const OutcomeCounts& lifetime = snapshot.lifetime;
  return {
      lifetime.of(Outcome::kOk),           lifetime.of(Outcome::kUserError),
      lifetime.of(Outcome::kTimeout),      lifetime.of(Outcome::kSystemError),
      lifetime.of(Outcome::kUnknownError), snapshot.ignored};
}

void Add(Outcome outcome, Counts& counts) {
  switch (outcome) {
    case Outcome::kOk:
      ++counts.ok;
      break;
    case Outcome::kUserError:
      ++counts.user_error;
      break;
    case Outcome::kTimeout:
      ++counts.timeout;
      break;
    case Outcome::kSystemError:
      ++counts.system_error;
      break;
    case Outcome::kUnknownError:
      ++counts.unknown_error;
      break;
    case Outcome::kIgnored:
      ++counts.ignored;
      break;
  }
}

Counts One(Outcome outcome) {
  Counts counts;
  Add(outcome, counts);
  return counts;
}

// The counts of a method once no call of it is under way.
Counts CountsAtRest(GuardedEcho& echo, CallKind kind) {
  EXPECT_TRUE(
      Eventually([&echo, kind] { return echo.snapshot(kind).in_flight == 0; }));
  return CountsOf(echo.snapshot(kind));
}

class OutcomeTest : public ::testing::TestWithParam<Api> {};

INSTANTIATE_TEST_SUITE_P(, OutcomeTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

// ---------------------------------------------------------------------------
// The handler answered

TEST_P(OutcomeTest, EveryStatusOfEveryKindOfCall) {
  GuardedEcho echo(GetParam());
  const StatusOutcomes rules(Role::kServer);
  for (CallKind kind : kAllCallKinds) {
    Counts expected;
    for (int code = 0; code <= 16; ++code) {
      const EchoResult result =
          CallEcho(echo.stub(), kind, "status " + std::to_string(code));
      EXPECT_EQ(result.status.error_code(), code);
      // A callback handler that says UNIMPLEMENTED and nothing more looks like
      // one that threw.
      const bool looks_thrown = GetParam() == Api::kCallback &&
                                code == grpc::StatusCode::UNIMPLEMENTED;
      Add(looks_thrown ? Outcome::kUnknownError : rules.Of(code), expected);
    }
    EXPECT_EQ(CountsAtRest(echo, kind), expected) << MethodOf(kind);
  }
}

TEST_P(OutcomeTest, RulesOfOneMethod) {
  GuardedEcho::Options options;
  options.server.outcomes.Set(MethodOf(CallKind::kUnary),
                              grpc::StatusCode::NOT_FOUND,
                              Outcome::kSystemError);
  GuardedEcho echo(GetParam(), std::move(options));
  CallEcho(echo.stub(), CallKind::kUnary, "status 5");
  CallEcho(echo.stub(), CallKind::kBidi, "status 5");
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kSystemError));
  EXPECT_EQ(CountsAtRest(echo, CallKind::kBidi), One(Outcome::kUserError));
}

TEST_P(OutcomeTest, TheRejectionOfAnotherServerIsIgnored) {
  GuardedEcho echo(GetParam());
  for (CallKind kind : kAllCallKinds) {
    EXPECT_TRUE(IsRejection(CallEcho(echo.stub(), kind, "rejection").status));
    EXPECT_EQ(CountsAtRest(echo, kind), One(Outcome::kIgnored));
  }
}

TEST_P(OutcomeTest, AHandlerThatThrows) {
  GuardedEcho echo(GetParam());
  for (CallKind kind : {CallKind::kUnary, CallKind::kServerStream}) {
    EXPECT_TRUE(CallEcho(echo.stub(), kind, "hello").status.ok());
    const EchoResult result = CallEcho(echo.stub(), kind, "throw");
    EXPECT_EQ(result.status.error_code(),
              GetParam() == Api::kSync ? grpc::StatusCode::UNKNOWN
                                       : grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(CountsAtRest(echo, kind), (Counts{1, 0, 0, 0, 1, 0}));
  }
}

TEST(MethodThatNobodyWroteTest, IsNotAFailure) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  Echo::CallbackService service;
  grpc::ServerBuilder builder;
  GuardServer(builder, &registry);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  const auto stub = Echo::NewStub(server->InProcessChannel({}));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(CallEcho(*stub, CallKind::kUnary, "").status.error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(CountsOf(*registry.Snapshot(Role::kServer, "",
                                        MethodOf(CallKind::kUnary))),
            (Counts{0, 20, 0, 0, 0, 0}));
  server->Shutdown();
}

// ---------------------------------------------------------------------------
// The handler was not entered

// Sends bytes as the request of a unary or server-streaming method.
grpc::Status SendBytes(GuardedEcho& echo, const std::string& method,
                       const std::string& bytes) {
  grpc::GenericStub stub(echo.channel());
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer reply;
  grpc::CompletionQueue queue;
  grpc::Status status;
  const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok));
  queue.Shutdown();
  return status;
}

TEST_P(OutcomeTest, GarbageIsIgnored) {
  GuardedEcho echo(GetParam());
  for (CallKind kind : {CallKind::kUnary, CallKind::kServerStream}) {
    for (int i = 0; i < 30; ++i) {
      EXPECT_FALSE(
          SendBytes(echo, std::string(MethodOf(kind)), "\xff\xff garbage")
              .ok());
    }
    EXPECT_EQ(CountsAtRest(echo, kind), (Counts{0, 0, 0, 0, 0, 30}));
    EXPECT_EQ(echo.snapshot(kind).state, State::kClosed);
  }
  EXPECT_EQ(echo.script().runs(), 0);
}

TEST_P(OutcomeTest, GarbageDoesNotTakeThePlaceOfAProbe) {
  GuardedEcho::Options options;
  options.settings.min_requests = 0;
  options.settings.jitter = 0;
  GuardedEcho echo(GetParam(), std::move(options));
  CallEcho(echo.stub(), CallKind::kUnary, "status 14");
  testing::Advance(seconds(1));
  SendBytes(echo, std::string(MethodOf(CallKind::kUnary)), "\xff garbage");
  const BreakerSnapshot snapshot = echo.snapshot(CallKind::kUnary);
  EXPECT_EQ(snapshot.state, State::kHalfOpen);
  EXPECT_EQ(snapshot.generation, 2u);
  EXPECT_FALSE(snapshot.proved);
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
}

// Keeps each call until its deadline has passed.
class WaitsForDeadline final : public grpc::experimental::Interceptor {
 public:
  explicit WaitsForDeadline(grpc::experimental::ServerRpcInfo* info)
      : info_(*info) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                POST_RECV_INITIAL_METADATA)) {
      EXPECT_TRUE(Eventually([this] {
        return WallClock::now() >= info_.server_context()->deadline();
      }));
    }
    batch->Proceed();
  }

 private:
  grpc::experimental::ServerRpcInfo& info_;
};

template <class Interceptor>
class FactoryOf final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new Interceptor(info);
  }
};

TEST_P(OutcomeTest, ADeadlineThatPassedBeforeTheCallCameIsIgnored) {
  GuardedEcho::Options options;
  options.settings.min_counted_deadline = Duration::zero();
  options.server.interceptors.push_back(
      std::make_unique<FactoryOf<WaitsForDeadline>>());
  GuardedEcho echo(GetParam(), std::move(options));
  for (CallKind kind : kAllCallKinds) {
    grpc::ClientContext context;
    context.set_deadline(WallClock::now() + milliseconds(100));
    CallEcho(echo.stub(), kind, context, "hello");
    EXPECT_TRUE(Eventually([&echo, kind] {
      return CountsAtRest(echo, kind) == One(Outcome::kIgnored);
    })) << CountsAtRest(echo, kind);
  }
}

TEST(ThreadQuotaTest, ACallThatGotNoThreadIsIgnored) {
  GuardedEcho::Options options;
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(2);
  options.configure = [&quota](grpc::ServerBuilder& builder) {
    builder.SetResourceQuota(quota);
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
  };
  GuardedEcho echo(Api::kSync, std::move(options));
  // Takes the one thread there is beside the poller's.
  std::thread holder(
      [&echo] { CallEcho(echo.stub(), CallKind::kUnary, "hold"); });
  echo.script().AwaitHeld(1);
  for (CallKind kind : {CallKind::kServerStream, CallKind::kBidi}) {
    const grpc::Status status = CallEcho(echo.stub(), kind, "hello").status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
        << status.error_message();
    EXPECT_EQ(CountsAtRest(echo, kind), One(Outcome::kIgnored));
  }
  EXPECT_EQ(echo.script().runs(), 1);
  echo.script().Release();
  holder.join();
}

// ---------------------------------------------------------------------------
// The client did not wait for the answer

// Gives a call a deadline that its client does not know of, so that it is the
// server's clock alone that ends it.
void SetServerDeadline(grpc::ClientContext& context, milliseconds timeout) {
  context.AddMetadata("grpc-timeout", std::to_string(timeout.count()) + "m");
}

// Calls of every kind at once, with a deadline that is far enough away for a
// busy machine.
void CallUntilDeadline(GuardedEcho& echo, const std::vector<CallKind>& kinds,
                       const std::string& text) {
  std::vector<std::thread> callers;
  for (CallKind kind : kinds) {
    callers.emplace_back([&echo, &text, kind] {
      grpc::ClientContext context;
      SetServerDeadline(context, seconds(1));
      CallEcho(echo.stub(), kind, context, text);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

const std::vector<CallKind>& EveryKind() {
  static const auto* const kinds =
      new std::vector<CallKind>(kAllCallKinds.begin(), kAllCallKinds.end());
  return *kinds;
}

TEST_P(OutcomeTest, AnAnswerAfterTheDeadlineIsATimeout) {
  GuardedEcho echo(GetParam());
  // If the answer overtakes the server's timer, the client sees it; but it is
  // late.
  CallUntilDeadline(echo, EveryKind(), "late");
  for (CallKind kind : kAllCallKinds) {
    EXPECT_EQ(CountsAtRest(echo, kind), One(Outcome::kTimeout));
  }
}

TEST_P(OutcomeTest, ATimeoutWithLittleTimeFromTheStartIsIgnored) {
  GuardedEcho::Options options;
  options.settings.min_counted_deadline = seconds(1);
  GuardedEcho echo(GetParam(), std::move(options));
  grpc::ClientContext context;
  SetServerDeadline(context, milliseconds(100));
  CallEcho(echo.stub(), CallKind::kUnary, context, "late");
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kIgnored));
}

TEST_P(OutcomeTest, AHandlerThatHeedsTheDeadline) {
  GuardedEcho echo(GetParam());
  CallUntilDeadline(echo, EveryKind(), "cancelled");
  for (CallKind kind : kAllCallKinds) {
    EXPECT_EQ(CountsAtRest(echo, kind), One(Outcome::kTimeout));
  }
}

TEST(HungCallbackTest, ATimeoutIsCountedBeforeTheHandlerFinishes) {
  GuardedEcho::Options options;
  options.settings.min_requests = 2;
  GuardedEcho echo(Api::kCallback, std::move(options));
  CallUntilDeadline(
      echo, {CallKind::kUnary, CallKind::kUnary, CallKind::kUnary}, "hold");
  EXPECT_TRUE(Eventually([&echo] {
    return echo.snapshot(CallKind::kUnary).state == State::kOpen;
  }));
  // The handlers finish at last, with OK: too late to say anything.
  echo.script().Release();
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), (Counts{0, 0, 3, 0, 0, 0}));
  EXPECT_TRUE(
      IsRejection(CallEcho(echo.stub(), CallKind::kUnary, "hello").status));
}

// Makes a unary call and cancels it while the handler holds.
void CancelWhileHeld(GuardedEcho& echo, const std::string& text) {
  grpc::ClientContext context;
  std::thread canceller([&] {
    echo.script().AwaitHeld(1);
    context.TryCancel();
  });
  EXPECT_EQ(CallEcho(echo.stub(), CallKind::kUnary, context, text)
                .status.error_code(),
            grpc::StatusCode::CANCELLED);
  canceller.join();
}

TEST_P(OutcomeTest, AFailureThatNobodyWaitsForIsIgnored) {
  // Nothing tells when the server has heard of the cancellation; now and then
  // the failure is faster.
  constexpr int kAttempts = 20;
  std::uint64_t ignored = 0;
  for (int i = 0; i < kAttempts; ++i) {
    GuardedEcho echo(GetParam());
    CancelWhileHeld(echo, "hold status 13");
    // Comes by the same connection, after it.
    EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kBidi, "hello").status.ok());
    echo.script().Release();
    const Counts counts = CountsAtRest(echo, CallKind::kUnary);
    EXPECT_EQ(counts.ignored + counts.system_error, 1u) << counts;
    ignored += counts.ignored;
  }
  EXPECT_GE(ignored, kAttempts / 2u);
}

TEST(CancelledCallTest, AnAnswerOfASynchronousHandlerCountsAllTheSame) {
  GuardedEcho echo(Api::kSync);
  CancelWhileHeld(echo, "hold");
  echo.script().Release();
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kOk));
}

TEST(CancelledCallTest, ACallbackHandlerIsNotWaitedFor) {
  GuardedEcho echo(Api::kCallback);
  CancelWhileHeld(echo, "hold");
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kIgnored));
  echo.script().Release();
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kIgnored));
}

TEST_P(OutcomeTest, AHandlerThatHeedsTheCancellation) {
  GuardedEcho echo(GetParam());
  for (CallKind kind : kAllCallKinds) {
    grpc::ClientContext context;
    const int before = echo.script().runs();
    std::thread canceller([&] {
      EXPECT_TRUE(
          Eventually([&] { return echo.script().runs() == before + 1; }));
      context.TryCancel();
    });
    EXPECT_EQ(
        CallEcho(echo.stub(), kind, context, "cancelled").status.error_code(),
        grpc::StatusCode::CANCELLED);
    canceller.join();
    EXPECT_EQ(CountsAtRest(echo, kind), One(Outcome::kIgnored));
  }
}

TEST_P(OutcomeTest, ACancellationOfASlowCallIsATimeout) {
  GuardedEcho::Options options;
  options.settings.slow_call_duration = seconds(2);
  GuardedEcho echo(GetParam(), std::move(options));
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(Eventually([&] { return echo.script().runs() == 1; }));
    testing::Advance(seconds(2));
    context.TryCancel();
  });
  CallEcho(echo.stub(), CallKind::kUnary, context, "cancelled");
  canceller.join();
  EXPECT_EQ(CountsAtRest(echo, CallKind::kUnary), One(Outcome::kTimeout));
}

TEST_P(OutcomeTest, SlowCalls) {
  GuardedEcho::Options options;
  options.settings.slow_call_duration = seconds(2);
  GuardedEcho echo(GetParam(), std::move(options));
  std::thread caller([&] {
    EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hold").status.ok());
  });
  echo.script().AwaitHeld(1);
  testing::Advance(seconds(2));
  echo.script().Release();
  caller.join();
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
  const BreakerSnapshot snapshot = echo.snapshot(CallKind::kUnary);
  EXPECT_EQ(snapshot.lifetime.of(Outcome::kOk), 2u);
  EXPECT_EQ(snapshot.lifetime.slow, 1u);
}

// ---------------------------------------------------------------------------
// Probes

class ProbeTest : public ::testing::TestWithParam<Api> {};

INSTANTIATE_TEST_SUITE_P(, ProbeTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(ProbeTest, TheFirstMessageOfAStreamProves) {
  GuardedEcho::Options options;
  options.settings.min_requests = 0;
  options.settings.jitter = 0;
  GuardedEcho echo(GetParam(), std::move(options));
  for (CallKind kind : {CallKind::kServerStream, CallKind::kBidi}) {
    CallEcho(echo.stub(), kind, "status 14");
    EXPECT_EQ(echo.snapshot(kind).state, State::kOpen);
  }
  testing::Advance(seconds(1));

  EchoRequest request;
  request.set_text("hold");
  request.set_count(1);
  EchoReply reply;

  grpc::ClientContext server_stream_context;
  const auto server_stream =
      echo.stub().ServerStream(&server_stream_context, request);
  EXPECT_TRUE(server_stream->Read(&reply));
  EXPECT_TRUE(echo.snapshot(CallKind::kServerStream).proved);

  grpc::ClientContext bidi_context;
  const auto bidi = echo.stub().Bidi(&bidi_context);
  bidi->Write(request);
  EXPECT_TRUE(bidi->Read(&reply));
  EXPECT_TRUE(echo.snapshot(CallKind::kBidi).proved);

  // The outcome is still to come.
  for (CallKind kind : {CallKind::kServerStream, CallKind::kBidi}) {
    EXPECT_EQ(CountsOf(echo.snapshot(kind)), (Counts{0, 0, 0, 1, 0, 0}));
    EXPECT_EQ(echo.snapshot(kind).in_flight, 1u);
  }
  bidi->WritesDone();
  echo.script().Release();
  EXPECT_TRUE(server_stream->Finish().ok());
  EXPECT_TRUE(bidi->Finish().ok());
  for (CallKind kind : {CallKind::kServerStream, CallKind::kBidi}) {
    EXPECT_EQ(CountsAtRest(echo, kind), (Counts{1, 0, 0, 1, 0, 0}));
  }
}

TEST_P(ProbeTest, AnotherCallIsRefusedWhileTheProbeIsOut) {
  GuardedEcho::Options options;
  options.settings.min_requests = 0;
  options.settings.jitter = 0;
  GuardedEcho echo(GetParam(), std::move(options));
  CallEcho(echo.stub(), CallKind::kUnary, "status 14");
  testing::Advance(seconds(1));
  std::thread probe([&echo] {
    EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hold").status.ok());
  });
  echo.script().AwaitHeld(1);
  const EchoResult refused = CallEcho(echo.stub(), CallKind::kUnary, "hello");
  const auto details = DecodeRejection(refused.status.error_details());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, RejectionReason::kHalfOpenLimit);
  EXPECT_EQ(echo.script().runs(), 2);
  echo.script().Release();
  probe.join();
  EXPECT_TRUE(echo.snapshot(CallKind::kUnary).proved);
}

TEST_P(ProbeTest, ShadowModeRefusesNothing) {
  GuardedEcho::Options options;
  options.settings.min_requests = 0;
  options.settings.mode = Mode::kShadow;
  GuardedEcho echo(GetParam(), std::move(options));
  CallEcho(echo.stub(), CallKind::kUnary, "status 14");
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
  const BreakerSnapshot snapshot = echo.snapshot(CallKind::kUnary);
  EXPECT_EQ(snapshot.state, State::kOpen);
  EXPECT_EQ(snapshot.shadow_rejected, 1u);
  EXPECT_EQ(CountsOf(snapshot), One(Outcome::kSystemError));
}

// ---------------------------------------------------------------------------
// Each permit ends once

// Ends a call in one of many ways.
void CallSomehow(Echo::Stub& stub, std::mt19937& random) {
  const CallKind kind = kAllCallKinds[random() % kAllCallKinds.size()];
  grpc::ClientContext context;
  std::string text = "hello";
  switch (random() % 8) {
    case 0:
      text = "status " + std::to_string(random() % 17);
      break;
    case 1:
      text = "rejection";
      break;
    case 2:
      context.set_deadline(WallClock::now() + milliseconds(random() % 4));
      break;
    case 3:
      text = "late";
      context.set_deadline(WallClock::now() + milliseconds(1 + random() % 15));
      break;
    case 4:
      text = "cancelled";
      context.set_deadline(WallClock::now() + milliseconds(1 + random() % 15));
      break;
    case 5: {  // cancelled by the client at some moment
      const auto delay = std::chrono::microseconds(random() % 1000);
      std::thread canceller([&context, delay] {
        std::this_thread::sleep_for(delay);
        context.TryCancel();
      });
      CallEcho(stub, kind, context, "cancelled", 3);
      canceller.join();
      return;
    }
    case 6: {  // dropped half-way
      const auto stream = stub.Bidi(&context);
      EchoRequest request;
      EchoReply reply;
      stream->Write(request);
      if (random() % 2 == 0) stream->Read(&reply);
      context.TryCancel();
      return;
    }
    default:
      break;
  }
  CallEcho(stub, kind, context, text, static_cast<int>(random() % 4));
}

TEST_P(OutcomeTest, EveryPermitEndsOnce) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  GuardedEcho::Options options;
  // Opens, probes and closes all the time: the standing clock is moved below.
  options.settings.min_requests = 5;
  options.settings.min_recovery = milliseconds(20);
  options.settings.max_recovery = milliseconds(60);
  options.settings.max_open_duration = milliseconds(40);
  options.settings.probe_lease = milliseconds(50);
  options.settings.min_counted_deadline = Duration::zero();
  GuardedEcho echo(GetParam(), std::move(options));

  constexpr int kCallers = 4;
  constexpr int kCalls = 150;
  std::vector<std::thread> callers;
  for (unsigned caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&echo, seed, caller] {
      std::mt19937 random(seed + caller);
      for (int i = 0; i < kCalls; ++i) {
        CallSomehow(echo.stub(), random);
        testing::Advance(milliseconds(2));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();

  std::uint64_t handled = 0;
  for (CallKind kind : kAllCallKinds) {
    EXPECT_TRUE(Eventually([&] { return echo.snapshot(kind).in_flight == 0; }))
        << MethodOf(kind) << ": " << echo.snapshot(kind).in_flight;
    const BreakerSnapshot snapshot = echo.snapshot(kind);
    handled += snapshot.lifetime.total() + snapshot.ignored + snapshot.stale;
  }
  // A call whose request did not come in time is ignored without a handler.
  EXPECT_GE(handled, static_cast<std::uint64_t>(echo.script().runs()));
  EXPECT_LE(handled, static_cast<std::uint64_t>(kCallers * kCalls));
}

// ---------------------------------------------------------------------------
// Names

// Bytes of this process in memory.
std::size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

// 20,000 names, or as many as the environment asks for.
int HowManyNames() {
  const char* asked = std::getenv("FUSEBOX_UNKNOWN_NAMES");
  return asked == nullptr ? 20'000 : std::atoi(asked);
}

// Calls all `methods` at once; returns how many ended as UNIMPLEMENTED.
int CallUnknown(const std::shared_ptr<grpc::Channel>& channel,
                const std::vector<std::string>& methods) {
  struct UnknownCall {
    grpc::ClientContext context;
    grpc::ByteBuffer reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  };
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  std::vector<UnknownCall> calls(methods.size());
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const grpc::Slice empty;
    calls[i].reader = stub.PrepareUnaryCall(
        &calls[i].context, methods[i], grpc::ByteBuffer(&empty, 1), &queue);
    calls[i].reader->StartCall();
    calls[i].reader->Finish(&calls[i].reply, &calls[i].status, &calls[i]);
  }
  int unimplemented = 0;
  for (std::size_t i = 0; i < methods.size(); ++i) {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    const grpc::Status& status = static_cast<UnknownCall*>(tag)->status;
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) ++unimplemented;
  }
  queue.Shutdown();
  return unimplemented;
}

class UnknownNamesTest : public ::testing::TestWithParam<Api> {};

INSTANTIATE_TEST_SUITE_P(, UnknownNamesTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(UnknownNamesTest, CreateNothing) {
  const unsigned seed = std::random_device()();
  std::mt19937_64 random(seed);
  GuardedEcho echo(GetParam());
  constexpr int kBatch = 50;
  const int batches = HowManyNames() / kBatch;
  // A connection of gRPC 1.51 keeps every path its client ever sent, and
  // searches them one by one: this test's memory, not the server's. So now and
  // then a new one.
  constexpr int kBatchesPerConnection = 20;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::Channel> channel;
  std::size_t first = 0;
  for (int batch = 0; batch < batches; ++batch) {
    if (batch % kBatchesPerConnection == 0) {
      channel = grpc::CreateCustomChannel(
          echo.address(), grpc::InsecureChannelCredentials(), arguments);
    }
    std::vector<std::string> methods;
    for (int i = 0; i < kBatch; ++i) {
      // Of a known service and of unknown ones.
      methods.push_back((i % 2 == 0 ? "/fusebox.testing.Echo/" : "/x.Y/") +
                        std::to_string(random()));
    }
    ASSERT_EQ(CallUnknown(channel, methods), kBatch);
    if (batch == batches / 10) first = ResidentBytes();
  }
  const std::size_t last = ResidentBytes();
  std::cout << batches * kBatch << " unknown names (seed " << seed
            << "): resident " << first / 1024 << " KiB after a tenth, "
            << last / 1024 << " KiB at the end\n";
  EXPECT_EQ(echo.registry().stats().breakers, 4u);
  EXPECT_EQ(echo.registry().stats().overflowed, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(FUSEBOX_TSAN)
  // Sanitizers keep freed memory. A breaker for each name would take 2 KiB and
  // more; what grows is the memory that gRPC's threads keep at hand, some
  // megabytes whatever the number.
  EXPECT_LT(last, first + (16u << 20));
#endif
}

// ---------------------------------------------------------------------------
// Servers and services

TEST(ExemptServicesTest, AreNotGuarded) {
  grpc::EnableDefaultHealthCheckService(true);
  GuardedEcho::Options options;
  options.server.unguarded_services = {"fusebox.testing.Echo"};
  GuardedEcho echo(Api::kSync, std::move(options));
  grpc::EnableDefaultHealthCheckService(false);
  EXPECT_EQ(echo.registry().stats().breakers, 0u);
  for (const ServedMethod& method : echo.guard().methods()) {
    EXPECT_EQ(method.coverage, Coverage::kExempt) << method.name;
  }
  EXPECT_EQ(echo.guard().methods().size(), 4u);
  EXPECT_EQ(echo.guard().uncovered(), 0u);
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
  EXPECT_TRUE(SendBytes(echo, "/grpc.health.v1.Health/Check", "").ok());
  EXPECT_EQ(echo.registry().stats().breakers, 0u);
}

TEST(UncoveredMethodsTest, AreCounted) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  Echo::WithAsyncMethod_Bidi<Echo::Service> service;
  grpc::ServerBuilder builder;
  const auto guard = GuardServer(builder, &registry);
  builder.RegisterService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  EXPECT_EQ(guard->uncovered(), 1u);
  ASSERT_EQ(guard->methods().size(), 4u);
  EXPECT_EQ(guard->methods()[3].name, MethodOf(CallKind::kBidi));
  EXPECT_EQ(guard->methods()[3].coverage, Coverage::kAsync);
  EXPECT_EQ(registry.stats().breakers, 3u);
  server->Shutdown();
  queue->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
  }
}

// One service object on several servers.
class SharedServiceTest : public ::testing::Test {
 protected:
  // `registry` null: not guarded.
  std::unique_ptr<grpc::Server> Start(BreakerRegistry* registry) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    if (registry != nullptr) GuardServer(builder, registry);
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    return builder.BuildAndStart();
  }
  static grpc::Status Call(grpc::Server& server) {
    const auto stub = Echo::NewStub(server.InProcessChannel({}));
    return CallEcho(*stub, CallKind::kUnary, "hello").status;
  }
  static void ForceOpen(BreakerRegistry& registry) {
    registry.Force(Role::kServer, "", MethodOf(CallKind::kUnary),
                   Override::kForcedOpen, TimePoint::max());
  }

  testing::SyncEcho service_;
};

TEST_F(SharedServiceTest, EachServerAsksItsOwnRegistry) {
  BreakerRegistry first_registry(testing::StandingClockOptions(Settings()));
  BreakerRegistry second_registry(testing::StandingClockOptions(Settings()));
  const auto bare = Start(nullptr);
  const auto first = Start(&first_registry);
  const auto second = Start(&second_registry);
  ForceOpen(first_registry);
  EXPECT_TRUE(IsRejection(Call(*first)));
  EXPECT_TRUE(Call(*second).ok());
  EXPECT_TRUE(Call(*bare).ok());
  ForceOpen(second_registry);
  EXPECT_TRUE(IsRejection(Call(*second)));
  EXPECT_TRUE(Call(*bare).ok());
  EXPECT_EQ(service_.script().runs(), 3);
  for (grpc::Server* server : {bare.get(), first.get(), second.get()}) {
    server->Shutdown();
  }
}

TEST_F(SharedServiceTest, ServersOfOneRegistryShareTheBreaker) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  const auto first = Start(&registry);
  const auto second = Start(&registry);
  EXPECT_TRUE(Call(*first).ok());
  EXPECT_TRUE(Call(*second).ok());
  EXPECT_EQ(registry.stats().breakers, 4u);
  EXPECT_EQ(CountsOf(*registry.Snapshot(Role::kServer, "",
                                        MethodOf(CallKind::kUnary))),
            (Counts{2, 0, 0, 0, 0, 0}));
  first->Shutdown();
  second->Shutdown();
}

TEST_F(SharedServiceTest, TheServiceOutlivesRegistryAndServer) {
  {
    BreakerRegistry registry(testing::StandingClockOptions(Settings()));
    const auto server = Start(&registry);
    ForceOpen(registry);
    EXPECT_TRUE(IsRejection(Call(*server)));
    server->Shutdown();
  }
  const auto bare = Start(nullptr);
  EXPECT_TRUE(Call(*bare).ok());
  bare->Shutdown();
}

TEST(BuilderTest, ThatIsNeverBuilt) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  testing::SyncEcho service;
  grpc::ServerBuilder builder;
  const auto guard = GuardServer(builder, &registry);
  builder.RegisterService(&service);
  EXPECT_TRUE(guard->methods().empty());
}

// ---------------------------------------------------------------------------
// The application's interceptors

std::atomic<int> statuses_seen{0};
std::atomic<int> rejections_seen{0};

class Watcher final : public grpc::experimental::Interceptor {
 public:
  explicit Watcher(grpc::experimental::ServerRpcInfo* /*info*/) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      ++statuses_seen;
      if (IsRejection(batch->GetSendStatus())) ++rejections_seen;
    }
    batch->Proceed();
  }
};

TEST(OtherInterceptorsTest, SeeTheRejection) {
  for (Api api : {Api::kSync, Api::kCallback}) {
    statuses_seen = 0;
    rejections_seen = 0;
    GuardedEcho::Options options;
    options.server.interceptors.push_back(
        std::make_unique<FactoryOf<Watcher>>());
    GuardedEcho echo(api, std::move(options));
    for (CallKind kind : kAllCallKinds) {
      CallEcho(echo.stub(), kind, "hello");
      echo.ForceOpen(kind);
      CallEcho(echo.stub(), kind, "hello");
    }
    EXPECT_EQ(statuses_seen, 8);
    EXPECT_EQ(rejections_seen, 4);
  }
}

}  // namespace
}  // namespace fusebox

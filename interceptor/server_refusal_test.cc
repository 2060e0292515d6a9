#include "interceptor/server_refusal.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/method_handler.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "interceptor/rejection.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using std::chrono::seconds;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;
using testing::EchoResult;
using testing::GuardedEcho;
using testing::kAllCallKinds;
using testing::MethodOf;

std::string KindName(CallKind kind) {
  const std::string_view method = MethodOf(kind);
  return std::string(method.substr(method.rfind('/') + 1));
}

// What every refused call must look like to its caller.
void ExpectRefused(const EchoResult& result, CallKind kind) {
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE)
      << result.status.error_message();
  EXPECT_NE(result.status.error_message().find(MethodOf(kind)),
            std::string::npos)
      << result.status.error_message();
  const auto details = DecodeRejection(result.status.error_details());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->method, MethodOf(kind));
  EXPECT_GT(details->retry_after, Duration::zero());
  EXPECT_TRUE(result.replies.empty());

  ASSERT_EQ(result.trailers.count(kRetryPushbackKey), 1u);
  EXPECT_EQ(result.trailers.find(kRetryPushbackKey)->second,
            RetryPushback(details->retry_after));
}

// ---------------------------------------------------------------------------
// Every API and every kind of call

class RefusalTest : public ::testing::TestWithParam<std::tuple<Api, CallKind>> {
 protected:
  Api api() const { return std::get<0>(GetParam()); }
  CallKind kind() const { return std::get<1>(GetParam()); }
};

std::string TestName(
    const ::testing::TestParamInfo<RefusalTest::ParamType>& test) {
  return ::testing::PrintToString(std::get<0>(test.param)) +
         KindName(std::get<1>(test.param));
}

INSTANTIATE_TEST_SUITE_P(, RefusalTest,
                         ::testing::Combine(::testing::Values(Api::kSync,
                                                              Api::kCallback),
                                            ::testing::ValuesIn(kAllCallKinds)),
                         TestName);

TEST_P(RefusalTest, AnAdmittedCallReachesTheHandler) {
  GuardedEcho echo(api());
  const EchoResult result = CallEcho(echo.stub(), kind(), "hello");
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.replies, std::vector<std::string>{"hello"});
  EXPECT_EQ(result.trailers.count(kRetryPushbackKey), 0u);
  EXPECT_EQ(echo.script().runs(), 1);
}

TEST_P(RefusalTest, ARefusedCallDoesNot) {
  GuardedEcho echo(api());
  echo.ForceOpen(kind());
  ExpectRefused(CallEcho(echo.stub(), kind(), "hello"), kind());
  EXPECT_EQ(echo.script().runs(), 0);

  echo.Release(kind());
  EXPECT_TRUE(CallEcho(echo.stub(), kind(), "hello").status.ok());
  EXPECT_EQ(echo.script().runs(), 1);
}

TEST_P(RefusalTest, AMethodThatFailsIsRefusedUntilItsProbe) {
  GuardedEcho::Options options;
  options.settings.min_requests = 3;
  options.settings.jitter = 0;
  GuardedEcho echo(api(), std::move(options));
  for (int i = 0; i < 4; ++i) {
    const EchoResult result = CallEcho(echo.stub(), kind(), "status 14");
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_FALSE(IsRejection(result.status));
  }
  EXPECT_EQ(echo.snapshot(kind()).state, State::kOpen);
  for (int i = 0; i < 5; ++i) {
    ExpectRefused(CallEcho(echo.stub(), kind(), "hello"), kind());
  }
  EXPECT_EQ(echo.script().runs(), 4);

  // The others are not concerned.
  for (CallKind other : kAllCallKinds) {
    if (other == kind()) continue;
    EXPECT_TRUE(CallEcho(echo.stub(), other, "hello").status.ok());
  }
  EXPECT_EQ(echo.script().runs(), 7);

  testing::Advance(seconds(1));
  EXPECT_TRUE(CallEcho(echo.stub(), kind(), "hello").status.ok());
  EXPECT_EQ(echo.script().runs(), 8);
  EXPECT_EQ(echo.snapshot(kind()).state, State::kHalfOpen);
}

TEST_P(RefusalTest, AThousandRefusalsInARow) {
  GuardedEcho echo(api());
  echo.ForceOpen(kind());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(CallEcho(echo.stub(), kind(), "hello").status.error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_EQ(echo.script().runs(), 0);
  EXPECT_EQ(
      echo.snapshot(kind())
          .rejected[static_cast<std::size_t>(RejectionReason::kForcedOpen)],
      1000u);
  echo.Release(kind());
  EXPECT_TRUE(CallEcho(echo.stub(), kind(), "hello").status.ok());
}

TEST_P(RefusalTest, LargeCompressedRequests) {
  GuardedEcho::Options options;
  options.channel.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  GuardedEcho echo(api(), std::move(options));
  echo.ForceOpen(kind());
  std::string text(3 << 20, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>('a' + i * i % 23);
  }
  for (int i = 0; i < 5; ++i) {
    ExpectRefused(CallEcho(echo.stub(), kind(), text), kind());
  }
  EXPECT_EQ(echo.script().runs(), 0);
  echo.Release(kind());
  EXPECT_EQ(CallEcho(echo.stub(), kind(), text).replies,
            std::vector<std::string>{text});
}

// Hands each call that comes in over to another thread.
class ProceedsElsewhere final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::
                POST_RECV_INITIAL_METADATA)) {
      std::thread([batch] { batch->Proceed(); }).detach();
    } else {
      batch->Proceed();
    }
  }
};

class ProceedsElsewhereFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* /*info*/) override {
    return new ProceedsElsewhere;
  }
};

TEST_P(RefusalTest, BehindAnInterceptorThatProceedsOnAnotherThread) {
  GuardedEcho::Options options;
  options.server.interceptors.push_back(
      std::make_unique<ProceedsElsewhereFactory>());
  options.server.interceptors.push_back(
      std::make_unique<ProceedsElsewhereFactory>());
  GuardedEcho echo(api(), std::move(options));
  EXPECT_TRUE(CallEcho(echo.stub(), kind(), "hello").status.ok());
  echo.ForceOpen(kind());
  ExpectRefused(CallEcho(echo.stub(), kind(), "hello"), kind());
  EXPECT_EQ(echo.script().runs(), 1);
}

TEST_P(RefusalTest, CallsInTheProcess) {
  GuardedEcho echo(api());
  const auto stub =
      Echo::NewStub(echo.server().InProcessChannel(grpc::ChannelArguments()));
  echo.ForceOpen(kind());
  ExpectRefused(CallEcho(*stub, kind(), "hello"), kind());
  EXPECT_EQ(echo.script().runs(), 0);
  echo.Release(kind());
  EXPECT_TRUE(CallEcho(*stub, kind(), "hello").status.ok());
}

TEST_P(RefusalTest, WhileTheServerShutsDown) {
  for (int round = 0; round < 5; ++round) {
    GuardedEcho echo(api());
    echo.ForceOpen(kind());
    std::atomic<bool> shutting_down{false};
    std::atomic<int> refused{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i) {
      callers.emplace_back([&] {
        while (!shutting_down) {
          const EchoResult result = CallEcho(echo.stub(), kind(), "hello");
          EXPECT_FALSE(result.status.ok());
          if (IsRejection(result.status)) ++refused;
        }
      });
    }
    EXPECT_TRUE(testing::Eventually([&refused] { return refused > 20; }));
    echo.server().Shutdown(std::chrono::system_clock::now() + seconds(10));
    shutting_down = true;
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(echo.script().runs(), 0);
    EXPECT_EQ(echo.snapshot(kind()).in_flight, 0u);
  }
}

// ---------------------------------------------------------------------------
// Clients that are not done when the refusal comes

class StreamRefusalTest : public ::testing::TestWithParam<Api> {};

INSTANTIATE_TEST_SUITE_P(, StreamRefusalTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(StreamRefusalTest, AClientStreamThatIsNotClosed) {
  GuardedEcho echo(GetParam());
  echo.ForceOpen(CallKind::kClientStream);
  grpc::ClientContext context;
  EchoReply reply;
  const auto writer = echo.stub().ClientStream(&context, &reply);
  // Neither written to nor closed.
  const grpc::Status status = writer->Finish();
  EXPECT_TRUE(IsRejection(status)) << status.error_message();
  EXPECT_EQ(echo.script().runs(), 0);
}

TEST_P(StreamRefusalTest, ABidiClientThatGoesOnWriting) {
  GuardedEcho echo(GetParam());
  echo.ForceOpen(CallKind::kBidi);
  grpc::ClientContext context;
  const auto stream = echo.stub().Bidi(&context);
  EchoRequest request;
  request.set_text(std::string(100'000, 'x'));
  // Fails once the refusal has arrived, and must not hang before.
  while (stream->Write(request)) {
  }
  stream->WritesDone();
  EchoReply reply;
  EXPECT_FALSE(stream->Read(&reply));
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(IsRejection(status)) << status.error_message();
  EXPECT_EQ(echo.script().runs(), 0);
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kUnary, "hello").status.ok());
}

TEST_P(StreamRefusalTest, AClientThatGoesAway) {
  GuardedEcho echo(GetParam());
  echo.ForceOpen(CallKind::kBidi);
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    const auto stream = echo.stub().Bidi(&context);
    stream->Write(EchoRequest());
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  EXPECT_EQ(echo.script().runs(), 0);
  echo.Release(CallKind::kBidi);
  EXPECT_TRUE(CallEcho(echo.stub(), CallKind::kBidi, "hello").status.ok());
}

// ---------------------------------------------------------------------------
// What is covered

class MethodList {
 public:
  explicit MethodList(const std::vector<RegisteredMethod>& methods) {
    for (const RegisteredMethod& method : methods) {
      entries_.emplace_back(method.name == nullptr ? "" : method.name,
                            method.coverage);
    }
  }
  using Entries = std::vector<std::pair<std::string, Coverage>>;
  const Entries& entries() const { return entries_; }

 private:
  Entries entries_;
};

bool NoneExempt(std::string_view /*method*/) { return false; }

MethodList::Entries CoverageOf(grpc::Service* service) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service);
  return MethodList(MakeRefusable(builder, NoneExempt)).entries();
}

MethodList::Entries AllEcho(Coverage coverage) {
  MethodList::Entries entries;
  for (CallKind kind : kAllCallKinds) {
    entries.emplace_back(MethodOf(kind), coverage);
  }
  return entries;
}

TEST(CoverageTest, SyncAndCallbackServices) {
  testing::SyncEcho sync;
  EXPECT_EQ(CoverageOf(&sync), AllEcho(Coverage::kGuarded));
  testing::CallbackEcho callback;
  EXPECT_EQ(CoverageOf(&callback), AllEcho(Coverage::kGuarded));
}

TEST(CoverageTest, AServiceIsWrappedOnce) {
  testing::SyncEcho sync;
  EXPECT_EQ(CoverageOf(&sync), AllEcho(Coverage::kGuarded));
  EXPECT_EQ(CoverageOf(&sync), AllEcho(Coverage::kGuarded));
}

TEST(CoverageTest, RawCallbacksNeedNoProtobuf) {
  Echo::WithRawCallbackMethod_Unary<Echo::WithRawCallbackMethod_ServerStream<
      Echo::WithRawCallbackMethod_Bidi<Echo::Service>>>
      service;
  EXPECT_EQ(CoverageOf(&service), AllEcho(Coverage::kGuarded));
}

class StreamedEcho final : public Echo::StreamedService {
  grpc::Status StreamedUnary(
      grpc::ServerContext* /*context*/,
      grpc::ServerUnaryStreamer<EchoRequest, EchoReply>* /*stream*/) override {
    return grpc::Status::OK;
  }
  grpc::Status StreamedServerStream(
      grpc::ServerContext* /*context*/,
      grpc::ServerSplitStreamer<EchoRequest, EchoReply>* /*stream*/) override {
    return grpc::Status::OK;
  }
};

TEST(CoverageTest, StreamedUnaryCalls) {
  StreamedEcho service;
  EXPECT_EQ(CoverageOf(&service), AllEcho(Coverage::kGuarded));
}

TEST(CoverageTest, AsyncAndGenericMethodsAreLeftAlone) {
  Echo::WithAsyncMethod_Unary<Echo::WithGenericMethod_Bidi<Echo::Service>>
      service;
  MethodList::Entries expected = AllEcho(Coverage::kGuarded);
  expected[0].second = Coverage::kAsync;
  expected[3] = {"", Coverage::kGeneric};
  EXPECT_EQ(CoverageOf(&service), expected);
}

// A service that nobody generated, with messages that are not protobuf.
class BytesService final : public grpc::Service {
 public:
  BytesService() {
    using grpc::ByteBuffer;
    using grpc::internal::RpcMethod;
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/test.Bytes/Unary", RpcMethod::NORMAL_RPC,
        new grpc::internal::RpcMethodHandler<BytesService, ByteBuffer,
                                             ByteBuffer>(
            [](BytesService*, grpc::ServerContext*, const ByteBuffer*,
               ByteBuffer*) { return grpc::Status::OK; },
            this)));
    // The name of a method with protobuf messages does not deceive.
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/fusebox.testing.Echo/ServerStream", RpcMethod::SERVER_STREAMING,
        new grpc::internal::ServerStreamingHandler<BytesService, ByteBuffer,
                                                   ByteBuffer>(
            [](BytesService*, grpc::ServerContext*, const ByteBuffer*,
               grpc::ServerWriter<ByteBuffer>*) { return grpc::Status::OK; },
            this)));
    AddMethod(new grpc::internal::RpcServiceMethod(
        "/test.Bytes/Bidi", RpcMethod::BIDI_STREAMING,
        new grpc::internal::BidiStreamingHandler<BytesService, ByteBuffer,
                                                 ByteBuffer>(
            [](BytesService*, grpc::ServerContext*,
               grpc::ServerReaderWriter<ByteBuffer, ByteBuffer>*) {
              return grpc::Status::OK;
            },
            this)));
  }
};

TEST(CoverageTest, ASynchronousRequestThatIsNoProtobufMessageIsLeftAlone) {
  BytesService service;
  EXPECT_EQ(
      CoverageOf(&service),
      (MethodList::Entries{
          {"/test.Bytes/Unary", Coverage::kForeignHandler},
          {"/fusebox.testing.Echo/ServerStream", Coverage::kForeignHandler},
          {"/test.Bytes/Bidi", Coverage::kGuarded}}));
}

// Replaces a handler behind the guard's back, as a release of gRPC might that
// handles services in another order.
class RewritesHandlers final : public Echo::Service {
 public:
  void Rewrite() {
    MarkMethodStreamed(
        3, new grpc::internal::BidiStreamingHandler<RewritesHandlers,
                                                    EchoRequest, EchoReply>(
               [](RewritesHandlers* /*self*/, grpc::ServerContext* /*context*/,
                  grpc::ServerReaderWriter<EchoReply, EchoRequest>* stream) {
                 EchoRequest request;
                 while (stream->Read(&request)) {
                 }
                 return grpc::Status::OK;
               },
               this));
  }
};

class Rewriter final : public grpc::ServerBuilderPlugin,
                       public grpc::ServerBuilderOption {
 public:
  explicit Rewriter(RewritesHandlers* service) : service_(service) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    plugins->push_back(std::make_unique<Rewriter>(service_));
  }
  std::string name() override { return "rewriter"; }
  void UpdateServerBuilder(grpc::ServerBuilder* /*builder*/) override {
    service_->Rewrite();
  }
  void InitServer(grpc::ServerInitializer* /*server*/) override {}
  void Finish(grpc::ServerInitializer* /*server*/) override {}
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}

 private:
  RewritesHandlers* const service_;
};

TEST(CoverageTest,
     AHandlerThatIsReplacedAfterwardsIsNoticedWhenTheServerStarts) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  RewritesHandlers service;
  grpc::ServerBuilder builder;
  const auto guard = GuardServer(builder, &registry);
  builder.SetOption(std::make_unique<Rewriter>(&service));
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  EXPECT_EQ(guard->uncovered(), 1u);
  EXPECT_EQ(guard->methods()[0].coverage, Coverage::kGuarded);
  EXPECT_EQ(guard->methods()[3].coverage, Coverage::kObserved);

  // Its calls are counted, and no one says that they were refused.
  const auto stub = Echo::NewStub(server->InProcessChannel({}));
  EXPECT_TRUE(CallEcho(*stub, CallKind::kBidi, "hello").status.ok());
  registry.Force(Role::kServer, "", MethodOf(CallKind::kBidi),
                 Override::kForcedOpen, TimePoint::max());
  EXPECT_TRUE(CallEcho(*stub, CallKind::kBidi, "hello").status.ok());
  EXPECT_EQ(registry.Snapshot(Role::kServer, "", MethodOf(CallKind::kBidi))
                ->lifetime.of(Outcome::kOk),
            1u);
  EXPECT_EQ(guard->unheeded(), 0u);
  server->Shutdown();
}

TEST(CoverageTest, ExemptMethodsAreLeftAlone) {
  testing::SyncEcho sync;
  grpc::ServerBuilder builder;
  builder.RegisterService(&sync);
  const auto methods = MakeRefusable(builder, [](std::string_view method) {
    return method == MethodOf(CallKind::kUnary);
  });
  MethodList::Entries expected = AllEcho(Coverage::kGuarded);
  expected[0].second = Coverage::kExempt;
  EXPECT_EQ(MethodList(methods).entries(), expected);
}

}  // namespace
}  // namespace fusebox

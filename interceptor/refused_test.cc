#include "interceptor/refused.h"

#include <grpc/support/log.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"
#include "interceptor/testing/server_styles.h"
#include "interceptor/testing/styled_server.h"

namespace fusebox {
namespace {

using testing::CallEcho;
using testing::CallKind;
using testing::Counts;
using testing::CountsOf;
using testing::Echo;
using testing::ExpectAnswer;
using testing::ExpectRefused;
using testing::kAllCallKinds;
using testing::MethodOf;
using testing::ServerStyle;
using testing::ServerStyles;
using testing::StyledServer;

const ServerStyle& StyleNamed(const std::string& name) {
  for (const ServerStyle& style : ServerStyles()) {
    if (style.name == name) return style;
  }
  ADD_FAILURE() << name;
  return ServerStyles().front();
}

// Counts the lines of gRPC's log about refused calls that were handled.
std::atomic<int> unheeded_lines{0};
void CountLine(gpr_log_func_args* line) {
  if (std::strstr(line->message, "a refused call of") != nullptr) {
    ++unheeded_lines;
  }
}

class CountedLog {
 public:
  CountedLog() {
    unheeded_lines = 0;
    gpr_set_log_function(&CountLine);
  }
  ~CountedLog() { gpr_set_log_function(nullptr); }
  CountedLog(const CountedLog&) = delete;
  CountedLog& operator=(const CountedLog&) = delete;
};

class CarelessTest : public ::testing::TestWithParam<
                         std::unique_ptr<testing::StyledEcho> (*)()> {};

INSTANTIATE_TEST_SUITE_P(, CarelessTest,
                         ::testing::Values(&testing::CarelessAsyncEcho,
                                           &testing::CarelessGenericEcho),
                         [](const auto& test) {
                           return test.index == 0 ? "Async" : "CallbackGeneric";
                         });

TEST_P(CarelessTest, WhoDeclaresAndDoesNotAskIsToldOnceAndCounted) {
  const CountedLog log;
  StyledServer server(GetParam()());
  for (const CallKind kind : kAllCallKinds) {
    server.ForceOpen(kind);
    for (int i = 0; i < 3; ++i) {
      // The handler did the work, and its answer is what the client gets.
      const testing::EchoResult result = CallEcho(server.stub(), kind, "hello");
      ExpectAnswer(result, grpc::StatusCode::OK);
      EXPECT_EQ(result.replies, std::vector<std::string>{"hello"});
    }
    EXPECT_EQ(CountsOf(server.snapshot(kind)), (Counts{{"rejected", 3}}));
  }
  EXPECT_EQ(server.script().runs(), 12);
  EXPECT_EQ(server.guard().unheeded(), 12u);
  EXPECT_EQ(unheeded_lines, 4);
}

class UndeclaredTest : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(, UndeclaredTest,
                         ::testing::Values("Async", "RawAsync", "AsyncGeneric",
                                           "CallbackGeneric"),
                         [](const auto& test) {
                           return std::string(test.param);
                         });

TEST_P(UndeclaredTest, WhoIsNotNamedIsNeitherRefusedNorCounted) {
  StyledServer::Options options;
  options.declared = false;
  StyledServer server(StyleNamed(GetParam()).make(), options);
  for (const CallKind kind : kAllCallKinds) {
    // As another server of the process might.
    server.registry().Pin(Role::kServer, "", MethodOf(kind));
    server.ForceOpen(kind);
    ExpectAnswer(CallEcho(server.stub(), kind, "hello"), grpc::StatusCode::OK);
    EXPECT_EQ(CountsOf(server.snapshot(kind)), Counts());
  }
  EXPECT_EQ(server.script().runs(), 4);
  const bool registered =
      std::string(GetParam()).find("Generic") == std::string::npos;
  EXPECT_EQ(server.guard().uncovered(), registered ? 4u : 0u);
}

TEST(GenericMethodsTest, OtherNamesAreNeitherRefusedNorCounted) {
  StyledServer::Options options;
  options.declared = false;
  StyledServer server(StyleNamed("CallbackGeneric").make(), options);
  ExpectAnswer(CallEcho(server.stub(), CallKind::kUnary, "hello"),
               grpc::StatusCode::OK);
  EXPECT_EQ(server.registry().stats().breakers, 0u);
}

TEST(GenericMethodsTest, NamesThatCannotBeMeantAreLeftOut) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  testing::SyncEcho service;
  grpc::ServerBuilder builder;
  ServerOptions options;
  options.unguarded_services = {"pkg.Exempt"};
  options.generic_methods = {
      "fusebox.testing.Echo/Unary",   // registered: never generic
      "grpc.health.v1.Health/Check",  // never guarded
      "pkg.Exempt/Method",            // said not to be guarded
      "pkg.Service/Method", "pkg.Service/Method"};
  const auto guard = GuardServer(builder, &registry, std::move(options));
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  ASSERT_EQ(guard->methods().size(), 5u);
  EXPECT_EQ(guard->methods()[0].coverage, Coverage::kGuarded);
  EXPECT_EQ(guard->methods()[4].name, "/pkg.Service/Method");
  EXPECT_EQ(guard->methods()[4].coverage, Coverage::kAsks);
  EXPECT_EQ(registry.stats().breakers, 5u);
  server->Shutdown();
}

TEST(AsyncServicesTest, SingleMethodsCanBeNamed) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  ServerOptions options;
  // A name that begins like another is another.
  options.async_services = {"fusebox.testing.Echo/Unary",
                            "fusebox.testing.Echo/Bid", "fusebox.testing.Ech"};
  const auto guard = GuardServer(builder, &registry, std::move(options));
  builder.RegisterService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  std::vector<Coverage> coverage;
  for (const ServedMethod& method : guard->methods()) {
    coverage.push_back(method.coverage);
  }
  EXPECT_EQ(coverage,
            (std::vector<Coverage>{Coverage::kAsks, Coverage::kAsync,
                                   Coverage::kAsync, Coverage::kAsync}));
  EXPECT_EQ(guard->uncovered(), 3u);
  server->Shutdown();
  queue->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
  }
}

// A client that says what the mark of a refused call says.
TEST(ForgedMarkTest, IsNoRefusal) {
  for (const char* style : {"Async", "AsyncGeneric", "CallbackGeneric"}) {
    StyledServer server(StyleNamed(style).make());
    // While there is a refused call, so that metadata are looked into at all.
    server.ForceOpen(CallKind::kBidi);
    std::atomic<bool> stop{false};
    std::thread refused([&] {
      while (!stop) {
        ExpectRefused(CallEcho(server.stub(), CallKind::kBidi, "hello"),
                      CallKind::kBidi);
      }
    });
    for (int i = 0; i < 100; ++i) {
      grpc::ClientContext context;
      context.AddMetadata("fusebox-refused", "");
      context.AddMetadata("fusebox-refused", "1");
      ExpectAnswer(CallEcho(server.stub(), CallKind::kUnary, context, "hello"),
                   grpc::StatusCode::OK);
    }
    stop = true;
    refused.join();
    // Nor does it make a refused call less so.
    grpc::ClientContext context;
    context.AddMetadata("fusebox-refused", "");
    ExpectRefused(CallEcho(server.stub(), CallKind::kBidi, context, "hello"),
                  CallKind::kBidi);
    EXPECT_EQ(server.script().runs(), 100);
    EXPECT_EQ(server.guard().unheeded(), 0u);
  }
}

TEST(RefusedTest, IsFalseForACallThatNobodyGuards) {
  const grpc::ServerContext context;
  EXPECT_FALSE(Refused(context));
}

}  // namespace
}  // namespace fusebox

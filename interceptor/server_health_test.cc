// What GuardServer() makes of health, seen by a client.

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "interceptor/health/health_service.h"
#include "interceptor/rejection.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/guarded_echo.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace fusebox {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::Advance;
using testing::Api;
using testing::CallEcho;
using testing::CallKind;
using testing::GuardedEcho;
using testing::kAllCallKinds;

constexpr char kService[] = "fusebox.testing.Echo";
constexpr char kUnary[] = "fusebox.testing.Echo/Unary";

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::seconds(60);
}

// The status as text, or the error.
std::string Check(GuardedEcho& echo, const std::string& service) {
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const grpc::Status status =
      Health::NewStub(echo.channel())->Check(&context, request, &response);
  return status.ok()
             ? HealthCheckResponse::ServingStatus_Name(response.status())
             : "error " + std::to_string(status.error_code());
}

class WatchStream {
 public:
  WatchStream(GuardedEcho& echo, const std::string& service)
      : stub_(Health::NewStub(echo.channel())) {
    context_.set_deadline(Deadline());
    HealthCheckRequest request;
    request.set_service(service);
    reader_ = stub_->Watch(&context_, request);
  }

  std::string Next() {
    HealthCheckResponse response;
    if (reader_->Read(&response)) {
      return HealthCheckResponse::ServingStatus_Name(response.status());
    }
    return "error " + std::to_string(reader_->Finish().error_code());
  }

 private:
  const std::unique_ptr<Health::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
};

class ServerHealthTest : public ::testing::TestWithParam<Api> {};

INSTANTIATE_TEST_SUITE_P(, ServerHealthTest,
                         ::testing::Values(Api::kSync, Api::kCallback),
                         ::testing::PrintToStringParamName());

TEST_P(ServerHealthTest, MethodsAndServicesAreKnownBeforeTheFirstCall) {
  GuardedEcho echo(GetParam());
  EXPECT_EQ(Check(echo, ""), "SERVING");
  EXPECT_EQ(Check(echo, kService), "SERVING");
  EXPECT_EQ(Check(echo, kUnary), "SERVING");
  EXPECT_EQ(Check(echo, "fusebox.testing.Echo/Other"), "error 5");
  EXPECT_EQ(Check(echo, "grpc.health.v1.Health"), "error 5");
}

TEST_P(ServerHealthTest, FailuresTakeAMethodOutAndTimeBringsItBack) {
  GuardedEcho::Options options;
  options.settings.min_requests = 2;
  options.settings.jitter = 0;
  GuardedEcho echo(GetParam(), std::move(options));
  WatchStream watch(echo, kUnary);
  EXPECT_EQ(watch.Next(), "SERVING");
  for (int i = 0; i < 3; ++i) {
    CallEcho(echo.stub(), CallKind::kUnary, "status 13");
  }
  EXPECT_TRUE(::fusebox::testing::Eventually([&] {
    echo.registry().Dispatch();
    return echo.guard().health()->StatusOf(kUnary) ==
           ServingStatus::kNotServing;
  }));
  EXPECT_EQ(watch.Next(), "NOT_SERVING");
  EXPECT_EQ(Check(echo, kService), "SERVING");
  EXPECT_EQ(Check(echo, ""), "SERVING");

  Advance(echo.registry().options().settings.min_recovery);
  echo.registry().Dispatch();
  EXPECT_EQ(watch.Next(), "SERVING");
}

TEST_P(ServerHealthTest, HealthIsAnsweredWhenEveryMethodIsOpen) {
  GuardedEcho echo(GetParam());
  for (CallKind kind : kAllCallKinds) echo.ForceOpen(kind);
  echo.registry().Dispatch();
  EXPECT_TRUE(
      IsRejection(CallEcho(echo.stub(), CallKind::kUnary, "hello").status));
  EXPECT_EQ(Check(echo, kUnary), "NOT_SERVING");
  EXPECT_EQ(Check(echo, kService), "NOT_SERVING");
  EXPECT_EQ(Check(echo, ""), "SERVING");
}

TEST_P(ServerHealthTest, RulesAreTheApplications) {
  GuardedEcho::Options options;
  options.server.health = HealthOptions();
  options.server.health->services = ServiceHealthRule::kAny;
  options.server.health->server = ServiceHealthRule::kAny;
  GuardedEcho echo(GetParam(), std::move(options));
  echo.ForceOpen(CallKind::kBidi);
  echo.registry().Dispatch();
  EXPECT_EQ(Check(echo, kService), "NOT_SERVING");
  EXPECT_EQ(Check(echo, ""), "NOT_SERVING");
}

TEST_P(ServerHealthTest, ApplicationSetsNamesOfItsOwn) {
  GuardedEcho echo(GetParam());
  echo.guard().health()->SetServing("database", false);
  EXPECT_EQ(Check(echo, "database"), "NOT_SERVING");
  echo.server().GetHealthCheckService()->SetServingStatus("database", true);
  EXPECT_EQ(Check(echo, "database"), "SERVING");
}

TEST_P(ServerHealthTest, ServerShutsDownWithoutADeadlineWhileWatched) {
  GuardedEcho echo(GetParam());
  WatchStream watch(echo, kService);
  EXPECT_EQ(watch.Next(), "SERVING");
  echo.server().Shutdown();
  EXPECT_EQ(watch.Next(), "error 14");
}

TEST_P(ServerHealthTest, CanBeTurnedOff) {
  GuardedEcho::Options options;
  options.server.health.reset();
  GuardedEcho echo(GetParam(), std::move(options));
  EXPECT_EQ(echo.guard().health(), nullptr);
  EXPECT_EQ(Check(echo, ""), "error 12");
}

TEST_P(ServerHealthTest, ApplicationMayServeItsOwnInstead) {
  const auto health = std::make_shared<HealthService>();
  GuardedEcho::Options options;
  options.server.health.reset();
  options.configure = [&health](grpc::ServerBuilder& builder) {
    ServeHealth(builder, health);
  };
  GuardedEcho echo(GetParam(), std::move(options));
  EXPECT_EQ(Check(echo, ""), "SERVING");
  EXPECT_EQ(Check(echo, kUnary), "error 5");
}

// The order of the calls is the application's.
TEST(ServeHealthTest, BeforeGuardServerLeavesNothingUncovered) {
  BreakerRegistry registry(testing::StandingClockOptions(Settings()));
  testing::SyncEcho service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  ServeHealth(builder, std::make_shared<HealthService>());
  ServerOptions options;
  options.health.reset();
  const auto guard = GuardServer(builder, &registry, std::move(options));
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(guard->uncovered(), 0u);
  EXPECT_EQ(registry.stats().breakers, 4u);
}

}  // namespace
}  // namespace fusebox

#include "examples/greeter/backend_testing.h"

#include <chrono>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "interceptor/testing/guarded_echo.h"

namespace greeter {
namespace {

fusebox::RegistryOptions Options() {
  fusebox::Settings settings;
  settings.min_requests = 2;
  settings.jitter = 0;
  return fusebox::testing::StandingClockOptions(settings);
}

}  // namespace

Backend::Backend() : registry_(Options()) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&greeter_);
  guard_ = fusebox::GuardServer(builder, &registry_);
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

Backend::~Backend() {
  server_->Shutdown(std::chrono::system_clock::now() +
                    std::chrono::seconds(10));
}

void Backend::Break() {
  Fault fault;
  fault.code = grpc::StatusCode::INTERNAL;
  fault.fraction = 1;
  EXPECT_TRUE(greeter_.faults().Set("SayHello", fault).ok());
}

void Backend::Mend() {
  EXPECT_TRUE(greeter_.faults().Set("SayHello", Fault()).ok());
}

std::uint64_t Backend::calls() {
  const fusebox::BreakerSnapshot breaker =
      registry_
          .Snapshot(fusebox::Role::kServer, "", "/" + std::string(kSayHello))
          .value();
  std::uint64_t refused = 0;
  for (const std::uint64_t calls : breaker.rejected) refused += calls;
  return static_cast<std::uint64_t>(
             greeter_.faults().HandlerRuns().at("SayHello")) +
         refused;
}

bool Backend::Serves() {
  registry_.Dispatch();
  return health()->StatusOf(kSayHello) == fusebox::ServingStatus::kServing;
}

void Backend::AwaitOpen() {
  EXPECT_TRUE(fusebox::testing::Eventually([this] { return !Serves(); }));
}

void Backend::PassTheWait() {
  fusebox::testing::Advance(registry_.options().settings.min_recovery);
  registry_.Dispatch();
}

}  // namespace greeter

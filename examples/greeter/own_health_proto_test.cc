// A program that has the health protocol generated from a .proto file of its
// own, as this one has, may be guarded: the library brings no second one, with
// which Protobuf would end the program before main().

#include <chrono>

#include "examples/greeter/backend_testing.h"
#include "examples/greeter/health.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace greeter {
namespace {

namespace health = grpc::health::v1;

TEST(OwnHealthProtoTest, TheProgramStartsAndServes) {
  EXPECT_EQ(health::HealthCheckRequest::descriptor()->file()->name(),
            "examples/greeter/health.proto");

  Backend backend;
  const auto stub = health::Health::NewStub(grpc::CreateChannel(
      backend.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(1));
  health::HealthCheckRequest request;
  request.set_service(kSayHello);
  health::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace greeter

// Checks that the settings of tsan_uninstrumented.cc hide gRPC's own accesses
// and nothing of ours.

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bazel/tsan_test.grpc.pb.h"
#include "bazel/tsan_test.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

constexpr int kClients = 4;
constexpr int kCallsPerClient = 200;

class CountingEcho final : public tsan_test::Echo::Service {
 public:
  CountingEcho(Shared* shared, bool locked)
      : shared_(*shared), locked_(locked) {}

  grpc::Status Send(grpc::ServerContext* /*context*/,
                    const tsan_test::Ping* request,
                    tsan_test::Ping* response) override {
    if (locked_) {
      shared_.AddWithLock();
    } else {
      shared_.AddWithoutLock();
    }
    response->set_text(request->text());
    return grpc::Status::OK;
  }

 private:
  Shared& shared_;
  const bool locked_;
};

// Calls a CountingEcho from several threads and returns what it counted.
int CountCalls(bool locked) {
  Shared shared;
  CountingEcho service(&shared, locked);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const std::string address = "127.0.0.1:" + std::to_string(port);

  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&address] {
      auto stub = tsan_test::Echo::NewStub(
          grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
      for (int call = 0; call < kCallsPerClient; ++call) {
        grpc::ClientContext context;
        tsan_test::Ping request;
        request.set_text("a text too long for the small string optimisation");
        tsan_test::Ping response;
        const grpc::Status status = stub->Send(&context, request, &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
        EXPECT_EQ(response.text(), request.text());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  server->Shutdown();
  server->Wait();
  std::lock_guard<std::mutex> lock(shared.mutex);
  return shared.value;
}

TEST(TsanGrpcTest, ReportsARaceInAHandler) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        CountCalls(/*locked=*/false);
        std::exit(0);
      },
      testing::ExitedWithCode(kRaceFound), "data race");
}

TEST(TsanGrpcTest, KeepsQuietAboutCorrectCalls) {
  EXPECT_EQ(CountCalls(/*locked=*/true), kClients * kCallsPerClient);
}

}  // namespace
}  // namespace fusebox

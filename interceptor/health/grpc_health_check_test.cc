#include "interceptor/health/grpc_health_check.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/slice.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/health/health_service.h"

namespace fusebox {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Duration kLong = std::chrono::minutes(1);

CheckResult Ask(const Check& check, Duration time_limit = kLong) {
  const std::atomic<bool> cancelled = false;
  return check(CheckRun(time_limit, cancelled));
}

Check CheckOf(const std::string& target, const std::string& service = "") {
  return GrpcHealthCheck(target, grpc::InsecureChannelCredentials(), service);
}

struct Server {
  explicit Server(const std::string& address = "127.0.0.1:0") {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    ServeHealth(builder, health);
    server = builder.BuildAndStart();
    target = "127.0.0.1:" + std::to_string(port);
  }

  const std::shared_ptr<HealthService> health =
      std::make_shared<HealthService>();
  std::unique_ptr<grpc::Server> server;
  std::string target;
};

TEST(GrpcHealthCheckTest, FollowsTheServerAndItsServices) {
  const Server backend;
  const Check whole = CheckOf(backend.target);
  const Check service = CheckOf(backend.target, "pkg.Service");
  EXPECT_TRUE(Ask(whole).healthy);
  EXPECT_EQ(Ask(whole).message, backend.target + " is SERVING");
  EXPECT_FALSE(Ask(service).healthy);
  EXPECT_EQ(Ask(service).message,
            "pkg.Service at " + backend.target + " is not known there");
  backend.health->SetServing("pkg.Service", false);
  EXPECT_FALSE(Ask(service).healthy);
  EXPECT_EQ(Ask(service).message,
            "pkg.Service at " + backend.target + " is NOT_SERVING");
  backend.health->SetServing("pkg.Service", true);
  EXPECT_TRUE(Ask(service).healthy);
}

TEST(GrpcHealthCheckTest, NobodyThereIsUnhealthyUntilSomebodyIs) {
  std::string target;
  {
    const Server gone;
    target = gone.target;
  }
  const Check check = CheckOf(target);
  const CheckResult result = Ask(check);
  EXPECT_FALSE(result.healthy);
  EXPECT_THAT(result.message,
              StartsWith(target + " cannot be asked: UNAVAILABLE: "));

  const Server back(target);
  if (back.server == nullptr) GTEST_SKIP() << target << " was taken meanwhile";
  // It tries again by itself, at most a second later.
  while (!Ask(check).healthy) std::this_thread::yield();
}

// Answers every call with `bytes`, or never.
class Odd final : public grpc::CallbackGenericService {
 public:
  explicit Odd(const std::string& bytes) : bytes_(bytes) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Odd() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Reactor(const std::string& bytes) {
      if (bytes == "never") return;
      if (bytes == "status") {
        Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no such thing"));
        return;
      }
      const grpc::Slice slice(bytes);
      reply_ = grpc::ByteBuffer(&slice, 1);
      StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
    }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    grpc::ByteBuffer reply_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Reactor(bytes_);
  }

  const std::string bytes_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(GrpcHealthCheckTest, OddAnswersAreUnhealthy) {
  const struct {
    std::string bytes;
    std::string message;
  } cases[] = {
      {std::string("\x08\x03", 2), " is SERVICE_UNKNOWN"},
      {"", " is UNKNOWN"},
      {std::string("\x08\x07", 2),
       " is in a state that this version does not know"},
      {"<html>", " answers with something else than its health"},
      {"status", " cannot be asked: UNIMPLEMENTED: no such thing"},
  };
  for (const auto& c : cases) {
    const Odd odd(c.bytes);
    const CheckResult result = Ask(CheckOf(odd.target()));
    EXPECT_FALSE(result.healthy) << result.message;
    EXPECT_EQ(result.message, odd.target() + c.message);
  }
}

TEST(GrpcHealthCheckTest, EndsAtItsTimeLimit) {
  const Odd odd("never");
  const CheckResult result =
      Ask(CheckOf(odd.target()), std::chrono::milliseconds(50));
  EXPECT_FALSE(result.healthy);
  EXPECT_THAT(result.message, HasSubstr("DEADLINE_EXCEEDED"));
}

TEST(GrpcHealthCheckTest, EndsWhenItIsCancelled) {
  const Odd odd("never");
  const std::atomic<bool> cancelled = true;
  const CheckResult result =
      CheckOf(odd.target())(CheckRun(std::chrono::hours(1), cancelled));
  EXPECT_THAT(result.message, HasSubstr("CANCELLED"));
}

}  // namespace
}  // namespace fusebox

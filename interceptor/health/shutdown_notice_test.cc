#include "interceptor/health/shutdown_notice.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace fusebox {
namespace {

using grpc::health::v1::Health;

constexpr std::chrono::seconds kGenerous(30);

// Some service, which a server needs to have; its Check() answers once `go` is
// set.
class SlowService final : public Health::Service {
 public:
  grpc::Status Check(
      grpc::ServerContext* /*context*/,
      const grpc::health::v1::HealthCheckRequest* /*request*/,
      grpc::health::v1::HealthCheckResponse* /*response*/) override {
    entered.set_value();
    go.get_future().wait();
    return grpc::Status::OK;
  }

  std::promise<void> entered;
  std::promise<void> go;
};

// Hands out the names of the services that reflection lists.
class ServiceList final : public grpc::ServerBuilderOption {
 public:
  explicit ServiceList(std::vector<std::string>* names) : names_(names) {}

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    class Plugin final : public grpc::ServerBuilderPlugin {
     public:
      explicit Plugin(std::vector<std::string>* names) : names_(names) {}
      std::string name() override { return "service_list"; }
      void InitServer(grpc::ServerInitializer* initializer) override {
        *names_ = *initializer->GetServiceList();
      }
      void Finish(grpc::ServerInitializer* /*initializer*/) override {}
      void ChangeArguments(const std::string& /*name*/,
                           void* /*value*/) override {}

     private:
      std::vector<std::string>* const names_;
    };
    plugins->push_back(std::make_unique<Plugin>(names_));
  }

 private:
  std::vector<std::string>* const names_;
};

class ShutdownNoticeTest : public testing::Test {
 protected:
  ShutdownNoticeTest() : notice_(builder_, [this] { notified_.set_value(); }) {
    builder_.RegisterService(&service_);
    builder_.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                              &port_);
  }

  std::shared_ptr<grpc::Channel> Channel() const {
    return grpc::CreateChannel("127.0.0.1:" + std::to_string(port_),
                               grpc::InsecureChannelCredentials());
  }

  SlowService service_;
  std::promise<void> notified_;
  int port_ = 0;
  grpc::ServerBuilder builder_;
  ShutdownNotice notice_;
};

TEST_F(ShutdownNoticeTest, ComesWhenShutdownBeginsAndNotWhenItEnds) {
  const std::unique_ptr<grpc::Server> server = builder_.BuildAndStart();
  ASSERT_NE(server, nullptr);
  notice_.Start();

  const auto stub = Health::NewStub(Channel());
  auto call = std::async(std::launch::async, [&stub] {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    return stub->Check(&context, {}, &response);
  });
  service_.entered.get_future().wait();
  std::future<void> notified = notified_.get_future();
  EXPECT_EQ(notified.wait_for(std::chrono::seconds(0)),
            std::future_status::timeout);

  auto shutdown =
      std::async(std::launch::async, [&server] { server->Shutdown(); });
  EXPECT_EQ(notified.wait_for(kGenerous), std::future_status::ready);
  EXPECT_EQ(shutdown.wait_for(std::chrono::seconds(0)),
            std::future_status::timeout);

  service_.go.set_value();
  shutdown.wait();
  EXPECT_TRUE(call.get().ok());
}

TEST_F(ShutdownNoticeTest, ComesWhenTheServerIsDestroyed) {
  std::unique_ptr<grpc::Server> server = builder_.BuildAndStart();
  ASSERT_NE(server, nullptr);
  notice_.Start();
  server.reset();
  EXPECT_EQ(notified_.get_future().wait_for(kGenerous),
            std::future_status::ready);
}

TEST_F(ShutdownNoticeTest, ComesAtOnceIfStartedTooLate) {
  const std::unique_ptr<grpc::Server> server = builder_.BuildAndStart();
  ASSERT_NE(server, nullptr);
  server->Shutdown();
  notice_.Start();
  EXPECT_EQ(notified_.get_future().wait_for(kGenerous),
            std::future_status::ready);
}

TEST_F(ShutdownNoticeTest, NeedsNoServer) {}

TEST_F(ShutdownNoticeTest, IsNotListedByReflection) {
  std::vector<std::string> services;
  builder_.SetOption(std::make_unique<ServiceList>(&services));
  const std::unique_ptr<grpc::Server> server = builder_.BuildAndStart();
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(services, std::vector<std::string>{"grpc.health.v1.Health"});
}

TEST_F(ShutdownNoticeTest, ClientsCanCallItToNoEffect) {
  const std::unique_ptr<grpc::Server> server = builder_.BuildAndStart();
  ASSERT_NE(server, nullptr);
  notice_.Start();
  grpc::GenericStub stub(Channel());
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext context;
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> status;
    stub.UnaryCall(&context, kShutdownNoticeMethod, grpc::StubOptions(),
                   &request, &response,
                   [&status](const grpc::Status& s) { status.set_value(s); });
    EXPECT_EQ(status.get_future().get().error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  std::future<void> notified = notified_.get_future();
  EXPECT_EQ(notified.wait_for(std::chrono::seconds(0)),
            std::future_status::timeout);
  server->Shutdown();
  EXPECT_EQ(notified.wait_for(kGenerous), std::future_status::ready);
}

}  // namespace
}  // namespace fusebox

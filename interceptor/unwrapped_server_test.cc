// What is left where gRPC lets no handler be wrapped: outcomes, Refused(), and
// the gate.

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/server_gate.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/server_refusal.h"
#include "interceptor/testing/echo_services.h"

namespace fusebox {
namespace {

using testing::CallEcho;
using testing::CallKind;
using testing::Echo;
using testing::kAllCallKinds;
using testing::MethodOf;

std::atomic<int> warnings{0};
void CountWarning(gpr_log_func_args* line) {
  if (std::strstr(line->message, "GatedServerCredentials()") != nullptr) {
    ++warnings;
  }
}

// Guarded, behind a gate on its port.
template <class Service>
class UnwrappedServer {
 public:
  explicit UnwrappedServer(ServerOptions options = {}) {
    warnings = 0;
    gpr_set_log_function(&CountWarning);
    guard_ = GuardServer(builder_, &registry_, std::move(options));
    builder_.AddListeningPort(
        "127.0.0.1:0",
        GatedServerCredentials(grpc::InsecureServerCredentials(), guard_),
        &port_);
    builder_.RegisterService(&service_);
  }
  void Start() {
    server_ = builder_.BuildAndStart();
    gated_ =
        Echo::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port_),
                                          grpc::InsecureChannelCredentials()));
    // Around the gate.
    direct_ =
        Echo::NewStub(server_->InProcessChannel(grpc::ChannelArguments()));
  }
  ~UnwrappedServer() {
    gpr_set_log_function(nullptr);
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::seconds(10));
    server_->Wait();
  }

  grpc::ServerBuilder& builder() { return builder_; }
  grpc::Server& server() { return *server_; }
  Service& service() { return service_; }
  const ServerGuard& guard() const { return *guard_; }
  Echo::Stub& gated() { return *gated_; }
  Echo::Stub& direct() { return *direct_; }
  void ForceOpen(CallKind kind) {
    EXPECT_TRUE(registry_.Force(Role::kServer, "", MethodOf(kind),
                                Override::kForcedOpen, TimePoint::max()));
  }
  BreakerSnapshot snapshot(CallKind kind) {
    return registry_.Snapshot(Role::kServer, "", MethodOf(kind)).value();
  }

 private:
  BreakerRegistry registry_;
  Service service_;
  grpc::ServerBuilder builder_;
  int port_ = 0;
  std::shared_ptr<const ServerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Echo::Stub> gated_;
  std::unique_ptr<Echo::Stub> direct_;
};

template <class Service>
class UnwrappedServerTest : public ::testing::Test {};

using Services = ::testing::Types<testing::SyncEcho, testing::CallbackEcho>;
TYPED_TEST_SUITE(UnwrappedServerTest, Services, );

TYPED_TEST(UnwrappedServerTest, WarnsCountsOutcomesAndRefusesAtTheGate) {
  ASSERT_FALSE(HandlersCanBeWrapped());
  UnwrappedServer<TypeParam> server;
  server.Start();
  EXPECT_EQ(server.guard().uncovered(), 4u);
  EXPECT_EQ(warnings, 4);
  ASSERT_EQ(server.guard().methods().size(), 4u);

  int runs = 0;
  for (const CallKind kind : kAllCallKinds) {
    EXPECT_TRUE(CallEcho(server.gated(), kind, "hello").status.ok());
    EXPECT_EQ(CallEcho(server.gated(), kind, "status 13").status.error_code(),
              grpc::StatusCode::INTERNAL);
    const BreakerSnapshot snapshot = server.snapshot(kind);
    EXPECT_EQ(snapshot.lifetime.of(Outcome::kOk), 1u);
    EXPECT_EQ(snapshot.lifetime.of(Outcome::kSystemError), 1u);
    EXPECT_EQ(snapshot.in_flight, 0u);

    server.ForceOpen(kind);
    EXPECT_EQ(CallEcho(server.gated(), kind, "hello").status.error_code(),
              grpc::StatusCode::FAILED_PRECONDITION);
    runs += 2;
    EXPECT_EQ(server.service().script().runs(), runs);
    // Without the gate nothing keeps it, and nothing pretends to.
    EXPECT_TRUE(CallEcho(server.direct(), kind, "hello").status.ok());
    ++runs;
    EXPECT_EQ(server.service().script().runs(), runs);
  }
  EXPECT_EQ(server.guard().gated(), 4u);
  EXPECT_EQ(server.guard().unheeded(), 0u);
}

TEST(UnwrappedAsyncServerTest, RefusedWorksAsEver) {
  ServerOptions options;
  options.async_services = {"fusebox.testing.Echo"};
  UnwrappedServer<Echo::AsyncService> server(std::move(options));
  const auto queue = server.builder().AddCompletionQueue();
  server.Start();
  EXPECT_EQ(server.guard().uncovered(), 0u);
  server.ForceOpen(CallKind::kUnary);

  grpc::ServerContext context;
  testing::EchoRequest request;
  grpc::ServerAsyncResponseWriter<testing::EchoReply> writer(&context);
  server.service().RequestUnary(&context, &request, &writer, queue.get(),
                                queue.get(), &context);
  std::thread client([&server] {
    EXPECT_EQ(CallEcho(server.direct(), CallKind::kUnary, "hello")
                  .status.error_code(),
              grpc::StatusCode::UNAVAILABLE);
  });
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue->Next(&tag, &ok));
  ASSERT_TRUE(ok);
  EXPECT_TRUE(Refused(context));
  writer.FinishWithError(RefusedStatus(), &context);
  ASSERT_TRUE(queue->Next(&tag, &ok));
  client.join();
  server.server().Shutdown();
  queue->Shutdown();
  while (queue->Next(&tag, &ok)) {
  }
}

}  // namespace
}  // namespace fusebox

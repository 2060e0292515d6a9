// Checks that the settings of tsan_uninstrumented.cc hide gRPC's own accesses
// and nothing of ours.

#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bazel/tsan_test.grpc.pb.h"
#include "bazel/tsan_test.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "interceptor/handoff/handoff.h"

namespace fusebox {
namespace {

constexpr int kClients = 4;
constexpr int kCallsPerClient = 100;

enum class Racy { kNothing, kHandler, kInterceptors };

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

// Keeps something between the steps of a call, and counts the call at its end.
class CountingInterceptor final : public grpc::experimental::Interceptor {
 public:
  CountingInterceptor(Shared* shared, bool locked)
      : shared_(*shared), locked_(locked) {
    ReleaseToGrpc(this);
  }

  ~CountingInterceptor() override {
    AcquireFromGrpc(this);
    EXPECT_GT(steps_, 0);
    if (locked_) {
      shared_.AddWithLock();
    } else {
      shared_.AddWithoutLock();
    }
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    using grpc::experimental::InterceptionHookPoints;
    // This one runs beside the others.
    if (!batch->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_CLOSE)) {
      AcquireFromGrpc(this);
      ++steps_;
      ReleaseToGrpc(this);
    }
    batch->Proceed();
  }

 private:
  Shared& shared_;
  const bool locked_;
  int steps_ = 0;
};

class Factory final
    : public grpc::experimental::ClientInterceptorFactoryInterface,
      public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Factory(Shared* shared, bool locked) : shared_(*shared), locked_(locked) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* /*info*/) override {
    return new CountingInterceptor(&shared_, locked_);
  }
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* /*info*/) override {
    return new CountingInterceptor(&shared_, locked_);
  }

 private:
  Shared& shared_;
  const bool locked_;
};

// One call, answered on a thread of gRPC's.
void CallAndWait(tsan_test::Echo::Stub* stub) {
  grpc::ClientContext context;
  tsan_test::Ping request;
  request.set_text("a text too long for the small string optimisation");
  tsan_test::Ping response;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  // Held from here, so that the sanitizer knows what the callback comes after.
  std::unique_lock<std::mutex> lock(mutex);
  stub->async()->Send(&context, &request, &response,
                      [&](const grpc::Status& status) {
                        EXPECT_TRUE(status.ok()) << status.error_message();
                        const std::lock_guard<std::mutex> done_lock(mutex);
                        done = true;
                        changed.notify_one();
                      });
  changed.wait(lock, [&] { return done; });
  EXPECT_EQ(response.text(), request.text());
}

// How often a handler and the interceptors, on both sides, counted.
struct Counts {
  int handled = 0;
  int intercepted = 0;
};

// Calls a CountingEcho from several threads.
Counts CountCalls(Racy racy) {
  Shared handled;
  Shared intercepted;
  const bool lock_intercepted = racy != Racy::kInterceptors;
  CountingEcho service(&handled, /*locked=*/racy != Racy::kHandler);

  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      server_interceptors;
  server_interceptors.push_back(
      std::make_unique<Factory>(&intercepted, lock_intercepted));
  builder.experimental().SetInterceptorCreators(std::move(server_interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([port, &intercepted, lock_intercepted] {
      std::vector<std::unique_ptr<
          grpc::experimental::ClientInterceptorFactoryInterface>>
          interceptors;
      interceptors.push_back(
          std::make_unique<Factory>(&intercepted, lock_intercepted));
      auto stub = tsan_test::Echo::NewStub(
          grpc::experimental::CreateCustomChannelWithInterceptors(
              "127.0.0.1:" + std::to_string(port),
              grpc::InsecureChannelCredentials(), grpc::ChannelArguments(),
              std::move(interceptors)));
      for (int call = 0; call < kCallsPerClient; ++call) {
        CallAndWait(stub.get());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  server->Shutdown();
  server->Wait();
  server.reset();

  Counts counts;
  {
    std::lock_guard<std::mutex> lock(handled.mutex);
    counts.handled = handled.value;
  }
  std::lock_guard<std::mutex> lock(intercepted.mutex);
  counts.intercepted = intercepted.value;
  return counts;
}

[[noreturn]] void CountAndExit(Racy racy) {
  CountCalls(racy);
  std::exit(0);
}

TEST(TsanGrpcTest, ReportsARaceInAHandler) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(CountAndExit(Racy::kHandler), testing::ExitedWithCode(kRaceFound),
              "data race");
}

TEST(TsanGrpcTest, ReportsARaceInAnInterceptor) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(CountAndExit(Racy::kInterceptors),
              testing::ExitedWithCode(kRaceFound), "data race");
}

TEST(TsanGrpcTest, KeepsQuietAboutCorrectCalls) {
  const Counts counts = CountCalls(Racy::kNothing);
  EXPECT_EQ(counts.handled, kClients * kCallsPerClient);
  EXPECT_EQ(counts.intercepted, 2 * kClients * kCallsPerClient);
}

}  // namespace
}  // namespace fusebox

// A guarded call allocates what a call with empty interceptors does, and no
// more: gRPC's own object for each interceptor. So does one that is recorded.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/client_interceptor.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo_services.h"

namespace {

// Of all threads: handlers run on those of gRPC.
std::atomic<std::uint64_t> allocations{0};

void* Allocate(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}

void* Allocate(std::size_t bytes, std::align_val_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto multiple = static_cast<std::size_t>(alignment);
  const std::size_t rounded = (bytes + multiple - 1) / multiple * multiple;
  if (void* memory = std::aligned_alloc(multiple, rounded)) return memory;
  throw std::bad_alloc();
}

// Not inlined: where only one of the pair is, GCC takes free() for a mismatch.
[[gnu::noinline]] void Free(void* memory) noexcept { std::free(memory); }

}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes); }
void* operator new[](std::size_t bytes) { return Allocate(bytes); }
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete[](void* memory) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { Free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { Free(memory); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, alignment);
}
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  Free(memory);
}

namespace fusebox {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ServerInterceptorFactoryInterface;

class EmptyInterceptor final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    batch->Proceed();
  }
};
class EmptyClientFactory final : public ClientInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new EmptyInterceptor;
  }
};
class EmptyServerFactory final : public ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new EmptyInterceptor;
  }
};

// Allocations by operator new for one unary call, client and server together.
double PerCall(bool guarded, bool call_stats = false) {
  RegistryOptions options;
  options.call_stats = call_stats;
  options.log = [](const std::string&) {};
  BreakerRegistry registry(options);
  testing::CallbackEcho service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  if (guarded) {
    GuardServer(builder, &registry);
  } else {
    std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> empty;
    empty.push_back(std::make_unique<EmptyServerFactory>());
    builder.experimental().SetInterceptorCreators(std::move(empty));
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const std::string target = "127.0.0.1:" + std::to_string(port);
  std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> empty;
  empty.push_back(std::make_unique<EmptyClientFactory>());
  const std::shared_ptr<grpc::Channel> channel =
      guarded ? CreateGuardedChannel(target, grpc::InsecureChannelCredentials(),
                                     arguments, &registry)
              : grpc::experimental::CreateCustomChannelWithInterceptors(
                    target, grpc::InsecureChannelCredentials(), arguments,
                    std::move(empty));
  const auto stub = testing::Echo::NewStub(channel);
  const auto call = [&stub] {
    EXPECT_TRUE(testing::CallEcho(*stub, testing::CallKind::kUnary, "hello")
                    .status.ok());
  };

  // Threads, connections, breakers and most octaves of latencies come with the
  // first calls.
  for (int i = 0; i < 200; ++i) call();
  constexpr int kCalls = 1000;
  const std::uint64_t before = allocations.load();
  for (int i = 0; i < kCalls; ++i) call();
  const std::uint64_t after = allocations.load();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return static_cast<double>(after - before) / kCalls;
}

TEST(AllocationTest, AGuardAllocatesNoMoreThanAnEmptyInterceptor) {
  const double empty = PerCall(/*guarded=*/false);
  const double guarded = PerCall(/*guarded=*/true);
  const double recorded = PerCall(/*guarded=*/true, /*call_stats=*/true);
  std::cout << "operator new for one call: " << empty
            << " with empty interceptors, " << guarded << " with Fusebox, "
            << recorded << " with Fusebox and statistics\n";
  EXPECT_GE(empty, 2) << "the interceptors themselves are not counted";
  // gRPC's own threads and timers allocate now and then.
  EXPECT_LT(guarded, empty + 0.5);
  EXPECT_LT(recorded, empty + 0.5);
}

}  // namespace
}  // namespace fusebox

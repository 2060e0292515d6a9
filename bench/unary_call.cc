// What the interceptors add to whole calls over loopback.

#include <benchmark/benchmark.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/ratio_table.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo.grpc.pb.h"

namespace fusebox::bench {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ServerInterceptorFactoryInterface;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;

// The last one counts calls by code and latency.
enum class Guard { kNone, kEmpty, kFusebox, kRecording };

bool IsFusebox(Guard guard) {
  return guard == Guard::kFusebox || guard == Guard::kRecording;
}

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

class EchoService final : public Echo::CallbackService {
 public:
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context,
                                  const EchoRequest* request,
                                  EchoReply* reply) override {
    reply->set_text(request->text());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

// A server and a channel to it, both with the same guard.
class Loopback {
 public:
  explicit Loopback(Guard guard) : registry_(QuietOptions(guard)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    std::vector<std::unique_ptr<ServerInterceptorFactoryInterface>> server_side;
    if (guard == Guard::kEmpty) {
      server_side.push_back(std::make_unique<EmptyServerFactory>());
      builder.experimental().SetInterceptorCreators(std::move(server_side));
    }
    if (IsFusebox(guard)) GuardServer(builder, &registry_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      std::fprintf(stderr, "cannot listen on 127.0.0.1\n");
      std::exit(1);
    }

    const std::string target = "127.0.0.1:" + std::to_string(port);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    std::vector<std::unique_ptr<ClientInterceptorFactoryInterface>> client_side;
    if (guard == Guard::kEmpty) {
      client_side.push_back(std::make_unique<EmptyClientFactory>());
    }
    channel_ =
        IsFusebox(guard)
            ? CreateGuardedChannel(target, grpc::InsecureChannelCredentials(),
                                   arguments, &registry_)
            : grpc::experimental::CreateCustomChannelWithInterceptors(
                  target, grpc::InsecureChannelCredentials(), arguments,
                  std::move(client_side));
    stub_ = Echo::NewStub(channel_);
    if (!Call().ok()) {
      std::fprintf(stderr, "the first call failed\n");
      std::exit(1);
    }
    if (IsFusebox(guard)) target_ = target;
  }

  ~Loopback() {
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::seconds(1));
  }

  grpc::Status Call() {
    grpc::ClientContext context;
    EchoRequest request;
    request.set_text("hello");
    EchoReply reply;
    return stub_->Unary(&context, request, &reply);
  }

  // Refuses every call from now on, on the client.
  void Close() {
    registry_.Force(Role::kClient, target_, "/fusebox.testing.Echo/Unary",
                    Override::kForcedOpen, TimePoint::max());
  }

 private:
  static RegistryOptions QuietOptions(Guard guard) {
    RegistryOptions options;
    options.call_stats = guard == Guard::kRecording;
    options.log = [](const std::string&) {};
    return options;
  }

  BreakerRegistry registry_;
  EchoService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Echo::Stub> stub_;
  std::string target_;
};

template <Guard guard>
void Unary(benchmark::State& state) {
  Loopback loopback(guard);
  for (auto _ : state) {
    if (!loopback.Call().ok()) {
      state.SkipWithError("a call failed");
      break;
    }
  }
}

void Refused(benchmark::State& state) {
  Loopback loopback(Guard::kFusebox);
  loopback.Close();
  for (auto _ : state) {
    if (loopback.Call().error_code() != grpc::StatusCode::UNAVAILABLE) {
      state.SkipWithError("a call was not refused");
      break;
    }
  }
}

BENCHMARK(Unary<Guard::kNone>)->Name("NoInterceptor")->MeasureProcessCPUTime();
BENCHMARK(Unary<Guard::kEmpty>)->Name("Empty")->MeasureProcessCPUTime();
BENCHMARK(Unary<Guard::kFusebox>)->Name("Fusebox")->MeasureProcessCPUTime();
BENCHMARK(Unary<Guard::kRecording>)->Name("Recording")->MeasureProcessCPUTime();
BENCHMARK(Unary<Guard::kNone>)->Name("Completed")->UseRealTime();
BENCHMARK(Refused)->UseRealTime();

// For instruction counts (bench/instructions): `count` calls and nothing else.
int MakeCalls(const std::string& which, long count) {
  const Guard guard = which == "none"        ? Guard::kNone
                      : which == "empty"     ? Guard::kEmpty
                      : which == "recording" ? Guard::kRecording
                                             : Guard::kFusebox;
  Loopback loopback(guard);
  for (long i = 0; i < count; ++i) {
    if (!loopback.Call().ok()) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace fusebox::bench

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--calls") {
    return fusebox::bench::MakeCalls(argv[2], std::atol(argv[3]));
  }
  const std::string cpu = "/process_time";
  return fusebox::bench::RunAndPrint(
      argc, argv,
      "Unary calls, client and server in one process over 127.0.0.1; CPU time "
      "of the process per call, wall time for the last two.",
      {
          {"no interceptor", "NoInterceptor" + cpu, "NoInterceptor" + cpu},
          {"an empty interceptor on both sides", "Empty" + cpu,
           "NoInterceptor" + cpu},
          {"Fusebox on both sides", "Fusebox" + cpu, "NoInterceptor" + cpu},
          {"the same over empty interceptors", "Fusebox" + cpu, "Empty" + cpu},
          {"Fusebox with statistics of calls", "Recording" + cpu,
           "NoInterceptor" + cpu},
          {"the same over Fusebox without", "Recording" + cpu, "Fusebox" + cpu},
          {"wall: a completed call", "Completed", "Completed"},
          {"wall: a call refused on the client", "Refused", "Completed", 0.1},
      });
}

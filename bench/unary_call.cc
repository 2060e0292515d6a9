// What the interceptors add to whole calls over loopback.

#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_interceptor.h>
#include <grpcpp/support/server_interceptor.h>
#include <netinet/in.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "bench/ratio_table.h"
#include "interceptor/client_interceptor.h"
#include "interceptor/export/dogstatsd.h"
#include "interceptor/export/file_dump.h"
#include "interceptor/export/graphite.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/export/pushgateway.h"
#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo.grpc.pb.h"

namespace fusebox::bench {
namespace {

using grpc::experimental::ClientInterceptorFactoryInterface;
using grpc::experimental::ServerInterceptorFactoryInterface;
using testing::Echo;
using testing::EchoReply;
using testing::EchoRequest;

// kRecording counts calls by code and latency; kExporting also has every
// exporter at work.
enum class Guard { kNone, kEmpty, kFusebox, kRecording, kExporting };

bool IsFusebox(Guard guard) {
  return guard != Guard::kNone && guard != Guard::kEmpty;
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

// A socket on 127.0.0.1 from which nothing is ever read.
class BlackHole {
 public:
  explicit BlackHole(int type) : fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    if (fd_ < 0 || bind(fd_, raw, size) != 0 ||
        (type == SOCK_STREAM && listen(fd_, 16) != 0) ||
        getsockname(fd_, raw, &size) != 0) {
      Die("no socket to be had");
    }
    port_ = ntohs(address.sin_port);
  }
  ~BlackHole() { close(fd_); }
  BlackHole(const BlackHole&) = delete;
  BlackHole& operator=(const BlackHole&) = delete;

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_;
  int port_ = 0;
};

// Every exporter, as busy as it may be set to, and nobody who listens.
class Exporters {
 public:
  explicit Exporters(BreakerRegistry* registry)
      : metrics_(std::make_shared<PrometheusMetrics>(registry)),
        pushgateway_(PushgatewaySettings(), [this] { return Text(); }),
        graphite_(GraphiteSettings(), BreakersForGraphite(registry)),
        dogstatsd_(DogStatsdSettings(), registry),
        dump_(DumpSettings(), [this] { return Text(); }) {
    for (const absl::Status& status : {pushgateway_.Start(), graphite_.Start(),
                                       dogstatsd_.Start(), dump_.Start()}) {
      if (!status.ok()) Die(status.ToString());
    }
  }
  ~Exporters() {
    dump_.Stop();
    std::filesystem::remove(DumpFile());
  }
  Exporters(const Exporters&) = delete;
  Exporters& operator=(const Exporters&) = delete;

 private:
  std::string Text() const {
    return prometheus::TextSerializer().Serialize(metrics_->Collect());
  }
  PushgatewayOptions PushgatewaySettings() const {
    PushgatewayOptions options;
    options.host = "127.0.0.1";
    options.port = stream_.port();
    options.job = "bench";
    options.period = std::chrono::milliseconds(100);
    options.timeout = std::chrono::milliseconds(100);
    options.stop_timeout = std::chrono::milliseconds(1);
    return options;
  }
  GraphiteOptions GraphiteSettings() const {
    GraphiteOptions options;
    options.address = stream_.address();
    options.rules.Allow("*");
    options.period = std::chrono::seconds(1);
    options.stop_timeout = std::chrono::milliseconds(1);
    return options;
  }
  DogStatsdOptions DogStatsdSettings() const {
    DogStatsdOptions options;
    options.address = datagrams_.address();
    options.period = std::chrono::seconds(1);
    return options;
  }
  static FileDumpOptions DumpSettings() {
    FileDumpOptions options;
    options.path = DumpFile();
    options.period = std::chrono::milliseconds(100);
    return options;
  }

  static std::string DumpFile() {
    return std::filesystem::temp_directory_path() /
           ("fusebox_bench_" + std::to_string(getpid()) + ".json");
  }

  const BlackHole stream_{SOCK_STREAM};
  const BlackHole datagrams_{SOCK_DGRAM};
  const std::shared_ptr<PrometheusMetrics> metrics_;
  Pushgateway pushgateway_;
  GraphiteExporter graphite_;
  DogStatsdExporter dogstatsd_;
  FileDump dump_;
};

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
    if (server_ == nullptr) Die("cannot listen on 127.0.0.1");

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
    if (!Call().ok()) Die("the first call failed");
    if (guard == Guard::kExporting) exporters_.emplace(&registry_);
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
    options.call_stats =
        guard == Guard::kRecording || guard == Guard::kExporting;
    options.log = [](const std::string&) {};
    return options;
  }

  BreakerRegistry registry_;
  std::optional<Exporters> exporters_;
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
BENCHMARK(Unary<Guard::kExporting>)->Name("Exporting")->MeasureProcessCPUTime();
BENCHMARK(Unary<Guard::kRecording>)->Name("Unexported")->UseRealTime();
BENCHMARK(Unary<Guard::kExporting>)->Name("Exported")->UseRealTime();
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
      "of the process per call, wall time where it says so.",
      {
          {"no interceptor", "NoInterceptor" + cpu, "NoInterceptor" + cpu},
          {"an empty interceptor on both sides", "Empty" + cpu,
           "NoInterceptor" + cpu},
          {"Fusebox on both sides", "Fusebox" + cpu, "NoInterceptor" + cpu},
          {"the same over empty interceptors", "Fusebox" + cpu, "Empty" + cpu},
          {"Fusebox with statistics of calls", "Recording" + cpu,
           "NoInterceptor" + cpu},
          {"the same over Fusebox without", "Recording" + cpu, "Fusebox" + cpu},
          {"with every exporter at a black hole, over that", "Exporting" + cpu,
           "Recording" + cpu},
          {"wall: the same", "Exported", "Unexported", 1.05},
          {"wall: a completed call", "Completed", "Completed"},
          {"wall: a call refused on the client", "Refused", "Completed", 0.1},
      },
      // Exporters have seconds between two rounds.
      {7, 0.5});
}

// What one hostile client costs a server: processor time for each of its calls
// and memory for each of its streams, without interceptors, with an empty one,
// and with Fusebox. The servers are processes of their own, and all that is
// measured is theirs.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "interceptor/server_interceptor.h"
#include "interceptor/testing/echo.grpc.pb.h"
#include "interceptor/testing/echo_services.h"
#include "interceptor/testing/flood.h"

namespace fusebox::bench {
namespace {

using testing::Flood;
using testing::HostileCall;

constexpr int kBatch = 50;
constexpr int kBatches = 10;  // of one round; after them, a new connection
constexpr int kRounds = 45;
constexpr int kStreams = 100'000;
constexpr std::size_t kMetadataBytes = 1024;
constexpr char kUnary[] = "/fusebox.testing.Echo/Unary";
constexpr char kBidi[] = "/fusebox.testing.Echo/Bidi";
// The breaker of this one is forced open.
constexpr char kRefused[] = "/fusebox.testing.Echo/ServerStream";

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "abuse: %s\n", what);
  std::exit(1);
}

// ---------------------------------------------------------------------------
// The server

enum class Guard { kNone, kEmpty, kFusebox };
constexpr std::array<const char*, 3> kGuardNames = {"none", "empty", "fusebox"};

class EmptyInterceptor final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    batch->Proceed();
  }
};
class EmptyFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new EmptyInterceptor;
  }
};

// Serves until it is killed; says where, on standard output.
int Serve(Guard guard) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  RegistryOptions options;
  options.log = [](const std::string&) {};
  BreakerRegistry registry(options);
  testing::CallbackEcho service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  if (guard == Guard::kFusebox) GuardServer(builder, &registry);
  if (guard == Guard::kEmpty) {
    std::vector<
        std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        creators;
    creators.push_back(std::make_unique<EmptyFactory>());
    builder.experimental().SetInterceptorCreators(std::move(creators));
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) Die("cannot listen on 127.0.0.1");
  registry.Force(Role::kServer, "", kRefused, Override::kForcedOpen,
                 TimePoint::max());
  std::printf("%d %d\n", port, static_cast<int>(getpid()));
  std::fflush(stdout);
  server->Wait();
  return 0;
}

class ServerProcess {
 public:
  explicit ServerProcess(Guard guard) {
    std::array<char, 4096> path = {};
    if (readlink("/proc/self/exe", path.data(), path.size() - 1) < 0) {
      Die("no /proc");
    }
    const std::string command = "exec '" + std::string(path.data()) +
                                "' --serve " +
                                kGuardNames[static_cast<std::size_t>(guard)];
    output_ = popen(command.c_str(), "r");
    int port = 0;
    if (output_ == nullptr ||
        std::fscanf(output_, "%d %d", &port, &pid_) != 2) {
      Die("the server did not start");
    }
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~ServerProcess() {
    kill(pid_, SIGKILL);
    pclose(output_);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }

  // Nanoseconds of processor time so far.
  std::int64_t CpuTime() const {
    clockid_t clock;
    timespec time;
    if (clock_getcpuclockid(pid_, &clock) != 0 ||
        clock_gettime(clock, &time) != 0) {
      Die("the server is gone");
    }
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }

  // Waits until it has done what is left to do.
  void AwaitRest() const {
    std::int64_t before = 0;
    std::int64_t now = CpuTime();
    do {
      before = now;
      usleep(200'000);
      now = CpuTime();
    } while (now - before > 1'000'000);
  }

  std::int64_t ResidentBytes() const {
    const std::string name = "/proc/" + std::to_string(pid_) + "/statm";
    std::int64_t total = 0;
    std::int64_t resident = 0;
    if (std::FILE* statm = std::fopen(name.c_str(), "r")) {
      if (std::fscanf(statm, "%ld %ld", &total, &resident) != 2) resident = 0;
      std::fclose(statm);
    }
    return resident * sysconf(_SC_PAGESIZE);
  }

 private:
  std::FILE* output_ = nullptr;
  int pid_ = 0;
  std::string address_;
};

// Calls of well-behaved clients that failed, of a hundred.
int FailedOfOthers(const ServerProcess& server) {
  const auto stub =
      testing::Echo::NewStub(testing::OwnConnection(server.address()));
  int failed = 0;
  for (int i = 0; i < 100; ++i) {
    if (!CallEcho(*stub, testing::CallKind::kUnary, "hello").status.ok()) {
      ++failed;
    }
  }
  return failed;
}

// ---------------------------------------------------------------------------
// Calls

struct Attack {
  const char* name;
  // Of Fusebox to an empty interceptor. A busy machine takes the figures 15 %
  // apart.
  double limit;
  std::function<HostileCall(std::mt19937_64& random)> call;
};

std::string Hello() {
  testing::EchoRequest request;
  request.set_text("hello");
  return request.SerializeAsString();
}

const std::vector<Attack>& Attacks() {
  static const auto* const attacks = new std::vector<Attack>{
      {"well-formed calls, for comparison", 1.25,
       [](std::mt19937_64&) {
         return HostileCall{kUnary, Hello()};
       }},
      {"garbage instead of requests", 1.25,
       [](std::mt19937_64& random) {
         return HostileCall{kUnary, "\x0a\x7f" + std::to_string(random())};
       }},
      {"deadlines of 1 ms", 1.25,
       [](std::mt19937_64&) {
         return HostileCall{kUnary, Hello(), "1m"};
       }},
      {"deadlines of 1 ns", 1.25,
       [](std::mt19937_64&) {
         return HostileCall{kUnary, Hello(), "1n"};
       }},
      {"cancelled at once", 1.25,
       [](std::mt19937_64&) {
         return HostileCall{kUnary, Hello(), "", /*cancel=*/true};
       }},
      {"random method names", 1.25,
       [](std::mt19937_64& random) {
         return HostileCall{"/fusebox.testing.Echo/" +
                            std::to_string(random())};
       }},
      {"calls to an open method", 2.5,
       [](std::mt19937_64&) {
         return HostileCall{kRefused, Hello()};
       }},
  };
  return *attacks;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// One attack against three servers in turn.
bool Measure(const Attack& attack) {
  std::mt19937_64 random(20'260'101);
  std::array<std::optional<ServerProcess>, 3> servers;
  std::array<std::vector<double>, 3> micros;
  std::array<std::int64_t, 3> resident = {};
  for (std::size_t i = 0; i < servers.size(); ++i) {
    servers[i].emplace(static_cast<Guard>(i));
  }
  // The first round warms up.
  for (int round = 0; round <= kRounds; ++round) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const auto channel = testing::OwnConnection(servers[i]->address());
      channel->WaitForConnected(std::chrono::system_clock::now() +
                                std::chrono::seconds(10));
      const std::int64_t start = servers[i]->CpuTime();
      for (int batch = 0; batch < kBatches; ++batch) {
        std::vector<HostileCall> calls;
        calls.reserve(kBatch);
        for (int n = 0; n < kBatch; ++n) calls.push_back(attack.call(random));
        Flood(channel, calls);
      }
      if (round == 0) {
        resident[i] = servers[i]->ResidentBytes();
      } else {
        micros[i].push_back(static_cast<double>(servers[i]->CpuTime() - start) /
                            1000 / (kBatch * kBatches));
      }
    }
  }
  const double none = Median(micros[0]);
  // Of one round each: what disturbs a round disturbs all three.
  std::vector<double> to_empty;
  for (int round = 0; round < kRounds; ++round) {
    const auto r = static_cast<std::size_t>(round);
    to_empty.push_back(micros[2][r] / micros[1][r]);
  }
  const double ratio = Median(to_empty);
  std::printf("| %s | %.1f | %.2f | %.2f |", attack.name, none,
              Median(micros[1]) / none, ratio);
  for (std::size_t i = 0; i < servers.size(); ++i) {
    std::printf(" %+ld |", (servers[i]->ResidentBytes() - resident[i]) / 1024);
  }
  const int failed = FailedOfOthers(*servers[2]);
  std::printf(" %d |%s\n", failed, ratio > attack.limit ? " MISSED" : "");
  std::fflush(stdout);
  return failed == 0 && ratio <= attack.limit;
}

// ---------------------------------------------------------------------------
// Streams

// As many as fit into the machine, at 64 KiB for both ends of one.
int AsManyAsFit(int count) {
  const std::int64_t room =
      std::int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGESIZE) / 65536;
  return static_cast<int>(std::min<std::int64_t>(count, room));
}

bool MeasureStreams(int count) {
  std::printf(
      "\n%d streams at once, each with %zu bytes of metadata of its own:\n\n"
      "| interceptor | server's bytes per stream | CPU us per stream | "
      "others failed |\n|---|---|---|---|\n",
      count, kMetadataBytes);
  bool fine = true;
  for (std::size_t i = 0; i < kGuardNames.size(); ++i) {
    const ServerProcess server(static_cast<Guard>(i));
    const int failed_before = FailedOfOthers(server);
    const std::int64_t before = server.ResidentBytes();
    const std::int64_t cpu = server.CpuTime();
    int failed = failed_before;
    std::int64_t full = 0;
    {
      const testing::IdleStreams streams(
          testing::OwnConnection(server.address()), kBidi, count,
          kMetadataBytes);
      failed += FailedOfOthers(server);
      server.AwaitRest();
      full = server.ResidentBytes();
    }
    failed += FailedOfOthers(server);
    server.AwaitRest();
    std::printf(
        "| %s | %ld | %.1f | %d |\n", kGuardNames[i], (full - before) / count,
        static_cast<double>(server.CpuTime() - cpu) / 1000 / count, failed);
    std::fflush(stdout);
    if (failed != 0) fine = false;
  }
  return fine;
}

int Run() {
  std::printf(
      "One hostile client. CPU time of the server for each call, resident "
      "memory of the servers\nafter the %d rounds that follow the first, and "
      "failures of a hundred calls by others.\n\n"
      "| %d calls | us, no interceptor | empty to none | Fusebox to empty | "
      "KiB more: none | empty | Fusebox | others failed |\n"
      "|---|---|---|---|---|---|---|---|\n",
      kRounds, kRounds * kBatch * kBatches);
  bool fine = true;
  for (const Attack& attack : Attacks()) {
    if (!Measure(attack)) fine = false;
  }
  if (!MeasureStreams(AsManyAsFit(kStreams))) fine = false;
  return fine ? 0 : 1;
}

}  // namespace
}  // namespace fusebox::bench

int main(int argc, char** argv) {
  using fusebox::bench::Guard;
  if (argc == 3 && std::strcmp(argv[1], "--serve") == 0) {
    for (std::size_t i = 0; i < fusebox::bench::kGuardNames.size(); ++i) {
      if (std::strcmp(argv[2], fusebox::bench::kGuardNames[i]) == 0) {
        return fusebox::bench::Serve(static_cast<Guard>(i));
      }
    }
    return 2;
  }
  if (argc != 1) {
    std::fprintf(stderr, "abuse: no arguments, please\n");
    return 2;
  }
  return fusebox::bench::Run();
}

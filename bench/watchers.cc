// 10,000 health watches of 100 names: what they take, how long it takes until
// all have heard of a change, and what a storm of changes comes to.
//
// Server and clients are two processes, so that the memory is the server's
// alone. Each of 100 connections over loopback carries one watch of each name.

#include <grpcpp/grpcpp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "bench/resident_bytes.h"
#include "interceptor/health/health_service.h"
#include "proto/grpc/health/v1/health.grpc.pb.h"

namespace fusebox::bench {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using std::chrono::steady_clock;

constexpr int kNames = 100;
constexpr int kConnections = 100;
constexpr int kWatches = kNames * kConnections;
constexpr int kChanges = 5;
constexpr int kStorm = 201;
constexpr auto kPatience = std::chrono::seconds(60);

std::string Name(int i) {
  return "package.v1.SomeService/Method" + std::to_string(i);
}

// In memory that both processes share.
struct Shared {
  std::atomic<int> port{0};
  std::atomic<long> messages{0};
  // Watches by the last status they got.
  std::atomic<int> serving{0};
  std::atomic<int> not_serving{0};
};

class Watch final : public grpc::ClientReadReactor<HealthCheckResponse> {
 public:
  Watch(Health::Stub& stub, const std::string& name, Shared& shared)
      : shared_(shared) {
    request_.set_service(name);
    stub.async()->Watch(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (current_ != nullptr) --*current_;
    current_ = response_.status() == HealthCheckResponse::SERVING
                   ? &shared_.serving
                   : &shared_.not_serving;
    ++*current_;
    ++shared_.messages;
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& /*status*/) override {}

 private:
  Shared& shared_;
  grpc::ClientContext context_;
  HealthCheckRequest request_;
  HealthCheckResponse response_;
  std::atomic<int>* current_ = nullptr;
};

// Watches until it is killed.
[[noreturn]] void RunClients(Shared& shared, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  while (shared.port == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::string address = "127.0.0.1:" + std::to_string(shared.port);
  std::vector<std::unique_ptr<Health::Stub>> stubs;
  std::deque<Watch> watches;
  for (int i = 0; i < kConnections; ++i) {
    grpc::ChannelArguments arguments;
    // A connection of its own.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs.push_back(Health::NewStub(grpc::CreateCustomChannel(
        address, grpc::InsecureChannelCredentials(), arguments)));
    for (int name = 0; name < kNames; ++name) {
      watches.emplace_back(*stubs.back(), Name(name), shared);
    }
  }
  for (;;) pause();
}

// Whether it came to `count` in time.
bool Await(const std::atomic<int>& number, int count) {
  const auto end = steady_clock::now() + kPatience;
  while (number != count) {
    if (steady_clock::now() > end) {
      std::printf("MISSED: %d of %d watches know the latest status\n",
                  number.load(), count);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

double MillisecondsSince(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin)
      .count();
}

bool Measure(Shared& shared) {
  const auto health = std::make_shared<HealthService>();
  for (int i = 0; i < kNames; ++i) health->SetServing(Name(i), true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  ServeHealth(builder, health);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return false;

  const long before = ResidentBytes();
  shared.port = port;
  if (!Await(shared.serving, kWatches)) return false;
  const long grown = ResidentBytes() - before;
  std::printf(
      "%d watches of %d names on %d connections: %.1f MiB in the server, %.1f "
      "KiB each.\n\n",
      kWatches, kNames, kConnections, static_cast<double>(grown) / (1 << 20),
      static_cast<double>(grown) / 1024 / kWatches);

  std::printf(
      "| change | watches | median ms until all know | worst |\n"
      "|---|---|---|---|\n");
  const auto time = [&](const char* what, int watches,
                        const std::function<void(bool)>& set) {
    std::vector<double> times;
    for (int i = 0; i < kChanges; ++i) {
      for (const bool serving : {false, true}) {
        const auto begin = steady_clock::now();
        set(serving);
        if (!(serving ? Await(shared.serving, kWatches)
                      : Await(shared.not_serving, watches))) {
          return false;
        }
        times.push_back(MillisecondsSince(begin));
      }
    }
    std::sort(times.begin(), times.end());
    std::printf("| %s | %d | %.1f | %.1f |\n", what, watches,
                times[times.size() / 2], times.back());
    return true;
  };
  if (!time("one name", kConnections,
            [&](bool serving) { health->SetServing(Name(0), serving); }) ||
      !time("all names", kWatches,
            [&](bool serving) { health->SetAllServing(serving); })) {
    return false;
  }

  const long messages = shared.messages;
  const auto begin = steady_clock::now();
  for (int i = 0; i < kStorm; ++i) health->SetAllServing(i % 2 != 0);
  const double storm = MillisecondsSince(begin);
  if (!Await(shared.not_serving, kWatches)) return false;
  const double all = MillisecondsSince(begin);
  const long sent = shared.messages - messages;
  const long changes = static_cast<long>(kStorm) * kWatches;
  std::printf(
      "\nA storm of %d changes of all names in %.0f ms: %ld messages for %ld "
      "changes seen by watches (%.2f %%); all knew the last after %.0f ms.\n",
      kStorm, storm, sent, changes,
      100 * static_cast<double>(sent) / static_cast<double>(changes), all);

  health->Drain();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return true;
}

int Run() {
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto* const shared = new (memory) Shared;
  // Before gRPC has any thread.
  const pid_t parent = getpid();
  const pid_t clients = fork();
  if (clients < 0) return 1;
  if (clients == 0) RunClients(*shared, parent);
  const bool ok = Measure(*shared);
  kill(clients, SIGKILL);
  waitpid(clients, nullptr, 0);
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace fusebox::bench

int main() { return fusebox::bench::Run(); }

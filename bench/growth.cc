// How the cost of the breaker grows: with threads, methods and buckets.
//
// Prints a table, from which bench/plot makes a picture.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/ratio_table.h"
#include "interceptor/breaker/breaker_registry.h"

namespace fusebox::bench {
namespace {

void Now(benchmark::State& state) {
  for (auto _ : state) {
    auto now = std::chrono::steady_clock::now();
    benchmark::DoNotOptimize(now);
  }
}

void Call(CircuitBreaker& breaker, Outcome outcome) {
  Permit permit = breaker.AdmitIfClosed();
  if (!permit) permit = breaker.Admit(CoarseNow()).permit;
  permit.Finish(outcome, CoarseNow());
}

// Asks every threshold at each failure and never opens.
Settings NeverQuite(int buckets) {
  Settings settings;
  settings.buckets = buckets;
  settings.timeout_threshold = 1.0;
  settings.system_error_threshold = 1.0;
  settings.unknown_error_threshold = 1.0;
  settings.failure_threshold = 1.0;
  return settings;
}

std::unique_ptr<CircuitBreaker> shared;

void Threads(benchmark::State& state) {
  if (state.thread_index() == 0) {
    shared = std::make_unique<CircuitBreaker>(Settings(), CoarseNow());
  }
  for (auto _ : state) Call(*shared, Outcome::kOk);
}

void Methods(benchmark::State& state) {
  RegistryOptions options;
  options.max_breakers = static_cast<int>(state.range(0));
  options.start_dispatcher = false;
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "dns:///orders:443");
  std::vector<std::string> names;
  for (int i = 0; i < options.max_breakers; ++i) {
    names.push_back("/package.v1.SomeService/Method" + std::to_string(i));
    scope->Find(names.back().c_str());
  }
  std::size_t next = 0;
  for (auto _ : state) {
    Call(scope->Find(names[next].c_str()), Outcome::kOk);
    if (++next == names.size()) next = 0;
  }
}

template <Outcome outcome>
void Buckets(benchmark::State& state) {
  CircuitBreaker breaker(NeverQuite(static_cast<int>(state.range(0))),
                         CoarseNow());
  Call(breaker, Outcome::kOk);
  for (auto _ : state) Call(breaker, outcome);
}

void SnapshotOf(benchmark::State& state) {
  CircuitBreaker breaker(NeverQuite(static_cast<int>(state.range(0))),
                         CoarseNow());
  Call(breaker, Outcome::kOk);
  for (auto _ : state) {
    BreakerSnapshot snapshot = breaker.Snapshot(CoarseNow());
    benchmark::DoNotOptimize(snapshot);
  }
}

BENCHMARK(Now);
BENCHMARK(Threads)->Threads(1)->Threads(2)->Threads(4)->Threads(8)->Threads(16);
BENCHMARK(Methods)->RangeMultiplier(10)->Range(1, 10000);
BENCHMARK(Buckets<Outcome::kOk>)->Name("Good")->Arg(10)->Arg(100)->Arg(1000);
BENCHMARK(Buckets<Outcome::kTimeout>)
    ->Name("Judged")
    ->Arg(10)
    ->Arg(100)
    ->Arg(1000);
BENCHMARK(SnapshotOf)->Name("Snapshot")->Arg(10)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace fusebox::bench

int main(int argc, char** argv) {
  // The main thread has a shard of its own.
  fusebox::ThreadSlot();
  std::vector<fusebox::bench::Row> rows;
  const auto add = [&rows](const std::string& series, const std::string& name,
                           int x) {
    rows.push_back({series + ", " + std::to_string(x), name, "Now"});
  };
  for (int n : {1, 2, 4, 8, 16}) {
    add("admit + record on one method, by threads",
        "Threads/threads:" + std::to_string(n), n);
  }
  for (int n : {1, 10, 100, 1000, 10000}) {
    add("look-up + admit + record, by methods", "Methods/" + std::to_string(n),
        n);
  }
  for (int n : {10, 100, 1000}) {
    add("admit + record ok, by buckets", "Good/" + std::to_string(n), n);
  }
  for (int n : {10, 100, 1000}) {
    add("admit + record a failure, by buckets", "Judged/" + std::to_string(n),
        n);
  }
  for (int n : {10, 100, 1000}) {
    add("snapshot, by buckets", "Snapshot/" + std::to_string(n), n);
  }
  return fusebox::bench::RunAndPrint(
      argc, argv,
      "How the cost grows. Now = one std::chrono::steady_clock::now(); CPU "
      "time of one thread per iteration.",
      rows);
}

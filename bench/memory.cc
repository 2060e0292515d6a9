// What breakers take: by the formula, and as seen by the operating system.

#include <cstdio>
#include <string>
#include <vector>

#include "bench/resident_bytes.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox::bench {
namespace {

std::size_t RoundUp(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// The formula of the README.
std::size_t Stated(int shards, int buckets) {
  const auto s = static_cast<std::size_t>(shards);
  const auto b = static_cast<std::size_t>(buckets);
  return 448 + s * RoundUp(96 + 16 * b) + RoundUp(56 * b);
}

int Run() {
  int wrong = 0;
  std::printf(
      "Bytes of one breaker, two shards per core, at most 64.\n\n"
      "| cores | 10 buckets | 100 buckets | 1,000 buckets |\n"
      "|---|---|---|---|\n");
  for (int cores : {1, 2, 4, 8, 16, 32, 64}) {
    std::printf("| %d |", cores);
    for (int buckets : {10, 100, 1000}) {
      const int shards = cores < 32 ? 2 * cores : 64;
      Settings settings;
      settings.buckets = buckets;
      CircuitBreaker::Options options;
      options.shards = shards;
      const std::size_t bytes =
          CircuitBreaker(settings, FineNow(), options).memory_bytes();
      if (bytes != Stated(shards, buckets)) ++wrong;
      std::printf(" %zu |", bytes);
    }
    std::printf("\n");
  }

  std::printf(
      "\nBytes of the statistics of one method's calls.\n\n"
      "| cores | none yet | one thread, OK, 1 to 32 ms | at most |\n"
      "|---|---|---|---|\n");
  for (int cores : {1, 2, 4, 8, 16, 32, 64}) {
    const int shards = cores < 32 ? 2 * cores : 64;
    LatencyRecorder recorder(shards);
    const std::size_t at_rest = recorder.memory_bytes();
    for (int ms = 1; ms <= 32; ++ms) {
      recorder.Record(0, std::chrono::milliseconds(ms));
    }
    std::printf("| %d | %zu | %zu | %zu |\n", cores, at_rest,
                recorder.memory_bytes(), LatencyRecorder::MaxBytes(shards));
    if (recorder.memory_bytes() - at_rest != std::size_t{7} * 512) ++wrong;
  }

  constexpr int kMethods = 10000;
  RegistryOptions options;
  options.max_breakers = kMethods;
  options.shards = 4;
  options.start_dispatcher = false;
  std::vector<std::string> names;
  for (int i = 0; i < kMethods; ++i) {
    names.push_back("/package.v1.SomeService/Method" + std::to_string(i));
  }
  const long before = ResidentBytes();
  BreakerRegistry registry(options);
  auto scope = registry.Scope(Role::kClient, "dns:///orders:443");
  for (const std::string& name : names) {
    scope->Find(name.c_str()).AdmitIfClosed().Finish(Outcome::kOk, CoarseNow());
  }
  const long grown = ResidentBytes() - before;
  std::printf(
      "\n%d methods with 4 shards and 10 buckets: %.1f MiB resident, %ld bytes "
      "each with name, entry and look-up tables.\n",
      kMethods, static_cast<double>(grown) / (1 << 20), grown / kMethods);

  const std::size_t two_cores = Stated(4, 10);
  if (two_cores > 2048) {
    std::printf(
        "MISSED: %zu bytes with 2 cores and 10 buckets, must be <= "
        "2048\n",
        two_cores);
    ++wrong;
  }
  if (wrong != 0) std::printf("%d figure(s) off\n", wrong);
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace fusebox::bench

int main() { return fusebox::bench::Run(); }

// What a scrape costs: made from the registry, written, and in bytes.

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/export/prometheus_metrics.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox::bench {
namespace {

constexpr int kMethods = 1000;
constexpr int kRuns = 21;

double MillisecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::array<double, kRuns> values) {
  std::sort(values.begin(), values.end());
  return values[kRuns / 2];
}

void MeasureScrape(bool call_stats) {
  RegistryOptions options;
  options.shards = 4;
  options.start_dispatcher = false;
  options.call_stats = call_stats;
  BreakerRegistry registry(options);
  for (int i = 0; i < kMethods; ++i) {
    const GuardedMethod method = registry.PinMethod(
        Role::kClient, "dns:///orders:443",
        "/package.v1.SomeService/Method" + std::to_string(i));
    for (int call = 0; call < 100; ++call) {
      method.breaker->AdmitIfClosed().Finish(Outcome::kOk, CoarseNow());
      if (call_stats) {
        method.calls->Record(0, std::chrono::microseconds(100 * call));
      }
    }
  }
  const PrometheusMetrics metrics(&registry);
  const prometheus::TextSerializer serializer;
  std::array<double, kRuns> collecting;
  std::array<double, kRuns> writing;
  std::string page;
  for (std::size_t run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<prometheus::MetricFamily> families = metrics.Collect();
    collecting[run] = MillisecondsSince(start);
    const auto collected = std::chrono::steady_clock::now();
    page = serializer.Serializer::Serialize(families);
    writing[run] = MillisecondsSince(collected);
  }
  std::printf(
      "| %d | %s | %.1f | %.1f | %zu | %.1f |\n", kMethods,
      call_stats ? "on" : "off", Median(collecting), Median(writing),
      static_cast<std::size_t>(std::count(page.begin(), page.end(), '\n')) /
          kMethods,
      static_cast<double>(page.size()) / (1 << 20));
}

}  // namespace
}  // namespace fusebox::bench

int main() {
  std::printf(
      "A scrape of /metrics, median of %d.\n\n"
      "| methods | call_stats | collected, ms | written, ms | lines per method "
      "| page, MiB |\n"
      "|---|---|---|---|---|---|\n",
      fusebox::bench::kRuns);
  fusebox::bench::MeasureScrape(/*call_stats=*/false);
  fusebox::bench::MeasureScrape(/*call_stats=*/true);
}

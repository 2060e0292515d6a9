// How long one admission takes at worst, while others read and change the
// breaker all the time.
//
// Prints percentiles of single admissions, each timed by two clock readings;
// the row "nothing" is what the readings alone take, in the same storm.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "interceptor/breaker/circuit_breaker.h"

namespace fusebox::bench {
namespace {

constexpr int kSamples = 2'000'000;

std::vector<std::int64_t> Measure(const std::function<void()>& once) {
  std::vector<std::int64_t> times;
  times.reserve(kSamples);
  for (int i = 0; i < kSamples; ++i) {
    const TimePoint begin = FineNow();
    once();
    times.push_back((FineNow() - begin).count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

void Print(const char* what, const std::vector<std::int64_t>& times) {
  const auto percentile = [&](double p) {
    return static_cast<long>(
        times[static_cast<std::size_t>(p * (kSamples - 1))]);
  };
  std::printf("| %s | %ld | %ld | %ld | %ld |\n", what, percentile(0.5),
              percentile(0.99), percentile(0.999), percentile(1));
  std::fflush(stdout);
}

// One thread that takes snapshots and one that opens, forces and resets.
class Storm {
 public:
  explicit Storm(CircuitBreaker& breaker)
      : reader_([this, &breaker] {
          while (!over_) snapshots_ += breaker.Snapshot(CoarseNow()).generation;
        }),
        changer_([this, &breaker] {
          while (!over_) {
            const TimePoint now = CoarseNow();
            for (int i = 0; i < 20; ++i) {
              breaker.Report(Outcome::kTimeout, now, Duration::zero(),
                             ThreadRandom());
            }
            breaker.Force(Override::kForcedClosed, TimePoint::max(), now);
            breaker.Reset(now);
            changes_ += 3;
          }
        }) {}

  long End() {
    over_ = true;
    reader_.join();
    changer_.join();
    return changes_;
  }

 private:
  std::atomic<bool> over_{false};
  std::uint64_t snapshots_ = 0;
  long changes_ = 0;
  std::thread reader_;
  std::thread changer_;
};

int Run() {
  CircuitBreaker breaker(Settings(), FineNow());
  const auto admit = [&breaker] {
    Permit permit = breaker.AdmitIfClosed();
    if (!permit) permit = breaker.Admit(CoarseNow()).permit;
    permit.Finish(Outcome::kOk, CoarseNow());
  };
  std::printf(
      "Single admissions with their outcome, %d of each, ns.\n\n"
      "| what | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|\n",
      kSamples);
  Print("nothing, quiet", Measure([] {}));
  Print("admit + record, quiet", Measure(admit));
  Storm storm(breaker);
  Print("nothing, in the storm", Measure([] {}));
  Print("admit + record, in the storm", Measure(admit));
  const long changes = storm.End();
  std::printf(
      "\nThe storm: a thread that takes snapshots without pause and one that "
      "made %ld state changes.\n",
      changes);
  return 0;
}

}  // namespace
}  // namespace fusebox::bench

int main() { return fusebox::bench::Run(); }

// What the breaker adds to a call, as shares of one clock reading.

#include <benchmark/benchmark.h>
#include <prometheus/counter.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/mutex_breaker.h"
#include "bench/ratio_table.h"
#include "interceptor/breaker/breaker_callbacks.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox::bench {
namespace {

// So that the compiler can neither drop a result nor see through a constant.
template <class T>
void Use(T&& value) {
  benchmark::DoNotOptimize(value);
}

void Now(benchmark::State& state) {
  for (auto _ : state) Use(std::chrono::steady_clock::now());
}

void CoarseClock(benchmark::State& state) {
  for (auto _ : state) Use(CoarseNow());
}

// ---- one method, closed

void ClosedCall(CircuitBreaker& breaker, Outcome outcome) {
  Permit permit = breaker.AdmitIfClosed();
  if (!permit) permit = breaker.Admit(CoarseNow()).permit;
  permit.Finish(outcome, CoarseNow());
}

// A breaker shared by the threads of a benchmark, made anew for each run.
class SharedBreaker {
 public:
  void Make(const benchmark::State& state, const Settings& settings,
            int shards) {
    if (state.thread_index() != 0) return;
    CircuitBreaker::Options options;
    options.shards = shards;
    breaker_ = std::make_unique<CircuitBreaker>(settings, CoarseNow(), options);
  }
  CircuitBreaker& operator*() { return *breaker_; }

 private:
  std::unique_ptr<CircuitBreaker> breaker_;
};
SharedBreaker shared_breaker;

constexpr int kShards = 4;  // of a machine with 2 cores

void AdmitAndRecord(benchmark::State& state) {
  shared_breaker.Make(state, Settings(), kShards);
  for (auto _ : state) ClosedCall(*shared_breaker, Outcome::kOk);
}

// Threads that share nothing: what the machine alone makes of several.
void OwnMethod(benchmark::State& state) {
  CircuitBreaker::Options options;
  options.shards = kShards;
  CircuitBreaker breaker(Settings(), CoarseNow(), options);
  for (auto _ : state) ClosedCall(breaker, Outcome::kOk);
}

MutexBreaker mutex_breaker;

void MutexAdmitAndRecord(benchmark::State& state) {
  for (auto _ : state) {
    Use(mutex_breaker.Admit());
    mutex_breaker.Finish(Outcome::kOk, CoarseNow());
  }
}

// Admitted, finished and one outcome: three counters without shards.
std::atomic<std::uint64_t> shared_counters[3];

void SharedAtomics(benchmark::State& state) {
  for (auto _ : state) {
    for (auto& counter : shared_counters) {
      counter.fetch_add(1, std::memory_order_relaxed);
    }
    Use(CoarseNow());
  }
}

prometheus::Counter prometheus_counter;

void PrometheusCounter(benchmark::State& state) {
  for (auto _ : state) prometheus_counter.Increment();
}

// ---- failures: each is judged

// Never opens, but asks every threshold.
Settings NeverQuite() {
  Settings settings;
  settings.timeout_threshold = 1.0;
  settings.system_error_threshold = 1.0;
  settings.unknown_error_threshold = 1.0;
  settings.failure_threshold = 1.0;
  return settings;
}

void AdmitAndFail(benchmark::State& state) {
  const int shards = static_cast<int>(state.range(0));
  shared_breaker.Make(state, NeverQuite(), shards);
  // Something to add up in every shard: threads alive at once, so that each has
  // a slot of its own.
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kMaxThreadSlots; ++i) {
    threads.emplace_back([&] {
      ClosedCall(*shared_breaker, Outcome::kOk);
      ++done;
      while (done < kMaxThreadSlots) std::this_thread::yield();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto _ : state) ClosedCall(*shared_breaker, Outcome::kSystemError);
}

// ---- open and half-open

std::unique_ptr<CircuitBreaker> OpenBreaker(const Settings& settings,
                                            TimePoint now) {
  CircuitBreaker::Options options;
  options.shards = kShards;
  auto breaker = std::make_unique<CircuitBreaker>(settings, now, options);
  for (int i = 0; i < 20; ++i) {
    ClosedCall(*breaker, Outcome::kTimeout);
  }
  return breaker;
}

Settings LongOutage() {
  Settings settings;
  settings.min_recovery = std::chrono::hours(1);
  settings.max_open_duration = std::chrono::hours(1);
  settings.max_recovery = std::chrono::hours(10);
  return settings;
}

std::unique_ptr<CircuitBreaker> open_breaker;

void RefusedAdmit(benchmark::State& state) {
  if (state.thread_index() == 0) {
    open_breaker = OpenBreaker(LongOutage(), CoarseNow());
  }
  for (auto _ : state) {
    Admission admission = open_breaker->Admit(CoarseNow());
    Use(admission.admitted());
  }
}

// A clock reading and a coin that no branch predictor foresees: what an
// admission on the ramp costs at the very least.
void ClockAndCoin(benchmark::State& state) {
  Random random(1);
  std::uint64_t heads = 0;
  for (auto _ : state) {
    Use(CoarseNow());
    if (random.Admission() < 0.5) Use(++heads);
  }
}

// On a ramp of nine hours, from percentage range(0) of the calls to range(1),
// again and again. What was admitted is finished outside the measurement, in
// batches, since stopping the clock costs more than an admission.
void RampAdmit(benchmark::State& state) {
  auto breaker = OpenBreaker(LongOutage(), CoarseNow());
  // The probe went out two hours later and came back well: a tenth of
  // max_recovery had passed by definition.
  const TimePoint proof = CoarseNow() + std::chrono::hours(2);
  breaker->Admit(proof).permit.Finish(Outcome::kOk, proof);
  const auto after_proof = [](std::int64_t percent) {
    return std::chrono::minutes(percent * 6 - 60) + std::chrono::seconds(1);
  };
  const Duration from = after_proof(state.range(0));
  const Duration to = after_proof(state.range(1)) - std::chrono::minutes(1);
  const Duration step = (to - from) / 100'000;

  Duration passed = from;
  std::vector<Permit> permits(1000);
  std::size_t next = 0;
  for (auto _ : state) {
    const TimePoint now = CoarseNow() + (std::chrono::hours(2) + passed);
    passed = passed < to ? passed + step : from;
    Admission admission = breaker->Admit(now);
    if (!admission.permit) continue;
    permits[next] = std::move(admission.permit);
    if (++next < permits.size()) continue;
    state.PauseTiming();
    for (Permit& permit : permits) permit.Finish(Outcome::kIgnored, now);
    next = 0;
    state.ResumeTiming();
  }
}

// ---- registry

class ManyMethods {
 public:
  explicit ManyMethods(int count, bool call_stats = false)
      : registry_(Options(count, call_stats)) {
    scope_ = registry_.Scope(Role::kClient, "dns:///orders:443");
    for (int i = 0; i < count; ++i) {
      names_.push_back("/package.v1.SomeService/Method" + std::to_string(i));
      scope_->Find(names_.back().c_str());
    }
  }
  BreakerScope& scope() { return *scope_; }
  const std::vector<std::string>& names() const { return names_; }

 private:
  static RegistryOptions Options(int count, bool call_stats) {
    RegistryOptions options;
    options.max_breakers = count;
    options.call_stats = call_stats;
    options.start_dispatcher = false;
    return options;
  }
  BreakerRegistry registry_;
  std::unique_ptr<BreakerScope> scope_;
  std::vector<std::string> names_;
};

void LookUp(benchmark::State& state) {
  ManyMethods methods(static_cast<int>(state.range(0)));
  std::size_t next = 0;
  for (auto _ : state) {
    Use(&methods.scope().Find(methods.names()[next].c_str()));
    if (++next == methods.names().size()) next = 0;
  }
}

void WholeCall(benchmark::State& state) {
  ManyMethods methods(static_cast<int>(state.range(0)));
  std::size_t next = 0;
  for (auto _ : state) {
    ClosedCall(methods.scope().Find(methods.names()[next].c_str()),
               Outcome::kOk);
    if (++next == methods.names().size()) next = 0;
  }
}

// ---- statistics of calls

// Latencies of 1 to 2 ms, as if they came from a clock.
class Latencies {
 public:
  Duration Next() { return Duration(1'000'000 + (next_ += 7919) % 1'000'000); }

 private:
  std::int64_t next_ = 0;
};

std::unique_ptr<LatencyRecorder> shared_recorder;

// range(0): the status code.
void RecordLatency(benchmark::State& state) {
  const int code = static_cast<int>(state.range(0));
  if (state.thread_index() == 0) {
    shared_recorder = std::make_unique<LatencyRecorder>(kShards);
  }
  Latencies latencies;
  for (auto _ : state) shared_recorder->Record(code, latencies.Next());
}

// What an interceptor does for a call. range(1): whether calls are recorded.
void CallOfAMethod(benchmark::State& state) {
  const bool call_stats = state.range(1) != 0;
  ManyMethods methods(static_cast<int>(state.range(0)), call_stats);
  std::size_t next = 0;
  for (auto _ : state) {
    const GuardedMethod method =
        methods.scope().FindMethod(methods.names()[next].c_str());
    Permit permit = method.breaker->AdmitIfClosed();
    if (method.calls == nullptr) {
      permit.Finish(Outcome::kOk, CoarseNow());
    } else {
      const TimePoint start = FineNow();
      const Duration latency = FineNow() - start;
      method.calls->Record(0, latency);
      permit.Finish(Outcome::kOk, CoarseNow(), latency);
    }
    if (++next == methods.names().size()) next = 0;
  }
}

// ---- callbacks: nothing that a call would notice

// range(0): whether somebody wants to be told.
class WatchedBreaker {
 public:
  explicit WatchedBreaker(const benchmark::State& state)
      : registry_([] {
          RegistryOptions options;
          options.shards = kShards;
          options.log = [](const std::string&) {};
          return options;
        }()),
        callbacks_(&registry_, Told(state.range(0) != 0)) {}

  CircuitBreaker& operator*() { return registry_.Pin(Role::kServer, "", "/m"); }
  BreakerRegistry& registry() { return registry_; }

 private:
  static Callbacks Told(bool wanted) {
    Callbacks callbacks;
    if (wanted)
      callbacks.tested = [](const CallbackContext& c) { Use(c.tests); };
    return callbacks;
  }

  BreakerRegistry registry_;
  BreakerCallbacks callbacks_;
};

void CallbacksClosed(benchmark::State& state) {
  WatchedBreaker watched(state);
  CircuitBreaker& breaker = *watched;
  for (auto _ : state) ClosedCall(breaker, Outcome::kOk);
}

void CallbacksRefused(benchmark::State& state) {
  WatchedBreaker watched(state);
  CircuitBreaker& breaker = *watched;
  breaker.Force(Override::kForcedOpen, TimePoint::max(), CoarseNow());
  for (auto _ : state) Use(breaker.Admit(CoarseNow()).admitted());
}

BENCHMARK(Now);
BENCHMARK(CoarseClock);
BENCHMARK(AdmitAndRecord)->Threads(1)->Threads(2)->Threads(16);
BENCHMARK(OwnMethod)->Threads(2);
BENCHMARK(MutexAdmitAndRecord)->Threads(1)->Threads(2)->Threads(16);
BENCHMARK(SharedAtomics)->Threads(1)->Threads(2)->Threads(16);
BENCHMARK(PrometheusCounter)->Threads(1)->Threads(2);
BENCHMARK(AdmitAndFail)->Arg(2)->Arg(64);
BENCHMARK(RefusedAdmit)->Threads(1)->Threads(2);
BENCHMARK(ClockAndCoin);
BENCHMARK(RampAdmit)->Args({10, 100})->Args({50, 50});
BENCHMARK(LookUp)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(WholeCall)->Arg(10)->Arg(1000)->Arg(10000);
BENCHMARK(RecordLatency)->Arg(0)->Threads(1)->Threads(2)->Threads(16);
BENCHMARK(RecordLatency)->Arg(5)->Threads(1)->Threads(2)->Threads(16);
BENCHMARK(CallOfAMethod)->ArgsProduct({{10, 1000}, {0, 1}});
BENCHMARK(CallbacksClosed)->Arg(0)->Arg(1);
BENCHMARK(CallbacksRefused)->Arg(0)->Arg(1);

}  // namespace
}  // namespace fusebox::bench

int main(int argc, char** argv) {
  // The single-threaded rows are about a thread with a shard of its own; those
  // with 16 threads tell what the others pay.
  fusebox::ThreadSlot();
  const std::string one = "AdmitAndRecord/threads:1";
  const std::string now = "Now";
  const std::string recorded = "RecordLatency/0/threads:";
  return fusebox::bench::RunAndPrint(
      argc, argv,
      "The breaker alone. Now = one std::chrono::steady_clock::now(); CPU time "
      "of one thread per iteration.",
      {
          {"steady_clock::now()", now, now},
          {"coarse clock", "CoarseClock", now},
          {"closed: admit + record ok, 1 thread", one, now, 0.5},
          {"the same, 2 threads on one method", "AdmitAndRecord/threads:2", one,
           1.2},
          {"the same, 16 threads on one method", "AdmitAndRecord/threads:16",
           one},
          {"the same, 2 threads on a method each", "OwnMethod/threads:2", one},
          {"mutex and deque, 1 thread", "MutexAdmitAndRecord/threads:1", now},
          {"mutex and deque, 2 threads", "MutexAdmitAndRecord/threads:2", now},
          {"mutex and deque, 16 threads", "MutexAdmitAndRecord/threads:16",
           now},
          {"three shared atomics, 1 thread", "SharedAtomics/threads:1", now},
          {"three shared atomics, 2 threads", "SharedAtomics/threads:2", now},
          {"three shared atomics, 16 threads", "SharedAtomics/threads:16", now},
          {"one prometheus-cpp Counter, 1 thread",
           "PrometheusCounter/threads:1", now},
          {"one prometheus-cpp Counter, 2 threads",
           "PrometheusCounter/threads:2", now},
          {"look-up, 10 methods", "LookUp/10", now, 0.5},
          {"look-up, 1,000 methods", "LookUp/1000", now, 0.5},
          {"look-up, 10,000 methods", "LookUp/10000", now},
          {"look-up + admit + record, 10 methods", "WholeCall/10", now, 0.9},
          {"look-up + admit + record, 1,000 methods", "WholeCall/1000", now,
           0.9},
          {"look-up + admit + record, 10,000 methods", "WholeCall/10000", now},
          {"open: refused admit, 1 thread", "RefusedAdmit/threads:1", now, 0.3},
          {"open: refused admit, 2 threads", "RefusedAdmit/threads:2", now,
           0.3},
          {"half-open: ramp admit, over the whole ramp", "RampAdmit/10/100",
           now, 0.6},
          {"the same, where every other call is admitted", "RampAdmit/50/50",
           now},
          {"coarse clock and a coin", "ClockAndCoin", now},
          {"failure, judged, 2 shards", "AdmitAndFail/2", now, 2},
          {"failure, judged, 64 shards", "AdmitAndFail/64", now, 10},
          {"latency recorded, 1 thread", recorded + "1", now, 1},
          {"the same, 2 threads on one method", recorded + "2", recorded + "1",
           1.2},
          {"the same, 16 threads on one method", recorded + "16",
           recorded + "1"},
          {"latency of an error, 1 thread", "RecordLatency/5/threads:1", now,
           1},
          {"the same, 2 threads on one method", "RecordLatency/5/threads:2",
           now},
          {"the same, 16 threads on one method", "RecordLatency/5/threads:16",
           now},
          {"look-up + admit + record, 10 methods, statistics off",
           "CallOfAMethod/10/0", now, 0.9},
          {"the same, 10 methods, statistics on", "CallOfAMethod/10/1", now,
           0.9 + 3},
          {"look-up + admit + record, 1,000 methods, statistics off",
           "CallOfAMethod/1000/0", now, 0.9},
          {"the same, 1,000 methods, statistics on", "CallOfAMethod/1000/1",
           now},
          {"closed: with callbacks, to without", "CallbacksClosed/1",
           "CallbacksClosed/0", 1.1},
          {"refused: with callbacks, to without", "CallbacksRefused/1",
           "CallbacksRefused/0", 1.1},
      });
}

#include "interceptor/export/prometheus_metrics.h"

#include <prometheus/text_serializer.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/state.h"
#include "interceptor/export/version.h"
#include "interceptor/stats/latency_recorder.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// The clocks of the tests, which move when told.
TimePoint now = TimePoint(std::chrono::hours(1));
Duration wall_ahead = seconds(1'700'000'000);

TimePoint Now() { return now; }
std::chrono::system_clock::time_point WallNow() {
  return std::chrono::system_clock::time_point(now.time_since_epoch() +
                                               wall_ahead);
}

RegistryOptions Options() {
  RegistryOptions options;
  options.settings.min_requests = 1;
  options.settings.jitter = 0;
  options.settings.min_recovery = seconds(1);
  options.settings.max_recovery = seconds(5);
  options.now = &Now;
  options.shards = 1;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  return options;
}

// A sample without the labels that all samples of its breaker have.
std::string NameOf(const std::string& family,
                   const prometheus::ClientMetric& metric) {
  std::string name = family;
  for (const auto& label : metric.label) {
    if (label.name == "breaker" || label.name == "role" ||
        label.name == "grpc_target" || label.name == "grpc_method") {
      continue;
    }
    absl::StrAppend(&name, " ", label.value);
  }
  return name;
}

std::string LabelOf(const prometheus::ClientMetric& metric,
                    const std::string& name) {
  for (const auto& label : metric.label) {
    if (label.name == name) return label.value;
  }
  return "(none)";
}

class PrometheusMetricsTest : public ::testing::Test {
 protected:
  explicit PrometheusMetricsTest(const RegistryOptions& options = Options())
      : registry_(options), metrics_(&registry_, {&WallNow}) {}

  // The values of one method, or of the registry if it is "(none)".
  static std::map<std::string, double> ValuesIn(
      const std::vector<prometheus::MetricFamily>& families,
      const std::string& method = "pkg.S/M") {
    std::map<std::string, double> values;
    for (const auto& family : families) {
      for (const auto& metric : family.metric) {
        if (LabelOf(metric, "grpc_method") != method) continue;
        const bool fresh =
            values
                .emplace(NameOf(family.name, metric),
                         family.type == prometheus::MetricType::Counter
                             ? metric.counter.value
                             : metric.gauge.value)
                .second;
        EXPECT_TRUE(fresh) << NameOf(family.name, metric);
      }
    }
    return values;
  }
  std::map<std::string, double> Values(const std::string& method = "pkg.S/M") {
    return ValuesIn(metrics_.Collect(), method);
  }
  // One of them; NaN if it is NaN or missing.
  double Value(const std::string& name, const std::string& method = "pkg.S/M") {
    const auto values = Values(method);
    const auto found = values.find("fusebox_" + name);
    return found == values.end() ? std::nan("") : found->second;
  }
  // The values of one label, each once, sorted.
  std::set<std::string> LabelValues(const std::string& label) {
    std::set<std::string> values;
    for (const auto& family : metrics_.Collect()) {
      for (const auto& metric : family.metric) {
        values.insert(LabelOf(metric, label));
      }
    }
    values.erase("(none)");
    return values;
  }

  static void Finish(CircuitBreaker& breaker, Outcome outcome,
                     Duration latency = Duration::zero()) {
    auto admission = breaker.Admit(now);
    ASSERT_TRUE(admission.admitted());
    admission.permit.Finish(outcome, now, latency);
  }
  // From closed, by two failures.
  static void Open(CircuitBreaker& breaker) {
    Finish(breaker, Outcome::kSystemError);
    Finish(breaker, Outcome::kTimeout);
  }

  // Retires the breakers of clients, which have to be closed.
  void RetireIdle() {
    for (int sweep = 0; sweep < 3; ++sweep) {
      now += registry_.options().idle_timeout;
      registry_.Dispatch();
    }
  }

  BreakerRegistry registry_;
  PrometheusMetrics metrics_;
  CircuitBreaker& breaker_ = registry_.Pin(Role::kServer, "", "/pkg.S/M");
};

TEST_F(PrometheusMetricsTest, AllOfANewBreaker) {
  const std::string labels =
      R"(breaker="aaf667f45e1fdef8",role="server",grpc_target="",)"
      R"(grpc_method="pkg.S/M")";
  now += milliseconds(1500);
  std::string samples;
  const std::string text =
      prometheus::TextSerializer().Serializer::Serialize(metrics_.Collect());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = text.find('\n', i);
    std::string line = text.substr(i, end - i);
    i = end + 1;
    if (line[0] == '#') continue;
    const std::size_t at = line.find(labels);
    if (at != std::string::npos) line.replace(at, labels.size(), "*");
    absl::StrAppend(&samples, line, "\n");
  }
  EXPECT_EQ(samples, absl::StrCat(R"(fusebox_state{*,state="closed"} 1
fusebox_state{*,state="open"} 0
fusebox_state{*,state="half_open"} 0
fusebox_state{*,state="forced_open"} 0
fusebox_state{*,state="forced_closed"} 0
fusebox_calls_total{*,outcome="ok"} 0
fusebox_calls_total{*,outcome="user_error"} 0
fusebox_calls_total{*,outcome="timeout"} 0
fusebox_calls_total{*,outcome="system_error"} 0
fusebox_calls_total{*,outcome="unknown_error"} 0
fusebox_calls_total{*,outcome="ignored"} 0
fusebox_rejected_calls_total{*,reason="open"} 0
fusebox_rejected_calls_total{*,reason="half_open_limit"} 0
fusebox_rejected_calls_total{*,reason="forced_open"} 0
fusebox_shadow_rejected_calls_total{*} 0
fusebox_slow_calls_total{*} 0
fusebox_stale_calls_total{*} 0
fusebox_transitions_total{*,from="closed",to="open"} 0
fusebox_transitions_total{*,from="open",to="half_open"} 0
fusebox_transitions_total{*,from="open",to="closed"} 0
fusebox_transitions_total{*,from="half_open",to="open"} 0
fusebox_transitions_total{*,from="half_open",to="closed"} 0
fusebox_state_seconds_total{*,state="closed"} 1.5
fusebox_state_seconds_total{*,state="open"} 0
fusebox_state_seconds_total{*,state="half_open"} 0
fusebox_state_seconds_total{*,state="forced_open"} 0
fusebox_state_seconds_total{*,state="forced_closed"} 0
fusebox_last_transition_timestamp_seconds{*} 1700003600
fusebox_window_calls{*} 0
fusebox_window_failures{*} 0
fusebox_window_slow_calls{*} 0
fusebox_failure_ratio{*} Nan
fusebox_failure_ratio_threshold{*} 0.5
fusebox_calls_in_flight{*} 0
fusebox_breakers 1
fusebox_overflowed_lookups_total 0
fusebox_retired_breakers_total 0
fusebox_delivered_transitions_total 0
fusebox_skipped_transitions_total 0
fusebox_build_info{version=")",
                                  kVersion, "\"} 1\n"));
}

TEST_F(PrometheusMetricsTest, ExactlyOneStateIs1) {
  const auto states = [this] {
    std::vector<std::string> ones;
    double sum = 0;
    for (const auto& [name, value] : Values()) {
      if (name.rfind("fusebox_state ", 0) != 0) continue;
      sum += value;
      if (value == 1) ones.push_back(name.substr(14));
    }
    EXPECT_EQ(sum, 1);
    return ones;
  };
  const auto force = [this](Override override_state) {
    breaker_.Force(override_state, TimePoint::max(), now);
  };
  EXPECT_THAT(states(), ElementsAre("closed"));
  force(Override::kForcedClosed);
  EXPECT_THAT(states(), ElementsAre("forced_closed"));
  breaker_.Release(now);
  Open(breaker_);
  EXPECT_THAT(states(), ElementsAre("open"));
  force(Override::kForcedOpen);
  EXPECT_THAT(states(), ElementsAre("forced_open"));
  breaker_.Release(now);
  EXPECT_THAT(states(), ElementsAre("closed"));
  Open(breaker_);
  now += seconds(1);
  EXPECT_THAT(states(), ElementsAre("half_open"));
  Finish(breaker_, Outcome::kOk);  // the probe
  EXPECT_THAT(states(), ElementsAre("half_open"));
  now += seconds(4);
  EXPECT_THAT(states(), ElementsAre("closed"));
}

TEST_F(PrometheusMetricsTest, CallsByOutcome) {
  Finish(breaker_, Outcome::kOk);
  for (const Outcome outcome :
       {Outcome::kUserError, Outcome::kUserError, Outcome::kUserError,
        Outcome::kUserError, Outcome::kTimeout, Outcome::kSystemError,
        Outcome::kUnknownError, Outcome::kIgnored, Outcome::kIgnored}) {
    Finish(breaker_, outcome);
  }
  const auto in_flight = breaker_.Admit(now);
  EXPECT_EQ(Value("calls_total ok"), 1);
  EXPECT_EQ(Value("calls_total user_error"), 4);
  EXPECT_EQ(Value("calls_total timeout"), 1);
  EXPECT_EQ(Value("calls_total system_error"), 1);
  EXPECT_EQ(Value("calls_total unknown_error"), 1);
  EXPECT_EQ(Value("calls_total ignored"), 2);
  EXPECT_EQ(Value("calls_in_flight"), 1);
  EXPECT_EQ(Value("window_calls"), 8);
  EXPECT_EQ(Value("window_failures"), 3);
  EXPECT_EQ(Value("failure_ratio"), 0.375);
}

TEST_F(PrometheusMetricsTest, RejectionsByReason) {
  const auto refuse = [this] { EXPECT_FALSE(breaker_.Admit(now).admitted()); };
  Open(breaker_);
  refuse();
  refuse();
  refuse();
  now += seconds(1);
  const auto probe = breaker_.Admit(now);
  refuse();
  refuse();
  breaker_.Force(Override::kForcedOpen, TimePoint::max(), now);
  refuse();
  EXPECT_EQ(Value("rejected_calls_total open"), 3);
  EXPECT_EQ(Value("rejected_calls_total half_open_limit"), 2);
  EXPECT_EQ(Value("rejected_calls_total forced_open"), 1);
  EXPECT_EQ(Value("shadow_rejected_calls_total"), 0);
}

TEST_F(PrometheusMetricsTest, AnswersOfBeforeTheOpeningAreStale) {
  auto late = breaker_.Admit(now);
  Open(breaker_);
  late.permit.Finish(Outcome::kSystemError, now);
  EXPECT_EQ(Value("stale_calls_total"), 1);
  EXPECT_EQ(Value("calls_total system_error"), 1);
}

TEST_F(PrometheusMetricsTest, TransitionsOfEachLegalPair) {
  Open(breaker_);
  breaker_.Reset(now);
  for (int i = 0; i < 2; ++i) {
    Open(breaker_);
    now += registry_.options().settings.max_open_duration;
    Finish(breaker_, Outcome::kSystemError);  // the probe
    now += registry_.options().settings.max_open_duration;
    Finish(breaker_, Outcome::kOk);
    now += seconds(20);  // recovered, and the window is empty
    Values();
  }
  EXPECT_EQ(Value("transitions_total closed open"), 3);
  EXPECT_EQ(Value("transitions_total open closed"), 1);
  EXPECT_EQ(Value("transitions_total open half_open"), 4);
  EXPECT_EQ(Value("transitions_total half_open open"), 2);
  EXPECT_EQ(Value("transitions_total half_open closed"), 2);

  registry_.Dispatch();
  EXPECT_EQ(Value("delivered_transitions_total", "(none)"),
            static_cast<double>(registry_.stats().transitions));
  EXPECT_GT(registry_.stats().transitions, 10u);
}

TEST_F(PrometheusMetricsTest, SecondsInEachState) {
  now += milliseconds(250);
  Open(breaker_);
  now += seconds(1);
  Finish(breaker_, Outcome::kOk);
  now += seconds(4);
  Values();
  breaker_.Force(Override::kForcedOpen, TimePoint::max(), now);
  now += seconds(7);
  breaker_.Force(Override::kForcedClosed, TimePoint::max(), now);
  now += seconds(8);
  EXPECT_EQ(Value("state_seconds_total closed"), 0.25);
  EXPECT_EQ(Value("state_seconds_total open"), 1);
  EXPECT_EQ(Value("state_seconds_total half_open"), 4);
  EXPECT_EQ(Value("state_seconds_total forced_open"), 7);
  EXPECT_EQ(Value("state_seconds_total forced_closed"), 8);
}

TEST_F(PrometheusMetricsTest, TimestampsMoveOnlyWithTransitionsAndASetClock) {
  const double opened =
      std::chrono::duration<double>(now.time_since_epoch() + wall_ahead)
          .count();
  Open(breaker_);
  EXPECT_EQ(Value("last_transition_timestamp_seconds"), opened);
  now += milliseconds(500);
  wall_ahead += milliseconds(999);
  EXPECT_EQ(Value("last_transition_timestamp_seconds"), opened);
  wall_ahead -= milliseconds(1998);
  EXPECT_EQ(Value("last_transition_timestamp_seconds"), opened);

  wall_ahead += milliseconds(999) + seconds(3600);
  EXPECT_EQ(Value("last_transition_timestamp_seconds"), opened + 3600);
  now += milliseconds(500);
  EXPECT_EQ(Value("last_transition_timestamp_seconds"), opened + 3601);
}

TEST_F(PrometheusMetricsTest, CountersGoOnWhenARetiredBreakerComesBack) {
  const auto scope = registry_.Scope(Role::kClient, "dns:///b");
  const char* const method = "/pkg.S/Rare";
  const auto rare = [this](const std::string& name) {
    return Value(name, "pkg.S/Rare");
  };
  for (int round = 1; round <= 3; ++round) {
    Finish(scope->Find(method), Outcome::kOk);
    Finish(scope->Find(method), Outcome::kUserError);
    EXPECT_EQ(rare("calls_total ok"), round);
    RetireIdle();
    EXPECT_THAT(Values("pkg.S/Rare"), IsEmpty());
    EXPECT_EQ(Value("retired_breakers_total", "(none)"), round);
  }
  Finish(scope->Find(method), Outcome::kOk);
  EXPECT_EQ(rare("calls_total ok"), 4);
  EXPECT_EQ(rare("calls_total user_error"), 3);
  EXPECT_EQ(rare("calls_total timeout"), 0);
  EXPECT_EQ(rare("window_calls"), 1);

  now += seconds(5);
  EXPECT_EQ(rare("state_seconds_total closed"), 5);
  RetireIdle();
  Finish(scope->Find(method), Outcome::kOk);
  now += seconds(2);
  EXPECT_EQ(rare("state_seconds_total closed"), 7);
}

TEST_F(PrometheusMetricsTest, ABreakerIsCalledTheSameInEveryProcess) {
  BreakerRegistry other(Options());
  other.Pin(Role::kClient, "dns:///orders:443", "/pkg.S/M");
  other.Pin(Role::kServer, "", "/pkg.S/M");
  std::set<std::string> ids;
  for (const auto& family : PrometheusMetrics(&other).Collect()) {
    for (const auto& metric : family.metric) {
      ids.insert(LabelOf(metric, "breaker"));
    }
  }
  EXPECT_THAT(ids,
              ElementsAre("(none)", "aaf667f45e1fdef8", "b5b4f81df3a7803c"));
}

TEST_F(PrometheusMetricsTest, SimilarNamesAreDifferentBreakers) {
  registry_.Pin(Role::kClient, "", "/pkg.S/M");
  registry_.Pin(Role::kClient, "a", "/b/c");
  registry_.Pin(Role::kClient, "a/b", "/c");
  registry_.Pin(Role::kClient, "", "pkg.S/M");
  EXPECT_THAT(LabelValues("breaker"), SizeIs(5));
}

TEST_F(PrometheusMetricsTest, NamesThatAreNotUtf8AreMadeReadable) {
  registry_.Pin(Role::kClient, "dns:///\xc3\xa9", "/pkg.S/\xff");
  registry_.Pin(Role::kClient, "dns:///\xc3\xa9", "/pkg.S/\xfe");
  EXPECT_THAT(LabelValues("grpc_method"), ElementsAre("pkg.S/?", "pkg.S/M"));
  EXPECT_THAT(LabelValues("grpc_target"), ElementsAre("", "dns:///\xc3\xa9"));
  EXPECT_THAT(LabelValues("breaker"), SizeIs(3));
}

TEST_F(PrometheusMetricsTest, AThousandMethods) {
  const auto scope = registry_.Scope(Role::kClient, "dns:///orders:443");
  for (int i = 0; i < 1000; ++i) {
    const std::string method = absl::StrCat("/orders.v1.Orders/Method", i);
    for (int j = 0; j <= i; ++j) {
      Finish(scope->Find(method.c_str()), Outcome::kOk);
    }
  }
  const auto families = metrics_.Collect();
  for (int i = 0; i < 1000; i += 37) {
    const auto values =
        ValuesIn(families, absl::StrCat("orders.v1.Orders/Method", i));
    EXPECT_THAT(values, SizeIs(34));
    EXPECT_EQ(values.at("fusebox_calls_total ok"), i + 1);
  }
  for (const auto& family : families) {
    const bool of_registry =
        LabelOf(family.metric.front(), "breaker") == "(none)";
    EXPECT_EQ(family.metric.size() % 1001, of_registry ? 1 : 0) << family.name;
  }
  EXPECT_THAT(LabelValues("breaker"), SizeIs(1001));
}

// Counters only grow, whatever happens meanwhile, and at the end all is there.
TEST_F(PrometheusMetricsTest, ScrapesWhileCallsRun) {
  constexpr int kCalls = 20'000;
  std::atomic<int> callers{2};
  const auto call = [&] {
    for (int i = 0; i < kCalls; ++i) Finish(breaker_, Outcome::kOk);
    --callers;
  };
  const auto scrape = [&] {
    std::map<std::string, double> last;
    bool running = true;
    while (running) {
      running = callers > 0;
      for (const auto& family : metrics_.Collect()) {
        if (family.type != prometheus::MetricType::Counter) continue;
        for (const auto& metric : family.metric) {
          double& seen = last[NameOf(family.name, metric)];
          EXPECT_GE(metric.counter.value, seen);
          seen = metric.counter.value;
        }
      }
    }
    EXPECT_EQ(last.at("fusebox_calls_total ok"), 2 * kCalls);
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back(call);
    threads.emplace_back(scrape);
  }
  for (std::thread& thread : threads) thread.join();
}

class SlowCallsTest : public PrometheusMetricsTest {
 protected:
  static RegistryOptions WithSlowCalls() {
    RegistryOptions options = Options();
    options.settings.slow_call_duration = seconds(1);
    options.settings.failure_threshold = std::nullopt;
    return options;
  }
  SlowCallsTest() : PrometheusMetricsTest(WithSlowCalls()) {}
};

TEST_F(SlowCallsTest, AreCountedBesideTheirOutcome) {
  Finish(breaker_, Outcome::kOk, milliseconds(999));
  Finish(breaker_, Outcome::kOk, milliseconds(1000));
  EXPECT_EQ(Value("slow_calls_total"), 1);
  EXPECT_EQ(Value("window_slow_calls"), 1);
  EXPECT_EQ(Value("calls_total ok"), 2);
}

TEST_F(SlowCallsTest, AThresholdThatIsOffHasNoSample) {
  EXPECT_EQ(Values().count("fusebox_failure_ratio_threshold"), 0u);
  for (const auto& family : metrics_.Collect()) {
    EXPECT_NE(family.name, "fusebox_failure_ratio_threshold");
  }
}

class CallStatsTest : public PrometheusMetricsTest {
 protected:
  static RegistryOptions WithCallStats() {
    RegistryOptions options = Options();
    options.call_stats = true;
    return options;
  }
  CallStatsTest() : PrometheusMetricsTest(WithCallStats()) {}

  // Of /pkg.S/M.
  prometheus::ClientMetric::Histogram Durations() {
    for (const auto& family : metrics_.Collect()) {
      if (family.name != "fusebox_call_duration_seconds") continue;
      EXPECT_EQ(family.type, prometheus::MetricType::Histogram);
      EXPECT_THAT(family.metric, SizeIs(1));
      return family.metric[0].histogram;
    }
    ADD_FAILURE() << "no histogram";
    return {};
  }

  LatencyRecorder& calls_ =
      *registry_.PinMethod(Role::kServer, "", "/pkg.S/M").calls;
};

TEST_F(CallStatsTest, CallsByStatus) {
  calls_.Record(0, milliseconds(1));
  calls_.Record(0, milliseconds(1));
  calls_.Record(14, milliseconds(1));
  calls_.RecordWithoutLatency(16);
  calls_.Record(99, milliseconds(1));
  calls_.Record(100, milliseconds(1));
  EXPECT_EQ(Value("status_calls_total OK"), 2);
  EXPECT_EQ(Value("status_calls_total UNAVAILABLE"), 1);
  EXPECT_EQ(Value("status_calls_total UNAUTHENTICATED"), 1);
  EXPECT_EQ(Value("status_calls_total other"), 2);
  EXPECT_THAT(Values(), SizeIs(34 + 4 + 1));
}

TEST_F(CallStatsTest, DurationsOfNoCall) {
  const auto histogram = Durations();
  EXPECT_EQ(histogram.sample_count, 0u);
  EXPECT_EQ(histogram.sample_sum, 0);
  EXPECT_THAT(histogram.bucket, SizeIs(14));
  EXPECT_EQ(Value("status_calls_total OK"), 0);
  EXPECT_THAT(Values(), SizeIs(34 + 1 + 1));
}

TEST_F(CallStatsTest, Durations) {
  calls_.Record(0, milliseconds(3));
  calls_.Record(0, milliseconds(9));
  calls_.Record(4, milliseconds(980));
  calls_.Record(4, seconds(60));
  calls_.RecordWithoutLatency(0);
  const auto histogram = Durations();
  EXPECT_EQ(histogram.sample_count, 4u);
  EXPECT_DOUBLE_EQ(histogram.sample_sum, 60.992);
  std::vector<std::uint64_t> counts;
  for (const auto& bucket : histogram.bucket) {
    counts.push_back(bucket.cumulative_count);
  }
  EXPECT_THAT(counts, ElementsAre(0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3));
  EXPECT_EQ(histogram.bucket.front().upper_bound, 0.0005);
  EXPECT_EQ(histogram.bucket.back().upper_bound, 10);
  EXPECT_THAT(
      prometheus::TextSerializer().Serializer::Serialize(metrics_.Collect()),
      HasSubstr(",le=\"+Inf\"} 4\n"));
}

TEST_F(CallStatsTest, GoOnWhenARetiredBreakerComesBack) {
  const auto scope = registry_.Scope(Role::kClient, "dns:///b");
  for (int round = 1; round <= 2; ++round) {
    const GuardedMethod method = scope->FindMethod("/pkg.S/Rare");
    Finish(*method.breaker, Outcome::kOk);
    method.calls->Record(round, milliseconds(20));
    EXPECT_EQ(Value("status_calls_total CANCELLED", "pkg.S/Rare"), 1);
    for (const auto& family : metrics_.Collect()) {
      if (family.name != "fusebox_call_duration_seconds") continue;
      const auto& histogram = family.metric[0].histogram;  // clients first
      EXPECT_EQ(histogram.sample_count, static_cast<std::uint64_t>(round));
      EXPECT_DOUBLE_EQ(histogram.sample_sum, 0.02 * round);
      EXPECT_EQ(histogram.bucket.back().cumulative_count,
                static_cast<std::uint64_t>(round));
      EXPECT_EQ(histogram.bucket.front().cumulative_count, 0u);
    }
    RetireIdle();
    EXPECT_THAT(Values("pkg.S/Rare"), IsEmpty());
  }
}

class ShadowTest : public PrometheusMetricsTest {
 protected:
  static RegistryOptions InShadow() {
    RegistryOptions options = Options();
    options.settings.mode = Mode::kShadow;
    return options;
  }
  ShadowTest() : PrometheusMetricsTest(InShadow()) {}
};

TEST_F(ShadowTest, CountsWhatItWouldHaveRejected) {
  Open(breaker_);
  EXPECT_TRUE(breaker_.Admit(now).admitted());
  EXPECT_EQ(Value("shadow_rejected_calls_total"), 1);
  EXPECT_EQ(Value("rejected_calls_total open"), 0);
  EXPECT_EQ(Value("state open"), 1);
}

class SmallRegistryTest : public PrometheusMetricsTest {
 protected:
  static RegistryOptions Small() {
    RegistryOptions options = Options();
    options.max_breakers = 3;
    return options;
  }
  SmallRegistryTest() : PrometheusMetricsTest(Small()) {}

  const std::unique_ptr<BreakerScope> scope_ =
      registry_.Scope(Role::kClient, "dns:///b");
};

TEST_F(SmallRegistryTest, MethodsBeyondTheLimitAreOther) {
  for (int i = 0; i < 100; ++i) {
    const std::string method = absl::StrCat("/pkg.S/M", i);
    Finish(scope_->Find(method.c_str()), Outcome::kOk);
    Finish(registry_.Pin(Role::kServer, "", method), Outcome::kUserError);
  }
  EXPECT_THAT(LabelValues("breaker"), SizeIs(3 + 1));
  EXPECT_THAT(LabelValues("grpc_method"),
              ElementsAre("other", "pkg.S/M", "pkg.S/M0"));
  for (const auto& family : metrics_.Collect()) {
    EXPECT_LE(family.metric.size(), 6 * (3 + 2)) << family.name;
    for (const auto& metric : family.metric) {
      EXPECT_EQ(LabelOf(metric, "breaker") == "other",
                LabelOf(metric, "grpc_method") == "other");
    }
  }
  const auto families = metrics_.Collect();
  std::map<std::string, double> calls;
  for (const auto& family : families) {
    if (family.name != "fusebox_calls_total") continue;
    for (const auto& metric : family.metric) {
      calls[LabelOf(metric, "breaker") + " " + LabelOf(metric, "role") + " " +
            LabelOf(metric, "outcome")] = metric.counter.value;
    }
  }
  EXPECT_EQ(calls.at("other client ok"), 99);
  EXPECT_EQ(calls.at("other server user_error"), 99);
  EXPECT_EQ(Value("breakers", "(none)"), 3);
  EXPECT_EQ(Value("overflowed_lookups_total", "(none)"), 198);
}

TEST_F(SmallRegistryTest, ABreakerNamedOtherIsShownOnce) {
  const auto scope = registry_.Scope(Role::kClient, "");
  Finish(scope->Find("other"), Outcome::kOk);
  Finish(scope->Find("/pkg.S/A"), Outcome::kOk);
  Finish(scope->Find("/pkg.S/B"), Outcome::kOk);  // overflows
  EXPECT_THAT(Values("other"), SizeIs(34));
  EXPECT_THAT(Values("other"), SizeIs(34));
}

TEST_F(SmallRegistryTest, OfRetiredBreakersThoseGoneLongestAreForgotten) {
  const auto call_and_retire = [this](const std::string& method) {
    Finish(scope_->Find(method.c_str()), Outcome::kOk);
    const double ok = Value("calls_total ok", method.substr(1));
    RetireIdle();
    EXPECT_THAT(Values(method.substr(1)), IsEmpty());
    return ok;
  };
  for (const char* method : {"/s/A", "/s/B", "/s/C"}) {
    EXPECT_EQ(call_and_retire(method), 1);
  }
  EXPECT_EQ(call_and_retire("/s/A"), 2);
  EXPECT_EQ(call_and_retire("/s/D"), 1);  // one too many: B is gone longest
  EXPECT_EQ(call_and_retire("/s/C"), 2);
  EXPECT_EQ(call_and_retire("/s/A"), 3);
  EXPECT_EQ(call_and_retire("/s/B"), 1);
}

}  // namespace
}  // namespace fusebox

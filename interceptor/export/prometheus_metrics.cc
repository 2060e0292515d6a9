#include "interceptor/export/prometheus_metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_type.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/state.h"
#include "interceptor/export/version.h"
#include "interceptor/health/health_codec.h"
#include "interceptor/stats/latency_snapshot.h"
#include "interceptor/stats/status_code_names.h"

namespace fusebox {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

enum Family : std::size_t {
  kState,
  kCalls,
  kRejectedCalls,
  kShadowRejectedCalls,
  kSlowCalls,
  kStaleCalls,
  kTransitions,
  kStateSeconds,
  kLastTransition,
  kWindowCalls,
  kWindowFailures,
  kWindowSlowCalls,
  kFailureRatio,
  kFailureRatioThreshold,
  kCallsInFlight,
  kStatusCalls,
  kCallDuration,
  kBreakers,
  kOverflowedLookups,
  kRetiredBreakers,
  kDeliveredTransitions,
  kSkippedTransitions,
  kBuildInfo,
  kFamilies,
};

struct FamilyText {
  const char* name;
  const char* help;
  MetricType type;
};

// In the order of Family.
constexpr std::array<FamilyText, kFamilies> kFamilyTexts = {{
    {"fusebox_state", "1 for the state that the breaker is in.",
     MetricType::Gauge},
    {"fusebox_calls_total", "Calls that ended, by what they came to.",
     MetricType::Counter},
    {"fusebox_rejected_calls_total", "Calls that were refused.",
     MetricType::Counter},
    {"fusebox_shadow_rejected_calls_total",
     "Calls that would have been refused but for mode shadow.",
     MetricType::Counter},
    {"fusebox_slow_calls_total",
     "Calls that took slow_call_duration or longer.", MetricType::Counter},
    {"fusebox_stale_calls_total",
     "Calls that ended too late for their outcome to count.",
     MetricType::Counter},
    {"fusebox_transitions_total", "Changes of the state.", MetricType::Counter},
    {"fusebox_state_seconds_total", "Time spent in each state.",
     MetricType::Counter},
    {"fusebox_last_transition_timestamp_seconds",
     "When the present state began, in Unix time.", MetricType::Gauge},
    {"fusebox_window_calls", "Outcomes in the rolling window.",
     MetricType::Gauge},
    {"fusebox_window_failures", "Failures in the rolling window.",
     MetricType::Gauge},
    {"fusebox_window_slow_calls", "Slow calls in the rolling window.",
     MetricType::Gauge},
    {"fusebox_failure_ratio",
     "Failures among the outcomes of the rolling window; NaN if there are "
     "none.",
     MetricType::Gauge},
    {"fusebox_failure_ratio_threshold",
     "The failure ratio at which the breaker opens.", MetricType::Gauge},
    {"fusebox_calls_in_flight", "Calls admitted and not yet ended.",
     MetricType::Gauge},
    {"fusebox_status_calls_total", "Calls that ended, by their gRPC status.",
     MetricType::Counter},
    {"fusebox_call_duration_seconds", "How long calls took; no streams.",
     MetricType::Histogram},
    {"fusebox_breakers", "Breakers held, overflow breakers not included.",
     MetricType::Gauge},
    {"fusebox_overflowed_lookups_total",
     "Calls for which an overflow breaker decided: max_breakers is reached.",
     MetricType::Counter},
    {"fusebox_retired_breakers_total",
     "Breakers that were idle for too long and gave their place up.",
     MetricType::Counter},
    {"fusebox_delivered_transitions_total",
     "Transitions that watchers were told of.", MetricType::Counter},
    {"fusebox_skipped_transitions_total",
     "Transitions that watchers were not told of: the queue was full.",
     MetricType::Counter},
    {"fusebox_build_info", "1, labelled with the version of Fusebox.",
     MetricType::Gauge},
}};

// Upper bounds of the histogram: 1, 2.5 and 5 of each decade.
constexpr std::array<Duration, 14> kBounds = {
    std::chrono::microseconds(500),  std::chrono::milliseconds(1),
    std::chrono::microseconds(2500), std::chrono::milliseconds(5),
    std::chrono::milliseconds(10),   std::chrono::milliseconds(25),
    std::chrono::milliseconds(50),   std::chrono::milliseconds(100),
    std::chrono::milliseconds(250),  std::chrono::milliseconds(500),
    std::chrono::seconds(1),         std::chrono::milliseconds(2500),
    std::chrono::seconds(5),         std::chrono::seconds(10),
};

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// A scrape under way.
class Page {
 public:
  Page() : families_(kFamilies) {
    for (std::size_t i = 0; i < kFamilies; ++i) {
      families_[i].name = kFamilyTexts[i].name;
      families_[i].help = kFamilyTexts[i].help;
      families_[i].type = kFamilyTexts[i].type;
    }
  }

  // The labels of the samples that follow.
  void SetLabels(Labels labels) { labels_ = std::move(labels); }

  void Add(Family family, std::initializer_list<ClientMetric::Label> more,
           double value) {
    ClientMetric& metric = AddMetric(family, more);
    if (families_[family].type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
  }
  template <class T>
  void Add(Family family, T value) {
    Add(family, {}, static_cast<double>(value));
  }
  void Add(Family family, ClientMetric::Histogram histogram) {
    AddMetric(family, {}).histogram = std::move(histogram);
  }

  std::vector<MetricFamily> Take() && {
    families_.erase(
        std::remove_if(families_.begin(), families_.end(),
                       [](const MetricFamily& f) { return f.metric.empty(); }),
        families_.end());
    return std::move(families_);
  }

 private:
  ClientMetric& AddMetric(Family family,
                          std::initializer_list<ClientMetric::Label> more) {
    ClientMetric& metric = families_[family].metric.emplace_back();
    metric.label.reserve(labels_.size() + more.size());
    metric.label.insert(metric.label.end(), labels_.begin(), labels_.end());
    metric.label.insert(metric.label.end(), more.begin(), more.end());
    return metric;
  }

  std::vector<MetricFamily> families_;
  Labels labels_;
};

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/: what std::hash does not
// promise is to be the same everywhere.
std::uint64_t HashOf(Role role, const std::string& target,
                     const std::string& method) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    hash *= 0x100000001b3;  // an end, as if by the byte 0, which no name has
  };
  add(RoleName(role));
  add(target);
  add(method);
  return hash;
}

// Prometheus rejects the whole scrape for one label that is not UTF-8.
std::string LabelText(std::string_view name) {
  std::string text(name);
  if (!IsUtf8(text)) {
    for (char& c : text) {
      if ((static_cast<unsigned char>(c) & 0x80) != 0) c = '?';
    }
  }
  return text;
}

// `Named` has role, target and method.
template <class Named>
Labels LabelsOf(const Named& named, std::uint64_t hash) {
  std::string_view method = named.method;
  // Methods of gRPC begin with "/".
  const bool overflow = named.target.empty() && method == "other";
  if (!method.empty() && method[0] == '/') method.remove_prefix(1);
  return {
      {"breaker",
       overflow ? "other" : absl::StrCat(absl::Hex(hash, absl::kZeroPad16))},
      {"role", RoleName(named.role)},
      {"grpc_target", LabelText(named.target)},
      {"grpc_method", LabelText(method)}};
}

void AddGauges(const BreakerSnapshot& snapshot, Duration wall_offset,
               Page& page) {
  const std::string_view present = snapshot.override_state == Override::kNone
                                       ? StateName(snapshot.state)
                                       : OverrideName(snapshot.override_state);
  for (const char* state :
       {"closed", "open", "half_open", "forced_open", "forced_closed"}) {
    page.Add(kState, {{"state", state}}, present == state ? 1 : 0);
  }
  page.Add(kLastTransition,
           Seconds(snapshot.since.time_since_epoch() + wall_offset));
  const OutcomeCounts& window = snapshot.window;
  const auto calls = static_cast<double>(window.total());
  const auto failures = static_cast<double>(window.failures());
  page.Add(kWindowCalls, calls);
  page.Add(kWindowFailures, failures);
  page.Add(kWindowSlowCalls, window.slow);
  page.Add(kFailureRatio, calls == 0 ? std::numeric_limits<double>::quiet_NaN()
                                     : failures / calls);
  if (snapshot.settings.failure_threshold.has_value()) {
    page.Add(kFailureRatioThreshold, *snapshot.settings.failure_threshold);
  }
  page.Add(kCallsInFlight, snapshot.in_flight);
}

// Calls `add(family, labels, value)` for every counter of a breaker, always in
// the same order.
template <class F>
void ForEachCounter(const BreakerSnapshot& snapshot, F add) {
  for (const Outcome outcome : kAllOutcomes) {
    const std::uint64_t calls = outcome == Outcome::kIgnored
                                    ? snapshot.ignored
                                    : snapshot.lifetime.of(outcome);
    add(kCalls, {{"outcome", std::string(OutcomeName(outcome))}}, calls);
  }
  for (int i = 0; i < kRejectionReasons; ++i) {
    add(kRejectedCalls,
        {{"reason", RejectionReasonName(static_cast<RejectionReason>(i))}},
        snapshot.rejected[static_cast<std::size_t>(i)]);
  }
  add(kShadowRejectedCalls, {}, snapshot.shadow_rejected);
  add(kSlowCalls, {}, snapshot.lifetime.slow);
  add(kStaleCalls, {}, snapshot.stale);

  struct Pair {
    State from;
    State to;
  };
  // From open to closed by an operator: reset or released.
  for (const auto [from, to] : {Pair{State::kClosed, State::kOpen},
                                Pair{State::kOpen, State::kHalfOpen},
                                Pair{State::kOpen, State::kClosed},
                                Pair{State::kHalfOpen, State::kOpen},
                                Pair{State::kHalfOpen, State::kClosed}}) {
    add(kTransitions, {{"from", StateName(from)}, {"to", StateName(to)}},
        snapshot.transitions[static_cast<std::size_t>(from)]
                            [static_cast<std::size_t>(to)]);
  }

  for (const State state : {State::kClosed, State::kOpen, State::kHalfOpen}) {
    add(kStateSeconds, {{"state", StateName(state)}},
        Seconds(snapshot.time_in_state[static_cast<std::size_t>(state)]));
  }
  add(kStateSeconds, {{"state", OverrideName(Override::kForcedOpen)}},
      Seconds(snapshot.time_forced_open));
  add(kStateSeconds, {{"state", OverrideName(Override::kForcedClosed)}},
      Seconds(snapshot.time_forced_closed));
}

}  // namespace

PrometheusMetrics::PrometheusMetrics(BreakerRegistry* registry,
                                     PrometheusMetricsOptions options)
    : registry_(registry), options_(options) {}

std::vector<MetricFamily> PrometheusMetrics::Collect() const {
  const MutexLock lock(mu_);
  ++scrapes_;
  const Duration wall_offset = WallOffset();
  Page page;
  for (const BreakerSnapshot& snapshot : registry_->Snapshots()) {
    const std::uint64_t hash =
        HashOf(snapshot.role, snapshot.target, snapshot.method);
    Totals& totals = breaker_totals_[hash];
    if (!totals.Begin(snapshot.id, scrapes_)) continue;
    page.SetLabels(LabelsOf(snapshot, hash));
    AddGauges(snapshot, wall_offset, page);
    std::size_t i = 0;
    ForEachCounter(
        snapshot,
        [&](Family family, std::initializer_list<ClientMetric::Label> labels,
            auto value) {
          page.Add(family, labels, totals.Of(i++, static_cast<double>(value)));
        });
  }
  ForgetLongestGone(breaker_totals_);

  for (const MethodCalls& calls : registry_->Calls()) {
    const std::uint64_t hash = HashOf(calls.role, calls.target, calls.method);
    Totals& totals = call_totals_[hash];
    if (!totals.Begin(calls.breaker_id, scrapes_)) continue;
    page.SetLabels(LabelsOf(calls, hash));
    std::array<double, kStatusCodeNames.size()> by_code = {};
    LatencySnapshot latency;
    for (const CallsOfCode& of_code : calls.codes) {
      by_code[static_cast<std::size_t>(of_code.code)] =
          static_cast<double>(of_code.calls);
      latency.Merge(of_code.latency);
    }
    std::size_t i = 0;
    const auto total = [&](auto value) {
      return totals.Of(i++, static_cast<double>(value));
    };
    for (std::size_t code = 0; code < by_code.size(); ++code) {
      const double value = total(by_code[code]);
      // OK from the start, so that the family is there.
      if (value > 0 || code == 0) {
        page.Add(kStatusCalls, {{"grpc_code", kStatusCodeNames[code]}}, value);
      }
    }
    ClientMetric::Histogram histogram;
    for (const Duration bound : kBounds) {
      histogram.bucket.push_back(
          {static_cast<std::uint64_t>(total(latency.CountUpTo(bound))),
           Seconds(bound)});
    }
    histogram.sample_count = static_cast<std::uint64_t>(total(latency.count()));
    histogram.sample_sum = total(Seconds(latency.sum()));
    page.Add(kCallDuration, std::move(histogram));
  }
  ForgetLongestGone(call_totals_);

  page.SetLabels({});
  const BreakerRegistry::Stats stats = registry_->stats();
  page.Add(kBreakers, stats.breakers);
  page.Add(kOverflowedLookups, stats.overflowed);
  page.Add(kRetiredBreakers, stats.retired);
  page.Add(kDeliveredTransitions, stats.transitions);
  page.Add(kSkippedTransitions, stats.skipped);
  page.Add(kBuildInfo, {{"version", kVersion}}, 1);
  return std::move(page).Take();
}

bool PrometheusMetrics::Totals::Begin(std::uint64_t breaker_id,
                                      std::uint64_t scrape) {
  if (last_scrape == scrape) return false;
  last_scrape = scrape;
  if (id == breaker_id) return true;
  id = breaker_id;
  before.resize(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) {
    before[i] += std::exchange(now[i], 0);
  }
  return true;
}

double PrometheusMetrics::Totals::Of(std::size_t counter, double value) {
  if (counter >= now.size()) now.resize(counter + 1);
  now[counter] = value;
  return value + (counter < before.size() ? before[counter] : 0);
}

Duration PrometheusMetrics::WallOffset() const {
  const Duration offset = options_.wall_clock().time_since_epoch() -
                          registry_->Now().time_since_epoch();
  // Two clocks are never read at the same moment. A timestamp that moved by
  // that from scrape to scrape would look like a new one each time; only a
  // clock that was set counts.
  if (!wall_offset_.has_value() ||
      std::chrono::abs(offset - *wall_offset_) >= std::chrono::seconds(1)) {
    wall_offset_ = offset;
  }
  return *wall_offset_;
}

void PrometheusMetrics::ForgetLongestGone(
    std::map<std::uint64_t, Totals>& all) const {
  const auto limit =
      static_cast<std::size_t>(registry_->options().max_breakers);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> gone;
  for (const auto& [hash, totals] : all) {
    if (totals.last_scrape != scrapes_) {
      gone.emplace_back(totals.last_scrape, hash);
    }
  }
  if (gone.size() <= limit) return;
  std::sort(gone.begin(), gone.end());
  gone.resize(gone.size() - limit);
  for (const auto& [scrape, hash] : gone) all.erase(hash);
}

}  // namespace fusebox

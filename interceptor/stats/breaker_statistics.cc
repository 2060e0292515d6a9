#include "interceptor/stats/breaker_statistics.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "interceptor/breaker/outcome.h"
#include "interceptor/stats/distribution.h"
#include "interceptor/stats/latency_snapshot.h"
#include "interceptor/stats/stat_json.h"

namespace fusebox {
namespace {

// By grpc::StatusCode, which nothing here is linked with.
constexpr std::array<const char*, CallsOfCode::kOther + 1> kCodeNames = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "other",
};

constexpr std::array<State, 3> kStates = {State::kClosed, State::kHalfOpen,
                                          State::kOpen};

// Better ones first.
std::size_t Rank(State state) {
  return static_cast<std::size_t>(
      std::find(kStates.begin(), kStates.end(), state) - kStates.begin());
}

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::uint64_t Ended(const BreakerSnapshot& breaker) {
  return breaker.lifetime.total() + breaker.ignored + breaker.stale;
}

std::uint64_t Rejected(const BreakerSnapshot& breaker) {
  std::uint64_t sum = 0;
  for (const std::uint64_t n : breaker.rejected) sum += n;
  return sum;
}

Meter::Rates Plus(const Meter::Rates& a, const Meter::Rates& b) {
  return {a.count + b.count, a.m1 + b.m1, a.m5 + b.m5, a.m15 + b.m15};
}

StatValue OutcomesJson(const OutcomeCounts& counts) {
  StatValue json = StatValue::object();
  for (const Outcome outcome : kAllOutcomes) {
    if (outcome == Outcome::kIgnored) continue;
    Append(json, std::string(OutcomeName(outcome)), counts.of(outcome));
  }
  return json;
}

DistributionSummary Summary(const LatencySnapshot& latency) {
  const auto quantile = [&latency](double q) {
    return Seconds(latency.Quantile(q));
  };
  DistributionSummary summary;
  summary.count = latency.count();
  summary.min = Seconds(latency.min());
  summary.max = Seconds(latency.max());
  summary.mean = Seconds(latency.mean());
  summary.stddev = Seconds(latency.standard_deviation());
  summary.median = quantile(0.5);
  summary.p75 = quantile(0.75);
  summary.p95 = quantile(0.95);
  summary.p98 = quantile(0.98);
  summary.p99 = quantile(0.99);
  summary.p999 = quantile(0.999);
  return summary;
}

// The names of service and method in "/pkg.Service/Method".
struct MethodName {
  std::string service;
  std::string method;

  explicit MethodName(const std::string& name) : service(name), method(name) {
    const std::size_t slash = name.rfind('/');
    if (slash == std::string::npos) return;
    service.resize(slash);
    if (!service.empty() && service[0] == '/') service.erase(0, 1);
    method.erase(0, slash + 1);
  }

  bool operator<(const MethodName& other) const {
    return std::tie(service, method) < std::tie(other.service, other.method);
  }
};

std::string Label(const BreakerSnapshot& breaker) {
  std::string label = RoleName(breaker.role);
  if (!breaker.target.empty()) label += " of " + breaker.target;
  return label;
}

struct Rates {
  Meter::Rates calls;
  Meter::Rates failures;
  Meter::Rates rejections;
};

// What is summed up, of a breaker or of many.
struct Totals {
  Rates rates;
  OutcomeCounts lifetime;
  std::uint64_t ignored = 0;
  std::uint64_t stale = 0;
  std::array<std::uint64_t, kRejectionReasons> rejected = {};
  std::uint64_t shadow_rejected = 0;
  std::uint64_t in_flight = 0;
  // Not a Duration: that of all breakers together need not fit.
  std::array<double, 3> seconds_in_state = {};
  double seconds_forced_open = 0;
  double seconds_forced_closed = 0;
  bool has_calls = false;
  LatencySnapshot latency;
  std::array<std::uint64_t, kCodeNames.size()> codes = {};

  Totals() = default;
  // `calls` is null if none are recorded.
  Totals(const BreakerSnapshot& breaker, Rates breaker_rates,
         const MethodCalls* calls)
      : rates(breaker_rates),
        lifetime(breaker.lifetime),
        ignored(breaker.ignored),
        stale(breaker.stale),
        rejected(breaker.rejected),
        shadow_rejected(breaker.shadow_rejected),
        in_flight(breaker.in_flight),
        seconds_forced_open(Seconds(breaker.time_forced_open)),
        seconds_forced_closed(Seconds(breaker.time_forced_closed)),
        has_calls(calls != nullptr) {
    std::transform(breaker.time_in_state.begin(), breaker.time_in_state.end(),
                   seconds_in_state.begin(), &Seconds);
    if (!has_calls) return;
    for (const CallsOfCode& of_code : calls->codes) {
      latency.Merge(of_code.latency);
      codes.at(static_cast<std::size_t>(of_code.code)) += of_code.calls;
    }
  }

  void Add(const Totals& other) {
    const auto add = [](auto& to, const auto& from) {
      for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
    };
    rates.calls = Plus(rates.calls, other.rates.calls);
    rates.failures = Plus(rates.failures, other.rates.failures);
    rates.rejections = Plus(rates.rejections, other.rates.rejections);
    add(lifetime.by_outcome, other.lifetime.by_outcome);
    lifetime.slow += other.lifetime.slow;
    ignored += other.ignored;
    stale += other.stale;
    add(rejected, other.rejected);
    shadow_rejected += other.shadow_rejected;
    in_flight += other.in_flight;
    add(seconds_in_state, other.seconds_in_state);
    seconds_forced_open += other.seconds_forced_open;
    seconds_forced_closed += other.seconds_forced_closed;
    has_calls = has_calls || other.has_calls;
    latency.Merge(other.latency);
    add(codes, other.codes);
  }

  void AppendTo(StatValue& json) const {
    Append(json, "calls", RatesJson("calls/s", rates.calls));
    Append(json, "failures", RatesJson("calls/s", rates.failures));
    Append(json, "rejections", RatesJson("calls/s", rates.rejections));
    StatValue outcomes = OutcomesJson(lifetime);
    Append(outcomes, "ignored", ignored);
    Append(json, "outcomes", std::move(outcomes));
    Append(json, "slow", lifetime.slow);
    Append(json, "stale", stale);
    StatValue by_reason = StatValue::object();
    for (std::size_t i = 0; i < rejected.size(); ++i) {
      Append(by_reason, RejectionReasonName(static_cast<RejectionReason>(i)),
             rejected[i]);
    }
    Append(json, "rejected", std::move(by_reason));
    Append(json, "shadow_rejected", shadow_rejected);
    Append(json, "in_flight", in_flight);
    StatValue seconds = StatValue::object();
    for (std::size_t i = 0; i < seconds_in_state.size(); ++i) {
      Append(seconds, StateName(static_cast<State>(i)), seconds_in_state[i]);
    }
    Append(seconds, "forced_open", seconds_forced_open);
    Append(seconds, "forced_closed", seconds_forced_closed);
    Append(json, "seconds_in_state", std::move(seconds));
    if (!has_calls) return;
    Append(json, "latency_seconds", DistributionJson(Summary(latency)));
    StatValue by_code = StatValue::object();
    for (std::size_t i = 0; i < codes.size(); ++i) {
      if (codes[i] != 0) Append(by_code, kCodeNames[i], codes[i]);
    }
    Append(json, "codes", std::move(by_code));
  }
};

// The sums of methods, and how many are in each state.
struct OfMethods {
  Totals totals;
  std::array<std::uint64_t, kStates.size()> in_state = {};

  StatValue Json() const {
    StatValue methods = StatValue::object();
    for (const State state : kStates) {
      Append(methods, StateName(state), in_state[Rank(state)]);
    }
    StatValue json = {{"methods", std::move(methods)}};
    totals.AppendTo(json);
    return json;
  }
};

}  // namespace

void BreakerStatistics::Followed::Follow(std::uint64_t total, TimePoint at) {
  // Less than before: an operator has reset the breaker.
  meter_.Mark(at, total >= seen_ ? total - seen_ : total);
  seen_ = total;
}

Meter::Rates BreakerStatistics::Followed::Read(TimePoint now) {
  Meter::Rates rates = meter_.Read(now);
  rates.count = seen_;
  return rates;
}

BreakerStatistics::BreakerStatistics(BreakerRegistry* registry,
                                     Statistics* statistics, std::string path)
    : registry_(registry),
      statistics_(statistics),
      path_(std::move(path)),
      start_(registry->Now()),
      looked_(start_),
      next_round_(start_ + Meter::kTick) {
  {
    MutexLock lock(mu_);
    Look(registry_->Snapshots(), start_, /*first=*/true);
  }
  statistics_->View(path_, [this] { return Read(); });
  watch_ = registry_->WatchRounds([this] { Round(); });
}

BreakerStatistics::~BreakerStatistics() {
  watch_.Stop();
  statistics_->Remove(path_);
}

TimePoint BreakerStatistics::TickBefore(TimePoint at) const {
  return start_ + (at - start_) / Meter::kTick * Meter::kTick;
}

void BreakerStatistics::Round() {
  MutexLock lock(mu_);
  const TimePoint now = registry_->Now();
  if (now < next_round_) return;
  next_round_ = TickBefore(now) + Meter::kTick;
  Look(registry_->Snapshots(), now, /*first=*/false);
}

void BreakerStatistics::Look(const std::vector<BreakerSnapshot>& breakers,
                             TimePoint now, bool first) {
  std::map<std::uint64_t, Meters> meters;
  const TimePoint start = TickBefore(looked_);
  for (const BreakerSnapshot& breaker : breakers) {
    const std::uint64_t ended = Ended(breaker);
    const std::uint64_t failures = breaker.lifetime.failures();
    const std::uint64_t rejected = Rejected(breaker);
    // What was counted before the first look, nobody knows when.
    const auto followed = [&](std::uint64_t total) {
      return Followed(start, first ? total : 0);
    };
    auto known = meters_.extract(breaker.id);
    Meters& own =
        (known.empty()
             ? meters
                   .try_emplace(breaker.id,
                                Meters{followed(ended), followed(failures),
                                       followed(rejected)})
                   .first
             : meters.insert(std::move(known)).position)
            ->second;
    own.calls.Follow(ended, looked_);
    own.failures.Follow(failures, looked_);
    own.rejections.Follow(rejected, looked_);
  }
  meters_ = std::move(meters);  // without breakers that are gone
  looked_ = now;
}

StatValue BreakerStatistics::Read() {
  std::vector<MethodCalls> recorded = registry_->Calls();
  std::map<std::uint64_t, const MethodCalls*> calls_of;
  for (const MethodCalls& calls : recorded) {
    calls_of[calls.breaker_id] = &calls;
  }

  std::vector<BreakerSnapshot> breakers;
  std::map<std::uint64_t, Rates> rates_of;
  {
    MutexLock lock(mu_);
    const TimePoint now = registry_->Now();
    breakers = registry_->Snapshots();
    Look(breakers, now, /*first=*/false);
    for (auto& [id, meters] : meters_) {
      rates_of[id] = {meters.calls.Read(now), meters.failures.Read(now),
                      meters.rejections.Read(now)};
    }
  }

  std::map<MethodName, std::vector<const BreakerSnapshot*>> methods;
  for (const BreakerSnapshot& breaker : breakers) {
    methods[MethodName(breaker.method)].push_back(&breaker);
  }

  OfMethods process;
  std::map<std::string, OfMethods> services;
  std::map<std::string, StatValue> methods_json;  // by service
  for (const auto& [name, own] : methods) {
    Totals totals;
    State worst = State::kClosed;
    StatValue own_json = StatValue::object();
    for (const BreakerSnapshot* breaker : own) {
      const auto calls = calls_of.find(breaker->id);
      const Totals of_breaker(
          *breaker, rates_of[breaker->id],
          calls == calls_of.end() ? nullptr : calls->second);
      totals.Add(of_breaker);
      worst = std::max(worst, breaker->state,
                       [](State a, State b) { return Rank(a) < Rank(b); });
      StatValue json = {{"state", StateName(breaker->state)},
                        {"override", OverrideName(breaker->override_state)},
                        {"generation", breaker->generation},
                        {"window", OutcomesJson(breaker->window)}};
      of_breaker.AppendTo(json);
      // Two may come to one name only by a method that is called as an overflow
      // breaker is.
      std::string label = Label(*breaker);
      while (own_json.contains(label)) label += '\'';
      Append(own_json, std::move(label), std::move(json));
    }
    StatValue json = {{"state", StateName(worst)}};
    totals.AppendTo(json);
    Append(json, "breakers", std::move(own_json));
    StatValue& of_service =
        methods_json.try_emplace(name.service, StatValue::object())
            .first->second;
    Append(of_service, name.method, std::move(json));
    for (OfMethods* above : {&services[name.service], &process}) {
      above->totals.Add(totals);
      ++above->in_state[Rank(worst)];
    }
  }

  const BreakerRegistry::Stats stats = registry_->stats();
  StatValue json = process.Json();
  Append(json, "registry",
         {{"breakers", stats.breakers},
          {"overflowed", stats.overflowed},
          {"retired", stats.retired},
          {"transitions", stats.transitions},
          {"skipped", stats.skipped}});
  StatValue services_json = StatValue::object();
  for (const auto& [service, of_methods] : services) {
    Append(services_json, service, of_methods.Json());
  }
  Append(json, "service", std::move(services_json));
  StatValue method_json = StatValue::object();
  for (auto& [service, of_service] : methods_json) {
    Append(method_json, service, std::move(of_service));
  }
  Append(json, "method", std::move(method_json));
  return json;
}

}  // namespace fusebox

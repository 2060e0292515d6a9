#include "interceptor/stats/breaker_statistics.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "interceptor/breaker/outcome.h"
#include "interceptor/stats/distribution.h"
#include "interceptor/stats/latency_snapshot.h"
#include "interceptor/stats/stat_json.h"
#include "interceptor/stats/status_code_names.h"

namespace fusebox {
namespace {

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

template <typename T, std::size_t kSize>
void AddEach(std::array<T, kSize>& to, const std::array<T, kSize>& from) {
  for (std::size_t i = 0; i < kSize; ++i) to[i] += from[i];
}

StatValue OutcomesJson(const OutcomeCounts& counts) {
  StatValue json = ObjectFor(kAllOutcomes.size());
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

// "pkg.Service" and "Method" of "/pkg.Service/Method".
std::pair<std::string, std::string> ServiceAndMethod(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string::npos) return {name, name};
  const std::size_t start = slash > 0 && name[0] == '/' ? 1 : 0;
  return {name.substr(start, slash - start), name.substr(slash + 1)};
}

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
  LatencySnapshot latency;
  std::array<std::uint64_t, kStatusCodeNames.size()> codes = {};

  // That AppendTo() appends.
  static constexpr std::size_t kMembers = 12;

  Totals() = default;
  // `calls` may be null.
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
        seconds_forced_closed(Seconds(breaker.time_forced_closed)) {
    std::transform(breaker.time_in_state.begin(), breaker.time_in_state.end(),
                   seconds_in_state.begin(), &Seconds);
    if (calls == nullptr) return;
    for (const CallsOfCode& of_code : calls->codes) {
      latency.Merge(of_code.latency);
      codes.at(static_cast<std::size_t>(of_code.code)) += of_code.calls;
    }
  }

  void Add(const Totals& other) {
    rates.calls = Plus(rates.calls, other.rates.calls);
    rates.failures = Plus(rates.failures, other.rates.failures);
    rates.rejections = Plus(rates.rejections, other.rates.rejections);
    AddEach(lifetime.by_outcome, other.lifetime.by_outcome);
    lifetime.slow += other.lifetime.slow;
    ignored += other.ignored;
    stale += other.stale;
    AddEach(rejected, other.rejected);
    shadow_rejected += other.shadow_rejected;
    in_flight += other.in_flight;
    AddEach(seconds_in_state, other.seconds_in_state);
    seconds_forced_open += other.seconds_forced_open;
    seconds_forced_closed += other.seconds_forced_closed;
    latency.Merge(other.latency);
    AddEach(codes, other.codes);
  }

  void AppendTo(StatValue& json, bool call_stats) const {
    Append(json, "calls", RatesJson("calls/s", rates.calls));
    Append(json, "failures", RatesJson("calls/s", rates.failures));
    Append(json, "rejections", RatesJson("calls/s", rates.rejections));
    StatValue outcomes = OutcomesJson(lifetime);
    Append(outcomes, "ignored", ignored);
    Append(json, "outcomes", std::move(outcomes));
    Append(json, "slow", lifetime.slow);
    Append(json, "stale", stale);
    StatValue by_reason = ObjectFor(rejected.size());
    for (std::size_t i = 0; i < rejected.size(); ++i) {
      Append(by_reason, RejectionReasonName(static_cast<RejectionReason>(i)),
             rejected[i]);
    }
    Append(json, "rejected", std::move(by_reason));
    Append(json, "shadow_rejected", shadow_rejected);
    Append(json, "in_flight", in_flight);
    StatValue seconds = ObjectFor(seconds_in_state.size() + 2);
    for (std::size_t i = 0; i < seconds_in_state.size(); ++i) {
      Append(seconds, StateName(static_cast<State>(i)), seconds_in_state[i]);
    }
    Append(seconds, "forced_open", seconds_forced_open);
    Append(seconds, "forced_closed", seconds_forced_closed);
    Append(json, "seconds_in_state", std::move(seconds));
    if (!call_stats) return;
    Append(json, "latency_seconds", DistributionJson(Summary(latency)));
    StatValue by_code = ObjectFor(codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      if (codes[i] != 0) Append(by_code, kStatusCodeNames[i], codes[i]);
    }
    Append(json, "codes", std::move(by_code));
  }
};

// The sums of methods, and how many are in each state.
struct OfMethods {
  Totals totals;
  std::array<std::uint64_t, kStates.size()> in_state = {};

  void Add(const OfMethods& other) {
    totals.Add(other.totals);
    AddEach(in_state, other.in_state);
  }

  // With room for three more.
  StatValue Json(bool call_stats) const {
    StatValue methods = ObjectFor(kStates.size());
    for (const State state : kStates) {
      Append(methods, StateName(state), in_state[Rank(state)]);
    }
    StatValue json = ObjectFor(1 + Totals::kMembers + 3);
    Append(json, "methods", std::move(methods));
    totals.AppendTo(json, call_stats);
    return json;
  }
};

struct OneBreaker {
  const BreakerSnapshot* snapshot;
  Rates rates;
  const MethodCalls* calls;  // null if none are recorded
};

// What the breakers of one method show, which goes into `sum` as well.
StatValue MethodJson(const std::vector<OneBreaker>& breakers, bool call_stats,
                     OfMethods& sum) {
  Totals totals;
  State worst = State::kClosed;
  StatValue breakers_json = ObjectFor(breakers.size());
  for (const OneBreaker& one : breakers) {
    const BreakerSnapshot& breaker = *one.snapshot;
    const Totals own(breaker, one.rates, one.calls);
    totals.Add(own);
    if (Rank(breaker.state) > Rank(worst)) worst = breaker.state;
    StatValue json = ObjectFor(4 + Totals::kMembers);
    Append(json, "state", StateName(breaker.state));
    Append(json, "override", OverrideName(breaker.override_state));
    Append(json, "generation", breaker.generation);
    Append(json, "window", OutcomesJson(breaker.window));
    own.AppendTo(json, call_stats);
    // Two come to one name only if a method is called as overflow breakers are.
    std::string label = Label(breaker);
    while (breakers_json.contains(label)) label += '\'';
    Append(breakers_json, std::move(label), std::move(json));
  }
  sum.totals.Add(totals);
  ++sum.in_state[Rank(worst)];

  StatValue json = ObjectFor(2 + Totals::kMembers);
  Append(json, "state", StateName(worst));
  totals.AppendTo(json, call_stats);
  Append(json, "breakers", std::move(breakers_json));
  return json;
}

}  // namespace

void BreakerStatistics::Followed::Follow(std::uint64_t total, TimePoint at) {
  meter_.Mark(at, total - seen_);  // lifetime counters never fall
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
    const auto known = meters_.find(breaker.id);
    Meters& own = meters
                      .try_emplace(breaker.id, known != meters_.end()
                                                   ? known->second
                                                   : Meters{followed(ended),
                                                            followed(failures),
                                                            followed(rejected)})
                      .first->second;
    own.calls.Follow(ended, looked_);
    own.failures.Follow(failures, looked_);
    own.rejections.Follow(rejected, looked_);
  }
  meters_ = std::move(meters);  // without breakers that are gone
  looked_ = now;
}

StatValue BreakerStatistics::Read() {
  const bool call_stats = registry_->options().call_stats;
  const std::vector<MethodCalls> recorded = registry_->Calls();
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

  std::map<std::string, std::map<std::string, std::vector<OneBreaker>>>
      services;
  for (const BreakerSnapshot& breaker : breakers) {
    const auto calls = calls_of.find(breaker.id);
    const auto [service, method] = ServiceAndMethod(breaker.method);
    services[service][method].push_back(
        {&breaker, rates_of[breaker.id],
         calls == calls_of.end() ? nullptr : calls->second});
  }

  OfMethods process;
  StatValue services_json = ObjectFor(services.size());
  StatValue methods_json = ObjectFor(services.size());
  for (const auto& [service, methods] : services) {
    OfMethods of_service;
    StatValue of_service_json = ObjectFor(methods.size());
    for (const auto& [method, own] : methods) {
      Append(of_service_json, method, MethodJson(own, call_stats, of_service));
    }
    process.Add(of_service);
    Append(services_json, service, of_service.Json(call_stats));
    Append(methods_json, service, std::move(of_service_json));
  }

  StatValue json = process.Json(call_stats);
  const BreakerRegistry::Stats stats = registry_->stats();
  Append(json, "registry",
         {{"breakers", stats.breakers},
          {"overflowed", stats.overflowed},
          {"retired", stats.retired},
          {"transitions", stats.transitions},
          {"skipped", stats.skipped}});
  Append(json, "service", std::move(services_json));
  Append(json, "method", std::move(methods_json));
  return json;
}

}  // namespace fusebox

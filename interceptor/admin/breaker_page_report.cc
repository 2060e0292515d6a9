#include "interceptor/admin/breaker_page_report.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <tuple>
#include <utility>

#include "interceptor/admin/operator_acts.h"
#include "interceptor/admin/printable_text.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;
using Rates = BreakerPageHistory::Rates;

// What a person reads; more figures would only be noise.
double Tenths(double value) { return std::round(value * 10) / 10; }
double Myriadths(double value) { return std::round(value * 1e4) / 1e4; }

double Seconds(Duration duration) {
  return std::round(std::chrono::duration<double>(duration).count() * 1000) /
         1000;
}

// Until `at`; null if that never comes.
Json SecondsUntil(TimePoint at, TimePoint now) {
  if (at == TimePoint::max()) return nullptr;
  return Seconds(std::max<Duration>(at - now, Duration::zero()));
}

std::uint64_t Rejected(const BreakerSnapshot& breaker) {
  std::uint64_t sum = 0;
  for (const std::uint64_t rejected : breaker.rejected) sum += rejected;
  return sum;
}

// Judged at all: a closed breaker needs some calls for it.
bool IsJudged(const BreakerSnapshot& breaker) {
  const auto calls = static_cast<std::int64_t>(breaker.window.total());
  return breaker.state != State::kClosed ||
         calls > breaker.settings.min_requests;
}

// Means of the last ten seconds.
Rates RecentRates(const BreakerPageHistory& history, std::uint64_t id) {
  constexpr int kRecent = 10;
  const std::int64_t newest = history.newest();
  Rates mean;
  for (const Rates& rates : history.RatesOf(id, newest - kRecent, newest)) {
    mean.ok += rates.ok / kRecent;
    mean.failed += rates.failed / kRecent;
    mean.rejected += rates.rejected / kRecent;
  }
  return mean;
}

const char* ShownState(State state, Override override_state) {
  return override_state == Override::kNone ? StateName(state)
                                           : OverrideName(override_state);
}

Json TransitionJson(const HistoryEntry& entry) {
  const Transition& change = entry.transition;
  const std::chrono::duration<double> since_epoch =
      entry.time.time_since_epoch();
  Json json = {
      {"time_s", std::round(since_epoch.count() * 1000) / 1000},
      {"from", ShownState(change.from, change.override_from)},
      {"to", ShownState(change.to, change.override_to)},
      {"reason", TransitionReasonName(change.reason)},
  };
  if (entry.act.has_value()) {
    json["act"] = ActName(entry.act->kind);
    json["who"] = entry.act->who;
    json["detail"] = entry.act->detail;
    json["comment"] = entry.act->comment;
  }
  return json;
}

// "12s", "3m", "4h", "5d".
std::string ShortAge(Duration age) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(age).count();
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) return std::to_string(seconds / 60) + "m";
  if (seconds < 86400) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / 86400) + "d";
}

std::string Percent(double share) {
  return std::to_string(std::lround(share * 100)) + "%";
}

std::string Decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

// What comes next, and when.
std::string Next(const BreakerSnapshot& breaker, TimePoint now) {
  if (breaker.override_state != Override::kNone) {
    return breaker.next_change == TimePoint::max()
               ? "until released"
               : "ends in " + ShortAge(breaker.next_change - now);
  }
  if (breaker.state == State::kOpen) {
    return "probe in " + ShortAge(breaker.next_probe - now);
  }
  if (breaker.state == State::kHalfOpen) {
    return breaker.proved ? "recovering" : "probing";
  }
  return "";
}

// Before another: small first.
auto Rank(const BreakerSnapshot& breaker) {
  int state = 3;
  if (breaker.override_state == Override::kForcedClosed) {
    state = 2;
  } else if (breaker.state == State::kOpen ||
             breaker.override_state == Override::kForcedOpen) {
    state = 0;
  } else if (breaker.state == State::kHalfOpen) {
    state = 1;
  }
  // One bad call of one is not as bad as fifty of a hundred.
  const auto calls = static_cast<double>(breaker.window.total());
  const auto failures = static_cast<double>(breaker.window.failures());
  const auto enough = static_cast<double>(breaker.settings.min_requests);
  return std::tuple(state, -failures / std::max({calls, enough, 1.0}), -calls);
}

using Cells = std::array<std::string, 9>;

Cells RowOf(const BreakerSnapshot& breaker, const BreakerPageHistory& history,
            TimePoint now) {
  const JudgedShare nearest = NearestShare(breaker);
  const Rates rates = RecentRates(history, breaker.id);
  const auto reason = history.LastReasonOf(breaker.id);
  std::string state = ShownState(breaker.state, breaker.override_state);
  if (breaker.settings.mode != Mode::kEnforce) {
    state += std::string(" (") + ModeName(breaker.settings.mode) + ")";
  }
  std::string name = RoleName(breaker.role);
  if (!breaker.target.empty()) name += " " + PrintableText(breaker.target);
  return {
      state,
      ShortAge(now - breaker.since),
      Percent(nearest.share) + (IsJudged(breaker) ? "" : " (few calls)"),
      nearest.threshold.has_value() ? Percent(*nearest.threshold) : "off",
      Decimal(rates.ok + rates.failed + rates.rejected),
      std::to_string(Rejected(breaker)),
      Next(breaker, now),
      reason.has_value() ? TransitionReasonName(*reason) : "",
      PrintableText(breaker.method) + " (" + name + ")",
  };
}

}  // namespace

std::vector<JudgedShare> JudgedShares(const BreakerSnapshot& breaker) {
  const OutcomeCounts& window = breaker.window;
  const Settings& settings = breaker.settings;
  std::vector<JudgedShare> shares = {
      {"failure", window.failures(), 0, settings.failure_threshold},
      {"timeout", window.of(Outcome::kTimeout), 0, settings.timeout_threshold},
      {"system_error", window.of(Outcome::kSystemError), 0,
       settings.system_error_threshold},
      {"unknown_error", window.of(Outcome::kUnknownError), 0,
       settings.unknown_error_threshold},
  };
  if (settings.slow_call_duration.has_value()) {
    shares.push_back(
        {"slow_call", window.slow, 0, settings.slow_call_threshold});
  }
  if (window.total() > 0) {
    for (JudgedShare& share : shares) {
      share.share = static_cast<double>(share.calls) /
                    static_cast<double>(window.total());
    }
  }
  return shares;
}

JudgedShare NearestShare(const BreakerSnapshot& breaker) {
  const auto nearness = [](const JudgedShare& share) {
    return share.threshold.has_value() ? share.share / *share.threshold : -1;
  };
  const std::vector<JudgedShare> shares = JudgedShares(breaker);
  return *std::max_element(shares.begin(), shares.end(),
                           [&](const JudgedShare& a, const JudgedShare& b) {
                             return nearness(a) < nearness(b);
                           });
}

Json BreakerJson(const BreakerSnapshot& breaker,
                 const BreakerPageHistory& history, TimePoint now) {
  const JudgedShare nearest = NearestShare(breaker);
  const Rates rates = RecentRates(history, breaker.id);
  const auto reason = history.LastReasonOf(breaker.id);
  const bool forced = breaker.override_state != Override::kNone;
  return {
      {"role", RoleName(breaker.role)},
      {"target", breaker.target},
      {"method", breaker.method},
      {"mode", ModeName(breaker.settings.mode)},
      {"state", StateName(breaker.state)},
      {"override", OverrideName(breaker.override_state)},
      {"ramp", breaker.state == State::kHalfOpen && breaker.proved},
      {"state_age_s", Seconds(now - breaker.since)},
      {"next_probe_s", SecondsUntil(breaker.next_probe, now)},
      {"override_left_s",
       forced ? SecondsUntil(breaker.next_change, now) : Json(nullptr)},
      {"window",
       {{"calls", breaker.window.total()},
        {"failures", breaker.window.failures()},
        {"min", breaker.settings.min_requests},
        {"judged", IsJudged(breaker)}}},
      {"nearest",
       {{"class", nearest.name},
        {"share", Myriadths(nearest.share)},
        {"threshold", nearest.threshold.has_value() ? Json(*nearest.threshold)
                                                    : Json(nullptr)}}},
      {"calls_per_s", Tenths(rates.ok + rates.failed + rates.rejected)},
      {"rejected_per_s", Tenths(rates.rejected)},
      {"rejected", Rejected(breaker)},
      {"shadow_rejected", breaker.shadow_rejected},
      {"in_flight", breaker.in_flight},
      {"last_reason", reason.has_value() ? Json(TransitionReasonName(*reason))
                                         : Json(nullptr)},
  };
}

Json RatesJson(const std::vector<Rates>& rates) {
  if (rates.empty()) return nullptr;
  Json json = {{"ok", Json::array()},
               {"failed", Json::array()},
               {"rejected", Json::array()}};
  for (const Rates& of_second : rates) {
    json["ok"].push_back(Tenths(of_second.ok));
    json["failed"].push_back(Tenths(of_second.failed));
    json["rejected"].push_back(Tenths(of_second.rejected));
  }
  return json;
}

Json DetailsJson(const BreakerSnapshot& breaker,
                 const std::vector<HistoryEntry>& last,
                 const EffectiveSettings* settings) {
  Json shares = Json::array();
  for (const JudgedShare& share : JudgedShares(breaker)) {
    shares.push_back(
        {{"class", share.name},
         {"calls", share.calls},
         {"share", Myriadths(share.share)},
         {"threshold", share.threshold.has_value() ? Json(*share.threshold)
                                                   : Json(nullptr)}});
  }
  Json lifetime = Json::object();
  for (const Outcome outcome : kAllOutcomes) {
    lifetime[std::string(OutcomeName(outcome))] =
        outcome == Outcome::kIgnored ? breaker.ignored
                                     : breaker.lifetime.of(outcome);
  }
  Json rejected = Json::object();
  for (int i = 0; i < kRejectionReasons; ++i) {
    rejected[RejectionReasonName(static_cast<RejectionReason>(i))] =
        breaker.rejected[static_cast<std::size_t>(i)];
  }
  Json fields = Json::array();
  for (const SettingsField& field : SettingsFields()) {
    Json json = {
        {"field", field.name},
        {"value", GetSettingsField(breaker.settings, field.name)},
        {"default", field.default_value},
    };
    if (settings != nullptr) {
      json["source"] =
          FormatSource(settings->SourceOf(breaker.method, field.name));
    }
    fields.push_back(std::move(json));
  }
  Json transitions = Json::array();
  for (auto entry = last.rbegin(); entry != last.rend(); ++entry) {
    transitions.push_back(TransitionJson(*entry));
  }
  return {
      {"etag", BreakerEtag(breaker)},
      {"shares", std::move(shares)},
      {"lifetime", std::move(lifetime)},
      {"rejected_by", std::move(rejected)},
      {"time_in_state_s",
       {{"closed", Seconds(breaker.time_in_state[0])},
        {"open", Seconds(breaker.time_in_state[1])},
        {"half_open", Seconds(breaker.time_in_state[2])},
        {"forced_open", Seconds(breaker.time_forced_open)},
        {"forced_closed", Seconds(breaker.time_forced_closed)}}},
      {"settings", std::move(fields)},
      {"transitions", std::move(transitions)},
  };
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false,
                   Json::error_handler_t::replace);
}

std::string BreakerTable(std::vector<BreakerSnapshot> breakers,
                         const BreakerPageHistory& history, TimePoint now) {
  std::stable_sort(breakers.begin(), breakers.end(),
                   [](const BreakerSnapshot& a, const BreakerSnapshot& b) {
                     return Rank(a) < Rank(b);
                   });
  std::vector<Cells> rows = {{"STATE", "FOR", "FAILED", "LIMIT", "CALLS/S",
                              "REJECTED", "NEXT", "LAST REASON", "METHOD"}};
  for (const BreakerSnapshot& breaker : breakers) {
    rows.push_back(RowOf(breaker, history, now));
  }
  std::array<std::size_t, std::tuple_size<Cells>::value> widths = {};
  for (const Cells& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string table;
  for (const Cells& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      table += row[i];
      table.append(widths[i] - row[i].size() + 2, ' ');
    }
    table += row.back() + "\n";
  }
  return table;
}

}  // namespace fusebox

#include "interceptor/export/breaker_numbers.h"

#include <array>
#include <chrono>
#include <cstddef>

namespace fusebox {
namespace {

constexpr std::array<State, 3> kStates = {State::kClosed, State::kOpen,
                                          State::kHalfOpen};

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

double Number(std::uint64_t count) { return static_cast<double>(count); }

}  // namespace

std::vector<BreakerNumber> BreakerCounters(const BreakerSnapshot& breaker) {
  std::vector<BreakerNumber> numbers;
  for (Outcome outcome : kAllOutcomes) {
    numbers.push_back(
        {"calls", "outcome", std::string(OutcomeName(outcome)),
         Number(outcome == Outcome::kIgnored ? breaker.ignored
                                             : breaker.lifetime.of(outcome))});
  }
  numbers.push_back({"slow_calls", "", "", Number(breaker.lifetime.slow)});
  for (int i = 0; i < kRejectionReasons; ++i) {
    numbers.push_back({"rejected_calls", "reason",
                       RejectionReasonName(static_cast<RejectionReason>(i)),
                       Number(breaker.rejected[static_cast<std::size_t>(i)])});
  }
  numbers.push_back(
      {"shadow_rejected_calls", "", "", Number(breaker.shadow_rejected)});
  numbers.push_back({"stale_calls", "", "", Number(breaker.stale)});
  for (State from : kStates) {
    for (State to : kStates) {
      if (from == to) continue;
      numbers.push_back({"transitions", "change",
                         std::string(StateName(from)) + "_to_" + StateName(to),
                         Number(breaker.transitions[static_cast<std::size_t>(
                             from)][static_cast<std::size_t>(to)])});
    }
  }
  for (State state : kStates) {
    numbers.push_back(
        {"state_seconds", "state", StateName(state),
         Seconds(breaker.time_in_state[static_cast<std::size_t>(state)])});
  }
  numbers.push_back({"state_seconds", "state",
                     OverrideName(Override::kForcedOpen),
                     Seconds(breaker.time_forced_open)});
  numbers.push_back({"state_seconds", "state",
                     OverrideName(Override::kForcedClosed),
                     Seconds(breaker.time_forced_closed)});
  return numbers;
}

std::vector<BreakerNumber> BreakerGauges(const BreakerSnapshot& breaker) {
  std::vector<BreakerNumber> numbers;
  for (State state : kStates) {
    const bool is =
        breaker.override_state == Override::kNone && breaker.state == state;
    numbers.push_back({"state", "state", StateName(state), is ? 1.0 : 0.0});
  }
  for (Override forced : {Override::kForcedOpen, Override::kForcedClosed}) {
    const bool is = breaker.override_state == forced;
    numbers.push_back({"state", "state", OverrideName(forced), is ? 1.0 : 0.0});
  }
  numbers.push_back({"calls_in_flight", "", "", Number(breaker.in_flight)});
  const OutcomeCounts& window = breaker.window;
  numbers.push_back({"window_calls", "", "", Number(window.total())});
  numbers.push_back({"window_failures", "", "", Number(window.failures())});
  numbers.push_back({"window_slow_calls", "", "", Number(window.slow)});
  if (window.total() > 0) {
    numbers.push_back({"failure_ratio", "", "",
                       Number(window.failures()) / Number(window.total())});
  }
  if (breaker.settings.failure_threshold.has_value()) {
    numbers.push_back({"failure_ratio_threshold", "", "",
                       *breaker.settings.failure_threshold});
  }
  return numbers;
}

std::string_view MethodName(const BreakerSnapshot& breaker) {
  std::string_view name = breaker.method;
  if (!name.empty() && name[0] == '/') name.remove_prefix(1);
  return name;
}

}  // namespace fusebox

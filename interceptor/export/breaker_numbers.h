// What there is to tell about a breaker in numbers, for exporters that have no
// format of their own for it.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_BREAKER_NUMBERS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_BREAKER_NUMBERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/state.h"

namespace fusebox {

struct BreakerNumber {
  std::string_view name;  // "calls"
  // What tells numbers of one name apart; empty if there is only one.
  std::string_view label;  // "outcome"
  std::string value;       // "ok"
  double number = 0;       // never NaN or infinite
};

// Counters, which only grow; always the same ones in the same order:
//   calls{outcome}       that ended with a counted outcome, and "ignored"
//   slow_calls           also in one of the above
//   rejected_calls{reason}
//   shadow_rejected_calls
//   stale_calls          answers to calls of before the last opening
//   transitions{change}  "closed_to_open" and so on, all six
//   state_seconds{state} state as below
std::vector<BreakerNumber> BreakerCounters(const BreakerSnapshot& breaker);

// As of now:
//   state{state}         1 for one of "closed", "open", "half_open",
//                        "forced_open" and "forced_closed"; 0 for the others
//   calls_in_flight
//   window_calls, window_failures, window_slow_calls
//   failure_ratio        of the window, 0 to 1; missing while that is empty
//   failure_ratio_threshold  missing while off
std::vector<BreakerNumber> BreakerGauges(const BreakerSnapshot& breaker);

// The name of a method without the leading slash: "pkg.Service/Method".
std::string_view MethodName(const BreakerSnapshot& breaker);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_BREAKER_NUMBERS_H_

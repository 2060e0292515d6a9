// The arithmetic of the policy: settings in the form the breaker computes with.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_POLICY_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_POLICY_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "interceptor/breaker/settings.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// Words. `n` is the number of counted outcomes in the window; a call is bad if
// it failed or was slow.
//
//   reached(count, threshold)  threshold is on and count >= threshold * n,
//                              compared exactly: count * 10^6 >= ppm * n
//   unhealthy(minimum)         n > minimum and one of the classes, all failures
//                              or the slow calls reached their threshold
//
// All times in nanoseconds. A plain value, shared by the breakers it applies
// to; thread-compatible.
struct Policy {
  // `settings` must be valid.
  explicit Policy(const Settings& source);

  // floor(t / bucket_width).
  std::int64_t Bucket(std::int64_t t) const {
    const std::int64_t quotient = t / bucket_width_ns;
    return t < quotient * bucket_width_ns ? quotient - 1 : quotient;
  }
  std::int64_t BucketEnd(std::int64_t bucket) const {
    return (bucket + 1) * bucket_width_ns;
  }

  // The first threshold that `window` reached, if it holds more than `minimum`
  // outcomes.
  std::optional<TransitionReason> Unhealthy(const OutcomeCounts& window,
                                            std::int64_t minimum) const;

  // How long the breaker stays open before a probe:
  //   min(min_recovery * backoff_multiplier^openings, max_open_duration)
  //   * (1 + jitter * draw), rounded once to the nearest nanosecond.
  // `draw` in [-1, 1].
  std::int64_t OpenFor(std::uint32_t openings, double draw) const;

  // Whether the ramp admits a call `elapsed` after its origin: with probability
  // elapsed / max_recovery, that is iff draw * max_recovery < elapsed. `draw`
  // uniform in [0, 1). Compared as integers: exact, since x < n iff floor(x) <
  // n, and `elapsed`, which hangs on a clock reading, comes in last.
  bool RampAdmits(std::int64_t elapsed, double draw) const {
    return static_cast<std::int64_t>(
               draw * static_cast<double>(max_recovery_ns)) < elapsed;
  }
  // When a call that the ramp did not admit had better try again.
  std::int64_t RampRetry(std::int64_t elapsed) const {
    return std::min(min_recovery_ns, max_recovery_ns - elapsed);
  }

  // Where the numbers come from.
  Settings settings;

  std::int64_t bucket_width_ns;
  std::int64_t min_requests;
  // Parts per million; 0 is off.
  std::uint64_t timeout_ppm;
  std::uint64_t system_error_ppm;
  std::uint64_t unknown_error_ppm;
  std::uint64_t failure_ppm;
  std::uint64_t slow_call_ppm;
  std::int64_t slow_call_ns;  // the largest number when off
  std::int64_t min_recovery_ns;
  std::int64_t max_recovery_ns;
  std::int64_t max_open_ns;
  double backoff_multiplier;
  double jitter;
  std::int64_t probe_lease_ns;
  bool drain_window_before_recovery;
  bool ramp_from_opening;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_POLICY_H_

#include "interceptor/breaker/policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fusebox {
namespace {

std::uint64_t PartsPerMillion(const Threshold& threshold) {
  if (!threshold.has_value()) return 0;
  return static_cast<std::uint64_t>(std::llround(*threshold * 1e6));
}

// count / n >= ppm / 10^6. Exact: n stays far below 2^43.
bool Reached(std::uint64_t count, std::uint64_t ppm, std::uint64_t n) {
  return ppm != 0 && count * 1'000'000 >= ppm * n;
}

}  // namespace

Policy::Policy(const Settings& source)
    : settings(source),
      bucket_width_ns(settings.bucket_width.count()),
      min_requests(settings.min_requests),
      timeout_ppm(PartsPerMillion(settings.timeout_threshold)),
      system_error_ppm(PartsPerMillion(settings.system_error_threshold)),
      unknown_error_ppm(PartsPerMillion(settings.unknown_error_threshold)),
      failure_ppm(PartsPerMillion(settings.failure_threshold)),
      slow_call_ppm(settings.slow_call_duration.has_value()
                        ? PartsPerMillion(settings.slow_call_threshold)
                        : 0),
      slow_call_ns(settings.slow_call_duration.has_value()
                       ? settings.slow_call_duration->count()
                       : std::numeric_limits<std::int64_t>::max()),
      min_recovery_ns(settings.min_recovery.count()),
      max_recovery_ns(settings.max_recovery.count()),
      max_open_ns(settings.max_open_duration.count()),
      backoff_multiplier(settings.backoff_multiplier),
      jitter(settings.jitter),
      probe_lease_ns(settings.probe_lease.count()),
      drain_window_before_recovery(settings.drain_window_before_recovery),
      ramp_from_opening(settings.ramp_from_opening) {}

std::optional<TransitionReason> Policy::Unhealthy(const OutcomeCounts& window,
                                                  std::int64_t minimum) const {
  const std::uint64_t n = window.total();
  if (n <= static_cast<std::uint64_t>(minimum)) return std::nullopt;
  if (Reached(window.of(Outcome::kTimeout), timeout_ppm, n)) {
    return TransitionReason::kTimeoutThreshold;
  }
  if (Reached(window.of(Outcome::kSystemError), system_error_ppm, n)) {
    return TransitionReason::kSystemErrorThreshold;
  }
  if (Reached(window.of(Outcome::kUnknownError), unknown_error_ppm, n)) {
    return TransitionReason::kUnknownErrorThreshold;
  }
  if (Reached(window.failures(), failure_ppm, n)) {
    return TransitionReason::kFailureThreshold;
  }
  if (Reached(window.slow, slow_call_ppm, n)) {
    return TransitionReason::kSlowCallThreshold;
  }
  return std::nullopt;
}

std::int64_t Policy::OpenFor(std::uint32_t openings, double draw) const {
  const double wait =
      std::min(static_cast<double>(min_recovery_ns) *
                   std::pow(backoff_multiplier, static_cast<double>(openings)),
               static_cast<double>(max_open_ns));
  return std::llround(wait * (1.0 + jitter * draw));
}

}  // namespace fusebox

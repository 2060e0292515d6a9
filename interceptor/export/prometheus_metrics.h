// The breakers of a registry as metrics for Prometheus.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_METRICS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"

namespace fusebox {

struct PrometheusMetricsOptions {
  // Where the present moment of timestamps comes from. Must be thread-safe.
  std::chrono::system_clock::time_point (*wall_clock)() =
      &std::chrono::system_clock::now;
};

// Metrics made from the registry when they are asked for. Calls pay nothing,
// but the first call of a method may wait while the breakers are read.
//
// For each breaker, with the labels `breaker`, `role` ("client" or "server"),
// `grpc_target` (empty on a server) and `grpc_method` ("pkg.Service/Method"):
//
//   fusebox_state{state}                gauge: 1 for exactly one of closed,
//                                       open, half_open, forced_open and
//                                       forced_closed, 0 for the others. Open
//                                       reads half_open as soon as the next
//                                       call would be a probe
//   fusebox_calls_total{outcome}        calls that ended: ok, user_error,
//                                       timeout, system_error, unknown_error,
//                                       ignored
//   fusebox_rejected_calls_total{reason}   open, half_open_limit, forced_open
//   fusebox_shadow_rejected_calls_total    admitted only because of mode shadow
//   fusebox_slow_calls_total            at least slow_call_duration; also
//                                       counted by outcome
//   fusebox_stale_calls_total           ended when an answer of their
//                                       generation decided nothing any more;
//                                       not counted by outcome
//   fusebox_transitions_total{from,to}  each of the five legal pairs. An
//                                       override is no transition; its end is
//                                       one if the state below was not closed.
//                                       half_open is counted with the probe
//   fusebox_state_seconds_total{state}  time spent; half_open from the probe on
//   fusebox_last_transition_timestamp_seconds   when the present state began,
//                                       in Unix time
//   fusebox_window_calls, fusebox_window_failures, fusebox_window_slow_calls
//   fusebox_failure_ratio               failures / calls of the window, 0 to 1;
//                                       NaN while it is empty
//   fusebox_failure_ratio_threshold     failure_threshold; no sample when off
//   fusebox_calls_in_flight             admitted and not yet ended
//
// With RegistryOptions::call_stats for each breaker also:
//
//   fusebox_status_calls_total{grpc_code}   calls that ended, by their status:
//                                       "OK" and those that have occurred;
//                                       "other" for all above 16
//   fusebox_call_duration_seconds       histogram of the calls but for streams:
//                                       0.5 ms to 10 s, 1, 2.5 and 5 of each
//                                       decade; the bounds are met within 1/128
//
// And for the registry:
//
//   fusebox_breakers                    held, overflow breakers not included
//   fusebox_overflowed_lookups_total    calls that an overflow breaker decided
//   fusebox_retired_breakers_total      idle ones that gave their place up
//   fusebox_delivered_transitions_total, fusebox_skipped_transitions_total
//   fusebox_build_info{version}         1
//
// The label `breaker` is a hash of role, target and method as 16 hexadecimal
// digits: the same after a restart and in every process, which numbers given
// out by the registry are not, and short, since it stands in every line. It
// also tells breakers apart of whose names the other labels show the same:
// bytes that are not UTF-8 show as "?".
//
// At most (max_breakers + 2) breakers are shown. Beyond the limit of the
// registry, methods share breaker="other" (grpc_method="other"), one for each
// role.
//
// A retired breaker is not shown any more: its series end. When its method is
// called again they go on from where they ended and not from 0, so counters
// never go back while the process lives. For that the last values of up to
// max_breakers retired ones are kept, 0.6 KiB each (1.4 KiB with call_stats);
// any more start anew, as after a restart, which rate() knows. What a breaker
// counted after its last scrape is lost when it is retired; it has been idle
// for idle_timeout by then.
//
// One for each registry, and one registry for each page: families of two would
// have the same names. `registry` must outlive it.
//
// Thread-safe. Example:
//
//   fusebox::AddMetricsPage(
//       http, {std::make_shared<fusebox::PrometheusMetrics>(&breakers)});
class PrometheusMetrics final : public prometheus::Collectable {
 public:
  explicit PrometheusMetrics(BreakerRegistry* registry,
                             PrometheusMetricsOptions options = {});

  // Families without a sample are left out.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  // The counters of one name over all breakers that had it, one at a time.
  struct Totals {
    // Counters of the breaker `breaker_id` follow. False if there were some in
    // this scrape already: somebody has named a method as the overflow breaker,
    // and Prometheus would refuse the same series twice.
    bool Begin(std::uint64_t breaker_id, std::uint64_t scrape);
    // The total of a counter that this breaker has counted up to `value`.
    double Of(std::size_t counter, double value);

    std::uint64_t id = 0;
    std::vector<double> now;     // of the breaker `id`
    std::vector<double> before;  // of those before it; the rest is 0
    std::uint64_t last_scrape = 0;
  };

  // What to add to a moment of the registry for Unix time.
  Duration WallOffset() const FUSEBOX_REQUIRES(mu_);
  // `all`: what was not in this scrape, beyond the limit.
  void ForgetLongestGone(std::map<std::uint64_t, Totals>& all) const
      FUSEBOX_REQUIRES(mu_);

  BreakerRegistry* const registry_;
  const PrometheusMetricsOptions options_;

  // Held for a whole scrape: an older snapshot must not overtake a newer one on
  // the way to the totals.
  mutable Mutex mu_;
  // By hash.
  mutable std::map<std::uint64_t, Totals> breaker_totals_
      FUSEBOX_GUARDED_BY(mu_);
  mutable std::map<std::uint64_t, Totals> call_totals_ FUSEBOX_GUARDED_BY(mu_);
  mutable std::uint64_t scrapes_ FUSEBOX_GUARDED_BY(mu_) = 0;
  mutable std::optional<Duration> wall_offset_ FUSEBOX_GUARDED_BY(mu_);
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PROMETHEUS_METRICS_H_

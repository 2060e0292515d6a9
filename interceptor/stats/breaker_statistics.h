// The breakers of a registry in a tree of statistics.

#ifndef FUSEBOX_INTERCEPTOR_STATS_BREAKER_STATISTICS_H_
#define FUSEBOX_INTERCEPTOR_STATS_BREAKER_STATISTICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/state.h"
#include "interceptor/stats/meter.h"
#include "interceptor/stats/statistics.h"

namespace fusebox {

// Shows, as of the moment when the tree is read:
//
//   /method/pkg.Service/Method  what the breakers of a method have counted, by
//                               all roles and targets together
//     state                     "closed", "half_open" or "open": that of the
//                               worst of them
//     breakers                  each by itself, as "server" or "client of
//                               dns:///host:1", with its own state, override,
//                               generation, the outcomes in its window
//   /service/pkg.Service        the sums of its methods
//     methods                   {"closed": 7, "half_open": 0, "open": 1}: how
//                               many methods are in each state
//   /                           the sums of all services, in the same form
//     registry                  BreakerRegistry::Stats
//
// On each of these levels, where "rate" is as MeterStat shows it and "spread"
// as DistributionStat does:
//
//   calls             rate of calls that have ended, counted or not
//   failures          rate of timeouts, system and unknown errors
//   rejections        rate of refused calls; in mode shadow none
//   outcomes          {"ok", "user_error", "timeout", "system_error",
//                     "unknown_error", "ignored"}: how many calls ended so
//   slow              how many were slow
//   stale             how many ended after the breaker had changed its state
//   rejected          {"open", "half_open_limit", "forced_open"}: how many
//   shadow_rejected   how many mode shadow would have refused
//   in_flight         calls let through that have not ended
//   seconds_in_state  {"closed", "open", "half_open", "forced_open",
//                     "forced_closed"}, summed over breakers
//   latency_seconds   spread of latencies, those of streams left out
//   codes             {"OK": 5, "UNAVAILABLE": 1}: calls that ended so
//
// The last two only with RegistryOptions::call_stats; their percentiles are
// LatencySnapshot's, and stddev is divided by n. A breaker that gives its place
// up takes what it has counted with it, so sums may go down then. The registry
// bounds how many there are. A method without a "/", as overflow breakers have,
// is its own service: "/method/other/other".
//
// Nothing is paid on the way of a call: counters are read when the tree is, and
// every 5 s on the registry's dispatcher thread for the rates.
//
// Thread-safe. Example:
//
//   fusebox::Statistics statistics;
//   fusebox::BreakerStatistics breakers_shown(&breakers, &statistics);
class BreakerStatistics {
 public:
  // Adds a View() at `path`. Both `registry` and `statistics` must outlive
  // this. std::invalid_argument as of Statistics::View().
  BreakerStatistics(BreakerRegistry* registry, Statistics* statistics,
                    std::string path = "/");
  ~BreakerStatistics();
  BreakerStatistics(const BreakerStatistics&) = delete;
  BreakerStatistics& operator=(const BreakerStatistics&) = delete;

 private:
  // A lifetime counter and the meter that follows it.
  class Followed {
   public:
    Followed(TimePoint start, std::uint64_t seen)
        : meter_(start), seen_(seen) {}
    void Follow(std::uint64_t total, TimePoint at);
    Meter::Rates Read(TimePoint now);

   private:
    Meter meter_;
    std::uint64_t seen_;
  };
  struct Meters {
    Followed calls;
    Followed failures;
    Followed rejections;
  };

  StatValue Read() FUSEBOX_EXCLUDES(mu_);
  void Round() FUSEBOX_EXCLUDES(mu_);
  // Takes what `breakers` have counted since the last look as counted at that
  // moment, so each tick of the meters gets what happened in it.
  void Look(const std::vector<BreakerSnapshot>& breakers, TimePoint now,
            bool first) FUSEBOX_REQUIRES(mu_);
  // The last end of a tick up to `at`.
  TimePoint TickBefore(TimePoint at) const;

  BreakerRegistry* const registry_;
  Statistics* const statistics_;
  const std::string path_;
  const TimePoint start_;

  Mutex mu_;
  TimePoint looked_ FUSEBOX_GUARDED_BY(mu_);
  TimePoint next_round_ FUSEBOX_GUARDED_BY(mu_);
  std::map<std::uint64_t, Meters> meters_ FUSEBOX_GUARDED_BY(mu_);  // by id

  BreakerRegistry::Watch watch_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_BREAKER_STATISTICS_H_

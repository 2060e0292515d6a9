// What a status page shows beyond the present moment.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_HISTORY_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_HISTORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/mutex.h"
#include "interceptor/breaker/state.h"

namespace fusebox {

// The calls per second of each breaker over the last two minutes, and why it
// last changed its state.
//
// Looks at the counters of all breakers about once a second, on the dispatcher
// thread of the registry: calls pay nothing for it. Takes 1.5 KB for each
// breaker, and forgets those that are gone.
//
// `registry` must outlive it. Thread-safe.
class BreakerPageHistory {
 public:
  static constexpr std::size_t kSeconds = 120;

  // Calls per second. Cancelled calls and others that did not count are in none
  // of them.
  struct Rates {
    float ok = 0;  // answered: ok and user errors
    float failed = 0;
    float rejected = 0;
  };

  explicit BreakerPageHistory(BreakerRegistry* registry);
  BreakerPageHistory(const BreakerPageHistory&) = delete;
  BreakerPageHistory& operator=(const BreakerPageHistory&) = delete;

  // The newest second that is known, in whole seconds of the registry's clock.
  std::int64_t newest() const FUSEBOX_EXCLUDES(mu_);

  // The seconds after `after` up to `until`, or the last kSeconds of them;
  // oldest first. Those that are not known, or not any more, are zero. Empty if
  // all of them are: most breakers are idle.
  std::vector<Rates> RatesOf(std::uint64_t breaker_id, std::int64_t after,
                             std::int64_t until) const FUSEBOX_EXCLUDES(mu_);

  // Nothing if it did not change since this began to watch.
  std::optional<TransitionReason> LastReasonOf(std::uint64_t breaker_id) const
      FUSEBOX_EXCLUDES(mu_);

 private:
  struct Counts {
    std::uint64_t ok = 0;
    std::uint64_t failed = 0;
    std::uint64_t rejected = 0;
  };
  struct Record {
    Counts counts;
    std::array<Rates, kSeconds> rates = {};  // by second modulo kSeconds
    std::optional<TransitionReason> reason;
    bool seen = false;  // in this look
  };

  static Counts CountsOf(const BreakerSnapshot& breaker);

  bool IsDue(TimePoint now) const FUSEBOX_EXCLUDES(mu_);
  void Take(const std::vector<BreakerSnapshot>& breakers, TimePoint now)
      FUSEBOX_EXCLUDES(mu_);

  BreakerRegistry& registry_;
  mutable Mutex mu_;
  std::map<std::uint64_t, Record> records_ FUSEBOX_GUARDED_BY(mu_);
  std::int64_t newest_ FUSEBOX_GUARDED_BY(mu_) = 0;
  std::optional<TimePoint> looked_at_ FUSEBOX_GUARDED_BY(mu_);
  // Last: they end before what they write to.
  BreakerRegistry::Watch transitions_;
  BreakerRegistry::Watch rounds_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_BREAKER_PAGE_HISTORY_H_

// When checks run, and what follows for their components.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_CHECK_SCHEDULE_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_CHECK_SCHEDULE_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/clock.h"
#include "interceptor/health/component.h"

namespace fusebox {

// ComponentChecks without its threads.
//
//   run           event                    then
//   none, due     Start()                  under way
//   under way     Finish() in time         none, due a refresh period later;
//   the
//                                          component is what the result says
//   under way     the deadline passes      overdue; the component is unhealthy
//   overdue       Finish()                 none, due a refresh period later;
//   the
//                                          result is dropped
//
// So at most one run of a check is under way, and a hung one is not joined by
// another. Until the first result a component is unhealthy.
//
// Checks are numbered from 0 in the order of Add(). `now` must not decrease.
// Thread-compatible.
class CheckSchedule {
 public:
  // The check is due at once. The name must be new.
  void Add(std::string name, CheckOptions options, TimePoint now);
  bool Has(std::string_view name) const { return by_name_.count(name) != 0; }

  // Lets every check that is due be under way, and returns those.
  std::vector<std::size_t> Start(TimePoint now);
  // Takes note of deadlines that have passed.
  void Expire(TimePoint now);
  void Finish(std::size_t check, CheckResult result, TimePoint now);

  // When Start() or Expire() will next have something to do, if nothing is
  // added or finished until then; max() if never.
  TimePoint Next() const;

  bool UnderWay(std::size_t check) const { return checks_[check].under_way; }
  bool Overdue(std::size_t check) const { return checks_[check].overdue; }
  // Whether every check has had a result or has passed its deadline.
  bool AllChecked() const;

  // As of `now`, deadlines that Expire() has yet to see included.
  ServiceHealth Health(TimePoint now) const;
  // The names of grpc.health.v1 that the components drive. "" is among them if
  // there is a critical one.
  std::map<std::string, bool> Names() const;

  bool HasTurns() const { return !turns_.empty(); }
  // The turns since the last call, in order.
  std::vector<ComponentTurn> TakeTurns();

 private:
  struct Entry {
    std::string name;
    CheckOptions options;
    TimePoint due;      // without a run
    TimePoint started;  // of the run under way
    bool under_way = false;
    bool overdue = false;
    std::optional<CheckResult> result;
    Duration response_time = Duration::zero();

    bool PastDeadline(TimePoint now) const;
  };

  void Conclude(Entry& entry, CheckResult result, Duration response_time);

  std::vector<Entry> checks_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::vector<ComponentTurn> turns_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_CHECK_SCHEDULE_H_

// Checks of what a service depends on: its database, its queue, another server.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_CHECKS_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_CHECKS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "interceptor/breaker/clock.h"
#include "interceptor/health/component.h"
#include "interceptor/health/health_service.h"

namespace fusebox {

struct ComponentChecksOptions {
  // The clock of deadlines, refresh periods and response times.
  NowFunction now = &FineNow;
  // Without, nothing starts or expires until Poll() is called: for tests with a
  // clock of their own.
  bool start_scheduler = true;
};

// Runs named checks in the background, keeps their latest results, and tells
// grpc.health.v1 and listeners what follows.
//
// Each check has a thread of its own: one that hangs delays neither the others
// nor whoever asks for results, which never waits for a check. It is run again
// a refresh period after it has ended, however long that takes, so the threads
// are as many as the checks. A check is unhealthy
//   until its first result          "not checked yet"
//   when it says so                 its message
//   when it throws                  "the check threw: ..."
//   when it is past its deadline    "no answer within ..."; a late result is
//                                   dropped
// Not ready until checked is what a load balancer needs to know of a server
// that just started; AwaitFirstResults() bridges the time.
//
// The destructor cancels what is under way (CheckRun::cancelled()) and waits
// for it, but not for checks past their deadline, and for none longer than
// kPatience. Those are abandoned: their threads go on by themselves and keep
// the check function alive, with everything it owns, until it returns. So what
// a check that may hang refers to is better owned by it (a shared_ptr in its
// captures) than referred to. Names of grpc.health.v1 stay as they are.
//
// Thread-safe. Example:
//
//   fusebox::ComponentChecks checks;
//   fusebox::CheckOptions options;
//   options.deadline = std::chrono::seconds(1);
//   absl::Status status = checks.Register(
//       "database", options, [db](const fusebox::CheckRun& run) {
//         return fusebox::CheckResult{db->Ping(run.time_limit()), "ping"};
//       });
//   checks.DriveHealth(guard->health());
class ComponentChecks {
 public:
  using Listener = std::function<void(const ComponentTurn&)>;

  static constexpr Duration kPatience = std::chrono::seconds(1);

  explicit ComponentChecks(const ComponentChecksOptions& options = {});
  ~ComponentChecks();
  ComponentChecks(const ComponentChecks&) = delete;
  ComponentChecks& operator=(const ComponentChecks&) = delete;

  // Adds a check, whose first run begins at once. ALREADY_EXISTS, naming it, if
  // there is one of that name; INVALID_ARGUMENT, naming what is wrong, if the
  // name is empty or not UTF-8, the function is empty, a duration is not above
  // 0, or a health name is none that HealthService takes; RESOURCE_EXHAUSTED if
  // there is no thread to be had.
  absl::Status Register(std::string name, CheckOptions options, Check check);

  // Keeps the names that checks drive as their components are, from now on: ""
  // serves while all critical components are healthy, any other name while all
  // that were registered with it are. What the application or the breakers say
  // of a name stands beside it: it serves when all of them say so. Call before
  // the server starts, or it serves until then. Replaces an earlier `health`.
  void DriveHealth(std::shared_ptr<HealthService> health);

  // Calls `listener` for every turn from now on, in order, one at a time, on
  // one thread that is none of a check's. It must not block for long, since the
  // start of runs and the end of deadlines waits for it, and must not destroy
  // this object. Turns that are not told by then are dropped.
  void AddListener(Listener listener);

  // What is known now. Never waits for a check.
  ServiceHealth Health() const;

  // Waits until every check has had a result or passed its deadline, at most
  // `patience` of real time. Whether that is so.
  bool AwaitFirstResults(Duration patience) const;

  // Starts what is due, sees to deadlines, and tells listeners, on this thread.
  // Only without the scheduler.
  void Poll();
  // Waits until no run is under way, overdue ones aside.
  void AwaitRuns() const;

 private:
  class Scheduler;

  // Shared with the threads, since one may be abandoned.
  const std::shared_ptr<Scheduler> scheduler_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_CHECKS_H_

// What a service depends on, and how it is.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "interceptor/breaker/clock.h"

namespace fusebox {

// Something more to know about a component, such as the length of its queue.
using ComponentField = std::variant<bool, std::int64_t, double, std::string>;

// What one run of a check found.
struct CheckResult {
  bool healthy = false;
  std::string message;  // for people; of a sick component: what is wrong
  std::map<std::string, ComponentField> fields;  // by name
};

// What a check is told about its run. Thread-safe.
class CheckRun {
 public:
  CheckRun(Duration time_limit, const std::atomic<bool>& cancelled)
      : time_limit_(time_limit), cancelled_(cancelled) {}

  // The deadline of the check. A result that takes as long or longer is not
  // used, so a check passes this on to whatever it waits for.
  Duration time_limit() const { return time_limit_; }
  // Whether nobody wants the result any more, because the program is stopping.
  bool cancelled() const { return cancelled_; }

 private:
  const Duration time_limit_;
  const std::atomic<bool>& cancelled_;
};

// Looks how a component is. May block; what it throws counts as unhealthy.
using Check = std::function<CheckResult(const CheckRun&)>;

struct CheckOptions {
  // Without an answer for this long the component is unhealthy. Above 0.
  Duration deadline = std::chrono::seconds(5);
  // How long a result holds: so long after the end of a run the next begins,
  // whether or not anybody asks. Above 0.
  Duration refresh_period = std::chrono::seconds(10);
  // Whether the service is unhealthy when this component is: on the HTTP pages,
  // and as "" of grpc.health.v1.
  bool critical = true;
  // Further names of grpc.health.v1, such as "pkg.Service", that serve only
  // while this component is healthy.
  std::vector<std::string> health_names;
};

// A component as its latest result, or the lack of one, shows it.
struct Component {
  std::string name;
  bool critical = true;
  bool checked = false;  // false: the first run is not over
  bool healthy = false;
  std::string message;
  // What the run took; of one that is over its deadline, what it took so far.
  Duration response_time = Duration::zero();
  std::map<std::string, ComponentField> fields;
};

struct ServiceHealth {
  bool healthy = true;                // every critical component is
  std::vector<Component> components;  // by name
};

// A component turned bad or good. The first result is a turn if it is bad.
struct ComponentTurn {
  std::string name;
  bool healthy = false;
  std::string message;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_COMPONENT_H_

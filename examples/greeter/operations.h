// What there is beside the greeter for those who run it.

#ifndef FUSEBOX_EXAMPLES_GREETER_OPERATIONS_H_
#define FUSEBOX_EXAMPLES_GREETER_OPERATIONS_H_

#include <memory>
#include <string>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/health_service.h"
#include "interceptor/settings/effective_settings.h"

namespace greeter {

// What the flags ask for: --http_*, --admin* and those of the exporters.
class OperationsFlags {
 public:
  // Exits with status 2 if one is bad.
  OperationsFlags();
  ~OperationsFlags();

  bool has_pages() const;
  // Whether anything shows calls by code and latency.
  bool wants_call_stats() const;

 private:
  friend class Operations;
  struct Values;
  const std::unique_ptr<const Values> values_;
};

// HTTP pages, the admin service, exporters and live settings.
class Operations {
 public:
  // All that it is given must outlive it. `in_force` is what `breakers` was
  // made with.
  Operations(const OperationsFlags& flags, fusebox::BreakerRegistry& breakers,
             const fusebox::EffectiveSettings& in_force);
  // Stops it all.
  ~Operations();

  // Starts what is wanted, and puts a line for each place where it listens
  // into `places`. Returns 0, or the exit status after a line on standard
  // error.
  int Start(fusebox::ComponentChecks& checks,
            std::shared_ptr<const fusebox::HealthService> health,
            std::string& places);

 private:
  struct Parts;
  const OperationsFlags::Values& flags_;
  fusebox::BreakerRegistry& breakers_;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_OPERATIONS_H_

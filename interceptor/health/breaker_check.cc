#include "interceptor/health/breaker_check.h"

#include <optional>
#include <utility>

#include "interceptor/breaker/settings.h"

namespace fusebox {

Check BreakerCheck(BreakerRegistry* registry, Role role, std::string target,
                   std::string method) {
  return [registry, role, target = std::move(target),
          method = std::move(method)](const CheckRun&) -> CheckResult {
    const std::optional<BreakerSnapshot> breaker =
        registry->Snapshot(role, target, method);
    if (!breaker.has_value()) return {true, method + " has had no calls", {}};
    const char* const label = StateLabel(breaker->state);
    const bool refuses = breaker->state == State::kOpen &&
                         breaker->settings.mode == Mode::kEnforce;
    return {!refuses, method + " is " + label, {{"state", std::string(label)}}};
  };
}

}  // namespace fusebox

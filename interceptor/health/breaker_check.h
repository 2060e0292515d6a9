// The state of a breaker as the health of a component.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_CHECK_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_CHECK_H_

#include <string>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/state.h"
#include "interceptor/health/component.h"

namespace fusebox {

// Unhealthy while the breaker refuses calls: open, also when forced. Half-open
// is healthy, or nothing would send the calls that it needs to close; so is a
// breaker in mode shadow or off, and one that no call has come to yet. The
// field "state" is "CLOSED", "OPEN" or "HALF_OPEN".
//
// A breaker on the client side changes the health of a server in this way only:
// for a backend without which the server is of no use.
//
// `target` and `method` as in BreakerRegistry::Snapshot(). `registry` must
// outlive the ComponentChecks that the check is given to.
Check BreakerCheck(BreakerRegistry* registry, Role role, std::string target,
                   std::string method);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_BREAKER_CHECK_H_

// The names that breakers have in the admin protocol.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_RESOURCE_NAME_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_RESOURCE_NAME_H_

#include <optional>
#include <string>
#include <string_view>

#include "interceptor/admin/operator_acts.h"

namespace fusebox {

// "breakers/server/pkg.Service/Method", "breakers/client/TARGET/...": see
// Breaker.name in proto/fusebox/v1/admin.proto. Printable ASCII without spaces,
// one name for each breaker. A target on the server side, which no breaker has,
// is left out.
std::string ResourceName(const BreakerName& breaker);

// The breaker of that name; nothing if it is none that ResourceName() makes.
std::optional<BreakerName> ParseResourceName(std::string_view name);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_RESOURCE_NAME_H_

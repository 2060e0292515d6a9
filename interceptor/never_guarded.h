// The methods that no breaker guards, on either side of a call.

#ifndef FUSEBOX_INTERCEPTOR_NEVER_GUARDED_H_
#define FUSEBOX_INTERCEPTOR_NEVER_GUARDED_H_

#include <string_view>

namespace fusebox {

// Whether `method` ("/pkg.Service/Method") belongs to health checking,
// reflection, channelz or Fusebox itself. Who is refused by health or
// reflection draws the wrong conclusions; who is refused by the admin service
// cannot repair anything.
bool IsNeverGuarded(std::string_view method);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_NEVER_GUARDED_H_

// The answer to an HTTP request as the health of a component.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_HTTP_CHECK_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_HTTP_CHECK_H_

#include <string>

#include "interceptor/health/component.h"

namespace fusebox {

// Sends GET to `url`, http or https, and is healthy if the status is
// `expected_status`. Otherwise the message says which of these it is:
//   no URL was given, or one that is none
//   nothing answers as HTTP there (connection refused, name unknown, TLS, ...)
//   another status
// Redirections are answers, not followed. Each run has a connection of its own;
// proxies of the environment are not used. A user and password in the URL are
// sent, and left out of messages, as is a query.
Check HttpCheck(std::string url, int expected_status = 200);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_HTTP_CHECK_H_

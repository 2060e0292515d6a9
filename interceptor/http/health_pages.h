// The health of a service by HTTP.

#ifndef FUSEBOX_INTERCEPTOR_HTTP_HEALTH_PAGES_H_
#define FUSEBOX_INTERCEPTOR_HTTP_HEALTH_PAGES_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "interceptor/health/component.h"
#include "interceptor/health/component_checks.h"
#include "interceptor/health/health_service.h"
#include "interceptor/http/http_server.h"

namespace fusebox {

struct HealthPagesOptions {
  // The HTTP status of /healthcheck/ when the service is unhealthy. 400 to 599.
  int unhealthy_status = 500;
  // If given, /readyz is ready only while "" serves here as well: so it knows
  // of a shutdown, of what the application says, and of breakers if they are
  // asked to drive "".
  std::shared_ptr<const HealthService> health;
};

// Has `http` answer, with GET and HEAD:
//
//   /healthcheck/     all components as JSON (see HealthcheckJson()); 200 if
//                     every critical one is healthy, else unhealthy_status
//   /healthz          200 "ok": the process is alive. Knows nothing of
//                     components: to restart it would not heal those
//   /readyz           200 "ok" if the service can take traffic, else 503 and
//                     what is wrong, as with ?verbose
//   /readyz?verbose   a line for each component, "[+]name ok" or "[-]name
//                     failed: message"
//
// The answers are made of the latest results and wait for no check. Messages of
// checks are shown to whoever can reach the port.
//
// `checks` must live until the server has stopped. Before Start().
// INVALID_ARGUMENT if an option is not valid.
absl::Status AddHealthPages(HttpServer& http, const ComponentChecks* checks,
                            HealthPagesOptions options = {});

// The document that python-panopticon established:
//
//   {"service_healthy": true, "timestamp": "2014-09-03T23:09:38.702Z",
//    "components": {"database": {"healthy": true, "status_message": "...",
//                                "response_time": 0.00123}}}
//
// with the fields of a component behind those three, which no field replaces.
// `now` is in UTC with milliseconds, response_time in seconds. Numbers that
// JSON does not have are null, bytes that are not UTF-8 become U+FFFD.
std::string HealthcheckJson(const ServiceHealth& health,
                            std::chrono::system_clock::time_point now);

// What /readyz?verbose says without its last line. A component that is sick but
// not critical has "(not critical)" at its end.
std::string ReadyzLines(const ServiceHealth& health);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HTTP_HEALTH_PAGES_H_

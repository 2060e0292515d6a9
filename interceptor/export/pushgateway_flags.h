// Abseil flags for Pushgateway.
//
// Linking this target adds to a program
//   --fusebox_pushgateway_host    the name of the gateways; empty: nothing is
//                                 pushed
//   --fusebox_pushgateway_labels  "instance=10.0.0.7:50051, zone=a"
//   --fusebox_pushgateway_port, _job, _period, _timeout, _push_at_start,
//   _stop_timeout, _delete_on_stop
//                                 fields of PushgatewayOptions of that name
// The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "interceptor/export/pushgateway.h"

namespace fusebox {

// What the flags say; nothing if there is no host. For main(), after
// absl::ParseCommandLine(): if a value is bad, writes a line to standard error,
// naming the flag, the value and what is allowed, and exits with status 2.
std::optional<PushgatewayOptions> PushgatewayOptionsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT with that
// line. Thread-safe.
absl::StatusOr<std::optional<PushgatewayOptions>> ReadPushgatewayFlags();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_PUSHGATEWAY_FLAGS_H_

// Abseil flags for GraphiteExporter.
//
// Linking this target adds to a program
//   --fusebox_graphite_address  carbon, "HOST:PORT"; empty: nothing is sent
//   --fusebox_graphite_rules    what is sent: "allow server, forbid *.state.*";
//                               later rules stand above earlier ones
//   --fusebox_graphite_prefix, _period, _timeout, _min_retry, _max_retry,
//   _max_buffered_bytes         fields of GraphiteOptions of that name
// The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "interceptor/export/graphite.h"

namespace fusebox {

// What the flags say; nothing if there is no address. For main(), after
// absl::ParseCommandLine(): if a value is bad, writes a line to standard error,
// naming the flag, the value and what is allowed, and exits with status 2.
std::optional<GraphiteOptions> GraphiteOptionsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT with that
// line. Thread-safe.
absl::StatusOr<std::optional<GraphiteOptions>> ReadGraphiteFlags();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_GRAPHITE_FLAGS_H_

// Abseil flags for DogStatsdExporter.
//
// Linking this target adds to a program
//   --fusebox_dogstatsd_address  "HOST:PORT" or "unix:/path"; empty: nothing is
//                                sent
//   --fusebox_dogstatsd_tags     "env:prod,team:orders"
//   --fusebox_dogstatsd_transitions  "turns" or "all": which ones make events
//   --fusebox_dogstatsd_prefix, _period, _lookup_period, _max_packet_bytes,
//   _event_queue_capacity        fields of DogStatsdOptions of that name
// The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "interceptor/export/dogstatsd.h"

namespace fusebox {

// What the flags say; nothing if there is no address. For main(), after
// absl::ParseCommandLine(): if a value is bad, writes a line to standard error,
// naming the flag, the value and what is allowed, and exits with status 2.
std::optional<DogStatsdOptions> DogStatsdOptionsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT with that
// line. Thread-safe.
absl::StatusOr<std::optional<DogStatsdOptions>> ReadDogStatsdFlags();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_EXPORT_DOGSTATSD_FLAGS_H_

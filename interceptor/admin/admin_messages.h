// Breakers and transitions as messages of the admin protocol.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_MESSAGES_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_MESSAGES_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "interceptor/admin/transition_history.h"
#include "interceptor/breaker/state.h"
#include "proto/fusebox/v1/admin.pb.h"

namespace fusebox {

// Without config_sources and transitions. `history` tells of the override, and
// what moments are by the wall clock. Texts from outside are made printable.
void FillBreaker(const BreakerSnapshot& breaker,
                 const TransitionHistory& history, v1::Breaker& message);

void FillTransition(const HistoryEntry& entry, v1::Transition& message);

// All fields of `settings`.
void FillSettings(const Settings& settings, v1::BreakerSettings& message);

// What a request wants to be changed: fields of Settings and their texts;
// nullopt takes a value back. INVALID_ARGUMENT if the mask names something
// else, or nothing is to be changed.
absl::StatusOr<std::map<std::string, std::optional<std::string>>> ReadUpdate(
    const v1::UpdateBreakerRequest& request);

// A duration in nanoseconds. INVALID_ARGUMENT, naming `field`, if it is none of
// google.protobuf.Duration, or beyond what a Duration holds.
absl::StatusOr<Duration> ReadDuration(const google::protobuf::Duration& message,
                                      const char* field);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_ADMIN_MESSAGES_H_

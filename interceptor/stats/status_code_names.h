// The names of gRPC's status codes.

#ifndef FUSEBOX_INTERCEPTOR_STATS_STATUS_CODE_NAMES_H_
#define FUSEBOX_INTERCEPTOR_STATS_STATUS_CODE_NAMES_H_

#include <array>

#include "interceptor/stats/latency_snapshot.h"

namespace fusebox {

// By code, as grpc::StatusCode is written; the last stands for all other codes
// (CallsOfCode::kOther). Here, so that statistics need not link gRPC.
inline constexpr std::array<const char*, CallsOfCode::kOther + 1>
    kStatusCodeNames = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
        "other",
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_STATUS_CODE_NAMES_H_

// What a refused caller is told, on either side of a call.

#ifndef FUSEBOX_INTERCEPTOR_REJECTION_H_
#define FUSEBOX_INTERCEPTOR_REJECTION_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <string_view>

#include "interceptor/breaker/circuit_breaker.h"

namespace fusebox {

// google.rpc.ErrorInfo.domain of every rejection.
inline constexpr std::string_view kErrorDomain = "fusebox";

// Name of the trailing metadata that tells gRPC clients when to retry.
inline constexpr char kRetryPushbackKey[] = "grpc-retry-pushback-ms";

// Pushback longer than this is sent as -1: do not retry at all.
inline constexpr Duration kLongestPushback = std::chrono::seconds(30);

// UNAVAILABLE, a message that names the method and the state, and as details a
// google.rpc.Status with
//   google.rpc.ErrorInfo{reason, domain: kErrorDomain, metadata: {"method"}}
//     reason: CIRCUIT_BREAKER_OPEN | CIRCUIT_BREAKER_HALF_OPEN_LIMIT |
//             CIRCUIT_BREAKER_FORCED_OPEN
//   google.rpc.RetryInfo{retry_delay}
// The details are encoded here, not by generated code: an application may carry
// its own copy of google/rpc/*.proto.
//
// `retry_after`: SpreadRetry() of the rejection's.
grpc::Status RejectionStatus(const Rejection& rejection,
                             std::string_view method, Duration retry_after);

// The wait made longer by up to 10 %, so that callers do not return as one.
// `draw` in [0, 1).
Duration SpreadRetry(Duration retry_after, double draw);

// The value of kRetryPushbackKey: whole milliseconds, rounded up, at least 1
// (0 would make clients retry at once); "-1" beyond kLongestPushback.
std::string RetryPushback(Duration retry_after);

// Whether a status is a rejection by a breaker of this library, here or further
// down: its details carry an ErrorInfo of kErrorDomain with one of the reasons.
// Garbage is not. Looks at nothing else, so it is cheap for all other statuses.
bool IsRejection(const grpc::Status& status);

// What the details of a rejection say; nothing if `details` (a serialized
// google.rpc.Status) is none.
struct RejectionDetails {
  RejectionReason reason = RejectionReason::kOpen;
  std::string method;
  Duration retry_after = Duration::zero();
};
std::optional<RejectionDetails> DecodeRejection(std::string_view details);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_REJECTION_H_

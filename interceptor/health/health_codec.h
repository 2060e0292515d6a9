// The messages of grpc.health.v1 on the wire.
//
// Encoded here and not by generated code: a program aborts at start if two
// copies of health.proto are linked into it under different paths, and an
// application may well carry its own.

#ifndef FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_CODEC_H_
#define FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_CODEC_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fusebox {

// HealthCheckResponse.ServingStatus without UNKNOWN (0), which a server has no
// reason to say.
enum class ServingStatus : unsigned char {
  kServing = 1,
  kNotServing = 2,
  kServiceUnknown = 3,
};

// HealthCheckRequest { string service = 1; }: the service. Nothing if `bytes`
// are no such message or the service is not valid UTF-8; exactly what protobuf
// accepts is accepted, unknown fields included.
std::optional<std::string_view> DecodeHealthRequest(std::string_view bytes);

// HealthListRequest {}: whether `bytes` are such a message.
bool IsHealthListRequest(std::string_view bytes);

// HealthCheckResponse { ServingStatus status = 1; }
std::string EncodeHealthResponse(ServingStatus status);

// HealthListResponse { map<string, HealthCheckResponse> statuses = 1; }. The
// names must be valid UTF-8.
std::string EncodeHealthList(
    const std::vector<std::pair<std::string_view, ServingStatus>>& statuses);

// The same two messages on the other side, of a client.
std::string EncodeHealthRequest(std::string_view service);

// The number in HealthCheckResponse.status, which may be one that ServingStatus
// does not have: 0 is UNKNOWN, also when it is left out. Nothing if `bytes` are
// no such message; exactly what protobuf accepts is accepted.
std::optional<int> DecodeHealthResponse(std::string_view bytes);

// Whether `text` is well-formed UTF-8: no overlong forms, no surrogates,
// nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_HEALTH_HEALTH_CODEC_H_

// The decoders of health messages against generated code: exactly what that
// accepts is accepted.

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "interceptor/health/health_codec.h"
#include "proto/grpc/health/v1/health.pb.h"

// Protobuf would report every text that is not UTF-8.
[[maybe_unused]] static auto* const kDefaultLog =
    google::protobuf::SetLogHandler(nullptr);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const int length = static_cast<int>(size);

  grpc::health::v1::HealthCheckRequest check;
  const auto decoded = fusebox::DecodeHealthRequest(bytes);
  if (decoded.has_value() != check.ParseFromArray(data, length)) std::abort();
  if (decoded.has_value() && *decoded != check.service()) std::abort();

  grpc::health::v1::HealthListRequest list;
  if (fusebox::IsHealthListRequest(bytes) !=
      list.ParseFromArray(data, length)) {
    std::abort();
  }

  grpc::health::v1::HealthCheckResponse response;
  const auto status = fusebox::DecodeHealthResponse(bytes);
  if (status.has_value() != response.ParseFromArray(data, length)) std::abort();
  if (status.has_value() && *status != response.status()) std::abort();
  return 0;
}

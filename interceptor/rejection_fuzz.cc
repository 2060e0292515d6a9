// The decoder of rejections against generated code.

#include <google/protobuf/any.pb.h>
#include <google/protobuf/stubs/logging.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "interceptor/rejection.h"
#include "interceptor/testing/rpc_details.pb.h"

namespace fusebox {
namespace {

// Protobuf would report every text that is not UTF-8.
[[maybe_unused]] auto* const kDefaultLog =
    google::protobuf::SetLogHandler(nullptr);

std::optional<RejectionReason> ReasonOf(const google::rpc::ErrorInfo& info) {
  if (info.domain() != kErrorDomain) return std::nullopt;
  if (info.reason() == "CIRCUIT_BREAKER_OPEN") return RejectionReason::kOpen;
  if (info.reason() == "CIRCUIT_BREAKER_HALF_OPEN_LIMIT") {
    return RejectionReason::kHalfOpenLimit;
  }
  if (info.reason() == "CIRCUIT_BREAKER_FORCED_OPEN") {
    return RejectionReason::kForcedOpen;
  }
  return std::nullopt;
}

Duration WaitOf(const google::protobuf::Duration& delay) {
  if (delay.seconds() < 0 || delay.nanos() < 0) return Duration::zero();
  if (delay.seconds() >= 9'223'372'036 || delay.nanos() >= 1'000'000'000) {
    return Duration::max();
  }
  return std::chrono::seconds(delay.seconds()) + Duration(delay.nanos());
}

// What generated code makes of the details.
struct Reading {
  bool valid = false;  // all of it was understood
  std::optional<RejectionReason> reason;
  std::string method;
  Duration retry_after = Duration::zero();
  // The same without what is unknown.
  google::rpc::Status plain;
};

Reading ReadWithGeneratedCode(std::string_view bytes) {
  Reading reading;
  google::rpc::Status& status = reading.plain;
  if (!status.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return reading;
  }
  status.DiscardUnknownFields();
  for (google::protobuf::Any& any : *status.mutable_details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.Is<google::rpc::ErrorInfo>()) {
      if (!any.UnpackTo(&info)) return reading;
      info.DiscardUnknownFields();
      any.PackFrom(info);
      if (reading.reason.has_value()) continue;
      reading.reason = ReasonOf(info);
      const auto method = info.metadata().find("method");
      reading.method = method == info.metadata().end() ? "" : method->second;
    } else if (any.Is<google::rpc::RetryInfo>()) {
      if (!any.UnpackTo(&retry)) return reading;
      retry.DiscardUnknownFields();
      any.PackFrom(retry);
      reading.retry_after = WaitOf(retry.retry_delay());
    }
  }
  reading.valid = true;
  return reading;
}

void Check(bool condition) {
  if (!condition) std::abort();
}

}  // namespace
}  // namespace fusebox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using fusebox::Check;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto decoded = fusebox::DecodeRejection(bytes);
  if (decoded.has_value()) {
    Check(decoded->retry_after >= fusebox::Duration::zero());
    Check(decoded->method.size() <= size);
  }

  const fusebox::Reading reading = fusebox::ReadWithGeneratedCode(bytes);
  if (!reading.valid) return 0;
  // The decoder refuses groups, which generated code skips, and does not cut
  // integers to 32 bits; in all else they agree.
  if (decoded.has_value()) {
    Check(decoded->reason == reading.reason);
    Check(decoded->method == reading.method);
  }
  const auto plain =
      fusebox::DecodeRejection(reading.plain.SerializeAsString());
  Check(plain.has_value() == reading.reason.has_value());
  if (plain.has_value()) {
    Check(plain->reason == reading.reason);
    Check(plain->method == reading.method);
    Check(plain->retry_after == reading.retry_after);
  }
  return 0;
}

#include "interceptor/rejection.h"

#include <grpcpp/support/status_code_enum.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::string_view kTypePrefix = "type.googleapis.com/";
constexpr std::string_view kErrorInfoType = "google.rpc.ErrorInfo";
constexpr std::string_view kRetryInfoType = "google.rpc.RetryInfo";
constexpr std::string_view kMethodKey = "method";

constexpr std::array<RejectionReason, kRejectionReasons> kReasons = {
    RejectionReason::kOpen, RejectionReason::kHalfOpenLimit,
    RejectionReason::kForcedOpen};

// google.rpc.ErrorInfo.reason.
std::string_view ReasonLabel(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::kOpen:
      return "CIRCUIT_BREAKER_OPEN";
    case RejectionReason::kHalfOpenLimit:
      return "CIRCUIT_BREAKER_HALF_OPEN_LIMIT";
    case RejectionReason::kForcedOpen:
      return "CIRCUIT_BREAKER_FORCED_OPEN";
  }
  return "";
}

// The state as a person reads it.
std::string_view StateWords(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::kOpen:
      return "open";
    case RejectionReason::kHalfOpenLimit:
      return "half-open and lets few calls through";
    case RejectionReason::kForcedOpen:
      return "forced open";
  }
  return "";
}

// ---------------------------------------------------------------------------
// The wire format of protobuf, as far as the messages above need it:
//   google.rpc.Status     1 int32 code, 2 string message, 3 repeated Any
//   details google.protobuf.Any   1 string type_url, 2 bytes value
//   google.rpc.ErrorInfo  1 string reason, 2 string domain,
//                         3 map<string, string> metadata: 1 key, 2 value
//   google.rpc.RetryInfo  1 Duration retry_delay: 1 int64 seconds, 2 int32
//   nanos

enum WireType : unsigned {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kFixed32 = 5,
};

void AppendVarint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

void AppendInteger(unsigned field, std::uint64_t value, std::string& out) {
  if (value == 0) return;
  AppendVarint(field << 3 | kVarint, out);
  AppendVarint(value, out);
}

void AppendBytes(unsigned field, std::string_view value, std::string& out) {
  AppendVarint(field << 3 | kBytes, out);
  AppendVarint(value.size(), out);
  out.append(value);
}

void AppendAny(unsigned field, std::string_view type, std::string_view value,
               std::string& out) {
  std::string any;
  AppendBytes(1, std::string(kTypePrefix).append(type), any);
  AppendBytes(2, value, any);
  AppendBytes(field, any, out);
}

struct Field {
  std::uint64_t number = 0;
  WireType type = kVarint;
  std::uint64_t integer = 0;  // kVarint
  std::string_view bytes;     // kBytes
};

// Walks over the fields of one message:
//
//   FieldReader reader(message);
//   while (reader.Next(field)) { ... }
//   if (reader.garbage()) ...
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  // False at the end and at the first garbage. Groups, which nothing here has
  // ever used, are garbage.
  bool Next(Field& field) {
    if (rest_.empty()) return false;
    garbage_ = !Read(field);
    return !garbage_;
  }
  bool garbage() const { return garbage_; }

 private:
  bool Read(Field& field) {
    std::uint64_t tag;
    if (!ReadVarint(tag)) return false;
    field.number = tag >> 3;
    if (field.number == 0 || field.number >= 1u << 29) return false;
    field.type = static_cast<WireType>(tag & 7);
    switch (field.type) {
      case kVarint:
        return ReadVarint(field.integer);
      case kFixed64:
        return Take(8, field.bytes);
      case kFixed32:
        return Take(4, field.bytes);
      case kBytes: {
        std::uint64_t size;
        return ReadVarint(size) && Take(size, field.bytes);
      }
      default:
        return false;
    }
  }

  bool ReadVarint(std::uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool Take(std::uint64_t size, std::string_view& bytes) {
    if (size > rest_.size()) return false;
    bytes = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(static_cast<std::size_t>(size));
    return true;
  }

  std::string_view rest_;
  bool garbage_ = false;
};

// The parsers below return false for garbage, and read into views of it.

struct ErrorInfo {
  std::string_view reason;
  std::string_view domain;
  std::string_view method;  // of the metadata
};

bool ParseMetadata(std::string_view entry, ErrorInfo& info) {
  std::string_view key;
  std::string_view value;
  Field field;
  FieldReader reader(entry);
  while (reader.Next(field)) {
    if (field.type != kBytes) continue;
    if (field.number == 1) key = field.bytes;
    if (field.number == 2) value = field.bytes;
  }
  if (key == kMethodKey) info.method = value;
  return !reader.garbage();
}

bool ParseErrorInfo(std::string_view message, ErrorInfo& info) {
  Field field;
  FieldReader reader(message);
  while (reader.Next(field)) {
    if (field.type != kBytes) continue;
    if (field.number == 1) info.reason = field.bytes;
    if (field.number == 2) info.domain = field.bytes;
    if (field.number == 3 && !ParseMetadata(field.bytes, info)) return false;
  }
  return !reader.garbage();
}

// Waits that no breaker asks for become zero or the longest there is.
Duration WaitOf(std::uint64_t wire_seconds, std::uint64_t wire_nanos) {
  const auto whole = static_cast<std::int64_t>(wire_seconds);
  const auto part = static_cast<std::int64_t>(wire_nanos);
  constexpr std::int64_t kMaxSeconds =
      std::chrono::duration_cast<seconds>(Duration::max()).count() - 1;
  if (whole < 0 || part < 0) return Duration::zero();
  if (whole > kMaxSeconds || part >= 1'000'000'000) return Duration::max();
  return seconds(whole) + nanoseconds(part);
}

bool ParseRetryInfo(std::string_view message, Duration& retry_after) {
  Field field;
  std::uint64_t whole = 0;
  std::uint64_t part = 0;
  FieldReader reader(message);
  while (reader.Next(field)) {
    if (field.number != 1 || field.type != kBytes) continue;
    Field time;
    FieldReader delay(field.bytes);
    while (delay.Next(time)) {
      if (time.type != kVarint) continue;
      if (time.number == 1) whole = time.integer;
      if (time.number == 2) part = time.integer;
    }
    if (delay.garbage()) return false;
  }
  retry_after = WaitOf(whole, part);
  return !reader.garbage();
}

std::optional<RejectionReason> ReasonOf(const ErrorInfo& info) {
  if (info.domain != kErrorDomain) return std::nullopt;
  for (RejectionReason reason : kReasons) {
    if (info.reason == ReasonLabel(reason)) return reason;
  }
  return std::nullopt;
}

// What the details of a rejection say, as views of them.
struct ParsedRejection {
  std::optional<RejectionReason> reason;  // unset: no rejection
  std::string_view method;
  Duration retry_after = Duration::zero();
};

bool ParseDetail(std::string_view any, ParsedRejection& rejection) {
  std::string_view type;
  std::string_view value;
  Field field;
  FieldReader reader(any);
  while (reader.Next(field)) {
    if (field.type != kBytes) continue;
    if (field.number == 1) type = field.bytes;
    if (field.number == 2) value = field.bytes;
  }
  if (reader.garbage()) return false;

  const std::size_t slash = type.rfind('/');
  if (slash == std::string_view::npos) return true;
  type.remove_prefix(slash + 1);
  if (type == kErrorInfoType && !rejection.reason.has_value()) {
    ErrorInfo info;
    if (!ParseErrorInfo(value, info)) return false;
    rejection.reason = ReasonOf(info);
    rejection.method = info.method;
  } else if (type == kRetryInfoType) {
    return ParseRetryInfo(value, rejection.retry_after);
  }
  return true;
}

// Of a google.rpc.Status; allocates nothing.
ParsedRejection Parse(std::string_view details) {
  ParsedRejection rejection;
  Field field;
  FieldReader reader(details);
  while (reader.Next(field)) {
    if (field.number != 3 || field.type != kBytes) continue;
    if (!ParseDetail(field.bytes, rejection)) return {};
  }
  if (reader.garbage()) return {};
  return rejection;
}

}  // namespace

grpc::Status RejectionStatus(const Rejection& rejection,
                             std::string_view method, Duration retry_after) {
  std::string message = "circuit breaker of ";
  message.append(method).append(" is ").append(StateWords(rejection.reason));

  std::string entry;
  AppendBytes(1, kMethodKey, entry);
  AppendBytes(2, method, entry);
  std::string error_info;
  AppendBytes(1, ReasonLabel(rejection.reason), error_info);
  AppendBytes(2, kErrorDomain, error_info);
  AppendBytes(3, entry, error_info);

  const Duration wait = std::max(retry_after, Duration::zero());
  const auto whole = std::chrono::duration_cast<seconds>(wait);
  std::string delay;
  AppendInteger(1, static_cast<std::uint64_t>(whole.count()), delay);
  AppendInteger(2, static_cast<std::uint64_t>((wait - whole).count()), delay);
  std::string retry_info;
  AppendBytes(1, delay, retry_info);

  std::string details;
  AppendInteger(1, grpc::StatusCode::UNAVAILABLE, details);
  AppendBytes(2, message, details);
  AppendAny(3, kErrorInfoType, error_info, details);
  AppendAny(3, kRetryInfoType, retry_info, details);
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, message, details);
}

Duration SpreadRetry(Duration retry_after, double draw) {
  const auto spread = static_cast<double>(retry_after.count()) * 0.1 * draw;
  return retry_after + Duration(static_cast<std::int64_t>(spread));
}

std::string RetryPushback(Duration retry_after) {
  if (retry_after > kLongestPushback) return "-1";
  const auto whole = std::chrono::ceil<milliseconds>(retry_after);
  return std::to_string(std::max<std::int64_t>(whole.count(), 1));
}

bool IsRejection(const grpc::Status& status) {
  // error_details() copies.
  if (status.ok()) return false;
  return Parse(status.error_details()).reason.has_value();
}

std::optional<RejectionDetails> DecodeRejection(std::string_view details) {
  const ParsedRejection parsed = Parse(details);
  if (!parsed.reason.has_value()) return std::nullopt;
  return RejectionDetails{*parsed.reason, std::string(parsed.method),
                          parsed.retry_after};
}

}  // namespace fusebox

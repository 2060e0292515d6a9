#include "interceptor/rejection.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "interceptor/testing/rpc_details.pb.h"

namespace fusebox {

bool operator==(const RejectionDetails& a, const RejectionDetails& b) {
  return a.reason == b.reason && a.method == b.method &&
         a.retry_after == b.retry_after;
}

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr char kMethod[] = "/pkg.Service/Method";

struct Reason {
  RejectionReason reason;
  const char* label;
  const char* message;
};
constexpr Reason kReasons[] = {
    {RejectionReason::kOpen, "CIRCUIT_BREAKER_OPEN",
     "circuit breaker of /pkg.Service/Method is open"},
    {RejectionReason::kHalfOpenLimit, "CIRCUIT_BREAKER_HALF_OPEN_LIMIT",
     "circuit breaker of /pkg.Service/Method is half-open and lets few calls "
     "through"},
    {RejectionReason::kForcedOpen, "CIRCUIT_BREAKER_FORCED_OPEN",
     "circuit breaker of /pkg.Service/Method is forced open"},
};

grpc::Status Rejected(RejectionReason reason, Duration retry_after) {
  return RejectionStatus(Rejection{reason, retry_after}, kMethod, retry_after);
}

std::string ExampleDetails() {
  return Rejected(RejectionReason::kOpen, seconds(3) + milliseconds(250))
      .error_details();
}

grpc::Status WithDetails(const google::rpc::Status& details) {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, details.message(),
                      details.SerializeAsString());
}

google::rpc::Status ErrorInfoOf(const std::string& reason,
                                const std::string& domain) {
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(domain);
  google::rpc::Status status;
  status.set_code(14);
  status.add_details()->PackFrom(info);
  return status;
}

TEST(RejectionStatusTest, IsWhatGeneratedCodeDecodes) {
  for (const Reason& reason : kReasons) {
    SCOPED_TRACE(reason.label);
    const grpc::Status status =
        Rejected(reason.reason, seconds(3) + milliseconds(250));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(status.error_message(), reason.message);

    google::rpc::Status details;
    ASSERT_TRUE(details.ParseFromString(status.error_details()));
    EXPECT_EQ(details.code(), 14);
    EXPECT_EQ(details.message(), reason.message);
    ASSERT_EQ(details.details_size(), 2);

    google::rpc::ErrorInfo info;
    ASSERT_TRUE(details.details(0).UnpackTo(&info));
    EXPECT_EQ(info.reason(), reason.label);
    EXPECT_EQ(info.domain(), "fusebox");
    ASSERT_EQ(info.metadata_size(), 1);
    EXPECT_EQ(info.metadata().at("method"), kMethod);

    google::rpc::RetryInfo retry;
    ASSERT_TRUE(details.details(1).UnpackTo(&retry));
    EXPECT_EQ(retry.retry_delay().seconds(), 3);
    EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
  }
}

TEST(RejectionStatusTest, IsByteForByteWhatGeneratedCodeEncodes) {
  google::rpc::ErrorInfo info;
  info.set_reason("CIRCUIT_BREAKER_OPEN");
  info.set_domain("fusebox");
  (*info.mutable_metadata())["method"] = kMethod;
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(3);
  retry.mutable_retry_delay()->set_nanos(250'000'000);
  google::rpc::Status expected;
  expected.set_code(14);
  expected.set_message(kReasons[0].message);
  expected.add_details()->PackFrom(info);
  expected.add_details()->PackFrom(retry);
  EXPECT_EQ(ExampleDetails(), expected.SerializeAsString());
}

TEST(RejectionStatusTest, TakesNamesLongerThanOneLengthByte) {
  const std::string method = "/" + std::string(20'000, 'x') + "/M";
  const grpc::Status status = RejectionStatus(
      Rejection{RejectionReason::kOpen, seconds(1)}, method, seconds(1));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  const auto decoded = DecodeRejection(status.error_details());
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->method, method);
}

TEST(DecodeRejectionTest, ReadsWhatWasWritten) {
  const Duration waits[] = {Duration::zero(), nanoseconds(1),
                            seconds(1) - nanoseconds(1), seconds(1),
                            std::chrono::hours(24 * 365)};
  for (const Reason& reason : kReasons) {
    for (Duration wait : waits) {
      const grpc::Status status = Rejected(reason.reason, wait);
      const RejectionDetails expected{reason.reason, kMethod, wait};
      EXPECT_EQ(DecodeRejection(status.error_details()), expected)
          << reason.label << " " << wait.count();
      EXPECT_TRUE(IsRejection(status));
    }
  }
}

TEST(DecodeRejectionTest, ReadsWhatGeneratedCodeWrites) {
  google::rpc::Status details =
      ErrorInfoOf("CIRCUIT_BREAKER_HALF_OPEN_LIMIT", "fusebox");
  EXPECT_TRUE(IsRejection(WithDetails(details)));
  EXPECT_EQ(DecodeRejection(details.SerializeAsString()),
            (RejectionDetails{RejectionReason::kHalfOpenLimit, "",
                              Duration::zero()}));
}

TEST(DecodeRejectionTest, OtherDetailsBesideDoNotMatter) {
  google::rpc::Status details = ErrorInfoOf("QUOTA", "example.com");
  details.add_details()->set_type_url("type.googleapis.com/pkg.Unknown");
  details.mutable_details(1)->set_value("\xff\xff\xff");
  details.add_details();  // no type at all
  EXPECT_FALSE(IsRejection(WithDetails(details)));
  details.MergeFrom(ErrorInfoOf("CIRCUIT_BREAKER_OPEN", "fusebox"));
  EXPECT_TRUE(IsRejection(WithDetails(details)));
}

TEST(DecodeRejectionTest, OtherErrorsAreNone) {
  EXPECT_FALSE(IsRejection(grpc::Status::OK));
  EXPECT_FALSE(IsRejection(grpc::Status(grpc::StatusCode::UNAVAILABLE, "x")));
  EXPECT_FALSE(IsRejection(WithDetails(google::rpc::Status())));
  EXPECT_FALSE(IsRejection(WithDetails(ErrorInfoOf("QUOTA", "fusebox"))));
  EXPECT_FALSE(IsRejection(WithDetails(ErrorInfoOf("", ""))));
  EXPECT_FALSE(IsRejection(
      WithDetails(ErrorInfoOf("CIRCUIT_BREAKER_OPEN", "example.com"))));

  // The right words in the wrong message.
  google::rpc::Status details = ErrorInfoOf("CIRCUIT_BREAKER_OPEN", "fusebox");
  details.mutable_details(0)->set_type_url("type.googleapis.com/pkg.ErrorInfo");
  EXPECT_FALSE(IsRejection(WithDetails(details)));
}

TEST(DecodeRejectionTest, StrangeWaitsAreClamped) {
  const auto wait_of = [](std::int64_t whole, std::int32_t part) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(whole);
    retry.mutable_retry_delay()->set_nanos(part);
    google::rpc::Status details =
        ErrorInfoOf("CIRCUIT_BREAKER_OPEN", "fusebox");
    details.add_details()->PackFrom(retry);
    return DecodeRejection(details.SerializeAsString())->retry_after;
  };
  EXPECT_EQ(wait_of(2, 5), seconds(2) + nanoseconds(5));
  EXPECT_EQ(wait_of(-1, 0), Duration::zero());
  EXPECT_EQ(wait_of(0, -1), Duration::zero());
  EXPECT_EQ(wait_of(std::numeric_limits<std::int64_t>::min(), 0),
            Duration::zero());
  EXPECT_EQ(wait_of(std::numeric_limits<std::int64_t>::max(), 999'999'999),
            Duration::max());
  EXPECT_EQ(wait_of(9'223'372'036, 999'999'999), Duration::max());
  EXPECT_GT(wait_of(9'223'372'035, 999'999'999), Duration::zero());
  EXPECT_EQ(wait_of(1, 1'000'000'000), Duration::max());
}

// Whether generated code finds a rejection.
bool GeneratedCodeSaysRejection(const std::string& bytes) {
  google::rpc::Status details;
  if (!details.ParseFromString(bytes)) return false;
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info) && info.domain() == "fusebox" &&
        info.reason() == "CIRCUIT_BREAKER_OPEN") {
      return true;
    }
  }
  return false;
}

TEST(DecodeRejectionTest, EveryPrefixIsReadAsGeneratedCodeReadsIt) {
  const std::string whole = ExampleDetails();
  int rejections = 0;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    // A copy of its own, so that AddressSanitizer sees a read beyond the end.
    const std::string prefix = whole.substr(0, size);
    const bool rejection = DecodeRejection(prefix).has_value();
    EXPECT_EQ(rejection, GeneratedCodeSaysRejection(prefix)) << size;
    rejections += rejection ? 1 : 0;
  }
  // The whole, and all but the RetryInfo.
  EXPECT_EQ(rejections, 2);
}

TEST(DecodeRejectionTest, GroupsAreGarbage) {
  EXPECT_FALSE(DecodeRejection(ExampleDetails() + "\x7b\x7c").has_value());
}

TEST(DecodeRejectionTest, RandomBytesAreNone) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_FALSE(DecodeRejection(bytes).has_value());
  }
}

// No comparison with generated code here: it refuses texts that are not UTF-8.
TEST(DecodeRejectionTest, DamagedDetailsDoNoHarm) {
  const std::uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string whole = ExampleDetails();
  int rejections = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes = whole;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto decoded = DecodeRejection(bytes);
    if (!decoded.has_value()) continue;
    ++rejections;
    EXPECT_LE(decoded->method.size(), bytes.size());
    EXPECT_GE(decoded->retry_after, Duration::zero());
  }
  // Damage to the message or the method does not unmake a rejection; to the
  // rest it does.
  EXPECT_GT(rejections, 0);
  EXPECT_LT(rejections, 100'000);
}

TEST(SpreadRetryTest, MakesTheWaitUpToATenthLonger) {
  EXPECT_EQ(SpreadRetry(seconds(10), 0.0), seconds(10));
  EXPECT_EQ(SpreadRetry(seconds(10), 0.5), milliseconds(10'500));
  EXPECT_LT(SpreadRetry(seconds(10), 0.999999), seconds(11));
  EXPECT_EQ(SpreadRetry(nanoseconds(1), 0.999999), nanoseconds(1));
}

TEST(RetryPushbackTest, IsWholeMillisecondsRoundedUpAndNeverZero) {
  EXPECT_EQ(RetryPushback(Duration::zero()), "1");
  EXPECT_EQ(RetryPushback(-seconds(1)), "1");
  EXPECT_EQ(RetryPushback(nanoseconds(1)), "1");
  EXPECT_EQ(RetryPushback(milliseconds(1)), "1");
  EXPECT_EQ(RetryPushback(milliseconds(1) + nanoseconds(1)), "2");
  EXPECT_EQ(RetryPushback(milliseconds(1250)), "1250");
}

TEST(RetryPushbackTest, BeyondTheCapTellsNotToRetry) {
  EXPECT_EQ(RetryPushback(seconds(30)), "30000");
  EXPECT_EQ(RetryPushback(seconds(30) + nanoseconds(1)), "-1");
  EXPECT_EQ(RetryPushback(Duration::max()), "-1");
}

}  // namespace
}  // namespace fusebox

#include "interceptor/health/health_codec.h"

#include <cstdint>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "proto/grpc/health/v1/health.pb.h"

namespace fusebox {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListRequest;
using grpc::health::v1::HealthListResponse;

std::string Serialized(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request.SerializeAsString();
}

// What generated code makes of `bytes`.
std::optional<std::string> Parsed(const std::string& bytes) {
  HealthCheckRequest request;
  if (!request.ParseFromString(bytes)) return std::nullopt;
  return request.service();
}

std::optional<std::string> Decoded(const std::string& bytes) {
  const auto decoded = DecodeHealthRequest(bytes);
  if (!decoded.has_value()) return std::nullopt;
  return std::string(*decoded);
}

// Says of every prefix of `bytes` what generated code says.
void ExpectAgreement(const std::string& bytes) {
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const std::string prefix = bytes.substr(0, size);
    ASSERT_EQ(Decoded(prefix), Parsed(prefix))
        << testing::PrintToString(prefix);
    HealthListRequest list;
    ASSERT_EQ(IsHealthListRequest(prefix), list.ParseFromString(prefix))
        << testing::PrintToString(prefix);
  }
}

TEST(HealthCodecTest, DecodesWhatGeneratedCodeEncodes) {
  for (const std::string& service :
       {std::string(), std::string("pkg.Service"), std::string("a\0b", 3),
        std::string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\x80"),
        std::string(100'000, 'x')}) {
    EXPECT_EQ(Decoded(Serialized(service)), service);
  }
}

TEST(HealthCodecTest, EncodesWhatGeneratedCodeDecodes) {
  for (const ServingStatus status :
       {ServingStatus::kServing, ServingStatus::kNotServing,
        ServingStatus::kServiceUnknown}) {
    HealthCheckResponse expected;
    expected.set_status(static_cast<HealthCheckResponse::ServingStatus>(
        static_cast<int>(status)));
    EXPECT_EQ(EncodeHealthResponse(status), expected.SerializeAsString());
  }

  const std::string long_name(4096, 'n');
  HealthListResponse list;
  ASSERT_TRUE(list.ParseFromString(
      EncodeHealthList({{"", ServingStatus::kServing},
                        {"pkg.Service/Method", ServingStatus::kNotServing},
                        {long_name, ServingStatus::kServing}})));
  std::map<std::string, int> statuses;
  for (const auto& [name, response] : list.statuses()) {
    statuses[name] = response.status();
  }
  EXPECT_EQ(statuses,
            (std::map<std::string, int>{
                {"", HealthCheckResponse::SERVING},
                {"pkg.Service/Method", HealthCheckResponse::NOT_SERVING},
                {long_name, HealthCheckResponse::SERVING}}));
  EXPECT_TRUE(list.ParseFromString(EncodeHealthList({})));
  EXPECT_EQ(list.statuses_size(), 0);
}

TEST(HealthCodecTest, RequestsOfClientsAreThoseOfGeneratedCode) {
  for (const std::string name : {"", "pkg.Service", "\xc3\xa9"}) {
    HealthCheckRequest expected;
    expected.set_service(name);
    EXPECT_EQ(EncodeHealthRequest(name), expected.SerializeAsString());
  }
}

TEST(HealthCodecTest, ResponsesToClientsAreReadAsGeneratedCodeDoes) {
  for (const int status : {0, 1, 2, 3, 4, -1, 1 << 30}) {
    HealthCheckResponse response;
    response.set_status(
        static_cast<HealthCheckResponse::ServingStatus>(status));
    EXPECT_EQ(DecodeHealthResponse(response.SerializeAsString()), status);
  }
  EXPECT_EQ(DecodeHealthResponse(""), 0);
  EXPECT_EQ(DecodeHealthResponse("\x08\x01\x08\x02"), 2);  // the last counts
  EXPECT_EQ(DecodeHealthResponse("\x0a\x01x"), 0);         // another type
  EXPECT_EQ(DecodeHealthResponse("\x08"), std::nullopt);
  EXPECT_EQ(DecodeHealthResponse("<html>"), std::nullopt);
}

TEST(HealthCodecTest, LastOfSeveralNamesCounts) {
  ExpectAgreement(Serialized("first") + Serialized("last"));
  EXPECT_EQ(Decoded(Serialized("first") + Serialized("last")), "last");
}

TEST(HealthCodecTest, UnknownFieldsAreSkipped) {
  const std::string name = Serialized("pkg.Service");
  const std::string unknown_fields[] = {
      std::string("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),
      std::string("\x19") + "12345678",          // fixed64
      std::string("\x25") + "1234",              // fixed32
      std::string("\x2a\x03") + "abc",           // bytes
      std::string("\x2b\x10\x01\x33\x34\x2c"),   // a group in a group
      std::string("\x08\x05"),                   // the name, but as a number
      std::string("\xfa\xff\xff\xff\x0f\x01z"),  // the highest field number
  };
  for (const std::string& unknown : unknown_fields) {
    ExpectAgreement(unknown + name + unknown);
    EXPECT_EQ(Decoded(unknown + name + unknown), "pkg.Service")
        << testing::PrintToString(unknown);
  }
}

TEST(HealthCodecTest, MalformedRequestsAreRefused) {
  const std::string malformed[] = {
      std::string("\x00", 1),  // field number 0
      std::string("\x02\x00", 2),
      std::string("\x0a"),                             // no length
      std::string("\x0a\x05") + "abc",                 // too short
      std::string("\x0a\xff\xff\xff\xff\xff\x01", 7),  // endless length
      std::string("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12),
      std::string("\x0c"),      // a group ends that never began
      std::string("\x2b\x34"),  // another one ends
      std::string("\x2b"),      // it never ends
      std::string("\x0e"),
      std::string("\x0f"),                      // types that do not exist
      std::string("\x80\x80\x80\x80\x80\x01"),  // a tag of six bytes
  };
  for (const std::string& bytes : malformed) {
    ExpectAgreement(bytes);
    EXPECT_EQ(Decoded(bytes), std::nullopt) << testing::PrintToString(bytes);
    EXPECT_FALSE(IsHealthListRequest(bytes)) << testing::PrintToString(bytes);
  }
}

TEST(HealthCodecTest, GroupsMayBeAsDeepAsProtobufAllows) {
  for (const std::size_t depth : {1u, 50u, 99u, 100u, 101u, 1'000'000u}) {
    const std::string groups =
        std::string(depth, '\x2b') + std::string(depth, '\x2c');
    EXPECT_EQ(Decoded(groups), Parsed(groups)) << depth;
  }
}

TEST(HealthCodecTest, InvalidUtf8IsRefused) {
  const std::string invalid[] = {
      "\x80",              // a continuation without a start
      "\xc3",              // cut off
      "\xc3(",             // no continuation
      "\xc0\xaf",          // overlong
      "\xe0\x9f\xbf",      // overlong
      "\xf0\x8f\xbf\xbf",  // overlong
      "\xed\xa0\x80",      // a surrogate
      "\xf4\x90\x80\x80",  // above U+10FFFF
      "\xf5\x80\x80\x80",
      "\xff",
      "fine, then \xe2\x82",
  };
  for (const std::string& name : invalid) {
    EXPECT_FALSE(IsUtf8(name)) << testing::PrintToString(name);
    ExpectAgreement(Serialized(name));
    EXPECT_EQ(Decoded(Serialized(name)), std::nullopt);
  }
  for (const char* name :
       {"", "ascii", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(name)) << testing::PrintToString(name);
    EXPECT_EQ(Decoded(Serialized(name)), name);
  }
}

TEST(HealthCodecTest, AgreesWithGeneratedCodeOnRandomBytes) {
  const std::uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  std::mt19937_64 random(seed);
  const auto below = [&random](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  // Bytes that mean something turn up often enough to get past the first one.
  constexpr char kTelling[] =
      "\x0a\x08\x0d\x09\x0b\x0c\x13\x14\x02\x01\xff\x80";
  for (int i = 0; i < 200'000; ++i) {
    std::string bytes;
    if (below(2) == 0) bytes = Serialized(std::string(below(40), 'n'));
    for (std::size_t n = below(24); n > 0; --n) {
      const char byte = below(3) == 0 ? static_cast<char>(below(256))
                                      : kTelling[below(sizeof(kTelling))];
      bytes.insert(
          bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1)),
          byte);
    }
    ASSERT_EQ(Decoded(bytes), Parsed(bytes)) << testing::PrintToString(bytes);
    HealthListRequest list;
    ASSERT_EQ(IsHealthListRequest(bytes), list.ParseFromString(bytes))
        << testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace fusebox

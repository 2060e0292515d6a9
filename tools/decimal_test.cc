#include "tools/decimal.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <ostream>
#include <string>

namespace fusebox {

bool operator==(const ScaledDecimal& a, const ScaledDecimal& b) {
  return a.fit == b.fit && a.value == b.value;
}

std::ostream& operator<<(std::ostream& out, const ScaledDecimal& decimal) {
  return out << decimal.value << " fit " << static_cast<int>(decimal.fit);
}

namespace {

using Fit = ScaledDecimal::Fit;

TEST(DecimalTest, KnowsAJsonNumber) {
  for (const char* number :
       {"0", "-0", "7", "10", "-12.50", "0.001", "1e3", "1E+3", "1.5e-07"}) {
    EXPECT_TRUE(IsJsonNumber(number)) << number;
  }
  for (const char* other : {"",     "-",     "+1",    "01",  "-01", ".5", "1.",
                            "1.e3", "1e",    "1e+",   "1 ",  " 1",  "1x", "0x1",
                            "1,5",  "1.2.3", "1e5.5", "nan", "inf", "--1"}) {
    EXPECT_FALSE(IsJsonNumber(other)) << other;
  }
}

TEST(DecimalTest, ScalesExactly) {
  const struct {
    const char* number;
    int places;
    ScaledDecimal scaled;
  } cases[] = {
      {"0", 3, {Fit::kExact, 0}},
      {"-0.000", 3, {Fit::kExact, 0}},
      {"12.5", 3, {Fit::kExact, 12500}},
      {"-12.5", 3, {Fit::kExact, -12500}},
      {"12.5000000", 3, {Fit::kExact, 12500}},
      {"0.001", 3, {Fit::kExact, 1}},
      {"0.0010", 3, {Fit::kExact, 1}},
      {"1.5e3", 3, {Fit::kExact, 1500000}},
      {"1.5E+3", 0, {Fit::kExact, 1500}},
      {"12500e-3", 3, {Fit::kExact, 12500}},
      {"0.0000125e6", 3, {Fit::kExact, 12500}},
      {"1700000000.123", 3, {Fit::kExact, 1700000000123}},
      // More digits than a double tells apart.
      {"9007199254740993", 0, {Fit::kExact, 9007199254740993}},
      {"12.0005", 3, {Fit::kTruncated, 12000}},
      {"12.000000000000000000000000001", 3, {Fit::kTruncated, 12000}},
      {"-1.9999", 3, {Fit::kTruncated, -1999}},
      {"1e-4", 3, {Fit::kTruncated, 0}},
      {"1e-99999999999999999999", 3, {Fit::kTruncated, 0}},
      {"0e99999999999999999999", 3, {Fit::kExact, 0}},
      {"9223372036854775807",
       0,
       {Fit::kExact, std::numeric_limits<std::int64_t>::max()}},
      {"9223372036854775808", 0, {Fit::kTooLarge, 0}},
      {"-9223372036854775809", 0, {Fit::kTooLarge, 0}},
      {"9223372036.854775807",
       9,
       {Fit::kExact, std::numeric_limits<std::int64_t>::max()}},
      {"9223372036.854775808", 9, {Fit::kTooLarge, 0}},
      {"1e19", 0, {Fit::kTooLarge, 0}},
      {"1e99999999999999999999", 0, {Fit::kTooLarge, 0}},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ScaleDecimal(c.number, c.places), c.scaled)
        << c.number << " with " << c.places << " places";
  }
}

TEST(DecimalTest, WritesSecondsAsShortAsCanBe) {
  const struct {
    std::int64_t milliseconds;
    const char* text;
  } cases[] = {{0, "0"},
               {1, "0.001"},
               {10, "0.01"},
               {100, "0.1"},
               {120, "0.12"},
               {1000, "1"},
               {12500, "12.5"},
               {20000, "20"},
               {1019750, "1019.75"},
               {1000001, "1000.001"},
               {9000000000000, "9000000000"},
               {8999999999999, "8999999999.999"}};
  for (const auto& c : cases) {
    std::string text = "t=";
    AppendSeconds(c.milliseconds, text);
    EXPECT_EQ(text, std::string("t=") + c.text);
  }
}

}  // namespace
}  // namespace fusebox

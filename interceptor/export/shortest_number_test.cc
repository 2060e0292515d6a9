#include "interceptor/export/shortest_number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

namespace fusebox {
namespace {

TEST(ShortestNumberTest, WritesWhatPeopleWould) {
  EXPECT_EQ(ShortestNumber(0), "0");
  EXPECT_EQ(ShortestNumber(0.1), "0.1");
  EXPECT_EQ(ShortestNumber(-2.5), "-2.5");
  EXPECT_EQ(ShortestNumber(0.00123), "0.00123");
  EXPECT_EQ(ShortestNumber(1000000), "1000000");
  EXPECT_EQ(ShortestNumber(9007199254740992), "9007199254740992");
}

TEST(ShortestNumberTest, HasAnExponentWhereDigitsWouldBeMany) {
  EXPECT_EQ(ShortestNumber(1e-6), "0.000001");
  EXPECT_EQ(ShortestNumber(9e-7), "9e-07");
  EXPECT_EQ(ShortestNumber(1e17), "1e+17");
  EXPECT_EQ(ShortestNumber(std::nextafter(1e17, 0)), "99999999999999984");
}

TEST(ShortestNumberTest, ReadsBackAsTheSame) {
  using Limits = std::numeric_limits<double>;
  for (double value : {Limits::min(), Limits::max(), Limits::lowest(),
                       Limits::denorm_min(), Limits::epsilon(), 1.0 / 3}) {
    EXPECT_EQ(std::strtod(ShortestNumber(value).c_str(), nullptr), value);
  }
  std::mt19937_64 random(/*seed=*/6);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    EXPECT_EQ(std::strtod(ShortestNumber(value).c_str(), nullptr), value)
        << "seed 6, bits " << bits;
  }
}

}  // namespace
}  // namespace fusebox

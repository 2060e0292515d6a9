#include "interceptor/breaker/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <thread>

namespace fusebox {
namespace {

constexpr int kDraws = 100000;

TEST(RandomTest, ScriptedDrawsAreTheSameForEver) {
  Random random = Random::Scripted(0.25, -1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(random.Admission(), 0.25);
    EXPECT_EQ(random.Jitter(), -1);
  }
}

TEST(RandomTest, TheSameSeedDrawsTheSame) {
  Random a(42);
  Random b(42);
  Random other(43);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const double draw = a.Admission();
    EXPECT_EQ(draw, b.Admission());
    differs = differs || draw != other.Admission();
  }
  EXPECT_TRUE(differs);
}

TEST(RandomTest, DrawsAreThoseOfSplitMix64) {
  // Its first numbers from this seed, of which 53 bits become the fraction.
  Random admissions(1234567);
  Random jitters(1234567);
  for (std::uint64_t number :
       {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
        4593380528125082431u, 16408922859458223821u}) {
    const double draw =
        std::ldexp(static_cast<double>(number >> 11), /*exponent=*/-53);
    EXPECT_EQ(admissions.Admission(), draw);
    EXPECT_EQ(jitters.Jitter(), 2 * draw - 1);
  }
}

TEST(RandomTest, AdmissionDrawsFillTheUnitInterval) {
  Random random(1);
  double least = 1;
  double most = 0;
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = random.Admission();
    ASSERT_GE(draw, 0);
    ASSERT_LT(draw, 1);
    least = std::min(least, draw);
    most = std::max(most, draw);
    sum += draw;
  }
  EXPECT_LT(least, 0.001);
  EXPECT_GT(most, 0.999);
  EXPECT_NEAR(sum / kDraws, 0.5, 0.01);
}

TEST(RandomTest, JitterDrawsFillMinusOneToOne) {
  Random random(2);
  double least = 1;
  double most = -1;
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = random.Jitter();
    ASSERT_GE(draw, -1);
    ASSERT_LE(draw, 1);
    least = std::min(least, draw);
    most = std::max(most, draw);
    sum += draw;
  }
  EXPECT_LT(least, -0.999);
  EXPECT_GT(most, 0.999);
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
}

TEST(ThreadRandomTest, EachThreadHasItsOwn) {
  Random* const mine = &ThreadRandom();
  EXPECT_EQ(&ThreadRandom(), mine);
  const double draw = mine->Admission();
  std::thread([mine, draw] {
    EXPECT_NE(&ThreadRandom(), mine);
    EXPECT_NE(ThreadRandom().Admission(), draw) << "once in 2^53 runs";
  }).join();
}

TEST(RandomTest, ANewThreadHasASeedOfItsOwn) {
  double first[2];
  for (double& draw : first) {
    std::thread([&draw] { draw = ThreadRandom().Admission(); }).join();
  }
  EXPECT_NE(first[0], first[1]) << "once in 2^53 runs";
}

}  // namespace
}  // namespace fusebox

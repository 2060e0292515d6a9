#include "interceptor/admin/read_timing.h"

#include <gtest/gtest.h>

#include <chrono>

namespace fusebox {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart = TimePoint(1000s);
TimePoint At(Duration after) { return kStart + after; }

TEST(ReadTimingTest, WithoutAChangeNothingIsDue) {
  ReadTiming timing;
  EXPECT_EQ(timing.due(), TimePoint::max());
  timing.Finished(At(0s));
  timing.Read();
  EXPECT_EQ(timing.due(), TimePoint::max());
}

TEST(ReadTimingTest, WhatIsFinishedIsDueAfterAQuietMoment) {
  ReadTiming timing;
  timing.Finished(At(0s));
  EXPECT_EQ(timing.due(), At(50ms));
}

TEST(ReadTimingTest, SeveralStepsAreReadOnceButNotPutOffForEver) {
  ReadTiming timing;
  timing.Finished(At(0ms));
  timing.Finished(At(40ms));
  EXPECT_EQ(timing.due(), At(90ms));
  for (Duration t : {80ms, 120ms, 160ms, 199ms}) timing.Finished(At(t));
  EXPECT_EQ(timing.due(), At(249ms));
  timing.Finished(At(230ms));
  EXPECT_EQ(timing.due(), At(250ms));
}

TEST(ReadTimingTest, WhatIsBeingWrittenWaitsForItsEnd) {
  ReadTiming timing;
  timing.Changed(At(0s));
  timing.Changed(At(1s));
  EXPECT_EQ(timing.due(), At(3s));
  timing.Finished(At(2500ms));
  EXPECT_EQ(timing.due(), At(2550ms));
}

TEST(ReadTimingTest, WhatIsWrittenAgainWaitsAgain) {
  ReadTiming timing;
  timing.Finished(At(0ms));
  timing.Changed(At(10ms));
  EXPECT_EQ(timing.due(), At(2010ms));
  timing.Finished(At(400ms));
  EXPECT_EQ(timing.due(), At(250ms));  // that is at once
}

TEST(ReadTimingTest, AFileThatIsNeverClosedIsReadAllTheSame) {
  ReadTiming timing;
  timing.Changed(At(0s));
  EXPECT_EQ(timing.due(), At(2s));
  timing.Read();
  EXPECT_EQ(timing.due(), TimePoint::max());
  timing.Changed(At(3s));
  EXPECT_EQ(timing.due(), At(5s));
}

}  // namespace
}  // namespace fusebox

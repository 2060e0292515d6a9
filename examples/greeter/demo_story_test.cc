#include "examples/greeter/demo_story.h"

#include <initializer_list>
#include <string>

#include "gtest/gtest.h"

namespace greeter {
namespace {

DemoStory StoryOf(std::initializer_list<const char*> lines) {
  DemoStory story;
  for (const char* line : lines) story.Read(line);
  return story;
}

TEST(DemoStoryTest, ReadsEveryKindOfLine) {
  const DemoStory story = StoryOf({
      "   time    sent      ok  failed  rejected  state      health",
      "   1.0s      20      19       1         0  CLOSED     SERVING",
      "  11.2s  ** CLOSED -> OPEN: system_error_threshold, 223 let through",
      "  12.0s      20       0       1        19  OPEN       NOT_SERVING",
      "  12.3s  ** OPEN -> HALF_OPEN: recovery_due, 223 let through",
      "  12.3s  ** HALF_OPEN -> OPEN: timeout_threshold, 224 let through",
      "sent 900 in 45.0s: ok 610, failed 105, rejected 185",
      "failed with UNAVAILABLE: 105",
  });
  ASSERT_EQ(story.changes().size(), 3u);
  EXPECT_EQ(story.changes()[0].from, "CLOSED");
  EXPECT_EQ(story.changes()[0].to, "OPEN");
  EXPECT_EQ(story.changes()[0].reason, "system_error_threshold");
  EXPECT_EQ(story.health(),
            (std::vector<std::string>{"SERVING", "NOT_SERVING"}));
  EXPECT_EQ(story.rejected(), 19);
  EXPECT_EQ(story.FailedProbes(), 1);
  EXPECT_EQ(story.FailedProbes("timeout_threshold"), 1);
  EXPECT_EQ(story.FailedProbes("system_error_threshold"), 0);
  EXPECT_EQ(story.totals().sent, 900);
  EXPECT_EQ(story.totals().ok, 610);
  EXPECT_EQ(story.totals().failed, 105);
  EXPECT_EQ(story.totals().rejected, 185);
}

TEST(DemoStoryTest, OneOutageIsOpenHalfOpenClosed) {
  constexpr char open[] = " 1.0s  ** CLOSED -> OPEN: x, 1 let through";
  constexpr char probe[] = " 1.0s  ** OPEN -> HALF_OPEN: x, 1 let through";
  constexpr char again[] = " 1.0s  ** HALF_OPEN -> OPEN: x, 1 let through";
  constexpr char close[] = " 1.0s  ** HALF_OPEN -> CLOSED: x, 1 let through";
  EXPECT_TRUE(StoryOf({open, probe, close}).IsOneOutage());
  EXPECT_TRUE(StoryOf({open, probe, again, probe, close}).IsOneOutage());

  EXPECT_FALSE(StoryOf({}).IsOneOutage());
  EXPECT_FALSE(StoryOf({open, probe}).IsOneOutage());
  EXPECT_FALSE(StoryOf({open, probe, again}).IsOneOutage());
  EXPECT_FALSE(StoryOf({open, close}).IsOneOutage());
  EXPECT_FALSE(StoryOf({probe, close}).IsOneOutage());
  EXPECT_FALSE(StoryOf({open, probe, close, open, probe, close}).IsOneOutage());
}

TEST(DemoStoryTest, HealthMustGoAndComeBack) {
  constexpr char up[] = " 1.0s 1 1 0 0  CLOSED SERVING";
  constexpr char down[] = " 1.0s 1 1 0 0  CLOSED NOT_SERVING";
  constexpr char away[] = " 1.0s 1 1 0 0  CLOSED UNAVAILABLE";
  EXPECT_TRUE(StoryOf({up, down, up}).HealthCameBack());
  EXPECT_TRUE(StoryOf({away, up, down, up, down, up}).HealthCameBack());

  EXPECT_FALSE(StoryOf({}).HealthCameBack());
  EXPECT_FALSE(StoryOf({up, up}).HealthCameBack());
  EXPECT_FALSE(StoryOf({down, up}).HealthCameBack());
  EXPECT_FALSE(StoryOf({up, down}).HealthCameBack());
  EXPECT_FALSE(StoryOf({up, away, up}).HealthCameBack());
}

}  // namespace
}  // namespace greeter

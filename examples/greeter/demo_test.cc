// The demo as a user starts it, and what makes it fail.

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/greeter/child_process.h"
#include "examples/greeter/child_process_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greeter {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// A quicker outage, open long enough at a time to be seen once a second.
std::vector<std::string> WithShortSettings(std::vector<std::string> flags) {
  flags.insert(flags.end(),
               {"--fusebox_bucket_width=200ms", "--fusebox_min_recovery=500ms",
                "--fusebox_max_recovery=2s", "--fusebox_backoff_multiplier=4",
                "--fusebox_max_open_duration=2s"});
  return flags;
}

TEST(DemoTest, AnOutageSurvivedEndsWithStatus0) {
  const Ended demo = RunToEnd("demo", WithShortSettings({}));
  std::string output;
  int checks = 0;
  for (const std::string& line : demo.lines) {
    absl::StrAppend(&output, line, "\n");
    EXPECT_LE(line.size(), 80u) << line;
    if (absl::StartsWith(line, "ok: ")) ++checks;
  }
  EXPECT_EQ(demo.status, 0) << output << demo.errors;
  EXPECT_EQ(checks, 5) << output;
}

// In shadow mode the breakers decide the same, and refuse nothing: the handler
// runs while they are open. That must not pass.
TEST(DemoTest, HandlersThatRunWhileOpenEndItWithStatus1) {
  const Ended demo =
      RunToEnd("demo", WithShortSettings({"--fusebox_mode=shadow"}));
  EXPECT_EQ(demo.status, 1) << demo.errors;
  EXPECT_THAT(demo.lines,
              Contains("ok: the client's breaker went CLOSED, OPEN, HALF_OPEN, "
                       "CLOSED"));
  EXPECT_THAT(demo.lines,
              Contains(MatchesRegex("FAILED: while open 0 calls were rejected; "
                                    "the handler ran [0-9]+ times for .*")));
}

TEST(DemoTest, RefusesFlagsThatAreNotOfFusebox) {
  const Ended demo = RunToEnd("demo", {"--rate=5"});
  EXPECT_EQ(demo.status, 2);
  EXPECT_THAT(demo.errors, StartsWith("demo: '--rate=5' is not a flag of"));
}

TEST(DemoTest, SaysWhyItCannotStart) {
  const Ended demo = RunToEnd("demo", {"--fusebox_buckets=0"});
  EXPECT_EQ(demo.status, 1);
  EXPECT_THAT(demo.errors, HasSubstr("--fusebox_buckets: 0 is out of range"));
}

TEST(DemoTest, CtrlCEndsItAndItsChildren) {
  ChildProcess demo({Sibling("demo")});
  ASSERT_TRUE(ReadUntil(demo, "SERVING"));
  demo.Signal(SIGINT);
  const Ended ended = End(demo);
  EXPECT_EQ(ended.status, 130);
  EXPECT_THAT(ended.lines, Contains("interrupted"));
}

}  // namespace
}  // namespace greeter

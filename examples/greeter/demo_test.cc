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
#include "interceptor/http/testing/raw_client.h"

namespace greeter {
namespace {

using ::fusebox::RawClient;
using ::testing::Contains;
using ::testing::EndsWith;
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

TEST(DemoTest, ThePageShowsTheOutageAndStays) {
  std::vector<std::string> command = WithShortSettings({"--page"});
  command.insert(command.begin(), Sibling("demo"));
  ChildProcess demo(command);
  const std::string address = "http://127.0.0.1:";
  int port = 0;
  while (port == 0) {
    const auto line = demo.ReadLine(Soon());
    ASSERT_TRUE(line.has_value()) << demo.errors();
    const std::size_t at = line->find(address);
    if (at == std::string::npos) continue;
    port = std::stoi(line->substr(at + address.size()));
    EXPECT_THAT(*line, EndsWith("/breakers/"));
  }
  const auto table = [port] {
    RawClient client(port);
    client.Send("GET /breakers/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    return fusebox::BodyOf(client.Receive());
  };
  ASSERT_TRUE(ReadUntil(demo, "OPEN: calls are refused at once"));
  EXPECT_THAT(table(), HasSubstr("/greeter.v1.Greeter/SayHello (server)"));
  ASSERT_TRUE(ReadUntil(demo, "The page stays: " + address));
  EXPECT_THAT(table(), HasSubstr("ramp_finished"));
  demo.Signal(SIGINT);
  const Ended ended = End(demo);
  EXPECT_EQ(ended.status, 0) << ended.errors;
  EXPECT_THAT(ended.lines,
              Contains("ok: client and server ended with status 0 and 0"));
}

TEST(DemoTest, RefusesAPageForNoTime) {
  for (const char* flag : {"--page=0", "--page=-1", "--page=", "--page=long"}) {
    const Ended demo = RunToEnd("demo", {flag});
    EXPECT_EQ(demo.status, 2);
    EXPECT_THAT(demo.errors, HasSubstr("is not valid: seconds, at least 1"));
  }
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

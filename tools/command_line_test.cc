#include "tools/command_line.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace fusebox {
namespace {

class CommandLineTest : public testing::Test {
 protected:
  ParsedFlags Parse(const std::vector<std::string_view>& arguments) {
    return ParseFlags(arguments, {{"events", &events_}, {"rate", &rate_}});
  }
  std::string events_ = "default";
  std::string rate_ = "default";
};

TEST_F(CommandLineTest, TakesEveryFormOfAFlag) {
  for (const std::vector<std::string_view>& arguments :
       {std::vector<std::string_view>{"--events=a=b"},
        {"--events", "a=b"},
        {"-events=a=b"},
        {"-events", "a=b"},
        {"--events=x", "--events=a=b"}}) {
    events_.clear();
    EXPECT_EQ(Parse(arguments).error, "");
    EXPECT_EQ(events_, "a=b");
    EXPECT_EQ(rate_, "default");
  }
}

TEST_F(CommandLineTest, TakesADashAndNothingAsValues) {
  EXPECT_EQ(Parse({"--events", "-", "--rate="}).error, "");
  EXPECT_EQ(events_, "-");
  EXPECT_EQ(rate_, "");
}

TEST_F(CommandLineTest, AsksForHelpWhateverElseIsSaid) {
  for (const char* help : {"--help", "-help", "-h"}) {
    const ParsedFlags parsed = Parse({"--nonsense", help});
    EXPECT_TRUE(parsed.help) << help;
    EXPECT_EQ(parsed.error, "") << help;
  }
  EXPECT_FALSE(Parse({}).help);
}

TEST_F(CommandLineTest, NamesWhatIsWrong) {
  EXPECT_EQ(Parse({"--evnts=x"}).error, "unknown flag \"--evnts=x\"");
  EXPECT_EQ(Parse({"--event=x"}).error, "unknown flag \"--event=x\"");
  EXPECT_EQ(Parse({"--"}).error, "unknown flag \"--\"");
  EXPECT_EQ(Parse({"--rate=1", "--events"}).error, "--events takes a value");
  EXPECT_EQ(Parse({"events"}).error, "unexpected argument \"events\"");
  EXPECT_EQ(Parse({"-"}).error, "unexpected argument \"-\"");
  EXPECT_EQ(Parse({""}).error, "unexpected argument \"\"");
}

}  // namespace
}  // namespace fusebox

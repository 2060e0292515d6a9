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
    return ParseFlags(arguments, {{"events", &events_},
                                  {"rate", &rate_},
                                  {"header", &headers_},
                                  {"tls", &tls_}});
  }
  std::string events_ = "default";
  std::string rate_ = "default";
  std::vector<std::string> headers_;
  bool tls_ = false;
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

TEST_F(CommandLineTest, AddsUpAFlagThatMayBeGivenOften) {
  EXPECT_EQ(Parse({"-header", "a: 1", "--header=b: 2"}).error, "");
  EXPECT_EQ(headers_, (std::vector<std::string>{"a: 1", "b: 2"}));
}

TEST_F(CommandLineTest, TurnsASwitchOnAndOff) {
  EXPECT_EQ(Parse({"-tls", "--rate=1"}).error, "");
  EXPECT_TRUE(tls_);
  EXPECT_EQ(rate_, "1");
  EXPECT_EQ(Parse({"--tls=false"}).error, "");
  EXPECT_FALSE(tls_);
  EXPECT_EQ(Parse({"--tls=1"}).error, "");
  EXPECT_TRUE(tls_);
  EXPECT_EQ(Parse({"-tls=0"}).error, "");
  EXPECT_FALSE(tls_);
}

TEST_F(CommandLineTest, ASwitchDoesNotTakeTheNextArgument) {
  EXPECT_EQ(Parse({"-tls", "false"}).error, "unexpected argument \"false\"");
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
  EXPECT_EQ(Parse({"--rate=1", "--header"}).error, "--header takes a value");
  EXPECT_EQ(Parse({"--tls=yes"}).error, "--tls is true or false, not \"yes\"");
  EXPECT_EQ(Parse({"--tls="}).error, "--tls is true or false, not \"\"");
  EXPECT_EQ(Parse({"events"}).error, "unexpected argument \"events\"");
  EXPECT_EQ(Parse({"-"}).error, "unexpected argument \"-\"");
  EXPECT_EQ(Parse({""}).error, "unexpected argument \"\"");
}

}  // namespace
}  // namespace fusebox

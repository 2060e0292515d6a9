#include "interceptor/export/dogstatsd_format.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

namespace fusebox {
namespace {

using Alert = DogStatsdEvent::Alert;

TEST(DogStatsdFormatTest, MetricsOfEachType) {
  const DogStatsdFormat format("fusebox", {});
  EXPECT_EQ(format.Count("calls", 3, "|#a:b"), "fusebox.calls:3|c|#a:b");
  EXPECT_EQ(format.Gauge("in_flight", 0.25, ""), "fusebox.in_flight:0.25|g");
  EXPECT_EQ(format.Histogram("time", 0.012, 1, "|#a:b"),
            "fusebox.time:0.012|h|#a:b");
  EXPECT_EQ(format.Histogram("time", 0.012, 4, "|#a:b"),
            "fusebox.time:0.012|h|@0.25|#a:b");
}

TEST(DogStatsdFormatTest, ThePrefixMayBeEmpty) {
  EXPECT_EQ(DogStatsdFormat("", {}).Count("calls", 3, ""), "calls:3|c");
}

TEST(DogStatsdFormatTest, NamesHaveNothingThatBreaksTheProtocol) {
  const DogStatsdFormat format("my app:1", {});
  EXPECT_EQ(format.Count("a|b#c\nd@e-f", 1, ""), "my_app_1.a_b_c_d_e_f:1|c");
}

TEST(DogStatsdFormatTest, TagsAreSortedAndEachIsThereOnce) {
  const DogStatsdFormat format("", {});
  EXPECT_EQ(format.Tags({"b:2", "a:1", "c", "b:2", "b:1"}), "|#a:1,b:1,b:2,c");
  EXPECT_EQ(format.Tags({"a1:x", "a:x"}), "|#a1:x,a:x");  // by bytes
  EXPECT_EQ(format.Tags({}), "");
}

TEST(DogStatsdFormatTest, DefaultTagsAreMergedIn) {
  const DogStatsdFormat format("", {"env:prod", "canary", "method:none"});
  EXPECT_EQ(format.Tags({"method:S/M", "code:OK"}),
            "|#canary,code:OK,env:prod,method:S/M");
  EXPECT_EQ(format.Tags({}), "|#canary,env:prod,method:none");
}

TEST(DogStatsdFormatTest, DefaultTagsOfOneKeyAreAllThere) {
  const DogStatsdFormat format("", {"team:a", "team:b"});
  EXPECT_EQ(format.Tags({}), "|#team:a,team:b");
  EXPECT_EQ(format.Tags({"team:c"}), "|#team:c");
}

TEST(DogStatsdFormatTest, TagsHaveNothingThatBreaksTheProtocol) {
  const DogStatsdFormat format("", {"a,b:c|d"});
  EXPECT_EQ(format.Tags({"target:dns:///x:443", "m:a,b|c#d@e\nf\tg"}),
            "|#a_b:c_d,m:a_b_c_d_e_f_g,target:dns:///x:443");
}

TEST(DogStatsdFormatTest, EventsSayHowManyBytesTheyHave) {
  const DogStatsdFormat format("fusebox", {"env:prod"});
  EXPECT_EQ(format.Event({"title", "text", Alert::kError, {"a:b"}}, 8192),
            "_e{5,4}:title|text|t:error|#a:b,env:prod");
  EXPECT_EQ(format.Event({"caf\xc3\xa9", "", Alert::kSuccess, {}}, 8192),
            "_e{5,0}:caf\xc3\xa9||t:success|#env:prod");
  EXPECT_EQ(DogStatsdFormat("", {}).Event({"a", "b", Alert::kInfo, {}}, 8192),
            "_e{1,1}:a|b|t:info");
  EXPECT_EQ(
      DogStatsdFormat("", {}).Event({"a", "b", Alert::kWarning, {}}, 8192),
      "_e{1,1}:a|b|t:warning");
}

TEST(DogStatsdFormatTest, LineEndsOfEventsAreEscapedAndCountTwice) {
  const DogStatsdFormat format("", {});
  EXPECT_EQ(format.Event({"a\nb", "c\r\nd\re", Alert::kInfo, {}}, 8192),
            "_e{4,7}:a\\nb|c\\nd\\ne|t:info");
  EXPECT_EQ(format.Event({"a\tb", "c|d", Alert::kInfo, {}}, 8192),
            "_e{3,3}:a b|c|d|t:info");
}

TEST(DogStatsdFormatTest, LongEventsAreCutToFit) {
  const DogStatsdFormat format("", {});
  const std::string whole = "_e{5,10}:title|0123456789|t:info";
  const DogStatsdEvent event{"title", "0123456789", Alert::kInfo, {}};
  EXPECT_EQ(format.Event(event, whole.size()), whole);
  EXPECT_EQ(format.Event(event, whole.size() - 1),
            "_e{5,9}:title|012345678|t:info");
  EXPECT_EQ(format.Event(event, 25), "_e{5,3}:title|012|t:info");
  EXPECT_EQ(format.Event(event, 21), "_e{5,0}:title||t:info");
  EXPECT_EQ(format.Event(event, 19), "_e{3,0}:tit||t:info");
  // It cannot be shorter.
  EXPECT_EQ(format.Event(event, 5), "_e{1,0}:t||t:info");
}

TEST(DogStatsdFormatTest, EventsAreNotCutWithinACharacter) {
  const DogStatsdFormat format("", {});
  const auto with_text = [&](const std::string& text, std::size_t size) {
    return format.Event({"t", text, Alert::kInfo, {}}, size);
  };
  // "_e{1,2}:t||t:info" without the text has 17 bytes.
  EXPECT_EQ(with_text("ab\xc3\xa9", 20), "_e{1,2}:t|ab|t:info");
  EXPECT_EQ(with_text("a\xf0\x9f\x98\x80z", 21), "_e{1,1}:t|a|t:info");
  EXPECT_EQ(with_text("ab\ncd", 20), "_e{1,2}:t|ab|t:info");
  // What is no UTF-8 is cut anywhere.
  EXPECT_EQ(with_text(std::string(20, '\x80'), 28).size(), 23U);
}

TEST(DogStatsdFormatTest, ServersComputeTheCountFromTheRate) {
  const auto count = [](std::uint64_t times) {
    const double rate = SampleRate(times);
    EXPECT_LE(rate, 1);
    return static_cast<std::uint64_t>(1 / rate);
  };
  EXPECT_EQ(static_cast<int>(1 / (1 / 93.0)), 92);  // the trap
  for (std::uint64_t times = 1; times <= 100'000; ++times) {
    ASSERT_EQ(count(times), times);
  }
  std::mt19937_64 random(/*seed=*/8125);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t times = random() >> (11 + i % 40);
    if (times == 0) continue;
    // Neighbouring counts are not told apart beyond what doubles can do.
    const std::uint64_t found = count(times);
    ASSERT_GE(found, times) << "seed 8125";
    ASSERT_LE(static_cast<double>(found - times), 4e-16 * times);
  }
}

}  // namespace
}  // namespace fusebox

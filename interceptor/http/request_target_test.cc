#include "interceptor/http/request_target.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::string Path(const std::string& target) {
  const auto parsed = ParseRequestTarget(target);
  return parsed.has_value() ? parsed->path : "nothing";
}

std::vector<std::pair<std::string, std::string>> Query(
    const std::string& query) {
  const auto parsed = ParseRequestTarget("/?" + query);
  EXPECT_TRUE(parsed.has_value()) << query;
  return parsed.has_value() ? parsed->parameters : decltype(Query("")){};
}

TEST(RequestTargetTest, PathsAreDecodedOnce) {
  EXPECT_EQ(Path("/"), "/");
  EXPECT_EQ(Path("/a/b"), "/a/b");
  EXPECT_EQ(Path("/a%2Fb%2fc"), "/a/b/c");
  EXPECT_EQ(Path("/%252e"), "/%2e");
  EXPECT_EQ(Path("/a+b"), "/a+b");  // a plus is a space in queries only
  EXPECT_EQ(Path("/a%00b"), std::string("/a\0b", 4));
  EXPECT_EQ(Path("/../x"), "/../x");
  EXPECT_EQ(Path("/a?b"), "/a");
}

TEST(RequestTargetTest, TheHostOfAnAbsoluteFormIsLeftOut) {
  EXPECT_EQ(Path("http://host:80/a?b"), "/a");
  EXPECT_EQ(Path("http:///a"), "/a");
  EXPECT_EQ(Path("http://host"), "nothing");
  EXPECT_EQ(Path("https://host/a"), "nothing");
}

TEST(RequestTargetTest, OtherFormsAreNone) {
  EXPECT_EQ(Path(""), "nothing");
  EXPECT_EQ(Path("*"), "nothing");
  EXPECT_EQ(Path("a/b"), "nothing");
  EXPECT_EQ(Path("host:443"), "nothing");
  EXPECT_EQ(Path("?a"), "nothing");
}

TEST(RequestTargetTest, BrokenEscapesMakeItInvalid) {
  for (const char* target :
       {"/%", "/%4", "/%g0", "/%0g", "/?%", "/?a=%4", "/?%zz=1", "/?a&b=%"}) {
    EXPECT_FALSE(ParseRequestTarget(target).has_value()) << target;
  }
}

TEST(RequestTargetTest, ParametersComeInTheirOrderDecoded) {
  EXPECT_THAT(Query(""), IsEmpty());
  EXPECT_THAT(Query("verbose"), ElementsAre(Pair("verbose", "")));
  EXPECT_THAT(Query("b=2&a=1&b="),
              ElementsAre(Pair("b", "2"), Pair("a", "1"), Pair("b", "")));
  EXPECT_THAT(Query("q=a+b%2Bc%26d%3De"), ElementsAre(Pair("q", "a b+c&d=e")));
  EXPECT_THAT(Query("q=a=b?c"), ElementsAre(Pair("q", "a=b?c")));
  EXPECT_THAT(Query("&&a&&"), ElementsAre(Pair("a", "")));
  EXPECT_THAT(Query("=1&="), ElementsAre(Pair("", "1")));
}

}  // namespace
}  // namespace fusebox

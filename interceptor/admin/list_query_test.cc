// Names of breakers on the wire, filters, and pages.

#include "interceptor/admin/list_query.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/admin/resource_name.h"

namespace fusebox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ResourceNameTest, SaysWhichBreakerItIs) {
  EXPECT_EQ(ResourceName({Role::kServer, "", "/greeter.v1.Greeter/SayHello"}),
            "breakers/server/greeter.v1.Greeter/SayHello");
  EXPECT_EQ(ResourceName({Role::kClient, "dns:///host:50051", "/pkg.S/M"}),
            "breakers/client/dns:%2F%2F%2Fhost:50051/pkg.S/M");
  EXPECT_EQ(ResourceName({Role::kServer, "", "other"}),
            "breakers/server/~other");
  EXPECT_EQ(ResourceName({Role::kClient, "", "other"}),
            "breakers/client/-/~other");
}

TEST(ResourceNameTest, EveryBreakerHasItsOwnAndIsFoundByIt) {
  const std::string odd("\0\x1b /%\xff~-", 8);
  const std::vector<std::string> parts = {
      "",           "/",         "-",   "~",      "/~",   "/~other",
      "other",      "/other",    "%41", "/%41",   "/a b", "/pkg.S/M",
      "/pkg.S/M/x", "/\xc3\xa4", odd,   "/" + odd};
  std::vector<std::string> names;
  for (const Role role : {Role::kClient, Role::kServer}) {
    for (const std::string& target : parts) {
      if (role == Role::kServer && !target.empty()) continue;
      for (const std::string& method : parts) {
        const std::string name = ResourceName({role, target, method});
        for (const char c : name) EXPECT_TRUE(c > ' ' && c < 127) << name;
        const auto parsed = ParseResourceName(name);
        ASSERT_TRUE(parsed.has_value()) << name;
        EXPECT_EQ(parsed->role, role);
        EXPECT_EQ(parsed->target, target);
        EXPECT_EQ(parsed->method, method);
        names.push_back(name);
      }
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

TEST(ResourceNameTest, RefusesWhatIsNone) {
  for (const char* name :
       {"", "breakers", "breakers/", "breakers/server", "breakers/client",
        "breakers/client/", "breakers/client/x", "breakers/client//pkg.S/M",
        "breakers/proxy/pkg.S/M", "Breakers/server/pkg.S/M",
        "breakers/server/%", "breakers/server/%4", "breakers/server/%4g",
        // Other spellings of a name.
        "breakers/server/%41", "breakers/server/%7e", "breakers/client/%2d/x",
        "breakers/client/%2D%2D/x", "breakers/server/a b",
        "breakers/server/~/x"}) {
    EXPECT_FALSE(ParseResourceName(name).has_value()) << name;
  }
}

BreakerSnapshot OpenServer() {
  BreakerSnapshot breaker;
  breaker.role = Role::kServer;
  breaker.method = "/pkg.Orders/GetOrder";
  breaker.state = State::kOpen;
  return breaker;
}

BreakerSnapshot ForcedClient() {
  BreakerSnapshot breaker;
  breaker.role = Role::kClient;
  breaker.target = "dns:///a b,\"c\"";
  breaker.method = "/pkg.Stock/Reserve";
  breaker.override_state = Override::kForcedClosed;
  breaker.settings.mode = Mode::kShadow;
  return breaker;
}

// "server", "client", "both" or "none", or what is wrong.
std::string Shown(const std::string& text) {
  const auto filter = BreakerFilter::Parse(text);
  if (!filter.ok()) {
    EXPECT_EQ(filter.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(filter.status().message());
  }
  const bool server = filter->Matches(OpenServer());
  const bool client = filter->Matches(ForcedClient());
  return server ? (client ? "both" : "server") : (client ? "client" : "none");
}

TEST(BreakerFilterTest, LetsThroughWhatMeetsAllConditions) {
  EXPECT_EQ(Shown(""), "both");
  EXPECT_EQ(Shown(" \t\n"), "both");
  EXPECT_EQ(Shown("state=OPEN"), "server");
  EXPECT_EQ(Shown("state=open"), "server");
  EXPECT_EQ(Shown("state!=OPEN"), "client");
  EXPECT_EQ(Shown("state=OPEN,CLOSED"), "both");
  EXPECT_EQ(Shown("state!=OPEN,CLOSED"), "none");
  EXPECT_EQ(Shown("state=HALF_OPEN"), "none");
  EXPECT_EQ(Shown("override=NONE"), "server");
  EXPECT_EQ(Shown("override=FORCED_OPEN,FORCED_CLOSED"), "client");
  EXPECT_EQ(Shown("role=CLIENT"), "client");
  EXPECT_EQ(Shown("mode=SHADOW"), "client");
  EXPECT_EQ(Shown("target=\"\""), "server");
  EXPECT_EQ(Shown("target=dns:*"), "client");
  EXPECT_EQ(Shown("target=\"dns:///a b,\\\"c\\\"\""), "client");
  EXPECT_EQ(Shown("method=/pkg.Orders/*"), "server");
  EXPECT_EQ(Shown("method=pkg.Orders/GetOrder"), "server");
  EXPECT_EQ(Shown("method=*Reserve"), "client");
  EXPECT_EQ(Shown("method=GetOrder"), "none");
  EXPECT_EQ(Shown("state=OPEN role=CLIENT"), "none");
  EXPECT_EQ(Shown("state=OPEN AND role=SERVER"), "server");
  EXPECT_EQ(Shown("method=/pkg.* method!=*Stock*"), "server");
}

TEST(BreakerFilterTest, SaysWhatIsWrong) {
  EXPECT_EQ(Shown("colour=red"),
            "filter: 'colour' is no field: state, override, role, mode, target "
            "or method");
  EXPECT_EQ(Shown("state=AJAR"),
            "filter: state: 'ajar' is not valid: CLOSED, OPEN, HALF_OPEN");
  EXPECT_EQ(Shown("state"), "filter: after state stands no = or !=");
  EXPECT_EQ(Shown("state!OPEN"), "filter: after state stands no = or !=");
  EXPECT_EQ(Shown("state="), "filter: state: a value is missing");
  EXPECT_EQ(Shown("state=OPEN,"), "filter: state: a value is missing");
  EXPECT_EQ(Shown("state= OPEN"), "filter: state: a value is missing");
  EXPECT_EQ(Shown("target=\"x"), "filter: target: a quote is open");
  EXPECT_EQ(Shown("target=\"x\\"), "filter: target: a quote is open");
  EXPECT_EQ(Shown("target=\"x\"y"),
            "filter: after a value stands 'y', not a space");
  EXPECT_EQ(Shown("target=x\"y\""),
            "filter: after a value stands '\"', not a space");
  EXPECT_THAT(Shown("AND state=OPEN"), HasSubstr("'AND' is no field"));
  EXPECT_EQ(Shown("state=OPEN AND"), "filter: AND stands at the end");
  EXPECT_THAT(Shown("state=OPEN AND AND role=CLIENT"),
              HasSubstr("'AND' is no field"));
  EXPECT_THAT(Shown("\x1b[2J=x"), HasSubstr("'\\x1b[2J' is no field"));
  EXPECT_EQ(Shown("method=" + std::string(1017, 'x')), "none");
  EXPECT_EQ(Shown("method=" + std::string(1018, 'x')),
            "filter: 1025 bytes are out of range [0, 1024]");
}

TEST(BreakerFilterTest, KnowsWhetherItIsAboutNamesOnly) {
  EXPECT_TRUE(BreakerFilter().names_only());
  const auto about_names =
      BreakerFilter::Parse("role=SERVER method=/a/* target!=x");
  EXPECT_TRUE(about_names->names_only());
  EXPECT_TRUE(about_names->Matches(Role::kServer, "", "/a/b"));
  EXPECT_FALSE(about_names->Matches(Role::kServer, "x", "/a/b"));
  EXPECT_FALSE(BreakerFilter::Parse("role=SERVER mode=OFF")->names_only());
}

TEST(GlobTest, AStarStandsForAnything) {
  EXPECT_TRUE(GlobMatches("", ""));
  EXPECT_TRUE(GlobMatches("*", ""));
  EXPECT_TRUE(GlobMatches("**", "abc"));
  EXPECT_TRUE(GlobMatches("a*c", "ac"));
  EXPECT_TRUE(GlobMatches("a*c", "abcbc"));
  EXPECT_TRUE(GlobMatches("*b*", "abc"));
  EXPECT_FALSE(GlobMatches("", "a"));
  EXPECT_FALSE(GlobMatches("a*c", "acb"));
  EXPECT_FALSE(GlobMatches("a*b*c", "ac"));
  // Does not take exponential time.
  EXPECT_FALSE(GlobMatches(std::string(500, '*') + "a*a*a*a*a*a*a*b",
                           std::string(4000, 'a')));
}

TEST(PageTokenTest, ComesBack) {
  const BreakerName last = {Role::kClient, "dns:///x", "/pkg.S/M"};
  const std::string token = PageToken(last, "state=OPEN");
  const auto parsed = ParsePageToken(token, "state=OPEN");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->target, last.target);
  EXPECT_EQ(parsed->method, last.method);
  EXPECT_EQ(parsed->role, last.role);
}

TEST(PageTokenTest, IsGoodForItsFilterOnly) {
  const std::string token = PageToken({Role::kServer, "", "/a/b"}, "");
  const absl::Status status = ParsePageToken(token, "state=OPEN").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another filter"));
  for (const std::string& bad : std::vector<std::string>{
           "", "x", "!", "AAAA", token.substr(1),
           absl::WebSafeBase64Escape("12345678breakers/x")}) {
    EXPECT_EQ(ParsePageToken(bad, "").status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(ListOrderTest, IsByRoleTargetMethodAndOverflowBreakersComeLast) {
  std::vector<std::string> names;
  std::vector<BreakerName> breakers = {
      {Role::kServer, "", "other"},  {Role::kServer, "", "/b/a"},
      {Role::kClient, "", "other"},  {Role::kServer, "", "/a/b"},
      {Role::kClient, "x", "/a/b"},  {Role::kClient, "a", "/z/z"},
      {Role::kServer, "", "/other"},
  };
  std::sort(breakers.begin(), breakers.end(), ListedBefore);
  for (const BreakerName& breaker : breakers) {
    names.push_back(ResourceName(breaker));
  }
  EXPECT_THAT(names,
              ElementsAre("breakers/client/a/z/z", "breakers/client/x/a/b",
                          "breakers/server/a/b", "breakers/server/b/a",
                          "breakers/server/other", "breakers/client/-/~other",
                          "breakers/server/~other"));
}

}  // namespace
}  // namespace fusebox

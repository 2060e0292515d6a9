#include "interceptor/stats/status_query.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

using Json = nlohmann::ordered_json;

TEST(ParseStatusQueryTest, AKeyAloneIsAQuery) {
  for (const char* text :
       {"key", "  key ", "a b", "!", "a!b", "/x/y", "\xff"}) {
    const auto query = ParseStatusQuery(text);
    ASSERT_TRUE(query.has_value()) << text;
    EXPECT_EQ(query->comparison, StatusQuery::Comparison::kNone);
    EXPECT_EQ(query->value, "");
  }
  EXPECT_EQ(ParseStatusQuery("  a b ")->key, "a b");
}

TEST(ParseStatusQueryTest, EveryOperatorIsKnown) {
  using Comparison = StatusQuery::Comparison;
  const struct {
    const char* sign;
    Comparison comparison;
  } operators[] = {
      {">=", Comparison::kGe}, {">", Comparison::kGt}, {"<", Comparison::kLt},
      {"<=", Comparison::kLe}, {"=", Comparison::kEq}, {"==", Comparison::kEq},
      {"!=", Comparison::kNe},
  };
  for (const auto& op : operators) {
    for (const char* space : {"", " ", "   "}) {
      const auto query = ParseStatusQuery("a key" + std::string(space) +
                                          op.sign + space + "5 x");
      ASSERT_TRUE(query.has_value()) << op.sign;
      EXPECT_EQ(query->key, "a key");
      EXPECT_EQ(query->comparison, op.comparison) << op.sign;
      EXPECT_EQ(query->value, "5 x");
    }
  }
}

TEST(ParseStatusQueryTest, WhatIsNoQueryIsRefused) {
  for (const char* text :
       {"", " ", "> 5", " = x", "key >", "key = ", "a > b > c", "a => b",
        "a === b", "a <> b", "a >> b", "a =< b", "a >= = b", "a <=> b", "=",
        "!=", "a == b=c"}) {
    EXPECT_FALSE(ParseStatusQuery(text).has_value()) << text;
  }
}

Json Tree() {
  return Json::parse(R"({
    "calls": 12,
    "method": {
      "M": {"calls": 5, "state": "open", "share": 0.5, "probe": null,
            "shadow": true},
      "N": {"calls": 7, "state": "closed", "share": 2.0, "shadow": false}
    },
    "state": {"closed": 1, "open": 1},
    "list": [{"calls": 1}]
  })");
}

std::string Asked(const std::string& query) {
  const auto parsed = ParseStatusQuery(query);
  EXPECT_TRUE(parsed.has_value()) << query;
  return parsed.has_value() ? Select(Tree(), *parsed).dump() : "";
}

TEST(SelectTest, AKeyFindsEveryMemberOfThatName) {
  EXPECT_EQ(Asked("calls"),
            R"({"calls":12,"method":{"M":{"calls":5},"N":{"calls":7}}})");
  EXPECT_EQ(Asked("probe"), R"({"method":{"M":{"probe":null}}})");
  EXPECT_EQ(Asked("state"),
            R"({"method":{"M":{"state":"open"},"N":{"state":"closed"}},)"
            R"("state":{"closed":1,"open":1}})");
  EXPECT_EQ(Asked("N"),
            R"({"method":{"N":{"calls":7,"state":"closed","share":2.0,)"
            R"("shadow":false}}})");
  EXPECT_EQ(Asked("call"), "{}");
  EXPECT_EQ(Asked("Calls"), "{}");
}

TEST(SelectTest, NumbersAreComparedAsNumbers) {
  EXPECT_EQ(Asked("calls > 7"), R"({"calls":12})");
  EXPECT_EQ(Asked("calls >= 7"), R"({"calls":12,"method":{"N":{"calls":7}}})");
  EXPECT_EQ(Asked("calls < 7"), R"({"method":{"M":{"calls":5}}})");
  EXPECT_EQ(Asked("calls<=7"),
            R"({"method":{"M":{"calls":5},"N":{"calls":7}}})");
  EXPECT_EQ(Asked("calls = 7"), R"({"method":{"N":{"calls":7}}})");
  EXPECT_EQ(Asked("calls == 7.0"), R"({"method":{"N":{"calls":7}}})");
  EXPECT_EQ(Asked("calls != 7"), R"({"calls":12,"method":{"M":{"calls":5}}})");
  EXPECT_EQ(Asked("share < 1"), R"({"method":{"M":{"share":0.5}}})");
  EXPECT_EQ(Asked("share = 5e-1"), R"({"method":{"M":{"share":0.5}}})");
  EXPECT_EQ(Asked("calls > -1e9"),
            R"({"calls":12,"method":{"M":{"calls":5},"N":{"calls":7}}})");
}

TEST(SelectTest, NumbersAndTextsHaveNothingInCommon) {
  EXPECT_EQ(Asked("calls != many"), "{}");
  EXPECT_EQ(Asked("calls < \"9\""), "{}");
  EXPECT_EQ(Asked("calls > NaN"), "{}");
  EXPECT_EQ(Asked("calls != null"), "{}");
  EXPECT_EQ(Asked("calls > [1]"), "{}");
}

TEST(SelectTest, TextsAreComparedByteByByte) {
  EXPECT_EQ(Asked("state = open"), R"({"method":{"M":{"state":"open"}}})");
  EXPECT_EQ(Asked("state != open"), R"({"method":{"N":{"state":"closed"}}})");
  EXPECT_EQ(Asked("state < d"), R"({"method":{"N":{"state":"closed"}}})");
  EXPECT_EQ(Asked("state >= open"), R"({"method":{"M":{"state":"open"}}})");
  EXPECT_EQ(Asked("state = Open"), "{}");
}

TEST(SelectTest, TruthIsATextAndNullIsLikeNothing) {
  EXPECT_EQ(Asked("shadow = true"), R"({"method":{"M":{"shadow":true}}})");
  EXPECT_EQ(Asked("shadow != true"), R"({"method":{"N":{"shadow":false}}})");
  EXPECT_EQ(Asked("probe = null"), "{}");
  EXPECT_EQ(Asked("probe != null"), "{}");
}

TEST(SelectTest, ObjectsOfThatNameAreLookedInto) {
  const auto query = ParseStatusQuery("x > 1");
  EXPECT_EQ(Select(Json::parse(R"({"x":{"x":2,"y":{"x":1}}})"), *query).dump(),
            R"({"x":{"x":2}})");
}

TEST(SelectTest, LargeIntegersAreExact) {
  const Json tree = {{"a", std::int64_t{9007199254740993}},
                     {"b", std::numeric_limits<std::uint64_t>::max()}};
  EXPECT_EQ(Select(tree, *ParseStatusQuery("a > 9007199254740992")).size(), 1u);
  EXPECT_EQ(Select(tree, *ParseStatusQuery("a = 9007199254740992")).size(), 0u);
  EXPECT_EQ(Select(tree, *ParseStatusQuery("b = 18446744073709551615")).size(),
            1u);
  EXPECT_EQ(Select(tree, *ParseStatusQuery("b > 18446744073709551614")).size(),
            1u);
}

TEST(SelectTest, WhatHasNoMembersHasNoneOfThatName) {
  for (const char* tree : {"5", "\"calls\"", "null", "[{\"calls\":1}]"}) {
    EXPECT_EQ(Select(Json::parse(tree), *ParseStatusQuery("calls")).dump(),
              "{}");
  }
}

std::string At(const Json& tree, const std::string& path) {
  const auto found = FindInTree(tree, path);
  if (!found.has_value()) return "none";
  std::string names;
  for (const std::string& name : found->names) names += "[" + name + "]";
  return names + " " + found->value->dump();
}

TEST(FindInTreeTest, PathsLeadThere) {
  const Json tree = Tree();
  EXPECT_EQ(FindInTree(tree, "")->value, &tree);
  EXPECT_EQ(At(tree, "calls"), "[calls] 12");
  EXPECT_EQ(At(tree, "calls/"), "[calls] 12");
  EXPECT_EQ(At(tree, "method/M/state"), "[method][M][state] \"open\"");
  EXPECT_EQ(At(tree, "state/"), R"([state] {"closed":1,"open":1})");
  for (const char* path :
       {"call", "callss", "calls//", "/calls", "/", "method/M/state/open",
        "method//M", "calls/x", "list/0", ".", "../calls"}) {
    EXPECT_EQ(At(tree, path), "none") << path;
  }
}

TEST(FindInTreeTest, NamesMayHoldSlashes) {
  const Json tree = Json::parse(
      R"({"a":{"b":1},"a/b":{"c":2},"dns:///":{"x":3},"":{"y":4}})");
  EXPECT_EQ(At(tree, "a/b"), "[a][b] 1");  // the first
  EXPECT_EQ(At(tree, "a/b/c"), "[a/b][c] 2");
  EXPECT_EQ(At(tree, "dns:///"), R"([dns:///] {"x":3})");
  EXPECT_EQ(At(tree, "dns:////x"), "[dns:///][x] 3");
  EXPECT_EQ(At(tree, "dns:///x"), "none");
  EXPECT_EQ(At(tree, "/y"), "[][y] 4");
}

}  // namespace
}  // namespace fusebox

#include "interceptor/export/graphite_rules.h"

#include <gtest/gtest.h>

#include <string>

namespace fusebox {
namespace {

TEST(GraphitePathTest, SpacesAndDotsBecomeDashesAndSlashesUnderscores) {
  EXPECT_EQ(GraphitePathPart("pkg.sub.Service"), "pkg-sub-Service");
  EXPECT_EQ(GraphitePathPart("a b"), "a-b");
  EXPECT_EQ(GraphitePathPart("dns:///orders:443"), "dns:___orders:443");
  EXPECT_EQ(GraphitePathPart("99percentile"), "99percentile");
}

TEST(GraphitePathTest, PartsAreTrimmed) {
  EXPECT_EQ(GraphitePathPart(" \t\r\n a b \n"), "a-b");
  EXPECT_EQ(GraphitePathPart(""), "_");
  EXPECT_EQ(GraphitePathPart(" \n"), "_");
}

TEST(GraphitePathTest, WhatCarbonWouldStumbleOverBecomesAnUnderscore) {
  EXPECT_EQ(GraphitePathPart("a\nb\tc\rd"), "a_b_c_d");
  EXPECT_EQ(GraphitePathPart("a;tag=1"), "a_tag_1");
  EXPECT_EQ(GraphitePathPart("{a,b}*?[c]"), "_a_b____c_");
  EXPECT_EQ(GraphitePathPart("\xc3\xa9t\xff"), "__t_");
  EXPECT_EQ(GraphitePathPart(std::string("a\0b", 3)), "a_b");
  EXPECT_EQ(GraphitePathPart(".."), "--");
}

TEST(GraphitePathTest, PartsFitIntoFileNames) {
  EXPECT_EQ(GraphitePathPart(std::string(250, 'x')), std::string(250, 'x'));
  EXPECT_EQ(GraphitePathPart(std::string(251, 'x')), std::string(250, 'x'));
}

TEST(GraphitePathTest, DotsStandBetweenParts) {
  EXPECT_EQ(GraphitePath({"server", "pkg.S", "M"}), "server.pkg-S.M");
  EXPECT_EQ(GraphitePath({"a"}), "a");
}

TEST(GraphiteRulesTest, WithoutARuleNothingIsAllowed) {
  EXPECT_FALSE(GraphiteRules().Allows("a"));
  EXPECT_FALSE(GraphiteRules().Allows(""));
}

TEST(GraphiteRulesTest, APrefixIsAPathAndAllBelowIt) {
  GraphiteRules rules;
  rules.Allow("server.pkg-S");
  EXPECT_TRUE(rules.Allows("server.pkg-S"));
  EXPECT_TRUE(rules.Allows("server.pkg-S.M.calls.ok"));
  EXPECT_FALSE(rules.Allows("server.pkg-S2.M"));
  EXPECT_FALSE(rules.Allows("server"));
  EXPECT_FALSE(rules.Allows("client.server.pkg-S"));
}

TEST(GraphiteRulesTest, AGlobIsAWholePath) {
  GraphiteRules rules;
  rules.Allow("server.*.calls.*");
  EXPECT_TRUE(rules.Allows("server.S.M.calls.ok"));
  EXPECT_FALSE(rules.Allows("server.S.M.calls"));
  EXPECT_FALSE(rules.Allows("client.T.S.M.calls.ok"));

  GraphiteRules one_byte;
  one_byte.Allow("a.?");
  EXPECT_TRUE(one_byte.Allows("a.b"));
  EXPECT_FALSE(one_byte.Allows("a.bc"));

  GraphiteRules one_of;
  one_of.Allow("a.[bc]");
  EXPECT_TRUE(one_of.Allows("a.c"));
  EXPECT_FALSE(one_of.Allows("a.d"));
}

TEST(GraphiteRulesTest, TheNewestThatFitsDecides) {
  GraphiteRules rules;
  rules.Allow("*");
  rules.Forbid("server");
  rules.Allow("server.S.M");
  EXPECT_TRUE(rules.Allows("client.x"));
  EXPECT_FALSE(rules.Allows("server.S.N"));
  EXPECT_TRUE(rules.Allows("server.S.M.calls"));
  rules.Forbid("*");
  EXPECT_FALSE(rules.Allows("server.S.M.calls"));
}

}  // namespace
}  // namespace fusebox

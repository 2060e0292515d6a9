#include "interceptor/health/breaker_health.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

using Healths = std::map<std::string, bool>;

Healths AsMap(const std::vector<BreakerHealth::Change>& changes) {
  Healths healths;
  for (const auto& [name, healthy] : changes) {
    EXPECT_TRUE(healths.emplace(name, healthy).second) << name << " twice";
  }
  return healths;
}

BreakerHealth WithMethods(ServiceHealthRule services,
                          ServiceHealthRule server) {
  HealthOptions options;
  options.services = services;
  options.server = server;
  BreakerHealth health(options);
  for (const char* method : {"/a.A/One", "/a.A/Two", "/b.B/One"}) {
    health.Add(method);
  }
  return health;
}

TEST(BreakerHealthTest, MethodsAndServicesAreHealthyFromTheStart) {
  const BreakerHealth health =
      WithMethods(ServiceHealthRule::kAll, ServiceHealthRule::kNever);
  EXPECT_EQ(AsMap(health.All()), (Healths{{"a.A/One", true},
                                          {"a.A/Two", true},
                                          {"a.A", true},
                                          {"b.B/One", true},
                                          {"b.B", true}}));
}

TEST(BreakerHealthTest, ServiceIsUnhealthyWhenAnyOfItsMethodsIs) {
  BreakerHealth health =
      WithMethods(ServiceHealthRule::kAny, ServiceHealthRule::kNever);
  EXPECT_EQ(AsMap(health.Set("/a.A/One", false)),
            (Healths{{"a.A/One", false}, {"a.A", false}}));
  EXPECT_EQ(AsMap(health.Set("/a.A/Two", false)),
            (Healths{{"a.A/Two", false}}));
  EXPECT_EQ(AsMap(health.Set("/a.A/One", true)), (Healths{{"a.A/One", true}}));
  EXPECT_EQ(AsMap(health.Set("/a.A/Two", true)),
            (Healths{{"a.A/Two", true}, {"a.A", true}}));
}

TEST(BreakerHealthTest, ServiceIsUnhealthyWhenAllOfItsMethodsAre) {
  BreakerHealth health =
      WithMethods(ServiceHealthRule::kAll, ServiceHealthRule::kNever);
  EXPECT_EQ(AsMap(health.Set("/a.A/One", false)),
            (Healths{{"a.A/One", false}}));
  EXPECT_EQ(AsMap(health.Set("/a.A/Two", false)),
            (Healths{{"a.A/Two", false}, {"a.A", false}}));
  EXPECT_EQ(AsMap(health.Set("/a.A/One", true)),
            (Healths{{"a.A/One", true}, {"a.A", true}}));
}

TEST(BreakerHealthTest, ServiceIsNeverUnhealthyIfSoDecided) {
  BreakerHealth health =
      WithMethods(ServiceHealthRule::kNever, ServiceHealthRule::kNever);
  EXPECT_EQ(AsMap(health.Set("/b.B/One", false)),
            (Healths{{"b.B/One", false}}));
  EXPECT_EQ(AsMap(health.All())["b.B"], true);
}

TEST(BreakerHealthTest, ServerIsJudgedOverAllMethodsIfAsked) {
  BreakerHealth any =
      WithMethods(ServiceHealthRule::kNever, ServiceHealthRule::kAny);
  EXPECT_EQ(AsMap(any.Set("/b.B/One", false)),
            (Healths{{"b.B/One", false}, {"", false}}));
  EXPECT_EQ(AsMap(any.All())[""], false);

  BreakerHealth all =
      WithMethods(ServiceHealthRule::kNever, ServiceHealthRule::kAll);
  all.Set("/a.A/One", false);
  all.Set("/a.A/Two", false);
  EXPECT_EQ(AsMap(all.All())[""], true);
  EXPECT_EQ(AsMap(all.Set("/b.B/One", false)),
            (Healths{{"b.B/One", false}, {"", false}}));
}

TEST(BreakerHealthTest, WhatStaysTheSameIsNoChange) {
  BreakerHealth health =
      WithMethods(ServiceHealthRule::kAny, ServiceHealthRule::kAny);
  EXPECT_EQ(AsMap(health.Set("/a.A/One", true)), Healths());
  health.Set("/a.A/One", false);
  EXPECT_EQ(AsMap(health.Set("/a.A/One", false)), Healths());
  health.Add("/a.A/One");
  EXPECT_EQ(AsMap(health.All())["a.A/One"], false);
}

TEST(BreakerHealthTest, UnknownMethodsAreNoOnesBusiness) {
  BreakerHealth health =
      WithMethods(ServiceHealthRule::kAny, ServiceHealthRule::kAny);
  EXPECT_EQ(AsMap(health.Set("/a.A/Three", false)), Healths());
  EXPECT_EQ(AsMap(health.Set("", false)), Healths());
}

}  // namespace
}  // namespace fusebox

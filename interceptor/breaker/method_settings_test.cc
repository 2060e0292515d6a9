// Settings by method: RegistryOptions::method_settings.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/method_pattern.h"

namespace fusebox {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(MethodPatternTest, IsAMethodOrAllOfAService) {
  for (const char* text : {"/pkg.Service/Method", "/pkg.Service/*", "/S/M",
                           "/S/*", "/a.b-c.D/e_f", "/\xc3\xa4/\xc3\xb6"}) {
    EXPECT_TRUE(IsMethodPattern(text)) << text;
  }
  for (const char* text :
       {"",       "*",     "/",     "/*",     "//",     "//*",
        "//M",    "/S",    "/S/",   "S/M",    "S/*",    "/S/M/",
        "/S/M/N", "/S/**", "/S/M*", "/*/M",   "/*/*",   "/pkg.*/M",
        "/S /M",  "/S/M ", " /S/M", "/S/M\n", "/S/\x7f"}) {
    EXPECT_FALSE(IsMethodPattern(text)) << text;
  }
}

TEST(MethodPatternTest, ServicePartEndsAtTheLastSlash) {
  EXPECT_EQ(ServicePart("/pkg.Service/Method"), "/pkg.Service/");
  EXPECT_EQ(ServicePart("/pkg.Service/*"), "/pkg.Service/");
  EXPECT_EQ(ServicePart("/a/b/c"), "/a/b/");
  EXPECT_EQ(ServicePart("other"), "");
  EXPECT_EQ(ServicePart(""), "");
}

Settings WithBuckets(int buckets) {
  Settings settings;
  settings.buckets = buckets;
  return settings;
}

RegistryOptions QuietOptions(std::vector<std::string>* log = nullptr) {
  RegistryOptions options;
  options.start_dispatcher = false;
  options.log = [log](const std::string& line) {
    if (log != nullptr) log->push_back(line);
  };
  return options;
}

TEST(MethodSettingsTest, TheMostSpecificPatternWins) {
  RegistryOptions options = QuietOptions();
  options.settings = WithBuckets(1);
  options.method_settings = {{"/pkg.S/*", WithBuckets(2)},
                             {"/pkg.S/M", WithBuckets(3)},
                             {"/pkg.T/M", WithBuckets(4)}};
  BreakerRegistry registry(options);
  const struct {
    const char* method;
    int buckets;
  } cases[] = {{"/pkg.S/M", 3}, {"/pkg.S/N", 2}, {"/pkg.T/M", 4},
               {"/pkg.T/N", 1}, {"/pkg/S/M", 1}, {"/pkg.S/M/x", 1},
               {"/pkg.S/", 2},  {"nonsense", 1}, {"/pkg.S2/M", 1}};
  const auto client = registry.Scope(Role::kClient, "target");
  const auto server = registry.Scope(Role::kServer, "");
  for (const auto& c : cases) {
    EXPECT_EQ(client->Find(c.method).settings(), WithBuckets(c.buckets))
        << c.method;
    EXPECT_EQ(server->Find(c.method).settings(), WithBuckets(c.buckets))
        << c.method;
    EXPECT_EQ(registry.Pin(Role::kClient, "pinned", c.method).settings(),
              WithBuckets(c.buckets))
        << c.method;
  }
}

TEST(MethodSettingsTest, EqualSettingsAreOneObject) {
  RegistryOptions options = QuietOptions();
  options.settings = WithBuckets(1);
  options.method_settings = {{"/pkg.S/*", WithBuckets(2)},
                             {"/pkg.S/A", WithBuckets(1)},
                             {"/pkg.T/*", WithBuckets(2)}};
  BreakerRegistry registry(options);
  const auto scope = registry.Scope(Role::kClient, "");
  const Settings* others = &scope->Find("/pkg.U/A").settings();
  const Settings* two = &scope->Find("/pkg.S/B").settings();
  EXPECT_NE(others, two);
  EXPECT_EQ(&scope->Find("/pkg.S/A").settings(), others);
  EXPECT_EQ(&scope->Find("/pkg.S/C").settings(), two);
  EXPECT_EQ(&scope->Find("/pkg.T/A").settings(), two);
}

TEST(MethodSettingsTest, TheOverflowBreakerHasTheSettingsOfTheOthers) {
  RegistryOptions options = QuietOptions();
  options.settings = WithBuckets(1);
  options.method_settings = {{"/pkg.S/*", WithBuckets(2)}};
  options.max_breakers = 1;
  BreakerRegistry registry(options);
  const auto scope = registry.Scope(Role::kClient, "");
  EXPECT_EQ(scope->Find("/pkg.S/A").settings(), WithBuckets(2));
  EXPECT_EQ(scope->Find("/pkg.S/B").settings(), WithBuckets(1));
}

// One method in shadow, another enforced: the way into a running fleet.
TEST(MethodSettingsTest, ModesDifferByMethod) {
  RegistryOptions options = QuietOptions();
  options.settings.mode = Mode::kShadow;
  options.settings.min_requests = 0;
  options.method_settings["/pkg.S/Enforced"] = options.settings;
  options.method_settings["/pkg.S/Enforced"].mode = Mode::kEnforce;
  options.method_settings["/pkg.S/Off"] = options.settings;
  options.method_settings["/pkg.S/Off"].mode = Mode::kOff;
  BreakerRegistry registry(options);
  const auto scope = registry.Scope(Role::kServer, "");
  const TimePoint now = registry.Now();
  for (const char* method :
       {"/pkg.S/Enforced", "/pkg.S/Shadow", "/pkg.S/Off"}) {
    CircuitBreaker& breaker = scope->Find(method);
    breaker.Admit(now).permit.Finish(Outcome::kTimeout, now);
  }
  EXPECT_FALSE(scope->Find("/pkg.S/Enforced").Admit(now).admitted());
  EXPECT_TRUE(scope->Find("/pkg.S/Shadow").Admit(now).admitted());
  EXPECT_TRUE(scope->Find("/pkg.S/Off").Admit(now).admitted());
  EXPECT_EQ(scope->Find("/pkg.S/Shadow").Snapshot(now).shadow_rejected, 1u);
  EXPECT_EQ(scope->Find("/pkg.S/Off").Snapshot(now).lifetime.total(), 0u);
}

TEST(MethodSettingsTest, TheLogSaysWhichMethodsAreInShadow) {
  std::vector<std::string> log;
  RegistryOptions options = QuietOptions(&log);
  options.settings.min_requests = 0;
  options.method_settings["/pkg.S/Shadow"] = options.settings;
  options.method_settings["/pkg.S/Shadow"].mode = Mode::kShadow;
  BreakerRegistry registry(options);
  const TimePoint now = registry.Now();
  for (const char* method : {"/pkg.S/Shadow", "/pkg.S/Enforced"}) {
    registry.Pin(Role::kServer, "", method)
        .Admit(now)
        .permit.Finish(Outcome::kTimeout, now);
  }
  registry.Dispatch();
  EXPECT_THAT(
      log,
      ElementsAre(
          AllOf(HasSubstr("/pkg.S/Shadow"), EndsWith("generation 2 (shadow)")),
          AllOf(HasSubstr("/pkg.S/Enforced"), EndsWith("generation 2"))));
}

TEST(MethodSettingsTest, BadPatternsAndSettingsAreErrors) {
  RegistryOptions options = QuietOptions();
  options.method_settings["pkg.S/M"] = Settings();
  options.method_settings["/pkg.S/M"] = WithBuckets(0);
  try {
    BreakerRegistry registry(options);
    FAIL() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("/pkg.S/M: buckets: 0 is out of range [1, 1000]"));
    EXPECT_THAT(error.what(),
                HasSubstr("method_settings: 'pkg.S/M' is not valid: "
                          "/pkg.Service/Method or /pkg.Service/*"));
  }
}

TEST(MethodSettingsTest, WarningsNameThePattern) {
  std::vector<std::string> log;
  RegistryOptions options = QuietOptions(&log);
  options.method_settings["/pkg.S/M"] = WithBuckets(101);
  const BreakerRegistry registry(options);
  EXPECT_THAT(log, ElementsAre(HasSubstr("fusebox: warning: /pkg.S/M: "
                                         "buckets: 101 is more than 100")));
}

}  // namespace
}  // namespace fusebox

#include "interceptor/http/health_pages.h"

#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/http/testing/raw_client.h"

namespace fusebox {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

using SystemTime = std::chrono::system_clock::time_point;

Component Healthy(const std::string& name, const std::string& message) {
  Component component;
  component.name = name;
  component.checked = true;
  component.healthy = true;
  component.message = message;
  return component;
}

TEST(HealthcheckJsonTest, IsTheAgreedDocument) {
  ServiceHealth health;
  health.components = {
      Healthy("background_jobs", "423 jobs"),
      Healthy("database", "database is available."),
  };
  health.components[0].response_time = microseconds(1230);
  health.components[0].fields["queued_jobs"] = std::int64_t{423};
  health.components[1].response_time = seconds(2);
  EXPECT_EQ(
      HealthcheckJson(health, SystemTime(milliseconds(1409785778702))),
      R"({"service_healthy":true,"timestamp":"2014-09-03T23:09:38.702Z",)"
      R"("components":{"background_jobs":{"healthy":true,)"
      R"("status_message":"423 jobs","response_time":0.00123,)"
      R"("queued_jobs":423},"database":{"healthy":true,)"
      R"("status_message":"database is available.","response_time":2.0}}})");
}

TEST(HealthcheckJsonTest, WithoutComponentsTheServiceIsHealthy) {
  EXPECT_EQ(HealthcheckJson({}, SystemTime(milliseconds(5))),
            R"({"service_healthy":true,)"
            R"("timestamp":"1970-01-01T00:00:00.005Z","components":{}})");
}

TEST(HealthcheckJsonTest, TimestampsAreCutNotRounded) {
  EXPECT_THAT(HealthcheckJson({}, SystemTime(microseconds(1999999))),
              HasSubstr("\"1970-01-01T00:00:01.999Z\""));
  EXPECT_THAT(HealthcheckJson({}, SystemTime(microseconds(-1))),
              HasSubstr("\"1969-12-31T23:59:59.999Z\""));
}

TEST(HealthcheckJsonTest, FieldsOfAnyTypeStandBehindTheFixedOnes) {
  ServiceHealth health;
  health.healthy = false;
  Component component = Healthy("db", "\"quoted\"\n\xff");
  component.healthy = false;
  component.fields = {{"bool", true},
                      {"double", 0.5},
                      {"healthy", true},  // is not to be had
                      {"infinite", std::numeric_limits<double>::infinity()},
                      {"nan", std::numeric_limits<double>::quiet_NaN()},
                      {"number", std::int64_t{-1}},
                      {"text", std::string("<b>")}};
  health.components = {component};
  EXPECT_THAT(
      HealthcheckJson(health, SystemTime()),
      HasSubstr(R"({"db":{"healthy":false,"status_message":"\"quoted\"\n)"
                "\xef\xbf\xbd"
                R"(","response_time":0.0,"bool":true,"double":0.5,)"
                R"("infinite":null,"nan":null,"number":-1,"text":"<b>"}}})"));
}

TEST(ReadyzLinesTest, EachComponentHasALineAndNoMore) {
  ServiceHealth health;
  health.components = {Healthy("cache", "cold"), Healthy("db", "fine"),
                       Healthy("queue", "")};
  health.components[0].healthy = false;
  health.components[0].critical = false;
  health.components[2].healthy = false;
  health.components[2].message = "no\n[+]route ok\r\x1b";
  EXPECT_EQ(ReadyzLines(health),
            "[-]cache failed: cold (not critical)\n"
            "[+]db ok\n"
            "[-]queue failed: no [+]route ok  \n");
}

class HealthPagesTest : public ::testing::Test {
 protected:
  HealthPagesTest() : checks_(Unscheduled()) {}

  void Start(const HealthPagesOptions& options = {}) {
    ASSERT_TRUE(AddHealthPages(http_, &checks_, options).ok());
    ASSERT_TRUE(http_.Start().ok());
  }

  void Register(const std::string& name, Check check) {
    ASSERT_TRUE(checks_.Register(name, {}, std::move(check)).ok());
  }

  void RunChecks() {
    checks_.Poll();
    checks_.AwaitRuns();
  }

  std::string Page(const std::string& target) {
    return Get(http_.port(), target);
  }

  static ComponentChecksOptions Unscheduled() {
    ComponentChecksOptions options;
    options.start_scheduler = false;
    return options;
  }

  ComponentChecks checks_;
  HttpServer http_;
};

TEST_F(HealthPagesTest, AllIsWellWithoutComponents) {
  Start();
  EXPECT_EQ(StatusOf(Page("/healthcheck/")), 200);
  EXPECT_THAT(Page("/healthcheck/"),
              HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_EQ(BodyOf(Page("/healthz")), "ok\n");
  EXPECT_EQ(StatusOf(Page("/readyz")), 200);
  EXPECT_EQ(BodyOf(Page("/readyz")), "ok\n");
  EXPECT_EQ(BodyOf(Page("/readyz?verbose")), "readyz check passed\n");
}

TEST_F(HealthPagesTest, ComponentsThatBreakAreOnEveryPageButHealthz) {
  bool healthy = true;
  Register("db", [&healthy](const CheckRun&) -> CheckResult {
    if (!healthy) throw std::runtime_error("gone");
    return {true, "here", {}};
  });
  Start();
  EXPECT_EQ(StatusOf(Page("/healthcheck/")), 500);
  EXPECT_EQ(BodyOf(Page("/readyz")),
            "[-]db failed: not checked yet\nreadyz check failed\n");
  RunChecks();
  const std::string page = Page("/healthcheck/");
  EXPECT_EQ(StatusOf(page), 200);
  const auto json = nlohmann::json::parse(BodyOf(page));
  EXPECT_EQ(json["service_healthy"], true);
  EXPECT_EQ(json["components"]["db"]["status_message"], "here");
  EXPECT_GT(json["components"]["db"]["response_time"], 0.0);
  EXPECT_THAT(json["timestamp"],
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z"));
  EXPECT_EQ(BodyOf(Page("/readyz")), "ok\n");
  EXPECT_EQ(BodyOf(Page("/readyz?verbose")), "[+]db ok\nreadyz check passed\n");
  EXPECT_EQ(BodyOf(Page("/readyz?verbose=1&x")),
            "[+]db ok\nreadyz check passed\n");
}

TEST_F(HealthPagesTest, SickServicesHaveTheStatusThatWasSet) {
  Register("db", [](const CheckRun&) -> CheckResult {
    throw std::runtime_error("gone");
  });
  HealthPagesOptions options;
  options.unhealthy_status = 503;
  Start(options);
  RunChecks();
  const std::string page = Page("/healthcheck/");
  EXPECT_EQ(StatusOf(page), 503);
  const auto json = nlohmann::json::parse(BodyOf(page));
  EXPECT_EQ(json["service_healthy"], false);
  EXPECT_EQ(json["components"]["db"]["healthy"], false);
  EXPECT_EQ(json["components"]["db"]["status_message"],
            "the check threw: gone");
  const std::string readyz = Page("/readyz");
  EXPECT_EQ(StatusOf(readyz), 503);
  EXPECT_EQ(BodyOf(readyz),
            "[-]db failed: the check threw: gone\nreadyz check failed\n");
  EXPECT_EQ(StatusOf(Page("/healthz")), 200);
}

TEST_F(HealthPagesTest, AStatusThatIsNoErrorIsNotValid) {
  for (const int status : {200, 399, 600}) {
    HealthPagesOptions options;
    options.unhealthy_status = status;
    EXPECT_EQ(AddHealthPages(http_, &checks_, options).message(),
              "unhealthy_status: " + std::to_string(status) +
                  " is out of range [400, 599]");
  }
}

// The pages wait for no check, so this would never end if they did.
TEST_F(HealthPagesTest, PagesAreThereWhileAComponentHangs) {
  std::promise<void> entered;
  std::promise<void> release;
  Register("hangs", [&](const CheckRun&) -> CheckResult {
    entered.set_value();
    release.get_future().wait();
    return {};
  });
  Register("works", [](const CheckRun&) { return CheckResult{true, "", {}}; });
  Start();
  checks_.Poll();
  entered.get_future().wait();
  EXPECT_EQ(StatusOf(Page("/healthcheck/")), 500);
  EXPECT_EQ(StatusOf(Page("/healthz")), 200);
  EXPECT_THAT(BodyOf(Page("/readyz?verbose")),
              HasSubstr("[-]hangs failed: not checked yet\n"));
  release.set_value();
}

TEST_F(HealthPagesTest, ReadyzKnowsWhetherTheServerServes) {
  Register("db", [](const CheckRun&) { return CheckResult{true, "", {}}; });
  HealthPagesOptions options;
  const auto health = std::make_shared<HealthService>();
  options.health = health;
  Start(options);
  RunChecks();
  EXPECT_EQ(StatusOf(Page("/readyz")), 200);
  EXPECT_EQ(BodyOf(Page("/readyz?verbose")),
            "[+]db ok\n[+]grpc.health.v1 ok\nreadyz check passed\n");
  health->Shutdown();
  EXPECT_EQ(StatusOf(Page("/readyz")), 503);
  EXPECT_EQ(BodyOf(Page("/readyz")),
            "[+]db ok\n[-]grpc.health.v1 failed: the server is NOT_SERVING\n"
            "readyz check failed\n");
  EXPECT_EQ(StatusOf(Page("/healthcheck/")), 200);  // components only
}

TEST_F(HealthPagesTest, PagesAreReadOnlyAndHaveNothingBelowThem) {
  Start();
  for (const char* page : {"/healthcheck/", "/healthz", "/readyz"}) {
    EXPECT_EQ(StatusOf(Request(http_.port(), "HEAD", page)), 200);
    EXPECT_EQ(StatusOf(Request(http_.port(), "POST", page)), 405);
  }
  EXPECT_EQ(StatusOf(Page("/healthcheck")), 200);
  for (const char* page : {"/", "/healthcheck/x", "/healthcheck/../x",
                           "/healthz/", "/readyz/db", "/Readyz"}) {
    EXPECT_EQ(StatusOf(Page(page)), 404) << page;
  }
}

}  // namespace
}  // namespace fusebox

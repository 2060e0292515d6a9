#include "interceptor/health/breaker_check.h"

#include <atomic>
#include <string>
#include <variant>

#include "gtest/gtest.h"

namespace fusebox {
namespace {

constexpr char kMethod[] = "/pkg.Service/Method";

RegistryOptions Options(Mode mode) {
  RegistryOptions options;
  options.settings.mode = mode;
  options.start_dispatcher = false;
  options.log = [](const std::string&) {};
  return options;
}

CheckResult Ask(const Check& check) {
  const std::atomic<bool> cancelled = false;
  return check(CheckRun(std::chrono::seconds(1), cancelled));
}

std::string State(const CheckResult& result) {
  return std::get<std::string>(result.fields.at("state"));
}

TEST(BreakerCheckTest, ABreakerWithoutCallsIsHealthyAndNotMade) {
  BreakerRegistry registry(Options(Mode::kEnforce));
  const CheckResult result =
      Ask(BreakerCheck(&registry, Role::kClient, "backend:1", kMethod));
  EXPECT_TRUE(result.healthy);
  EXPECT_EQ(result.message, "/pkg.Service/Method has had no calls");
  EXPECT_EQ(registry.stats().breakers, 0u);
}

TEST(BreakerCheckTest, OnlyARefusingBreakerIsUnhealthy) {
  BreakerRegistry registry(Options(Mode::kEnforce));
  CircuitBreaker& breaker = registry.Pin(Role::kClient, "backend:1", kMethod);
  const Check check =
      BreakerCheck(&registry, Role::kClient, "backend:1", kMethod);
  CheckResult result = Ask(check);
  EXPECT_TRUE(result.healthy);
  EXPECT_EQ(result.message, "/pkg.Service/Method is CLOSED");
  EXPECT_EQ(State(result), "CLOSED");

  breaker.Force(Override::kForcedOpen, TimePoint::max(), registry.Now());
  result = Ask(check);
  EXPECT_FALSE(result.healthy);
  EXPECT_EQ(result.message, "/pkg.Service/Method is OPEN");
  EXPECT_EQ(State(result), "OPEN");

  // Another method, target or side is another breaker.
  EXPECT_TRUE(Ask(BreakerCheck(&registry, Role::kClient, "backend:2", kMethod))
                  .healthy);
  EXPECT_TRUE(Ask(BreakerCheck(&registry, Role::kServer, "", kMethod)).healthy);
}

TEST(BreakerCheckTest, HalfOpenIsHealthySoThatProbesCome) {
  static std::atomic<Duration::rep> now_ns{0};
  RegistryOptions options = Options(Mode::kEnforce);
  options.now = [] { return TimePoint(Duration(now_ns.load())); };
  options.settings.min_requests = 0;
  options.settings.jitter = 0;
  now_ns = Duration(std::chrono::hours(1)).count();
  BreakerRegistry registry(options);
  CircuitBreaker& breaker = registry.Pin(Role::kServer, "", kMethod);
  const Check check = BreakerCheck(&registry, Role::kServer, "", kMethod);
  breaker.Admit(registry.Now())
      .permit.Finish(Outcome::kSystemError, registry.Now());
  EXPECT_FALSE(Ask(check).healthy);
  now_ns += Duration(options.settings.min_recovery).count();
  const CheckResult result = Ask(check);
  EXPECT_TRUE(result.healthy);
  EXPECT_EQ(State(result), "HALF_OPEN");
}

TEST(BreakerCheckTest, ABreakerThatRefusesNothingIsHealthy) {
  for (const Mode mode : {Mode::kShadow, Mode::kOff}) {
    BreakerRegistry registry(Options(mode));
    registry.Pin(Role::kServer, "", kMethod)
        .Force(Override::kForcedOpen, TimePoint::max(), registry.Now());
    EXPECT_TRUE(
        Ask(BreakerCheck(&registry, Role::kServer, "", kMethod)).healthy);
  }
}

}  // namespace
}  // namespace fusebox

#include "interceptor/export/breaker_numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

std::vector<std::string> Texts(const std::vector<BreakerNumber>& numbers) {
  std::vector<std::string> texts;
  for (const BreakerNumber& number : numbers) {
    std::string text(number.name);
    if (!number.label.empty()) {
      text += "{" + std::string(number.label) + "=" + number.value + "}";
    }
    // All of the numbers here have at most one decimal.
    const int tenths = static_cast<int>(number.number * 10);
    text += " " + std::to_string(tenths / 10);
    if (tenths % 10 != 0) text += "." + std::to_string(tenths % 10);
    texts.push_back(text);
  }
  return texts;
}

TEST(BreakerNumbersTest, EachCounterIsThere) {
  BreakerSnapshot breaker;
  breaker.lifetime.by_outcome = {1, 2, 3, 4, 5};
  breaker.ignored = 6;
  breaker.lifetime.slow = 7;
  breaker.rejected = {8, 9, 10};
  breaker.shadow_rejected = 11;
  breaker.stale = 12;
  breaker.transitions = {{{0, 13, 14}, {15, 0, 16}, {17, 18, 0}}};
  breaker.time_in_state = {milliseconds(500), milliseconds(1500),
                           milliseconds(2500)};
  breaker.time_forced_open = milliseconds(3500);
  breaker.time_forced_closed = milliseconds(4500);
  EXPECT_THAT(
      Texts(BreakerCounters(breaker)),
      ElementsAre(
          "calls{outcome=ok} 1", "calls{outcome=user_error} 2",
          "calls{outcome=timeout} 3", "calls{outcome=system_error} 4",
          "calls{outcome=unknown_error} 5", "calls{outcome=ignored} 6",
          "slow_calls 7", "rejected_calls{reason=open} 8",
          "rejected_calls{reason=half_open_limit} 9",
          "rejected_calls{reason=forced_open} 10", "shadow_rejected_calls 11",
          "stale_calls 12", "transitions{change=closed_to_open} 13",
          "transitions{change=closed_to_half_open} 14",
          "transitions{change=open_to_closed} 15",
          "transitions{change=open_to_half_open} 16",
          "transitions{change=half_open_to_closed} 17",
          "transitions{change=half_open_to_open} 18",
          "state_seconds{state=closed} 0.5", "state_seconds{state=open} 1.5",
          "state_seconds{state=half_open} 2.5",
          "state_seconds{state=forced_open} 3.5",
          "state_seconds{state=forced_closed} 4.5"));
}

TEST(BreakerNumbersTest, AnEmptyWindowHasNoRatio) {
  BreakerSnapshot breaker;
  breaker.state = State::kHalfOpen;
  breaker.in_flight = 2;
  breaker.settings.failure_threshold.reset();
  EXPECT_THAT(
      Texts(BreakerGauges(breaker)),
      ElementsAre("state{state=closed} 0", "state{state=open} 0",
                  "state{state=half_open} 1", "state{state=forced_open} 0",
                  "state{state=forced_closed} 0", "calls_in_flight 2",
                  "window_calls 0", "window_failures 0",
                  "window_slow_calls 0"));
}

TEST(BreakerNumbersTest, AnOverrideHidesTheState) {
  BreakerSnapshot breaker;
  breaker.state = State::kOpen;
  breaker.override_state = Override::kForcedOpen;
  breaker.window.by_outcome = {5, 0, 1, 1, 3};
  breaker.window.slow = 4;
  breaker.settings.failure_threshold = 0.3;
  EXPECT_THAT(
      Texts(BreakerGauges(breaker)),
      ElementsAre("state{state=closed} 0", "state{state=open} 0",
                  "state{state=half_open} 0", "state{state=forced_open} 1",
                  "state{state=forced_closed} 0", "calls_in_flight 0",
                  "window_calls 10", "window_failures 5", "window_slow_calls 4",
                  "failure_ratio 0.5", "failure_ratio_threshold 0.3"));
}

TEST(BreakerNumbersTest, MethodsAreNamedWithoutTheLeadingSlash) {
  BreakerSnapshot breaker;
  breaker.method = "/pkg.S/M";
  EXPECT_EQ(MethodName(breaker), "pkg.S/M");
  breaker.method = "other";
  EXPECT_EQ(MethodName(breaker), "other");
}

}  // namespace
}  // namespace fusebox

#include "interceptor/breaker/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace fusebox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Duration kLongest = 24h * 100;

std::vector<std::string> Messages(const std::vector<SettingsIssue>& issues) {
  std::vector<std::string> messages;
  for (const SettingsIssue& issue : issues) {
    // The message begins with the field, so it can stand alone.
    EXPECT_EQ(issue.message.rfind(issue.field + ": ", 0), 0u) << issue.message;
    messages.push_back(issue.message);
  }
  return messages;
}

std::vector<std::string> Errors(const std::function<void(Settings&)>& change) {
  Settings settings;
  change(settings);
  return Messages(ValidateSettings(settings));
}

std::vector<std::string> Warnings(
    const std::function<void(Settings&)>& change) {
  Settings settings;
  change(settings);
  EXPECT_THAT(ValidateSettings(settings), IsEmpty());
  return Messages(SettingsWarnings(settings));
}

TEST(ValidateSettingsTest, DefaultsAndPresetAreValid) {
  EXPECT_THAT(ValidateSettings(Settings()), IsEmpty());
  EXPECT_THAT(ValidateSettings(DoctorSettings()), IsEmpty());
}

TEST(ValidateSettingsTest, BucketWidth) {
  EXPECT_THAT(Errors([](Settings& s) { s.bucket_width = 10ms; }), IsEmpty());
  EXPECT_THAT(
      Errors([](Settings& s) { s.bucket_width = 10ms - 1ns; }),
      ElementsAre("bucket_width: 9.999999ms is out of range [10ms, ...)"));
  EXPECT_THAT(Errors([](Settings& s) { s.bucket_width = 0s; }),
              ElementsAre("bucket_width: 0s is out of range [10ms, ...)"));
  EXPECT_THAT(Errors([](Settings& s) { s.bucket_width = -1s; }),
              ElementsAre("bucket_width: -1s is out of range [10ms, ...)"));
}

TEST(ValidateSettingsTest, Buckets) {
  for (int valid : {1, 1000}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.buckets = valid; }), IsEmpty());
  }
  for (int invalid : {0, 1001, -1, std::numeric_limits<int>::min()}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.buckets = invalid; }),
                ElementsAre("buckets: " + std::to_string(invalid) +
                            " is out of range [1, 1000]"));
  }
}

TEST(ValidateSettingsTest, MinRequests) {
  for (std::int64_t valid :
       {std::int64_t{0}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.min_requests = valid; }),
                IsEmpty());
  }
  EXPECT_THAT(Errors([](Settings& s) { s.min_requests = -1; }),
              ElementsAre("min_requests: -1 is out of range [0, ...)"));
}

TEST(ValidateSettingsTest, Thresholds) {
  const struct {
    const char* field;
    Threshold Settings::*threshold;
  } fields[] = {
      {"timeout_threshold", &Settings::timeout_threshold},
      {"system_error_threshold", &Settings::system_error_threshold},
      {"unknown_error_threshold", &Settings::unknown_error_threshold},
      {"failure_threshold", &Settings::failure_threshold},
  };
  for (const auto& field : fields) {
    for (Threshold valid : {Threshold(0.000001), Threshold(0.5), Threshold(1.0),
                            Threshold(std::nullopt)}) {
      EXPECT_THAT(Errors([&](Settings& s) { s.*field.threshold = valid; }),
                  IsEmpty());
    }
    const struct {
      double value;
      const char* text;
    } invalid[] = {{0, "0"},
                   {0.0000009, "9e-07"},
                   {1.000001, "1.000001"},
                   {-0.5, "-0.5"},
                   {kNaN, "nan"},
                   {kInfinity, "inf"},
                   {-kInfinity, "-inf"}};
    for (const auto& bad : invalid) {
      EXPECT_THAT(Errors([&](Settings& s) { s.*field.threshold = bad.value; }),
                  ElementsAre(std::string(field.field) + ": " + bad.text +
                              " is out of range [0.000001, 1] or off"));
    }
  }
}

TEST(ValidateSettingsTest, SlowCalls) {
  EXPECT_THAT(Errors([](Settings& s) { s.slow_call_duration = 1ns; }),
              IsEmpty());
  EXPECT_THAT(
      Errors([](Settings& s) { s.slow_call_duration = 0s; }),
      ElementsAre("slow_call_duration: 0s is out of range (0s, ...) or off"));
  for (double valid : {0.000001, 1.0}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.slow_call_threshold = valid; }),
                IsEmpty());
  }
  EXPECT_THAT(
      Errors([](Settings& s) { s.slow_call_threshold = 0; }),
      ElementsAre("slow_call_threshold: 0 is out of range [0.000001, 1]"));
  EXPECT_THAT(
      Errors([](Settings& s) { s.slow_call_threshold = 1.5; }),
      ElementsAre("slow_call_threshold: 1.5 is out of range [0.000001, 1]"));
  EXPECT_THAT(
      Errors([](Settings& s) { s.slow_call_threshold = kNaN; }),
      ElementsAre("slow_call_threshold: nan is out of range [0.000001, 1]"));
}

TEST(ValidateSettingsTest, MinCountedDeadline) {
  EXPECT_THAT(Errors([](Settings& s) { s.min_counted_deadline = 0s; }),
              IsEmpty());
  EXPECT_THAT(
      Errors([](Settings& s) { s.min_counted_deadline = -1ns; }),
      ElementsAre("min_counted_deadline: -1ns is out of range [0s, ...)"));
}

TEST(ValidateSettingsTest, Recovery) {
  EXPECT_THAT(Errors([](Settings& s) { s.min_recovery = 10ms; }), IsEmpty());
  EXPECT_THAT(
      Errors([](Settings& s) { s.min_recovery = 10ms - 1ns; }),
      ElementsAre("min_recovery: 9.999999ms is out of range [10ms, ...)"));
  EXPECT_THAT(Errors([](Settings& s) { s.max_recovery = 1s + 1ns; }),
              IsEmpty());
  EXPECT_THAT(Errors([](Settings& s) { s.max_recovery = 1s; }),
              ElementsAre("max_recovery: 1s is out of range "
                          "(1s (min_recovery), ...)"));
}

TEST(ValidateSettingsTest, Backoff) {
  for (double valid : {1.0, std::numeric_limits<double>::max()}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.backoff_multiplier = valid; }),
                IsEmpty());
  }
  const struct {
    double value;
    const char* text;
  } invalid[] = {
      {0.999999, "0.999999"}, {kNaN, "nan"}, {kInfinity, "inf"}, {-2, "-2"}};
  for (const auto& bad : invalid) {
    EXPECT_THAT(Errors([&](Settings& s) { s.backoff_multiplier = bad.value; }),
                ElementsAre(std::string("backoff_multiplier: ") + bad.text +
                            " is out of range [1, ...)"));
  }
  EXPECT_THAT(Errors([](Settings& s) { s.max_open_duration = 1s; }), IsEmpty());
  EXPECT_THAT(Errors([](Settings& s) { s.max_open_duration = 1s - 1ns; }),
              ElementsAre("max_open_duration: 999.999999ms is out of range "
                          "[1s (min_recovery), ...)"));
}

TEST(ValidateSettingsTest, Jitter) {
  for (double valid : {0.0, 0.5}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.jitter = valid; }), IsEmpty());
  }
  const struct {
    double value;
    const char* text;
  } invalid[] = {{-0.000001, "-1e-06"},
                 {0.500001, "0.500001"},
                 {kNaN, "nan"},
                 {kInfinity, "inf"}};
  for (const auto& bad : invalid) {
    EXPECT_THAT(Errors([&](Settings& s) { s.jitter = bad.value; }),
                ElementsAre(std::string("jitter: ") + bad.text +
                            " is out of range [0, 0.5]"));
  }
}

TEST(ValidateSettingsTest, ProbeLease) {
  EXPECT_THAT(Errors([](Settings& s) { s.probe_lease = 10ms; }), IsEmpty());
  EXPECT_THAT(
      Errors([](Settings& s) { s.probe_lease = 10ms - 1ns; }),
      ElementsAre("probe_lease: 9.999999ms is out of range [10ms, ...)"));
}

TEST(ValidateSettingsTest, ModeIsOneOfThree) {
  for (Mode mode : {Mode::kEnforce, Mode::kShadow, Mode::kOff}) {
    EXPECT_THAT(Errors([&](Settings& s) { s.mode = mode; }), IsEmpty());
  }
  EXPECT_THAT(Errors([](Settings& s) { s.mode = static_cast<Mode>(3); }),
              ElementsAre("mode: 3 is none of enforce, shadow, off"));
}

TEST(ValidateSettingsTest, DurationsOfMoreThanAHundredDays) {
  const auto all = [](Duration duration) {
    return [duration](Settings& s) {
      s.bucket_width = s.min_counted_deadline = s.max_recovery =
          s.max_open_duration = s.probe_lease = duration;
      s.slow_call_duration = duration;
    };
  };
  EXPECT_THAT(Errors(all(kLongest)), IsEmpty());
  EXPECT_EQ(Errors(all(kLongest + 1ns)).size(), 6u);
  EXPECT_THAT(
      Errors([](Settings& s) { s.probe_lease = kLongest + 1s; }),
      ElementsAre("probe_lease: 8640001s is out of range (..., 8640000s]"));
}

TEST(ValidateSettingsTest, EveryBadFieldIsNamed) {
  const auto errors = Errors([](Settings& s) {
    s.buckets = 0;
    s.jitter = 1;
    s.probe_lease = Duration::min();
  });
  EXPECT_EQ(errors.size(), 3u);
}

TEST(SettingsWarningsTest, TheDefaultsHaveNone) {
  EXPECT_THAT(SettingsWarnings(Settings()), IsEmpty());
}

TEST(SettingsWarningsTest, DrainingAWindowLongerThanMaxRecovery) {
  EXPECT_THAT(Warnings([](Settings& s) {
                s.drain_window_before_recovery = true;
                s.max_recovery = 10s;  // as long as the window
              }),
              IsEmpty());
  EXPECT_THAT(Warnings([](Settings& s) {
                s.drain_window_before_recovery = true;
                s.max_recovery = 10s - 1ns;
              }),
              ElementsAre("drain_window_before_recovery: the window of 10s "
                          "outlives max_recovery of 9.999999999s: the ramp "
                          "hardly ever runs"));
  EXPECT_THAT(Warnings([](Settings& s) { s.max_recovery = 2s; }), IsEmpty());
}

TEST(SettingsWarningsTest, ManyBuckets) {
  EXPECT_THAT(Warnings([](Settings& s) { s.buckets = 100; }), IsEmpty());
  EXPECT_THAT(Warnings([](Settings& s) { s.buckets = 101; }),
              ElementsAre(testing::HasSubstr("buckets: 101 is more than 100")));
}

TEST(SettingsWarningsTest, TheWidestWindowDoesNotOverflow) {
  EXPECT_EQ(Warnings([](Settings& s) {
              s.drain_window_before_recovery = true;
              s.bucket_width = kLongest;
              s.buckets = 1000;
            }).size(),
            2u);  // and one for the buckets
}

TEST(SettingsWarningsTest, AClassThatNeverDecides) {
  EXPECT_THAT(Warnings([](Settings& s) { s.timeout_threshold = 0.6; }),
              ElementsAre("timeout_threshold: 0.6 is not below "
                          "failure_threshold of 0.5: it never decides"));
  EXPECT_THAT(Warnings([](Settings& s) {
                s.failure_threshold = 0.7;
                s.system_error_threshold = 0.7;
                s.unknown_error_threshold = 0.699999;
              }),
              ElementsAre("system_error_threshold: 0.7 is not below "
                          "failure_threshold of 0.7: it never decides"));
  EXPECT_THAT(Warnings([](Settings& s) {
                s.failure_threshold = std::nullopt;
                s.timeout_threshold = 1.0;
              }),
              IsEmpty());
  EXPECT_THAT(Warnings([](Settings& s) { s.timeout_threshold = std::nullopt; }),
              IsEmpty());
}

TEST(DoctorSettingsTest, AreTheAncestorsDefaults) {
  Settings expected;
  expected.bucket_width = 20s;
  expected.buckets = 20;
  expected.min_requests = 10;
  expected.timeout_threshold = 0.5;
  expected.system_error_threshold = 0.5;
  expected.unknown_error_threshold = 0.5;
  expected.failure_threshold = std::nullopt;
  expected.slow_call_duration = std::nullopt;
  expected.min_counted_deadline = 0s;
  expected.min_recovery = 20s;
  expected.max_recovery = 120s;
  expected.backoff_multiplier = 1;
  expected.max_open_duration = 120s;
  expected.jitter = 0;
  expected.probe_lease = 20s;
  expected.drain_window_before_recovery = true;
  expected.ramp_from_opening = true;
  expected.mode = Mode::kEnforce;
  EXPECT_EQ(DoctorSettings(), expected);
}

TEST(SettingsTest, DefaultsAreThoseOfThePolicy) {
  const Settings s;
  EXPECT_EQ(s.bucket_width, 1s);
  EXPECT_EQ(s.buckets, 10);
  EXPECT_EQ(s.min_requests, 10);
  EXPECT_EQ(s.timeout_threshold, 0.5);
  EXPECT_EQ(s.system_error_threshold, 0.5);
  EXPECT_EQ(s.unknown_error_threshold, 0.5);
  EXPECT_EQ(s.failure_threshold, 0.5);
  EXPECT_EQ(s.slow_call_duration, std::nullopt);
  EXPECT_EQ(s.slow_call_threshold, 1.0);
  EXPECT_EQ(s.min_counted_deadline, 10ms);
  EXPECT_EQ(s.min_recovery, 1s);
  EXPECT_EQ(s.max_recovery, 10s);
  EXPECT_EQ(s.backoff_multiplier, 2.0);
  EXPECT_EQ(s.max_open_duration, 5s);
  EXPECT_EQ(s.jitter, 0.1);
  EXPECT_EQ(s.probe_lease, 5s);
  EXPECT_FALSE(s.drain_window_before_recovery);
  EXPECT_FALSE(s.ramp_from_opening);
  EXPECT_EQ(s.mode, Mode::kEnforce);
}

TEST(SettingsTest, EveryFieldTakesPartInEquality) {
  const std::vector<std::function<void(Settings&)>> changes = {
      [](Settings& s) { s.bucket_width += 1ns; },
      [](Settings& s) { ++s.buckets; },
      [](Settings& s) { ++s.min_requests; },
      [](Settings& s) { s.timeout_threshold = 0.1; },
      [](Settings& s) { s.system_error_threshold = 0.1; },
      [](Settings& s) { s.unknown_error_threshold = std::nullopt; },
      [](Settings& s) { s.failure_threshold = 0.1; },
      [](Settings& s) { s.slow_call_duration = 1s; },
      [](Settings& s) { s.slow_call_threshold = 0.1; },
      [](Settings& s) { s.min_counted_deadline += 1ns; },
      [](Settings& s) { s.min_recovery += 1ns; },
      [](Settings& s) { s.max_recovery += 1ns; },
      [](Settings& s) { s.backoff_multiplier = 3; },
      [](Settings& s) { s.max_open_duration += 1ns; },
      [](Settings& s) { s.jitter = 0; },
      [](Settings& s) { s.probe_lease += 1ns; },
      [](Settings& s) { s.drain_window_before_recovery = true; },
      [](Settings& s) { s.ramp_from_opening = true; },
      [](Settings& s) { s.mode = Mode::kOff; },
  };
  EXPECT_EQ(Settings(), Settings());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Settings changed;
    changes[i](changed);
    EXPECT_NE(changed, Settings()) << "change " << i;
  }
}

TEST(FormatDurationTest, TheShortestDecimalOfTheLargestFittingUnit) {
  const struct {
    Duration duration;
    const char* text;
  } cases[] = {
      {0s, "0s"},
      {1ns, "1ns"},
      {999ns, "999ns"},
      {1us, "1us"},
      {1500ns, "1.5us"},
      {999'999ns, "999.999us"},
      {1ms, "1ms"},
      {250ms, "250ms"},
      {1'000'001ns, "1.000001ms"},
      {1s - 1ns, "999.999999ms"},
      {1s, "1s"},
      {1500ms, "1.5s"},
      {1s + 1ns, "1.000000001s"},
      {24h, "86400s"},
      {-1ns, "-1ns"},
      {-1500ms, "-1.5s"},
      {-500ms, "-500ms"},
      {Duration::max(), "9223372036.854775807s"},
      {Duration::min(), "-9223372036.854775808s"},
  };
  for (const auto& c : cases) EXPECT_EQ(FormatDuration(c.duration), c.text);
}

TEST(FormatThresholdTest, TheNumberOrOff) {
  EXPECT_EQ(FormatThreshold(0.5), "0.5");
  EXPECT_EQ(FormatThreshold(1.0), "1");
  EXPECT_EQ(FormatThreshold(0.333333), "0.333333");
  EXPECT_EQ(FormatThreshold(std::nullopt), "off");
}

TEST(ModeNameTest, EachMode) {
  EXPECT_STREQ(ModeName(Mode::kEnforce), "enforce");
  EXPECT_STREQ(ModeName(Mode::kShadow), "shadow");
  EXPECT_STREQ(ModeName(Mode::kOff), "off");
}

}  // namespace
}  // namespace fusebox

#include "interceptor/breaker/settings.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string FormatNumber(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

class Issues {
 public:
  void OutOfRange(const char* field, const std::string& value,
                  const std::string& range) {
    Add(field, value + " is out of range " + range);
  }
  void Add(const char* field, const std::string& text) {
    issues_.push_back({field, std::string(field) + ": " + text});
  }
  void AtLeast(const char* field, Duration value, Duration minimum) {
    if (value < minimum) {
      OutOfRange(field, FormatDuration(value),
                 "[" + FormatDuration(minimum) + ", ...)");
    }
  }
  // Thresholds are compared in parts per million.
  void InUnitInterval(const char* field, double value, bool may_be_off) {
    if (!(value >= 1e-6 && value <= 1)) {
      OutOfRange(field, FormatNumber(value),
                 may_be_off ? "[0.000001, 1] or off" : "[0.000001, 1]");
    }
  }
  void InUnitInterval(const char* field, const Threshold& value) {
    if (value.has_value()) InUnitInterval(field, *value, /*may_be_off=*/true);
  }
  std::vector<SettingsIssue> Take() { return std::move(issues_); }

 private:
  std::vector<SettingsIssue> issues_;
};

// Below 2^53 ns, so a double holds every duration exactly, and a thousand of
// them (the widest window) do not overflow.
constexpr Duration kLongest = std::chrono::hours(24 * 100);

// Up to here judging a failure costs about five clock readings.
constexpr int kManyBuckets = 100;

}  // namespace

bool operator==(const Settings& a, const Settings& b) {
  return a.bucket_width == b.bucket_width && a.buckets == b.buckets &&
         a.min_requests == b.min_requests &&
         a.timeout_threshold == b.timeout_threshold &&
         a.system_error_threshold == b.system_error_threshold &&
         a.unknown_error_threshold == b.unknown_error_threshold &&
         a.failure_threshold == b.failure_threshold &&
         a.slow_call_duration == b.slow_call_duration &&
         a.slow_call_threshold == b.slow_call_threshold &&
         a.min_counted_deadline == b.min_counted_deadline &&
         a.min_recovery == b.min_recovery && a.max_recovery == b.max_recovery &&
         a.backoff_multiplier == b.backoff_multiplier &&
         a.max_open_duration == b.max_open_duration && a.jitter == b.jitter &&
         a.probe_lease == b.probe_lease &&
         a.drain_window_before_recovery == b.drain_window_before_recovery &&
         a.ramp_from_opening == b.ramp_from_opening && a.mode == b.mode;
}

Settings DoctorSettings() {
  Settings settings;
  settings.bucket_width = seconds(20);
  settings.buckets = 20;
  settings.min_requests = 10;
  settings.timeout_threshold = 0.5;
  settings.system_error_threshold = 0.5;
  settings.unknown_error_threshold = 0.5;
  settings.failure_threshold = std::nullopt;
  settings.min_counted_deadline = Duration::zero();
  settings.min_recovery = seconds(20);
  settings.max_recovery = seconds(120);
  settings.backoff_multiplier = 1;
  settings.max_open_duration = seconds(120);
  settings.jitter = 0;
  settings.probe_lease = seconds(20);
  settings.drain_window_before_recovery = true;
  settings.ramp_from_opening = true;
  return settings;
}

std::vector<SettingsIssue> ValidateSettings(const Settings& s) {
  Issues issues;
  issues.AtLeast("bucket_width", s.bucket_width, milliseconds(10));
  if (s.buckets < 1 || s.buckets > 1000) {
    issues.OutOfRange("buckets", std::to_string(s.buckets), "[1, 1000]");
  }
  if (s.min_requests < 0) {
    issues.OutOfRange("min_requests", std::to_string(s.min_requests),
                      "[0, ...)");
  }
  issues.InUnitInterval("timeout_threshold", s.timeout_threshold);
  issues.InUnitInterval("system_error_threshold", s.system_error_threshold);
  issues.InUnitInterval("unknown_error_threshold", s.unknown_error_threshold);
  issues.InUnitInterval("failure_threshold", s.failure_threshold);
  if (s.slow_call_duration.has_value() &&
      *s.slow_call_duration <= Duration::zero()) {
    issues.OutOfRange("slow_call_duration",
                      FormatDuration(*s.slow_call_duration),
                      "(0s, ...) or off");
  }
  issues.InUnitInterval("slow_call_threshold", s.slow_call_threshold,
                        /*may_be_off=*/false);
  issues.AtLeast("min_counted_deadline", s.min_counted_deadline,
                 Duration::zero());
  issues.AtLeast("min_recovery", s.min_recovery, milliseconds(10));
  if (s.max_recovery <= s.min_recovery) {
    issues.OutOfRange(
        "max_recovery", FormatDuration(s.max_recovery),
        "(" + FormatDuration(s.min_recovery) + " (min_recovery), ...)");
  }
  // Not the negation: NaN must fail.
  if (!(s.backoff_multiplier >= 1 &&
        s.backoff_multiplier <= std::numeric_limits<double>::max())) {
    issues.OutOfRange("backoff_multiplier", FormatNumber(s.backoff_multiplier),
                      "[1, ...)");
  }
  if (s.max_open_duration < s.min_recovery) {
    issues.OutOfRange(
        "max_open_duration", FormatDuration(s.max_open_duration),
        "[" + FormatDuration(s.min_recovery) + " (min_recovery), ...)");
  }
  if (!(s.jitter >= 0 && s.jitter <= 0.5)) {
    issues.OutOfRange("jitter", FormatNumber(s.jitter), "[0, 0.5]");
  }
  issues.AtLeast("probe_lease", s.probe_lease, milliseconds(10));
  switch (s.mode) {
    case Mode::kEnforce:
    case Mode::kShadow:
    case Mode::kOff:
      break;
    default:
      issues.Add("mode", std::to_string(static_cast<int>(s.mode)) +
                             " is none of enforce, shadow, off");
  }

  const struct {
    const char* field;
    Duration value;
  } durations[] = {
      {"bucket_width", s.bucket_width},
      {"slow_call_duration", s.slow_call_duration.value_or(Duration::zero())},
      {"min_counted_deadline", s.min_counted_deadline},
      {"min_recovery", s.min_recovery},
      {"max_recovery", s.max_recovery},
      {"max_open_duration", s.max_open_duration},
      {"probe_lease", s.probe_lease},
  };
  for (const auto& duration : durations) {
    if (duration.value > kLongest) {
      issues.OutOfRange(duration.field, FormatDuration(duration.value),
                        "(..., " + FormatDuration(kLongest) + "]");
    }
  }
  return issues.Take();
}

std::vector<SettingsIssue> SettingsWarnings(const Settings& s) {
  Issues warnings;
  if (s.buckets > kManyBuckets) {
    warnings.Add("buckets",
                 std::to_string(s.buckets) + " is more than " +
                     std::to_string(kManyBuckets) +
                     ": each failure looks at all of them, and each costs 16 "
                     "bytes per shard and 56 more in every breaker");
  }
  if (s.drain_window_before_recovery &&
      s.bucket_width * s.buckets > s.max_recovery) {
    warnings.Add("drain_window_before_recovery",
                 "the window of " + FormatDuration(s.bucket_width * s.buckets) +
                     " outlives max_recovery of " +
                     FormatDuration(s.max_recovery) +
                     ": the ramp hardly ever runs");
  }
  const struct {
    const char* field;
    const Threshold& value;
  } classes[] = {
      {"timeout_threshold", s.timeout_threshold},
      {"system_error_threshold", s.system_error_threshold},
      {"unknown_error_threshold", s.unknown_error_threshold},
  };
  const Settings defaults;
  for (const auto& one : classes) {
    // The defaults themselves are equal to failure_threshold: that is no news.
    if (s.failure_threshold.has_value() && one.value.has_value() &&
        *one.value >= *s.failure_threshold &&
        !(one.value == defaults.timeout_threshold &&
          s.failure_threshold == defaults.failure_threshold)) {
      warnings.Add(one.field, FormatThreshold(one.value) +
                                  " is not below failure_threshold of " +
                                  FormatThreshold(s.failure_threshold) +
                                  ": it never decides");
    }
  }
  return warnings.Take();
}

std::string FormatDuration(Duration duration) {
  const struct {
    std::uint64_t ns;
    const char* name;
  } units[] = {
      {1'000'000'000, "s"}, {1'000'000, "ms"}, {1'000, "us"}, {1, "ns"}};
  const std::int64_t ns = duration.count();
  // Also right for the smallest number, which has no positive counterpart.
  const std::uint64_t size = ns < 0 ? 0 - static_cast<std::uint64_t>(ns)
                                    : static_cast<std::uint64_t>(ns);
  for (const auto& unit : units) {
    if (size < unit.ns) continue;
    std::string text = (ns < 0 ? "-" : "") + std::to_string(size / unit.ns);
    std::string fraction =
        std::to_string(unit.ns + size % unit.ns).substr(1);  // zero-padded
    while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
    if (!fraction.empty()) text += "." + fraction;
    return text + unit.name;
  }
  return "0s";
}

std::string FormatThreshold(const Threshold& threshold) {
  return threshold.has_value() ? FormatNumber(*threshold) : "off";
}

const char* ModeName(Mode mode) {
  switch (mode) {
    case Mode::kEnforce:
      return "enforce";
    case Mode::kShadow:
      return "shadow";
    case Mode::kOff:
      return "off";
  }
  return "invalid";
}

}  // namespace fusebox

#include "interceptor/flags/settings_flags.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace fusebox {
namespace {

// The text of a flag, and whether somebody gave it: a preset must not be
// overridden by a default. Any text parses, because Abseil ends a program with
// status 1 where one does not and never learns the range of the field.
struct FlagText {
  std::string text;
  bool given = false;
};

bool AbslParseFlag(absl::string_view text, FlagText* flag, std::string*) {
  flag->text.assign(text.data(), text.size());
  flag->given = true;
  return true;
}

std::string AbslUnparseFlag(const FlagText& flag) { return flag.text; }

// For each type of field: its text, and back. Parse() leaves the range to
// ValidateSettings(); false means that the text is not of that type at all.

std::string Format(Duration value) { return FormatDuration(value); }
std::string Format(const std::optional<Duration>& value) {
  return value.has_value() ? FormatDuration(*value) : "off";
}
std::string Format(const Threshold& value) { return FormatThreshold(value); }
std::string Format(double value) { return FormatThreshold(value); }
std::string Format(int value) { return std::to_string(value); }
std::string Format(std::int64_t value) { return std::to_string(value); }
std::string Format(bool value) { return value ? "true" : "false"; }
std::string Format(Mode value) { return ModeName(value); }

bool Parse(const std::string& text, Duration& value) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) return false;
  value = absl::ToChronoNanoseconds(duration);  // too long: the longest
  return true;
}
bool Parse(const std::string& text, double& value) {
  return absl::SimpleAtod(text, &value);
}
template <class T>
bool Parse(const std::string& text, std::optional<T>& value) {
  if (text == "off") {
    value.reset();
    return true;
  }
  return Parse(text, value.emplace());
}
bool Parse(const std::string& text, int& value) {
  return absl::SimpleAtoi(text, &value);
}
bool Parse(const std::string& text, std::int64_t& value) {
  return absl::SimpleAtoi(text, &value);
}
bool Parse(const std::string& text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
bool Parse(const std::string& text, Mode& value) {
  for (Mode mode : {Mode::kEnforce, Mode::kShadow, Mode::kOff}) {
    if (text == ModeName(mode)) {
      value = mode;
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace fusebox

// Field, range, meaning.
#define FUSEBOX_SETTINGS_FIELDS(X)                                             \
  X(bucket_width, "[10ms, ...)", "Width of one bucket of the rolling window.") \
  X(buckets, "[1, 1000]",                                                      \
    "Buckets in the rolling window, the current partial one included.")        \
  X(min_requests, "[0, ...)",                                                  \
    "A closed breaker is judged when the window holds more calls than this.")  \
  X(timeout_threshold, "[0.000001, 1] or off",                                 \
    "Share of timeouts in the window that opens the breaker.")                 \
  X(system_error_threshold, "[0.000001, 1] or off",                            \
    "Share of system errors in the window that opens the breaker.")            \
  X(unknown_error_threshold, "[0.000001, 1] or off",                           \
    "Share of unknown errors in the window that opens the breaker.")           \
  X(failure_threshold, "[0.000001, 1] or off",                                 \
    "Share of timeouts, system and unknown errors together that opens the "    \
    "breaker.")                                                                \
  X(slow_call_duration, "(0s, ...) or off",                                    \
    "A call that takes at least this long is slow.")                           \
  X(slow_call_threshold, "[0.000001, 1]",                                      \
    "Share of slow calls in the window that opens the breaker.")               \
  X(min_counted_deadline, "[0s, ...)",                                         \
    "Timeouts and cancellations of calls that had less time are ignored.")     \
  X(min_recovery, "[10ms, ...)",                                               \
    "How long the breaker stays open before its first probe.")                 \
  X(max_recovery, "(min_recovery, ...)",                                       \
    "The share of admitted calls grows from min_recovery / max_recovery to "   \
    "1 within max_recovery - min_recovery.")                                   \
  X(backoff_multiplier, "[1, ...)",                                            \
    "Each opening without a recovery in between lasts this many times "        \
    "longer.")                                                                 \
  X(max_open_duration, "[min_recovery, ...)",                                  \
    "The longest time before a probe, before jitter.")                         \
  X(jitter, "[0, 0.5]", "Relative spread of the time before a probe.")         \
  X(probe_lease, "[10ms, ...)",                                                \
    "A probe without an answer for this long has failed.")                     \
  X(drain_window_before_recovery, "true or false",                             \
    "Probe only when the failures have rolled out of the window.")             \
  X(ramp_from_opening, "true or false",                                        \
    "Begin the ramp at the opening instead of at the proof.")                  \
  X(mode, "enforce, shadow or off",                                            \
    "enforce; shadow: decide and count, reject nothing; off: do nothing.")

#define FUSEBOX_DEFINE_FLAG(field, range, meaning)                         \
  ABSL_FLAG(fusebox::FlagText, fusebox_##field,                            \
            fusebox::FlagText{fusebox::Format(fusebox::Settings().field)}, \
            meaning " Valid: " range ".");
FUSEBOX_SETTINGS_FIELDS(FUSEBOX_DEFINE_FLAG)
#undef FUSEBOX_DEFINE_FLAG

ABSL_FLAG(std::string, fusebox_preset, "default",
          "What the flags that are not given start from: default, or doctor, "
          "the settings of eleme/doctor. Valid: default or doctor.");

namespace fusebox {

absl::StatusOr<Settings> ReadSettingsFlags() {
  Settings settings;
  std::vector<std::string> errors;

  const std::string preset = absl::GetFlag(FLAGS_fusebox_preset);
  if (preset == "doctor") {
    settings = DoctorSettings();
  } else if (preset != "default") {
    errors.push_back(absl::StrCat("--fusebox_preset: '", preset,
                                  "' is not valid: default or doctor"));
  }

#define FUSEBOX_READ_FLAG(field, range, meaning)                          \
  if (const FlagText flag = absl::GetFlag(FLAGS_fusebox_##field);         \
      flag.given) {                                                       \
    if (auto value = settings.field; Parse(flag.text, value)) {           \
      settings.field = value;                                             \
    } else {                                                              \
      errors.push_back(absl::StrCat("--fusebox_" #field ": '", flag.text, \
                                    "' is not valid: " range));           \
    }                                                                     \
  }
  FUSEBOX_SETTINGS_FIELDS(FUSEBOX_READ_FLAG)
#undef FUSEBOX_READ_FLAG

  for (const SettingsIssue& issue : ValidateSettings(settings)) {
    errors.push_back(absl::StrCat("--fusebox_", issue.message));
  }
  if (errors.empty()) return settings;
  std::string message;
  for (const std::string& error : errors) {
    absl::StrAppend(&message, message.empty() ? "" : "\n", error);
  }
  return absl::InvalidArgumentError(message);
}

Settings SettingsFromFlags() {
  const absl::StatusOr<Settings> settings = ReadSettingsFlags();
  if (!settings.ok()) {
    const absl::string_view message = settings.status().message();
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()),
                 message.data());
    std::exit(2);
  }
  return *settings;
}

std::vector<SettingsField> SettingsFields() {
  const Settings defaults;
#define FUSEBOX_DESCRIBE_FIELD(field, range, meaning) \
  {#field, Format(defaults.field), range},
  return {FUSEBOX_SETTINGS_FIELDS(FUSEBOX_DESCRIBE_FIELD)};
#undef FUSEBOX_DESCRIBE_FIELD
}

}  // namespace fusebox

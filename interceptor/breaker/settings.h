// The settings of one circuit breaker.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_SETTINGS_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "interceptor/breaker/clock.h"

namespace fusebox {

enum class Mode : unsigned char {
  kEnforce = 0,
  kShadow = 1,  // decides and counts, but rejects nothing
  kOff = 2,     // admits and records nothing
};

// A share of calls in (0, 1] at which a method is unhealthy; nullopt is "off":
// the class never opens the breaker. Six decimals count.
using Threshold = std::optional<double>;

// A plain value. Valid settings pass ValidateSettings(); everything that takes
// Settings says what it does with others. No duration exceeds 100 days.
struct Settings {
  // Width of one bucket of the rolling window. At least 10 ms. Wider buckets
  // forget in coarser steps and cost nothing less.
  Duration bucket_width = std::chrono::seconds(1);

  // Buckets in the window, 1 to 1000: the window covers the newest `buckets`
  // buckets, the current partial one included. Memory per breaker grows with
  // it.
  int buckets = 10;

  // A closed breaker is judged only when the window holds more counted
  // outcomes than this. At least 0. Small values open on little evidence.
  std::int64_t min_requests = 10;

  // Share of one class of failure among all counted outcomes of the window at
  // which the method is unhealthy.
  Threshold timeout_threshold = 0.5;
  Threshold system_error_threshold = 0.5;
  Threshold unknown_error_threshold = 0.5;

  // The same for the three classes together.
  Threshold failure_threshold = 0.5;

  // A counted outcome is slow when its latency reaches this; off when unset.
  std::optional<Duration> slow_call_duration = std::nullopt;

  // Share of slow calls at which the method is unhealthy, in (0, 1]. Without
  // effect while slow_call_duration is off.
  double slow_call_threshold = 1.0;

  // A timeout or cancellation of a call whose whole time budget was below this
  // is ignored. At least 0.
  Duration min_counted_deadline = std::chrono::milliseconds(10);

  // An opened breaker lets its first probe through after this long (first
  // opening; later ones back off). At least 10 ms.
  Duration min_recovery = std::chrono::seconds(1);

  // The ramp admits a share of calls that grows from min_recovery/max_recovery
  // to 1; it takes max_recovery - min_recovery. More than min_recovery.
  Duration max_recovery = std::chrono::seconds(10);

  // Each opening without a recovery in between waits this many times longer.
  // At least 1.
  double backoff_multiplier = 2.0;

  // The longest wait before a probe, before jitter. At least min_recovery.
  Duration max_open_duration = std::chrono::seconds(5);

  // Relative spread of the wait, in [0, 0.5]: 0.1 is +-10 %.
  double jitter = 0.1;

  // A probe without an answer for this long counts as failed. At least 10 ms.
  Duration probe_lease = std::chrono::seconds(5);

  // Probe only after the window has rolled enough failures out to be healthy.
  bool drain_window_before_recovery = false;

  // Start the ramp at the opening instead of at the proof (doctor's way): a
  // long wait skips it.
  bool ramp_from_opening = false;

  Mode mode = Mode::kEnforce;
};

bool operator==(const Settings& a, const Settings& b);
inline bool operator!=(const Settings& a, const Settings& b) {
  return !(a == b);
}

// The defaults of eleme/doctor, this library's ancestor.
Settings DoctorSettings();

// One finding about one field, fit to be shown to a person.
struct SettingsIssue {
  std::string field;
  std::string message;  // "buckets: 0 is out of range [1, 1000]"
};

// Every field that has a value outside its range; empty when valid. Each
// message names the field, its value and its range.
std::vector<SettingsIssue> ValidateSettings(const Settings& settings);

// What is legal and useless or costly, in the same form. `settings` must be
// valid.
std::vector<SettingsIssue> SettingsWarnings(const Settings& settings);

// "1s", "250ms", "1.5s": the shortest decimal of the largest fitting unit.
std::string FormatDuration(Duration duration);
// "0.5", or "off".
std::string FormatThreshold(const Threshold& threshold);
// "enforce", "shadow", "off".
const char* ModeName(Mode mode);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_SETTINGS_H_

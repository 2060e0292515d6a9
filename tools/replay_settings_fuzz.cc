// The first line of a trace: settings that are accepted are valid, and written
// out as such a line they are read back unchanged.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "interceptor/breaker/settings.h"
#include "tools/replay.h"

namespace fusebox {
namespace {

bool ReadLine(std::string_view line, Settings& settings) {
  std::string padded(line);
  padded.append(Replay::kPadding, '}');
  padded.shrink_to_fit();
  Replay replay;
  std::string answers;
  const bool valid =
      replay.Apply(std::string_view(padded.data(), line.size()), answers) &&
      replay.End();
  if (valid != replay.error().empty() || !answers.empty()) std::abort();
  settings = replay.settings();
  return valid;
}

std::string Json(Duration duration) {
  char text[40];
  std::snprintf(text, sizeof(text), "%lld.%09lld",
                static_cast<long long>(duration.count() / 1'000'000'000),
                static_cast<long long>(duration.count() % 1'000'000'000));
  return text;
}
std::string Json(double number) { return FormatThreshold(number); }
std::string Json(std::int64_t number) { return std::to_string(number); }
std::string Json(bool value) { return value ? "true" : "false"; }
std::string Json(const std::optional<Duration>& duration) {
  return duration.has_value() ? Json(*duration) : "\"off\"";
}
std::string Json(const Threshold& threshold) {
  return threshold.has_value() ? Json(*threshold) : "\"off\"";
}

std::string Line(const Settings& s) {
  const auto field = [](const char* name, const auto& value) {
    return std::string(", \"") + name + "\": " + Json(value);
  };
  return "{\"settings\": {\"mode\": \"" + std::string(ModeName(s.mode)) + "\"" +
         field("bucket_width", s.bucket_width) +
         field("buckets", std::int64_t{s.buckets}) +
         field("min_requests", s.min_requests) +
         field("timeout_threshold", s.timeout_threshold) +
         field("system_error_threshold", s.system_error_threshold) +
         field("unknown_error_threshold", s.unknown_error_threshold) +
         field("failure_threshold", s.failure_threshold) +
         field("slow_call_duration", s.slow_call_duration) +
         field("slow_call_threshold", s.slow_call_threshold) +
         field("min_counted_deadline", s.min_counted_deadline) +
         field("min_recovery", s.min_recovery) +
         field("max_recovery", s.max_recovery) +
         field("backoff_multiplier", s.backoff_multiplier) +
         field("max_open_duration", s.max_open_duration) +
         field("jitter", s.jitter) + field("probe_lease", s.probe_lease) +
         field("drain_window_before_recovery", s.drain_window_before_recovery) +
         field("ramp_from_opening", s.ramp_from_opening) + "}}";
}

}  // namespace
}  // namespace fusebox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using fusebox::Settings;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  Settings settings;
  if (!fusebox::ReadLine(line, settings)) return 0;
  if (line.find_first_not_of(" \t\r\n") == std::string_view::npos) std::abort();
  if (!fusebox::ValidateSettings(settings).empty()) std::abort();
  fusebox::SettingsWarnings(settings);

  const std::string rewritten = fusebox::Line(settings);
  Settings again;
  if (!fusebox::ReadLine(rewritten, again) || !(again == settings)) {
    std::fprintf(stderr, "%s\n", rewritten.c_str());
    std::abort();
  }
  return 0;
}

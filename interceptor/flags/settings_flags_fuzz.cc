// Flags, a line "field=text" each: settings that are accepted are valid, and
// given as flags again, as the library writes them, they are the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "interceptor/breaker/settings.h"
#include "interceptor/flags/settings_flags.h"

namespace fusebox {
namespace {

// False if there is no such flag or it does not take the text.
bool Give(std::string_view field, std::string_view text) {
  std::string name = "fusebox_";
  name += field;
  absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
  std::string error;
  // No files from here.
  return field != "settings" && flag != nullptr &&
         flag->ParseFrom(absl::string_view(text.data(), text.size()), &error);
}

absl::StatusOr<Settings> ReadFlags(std::string_view lines) {
  const absl::FlagSaver saver;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    Give(line.substr(0, equals), line.substr(equals + 1));
  }
  const absl::StatusOr<EffectiveSettings> effective = ReadSettingsFlags();
  if (!effective.ok()) return effective.status();
  return effective->registry.settings;
}

std::string Text(Duration duration) { return FormatDuration(duration); }
std::string Text(double number) { return FormatThreshold(number); }
std::string Text(std::int64_t number) { return std::to_string(number); }
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(const Threshold& value) { return FormatThreshold(value); }
std::string Text(const std::optional<Duration>& value) {
  return value.has_value() ? FormatDuration(*value) : "off";
}
std::string Text(Mode mode) { return ModeName(mode); }

std::string Lines(const Settings& s) {
  const auto field = [](const char* name, const auto& value) {
    return name + ("=" + Text(value)) + "\n";
  };
  return field("bucket_width", s.bucket_width) +
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
         field("ramp_from_opening", s.ramp_from_opening) +
         field("mode", s.mode);
}

}  // namespace
}  // namespace fusebox

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using fusebox::Settings;
  const absl::StatusOr<Settings> settings = fusebox::ReadFlags(
      std::string_view(reinterpret_cast<const char*>(data), size));
  if (!settings.ok()) {
    if (settings.status().message().empty()) std::abort();
    return 0;
  }
  if (!fusebox::ValidateSettings(*settings).empty()) std::abort();
  fusebox::SettingsWarnings(*settings);

  const std::string rewritten = fusebox::Lines(*settings);
  const absl::StatusOr<Settings> again = fusebox::ReadFlags(rewritten);
  if (!again.ok() || *again != *settings) {
    std::fprintf(stderr, "%s", rewritten.c_str());
    std::abort();
  }
  return 0;
}

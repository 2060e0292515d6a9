// Abseil flags for the settings of breakers.
//
// Linking this target adds to a program
//   --fusebox_<field>   one for each field of Settings, under its name
//   --fusebox_preset    "default" or "doctor": what the others start from
//   --fusebox_settings  a file, which has settings for single methods too
//                       (proto/fusebox/v1/settings.proto)
// whose values are texts as FormatDuration(), FormatThreshold() and ModeName()
// write them: 250ms, 0.5, off, true, shadow. The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {

// What was given, not yet put together: for those who watch the file
// (interceptor/admin/live_settings.h).
struct SettingsFlags {
  std::string file;  // of --fusebox_settings; empty: none
  GivenFlags flags;
};
SettingsFlags GivenSettingsFlags();

// The preset, on it the file, on that every flag that was given, also with its
// default value (PutTogether() has the rules). For main(), after
// absl::ParseCommandLine() and before anything is started: if a value is bad,
// writes a line for each to standard error, naming the flag or the place in the
// file, the value and what is allowed, and exits with status 2.
EffectiveSettings SettingsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT, whose
// message has the lines. Thread-safe.
absl::StatusOr<EffectiveSettings> ReadSettingsFlags();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_

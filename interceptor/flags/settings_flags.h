// Abseil flags for the settings of a breaker.
//
// Linking this target adds to a program
//   --fusebox_<field>   one for each field of Settings, under its name
//   --fusebox_preset    "default" or "doctor": what the others start from
// whose values are texts as FormatDuration(), FormatThreshold() and ModeName()
// write them: 250ms, 0.5, off, true, shadow. The library itself reads no flags.

#ifndef FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_
#define FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "interceptor/breaker/settings.h"

namespace fusebox {

// The preset with every flag that was given (also with its default value) put
// on top. For main(), after absl::ParseCommandLine() and before anything is
// started: if a value is bad, writes a line for each to standard error, naming
// the flag, the value and what is allowed, and exits with status 2.
Settings SettingsFromFlags();

// The same for those who handle errors themselves: INVALID_ARGUMENT, whose
// message has the lines. Thread-safe.
absl::StatusOr<Settings> ReadSettingsFlags();

// A field of Settings as the flags and the documentation show it.
struct SettingsField {
  std::string name;           // "bucket_width"
  std::string default_value;  // "1s"
  std::string range;          // "[10ms, ...)"
};

// Every field, in the order of the struct.
std::vector<SettingsField> SettingsFields();

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_FLAGS_SETTINGS_FLAGS_H_

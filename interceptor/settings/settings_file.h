// The settings file: protobuf's text format of fusebox.v1.Settings, which
// proto/fusebox/v1/settings.proto describes field by field.

#ifndef FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FILE_H_
#define FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "interceptor/settings/effective_settings.h"

namespace fusebox {

// What `text` says. `name` is what errors and sources call it. Ranges are left
// to PutTogether(), which knows what the values end up with.
//
// INVALID_ARGUMENT if it is not of that format: bad syntax, unknown or repeated
// fields, words or numbers of the wrong kind, methods without a valid name or
// with one that was there before, codes that were there before. The message has
// a line for each, "name:line:column: what is wrong", as far as the parser got.
// Thread-safe.
absl::StatusOr<SettingsFile> ParseSettingsFile(std::string_view text,
                                               const std::string& name);

// The same for the file `path`, which is also its name. NOT_FOUND or
// UNAVAILABLE, with the reason, if it cannot be read; INVALID_ARGUMENT also if
// it has more than 1 MiB.
absl::StatusOr<SettingsFile> ReadSettingsFile(const std::string& path);

// The first step of that: what is in the file, of a longer one enough for
// ParseSettingsFile() to see that it is too long.
absl::StatusOr<std::string> ReadSettingsText(const std::string& path);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FILE_H_

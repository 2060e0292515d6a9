// The fields of Settings by name, and their values as texts: as flags, files
// and documentation show them.

#ifndef FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELDS_H_
#define FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELDS_H_

#include <string>
#include <string_view>
#include <vector>

#include "interceptor/breaker/settings.h"

namespace fusebox {

struct SettingsField {
  std::string name;           // "bucket_width"
  std::string default_value;  // "1s"
  std::string range;          // "[10ms, ...)"
};

// Every field, in the order of the struct. Thread-safe.
const std::vector<SettingsField>& SettingsFields();

// The field of that name; null if there is none.
const SettingsField* FindSettingsField(std::string_view name);

// Sets a field to the value that `text` stands for, in range or not
// (ValidateSettings() judges that): 250ms, 0.5, off, true, shadow. False, and
// nothing changed, if there is no such field or `text` is of another type.
bool SetSettingsField(Settings& settings, std::string_view name,
                      const std::string& text);

// The value of a field as SetSettingsField() takes it; empty if there is no
// such field.
std::string SettingsFieldText(const Settings& settings, std::string_view name);

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SETTINGS_SETTINGS_FIELDS_H_

#include "interceptor/settings/settings_fields.h"

#include <cstdint>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "interceptor/settings/settings_field_list.h"

namespace fusebox {
namespace {

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

const std::vector<SettingsField>& SettingsFields() {
  static const auto& fields = *new std::vector<SettingsField>([] {
    const Settings defaults;
#define FUSEBOX_DESCRIBE_FIELD(field, range, meaning) \
  {#field, Format(defaults.field), range},
    return std::vector<SettingsField>{
        FUSEBOX_SETTINGS_FIELDS(FUSEBOX_DESCRIBE_FIELD)};
#undef FUSEBOX_DESCRIBE_FIELD
  }());
  return fields;
}

const SettingsField* FindSettingsField(std::string_view name) {
  for (const SettingsField& field : SettingsFields()) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

bool SetSettingsField(Settings& settings, std::string_view name,
                      const std::string& text) {
#define FUSEBOX_SET_FIELD(field, range, meaning) \
  if (name == #field) {                          \
    auto value = settings.field;                 \
    if (!Parse(text, value)) return false;       \
    settings.field = value;                      \
    return true;                                 \
  }
  FUSEBOX_SETTINGS_FIELDS(FUSEBOX_SET_FIELD)
#undef FUSEBOX_SET_FIELD
  return false;
}

std::string SettingsFieldText(const Settings& settings, std::string_view name) {
#define FUSEBOX_FIELD_TEXT(field, range, meaning) \
  if (name == #field) return Format(settings.field);
  FUSEBOX_SETTINGS_FIELDS(FUSEBOX_FIELD_TEXT)
#undef FUSEBOX_FIELD_TEXT
  return "";
}

}  // namespace fusebox

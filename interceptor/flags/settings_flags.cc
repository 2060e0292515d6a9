#include "interceptor/flags/settings_flags.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "interceptor/settings/settings_field_list.h"
#include "interceptor/settings/settings_file.h"

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

}  // namespace
}  // namespace fusebox

#define FUSEBOX_DEFINE_FLAG(field, range, meaning)                          \
  ABSL_FLAG(                                                                \
      fusebox::FlagText, fusebox_##field,                                   \
      fusebox::FlagText{fusebox::FindSettingsField(#field)->default_value}, \
      meaning " Valid: " range ".");
FUSEBOX_SETTINGS_FIELDS(FUSEBOX_DEFINE_FLAG)
#undef FUSEBOX_DEFINE_FLAG

ABSL_FLAG(fusebox::FlagText, fusebox_preset, fusebox::FlagText{"default"},
          "What file and flags start from: default, or doctor, the settings of "
          "eleme/doctor. Valid: default or doctor.");

ABSL_FLAG(std::string, fusebox_settings, "",
          "File with settings, also for single methods; flags that are given "
          "stand above it. proto/fusebox/v1/settings.proto describes it.");

namespace fusebox {
namespace {

// What the flag was given, if it was.
std::optional<GivenSetting> Given(const absl::Flag<FlagText>& flag,
                                  const char* name) {
  FlagText text = absl::GetFlag(flag);
  if (!text.given) return std::nullopt;
  return GivenSetting{std::move(text.text), {SettingSource::Kind::kFlag, name}};
}

}  // namespace

SettingsFlags GivenSettingsFlags() {
  SettingsFlags all;
  GivenFlags& flags = all.flags;
  flags.preset = Given(FLAGS_fusebox_preset, "--fusebox_preset");
#define FUSEBOX_READ_FLAG(field, range, meaning)                        \
  if (auto given = Given(FLAGS_fusebox_##field, "--fusebox_" #field)) { \
    flags.settings[#field] = *std::move(given);                         \
  }
  FUSEBOX_SETTINGS_FIELDS(FUSEBOX_READ_FLAG)
#undef FUSEBOX_READ_FLAG
  all.file = absl::GetFlag(FLAGS_fusebox_settings);
  return all;
}

absl::StatusOr<EffectiveSettings> ReadSettingsFlags() {
  const SettingsFlags given = GivenSettingsFlags();
  SettingsFile file;
  if (!given.file.empty()) {
    absl::StatusOr<SettingsFile> read = ReadSettingsFile(given.file);
    if (absl::IsInvalidArgument(read.status())) return read.status();
    if (!read.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--fusebox_settings: ", read.status().message()));
    }
    file = *std::move(read);
  }
  return PutTogether(file, given.flags);
}

EffectiveSettings SettingsFromFlags() {
  absl::StatusOr<EffectiveSettings> settings = ReadSettingsFlags();
  if (!settings.ok()) {
    const absl::string_view message = settings.status().message();
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()),
                 message.data());
    std::exit(2);
  }
  return *std::move(settings);
}

}  // namespace fusebox

// What preset, settings file, flags and administrators amount to, and which of
// them said what.

#ifndef FUSEBOX_INTERCEPTOR_SETTINGS_EFFECTIVE_SETTINGS_H_
#define FUSEBOX_INTERCEPTOR_SETTINGS_EFFECTIVE_SETTINGS_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/breaker/outcome.h"
#include "interceptor/breaker/state.h"
#include "interceptor/status_outcome.h"

namespace fusebox {

// Where a value comes from.
struct SettingSource {
  enum class Kind : unsigned char { kDefault, kPreset, kFile, kFlag, kAdmin };
  Kind kind = Kind::kDefault;
  // kDefault: ""; kPreset: "doctor"; kFile: "orders.textproto:7:3", that is
  // name, line and column; kFlag: "--fusebox_buckets"; kAdmin: who it was.
  std::string place;
};

bool operator==(const SettingSource& a, const SettingSource& b);

// "default", "preset doctor", "orders.textproto:7:3", "--fusebox_buckets",
// "admin alice".
std::string FormatSource(const SettingSource& source);

// A value that somebody gave, as text.
struct GivenSetting {
  std::string text;
  SettingSource source;
};

// Some fields of Settings, by name.
using GivenSettings = std::map<std::string, GivenSetting, std::less<>>;

struct GivenOutcome {
  Role role;
  int code;  // grpc::StatusCode; 17 stands for all above 16
  Outcome outcome;
  SettingSource source;
};

// What a settings file says; see settings_file.h and
// proto/fusebox/v1/settings.proto.
struct SettingsFile {
  struct Methods {
    GivenSettings settings;
    std::vector<GivenOutcome> outcomes;
  };
  std::optional<GivenSetting> preset;
  Methods defaults;
  // By "*", "/pkg.Service/*" or "/pkg.Service/Method".
  std::map<std::string, Methods, std::less<>> methods;
};

// What flags say.
struct GivenFlags {
  std::optional<GivenSetting> preset;
  GivenSettings settings;
};

// What administrators set while the program runs. By "*", "/pkg.Service/*" or
// "/pkg.Service/Method".
using GivenByAdmin = std::map<std::string, GivenSettings, std::less<>>;

// What to make breakers, channels and servers with. A plain value:
//
//   fusebox::BreakerRegistry breakers(effective.registry);
//   server_options.outcomes = effective.server_outcomes;
struct EffectiveSettings {
  // `settings` and `method_settings` are set, and valid.
  RegistryOptions registry;
  // For ClientOptions and ServerOptions.
  OutcomeRules client_outcomes = OutcomeRules(Role::kClient);
  OutcomeRules server_outcomes = OutcomeRules(Role::kServer);

  // The settings of a method; of "*": those of methods without others.
  const Settings& SettingsOf(std::string_view method) const;
  // Who said what a field ("buckets") is for a method ("/pkg.S/M").
  SettingSource SourceOf(std::string_view method, std::string_view field) const;
  // Who said what a status code amounts to.
  SettingSource SourceOf(Role role, std::string_view method, int code) const;

  // What the two above look in. By pattern, "*" for all others; fields that
  // nobody gave are not there.
  std::map<std::string, std::map<std::string, SettingSource, std::less<>>,
           std::less<>>
      field_sources;
  std::map<std::tuple<Role, std::string, int>, SettingSource> outcome_sources;
  SettingSource base_source;  // of what nobody gave: default or preset
};

// Field by field, the last that gives a value wins:
//
//   preset            of `flags`, else of `file`, else the defaults of Settings
//   file.defaults
//   file.methods      "*", then "/pkg.Service/*", then "/pkg.Service/Method"
//   flags.settings    above all of it, for every method
//   admin             "*", then "/pkg.Service/*", then "/pkg.Service/Method"
//
// Status codes in the same way, but there are no flags for them.
//
// INVALID_ARGUMENT if an administrator's pattern or field is none, if a value
// is of the wrong type, or out of range where it ends up. The message has a
// line for each: where it stands, field, value and range.
absl::StatusOr<EffectiveSettings> PutTogether(const SettingsFile& file,
                                              const GivenFlags& flags,
                                              const GivenByAdmin& admin = {});

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_SETTINGS_EFFECTIVE_SETTINGS_H_

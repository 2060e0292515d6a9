#include "interceptor/settings/effective_settings.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "interceptor/breaker/method_pattern.h"
#include "interceptor/settings/settings_fields.h"

namespace fusebox {
namespace {

using Kind = SettingSource::Kind;

// The value of a key for a method: of the method itself, its service, or "*".
template <class Map, class Key>
const typename Map::mapped_type* MostSpecific(const Map& map,
                                              std::string_view method,
                                              const Key& key_of) {
  const std::string service(ServicePart(method));
  for (const std::string& pattern :
       {std::string(method), service + "*", std::string("*")}) {
    const auto found = map.find(key_of(pattern));
    if (found != map.end()) return &found->second;
  }
  return nullptr;
}

// Puts the layers of one pattern after the other on top of each other, and
// collects what is wrong, each once however many patterns it affects.
class Layers {
 public:
  explicit Layers(const Settings& base) : base_(base) {}

  // `layers` in rising order. Adds to `sources` who gave a field last.
  Settings PutTogether(
      const std::vector<const GivenSettings*>& layers,
      std::map<std::string, SettingSource, std::less<>>& sources) {
    Settings settings = base_;
    for (const GivenSettings* layer : layers) {
      for (const SettingsField& field : SettingsFields()) {
        const auto given = layer->find(field.name);
        if (given == layer->end()) continue;
        if (SetSettingsField(settings, field.name, given->second.text)) {
          sources[field.name] = given->second.source;
        } else {
          AddError(absl::StrCat(Place(given->second.source), field.name, ": '",
                                given->second.text,
                                "' is not valid: ", field.range));
        }
      }
    }
    for (const SettingsIssue& issue : ValidateSettings(settings)) {
      AddError(Describe(issue, sources));
    }
    return settings;
  }

  void AddError(const std::string& error) {
    if (std::find(errors_.begin(), errors_.end(), error) == errors_.end()) {
      errors_.push_back(error);
    }
  }
  absl::Status status() const {
    if (errors_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }

 private:
  // What a message about a field of that source begins with.
  static std::string Place(const SettingSource& source) {
    return source.kind == Kind::kFlag ? "--fusebox_"
                                      : FormatSource(source) + ": ";
  }

  static std::string Describe(
      const SettingsIssue& issue,
      const std::map<std::string, SettingSource, std::less<>>& sources) {
    // The one field that bounds others.
    const auto bound =
        issue.field == "max_recovery" || issue.field == "max_open_duration"
            ? sources.find("min_recovery")
            : sources.end();
    const auto own = sources.find(issue.field);
    if (own == sources.end()) {
      // The base is valid, so it was the bound.
      return bound == sources.end() ? issue.message
                                    : Place(bound->second) + issue.message;
    }
    return Place(own->second) + issue.message +
           (bound == sources.end()
                ? ""
                : "; min_recovery is from " + FormatSource(bound->second));
  }

  const Settings base_;
  std::vector<std::string> errors_;
};

}  // namespace

bool operator==(const SettingSource& a, const SettingSource& b) {
  return a.kind == b.kind && a.place == b.place;
}

std::string FormatSource(const SettingSource& source) {
  switch (source.kind) {
    case Kind::kDefault:
      return "default";
    case Kind::kPreset:
      return "preset " + source.place;
    case Kind::kFile:
    case Kind::kFlag:
      return source.place;
    case Kind::kAdmin:
      return "admin " + source.place;
  }
  return "invalid";
}

const Settings& EffectiveSettings::SettingsOf(std::string_view method) const {
  const Settings* const own =
      MostSpecific(registry.method_settings, method,
                   [](const std::string& pattern) { return pattern; });
  return own == nullptr ? registry.settings : *own;
}

SettingSource EffectiveSettings::SourceOf(std::string_view method,
                                          std::string_view field) const {
  const auto* const sources =
      MostSpecific(field_sources, method,
                   [](const std::string& pattern) { return pattern; });
  if (sources == nullptr) return base_source;
  const auto found = sources->find(field);
  return found == sources->end() ? base_source : found->second;
}

SettingSource EffectiveSettings::SourceOf(Role role, std::string_view method,
                                          int code) const {
  const SettingSource* const source =
      MostSpecific(outcome_sources, method, [&](const std::string& pattern) {
        return std::tuple(role, pattern, code);
      });
  return source == nullptr ? SettingSource() : *source;
}

absl::StatusOr<EffectiveSettings> PutTogether(const SettingsFile& file,
                                              const GivenFlags& flags,
                                              const GivenByAdmin& admin) {
  EffectiveSettings effective;

  Settings base;
  const std::optional<GivenSetting>& preset =
      flags.preset.has_value() ? flags.preset : file.preset;
  const std::string preset_name =
      preset.has_value() ? preset->text : std::string("default");
  if (preset_name == "doctor") {
    base = DoctorSettings();
    effective.base_source = {Kind::kPreset, preset_name};
  }
  Layers layers(base);
  if (preset_name != "default" && preset_name != "doctor") {
    layers.AddError(absl::StrCat(preset->source.place, ": '", preset_name,
                                 "' is not valid: default or doctor"));
  }

  std::set<std::string> patterns;
  for (const auto& [pattern, methods] : file.methods) {
    if (!methods.settings.empty()) patterns.insert(pattern);
  }
  for (const auto& [pattern, settings] : admin) {
    if (pattern != "*" && !IsMethodPattern(pattern)) {
      layers.AddError(absl::StrCat("'", pattern,
                                   "' is not valid: *, /pkg.Service/* or "
                                   "/pkg.Service/Method"));
    }
    for (const auto& [field, given] : settings) {
      if (FindSettingsField(field) == nullptr) {
        layers.AddError(absl::StrCat("'", field, "' is no setting"));
      }
    }
    if (!settings.empty()) patterns.insert(pattern);
  }
  patterns.erase("*");

  static const auto& nothing = *new GivenSettings();
  const auto in_file = [&file](const std::string& pattern) {
    const auto found = file.methods.find(pattern);
    return found == file.methods.end() ? &nothing : &found->second.settings;
  };
  const auto by_admin = [&admin](const std::string& pattern) {
    const auto found = admin.find(pattern);
    return found == admin.end() ? &nothing : &found->second;
  };
  effective.registry.settings = layers.PutTogether(
      {&file.defaults.settings, in_file("*"), &flags.settings, by_admin("*")},
      effective.field_sources["*"]);
  for (const std::string& pattern : patterns) {
    const std::string service = std::string(ServicePart(pattern)) + "*";
    effective.registry.method_settings[pattern] = layers.PutTogether(
        {&file.defaults.settings, in_file("*"), in_file(service),
         in_file(pattern), &flags.settings, by_admin("*"), by_admin(service),
         by_admin(pattern)},
        effective.field_sources[pattern]);
  }

  const auto set_outcomes = [&effective](
                                const std::string& pattern,
                                const std::vector<GivenOutcome>& outcomes) {
    for (const GivenOutcome& given : outcomes) {
      OutcomeRules& rules = given.role == Role::kClient
                                ? effective.client_outcomes
                                : effective.server_outcomes;
      if (pattern == "*") {
        rules.Set(given.code, given.outcome);
      } else {
        rules.Set(pattern, given.code, given.outcome);
      }
      effective.outcome_sources[{given.role, pattern, given.code}] =
          given.source;
    }
  };
  set_outcomes("*", file.defaults.outcomes);
  for (const auto& [pattern, methods] : file.methods) {
    set_outcomes(pattern, methods.outcomes);
  }

  if (absl::Status status = layers.status(); !status.ok()) return status;
  return effective;
}

}  // namespace fusebox

#include "interceptor/flags/settings_flags.h"

#include <chrono>
#include <fstream>
#include <map>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class SettingsFlagsTest : public ::testing::Test {
 protected:
  // What "--name=value" on the command line does.
  static void Give(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  // The settings when nothing is wrong.
  static Settings Read() {
    const absl::StatusOr<EffectiveSettings> effective = ReadSettingsFlags();
    EXPECT_TRUE(effective.ok()) << effective.status();
    return effective.value_or(EffectiveSettings()).registry.settings;
  }
  // What is wrong.
  static std::string Errors() {
    const absl::StatusOr<EffectiveSettings> effective = ReadSettingsFlags();
    EXPECT_EQ(effective.status().code(), absl::StatusCode::kInvalidArgument);
    const absl::string_view message = effective.status().message();
    return {message.begin(), message.end()};
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(SettingsFlagsTest, NoFlagGivesTheDefaults) {
  EXPECT_EQ(Read(), Settings());
}

TEST_F(SettingsFlagsTest, EveryFieldHasAFlagThatSetsIt) {
  Give("fusebox_bucket_width", "250ms");
  Give("fusebox_buckets", "20");
  Give("fusebox_min_requests", "0");
  Give("fusebox_timeout_threshold", "0.1");
  Give("fusebox_system_error_threshold", "off");
  Give("fusebox_unknown_error_threshold", "1");
  Give("fusebox_failure_threshold", "0.75");
  Give("fusebox_slow_call_duration", "1.5s");
  Give("fusebox_slow_call_threshold", "0.9");
  Give("fusebox_min_counted_deadline", "0");
  Give("fusebox_min_recovery", "2s");
  Give("fusebox_max_recovery", "1m30s");
  Give("fusebox_backoff_multiplier", "1.5");
  Give("fusebox_max_open_duration", "1m");
  Give("fusebox_jitter", "0.25");
  Give("fusebox_probe_lease", "3s");
  Give("fusebox_drain_window_before_recovery", "true");
  Give("fusebox_ramp_from_opening", "true");
  Give("fusebox_mode", "shadow");

  Settings expected;
  expected.bucket_width = milliseconds(250);
  expected.buckets = 20;
  expected.min_requests = 0;
  expected.timeout_threshold = 0.1;
  expected.system_error_threshold = std::nullopt;
  expected.unknown_error_threshold = 1;
  expected.failure_threshold = 0.75;
  expected.slow_call_duration = milliseconds(1500);
  expected.slow_call_threshold = 0.9;
  expected.min_counted_deadline = Duration::zero();
  expected.min_recovery = seconds(2);
  expected.max_recovery = seconds(90);
  expected.backoff_multiplier = 1.5;
  expected.max_open_duration = seconds(60);
  expected.jitter = 0.25;
  expected.probe_lease = seconds(3);
  expected.drain_window_before_recovery = true;
  expected.ramp_from_opening = true;
  expected.mode = Mode::kShadow;
  EXPECT_EQ(Read(), expected);
}

TEST_F(SettingsFlagsTest, ThePresetIsWhereTheOtherFlagsStartFrom) {
  Give("fusebox_preset", "doctor");
  EXPECT_EQ(Read(), DoctorSettings());

  Give("fusebox_jitter", "0.2");
  Settings expected = DoctorSettings();
  expected.jitter = 0.2;
  EXPECT_EQ(Read(), expected);
}

TEST_F(SettingsFlagsTest, AGivenDefaultStandsAboveThePreset) {
  Give("fusebox_preset", "doctor");
  Give("fusebox_buckets", "10");
  Give("fusebox_drain_window_before_recovery", "false");
  Settings expected = DoctorSettings();
  expected.buckets = 10;
  expected.drain_window_before_recovery = false;
  EXPECT_EQ(Read(), expected);
}

TEST_F(SettingsFlagsTest, ValuesOutOfRangeAreNamedWithFieldAndRange) {
  Give("fusebox_buckets", "1001");
  Give("fusebox_failure_threshold", "1.5");
  Give("fusebox_min_recovery", "20s");
  EXPECT_EQ(Errors(),
            "--fusebox_buckets: 1001 is out of range [1, 1000]\n"
            "--fusebox_failure_threshold: 1.5 is out of range "
            "[0.000001, 1] or off\n"
            "--fusebox_max_recovery: 10s is out of range "
            "(20s (min_recovery), ...)\n"
            "--fusebox_max_open_duration: 5s is out of range "
            "[20s (min_recovery), ...)");
}

TEST_F(SettingsFlagsTest, TextsOfTheWrongTypeAreNamedWithFieldAndRange) {
  const struct {
    const char* field;
    const char* text;
    const char* range;
  } cases[] = {
      {"bucket_width", "10", "[10ms, ...)"},
      {"bucket_width", "", "[10ms, ...)"},
      {"bucket_width", "off", "[10ms, ...)"},
      {"buckets", "ten", "[1, 1000]"},
      {"buckets", "1.5", "[1, 1000]"},
      {"buckets", "99999999999", "[1, 1000]"},
      {"min_requests", "1e3", "[0, ...)"},
      {"timeout_threshold", "50%", "[0.000001, 1] or off"},
      {"slow_call_duration", "never", "(0s, ...) or off"},
      {"slow_call_threshold", "off", "[0.000001, 1]"},
      {"jitter", "0,1", "[0, 0.5]"},
      {"ramp_from_opening", "1", "true or false"},
      {"mode", "Shadow", "enforce, shadow or off"},
      {"preset", "dr", "default or doctor"},
  };
  for (const auto& c : cases) {
    absl::FlagSaver saver;
    Give(std::string("fusebox_") + c.field, c.text);
    EXPECT_EQ(Errors(), std::string("--fusebox_") + c.field + ": '" + c.text +
                            "' is not valid: " + c.range);
  }
}

TEST_F(SettingsFlagsTest, ValuesThatNoNumberHoldsAreErrors) {
  for (const char* text : {"nan", "inf", "-1", "1e300"}) {
    absl::FlagSaver saver;
    Give("fusebox_failure_threshold", text);
    EXPECT_THAT(Errors(), HasSubstr("--fusebox_failure_threshold: ")) << text;
  }
  for (const char* text : {"inf", "-1s", "99999999999999h"}) {
    absl::FlagSaver saver;
    Give("fusebox_max_open_duration", text);
    EXPECT_THAT(Errors(), HasSubstr("--fusebox_max_open_duration: ")) << text;
  }
}

TEST_F(SettingsFlagsTest, OneBadTextDoesNotMakeOtherFieldsBad) {
  Give("fusebox_preset", "doctor");
  Give("fusebox_max_recovery", "long");
  EXPECT_EQ(Errors(),
            "--fusebox_max_recovery: 'long' is not valid: (min_recovery, ...)");
}

// The range of a field stands here, in its flag's help and in the message of
// ValidateSettings().
TEST_F(SettingsFlagsTest, RangesAreThoseOfTheValidation) {
  const struct {
    const char* field;
    const char* text;
  } cases[] = {
      {"bucket_width", "9ms"},
      {"buckets", "0"},
      {"min_requests", "-1"},
      {"timeout_threshold", "0"},
      {"system_error_threshold", "0"},
      {"unknown_error_threshold", "0"},
      {"failure_threshold", "0"},
      {"slow_call_duration", "0"},
      {"slow_call_threshold", "0"},
      {"min_counted_deadline", "-1s"},
      {"min_recovery", "9ms"},
      {"backoff_multiplier", "0.5"},
      {"jitter", "0.6"},
      {"probe_lease", "9ms"},
  };
  for (const auto& c : cases) {
    absl::FlagSaver saver;
    Give(std::string("fusebox_") + c.field, c.text);
    std::string range;
    for (const SettingsField& field : SettingsFields()) {
      if (field.name == c.field) range = field.range;
    }
    EXPECT_TRUE(absl::EndsWith(Errors(), " is out of range " + range))
        << Errors() << " against " << range;
  }
}

TEST_F(SettingsFlagsTest, HelpShowsTheDefaultsOfTheCode) {
  for (const SettingsField& field : SettingsFields()) {
    const absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag("fusebox_" + field.name);
    ASSERT_NE(flag, nullptr) << field.name;
    EXPECT_EQ(flag->DefaultValue(), field.default_value) << field.name;
    EXPECT_THAT(flag->Help(), HasSubstr("Valid: " + field.range + "."));
  }
}

// The texts of all defaults, read back, are the defaults: nothing is lost in
// the way they are written.
TEST_F(SettingsFlagsTest, DefaultsReadBackAreTheDefaults) {
  EXPECT_EQ(SettingsFields().size(), 19u);
  Give("fusebox_preset", "doctor");
  for (const SettingsField& field : SettingsFields()) {
    Give("fusebox_" + field.name, field.default_value);
  }
  EXPECT_EQ(Read(), Settings());
}

// A settings file with `text`, and the flag that names it.
class SettingsFileFlagTest : public SettingsFlagsTest {
 protected:
  std::string WriteFile(const std::string& text) {
    std::string path = ::testing::TempDir() + "settings.textproto";
    std::ofstream file(path);
    file << text;
    EXPECT_TRUE(file.flush());
    Give("fusebox_settings", path);
    return path;
  }
};

TEST_F(SettingsFileFlagTest, DefaultsPresetFileAndFlagsInThisOrder) {
  const std::string path = WriteFile(
      "preset: DOCTOR\n"
      "defaults { buckets: 30 min_requests: 30 jitter: 0.3 }\n"
      "methods {\n"
      "  name: \"pkg.S/M\"\n"
      "  settings { min_requests: 40 jitter: 0.4 }\n"
      "}\n");
  Give("fusebox_jitter", "0.1");  // the default, but given
  const absl::StatusOr<EffectiveSettings> effective = ReadSettingsFlags();
  ASSERT_TRUE(effective.ok()) << effective.status();

  Settings others = DoctorSettings();
  others.buckets = 30;
  others.min_requests = 30;
  others.jitter = 0.1;
  EXPECT_EQ(effective->registry.settings, others);
  Settings method = others;
  method.min_requests = 40;
  EXPECT_EQ(effective->registry.method_settings,
            (std::map<std::string, Settings>{{"/pkg.S/M", method}}));

  const auto source = [&](const char* name, const char* field) {
    return FormatSource(effective->SourceOf(name, field));
  };
  EXPECT_EQ(source("/pkg.S/M", "mode"), "preset doctor");
  EXPECT_EQ(source("/pkg.S/M", "buckets"), path + ":2:12");
  EXPECT_EQ(source("/pkg.S/M", "min_requests"), path + ":5:14");
  EXPECT_EQ(source("/pkg.S/N", "min_requests"), path + ":2:24");
  EXPECT_EQ(source("/pkg.S/M", "jitter"), "--fusebox_jitter");
  EXPECT_EQ(source("/pkg.S/N", "jitter"), "--fusebox_jitter");
}

TEST_F(SettingsFileFlagTest, TheFlagPresetReplacesThatOfTheFileOnly) {
  WriteFile("preset: DOCTOR defaults { buckets: 30 }");
  Give("fusebox_preset", "default");
  Settings expected;
  expected.buckets = 30;
  EXPECT_EQ(Read(), expected);
}

TEST_F(SettingsFileFlagTest, AnEmptyFileSaysNothing) {
  WriteFile("");
  EXPECT_EQ(Read(), Settings());
}

TEST_F(SettingsFileFlagTest, AFileThatCannotBeReadIsAnError) {
  Give("fusebox_settings", "/nonexistent/x");
  EXPECT_EQ(Errors(),
            "--fusebox_settings: /nonexistent/x: No such file or directory");
  Give("fusebox_settings", ::testing::TempDir());
  EXPECT_THAT(Errors(), HasSubstr(": Is a directory"));
}

TEST_F(SettingsFileFlagTest, ErrorsNameTheFlagOrThePlaceInTheFile) {
  const std::string path = WriteFile("defaults { max_recovery: \"15s\" }");
  Give("fusebox_min_recovery", "20s");
  Give("fusebox_buckets", "0");
  EXPECT_EQ(Errors(),
            "--fusebox_buckets: 0 is out of range [1, 1000]\n" + path +
                ":1:12: max_recovery: 15s is out of range (20s "
                "(min_recovery), ...); min_recovery is from "
                "--fusebox_min_recovery\n"
                "--fusebox_max_open_duration: 5s is out of range [20s "
                "(min_recovery), ...)");
}

using SettingsFileFlagDeathTest = SettingsFileFlagTest;

TEST_F(SettingsFileFlagDeathTest, BadFilesEndTheProgramWithStatus2) {
  WriteFile("defaults {\n  buckets: 0\n}");
  EXPECT_EXIT(SettingsFromFlags(), ::testing::ExitedWithCode(2),
              "settings.textproto:2:3: buckets: 0 is out of range "
              "\\[1, 1000\\]\n$");
}

using SettingsFlagsDeathTest = SettingsFlagsTest;

TEST_F(SettingsFlagsDeathTest, BadValuesEndTheProgramWithStatus2) {
  Give("fusebox_jitter", "0.6");
  Give("fusebox_mode", "on");
  EXPECT_EXIT(SettingsFromFlags(), ::testing::ExitedWithCode(2),
              "--fusebox_mode: 'on' is not valid: enforce, shadow or off\n"
              "--fusebox_jitter: 0.6 is out of range \\[0, 0.5\\]\n");
}

}  // namespace
}  // namespace fusebox

// The settings section of README.md says what the code does.

#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/settings/settings_fields.h"
#include "interceptor/settings/settings_file.h"

namespace fusebox {
namespace {

// The first two cells of each row of the table that begins with
// "| field | default |", joined by " | ".
std::vector<std::string> SettingsTable() {
  std::ifstream readme("README.md");
  EXPECT_TRUE(readme);
  std::vector<std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(readme, line);) {
    if (absl::StartsWith(line, "| field | default |")) {
      inside = true;
    } else if (!absl::StartsWith(line, "|")) {
      inside = false;
    } else if (inside && !absl::StartsWith(line, "|---")) {
      const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
      rows.push_back(absl::StrCat(absl::StripAsciiWhitespace(cells.at(1)),
                                  " | ",
                                  absl::StripAsciiWhitespace(cells.at(2))));
    }
  }
  return rows;
}

TEST(SettingsReadmeTest, TheTableHasEveryFieldWithItsDefault) {
  std::vector<std::string> expected;
  for (const SettingsField& field : SettingsFields()) {
    expected.push_back(absl::StrCat(field.name, " | ", field.default_value));
  }
  EXPECT_EQ(SettingsTable(), expected);
}

TEST(SettingsReadmeTest, TheFileIsAcceptedAndDoesWhatTheTextSays) {
  std::ifstream readme("README.md");
  EXPECT_TRUE(readme);
  std::string text;
  bool inside = false;
  for (std::string line; std::getline(readme, line);) {
    if (line == "```") inside = false;
    if (inside) absl::StrAppend(&text, line, "\n");
    if (line == "```textproto") inside = true;
  }
  const absl::StatusOr<SettingsFile> file = ParseSettingsFile(text, "README");
  ASSERT_TRUE(file.ok()) << file.status();
  const absl::StatusOr<EffectiveSettings> effective = PutTogether(*file, {});
  ASSERT_TRUE(effective.ok()) << effective.status();

  Settings others;
  others.mode = Mode::kShadow;
  others.slow_call_duration = std::chrono::milliseconds(250);
  Settings service = others;
  service.mode = Mode::kEnforce;
  service.failure_threshold = 0.3;
  Settings lookup = service;
  lookup.slow_call_duration = std::nullopt;
  EXPECT_EQ(effective->registry.settings, others);
  EXPECT_EQ(
      effective->registry.method_settings,
      (std::map<std::string, Settings>{{"/orders.v1.Orders/*", service},
                                       {"/orders.v1.Orders/Lookup", lookup}}));
  EXPECT_EQ(effective->server_outcomes.For("/orders.v1.Orders/Lookup").Of(5),
            Outcome::kSystemError);
  EXPECT_EQ(effective->client_outcomes.For("/orders.v1.Orders/Lookup").Of(8),
            Outcome::kIgnored);
  EXPECT_EQ(effective->client_outcomes.For("/orders.v1.Orders/Get").Of(5),
            Outcome::kUserError);
}

}  // namespace
}  // namespace fusebox

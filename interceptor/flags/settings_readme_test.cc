// The settings table of README.md says what the code does.

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "interceptor/settings/settings_fields.h"

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

}  // namespace
}  // namespace fusebox

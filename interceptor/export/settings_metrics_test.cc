#include "interceptor/export/settings_metrics.h"

#include <prometheus/text_serializer.h>

#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "interceptor/admin/live_settings.h"
#include "interceptor/breaker/breaker_registry.h"
#include "interceptor/settings/effective_settings.h"
#include "interceptor/testing/guarded_echo.h"

namespace fusebox {
namespace {

using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::Not;

EffectiveSettings Defaults() {
  return *PutTogether(SettingsFile(), GivenFlags());
}

std::string Page(const LiveSettings& live) {
  return prometheus::TextSerializer().Serialize(
      SettingsMetrics(&live).Collect());
}

TEST(SettingsMetricsTest, WithoutAFileNothingIsWrong) {
  BreakerRegistry registry;
  LiveSettings live(&registry, Defaults(), {});
  EXPECT_THAT(Page(live), HasSubstr("\nfusebox_settings_file_in_force 1\n"));
  EXPECT_THAT(Page(live), Not(HasSubstr("last_success")));
  ASSERT_TRUE(live.Set("*", "buckets", "5", "alice").ok());
  EXPECT_THAT(Page(live),
              HasSubstr("\nfusebox_settings_admin_updates_total 1\n"));
}

TEST(SettingsMetricsTest, AFileThatIsBadAndThenGood) {
  const std::string file = ::testing::TempDir() + "metrics.textproto";
  std::ofstream(file) << "defaults { buckets: 4 }";
  BreakerRegistry registry;
  LiveSettingsOptions options;
  options.file = file;
  LiveSettings live(&registry, Defaults(), options);
  const auto await = [&](const std::string& line) {
    EXPECT_TRUE(Eventually([&] {
      return Page(live).find("\n" + line + "\n") != std::string::npos;
    })) << line
        << " is not on the page:\n"
        << Page(live);
  };
  // The first content is what the process begins with, and no reload.
  EXPECT_TRUE(Eventually([&] {
    return Page(live).find(
               "\nfusebox_settings_last_success_timestamp_seconds "
               "1") != std::string::npos;
  }));
  await("fusebox_settings_reloads_total 0");
  await("fusebox_settings_failed_reloads_total 0");

  std::ofstream(file) << "defaults { buckets: 0 }";
  await("fusebox_settings_failed_reloads_total 1");
  await("fusebox_settings_file_in_force 0");

  std::ofstream(file) << "defaults { buckets: 6 }";
  await("fusebox_settings_reloads_total 1");
  await("fusebox_settings_file_in_force 1");
}

}  // namespace
}  // namespace fusebox

#include "interceptor/export/pushgateway_path.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

TEST(PushgatewayPathTest, PlainValuesStandForThemselves) {
  EXPECT_EQ(PushgatewayPath("greeter", {}), "/metrics/job/greeter");
  EXPECT_EQ(PushgatewayPath("Greeter-1.2_~",
                            {{"instance", "host:80"}, {"zone", "a..b"}}),
            "/metrics/job/Greeter-1.2_~/instance/host:80/zone/a..b");
}

TEST(PushgatewayPathTest, OtherValuesAreBase64) {
  EXPECT_EQ(PushgatewayPath("a/b", {}), "/metrics/job@base64/YS9i");
  EXPECT_EQ(PushgatewayPath("a b", {}), "/metrics/job@base64/YSBi");
  // No padding, and - and _ where others have + and /.
  EXPECT_EQ(PushgatewayPath("x?>>", {}), "/metrics/job@base64/eD8-Pg");
  EXPECT_EQ(PushgatewayPath("\xff\xfe\xff", {}), "/metrics/job@base64/__7_");
  EXPECT_EQ(PushgatewayPath("j", {{"path", "/var/tmp"}, {"n", "1"}}),
            "/metrics/job/j/path@base64/L3Zhci90bXA/n/1");
  EXPECT_EQ(PushgatewayPath("50%", {{"user", "a@b"}}),
            "/metrics/job@base64/NTAl/user@base64/YUBi");
}

TEST(PushgatewayPathTest, ValuesThatWouldVanishFromAPathAreBase64) {
  EXPECT_EQ(PushgatewayPath("j", {{"empty", ""}}),
            "/metrics/job/j/empty@base64/=");
  EXPECT_EQ(PushgatewayPath("j", {{"here", "."}, {"up", ".."}}),
            "/metrics/job/j/here@base64/Lg/up@base64/Li4");
}

TEST(PushgatewayGroupTest, TakesWhatPushgatewayTakes) {
  EXPECT_TRUE(ValidatePushgatewayGroup("j", {}).ok());
  EXPECT_TRUE(ValidatePushgatewayGroup(" /", {{"_a1", ""}, {"B", "x y"}}).ok());
}

TEST(PushgatewayGroupTest, NamesWhatIsWrong) {
  const auto error = [](const std::string& job, const GroupingLabels& labels) {
    const absl::Status status = ValidatePushgatewayGroup(job, labels);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(error("", {}), "job: must not be empty");
  EXPECT_EQ(error("j", {{"a", "1"}, {"a", "2"}}), "labels: 'a' is given twice");
  for (const std::string name : {"", "1a", "a-b", "a/b", "__a", "job"}) {
    EXPECT_EQ(error("j", {{name, "1"}}),
              "labels: '" + name +
                  "' is no name for one: letters, digits and _, no digit and "
                  "no __ in front, and not job");
  }
}

}  // namespace
}  // namespace fusebox

#include "interceptor/export/pushgateway_flags.h"

#include <chrono>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Pair;

class PushgatewayFlagsTest : public ::testing::Test {
 protected:
  // What "--fusebox_pushgateway_name=value" on the command line does.
  static void Give(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag("fusebox_pushgateway_" + name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  // The options when nothing is wrong and there is a host.
  static PushgatewayOptions Read() {
    const auto options = ReadPushgatewayFlags();
    EXPECT_TRUE(options.ok()) << options.status();
    EXPECT_TRUE(options.ok() && options->has_value());
    return options->value();
  }
  static std::string Error() {
    return std::string(ReadPushgatewayFlags().status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(PushgatewayFlagsTest, WithoutAHostItIsOff) {
  Give("period", "nonsense");
  const auto options = ReadPushgatewayFlags();
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_FALSE(PushgatewayOptionsFromFlags().has_value());
}

TEST_F(PushgatewayFlagsTest, TheDefaultsAreThoseOfTheOptions) {
  Give("host", "gateways");
  Give("job", "greeter");
  const PushgatewayOptions options = Read();
  const PushgatewayOptions defaults;
  EXPECT_EQ(options.host, "gateways");
  EXPECT_EQ(options.job, "greeter");
  EXPECT_EQ(options.port, defaults.port);
  EXPECT_EQ(options.labels, defaults.labels);
  EXPECT_EQ(options.period, defaults.period);
  EXPECT_EQ(options.timeout, defaults.timeout);
  EXPECT_EQ(options.push_at_start, defaults.push_at_start);
  EXPECT_EQ(options.stop_timeout, defaults.stop_timeout);
  EXPECT_EQ(options.delete_on_stop, defaults.delete_on_stop);
}

TEST_F(PushgatewayFlagsTest, EveryFieldHasAFlagThatSetsIt) {
  Give("host", "::1");
  Give("port", "80");
  Give("job", "a/b c");
  Give("labels", "instance=h:1, query=a=b,,empty= ");
  Give("period", "1m30s");
  Give("timeout", "250ms");
  Give("push_at_start", "false");
  Give("stop_timeout", "2s");
  Give("delete_on_stop", "true");
  const PushgatewayOptions options = Read();
  EXPECT_EQ(options.host, "::1");
  EXPECT_EQ(options.port, 80);
  EXPECT_EQ(options.job, "a/b c");
  EXPECT_THAT(options.labels,
              ElementsAre(Pair("instance", "h:1"), Pair("query", "a=b"),
                          Pair("empty", "")));
  EXPECT_EQ(options.period, seconds(90));
  EXPECT_EQ(options.timeout, milliseconds(250));
  EXPECT_FALSE(options.push_at_start);
  EXPECT_EQ(options.stop_timeout, seconds(2));
  EXPECT_TRUE(options.delete_on_stop);
}

TEST_F(PushgatewayFlagsTest, ABadValueIsNamedWithItsFlagAndRange) {
  const auto error = [](const std::string& name, const std::string& value) {
    const absl::FlagSaver saver;
    Give(name, value);
    return Error();
  };
  Give("host", "gateways");
  EXPECT_EQ(Error(), "--fusebox_pushgateway_job: must not be empty");
  Give("job", "greeter");
  EXPECT_EQ(error("host", "a b"),
            "--fusebox_pushgateway_host: 'a b' is no name and no address "
            "without brackets");
  EXPECT_EQ(error("port", "http"),
            "--fusebox_pushgateway_port: 'http' is not a number");
  EXPECT_EQ(error("port", "65536"),
            "--fusebox_pushgateway_port: 65536 is out of range [1, 65535]");
  EXPECT_EQ(error("port", "4294967297"),
            "--fusebox_pushgateway_port: 4294967297 is out of range "
            "[1, 65535]");
  EXPECT_EQ(error("labels", "a=1,b"),
            "--fusebox_pushgateway_labels: 'b' is not valid: NAME=VALUE");
  EXPECT_EQ(error("labels", "a=1,a=2"),
            "--fusebox_pushgateway_labels: 'a' is given twice");
  EXPECT_EQ(error("period", "0"),
            "--fusebox_pushgateway_period: 0s is out of range "
            "[100ms, 86400s]");
  EXPECT_EQ(error("timeout", "soon"),
            "--fusebox_pushgateway_timeout: 'soon' is not a duration such as "
            "250ms");
  EXPECT_EQ(error("push_at_start", "maybe"),
            "--fusebox_pushgateway_push_at_start: 'maybe' is not true or "
            "false");
  EXPECT_EQ(error("delete_on_stop", "1"),
            "--fusebox_pushgateway_delete_on_stop: '1' is not true or false");
  EXPECT_EQ(error("stop_timeout", "2h"),
            "--fusebox_pushgateway_stop_timeout: 7200s is out of range "
            "[1ms, 3600s]");
  EXPECT_EQ(Error(), "");
}

TEST_F(PushgatewayFlagsTest, ABadValueEndsTheProgramWithStatus2) {
  Give("host", "gateways");
  EXPECT_EXIT(PushgatewayOptionsFromFlags(), ::testing::ExitedWithCode(2),
              "--fusebox_pushgateway_job: must not be empty");
}

}  // namespace
}  // namespace fusebox

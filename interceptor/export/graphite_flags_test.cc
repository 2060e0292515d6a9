#include "interceptor/export/graphite_flags.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"

namespace fusebox {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class GraphiteFlagsTest : public ::testing::Test {
 protected:
  // What "--fusebox_graphite_name=value" on the command line does.
  static void Give(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag("fusebox_graphite_" + name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  // The options when nothing is wrong and there is an address.
  static GraphiteOptions Read() {
    const auto options = ReadGraphiteFlags();
    EXPECT_TRUE(options.ok()) << options.status();
    EXPECT_TRUE(options.ok() && options->has_value());
    return options->value();
  }
  static std::string Error() {
    return std::string(ReadGraphiteFlags().status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(GraphiteFlagsTest, WithoutAnAddressItIsOff) {
  Give("period", "nonsense");
  const auto options = ReadGraphiteFlags();
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_FALSE(GraphiteOptionsFromFlags().has_value());
}

TEST_F(GraphiteFlagsTest, TheDefaultsAreThoseOfTheOptions) {
  Give("address", "carbon");
  const GraphiteOptions options = Read();
  const GraphiteOptions defaults;
  EXPECT_EQ(options.address, "carbon");
  EXPECT_EQ(options.prefix, defaults.prefix);
  EXPECT_EQ(options.period, defaults.period);
  EXPECT_EQ(options.timeout, defaults.timeout);
  EXPECT_EQ(options.min_retry, defaults.min_retry);
  EXPECT_EQ(options.max_retry, defaults.max_retry);
  EXPECT_EQ(options.max_buffered_bytes, defaults.max_buffered_bytes);
  EXPECT_EQ(options.stop_timeout, defaults.stop_timeout);
  EXPECT_FALSE(options.rules.Allows("server"));
}

TEST_F(GraphiteFlagsTest, EveryFieldHasAFlagThatSetsIt) {
  Give("address", "carbon:1");
  Give("prefix", "a.b");
  Give("period", "1m30s");
  Give("timeout", "250ms");
  Give("min_retry", "2s");
  Give("max_retry", "3s");
  Give("max_buffered_bytes", "2048");
  Give("stop_timeout", "4s");
  Give("rules", "allow a, forbid a.*.c ,, allow a.b.c.d");
  const GraphiteOptions options = Read();
  EXPECT_EQ(options.address, "carbon:1");
  EXPECT_EQ(options.prefix, "a.b");
  EXPECT_EQ(options.period, seconds(90));
  EXPECT_EQ(options.timeout, milliseconds(250));
  EXPECT_EQ(options.min_retry, seconds(2));
  EXPECT_EQ(options.max_retry, seconds(3));
  EXPECT_EQ(options.max_buffered_bytes, 2048U);
  EXPECT_EQ(options.stop_timeout, seconds(4));
  EXPECT_TRUE(options.rules.Allows("a.b"));
  EXPECT_FALSE(options.rules.Allows("a.b.c"));
  EXPECT_TRUE(options.rules.Allows("a.b.c.d"));
}

TEST_F(GraphiteFlagsTest, ABadValueIsNamedWithItsFlagAndRange) {
  Give("address", "carbon:http");
  EXPECT_EQ(Error(),
            "--fusebox_graphite_address: 'carbon:http' is not valid: HOST or "
            "HOST:PORT, ports [1, 65535]");
  Give("address", "carbon");
  Give("period", "soon");
  EXPECT_EQ(
      Error(),
      "--fusebox_graphite_period: 'soon' is not a duration such as 250ms");
  Give("period", "0");
  EXPECT_EQ(Error(),
            "--fusebox_graphite_period: 0s is out of range [1s, 86400s]");
  Give("period", "1m");
  Give("max_buffered_bytes", "-1");
  EXPECT_EQ(Error(),
            "--fusebox_graphite_max_buffered_bytes: '-1' is not a number");
  Give("max_buffered_bytes", "1024");
  Give("rules", "allow a, permit b");
  EXPECT_EQ(Error(),
            "--fusebox_graphite_rules: 'permit b' is not valid: allow PATTERN "
            "or forbid PATTERN");
  Give("rules", "forbid ");
  EXPECT_EQ(Error(),
            "--fusebox_graphite_rules: 'forbid' is not valid: allow PATTERN or "
            "forbid PATTERN");
}

TEST_F(GraphiteFlagsTest, ABadValueEndsTheProgramWithStatus2) {
  Give("address", "carbon");
  Give("timeout", "0s");
  EXPECT_EXIT(
      GraphiteOptionsFromFlags(), ::testing::ExitedWithCode(2),
      "--fusebox_graphite_timeout: 0s is out of range \\[10ms, 3600s\\]");
}

}  // namespace
}  // namespace fusebox

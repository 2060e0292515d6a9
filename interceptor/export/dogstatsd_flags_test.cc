#include "interceptor/export/dogstatsd_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"

namespace fusebox {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DogStatsdFlagsTest : public ::testing::Test {
 protected:
  // What "--fusebox_dogstatsd_name=value" on the command line does.
  static void Give(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag("fusebox_dogstatsd_" + name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  // The options when nothing is wrong and there is an address.
  static DogStatsdOptions Read() {
    const auto options = ReadDogStatsdFlags();
    EXPECT_TRUE(options.ok()) << options.status();
    EXPECT_TRUE(options.ok() && options->has_value());
    return options->value();
  }
  static std::string Error() {
    return std::string(ReadDogStatsdFlags().status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(DogStatsdFlagsTest, WithoutAnAddressItIsOff) {
  Give("period", "nonsense");
  const auto options = ReadDogStatsdFlags();
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_FALSE(DogStatsdOptionsFromFlags().has_value());
}

TEST_F(DogStatsdFlagsTest, TheDefaultsAreThoseOfTheOptions) {
  Give("address", "agent");
  const DogStatsdOptions options = Read();
  const DogStatsdOptions defaults;
  EXPECT_EQ(options.address, "agent");
  EXPECT_EQ(options.prefix, defaults.prefix);
  EXPECT_THAT(options.tags, IsEmpty());
  EXPECT_EQ(options.period, defaults.period);
  EXPECT_EQ(options.lookup_period, defaults.lookup_period);
  EXPECT_EQ(options.max_packet_bytes, defaults.max_packet_bytes);
  EXPECT_EQ(options.all_transitions, defaults.all_transitions);
  EXPECT_EQ(options.event_queue_capacity, defaults.event_queue_capacity);
}

TEST_F(DogStatsdFlagsTest, EveryFieldHasAFlagThatSetsIt) {
  Give("address", "unix:/run/dsd.socket");
  Give("prefix", "app");
  Give("tags", "env:prod,team:orders,");
  Give("period", "5s");
  Give("lookup_period", "30s");
  Give("max_packet_bytes", "512");
  Give("transitions", "all");
  Give("event_queue_capacity", "10");
  const DogStatsdOptions options = Read();
  EXPECT_EQ(options.address, "unix:/run/dsd.socket");
  EXPECT_EQ(options.prefix, "app");
  EXPECT_THAT(options.tags, ElementsAre("env:prod", "team:orders"));
  EXPECT_EQ(options.period, seconds(5));
  EXPECT_EQ(options.lookup_period, seconds(30));
  EXPECT_EQ(options.max_packet_bytes, 512U);
  EXPECT_TRUE(options.all_transitions);
  EXPECT_EQ(options.event_queue_capacity, 10U);
}

TEST_F(DogStatsdFlagsTest, ABadValueIsNamedWithItsFlagAndRange) {
  Give("address", "agent");
  Give("transitions", "some");
  EXPECT_EQ(Error(),
            "--fusebox_dogstatsd_transitions: 'some' is not valid: turns or "
            "all");
  Give("transitions", "turns");
  Give("period", "ten");
  EXPECT_EQ(Error(),
            "--fusebox_dogstatsd_period: 'ten' is not a duration such as "
            "250ms");
  Give("period", "2h");
  EXPECT_EQ(Error(),
            "--fusebox_dogstatsd_period: 7200s is out of range [1s, 3600s]");
}

TEST_F(DogStatsdFlagsTest, ABadValueEndsTheProgramWithStatus2) {
  Give("address", "agent");
  Give("max_packet_bytes", "63");
  EXPECT_EXIT(DogStatsdOptionsFromFlags(), ::testing::ExitedWithCode(2),
              "--fusebox_dogstatsd_max_packet_bytes: 63 is out of range "
              "\\[64, 65507\\]");
}

}  // namespace
}  // namespace fusebox

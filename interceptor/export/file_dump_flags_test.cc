#include "interceptor/export/file_dump_flags.h"

#include <chrono>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "gtest/gtest.h"

namespace fusebox {
namespace {

class FileDumpFlagsTest : public ::testing::Test {
 protected:
  // What "--fusebox_dump_name=value" on the command line does.
  static void Give(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag =
        absl::FindCommandLineFlag("fusebox_dump_" + name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << error;
  }

  // The options when nothing is wrong and there is a path.
  static FileDumpOptions Read() {
    const auto options = ReadFileDumpFlags();
    EXPECT_TRUE(options.ok()) << options.status();
    EXPECT_TRUE(options.ok() && options->has_value());
    return options->value();
  }
  static std::string Error() {
    return std::string(ReadFileDumpFlags().status().message());
  }

 private:
  absl::FlagSaver saver_;
};

TEST_F(FileDumpFlagsTest, WithoutAPathItIsOff) {
  Give("period", "nonsense");
  const auto options = ReadFileDumpFlags();
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_FALSE(FileDumpOptionsFromFlags().has_value());
}

TEST_F(FileDumpFlagsTest, TheDefaultsAreThoseOfTheOptions) {
  Give("path", "/tmp/statistics");
  const FileDumpOptions options = Read();
  EXPECT_EQ(options.path, "/tmp/statistics");
  EXPECT_EQ(options.period, FileDumpOptions().period);
  EXPECT_EQ(options.on_crash, FileDumpOptions().on_crash);
}

TEST_F(FileDumpFlagsTest, EveryFieldHasAFlagThatSetsIt) {
  Give("path", "statistics");
  Give("period", "1m30s");
  Give("on_crash", "false");
  const FileDumpOptions options = Read();
  EXPECT_EQ(options.path, "statistics");
  EXPECT_EQ(options.period, std::chrono::seconds(90));
  EXPECT_FALSE(options.on_crash);
}

TEST_F(FileDumpFlagsTest, ABadValueIsNamedWithItsFlagAndRange) {
  const auto error = [](const std::string& name, const std::string& value) {
    const absl::FlagSaver saver;
    Give(name, value);
    return Error();
  };
  Give("path", "statistics");
  EXPECT_EQ(error("path", "/tmp/"),
            "--fusebox_dump_path: '/tmp/' is not that of a file");
  EXPECT_EQ(error("period", "soon"),
            "--fusebox_dump_period: 'soon' is not a duration such as 250ms");
  EXPECT_EQ(error("period", "1ms"),
            "--fusebox_dump_period: 1ms is out of range [100ms, 86400s]");
  EXPECT_EQ(error("on_crash", "yes"),
            "--fusebox_dump_on_crash: 'yes' is not true or false");
  EXPECT_EQ(Error(), "");
}

TEST_F(FileDumpFlagsTest, ABadValueEndsTheProgramWithStatus2) {
  Give("path", "statistics");
  Give("period", "2d");
  EXPECT_EXIT(FileDumpOptionsFromFlags(), ::testing::ExitedWithCode(2),
              "--fusebox_dump_period: '2d' is not a duration");
}

}  // namespace
}  // namespace fusebox

#include "bazel/compile_check_absent.h"
#include "bazel/compile_check_present.h"
#include "gtest/gtest.h"

namespace {

TEST(CompileCheckTest, TellsWhatCompilesFromWhatDoesNot) {
  EXPECT_EQ(COMPILE_CHECK_PRESENT, 1);
  EXPECT_EQ(COMPILE_CHECK_ABSENT, 0);
}

}  // namespace

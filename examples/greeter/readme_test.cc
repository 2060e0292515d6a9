// The examples of README.md are the programs that are compiled here.

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace greeter {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What stands between "```cpp" and "```".
std::vector<std::string> CppBlocks(const std::string& markdown) {
  std::vector<std::string> blocks;
  bool inside = false;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);) {
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back() += line + "\n";
    } else if (line == "```cpp") {
      inside = true;
      blocks.emplace_back();
    }
  }
  EXPECT_FALSE(inside) << "a block without an end";
  return blocks;
}

class ReadmeTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ReadmeTest, ShowsTheProgramAsItIsCompiled) {
  EXPECT_THAT(CppBlocks(ReadFile("README.md")),
              ::testing::Contains(
                  ReadFile(std::string("examples/greeter/") + GetParam())));
}

TEST_P(ReadmeTest, TheProgramHasAtMost20LinesOfCode) {
  std::istringstream program(
      ReadFile(std::string("examples/greeter/") + GetParam()));
  int lines = 0;
  for (std::string line; std::getline(program, line);) {
    if (!line.empty()) ++lines;
  }
  EXPECT_GT(lines, 0);
  EXPECT_LE(lines, 20);
}

INSTANTIATE_TEST_SUITE_P(Programs, ReadmeTest,
                         ::testing::Values("readme_client.cc",
                                           "readme_server.cc"));

TEST(ReadmeBlocksTest, EachIsAProgramThatIsCompiledOrAPartOfOne) {
  for (const std::string& block : CppBlocks(ReadFile("README.md"))) {
    bool found = false;
    for (const char* program : {"readme_async.cc", "readme_client.cc",
                                "readme_operations.cc", "readme_server.cc"}) {
      const std::string text =
          ReadFile(std::string("examples/greeter/") + program);
      found = found || text.find(block) != std::string::npos;
    }
    EXPECT_TRUE(found) << block;
  }
}

}  // namespace
}  // namespace greeter

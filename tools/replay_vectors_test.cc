// What the policy and its ancestor, eleme/doctor, decide in the cases where
// they are told apart: testdata/doctor_vectors.json, call by call.

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/flat_json.h"
#include "tools/replay.h"

namespace fusebox {
namespace {

namespace dom = simdjson::dom;

// `object` without the fields that are for the reader of the vectors.
std::string EventLine(const dom::object& object) {
  std::string line;
  for (const dom::key_value_pair& field : object) {
    if (field.key == "expect" || field.key == "doctor") continue;
    line += line.empty() ? "{" : ",";
    AppendJsonString(field.key, line);
    line += ":" + simdjson::minify(field.value);
  }
  return line + "}";
}

class VectorReplay {
 public:
  // Returns the answer.
  std::string Apply(const std::string& line) {
    std::string answer;
    const std::string padded = line + std::string(Replay::kPadding, '\0');
    EXPECT_TRUE(
        replay_.Apply(std::string_view(padded.data(), line.size()), answer))
        << replay_.error() << "\n  " << line;
    return answer;
  }

 private:
  Replay replay_;
};

TEST(ReplayVectorsTest, DecidesAsExpectedCallByCall) {
  dom::parser parser;
  const dom::element vectors =
      parser.load("tools/testdata/doctor_vectors.json")["vectors"];
  int vectors_seen = 0;
  int decisions_seen = 0;
  for (const dom::element& vector : vectors.get_array()) {
    ++vectors_seen;
    SCOPED_TRACE(simdjson::minify(vector["name"]));
    VectorReplay replay;
    EXPECT_EQ(replay.Apply("{\"settings\":" +
                           simdjson::minify(vector["settings"]) + "}"),
              "");
    for (const dom::element& event : vector["events"].get_array()) {
      const std::string line = EventLine(event);
      const std::string answer = replay.Apply(line);
      dom::object expected;
      if (event["expect"].get(expected) != simdjson::SUCCESS) {
        EXPECT_EQ(answer, "") << line;
        continue;
      }
      ++decisions_seen;
      dom::parser answer_parser;
      const dom::element decision =
          answer_parser.parse(simdjson::padded_string(answer));
      EXPECT_EQ(bool(decision["admitted"]), bool(expected["admitted"])) << line;
      EXPECT_EQ(std::string_view(decision["state"]),
                std::string_view(expected["state"]))
          << line;
      EXPECT_EQ(double(decision["t"]), double(event["t"]));
      EXPECT_EQ(std::int64_t(decision["call"]), std::int64_t(event["call"]));
      EXPECT_EQ(std::string_view(decision["method"]),
                std::string_view(event["method"]));
    }
  }
  EXPECT_EQ(vectors_seen, 19);
  EXPECT_EQ(decisions_seen, 504);
}

}  // namespace
}  // namespace fusebox

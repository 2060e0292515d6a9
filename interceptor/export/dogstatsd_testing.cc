#include "interceptor/export/dogstatsd_testing.h"

#include <cstdlib>
#include <regex>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace fusebox {
namespace {

constexpr char kNumber[] = R"(-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?)";
constexpr char kTags[] = R"((?:\|#([^|@#\x00-\x1f\x7f]+))?)";

DogStatsdLine Wrong(const std::string& what, const std::string& line) {
  DogStatsdLine wrong;
  wrong.error = what + ": " + line;
  return wrong;
}

// Sets the tags; false if they are not as they should be.
bool ReadTags(const std::string& text, DogStatsdLine& read) {
  if (text.empty()) return true;
  read.tags = absl::StrSplit(text, ',');
  for (std::size_t i = 0; i < read.tags.size(); ++i) {
    if (read.tags[i].empty()) return false;
    if (i > 0 && read.tags[i - 1] >= read.tags[i]) return false;
  }
  return true;
}

DogStatsdLine ReadMetric(const std::string& line) {
  static const std::regex kMetric(std::string(R"(([A-Za-z][A-Za-z0-9_.]*):()") +
                                  kNumber + R"()\|([cgh])(?:\|@()" + kNumber +
                                  "))?" + kTags);
  std::smatch match;
  if (!std::regex_match(line, match, kMetric)) {
    return Wrong("no metric", line);
  }
  DogStatsdLine read;
  read.name = match[1];
  read.value = std::strtod(match[2].str().c_str(), nullptr);
  read.type = match[6];
  if (match[7].matched) {
    read.rate = std::strtod(match[7].str().c_str(), nullptr);
    if (!(read.rate > 0 && read.rate < 1)) return Wrong("rate", line);
    if (read.type == "g") return Wrong("a gauge with a rate", line);
  }
  if (!ReadTags(match[11], read)) return Wrong("tags", line);
  return read;
}

DogStatsdLine ReadEvent(const std::string& line) {
  static const std::regex kHead(R"(^_e\{([1-9]\d*),(0|[1-9]\d*)\}:)");
  static const std::regex kEnd(
      std::string(R"(\|t:(error|warning|info|success))") + kTags);
  std::smatch match;
  if (!std::regex_search(line, match, kHead)) return Wrong("no event", line);
  const auto title = std::strtoul(match[1].str().c_str(), nullptr, 10);
  const auto text = std::strtoul(match[2].str().c_str(), nullptr, 10);
  const std::string rest = match.suffix();
  if (rest.size() < title + 1 + text || rest[title] != '|') {
    return Wrong("lengths", line);
  }
  DogStatsdLine read;
  read.type = "event";
  const auto plain = [](const std::string& escaped) {
    return absl::StrReplaceAll(escaped, {{"\\n", "\n"}});
  };
  read.name = plain(rest.substr(0, title));
  read.text = plain(rest.substr(title + 1, text));
  const std::string end = rest.substr(title + 1 + text);
  if (!std::regex_match(end, match, kEnd)) return Wrong("end", line);
  read.alert = match[1];
  if (!ReadTags(match[2], read)) return Wrong("tags", line);
  return read;
}

}  // namespace

std::vector<DogStatsdLine> ReadDogStatsd(const std::string& packet) {
  std::vector<DogStatsdLine> lines;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(packet, '\n'))) {
    lines.push_back(line.rfind("_e{", 0) == 0 ? ReadEvent(line)
                                              : ReadMetric(line));
  }
  return lines;
}

}  // namespace fusebox

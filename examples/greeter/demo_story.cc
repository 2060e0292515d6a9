#include "examples/greeter/demo_story.h"

#include <algorithm>
#include <regex>

namespace greeter {

void DemoStory::Read(const std::string& line) {
  static const std::regex change(
      R"( *[0-9.]+s  \*\* (\w+) -> (\w+): (\w+), \d+ let through)");
  static const std::regex second(
      R"( *[0-9.]+s +\d+ +\d+ +\d+ +(\d+)  \w+ +(\w+))");
  static const std::regex totals(
      R"(sent (\d+) in [0-9.]+s: ok (\d+), failed (\d+), rejected (\d+))");
  std::smatch match;
  if (std::regex_match(line, match, change)) {
    changes_.push_back({match[1], match[2], match[3]});
  } else if (std::regex_match(line, match, second)) {
    rejected_ += std::stoll(match[1]);
    health_.push_back(match[2]);
  } else if (std::regex_match(line, match, totals)) {
    totals_ = {std::stoll(match[1]), std::stoll(match[2]), std::stoll(match[3]),
               std::stoll(match[4])};
  }
}

int DemoStory::FailedProbes(const std::string& reason) const {
  return static_cast<int>(std::count_if(
      changes_.begin(), changes_.end(), [&](const StateLine& change) {
        return change.from == "HALF_OPEN" && change.to == "OPEN" &&
               (reason.empty() || change.reason == reason);
      }));
}

bool DemoStory::IsOneOutage() const {
  static const std::regex outage("CLOSED (OPEN HALF_OPEN )+CLOSED");
  std::string path = "CLOSED";
  std::string state = "CLOSED";
  for (const StateLine& change : changes_) {
    // A lost line would leave a gap.
    if (change.from != state) return false;
    state = change.to;
    path += " " + state;
  }
  return std::regex_match(path, outage);
}

bool DemoStory::HealthCameBack() const {
  const auto up = std::find(health_.begin(), health_.end(), "SERVING");
  const auto down = std::find(up, health_.end(), "NOT_SERVING");
  return down != health_.end() && health_.back() == "SERVING";
}

}  // namespace greeter

#include "examples/greeter/demo_story.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace greeter {
namespace {

// "12" or "12,"; 0 if it is none.
std::int64_t Number(absl::string_view word) {
  std::int64_t number = 0;
  return absl::SimpleAtoi(absl::StripSuffix(word, ","), &number) ? number : 0;
}

}  // namespace

void DemoStory::Read(const std::string& line) {
  const std::vector<std::string> words =
      absl::StrSplit(line, ' ', absl::SkipEmpty());
  // 11.2s ** CLOSED -> OPEN: system_error_threshold, 217 let through
  if (words.size() == 9 && words[1] == "**") {
    changes_.push_back({words[2], std::string(absl::StripSuffix(words[4], ":")),
                        std::string(absl::StripSuffix(words[5], ","))});
  }
  // 12.0s 20 0 1 19 OPEN NOT_SERVING
  if (words.size() == 7 && absl::EndsWith(words[0], "s")) {
    rejected_ += Number(words[4]);
    health_.push_back(words[6]);
  }
  // sent 900 in 45.0s: ok 610, failed 105, rejected 185
  if (words.size() == 10 && words[0] == "sent") {
    totals_ = {Number(words[1]), Number(words[5]), Number(words[7]),
               Number(words[9])};
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
  // OPEN and HALF_OPEN by turns, as often as it takes, then CLOSED. A lost line
  // would leave a gap.
  if (changes_.size() < 3) return false;
  std::string state = "CLOSED";
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (changes_[i].from != state) return false;
    state = i + 1 == changes_.size() ? "CLOSED"
            : i % 2 == 0             ? "OPEN"
                                     : "HALF_OPEN";
    if (changes_[i].to != state) return false;
  }
  return changes_.back().from == "HALF_OPEN";
}

bool DemoStory::HealthCameBack() const {
  const auto up = std::find(health_.begin(), health_.end(), "SERVING");
  const auto down = std::find(up, health_.end(), "NOT_SERVING");
  return down != health_.end() && health_.back() == "SERVING";
}

}  // namespace greeter

#include "examples/greeter/child_process_testing.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace greeter {

Ended End(ChildProcess& child) {
  Ended ended;
  ended.status = child.Wait(Soon()).value_or(-1);
  while (const auto line = child.ReadLine(Soon())) ended.lines.push_back(*line);
  ended.errors = child.errors();
  return ended;
}

Ended RunToEnd(const std::string& program, std::vector<std::string> flags) {
  flags.insert(flags.begin(), Sibling(program));
  ChildProcess child(flags);
  return End(child);
}

bool ReadUntil(ChildProcess& child, const std::string& text) {
  const auto end = Soon();
  std::string seen;
  while (std::chrono::steady_clock::now() < end) {
    const auto line = child.ReadLine(end);
    if (!line.has_value()) break;
    if (absl::StrContains(*line, text)) return true;
    absl::StrAppend(&seen, *line, "\n");
  }
  ADD_FAILURE() << "no line with '" << text << "' in:\n"
                << seen << child.errors();
  return false;
}

}  // namespace greeter

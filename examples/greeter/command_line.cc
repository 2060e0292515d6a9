#include "examples/greeter/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace greeter {
namespace {

// The words of `text` in lines of 80 columns, each after `indent`.
std::string Wrapped(absl::string_view text, const std::string& indent) {
  std::string lines;
  std::string line = indent;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (line.size() + 1 + word.size() > 80 && line.size() > indent.size()) {
      absl::StrAppend(&lines, line, "\n");
      line = indent;
    }
    absl::StrAppend(&line, line.size() > indent.size() ? " " : "", word);
  }
  absl::StrAppend(&lines, line, "\n");
  return lines;
}

// Abseil would list its own flags too, and end with status 1.
std::string Help(const std::string& usage) {
  // By file and name: the program's own flags come first.
  std::map<std::pair<std::string, absl::string_view>,
           const absl::CommandLineFlag*>
      flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    const std::string file = flag->Filename();
    if (absl::StrContains(file, "examples/greeter/") ||
        absl::StrContains(file, "interceptor/flags/")) {
      flags[{file, name}] = flag;
    }
  }
  std::string help = usage + "\n\nFlags, with their defaults:\n";
  for (const auto& [key, flag] : flags) {
    absl::StrAppend(&help, "  --", key.second, "=", flag->DefaultValue(), "\n",
                    Wrapped(flag->Help(), "      "));
  }
  return help;
}

}  // namespace

void ParseFlags(int argc, char** argv, const std::string& usage) {
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument == "--help" || argument == "-help" || argument == "-h") {
      std::fputs(Help(usage).c_str(), stdout);
      std::exit(0);
    }
  }
  const std::vector<char*> rest = absl::ParseCommandLine(argc, argv);
  if (rest.size() > 1) {
    UsageError(absl::StrCat("'", rest[1], "' is not a flag; see --help"));
  }
}

void UsageError(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(2);
}

StopSignals::StopSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

void StopSignals::Wait() {
  while (sigwaitinfo(&signals_, nullptr) < 0) {
  }
}

bool StopSignals::WaitUntil(std::chrono::steady_clock::time_point end) {
  for (;;) {
    const auto left = end - std::chrono::steady_clock::now();
    const timespec timeout = absl::ToTimespec(
        std::max(absl::FromChrono(left), absl::ZeroDuration()));
    if (sigtimedwait(&signals_, nullptr, &timeout) > 0) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
  }
}

}  // namespace greeter

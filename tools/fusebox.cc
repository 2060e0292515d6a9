// The `fusebox` command line: one verb per job.

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <vector>

#include "tools/command_line.h"
#include "tools/ctl_command.h"
#include "tools/probe_command.h"
#include "tools/replay_command.h"
#include "tools/top_command.h"

namespace fusebox {
namespace {

struct Verb {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string_view>& arguments);
};

constexpr Verb kVerbs[] = {
    {"ctl", "looks at the breakers of a running process, and acts on them",
     &RunCtl},
    {"probe", "asks a gRPC server for its health", &RunProbe},
    {"replay", "runs a recorded trace through real circuit breakers",
     &RunReplay},
    {"top", "shows the breakers of a running process, live", &RunTop},
};

void PrintHelp(std::FILE* out) {
  std::fputs("usage: fusebox VERB [--flag=value ...]\n\n", out);
  for (const Verb& verb : kVerbs) {
    std::fprintf(out, "  %-8s %s\n", verb.name, verb.summary);
  }
  std::fputs("\n`fusebox VERB --help` tells more.\n", out);
}

int Run(const std::vector<std::string_view>& arguments) {
  if (arguments.empty()) {
    PrintHelp(stderr);
    return kExitUsage;
  }
  const std::string_view name = arguments.front();
  if (name == "--help" || name == "-help" || name == "-h" || name == "help") {
    PrintHelp(stdout);
    return kExitOk;
  }
  const auto verb =
      std::find_if(std::begin(kVerbs), std::end(kVerbs),
                   [&](const Verb& known) { return known.name == name; });
  if (verb == std::end(kVerbs)) {
    std::fprintf(stderr,
                 "fusebox: unknown verb \"%.*s\"; try `fusebox --help`\n",
                 static_cast<int>(name.size()), name.data());
    return kExitUsage;
  }
  return verb->run({arguments.begin() + 1, arguments.end()});
}

}  // namespace
}  // namespace fusebox

int main(int argc, char** argv) {
  return fusebox::Run({argv + std::min(argc, 1), argv + argc});
}

// fusebox probe -addr=ADDRESS [-service=NAME] [-watch | -list] ...

#ifndef FUSEBOX_TOOLS_PROBE_COMMAND_H_
#define FUSEBOX_TOOLS_PROBE_COMMAND_H_

#include <string_view>
#include <vector>

namespace fusebox {

// Returns what the process is to exit with; everything else is said on standard
// output and standard error. A watch blocks SIGINT and SIGTERM for good.
int RunProbe(const std::vector<std::string_view>& arguments);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_PROBE_COMMAND_H_

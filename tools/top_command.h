// fusebox top -addr=ADDRESS [-interval=TIME] [-filter=TEXT] [-once]

#ifndef FUSEBOX_TOOLS_TOP_COMMAND_H_
#define FUSEBOX_TOOLS_TOP_COMMAND_H_

#include <string_view>
#include <vector>

namespace fusebox {

// Returns what the process is to exit with; everything else is said on standard
// output and standard error.
int RunTop(const std::vector<std::string_view>& arguments);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_TOP_COMMAND_H_

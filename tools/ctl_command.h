// fusebox ctl -addr=ADDRESS list|get|set|force-open|... [BREAKER] ...

#ifndef FUSEBOX_TOOLS_CTL_COMMAND_H_
#define FUSEBOX_TOOLS_CTL_COMMAND_H_

#include <string_view>
#include <vector>

namespace fusebox {

// Returns what the process is to exit with; everything else is said on standard
// output and standard error.
int RunCtl(const std::vector<std::string_view>& arguments);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_CTL_COMMAND_H_

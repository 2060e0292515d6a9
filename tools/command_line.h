// Flags of the `fusebox` command line.

#ifndef FUSEBOX_TOOLS_COMMAND_LINE_H_
#define FUSEBOX_TOOLS_COMMAND_LINE_H_

#include <string>
#include <string_view>
#include <vector>

namespace fusebox {

// What every verb exits with.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,  // what was asked for did not work
  kExitUsage = 2,    // it was asked for wrongly
};

// A flag that takes text.
struct Flag {
  std::string_view name;  // without dashes
  std::string* value;     // left alone if the flag is not given
};

struct ParsedFlags {
  bool help = false;  // asked for; nothing else matters then
  std::string error;  // empty if all is well
};

// Reads "--name=value" and "--name value", also with one dash; the last of
// several wins. "--help", "-help" and "-h" ask for help. Anything else is an
// error.
ParsedFlags ParseFlags(const std::vector<std::string_view>& arguments,
                       const std::vector<Flag>& flags);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_COMMAND_LINE_H_

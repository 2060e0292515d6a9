// Flags of the `fusebox` command line.

#ifndef FUSEBOX_TOOLS_COMMAND_LINE_H_
#define FUSEBOX_TOOLS_COMMAND_LINE_H_

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace fusebox {

// What a verb exits with, unless its help says otherwise.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,  // what was asked for did not work
  kExitUsage = 2,    // it was asked for wrongly
};

// A flag that is left alone if it is not given.
struct Flag {
  std::string_view name;  // without dashes
  // What it is:
  //   string   text; the last of several wins
  //   vector   text; each one is added
  //   bool     a switch: "--name", or "--name=" with true, false, 1 or 0
  std::variant<std::string*, std::vector<std::string>*, bool*> value;
};

struct ParsedFlags {
  bool help = false;  // asked for; nothing else matters then
  std::string error;  // empty if all is well
};

// Reads "--name=value" and "--name value", also with one dash. "--help",
// "-help" and "-h" ask for help. What does not begin with a dash, and all that
// comes after "--", is added to `operands`, or an error without it. Anything
// else is an error.
ParsedFlags ParseFlags(const std::vector<std::string_view>& arguments,
                       const std::vector<Flag>& flags,
                       std::vector<std::string>* operands = nullptr);

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_COMMAND_LINE_H_

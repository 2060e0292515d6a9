// What the programs of the example share on their command lines.

#ifndef FUSEBOX_EXAMPLES_GREETER_COMMAND_LINE_H_
#define FUSEBOX_EXAMPLES_GREETER_COMMAND_LINE_H_

#include <chrono>
#include <csignal>
#include <string>

namespace greeter {

// absl::ParseCommandLine(), where --help shows `usage`, this program's own
// flags and those of Fusebox, and ends with status 0, and where an argument
// that is no flag is an error, status 2.
void ParseFlags(int argc, char** argv, const std::string& usage);

// Says on standard error what is wrong with the command line; status 2.
[[noreturn]] void UsageError(const std::string& message);

// Ctrl-C and SIGTERM as something to wait for. Make one before anything starts
// a thread: it blocks the signals in this thread and in all that follow.
class StopSignals {
 public:
  StopSignals();

  // Until one has come.
  void Wait();
  // The same, at most until `end`; whether one has come.
  bool WaitUntil(std::chrono::steady_clock::time_point end);

 private:
  sigset_t signals_;
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_COMMAND_LINE_H_

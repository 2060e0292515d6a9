// A program started by another: what it prints, and how it ends.

#ifndef FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_H_
#define FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace greeter {

// Runs a program with its output led here. Does not outlive its parent, however
// that ends. Thread-compatible; make it on a thread that lives as long as the
// program should.
class ChildProcess {
 public:
  // Starts `arguments[0]`, a path. If that is not possible the child ends at
  // once with status 127. Throws std::system_error if the machine is out of
  // processes or files.
  explicit ChildProcess(const std::vector<std::string>& arguments);
  // Kills it if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // The next line of its standard output, without the end of line; nothing if
  // there is none by `end`, or ever.
  std::optional<std::string> ReadLine(
      std::chrono::steady_clock::time_point end);
  // Whether its standard output has ended and every line was read.
  bool AtEnd() const { return stdout_.file < 0 && stdout_.text.empty(); }

  // Its standard error as far as it was read by ReadLine() and Wait().
  const std::string& errors() const { return stderr_.text; }

  void Signal(int signal);

  // Reads until it ends and returns its exit status, 128 and more if a signal
  // killed it; nothing if it still runs at `end`. Lines of output not read yet
  // stay to be read.
  std::optional<int> Wait(std::chrono::steady_clock::time_point end);

 private:
  struct Stream {
    int file = -1;  // -1: ended
    std::string text;
  };

  // Reads what there is, waiting for it until `end`. False if nothing came.
  bool ReadSome(std::chrono::steady_clock::time_point end);

  pid_t pid_ = -1;  // -1: has been waited for
  int status_ = 0;
  Stream stdout_;
  Stream stderr_;
};

// The path of a program that lies beside this one.
std::string Sibling(const std::string& name);

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_H_

// What the tests of the example do with programs.

#ifndef FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_TESTING_H_
#define FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_TESTING_H_

#include <chrono>
#include <string>
#include <vector>

#include "examples/greeter/child_process.h"

namespace greeter {

// A limit for what takes far less, unless the machine is busy.
inline std::chrono::steady_clock::time_point Soon() {
  return std::chrono::steady_clock::now() + std::chrono::minutes(1);
}

struct Ended {
  int status;  // -1: did not end
  std::vector<std::string> lines;
  std::string errors;
};

// How the child ends, and the output not yet read.
Ended End(ChildProcess& child);

// The same of a program that lies beside this one.
Ended RunToEnd(const std::string& program, std::vector<std::string> flags);

// Reads lines until one has `text`. If none comes, fails the test.
bool ReadUntil(ChildProcess& child, const std::string& text);

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_CHILD_PROCESS_TESTING_H_

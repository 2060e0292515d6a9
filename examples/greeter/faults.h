// Faults on purpose: which calls of a method fail, and how.

#ifndef FUSEBOX_EXAMPLES_GREETER_FAULTS_H_
#define FUSEBOX_EXAMPLES_GREETER_FAULTS_H_

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>

#include "grpcpp/support/status.h"

namespace greeter {

struct Fault {
  grpc::StatusCode code = grpc::StatusCode::OK;  // OK: answered after the delay
  double fraction = 0;                           // of the calls, 0 to 1
  std::chrono::nanoseconds delay = std::chrono::nanoseconds::zero();
};

// What a handler is to do with its call.
struct Verdict {
  grpc::Status status;
  std::chrono::nanoseconds delay = std::chrono::nanoseconds::zero();
};

// The faults of a fixed set of methods, and how often their handlers ran.
// Thread-safe.
class Faults {
 public:
  Faults(std::initializer_list<const char*> methods);

  // Replaces the fault of `method`. INVALID_ARGUMENT if there is no such method
  // or a value is out of range.
  grpc::Status Set(const std::string& method, const Fault& fault);

  // Counts a run of the handler of `method`, which must be one of the set, and
  // says whether the fault hits this call: of n calls in a row n * fraction are
  // hit, give or take one, evenly spread.
  Verdict Run(const std::string& method);

  std::map<std::string, std::int64_t> HandlerRuns() const;

 private:
  struct Method {
    Fault fault;
    double due = 0;  // hits not yet given, below 1
    std::int64_t handler_runs = 0;
  };

  mutable std::mutex mu_;
  std::map<std::string, Method> methods_;  // guarded by mu_
};

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_FAULTS_H_

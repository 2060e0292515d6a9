#include "examples/greeter/faults.h"

namespace greeter {

Faults::Faults(std::initializer_list<const char*> methods) {
  for (const char* method : methods) methods_.emplace(method, Method());
}

grpc::Status Faults::Set(const std::string& method, const Fault& fault) {
  const auto invalid = [](const std::string& message) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, message);
  };
  if (fault.code < 0 || fault.code > 16) {
    return invalid("status_code: " + std::to_string(fault.code) +
                   " is out of range [0, 16]");
  }
  // Not the negation: NaN must fail.
  if (!(fault.fraction >= 0 && fault.fraction <= 1)) {
    return invalid("fraction: " + std::to_string(fault.fraction) +
                   " is out of range [0, 1]");
  }
  if (fault.delay < std::chrono::nanoseconds::zero() ||
      fault.delay > std::chrono::minutes(1)) {
    return invalid("delay is out of range [0s, 60s]");
  }
  const std::lock_guard<std::mutex> lock(mu_);
  const auto found = methods_.find(method);
  if (found == methods_.end()) {
    return invalid("method: there is no '" + method + "'");
  }
  found->second.fault = fault;
  found->second.due = 0;
  return grpc::Status::OK;
}

Verdict Faults::Run(const std::string& method) {
  const std::lock_guard<std::mutex> lock(mu_);
  Method& state = methods_.at(method);
  ++state.handler_runs;
  state.due += state.fault.fraction;
  // Ten times 0.1 is a little less than 1.
  if (state.due < 1 - 1e-9) return {grpc::Status::OK};
  state.due -= 1;
  if (state.fault.code == grpc::StatusCode::OK) {
    return {grpc::Status::OK, state.fault.delay};
  }
  return {grpc::Status(state.fault.code, "broken on purpose"),
          state.fault.delay};
}

std::map<std::string, std::int64_t> Faults::HandlerRuns() const {
  const std::lock_guard<std::mutex> lock(mu_);
  std::map<std::string, std::int64_t> runs;
  for (const auto& [name, method] : methods_) runs[name] = method.handler_runs;
  return runs;
}

}  // namespace greeter

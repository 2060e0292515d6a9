#include "examples/greeter/load.h"

#include <utility>

#include "interceptor/rejection.h"
#include "interceptor/stats/latency_snapshot.h"
#include "interceptor/stats/status_code_names.h"

namespace greeter {

using std::chrono::steady_clock;

Load::Load(double rate, std::function<void(Done)> start)
    : start_(std::move(start)), pacer_([this, rate] { Run(rate); }) {}

Load::~Load() { Stop(); }

void Load::Stop() {
  std::unique_lock<std::mutex> lock(mu_);
  stopping_ = true;
  changed_.notify_all();
  lock.unlock();
  if (pacer_.joinable()) pacer_.join();
  lock.lock();
  changed_.wait(lock, [this] { return in_flight_ == 0; });
}

LoadCounts Load::counts() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return counts_;
}

void Load::Run(double rate) {
  const auto interval = std::chrono::duration_cast<steady_clock::duration>(
      std::chrono::duration<double>(1 / rate));
  steady_clock::time_point next = steady_clock::now();
  std::unique_lock<std::mutex> lock(mu_);
  while (!changed_.wait_until(lock, next, [this] { return stopping_; })) {
    next += interval;
    // After a long sleep of the machine: go on, do not catch up.
    if (steady_clock::now() - next > std::chrono::seconds(1)) {
      next = steady_clock::now();
    }
    if (in_flight_ == kMaxInFlight) {
      ++counts_.not_sent;
      continue;
    }
    ++counts_.sent;
    ++in_flight_;
    // A refused call may end before start_() returns.
    lock.unlock();
    start_([this](const grpc::Status& status) { Count(status); });
    lock.lock();
  }
}

void Load::Count(const grpc::Status& status) {
  const std::lock_guard<std::mutex> lock(mu_);
  if (status.ok()) {
    ++counts_.ok;
  } else if (fusebox::IsRejection(status)) {
    ++counts_.rejected;
  } else {
    ++counts_.failed;
    ++counts_.failures[status.error_code()];
    counts_.last_failure =
        StatusCodeName(status.error_code()) + ": " + status.error_message();
  }
  --in_flight_;
  changed_.notify_all();
}

std::string StatusCodeName(grpc::StatusCode code) {
  const auto index = static_cast<std::size_t>(code);
  return index < fusebox::CallsOfCode::kOther ? fusebox::kStatusCodeNames[index]
                                              : "code " + std::to_string(code);
}

}  // namespace greeter

// Calls at a steady rate, counted by how they end.

#ifndef FUSEBOX_EXAMPLES_GREETER_LOAD_H_
#define FUSEBOX_EXAMPLES_GREETER_LOAD_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "grpcpp/support/status.h"

namespace greeter {

struct LoadCounts {
  std::int64_t sent = 0;
  std::int64_t ok = 0;
  std::int64_t failed = 0;    // all others, by code below
  std::int64_t rejected = 0;  // by a breaker, here or further down
  // Due, but kMaxInFlight calls were under way.
  std::int64_t not_sent = 0;
  std::map<grpc::StatusCode, std::int64_t> failures;
  std::string last_failure;  // "CODE: message"
};

// Starts a call every 1/rate seconds, whatever became of those before it, until
// it is stopped. Thread-safe.
class Load {
 public:
  using Done = std::function<void(const grpc::Status&)>;

  static constexpr int kMaxInFlight = 1000;

  // `start` starts a call without waiting and hands its status to the function
  // it gets, once. `rate` per second, above 0.
  Load(double rate, std::function<void(Done)> start);
  // Stops.
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Starts no more calls and returns when the last one has ended.
  void Stop();

  LoadCounts counts() const;

 private:
  void Run(double rate);
  void Count(const grpc::Status& status);

  const std::function<void(Done)> start_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  // Guarded by mu_.
  bool stopping_ = false;
  int in_flight_ = 0;
  LoadCounts counts_;

  std::thread pacer_;
};

// "UNAVAILABLE", ...
std::string StatusCodeName(grpc::StatusCode code);

}  // namespace greeter

#endif  // FUSEBOX_EXAMPLES_GREETER_LOAD_H_

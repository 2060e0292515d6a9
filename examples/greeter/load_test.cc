#include "examples/greeter/load.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "grpcpp/support/status.h"
#include "gtest/gtest.h"
#include "interceptor/rejection.h"

namespace greeter {
namespace {

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "broken");

// Starts calls that end when the test says so. Thread-safe.
class Calls {
 public:
  std::function<void(Load::Done)> Start() {
    return [this](Load::Done done) {
      const std::lock_guard<std::mutex> lock(mu_);
      open_.push_back(std::move(done));
      grown_.notify_all();
    };
  }

  // Waits for `n` open calls and takes them.
  std::vector<Load::Done> Take(std::size_t n) {
    std::unique_lock<std::mutex> lock(mu_);
    grown_.wait(lock, [&] { return open_.size() >= n; });
    const auto end = open_.begin() + static_cast<std::ptrdiff_t>(n);
    std::vector<Load::Done> taken(open_.begin(), end);
    open_.erase(open_.begin(), end);
    return taken;
  }

  // Ends all that are open.
  void EndAll(const grpc::Status& status) {
    std::vector<Load::Done> taken;
    {
      const std::lock_guard<std::mutex> lock(mu_);
      taken.swap(open_);
    }
    for (const Load::Done& done : taken) done(status);
  }

 private:
  std::mutex mu_;
  std::condition_variable grown_;
  std::vector<Load::Done> open_;  // guarded by mu_
};

// Stop() waits for the calls under way, so something has to end them.
void StopAndEndAll(Load& load, Calls& calls) {
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    load.Stop();
    stopped = true;
  });
  while (!stopped) {
    calls.EndAll(grpc::Status::OK);
    std::this_thread::yield();
  }
  stop.join();
}

TEST(LoadTest, GoesOnWhileCallsAreUnderWayAndCountsHowTheyEnd) {
  Calls calls;
  Load load(1000, calls.Start());
  const std::vector<Load::Done> first = calls.Take(6);
  first[0](grpc::Status::OK);
  first[1](kBroken);
  first[2](grpc::Status(grpc::StatusCode::INTERNAL, "odd"));
  first[3](kBroken);
  first[4](fusebox::RejectionStatus({}, "/m", std::chrono::seconds(1)));
  const LoadCounts counts = load.counts();
  EXPECT_GE(counts.sent, 6);
  EXPECT_EQ(counts.ok, 1);
  EXPECT_EQ(counts.failed, 3);
  EXPECT_EQ(counts.rejected, 1);
  EXPECT_EQ(counts.not_sent, 0);
  EXPECT_EQ(counts.failures, (std::map<grpc::StatusCode, std::int64_t>{
                                 {grpc::StatusCode::UNAVAILABLE, 2},
                                 {grpc::StatusCode::INTERNAL, 1}}));
  EXPECT_EQ(counts.last_failure, "UNAVAILABLE: broken");
  first[5](grpc::Status::OK);

  StopAndEndAll(load, calls);
  const LoadCounts end = load.counts();
  EXPECT_EQ(end.sent, end.ok + end.failed + end.rejected);
}

TEST(LoadTest, CallsInFlightAreBounded) {
  Calls calls;
  Load load(1e6, calls.Start());
  const std::vector<Load::Done> all = calls.Take(Load::kMaxInFlight);
  while (load.counts().not_sent < 10) std::this_thread::yield();
  EXPECT_EQ(load.counts().sent, Load::kMaxInFlight);
  // Each that ends makes room for one.
  all[0](grpc::Status::OK);
  calls.Take(1)[0](grpc::Status::OK);
  const Load::Done last = calls.Take(1)[0];
  EXPECT_EQ(load.counts().sent, Load::kMaxInFlight + 2);
  for (std::size_t i = 1; i < all.size(); ++i) all[i](grpc::Status::OK);
  last(grpc::Status::OK);

  StopAndEndAll(load, calls);
}

TEST(LoadTest, CallsThatEndBeforeTheyAreStartedAreFine) {
  Load load(1e5, [](const Load::Done& done) { done(grpc::Status::OK); });
  while (load.counts().ok < 1000) std::this_thread::yield();
  load.Stop();
  const LoadCounts counts = load.counts();
  EXPECT_EQ(counts.ok, counts.sent);
  EXPECT_EQ(counts.not_sent, 0);
}

}  // namespace
}  // namespace greeter

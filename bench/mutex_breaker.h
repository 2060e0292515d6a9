// What one would write first: the baseline of the benchmarks.

#ifndef FUSEBOX_BENCH_MUTEX_BREAKER_H_
#define FUSEBOX_BENCH_MUTEX_BREAKER_H_

#include <deque>
#include <mutex>

#include "interceptor/breaker/clock.h"
#include "interceptor/breaker/outcome.h"

namespace fusebox::bench {

// A breaker behind one mutex, with a deque of buckets: the closed state only,
// judged as CircuitBreaker is with default settings. Thread-safe.
class MutexBreaker {
 public:
  bool Admit() {
    std::lock_guard<std::mutex> lock(mu_);
    if (!open_) ++in_flight_;
    return !open_;
  }

  void Finish(Outcome outcome, TimePoint now) {
    std::lock_guard<std::mutex> lock(mu_);
    --in_flight_;
    const std::int64_t second =
        now.time_since_epoch() / std::chrono::seconds(1);
    while (!buckets_.empty() && buckets_.front().second <= second - 10) {
      calls_ -= buckets_.front().calls;
      failures_ -= buckets_.front().failures;
      buckets_.pop_front();
    }
    if (buckets_.empty() || buckets_.back().second != second) {
      buckets_.push_back({second, 0, 0});
    }
    ++buckets_.back().calls;
    ++calls_;
    ++lifetime_;
    if (!IsFailure(outcome)) return;
    ++buckets_.back().failures;
    ++failures_;
    if (calls_ > 10 && failures_ * 2 >= calls_) open_ = true;
  }

 private:
  struct Bucket {
    std::int64_t second;
    std::uint64_t calls;
    std::uint64_t failures;
  };

  std::mutex mu_;
  std::deque<Bucket> buckets_;
  std::uint64_t calls_ = 0;
  std::uint64_t failures_ = 0;
  std::uint64_t lifetime_ = 0;
  std::int64_t in_flight_ = 0;
  bool open_ = false;
};

}  // namespace fusebox::bench

#endif  // FUSEBOX_BENCH_MUTEX_BREAKER_H_

// How long calls took: how many, the sum, the extremes and any percentile.

#ifndef FUSEBOX_INTERCEPTOR_STATS_LATENCY_SNAPSHOT_H_
#define FUSEBOX_INTERCEPTOR_STATS_LATENCY_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "interceptor/breaker/clock.h"

namespace fusebox {

// A distribution of latencies, counted in buckets (latency_buckets.h).
//
// Exact: the count, sum, minimum, maximum and mean. A quantile is within 1/128
// = 0.79 % of what the latencies themselves would give, whatever their size: a
// bucket stands for each of them by its middle, and that is as near. All is
// zero while nothing is counted. A latency below zero counts as zero.
//
// At most 29 KiB: 512 bytes for each power of two between the shortest and the
// longest. A plain value; thread-compatible.
class LatencySnapshot {
 public:
  LatencySnapshot() = default;

  void Add(Duration latency, std::uint64_t count = 1);
  void Merge(const LatencySnapshot& other);

  // What was added since `earlier`, a snapshot of the same source that this one
  // includes. The extremes are exact if they are new, otherwise within 1/128.
  LatencySnapshot Since(const LatencySnapshot& earlier) const;

  std::uint64_t count() const { return count_; }
  // Of 292 years at most: there it stays.
  Duration sum() const { return sum_; }
  Duration min() const { return count_ == 0 ? Duration::zero() : min_; }
  Duration max() const { return max_; }
  Duration mean() const;
  // Of these latencies, that is divided by n. Within 1/128 of their root mean
  // square.
  Duration standard_deviation() const;

  // The latency that a share of `q` (0 to 1) of the calls did not exceed: of
  // the sorted latencies, the one at position q * (n + 1), counted from 1,
  // interpolated between its neighbours; the first or last beyond them.
  // (Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996: type 6.)
  Duration Quantile(double q) const;

  // Latencies up to a limit within 1/128 of `limit`; grows with it.
  std::uint64_t CountUpTo(Duration limit) const;

  // Calls `f` for each bucket that is not empty, in ascending order: `count`
  // latencies from `low` to `high`, both included.
  void ForEachBucket(const std::function<void(Duration low, Duration high,
                                              std::uint64_t count)>& f) const;

 private:
  friend class LatencyRecorder;

  std::uint64_t CountOf(int index) const;
  // Adds to a bucket alone, and to all but the buckets.
  void AddToBucket(int index, std::uint64_t count);
  void AddTotals(Duration sum, Duration min, Duration max);

  // The latency at `rank`, from 1 to count().
  Duration AtRank(std::uint64_t rank) const;

  std::uint64_t count_ = 0;
  Duration sum_ = Duration::zero();
  Duration min_ = Duration::max();
  Duration max_ = Duration::zero();
  // The buckets from first_ on, in whole octaves.
  int first_ = 0;
  std::vector<std::uint64_t> counts_;
};

// What came of the calls of a method that ended with one status code.
struct CallsOfCode {
  // Stands for every code above 16.
  static constexpr int kOther = 17;

  int code = 0;             // grpc::StatusCode
  std::uint64_t calls = 0;  // streams included
  LatencySnapshot latency;  // of the others: latency.count() is their number
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_LATENCY_SNAPSHOT_H_

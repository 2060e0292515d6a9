// How values are spread.

#ifndef FUSEBOX_INTERCEPTOR_STATS_DISTRIBUTION_H_
#define FUSEBOX_INTERCEPTOR_STATS_DISTRIBUTION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fusebox {

// All zero without values.
struct DistributionSummary {
  std::uint64_t count = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double stddev = 0;  // of a sample: divided by count - 1; 0 for one value
  double median = 0;
  double p75 = 0;
  double p95 = 0;
  double p98 = 0;
  double p99 = 0;
  double p999 = 0;
};

// The value at position fraction * (n + 1) of n values in ascending order,
// counted from 1; between two, by linear interpolation; beyond an end, that
// end (Hyndman and Fan, "Sample quantiles in statistical packages", 1996, type
// 6). `ascending` must not be empty.
double Percentile(const std::vector<double>& ascending, double fraction);

// Count, least, greatest, mean and deviation of all values ever (Welford's
// method), and percentiles of the latest kRecent: so percentiles show what is
// going on now, memory is bounded, 8 KiB, and nothing is drawn by lot.
//
// Thread-compatible.
class Distribution {
 public:
  static constexpr std::size_t kRecent = 1024;

  // What is not finite is left out.
  void Add(double value);
  DistributionSummary Summary() const;

 private:
  std::uint64_t count_ = 0;
  double min_ = 0;
  double max_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum of (value - mean)^2
  std::vector<double> recent_;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_DISTRIBUTION_H_

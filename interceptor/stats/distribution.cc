#include "interceptor/stats/distribution.h"

#include <algorithm>
#include <cmath>

namespace fusebox {

double Percentile(const std::vector<double>& ascending, double fraction) {
  const double position =
      fraction * (static_cast<double>(ascending.size()) + 1);
  if (position < 1) return ascending.front();
  if (position >= static_cast<double>(ascending.size())) {
    return ascending.back();
  }
  const auto below = static_cast<std::size_t>(position);
  const double low = ascending[below - 1];
  const double high = ascending[below];
  return low + (position - static_cast<double>(below)) * (high - low);
}

void Distribution::Add(double value) {
  if (!std::isfinite(value)) return;
  if (recent_.size() < kRecent) {
    recent_.push_back(value);
  } else {
    recent_[count_ % kRecent] = value;
  }
  ++count_;
  min_ = count_ == 1 ? value : std::min(min_, value);
  max_ = count_ == 1 ? value : std::max(max_, value);
  const double off = value - mean_;
  mean_ += off / static_cast<double>(count_);
  squares_ += off * (value - mean_);
}

DistributionSummary Distribution::Summary() const {
  DistributionSummary summary;
  summary.count = count_;
  if (count_ == 0) return summary;
  summary.min = min_;
  summary.max = max_;
  summary.mean = mean_;
  if (count_ > 1) {
    summary.stddev = std::sqrt(squares_ / static_cast<double>(count_ - 1));
  }
  std::vector<double> ascending = recent_;
  std::sort(ascending.begin(), ascending.end());
  summary.median = Percentile(ascending, 0.5);
  summary.p75 = Percentile(ascending, 0.75);
  summary.p95 = Percentile(ascending, 0.95);
  summary.p98 = Percentile(ascending, 0.98);
  summary.p99 = Percentile(ascending, 0.99);
  summary.p999 = Percentile(ascending, 0.999);
  return summary;
}

}  // namespace fusebox

#include "interceptor/stats/latency_snapshot.h"

#include <algorithm>
#include <cmath>

#include "interceptor/stats/latency_buckets.h"

namespace fusebox {
namespace {

Duration SumOf(Duration a, Duration b) {
  return a > Duration::max() - b ? Duration::max() : a + b;
}

// `latency`, `count` times.
Duration Product(Duration latency, std::uint64_t count) {
  const auto ns = static_cast<std::uint64_t>(latency.count());
  const auto most = static_cast<std::uint64_t>(Duration::max().count());
  return ns != 0 && count > most / ns
             ? Duration::max()
             : Duration(static_cast<std::int64_t>(ns * count));
}

double Ns(Duration duration) { return static_cast<double>(duration.count()); }

Duration Rounded(double ns) {
  return ns >= Ns(Duration::max()) ? Duration::max()
                                   : Duration(std::llround(ns));
}

}  // namespace

void LatencySnapshot::Add(Duration latency, std::uint64_t count) {
  if (count == 0) return;
  latency = std::max(latency, Duration::zero());
  AddToBucket(LatencyBuckets::IndexOf(latency), count);
  AddTotals(Product(latency, count), latency, latency);
}

void LatencySnapshot::Merge(const LatencySnapshot& other) {
  for (std::size_t i = 0; i < other.counts_.size(); ++i) {
    if (other.counts_[i] == 0) continue;
    AddToBucket(other.first_ + static_cast<int>(i), other.counts_[i]);
  }
  AddTotals(other.sum_, other.min_, other.max_);
}

LatencySnapshot LatencySnapshot::Since(const LatencySnapshot& earlier) const {
  LatencySnapshot since;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const int index = first_ + static_cast<int>(i);
    const std::uint64_t before = earlier.CountOf(index);
    if (counts_[i] > before) since.AddToBucket(index, counts_[i] - before);
  }
  if (since.count_ == 0) return since;
  const auto middle = [this](int index) {
    return std::clamp(LatencyBuckets::Middle(index), min_, max_);
  };
  const auto is_used = [](std::uint64_t count) { return count != 0; };
  const auto lowest =
      std::find_if(since.counts_.begin(), since.counts_.end(), is_used);
  const auto highest =
      std::find_if(since.counts_.rbegin(), since.counts_.rend(), is_used);
  since.AddTotals(
      sum_ - earlier.sum_,
      min_ < earlier.min_
          ? min_
          : middle(since.first_ +
                   static_cast<int>(lowest - since.counts_.begin())),
      max_ > earlier.max_
          ? max_
          : middle(since.first_ +
                   static_cast<int>(since.counts_.rend() - highest) - 1));
  return since;
}

Duration LatencySnapshot::mean() const {
  if (count_ == 0) return Duration::zero();
  const auto sum = static_cast<std::uint64_t>(sum_.count());
  return Duration(static_cast<std::int64_t>(sum / count_));
}

Duration LatencySnapshot::standard_deviation() const {
  if (count_ == 0) return Duration::zero();
  // Welford's method: no difference of large squares.
  double n = 0, mean = 0, squares = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    const auto count = static_cast<double>(counts_[i]);
    const double middle =
        Ns(LatencyBuckets::Middle(first_ + static_cast<int>(i)));
    n += count;
    const double off = middle - mean;
    mean += off * count / n;
    squares += count * off * (middle - mean);
  }
  return Rounded(std::sqrt(squares / n));
}

Duration LatencySnapshot::Quantile(double q) const {
  if (count_ == 0) return Duration::zero();
  const double position = q * (static_cast<double>(count_) + 1);
  if (!(position > 1)) return min_;
  if (position >= static_cast<double>(count_)) return max_;
  const double rank = std::floor(position);
  const Duration low = AtRank(static_cast<std::uint64_t>(rank));
  const double share = position - rank;
  if (share == 0) return low;
  const Duration high = AtRank(static_cast<std::uint64_t>(rank) + 1);
  return low + Rounded(share * Ns(high - low));
}

std::uint64_t LatencySnapshot::CountUpTo(Duration limit) const {
  if (limit >= max_) return count_;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (LatencyBuckets::Middle(first_ + static_cast<int>(i)) > limit) break;
    count += counts_[i];
  }
  return count;
}

void LatencySnapshot::ForEachBucket(
    const std::function<void(Duration low, Duration high, std::uint64_t count)>&
        f) const {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    const int index = first_ + static_cast<int>(i);
    f(LatencyBuckets::Low(index), LatencyBuckets::High(index), counts_[i]);
  }
}

std::uint64_t LatencySnapshot::CountOf(int index) const {
  const int i = index - first_;
  return i < 0 || i >= static_cast<int>(counts_.size())
             ? 0
             : counts_[static_cast<std::size_t>(i)];
}

void LatencySnapshot::AddToBucket(int index, std::uint64_t count) {
  constexpr int kPerOctave = LatencyBuckets::kPerOctave;
  const int octave = index / kPerOctave * kPerOctave;
  if (counts_.empty()) first_ = octave;
  if (octave < first_) {
    counts_.insert(counts_.begin(), static_cast<std::size_t>(first_ - octave),
                   0);
    first_ = octave;
  }
  const auto end = static_cast<std::size_t>(octave + kPerOctave - first_);
  if (counts_.size() < end) counts_.resize(end);
  counts_[static_cast<std::size_t>(index - first_)] += count;
  count_ += count;
}

void LatencySnapshot::AddTotals(Duration sum, Duration min, Duration max) {
  sum_ = SumOf(sum_, sum);
  min_ = std::min(min_, min);
  max_ = std::max(max_, max);
}

Duration LatencySnapshot::AtRank(std::uint64_t rank) const {
  // Known exactly.
  if (rank <= 1) return min_;
  if (rank >= count_) return max_;
  std::size_t i = 0;
  while (rank > counts_[i]) rank -= counts_[i++];
  return std::clamp(LatencyBuckets::Middle(first_ + static_cast<int>(i)), min_,
                    max_);
}

}  // namespace fusebox

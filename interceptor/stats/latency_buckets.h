// Where a latency is counted: buckets whose width grows with it.

#ifndef FUSEBOX_INTERCEPTOR_STATS_LATENCY_BUCKETS_H_
#define FUSEBOX_INTERCEPTOR_STATS_LATENCY_BUCKETS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "interceptor/breaker/clock.h"

namespace fusebox {

// Log-linear, as in HdrHistogram: below 64 ns each nanosecond has a bucket;
// from there on each power of two is cut into 64 of equal width. A bucket from
// `low` on is thus at most low / 64 wide, and its middle is within 1/128 (0.79
// %) of whatever is counted in it. All that a Duration can hold has a bucket;
// less than zero counts as zero.
//
// An octave is a run of 64 buckets: the linear ones, or a power of two.
struct LatencyBuckets {
  static constexpr int kOctaveBits = 6;
  static constexpr int kPerOctave = 1 << kOctaveBits;
  static constexpr int kOctaves = 63 - kOctaveBits + 1;
  static constexpr int kCount = kOctaves * kPerOctave;

  static int IndexOf(Duration latency) {
    const auto ns =
        static_cast<std::uint64_t>(std::max(latency, Duration::zero()).count());
    if (ns < kPerOctave) return static_cast<int>(ns);
    const int shift = 63 - __builtin_clzll(ns) - kOctaveBits;
    return (shift << kOctaveBits) + static_cast<int>(ns >> shift);
  }

  // The smallest latency of the bucket `index`.
  static constexpr Duration Low(int index) {
    const int octave = index / kPerOctave;
    if (octave == 0) return Duration(index);
    return Duration(std::int64_t{kPerOctave + index % kPerOctave}
                    << (octave - 1));
  }
  // The largest.
  static constexpr Duration High(int index) {
    return index + 1 == kCount ? Duration::max() : Low(index + 1) - Duration(1);
  }
  static constexpr Duration Middle(int index) {
    return Low(index) + (High(index) - Low(index)) / 2;
  }
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_LATENCY_BUCKETS_H_

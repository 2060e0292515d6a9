// Time as the library uses it: monotonic, integer nanoseconds.
//
// Nothing in breaker/ reads a clock: every operation takes `now`. The glue
// around it reads one clock per call, through the function a registry was
// given.

#ifndef FUSEBOX_INTERCEPTOR_BREAKER_CLOCK_H_
#define FUSEBOX_INTERCEPTOR_BREAKER_CLOCK_H_

#include <time.h>

#include <chrono>
#include <cstdint>

namespace fusebox {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock,
                                          std::chrono::nanoseconds>;

// A source of the present moment. Must be thread-safe and never step back.
using NowFunction = TimePoint (*)();

// CLOCK_MONOTONIC: tens of nanoseconds to read, nanoseconds of resolution.
inline TimePoint FineNow() {
  return std::chrono::time_point_cast<Duration>(
      std::chrono::steady_clock::now());
}

// CLOCK_MONOTONIC_COARSE: the same time line as FineNow(), as of the kernel's
// last tick (1 to 10 ms ago), for a fraction of the cost. Fine enough for
// buckets, which are 10 ms wide or more.
inline TimePoint CoarseNow() {
#ifdef CLOCK_MONOTONIC_COARSE
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return TimePoint(
      Duration(std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec));
#else
  return FineNow();
#endif
}

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_BREAKER_CLOCK_H_

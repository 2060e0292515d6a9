// How often something happens: per second, lately.

#ifndef FUSEBOX_INTERCEPTOR_STATS_METER_H_
#define FUSEBOX_INTERCEPTOR_STATS_METER_H_

#include <array>
#include <chrono>
#include <cstdint>

#include "interceptor/breaker/clock.h"

namespace fusebox {

// Counts events and knows their rate, as averages that forget exponentially:
// over about a minute, five and fifteen.
//
// Time is cut into ticks of 5 s from the start on. At the end of each, with r
// events per second in it, every rate moves by alpha * (r - rate), where alpha
// = 1 - exp(-5 / (60 * minutes)); the first tick sets the rates to its r. (The
// load averages of Unix; the same numbers as in scales and Dropwizard Metrics.)
//
// Time is an argument. A moment before one that was seen already counts as that
// one. Thread-compatible.
class Meter {
 public:
  static constexpr Duration kTick = std::chrono::seconds(5);

  struct Rates {
    std::uint64_t count = 0;  // events ever
    // Events per second; 0 until the first tick has ended.
    double m1 = 0;
    double m5 = 0;
    double m15 = 0;
  };

  explicit Meter(TimePoint start) : tick_start_(start) {}

  void Mark(TimePoint now, std::uint64_t events = 1);
  Rates Read(TimePoint now);

 private:
  void EndTicks(TimePoint now);

  TimePoint tick_start_;
  std::uint64_t count_ = 0;
  std::uint64_t in_tick_ = 0;
  bool first_tick_ = true;
  std::array<double, 3> rates_ = {};
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_STATS_METER_H_

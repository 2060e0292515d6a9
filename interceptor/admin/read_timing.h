// When a file that somebody is changing is fit to be read.

#ifndef FUSEBOX_INTERCEPTOR_ADMIN_READ_TIMING_H_
#define FUSEBOX_INTERCEPTOR_ADMIN_READ_TIMING_H_

#include <algorithm>
#include <chrono>
#include <optional>

#include "interceptor/breaker/clock.h"

namespace fusebox {

// Told what happens to a file, says when to read it:
//
//   being written    kLongestWrite after the last change: whoever forgets to
//                    close it must not keep it unread for ever
//   finished         kQuiet after the last change, so that several steps are
//                    one; at most kLongestQuiet after the first that finished
//
// Thread-compatible.
class ReadTiming {
 public:
  static constexpr Duration kQuiet = std::chrono::milliseconds(50);
  static constexpr Duration kLongestQuiet = std::chrono::milliseconds(250);
  static constexpr Duration kLongestWrite = std::chrono::seconds(2);

  // Somebody has it open and changed it.
  void Changed(TimePoint now) {
    last_ = now;
    open_ = true;
  }
  // It is whole as far as one can see: closed, renamed into place, or gone.
  void Finished(TimePoint now) {
    last_ = now;
    open_ = false;
    if (!finished_.has_value()) finished_ = now;
  }
  // It is being read.
  void Read() { *this = ReadTiming(); }

  // TimePoint::max() if there is nothing to read.
  TimePoint due() const {
    if (!last_.has_value()) return TimePoint::max();
    if (open_) return *last_ + kLongestWrite;
    return std::min(*last_ + kQuiet, *finished_ + kLongestQuiet);
  }

 private:
  std::optional<TimePoint> last_;      // what happened last
  std::optional<TimePoint> finished_;  // what finished first
  bool open_ = false;
};

}  // namespace fusebox

#endif  // FUSEBOX_INTERCEPTOR_ADMIN_READ_TIMING_H_

// Exact replay: a recorded trace through the breaker, decision by decision.

#ifndef FUSEBOX_TOOLS_REPLAY_H_
#define FUSEBOX_TOOLS_REPLAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "interceptor/breaker/circuit_breaker.h"
#include "interceptor/breaker/settings.h"
#include "tools/flat_json.h"

namespace fusebox {

// Runs a trace in JSON Lines through real breakers, one for each method, with
// the clock and the draws of the trace: the same trace gives the same answers,
// always.
//
// The first line holds the settings of all breakers, each other one an event:
//
//   {"settings": {"preset": "doctor", "bucket_width": 20, ...}}
//   {"t": 12.5, "op": "admit", "method": "/pkg.S/M", "call": 7, "u": 0.31}
//   {"t": 12.9, "op": "finish", "method": "/pkg.S/M", "call": 7,
//    "outcome": "system_error", "latency": 0.4}
//   {"t": 20, "op": "state", "method": "/pkg.S/M"}
//
// settings  Fields of Settings by name; what is missing has its default, or the
//           preset's. Durations are seconds, to the nanosecond; a threshold and
//           slow_call_duration may be "off".
// t         Seconds, to the millisecond, from 0 to kLastSecond. Never less than
//           on an earlier line.
// call      An integer of 64 bits that names a call of its method, never used
//           twice. A finish without it is an outcome of the current generation
//           that belongs to no recorded call and is not the probe's, with
//           "stale": true of an older generation. A finish of a call that was
//           rejected or has ended does nothing.
// outcome   As OutcomeName().
// latency   Seconds, default 0; what is below a nanosecond is cut off.
// u, r      The draws of this line for the ramp, in [0, 1), and for the jitter,
//           in [-1, 1]; 0 without. Unused where the policy draws nothing.
//
// Admit and state are answered, on a line each:
//
//   {"t":12.5,"op":"admit","method":"/pkg.S/M","call":7,"admitted":true,
//    "state":"CLOSED"}
//   {"t":20,"op":"state","method":"/pkg.S/M","state":"HALF_OPEN"}
//
// (the first without the line break). The state is what readers see after the
// decision. In shadow mode every call is admitted. Blank lines are skipped.
//
// Memory grows with the methods and call ids of the trace, not with its length.
// Thread-compatible.
class Replay {
 public:
  // About 285 years: room to spare to the end of the nanosecond clock.
  static constexpr std::int64_t kLastSecond = 9'000'000'000;

  // So many bytes after a line must be readable; their values do not matter.
  static constexpr std::size_t kPadding = FlatJsonParser::kPadding;

  // Takes the next line, with or without its end, and appends the answer, if
  // there is one. False if the line is wrong; the trace ends there, and error()
  // says "line 3: reason".
  bool Apply(std::string_view line, std::string& answers);

  // To be called after the last line. False, with error(), if the trace is
  // incomplete.
  bool End();

  const std::string& error() const { return error_; }
  // Valid once the first line has been applied.
  const Settings& settings() const { return settings_; }

 private:
  struct Event;

  struct Method {
    Method(std::string_view name, const Settings& settings, TimePoint now);

    const std::string name;
    std::string json_name;  // quoted
    CircuitBreaker breaker;
    // By id; empty once finished, and of a call that got none. After the
    // breaker, so that calls without an end are dropped before it goes.
    std::unordered_map<std::int64_t, Permit> permits;
  };

  bool Fail(std::string reason);
  bool ApplySettings(std::string_view line);
  bool ApplyEvent(std::string_view line, std::string& answers);
  bool Admit(const Event& event, Random& random, std::string& answers);
  bool Finish(const Event& event, Random& random);
  void Answer(const Event& event, Method& method, std::optional<bool> admitted,
              Random& random, std::string& answers);
  Method& MethodOf(const Event& event);

  FlatJsonParser parser_;
  std::string error_;
  std::int64_t line_ = 0;
  bool started_ = false;
  Settings settings_;
  std::int64_t last_ms_ = 0;
  // The keys are the names in the values.
  std::unordered_map<std::string_view, std::unique_ptr<Method>> methods_;
};

}  // namespace fusebox

#endif  // FUSEBOX_TOOLS_REPLAY_H_
